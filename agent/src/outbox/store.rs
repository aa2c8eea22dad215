//! The outbox as it lies on disk. No network: that is the task's, one level up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast_attempt::Taken;
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{AttemptId, CrashId, EntryId, LeaseNumber, Udid};
use holdfast_wire::sync::{OutboxEntry, OutboxItem};
use serde::{Deserialize, Serialize};

use super::{Pulled, Spooled};
use crate::disk;
use crate::error::AgentError;

/// The version of the entry files that are written here; a newer one is set aside, not guessed at.
const VERSION: u32 = 1;

/// A crash entry that the daemon has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The entry.
    pub id: EntryId,
    /// The phone that has the file.
    pub phone: Udid,
    /// The file.
    pub file: CrashFile,
    /// Its bytes.
    pub crash: CrashId,
}

/// One entry file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    version: u32,
    entry: OutboxEntry,
    /// The file on the phone, whole: the wire carries its path and size only.
    file: Option<CrashFile>,
    /// Why the daemon refused it; none while it waits.
    refused: Option<String>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    record: Record,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be said.
    Waiting,
    /// Confirmed; the phone has yet to remember it.
    Settled,
    /// Refused; kept, so that the file is not taken again.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Needed,
    UnderWay,
    Done,
}

/// Entries in order, and where the bytes of each crash stand.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    spool: PathBuf,
    entries: BTreeMap<u64, Kept>,
    uploads: BTreeMap<CrashId, Upload>,
}

impl Store {
    pub(super) fn open(data: &Path) -> Result<Self, AgentError> {
        let (folder, spool) = (data.join("outbox"), data.join("spool"));
        for path in [&folder, &folder.join("refused"), &folder.join("damaged"), &spool] {
            disk::make_folder(path)?;
        }
        let mut store = Self { folder, spool, entries: BTreeMap::new(), uploads: BTreeMap::new() };
        store.load(&store.folder.clone(), State::Waiting)?;
        store.load(&store.folder.join("refused"), State::Refused)?;
        store.tidy_spool()?;
        Ok(store)
    }

    fn load(&mut self, folder: &Path, state: State) -> Result<(), AgentError> {
        for path in disk::files_of(folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let order = name.split_once('-').and_then(|(order, _)| order.parse::<u64>().ok());
            let bytes = std::fs::read(&path).map_err(AgentError::disk("read", &path))?;
            let record = serde_json::from_slice::<Record>(&bytes);
            let reason = match (record, order) {
                (Ok(record), Some(order)) if record.version <= VERSION => {
                    let crash = crash_of(&record.entry.what);
                    if crash.is_none_or(|crash| self.bytes_of(crash).exists() || state == State::Refused) {
                        if let Some(crash) = crash.filter(|_| state == State::Waiting) {
                            self.uploads.insert(crash, Upload::Needed);
                        }
                        self.entries.insert(order, Kept { path, record, state });
                        continue;
                    }
                    "its bytes are not in the spool; the phone still has them".to_owned()
                }
                (Ok(record), Some(_)) => format!("it has version {}", record.version),
                (Ok(_), None) => "its name has no number".to_owned(),
                (Err(error), _) => error.to_string(),
            };
            self.set_aside(&path, &reason)?;
        }
        Ok(())
    }

    /// Bytes that no entry names were pulled but never recorded: the phone still has them.
    fn tidy_spool(&self) -> Result<(), AgentError> {
        let named: BTreeSet<String> =
            self.entries.values().filter_map(|kept| crash_of(&kept.record.entry.what)).map(hex).collect();
        for path in disk::files_of(&self.spool)? {
            if path.file_name().and_then(|name| name.to_str()).is_none_or(|name| !named.contains(name)) {
                disk::remove(&path)?;
            }
        }
        Ok(())
    }

    fn set_aside(&self, path: &Path, reason: &str) -> Result<(), AgentError> {
        tracing::warn!(path = %path.display(), reason, "an outbox entry cannot be used; it is set aside");
        let name = path.file_name().unwrap_or_default();
        disk::rename_durable(path, &self.folder.join("damaged").join(name))
    }

    pub(super) fn spool(&self) -> &Path {
        &self.spool
    }

    pub(super) fn bytes_of(&self, crash: CrashId) -> PathBuf {
        self.spool.join(hex(crash))
    }

