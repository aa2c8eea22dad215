//! What waits on an agent's disk until the daemon has confirmed it: the rules of `agent/src/outbox.rs`, without files. It
//! survives the agent.

use std::collections::BTreeSet;

use holdfast_attempt::Taken;
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{AttemptId, CrashId, EntryId, LeaseNumber, Udid};
use holdfast_wire::sync::{ENTRIES_PER_SYNC_MAX, OutboxEntry, OutboxItem};

use crate::nouns::name;

/// What the link says of the outbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Waiting {
    /// Entries that can be said now, oldest first.
    pub ready: Vec<OutboxEntry>,
    /// All entries that are not done with.
    pub all: usize,
    /// Phones of which the report of an attempt waits.
    pub unreported: BTreeSet<Udid>,
}

/// A crash file that the daemon has.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Its entry.
    pub id: EntryId,
    /// Its phone.
    pub phone: Udid,
    /// The file on the phone.
    pub file: CrashFile,
    /// Its bytes.
    pub crash: CrashId,
}

/// The outbox of one rack.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: Vec<Kept>,
    next: u64,
}

#[derive(Debug)]
struct Kept {
    entry: OutboxEntry,
    file: Option<CrashFile>,
    /// Its bytes, when it has any, are with the daemon.
    is_ready: bool,
    /// The daemon has it; its phone has yet to remember that.
    is_settled: bool,
}

impl Outbox {
    /// Puts an entry on disk.
    pub fn append(&mut self, rack: usize, what: OutboxItem, file: Option<CrashFile>) {
        self.next += 1;
        let id = name(&format!("entry-{rack}-{}", self.next));
        let is_ready = file.is_none();
        self.entries.push(Kept { entry: OutboxEntry { id, what }, file, is_ready, is_settled: false });
    }

    /// Whether bytes wait to be sent.
    pub fn has_bytes(&self) -> bool {
        self.entries.iter().any(|kept| !kept.is_ready)
    }

    /// Every file's bytes are with the daemon.
    pub fn uploaded(&mut self) {
        self.entries.iter_mut().for_each(|kept| kept.is_ready = true);
    }

    /// What waits.
    pub fn waiting(&self) -> Waiting {
        let ready = self.entries.iter().filter(|kept| kept.is_ready && !kept.is_settled);
        let reports = self.entries.iter().filter_map(|kept| match &kept.entry.what {
            OutboxItem::AttemptEnded { report } => Some(report.phone.clone()),
            OutboxItem::CrashTaken { .. } => None,
        });
        Waiting {
            ready: ready.take(ENTRIES_PER_SYNC_MAX).map(|kept| kept.entry.clone()).collect(),
            all: self.entries.len(),
            unreported: reports.collect(),
        }
    }

    /// The daemon has these: reports are forgotten, crash files are given back, to be remembered by their phones first.
    pub fn settle(&mut self, ids: &[EntryId]) -> Vec<Settled> {
        let is_done = |kept: &Kept| kept.file.is_none() && ids.contains(&kept.entry.id);
        self.entries.retain(|kept| !is_done(kept));
        let mut settled = Vec::new();
        for kept in self.entries.iter_mut().filter(|kept| ids.contains(&kept.entry.id)) {
            kept.is_settled = true;
            if let (OutboxItem::CrashTaken { origin }, Some(file)) = (&kept.entry.what, &kept.file) {
                settled.push(Settled {
                    id: kept.entry.id.clone(),
                    phone: origin.phone.clone(),
                    file: file.clone(),
                    crash: origin.id,
                });
            }
        }
        settled
    }

    /// Forgets crash files that their phones remember.
    pub fn forget(&mut self, ids: &[EntryId]) {
        self.entries.retain(|kept| !ids.contains(&kept.entry.id));
    }

    /// The agent starts: what was settled is said again, as nobody knows whether it was remembered.
    pub fn open(&mut self) {
        self.entries.iter_mut().for_each(|kept| kept.is_settled = false);
    }

    /// Crash files of a phone that wait here.
    pub fn pending(&self, phone: &Udid) -> Vec<Taken> {
        let taken = self.entries.iter().filter_map(|kept| match (&kept.entry.what, &kept.file) {
            (OutboxItem::CrashTaken { origin }, Some(file)) if origin.phone == *phone => {
                Some(Taken { file: file.clone(), crash: origin.id, confirmed: kept.is_settled })
            }
            _ => None,
        });
        taken.collect()
    }

    /// Whether the report of this attempt waits here.
    pub fn has_report(&self, attempt: AttemptId, lease: LeaseNumber) -> bool {
        self.entries.iter().any(|kept| match &kept.entry.what {
            OutboxItem::AttemptEnded { report } => report.attempt == attempt && report.lease == lease,
            OutboxItem::CrashTaken { .. } => false,
        })
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
