//! Deadlines of an attempt, each with its reason. The agent's configuration fills them in.

use std::time::Duration;

/// How long each part of an attempt may take. A part that takes longer is ended and blamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Reading the phone's facts.
    pub check: Duration,
    /// The build's way from the daemon to the rack.
    pub fetch: Duration,
    /// The build's way onto the phone, unpacking and verifying included.
    pub install: Duration,
    /// On top of what the case allows, until the phone's answer to launch or watch is given up.
    pub margin: Duration,
    /// Ending a process or all processes of the app.
    pub kill: Duration,
    /// Listing the crash folder.
    pub list: Duration,
    /// Copying one crash file.
    pub pull: Duration,
    /// Making one crash file durable on the rack.
    pub store: Duration,
    /// Deleting one crash file.
    pub delete: Duration,
    /// After a launch that ended by itself: how long a late crash file is waited for.
    pub crash_grace: Duration,
    /// How often the crash folder is listed again meanwhile.
    pub relist: Duration,
    /// All crash files of the attempt together.
    pub collect: Duration,
    /// The same after the lease was taken back: the phone is wanted elsewhere.
    pub quick_collect: Duration,
    /// How long the daemon's confirmation is waited for; what it has not confirmed stays on the phone for a
    /// later sweep.
    pub confirm: Duration,
    /// How long a phone that left the bus may stay away before the attempt ends without it.
    pub return_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            check: Duration::from_secs(60),
            fetch: Duration::from_secs(15 * 60),
            install: Duration::from_secs(10 * 60),
            margin: Duration::from_secs(15),
            kill: Duration::from_secs(20),
            list: Duration::from_secs(60),
            pull: Duration::from_secs(120),
            store: Duration::from_secs(30),
            delete: Duration::from_secs(20),
            crash_grace: Duration::from_secs(5),
            relist: Duration::from_secs(1),
            collect: Duration::from_secs(5 * 60),
            quick_collect: Duration::from_secs(10),
            confirm: Duration::from_secs(30),
            return_grace: Duration::from_secs(10),
        }
    }
}