    pub(super) fn append(&mut self, what: OutboxItem, pulled: Option<Pulled>) -> Result<EntryId, AgentError> {
        let crash = crash_of(&what);
        if let (Some(crash), Some(pulled)) = (crash, &pulled) {
            disk::rename_durable(&pulled.bytes, &self.bytes_of(crash))?;
        }
        let id = new_entry_id()?;
        let order = self.entries.last_key_value().map_or(1, |(order, _)| order + 1);
        let path = self.folder.join(format!("{order:020}-{id}.json"));
        let entry = OutboxEntry { id: id.clone(), what };
        let record =
            Record { version: VERSION, entry, file: pulled.map(|pulled| pulled.file), refused: None };
        write(&path, &record)?;
        self.entries.insert(order, Kept { path, record, state: State::Waiting });
        if let Some(crash) = crash {
            self.uploads.entry(crash).or_insert(Upload::Needed);
        }
        Ok(id)
    }

    pub(super) fn ready(&self, limit: usize) -> Vec<OutboxEntry> {
        let is_ready = |kept: &&Kept| {
            let crash = crash_of(&kept.record.entry.what);
            kept.state == State::Waiting
                && crash.is_none_or(|crash| self.uploads.get(&crash) == Some(&Upload::Done))
        };
        // Thousands of files of one phone must hold up no report, and no file of another phone.
        let mut turns: BTreeMap<&Udid, usize> = BTreeMap::new();
        let mut ready: Vec<(usize, &Kept)> = self
            .entries
            .values()
            .filter(is_ready)
            .map(|kept| match &kept.record.entry.what {
                OutboxItem::AttemptEnded { .. } => (0, kept),
                OutboxItem::CrashTaken { origin } => {
                    let turn = turns.entry(&origin.phone).or_default();
                    *turn += 1;
                    (*turn, kept)
                }
            })
            .collect();
        ready.sort_by_key(|(turn, _)| *turn);
        ready.into_iter().take(limit).map(|(_, kept)| kept.record.entry.clone()).collect()
    }

    /// Crash files that wait, by phone. Those that the daemon refused are kept for people and do not count.
    pub(super) fn crashes(&self) -> BTreeMap<Udid, Spooled> {
        let mut crashes: BTreeMap<Udid, Spooled> = BTreeMap::new();
        for kept in self.entries.values().filter(|kept| kept.state != State::Refused) {
            if let OutboxItem::CrashTaken { origin } = &kept.record.entry.what {
                let spooled = crashes.entry(origin.phone.clone()).or_default();
                spooled.files += 1;
                spooled.bytes = spooled.bytes.saturating_add(origin.size_bytes);
            }
        }
        crashes
    }

    /// Phones of which a report waits. One that the daemon refused is done with.
    pub(super) fn unreported(&self) -> BTreeSet<Udid> {
        let waits = self.entries.values().filter(|kept| kept.state == State::Waiting);
        waits
            .filter_map(|kept| match &kept.record.entry.what {
                OutboxItem::AttemptEnded { report } => Some(report.phone.clone()),
                OutboxItem::CrashTaken { .. } => None,
            })
            .collect()
    }

    pub(super) fn waiting(&self) -> usize {
        self.entries.values().filter(|kept| kept.state != State::Refused).count()
    }

    pub(super) fn settle(&mut self, ids: &[EntryId]) -> Vec<Settled> {
        let mut settled = Vec::new();
        for id in ids {
            let Some(order) = self.order_of(id) else { continue };
            let Some(kept) = self.entries.get_mut(&order) else { continue };
            match (&kept.record.entry.what, &kept.record.file) {
                (OutboxItem::CrashTaken { origin }, Some(file)) => {
                    kept.state = State::Settled;
                    let (phone, crash) = (origin.phone.clone(), origin.id);
                    settled.push(Settled { id: id.clone(), phone, file: file.clone(), crash });
                }
                (OutboxItem::CrashTaken { .. } | OutboxItem::AttemptEnded { .. }, _) => self.forget(id),
            }
        }
        settled
    }

