//! What an operator may set about the cable, and how long each kind of operation may take. Reading a
//! configuration file is the agent's work.

use std::time::Duration;

use crate::address::MuxerAddress;

/// AFC writes that may be on the way at once. Waiting for each answer leaves the cable idle for a round trip per
/// write; four fill a USB 2 and a USB 3 cable in measurements against a paced server.
pub const WINDOW: usize = 4;

/// Bytes of one AFC write: large enough that packet headers do not count, small enough that a window of them is
/// a few megabytes per phone.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// The largest chunk and window that are honoured, so that a mistyped setting cannot eat the rack's memory.
pub const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// See [`CHUNK_BYTES_MAX`].
pub const WINDOW_MAX: usize = 64;

/// A question that a phone answers from memory. Healthy phones need 50 ms; ten seconds cover one whose processor
/// is busy with an app's launch.
pub const QUESTION: Duration = Duration::from_secs(10);

/// Reading all facts: a dozen questions and two listings.
pub const FACTS: Duration = Duration::from_secs(60);

/// How long an asked-for pairing waits for the finger before it says that the dialog is pending. The dialog itself
/// stays for [`TRUST_DIALOG`].
pub const PAIRING: Duration = Duration::from_secs(5);

/// How long the trust dialog is kept asked in the background: a person has to walk to the rack.
pub const TRUST_DIALOG: Duration = Duration::from_secs(120);

/// Silence between two answers of an upload. A phone that writes to full flash pauses for seconds, not for this.
pub const UPLOAD_SILENCE: Duration = Duration::from_secs(30);

/// Silence between two progress messages of an installation: verifying a large app takes minutes without a word.
pub const INSTALL_SILENCE: Duration = Duration::from_secs(240);

/// The longest install: 4 GB at the slowest rate seen on a crowded hub, 3 MB/s, and verifying. Silence ends one long
/// before.
pub(crate) const INSTALL_MAX: Duration = Duration::from_secs(45 * 60);

/// Taking an app off.
pub const UNINSTALL: Duration = Duration::from_secs(60);

/// Ending a process and seeing it gone.
pub const KILL: Duration = Duration::from_secs(15);

/// Moving finished reports into the crash folder and listing it: thousands of files at a few milliseconds each.
pub const CRASH_LIST: Duration = Duration::from_secs(60);

/// Silence while a crash file is copied.
pub const PULL_SILENCE: Duration = Duration::from_secs(20);

/// The longest copy of a crash file: a system diagnosis of 500 MB at 3 MB/s, twice. Silence ends one long before.
pub(crate) const PULL_MAX: Duration = Duration::from_secs(6 * 60);

/// The longest time that one connection to the log is kept: a new one shows that the phone still speaks.
pub(crate) const LISTEN_MAX: Duration = Duration::from_secs(60 * 60);

/// Pause between two looks at a watched process: short enough for launch times, long enough to be no load.
pub const WATCH_PAUSE: Duration = Duration::from_millis(200);

/// Everything that may be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbSettings {
    /// Where usbmuxd serves.
    pub usbmuxd: MuxerAddress,
    /// AFC writes on the way at once, 1 to [`WINDOW_MAX`].
    pub window: usize,
    /// Bytes of one AFC write, 1 to [`CHUNK_BYTES_MAX`].
    pub chunk_bytes: usize,
    /// What this rack calls itself to phones: the trust dialog's computer name.
    pub label: String,
    /// How long operations may take.
    pub deadlines: Deadlines,
}

impl Default for UsbSettings {
    fn default() -> Self {
        Self {
            usbmuxd: MuxerAddress::default(),
            window: WINDOW,
            chunk_bytes: CHUNK_BYTES,
            label: "holdfast".to_owned(),
            deadlines: Deadlines::default(),
        }
    }
}

/// How long each kind of operation may take; the defaults are the constants of this module, where their reasons are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// See [`QUESTION`].
    pub question: Duration,
    /// See [`FACTS`].
    pub facts: Duration,
    /// See [`PAIRING`].
    pub pairing: Duration,
    /// See [`TRUST_DIALOG`].
    pub trust_dialog: Duration,
    /// See [`UPLOAD_SILENCE`].
    pub upload_silence: Duration,
    /// See [`INSTALL_SILENCE`].
    pub install_silence: Duration,
    /// See [`UNINSTALL`].
    pub uninstall: Duration,
    /// See [`KILL`].
    pub kill: Duration,
    /// See [`CRASH_LIST`].
    pub crash_list: Duration,
    /// See [`PULL_SILENCE`].
    pub pull_silence: Duration,
    /// See [`WATCH_PAUSE`].
    pub watch_pause: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            question: QUESTION,
            facts: FACTS,
            pairing: PAIRING,
            trust_dialog: TRUST_DIALOG,
            upload_silence: UPLOAD_SILENCE,
            install_silence: INSTALL_SILENCE,
            uninstall: UNINSTALL,
            kill: KILL,
            crash_list: CRASH_LIST,
            pull_silence: PULL_SILENCE,
            watch_pause: WATCH_PAUSE,
        }
    }
}
