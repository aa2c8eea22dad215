//! One phone, as everybody above `agent/usb` sees it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{BundleId, Udid};
use holdfast_wire::phone::{InstalledApp, Pairing, PhoneFacts};

use crate::fault::Fault;

/// An archive to put on a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallSource {
    /// The `.ipa` on the rack's disk.
    pub archive: PathBuf,
    /// The bundle identifier inside.
    pub bundle_id: BundleId,
    /// What to call it in messages: `Mooring 1.4.0 (140)`.
    pub title: String,
}

/// How far an install is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallProgress {
    /// The archive goes over the cable.
    Uploading {
        /// Bytes sent.
        sent: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The phone unpacks and verifies.
    Installing {
        /// Per cent, in the phone's own count.
        percent: u8,
    },
}

/// How to start an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Which.
    pub bundle_id: BundleId,
    /// Arguments for it.
    pub arguments: Vec<String>,
    /// What it is told by its environment: which attempt and lease it runs for.
    pub environment: BTreeMap<String, String>,
    /// How long the phone may take to name the process.
    pub timeout: Duration,
}

/// A process on a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppProcess {
    /// Its number; it only grows until the phone restarts.
    pub pid: u32,
    /// Its name, as crash reports show it.
    pub name: String,
}

/// One phone. Every call has its own deadline; after a timeout the connection under it is dropped and the next
/// call makes a new one. No call retries, and a panic inside becomes a [`Fault`]. Dropping a future ends the
/// operation on the rack's side; the next call starts from a fresh connection.
pub trait Phone: Send + Sync + 'static {
    /// Its name for life.
    fn udid(&self) -> &Udid;

    /// Whether the rack may talk to it. Asks for trust first when it may not and `ask` says so.
    ///
    /// # Errors
    /// Gone, silent, bus. A phone that refuses is an answer, not an error.
    fn pairing(&self, ask: AskForTrust) -> impl Future<Output = Result<Pairing, Fault>> + Send;

    /// Everything it tells of itself. `labels`, `crash_files_waiting` and `crash_limits` are left empty: the rack knows
    /// those itself. A phone that does not trust
    /// the rack tells its name, model and OS, and `pairing` says why it tells no more; one locked by a passcode
    /// leaves out what it keeps locked.
    ///
    /// # Errors
    /// Gone, silent, bus.
    fn facts(&self) -> impl Future<Output = Result<PhoneFacts, Fault>> + Send;

    /// The app, when it is on the phone.
    ///
    /// # Errors
    /// Gone, silent, not paired, bus.
    fn installed(&self, app: &BundleId) -> impl Future<Output = Result<Option<InstalledApp>, Fault>> + Send;

    /// Uploads an archive under a name of its own and installs or upgrades it; the upload is removed afterwards.
    ///
    /// # Errors
    /// Gone, silent, no room, app refused, bus, disk.
    fn install(
        &self,
        source: &InstallSource,
        progress: &(dyn Fn(InstallProgress) + Send + Sync),
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Takes an app off; one that is not there is fine.
    ///
    /// # Errors
    /// Gone, silent, bus.
    fn uninstall(&self, app: &BundleId) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Starts an app anew and gives its process.
    ///
    /// # Errors
    /// Gone, silent (a hang at launch), app missing, service missing, locked, bus.
    fn launch(&self, launch: &Launch) -> impl Future<Output = Result<AppProcess, Fault>> + Send;

    /// Waits until the process is gone or `limit` is over.
    ///
    /// # Errors
    /// Gone, silent, service missing, bus.
    fn watch(&self, pid: u32, limit: Duration) -> impl Future<Output = Result<Watched, Fault>> + Send;

    /// Ends a process; one that is gone already is fine.
    ///
    /// # Errors
    /// Gone, silent, service missing, bus.
    fn kill(&self, pid: u32) -> impl Future<Output = Result<(), Fault>> + Send;

    /// The processes of an app that run now.
    ///
    /// # Errors
    /// Gone, silent, service missing, bus.
    fn processes(&self, app: &BundleId) -> impl Future<Output = Result<Vec<AppProcess>, Fault>> + Send;

    /// Makes the phone move finished reports into the crash folder, and lists it with its sub-folders, sorted.
    /// Files still being written (dot-files) are left out.
    ///
    /// # Errors
    /// Gone, silent, not paired, bus.
    fn crash_files(&self) -> impl Future<Output = Result<Vec<CrashFile>, Fault>> + Send;

    /// Copies a crash file to `target` on the rack, and syncs its bytes; the name is the caller's to sync. The size is compared with the phone's own.
    ///
    /// # Errors
    /// Gone, silent, file missing, protocol (the size differs), disk.
    fn pull_crash(&self, file: &CrashFile, target: &Path) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Deletes a crash file; one that is gone already is fine. Another file of its name, by size and time stamp, stays
    /// where it is.
    ///
    /// # Errors
    /// Gone, silent, bus.
    fn delete_crash(&self, file: &CrashFile) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Listens to the phone's log, and hands every message of its crash reporter to `tell` as it comes, such as
    /// `Saved type '309(309_Runner)' report (3 of max 25) at …`. It ends when the phone ends it, and is to be called
    /// again then.
    ///
    /// # Errors
    /// Gone, silent (an hour without an end, too), not paired, service missing, bus.
    fn crash_log(
        &self,
        tell: &(dyn Fn(&str) + Send + Sync),
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Restarts the phone; it leaves the bus and comes back under another number.
    ///
    /// # Errors
    /// Gone, silent, bus.
    fn restart(&self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Whether to put the trust dialog on the phone's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskForTrust {
    /// Look only.
    No,
    /// Pair when needed; somebody has to tap.
    Yes,
}

/// What became of a watched process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// It is gone.
    Ended {
        /// How long it was seen alive.
        alive: Duration,
    },
    /// It lives on.
    Alive,
}