    /// Forgets an entry, and its bytes when no other entry names them.
    pub(super) fn forget(&mut self, id: &EntryId) {
        let Some(kept) = self.order_of(id).and_then(|order| self.entries.remove(&order)) else { return };
        if let Err(error) = disk::remove(&kept.path) {
            // It is said again after the next start, which is harmless.
            tracing::warn!(%error, "a confirmed entry could not be removed");
        }
        if let Some(crash) = crash_of(&kept.record.entry.what) {
            self.drop_bytes_unless_named(crash);
        }
    }

    pub(super) fn refuse(&mut self, id: &EntryId, reason: &str) {
        let Some(order) = self.order_of(id) else { return };
        let refused = self.folder.join("refused");
        let Some(kept) = self.entries.get_mut(&order) else { return };
        // An entry that was on its way twice is answered twice; the first answer counts.
        if kept.state != State::Waiting {
            return;
        }
        tracing::warn!(entry = %id, reason, path = %refused.display(), "the daemon refused an entry; it is kept");
        kept.record.refused = Some(reason.to_owned());
        kept.state = State::Refused;
        let path = refused.join(kept.path.file_name().unwrap_or_default());
        let moved = write(&path, &kept.record).and_then(|()| disk::remove(&kept.path));
        match moved {
            Ok(()) => kept.path = path,
            Err(error) => tracing::warn!(%error, "a refused entry could not be set aside"),
        }
    }

    pub(super) fn pending(&self, phone: &Udid) -> Vec<Taken> {
        let of_phone = |kept: &Kept| match (&kept.record.entry.what, &kept.record.file) {
            (OutboxItem::CrashTaken { origin }, Some(file)) if origin.phone == *phone => {
                Some(Taken { file: file.clone(), crash: origin.id, confirmed: false })
            }
            _ => None,
        };
        self.entries.values().filter_map(of_phone).collect()
    }

    pub(super) fn has_report(&self, attempt: AttemptId, lease: LeaseNumber) -> bool {
        self.entries.values().any(|kept| match &kept.record.entry.what {
            OutboxItem::AttemptEnded { report } => report.attempt == attempt && report.lease == lease,
            OutboxItem::CrashTaken { .. } => false,
        })
    }

    /// Up to `limit` crashes whose bytes have to go; they count as under way from now on.
    pub(super) fn start_uploads(&mut self, limit: usize) -> Vec<CrashId> {
        let needed = self.uploads.iter_mut().filter(|(_, upload)| **upload == Upload::Needed).take(limit);
        needed
            .map(|(crash, upload)| {
                *upload = Upload::UnderWay;
                *crash
            })
            .collect()
    }

    pub(super) fn uploaded(&mut self, crash: CrashId) {
        self.uploads.insert(crash, Upload::Done);
        self.drop_bytes_unless_named(crash);
    }

    /// Whatever was put is to be looked for again; what the daemon still has is not sent twice.
    pub(super) fn bytes_again(&mut self) {
        for upload in self.uploads.values_mut().filter(|upload| **upload == Upload::Done) {
            *upload = Upload::Needed;
        }
    }

    pub(super) fn upload_failed(&mut self, crash: CrashId) {
        self.uploads.insert(crash, Upload::Needed);
        self.drop_bytes_unless_named(crash);
    }

    /// The bytes in the spool are not what was pulled: the entries are set aside, and the file is taken again.
    pub(super) fn damaged_bytes(&mut self, crash: CrashId, reason: &str) {
        let named: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, kept)| {
                crash_of(&kept.record.entry.what) == Some(crash) && kept.state == State::Waiting
            })
            .map(|(order, _)| *order)
            .collect();
        for kept in named.iter().filter_map(|order| self.entries.remove(order)).collect::<Vec<Kept>>() {
            if let Err(error) = self.set_aside(&kept.path, reason) {
                tracing::warn!(%error, "a damaged entry could not be set aside");
            }
        }
        self.drop_bytes_unless_named(crash);
    }

    fn drop_bytes_unless_named(&mut self, crash: CrashId) {
        let is_named = self.entries.values().any(|kept| crash_of(&kept.record.entry.what) == Some(crash));
        if !is_named {
            self.uploads.remove(&crash);
            if let Err(error) = disk::remove(&self.bytes_of(crash)) {
                tracing::warn!(%error, "bytes in the spool could not be removed");
            }
        }
    }

    fn order_of(&self, id: &EntryId) -> Option<u64> {
        self.entries.iter().find(|(_, kept)| kept.record.entry.id == *id).map(|(order, _)| *order)
    }
}

