//! What really happened on a phone, in order: the log by which system tests judge the farm.
//! The log lines that clients see are in [`log`](crate::log).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

/// How many entries a phone remembers: a day of launches every few seconds, at some ten megabytes at most.
pub const ENTRIES_MAX: usize = 50_000;

/// One thing that happened on a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Event {
    /// It appeared on the bus under this number.
    Attached {
        /// usbmuxd's number, new at each attach.
        device_id: u32,
    },
    /// It left the bus.
    Detached,
    /// It started again; everything that ran is gone.
    Booted {
        /// The new boot's name.
        boot_id: String,
    },
    /// An app was launched.
    Launched {
        /// Which app.
        bundle_id: String,
        /// Its process.
        pid: u32,
        /// What it was given on the command line.
        arguments: Vec<String>,
        /// What it was given as environment.
        environment: BTreeMap<String, String>,
    },
    /// A process ended.
    Ended {
        /// Which app.
        bundle_id: String,
        /// Its process.
        pid: u32,
        /// In words, such as `exit 0`, `killed by client` or `signal 11`.
        how: String,
    },
    /// An app was installed or upgraded.
    Installed {
        /// Which app.
        bundle_id: String,
        /// Its `CFBundleShortVersionString` and `CFBundleVersion`, such as `1.2 (345)`.
        version: String,
    },
    /// An installation was refused.
    InstallRefused {
        /// Why, as the client was told.
        reason: String,
    },
    /// An app was removed.
    Uninstalled {
        /// Which app.
        bundle_id: String,
    },
    /// A crash report appeared in the crash folder.
    CrashFileWritten {
        /// Its path below the crash folder.
        path: String,
    },
    /// A report was not written, because too many wait or there is no room.
    CrashFileLost {
        /// The path it would have had.
        path: String,
        /// Why.
        reason: String,
    },
    /// A client deleted a crash report.
    CrashFileDeleted {
        /// Its path below the crash folder.
        path: String,
    },
    /// A service was started by lockdown.
    ServiceStarted {
        /// Its name.
        service: String,
    },
    /// A fault began or ended.
    Fault {
        /// In words.
        told: String,
    },
}

/// One line of a phone's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counts from 1 and has no holes.
    pub number: u64,
    /// When, by the host's clock, so that phones with wrong clocks can be compared.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// The log of one phone.
#[derive(Debug, Default)]
pub struct Events {
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    entries: VecDeque<Entry>,
}

impl Events {
    /// Adds what just happened.
    pub fn record(&self, event: Event) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last += 1;
        let number = inner.last;
        if inner.entries.len() == ENTRIES_MAX {
            inner.entries.pop_front();
        }
        inner.entries.push_back(Entry { number, at: Timestamp::now(), event });
        drop(inner);
        self.newest.send_replace(number);
    }

    /// The number of the newest entry, for waiting until there is another. Numbers may be skipped.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Every remembered entry after this number, oldest first.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Entry> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.iter().filter(|entry| entry.number > number).cloned().collect()
    }
}