fn write(path: &Path, record: &Record) -> Result<(), AgentError> {
    let bytes = serde_json::to_vec(record).map_err(|error| AgentError::Disk {
        operation: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    disk::write_durable(path, &bytes)
}

fn crash_of(what: &OutboxItem) -> Option<CrashId> {
    match what {
        OutboxItem::CrashTaken { origin } => Some(origin.id),
        OutboxItem::AttemptEnded { .. } => None,
    }
}

fn hex(crash: CrashId) -> String {
    crash.to_string()
}

fn new_entry_id() -> Result<EntryId, AgentError> {
    format!("{}{}", disk::random_name(), disk::random_name()).parse().map_err(|error| AgentError::Disk {
        operation: "name an entry in",
        path: "outbox".into(),
        source: std::io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use holdfast_wire::crash::CrashOrigin;
    use holdfast_wire::outcome::{AttemptEnd, AttemptReport};
    use holdfast_wire::time::Time;

    use super::*;

    fn report(attempt: &str) -> OutboxItem {
        let report = AttemptReport {
            attempt: attempt.parse().unwrap(),
            phone: "phone".parse().unwrap(),
            lease: LeaseNumber(1),
            end: AttemptEnd::Passed,
            cases: Vec::new(),
            crashes: Vec::new(),
            started_at: Time::from_unix_ms(1),
            ended_at: Time::from_unix_ms(2),
        };
        OutboxItem::AttemptEnded { report }
    }

    fn crash(store: &Store, path: &str, bytes: &[u8]) -> (OutboxItem, Option<Pulled>) {
        let temporary = store.spool().join("x.tmp");
        std::fs::write(&temporary, bytes).unwrap();
        let origin = CrashOrigin {
            id: CrashId::new(*blake3::hash(bytes).as_bytes()),
            phone: "phone".parse().unwrap(),
            rack: "rack".parse().unwrap(),
            path: path.to_owned(),
            size_bytes: bytes.len() as u64,
            collected_at: Time::from_unix_ms(3),
            attempt: None,
            case: None,
        };
        let file = CrashFile { path: path.to_owned(), size_bytes: bytes.len() as u64, modified_ns: 5 };
        (OutboxItem::CrashTaken { origin }, Some(Pulled { file, bytes: temporary }))
    }

    fn spooled(store: &Store) -> usize {
        std::fs::read_dir(store.spool()).unwrap().count()
    }

    /// A report is said before thousands of files, and a file of another phone before most of them.
    #[test]
    fn a_storm_of_one_phone_holds_up_no_report_and_no_other_phone() {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store::open(data.path()).unwrap();
        let taken = |store: &mut Store, phone: &str, name: &str| {
            let (mut item, pulled) = crash(store, name, name.as_bytes());
            if let OutboxItem::CrashTaken { origin } = &mut item {
                origin.phone = phone.parse().unwrap();
            }
            store.append(item, pulled).unwrap();
        };
        for name in ["a1", "a2", "a3", "a4"] {
            taken(&mut store, "stormy", name);
        }
        taken(&mut store, "calm", "b1");
        store.append(report("J1.1"), None).unwrap();
        for crash in store.start_uploads(9) {
            store.uploaded(crash);
        }
        let words = |limit| -> Vec<String> {
            let word = |entry: OutboxEntry| match entry.what {
                OutboxItem::AttemptEnded { report } => report.attempt.to_string(),
                OutboxItem::CrashTaken { origin } => origin.path,
            };
            store.ready(limit).into_iter().map(word).collect()
        };
        assert_eq!(words(9), ["J1.1", "a1", "b1", "a2", "a3", "a4"]);
        assert_eq!(words(3), ["J1.1", "a1", "b1"]);
        let spooled: Vec<(String, usize, u64)> =
            store.crashes().iter().map(|(phone, one)| (phone.to_string(), one.files, one.bytes)).collect();
        assert_eq!(spooled, [("calm".to_owned(), 1, 2), ("stormy".to_owned(), 4, 8)]);
    }

    #[test]
    fn entries_are_there_in_order_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store::open(data.path()).unwrap();
        let first = store.append(report("J1.1"), None).unwrap();
        let (item, pulled) = crash(&store, "a.ips", b"aaa");
        store.append(item, pulled).unwrap();
        let third = store.append(report("J2.1"), None).unwrap();
        let mut store = Store::open(data.path()).unwrap();
        let ids = |store: &Store| store.ready(9).iter().map(|entry| entry.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&store), [first.clone(), third], "a crash is not said before its bytes are there");
        let needed = store.start_uploads(9);
        store.uploaded(needed[0]);
        assert_eq!(store.ready(9).len(), 3);
        assert_eq!(store.settle(&[first]), []);
        assert_eq!((store.ready(9).len(), store.waiting()), (2, 2));
    }

    #[test]
    fn twins_share_their_bytes_until_both_are_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store::open(data.path()).unwrap();
        let ids: Vec<EntryId> = ["a.ips", "a.ips.synced"]
            .into_iter()
            .map(|path| {
                let (item, pulled) = crash(&store, path, b"same");
                store.append(item, pulled).unwrap()
            })
            .collect();
        assert_eq!((spooled(&store), store.start_uploads(9).len()), (1, 1));
        assert_eq!(store.settle(&ids).len(), 2);
        assert_eq!((store.ready(9).len(), store.waiting()), (0, 2), "what is settled is not said again");
        store.forget(&ids[0]);
        assert_eq!(spooled(&store), 1);
        store.forget(&ids[1]);
        assert_eq!(spooled(&store), 0);
    }

    #[test]
    fn what_is_refused_is_kept_and_not_taken_again() {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store::open(data.path()).unwrap();
        let (item, pulled) = crash(&store, "a.ips", b"aaa");
        let id = store.append(item, pulled).unwrap();
        store.refuse(&id, "no");
        store.refuse(&id, "no, said again");
        let store = Store::open(data.path()).unwrap();
        assert_eq!((store.waiting(), store.pending(&"phone".parse().unwrap()).len()), (0, 1));
        assert_eq!(std::fs::read_dir(data.path().join("outbox/refused")).unwrap().count(), 1);
    }

    #[test]
    fn damaged_bytes_are_set_aside_so_that_the_file_is_taken_again() {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store::open(data.path()).unwrap();
        let (item, pulled) = crash(&store, "a.ips", b"aaa");
        store.append(item, pulled).unwrap();
        let needed = store.start_uploads(1);
        store.damaged_bytes(needed[0], "another hash");
        assert_eq!((store.waiting(), spooled(&store)), (0, 0));
        assert_eq!(store.pending(&"phone".parse().unwrap()), []);
    }

    #[test]
    fn an_end_at_any_byte_of_any_file_leaves_a_usable_outbox() {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store::open(data.path()).unwrap();
        store.append(report("J1.1"), None).unwrap();
        let (item, pulled) = crash(&store, "a.ips", b"aaa");
        store.append(item, pulled).unwrap();
        store.append(report("J2.1"), None).unwrap();
        let files: Vec<PathBuf> = disk::files_of(&data.path().join("outbox")).unwrap();
        assert_eq!(files.len(), 3);
        for path in &files {
            let whole = std::fs::read(path).unwrap();
            for cut in 0..whole.len() {
                // As a kill between write and rename would leave it: half of it, under the temporary name.
                std::fs::write(disk::temporary_of(path), &whole[..cut]).unwrap();
                let store = Store::open(data.path()).unwrap();
                assert_eq!(store.waiting(), 3, "{} half-written at {cut}", path.display());
                assert!(!disk::temporary_of(path).exists());
            }
            for cut in 0..whole.len() {
                // As a disk that lies about its syncs would leave it: the others are not disturbed.
                std::fs::write(path, &whole[..cut]).unwrap();
                let store = Store::open(data.path()).unwrap();
                assert_eq!(store.waiting(), 2, "{} cut at {cut}", path.display());
                assert!(!path.exists(), "it was set aside");
                // The bytes of a set-aside crash entry are gone from the spool: the phone still has them.
                std::fs::write(path, &whole).unwrap();
                std::fs::write(
                    data.path().join("spool").join(blake3::hash(b"aaa").to_hex().as_str()),
                    b"aaa",
                )
                .unwrap();
            }
        }
        assert_eq!(Store::open(data.path()).unwrap().waiting(), 3);
    }
}
