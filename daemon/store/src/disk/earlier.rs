//! Databases of earlier versions, which lay in sled: read once, checked as they always were, taken over into a journal.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::engine::{self, Engine};
use super::folder::Folder;
use crate::api::Revision;
use crate::error::StoreError;
use crate::key::{Key, show};
use crate::state::{Fingerprint, Slot, State, digest};

/// The only format there was.
const FORMAT: u32 = 1;

/// The key of the record that says what must be found.
const STATE_KEY: &[u8] = b"state";

/// First byte of every key that belongs to an entry.
const ENTRY: u8 = b'e';

const MAGIC: &[u8; 8] = b"holdfast";

/// Magic, format, revision, entries, bytes, sum.
const STATE_BODY_BYTES: usize = 8 + 4 + 8 + 8 + 8 + 16;

const DIGEST_BYTES: usize = 16;

/// Digest, version, length of the value.
const HEAD_BYTES: usize = DIGEST_BYTES + 8 + 4;

/// sled's page cache: the database is read from one end to the other.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Takes over the folder's earlier database if there is one and no journal yet. It happens as a whole or not at all.
pub(super) fn take_over(folder: &Folder) -> Result<(), StoreError> {
    let Some(path) = folder.earlier() else { return Ok(()) };
    if !engine::exists(folder) {
        let damaged = |detail| StoreError::Damaged {
            folder: folder.path().to_owned(),
            detail,
            copy: Some(path.clone()),
        };
        remove_unfinished_snapshots(&path)?;
        let state = match caught(|| load(&path)) {
            Ok(Ok(state)) => state,
            Ok(Err(Fault::Newer(found))) => {
                return Err(StoreError::Newer { folder: folder.path().to_owned(), found, supported: FORMAT });
            }
            Ok(Err(Fault::Damaged(detail))) | Err(detail) => return Err(damaged(detail)),
        };
        tracing::info!(entries = state.fingerprint().entries, "taking over a store of an earlier version");
        Engine::build(folder, &state)?;
        folder.adopt()?;
    }
    folder.forget_earlier()
}

/// sled takes the last name in order for the newest snapshot, and one that was not finished makes a database
/// unopenable. A finished one has been renamed.
fn remove_unfinished_snapshots(database: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(database).map_err(StoreError::file("list", database))? {
        let path = entry.map_err(StoreError::file("list", database))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(StoreError::file("remove the unfinished snapshot", &path))?;
        }
    }
    Ok(())
}

/// Why a database can't be read.
enum Fault {
    Newer(u32),
    Damaged(String),
}

fn load(path: &Path) -> Result<State, Fault> {
    let damaged = Fault::Damaged;
    let says = |error: sled::Error| Fault::Damaged(format!("sled says: {error}"));
    let db = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .open()
        .map_err(says)?;
    let Some(record) = db.get(STATE_KEY).map_err(says)? else {
        return Err(damaged("the state record is missing".to_owned()));
    };
    let (revision, expected) = read_state(&record)?;
    let mut state = State::at(revision);
    let mut open: Option<(Key, Vec<u8>)> = None;
    for item in db.iter() {
        let (sled_key, bytes) = item.map_err(says)?;
        if sled_key == STATE_KEY {
            continue;
        }
        let (key, chunk) =
            split_key(&sled_key).ok_or_else(|| damaged(format!("`{}` is not a record", show(&sled_key))))?;
        let mut record = match open.take() {
            Some((before, record)) if before == key => record,
            None if chunk == 0 => Vec::new(),
            Some(_) | None => {
                return Err(damaged(format!("the record of `{key}` or the one before is incomplete")));
            }
        };
        record.extend_from_slice(&bytes);
        let whole =
            value_bytes(&record).ok_or_else(|| damaged(format!("the record of `{key}` is cut short")))?;
        if record.len() < HEAD_BYTES + whole && bytes.len() == CHUNK_BYTES {
            open = Some((key, record));
            continue;
        }
        let slot = parse(&key, &record, whole)
            .ok_or_else(|| damaged(format!("the record of `{key}` is damaged")))?;
        state.set(key, Some(slot));
    }
    if open.is_some() || state.fingerprint() != expected {
        let found = state.fingerprint();
        return Err(damaged(format!(
            "{} entries of {} bytes were written as of revision {revision}, but {} of {} bytes, or other ones, are there",
            expected.entries, expected.bytes, found.entries, found.bytes
        )));
    }
    Ok(state)
}

/// Bytes of every chunk of a value but its last.
const CHUNK_BYTES: usize = 4096;

/// Reads the state record; the format first, because a newer one may look different after it.
fn read_state(bytes: &[u8]) -> Result<(Revision, Fingerprint), Fault> {
    let damaged = || Fault::Damaged("the state record is damaged".to_owned());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    match rest.first_chunk().map(|format| u32::from_be_bytes(*format)) {
        Some(FORMAT) => {}
        Some(format) if format > FORMAT => return Err(Fault::Newer(format)),
        Some(_) | None => return Err(damaged()),
    }
    let (body, check) = bytes.split_at_checked(STATE_BODY_BYTES).ok_or_else(damaged)?;
    let numbers = (|| {
        let (revision, rest) = rest.get(4..)?.split_first_chunk::<8>()?;
        let (entries, rest) = rest.split_first_chunk::<8>()?;
        let (bytes, rest) = rest.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<16>()?;
        let fingerprint = Fingerprint {
            entries: u64::from_be_bytes(*entries),
            bytes: u64::from_be_bytes(*bytes),
            sum: u128::from_be_bytes(*sum),
        };
        Some((Revision(u64::from_be_bytes(*revision)), fingerprint))
    })();
    let right = |revision| digest(STATE_KEY, body, revision).to_be_bytes() == *check;
    numbers.filter(|(revision, _)| right(*revision)).ok_or_else(damaged)
}

fn split_key(sled_key: &[u8]) -> Option<(Key, u16)> {
    let (key_bytes, rest) = sled_key.strip_prefix(&[ENTRY])?.split_first()?;
    let (key, chunk) = rest.split_at_checked(usize::from(*key_bytes))?;
    Some((Key::new(key).ok()?, u16::from_be_bytes(chunk.try_into().ok()?)))
}

fn value_bytes(record: &[u8]) -> Option<usize> {
    let length = record.get(DIGEST_BYTES + 8..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*length)).ok()
}

fn parse(key: &Key, record: &[u8], value_bytes: usize) -> Option<Slot> {
    let (check, rest) = record.split_first_chunk::<DIGEST_BYTES>()?;
    let (version, _) = rest.split_first_chunk::<8>()?;
    let value = record.get(HEAD_BYTES..)?;
    if value.len() != value_bytes {
        return None;
    }
    let slot = Slot::new(key, value.into(), Revision(u64::from_be_bytes(*version)));
    (slot.digest == u128::from_be_bytes(*check)).then_some(slot)
}

/// Runs sled; a panic becomes words.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        format!("sled panicked: {words}")
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    /// Threads of a database closed just before may hold its file a moment longer.
    fn open(path: &Path) -> sled::Db {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            match sled::open(path) {
                Ok(db) => return db,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            std::thread::yield_now();
        }
    }

    /// A database as the earlier version wrote it: chunks of 4096 bytes, and one record for the whole.
    fn earlier(path: &Path, state: &State) {
        let db = open(path);
        for (key, slot) in state.iter() {
            let mut record = slot.digest.to_be_bytes().to_vec();
            record.extend_from_slice(&slot.version.0.to_be_bytes());
            record.extend_from_slice(&u32::try_from(slot.value.len()).unwrap().to_be_bytes());
            record.extend_from_slice(&slot.value);
            for (chunk, bytes) in record.chunks(4096).enumerate() {
                let mut sled_key = vec![b'e', u8::try_from(key.len()).unwrap()];
                sled_key.extend_from_slice(key);
                sled_key.extend_from_slice(&u16::try_from(chunk).unwrap().to_be_bytes());
                db.insert(sled_key, bytes).unwrap();
            }
        }
        let found = state.fingerprint();
        let mut record = b"holdfast\0\0\0\x01".to_vec();
        record.extend_from_slice(&state.revision.0.to_be_bytes());
        record.extend_from_slice(&found.entries.to_be_bytes());
        record.extend_from_slice(&found.bytes.to_be_bytes());
        record.extend_from_slice(&found.sum.to_be_bytes());
        let check = digest(b"state", &record, state.revision);
        record.extend_from_slice(&check.to_be_bytes());
        db.insert("state", record).unwrap();
        db.flush().unwrap();
    }

    fn sample() -> State {
        let mut state = State::at(Revision(9));
        for (name, bytes) in
            [("build/a", 0), ("job/1", 4067), ("job/2", 4068), ("job/3", 8164), ("job/4", 32_768)]
        {
            let key = Key::new(name).unwrap();
            let slot = Slot::new(&key, vec![7; bytes].into(), Revision(8));
            state.set(key, Some(slot));
        }
        state
    }

    #[test]
    fn an_earlier_database_is_taken_over_whole_and_once() {
        let home = tempfile::tempdir().unwrap();
        earlier(&home.path().join("sled"), &sample());
        for _ in 0..2 {
            let folder = Folder::lock(home.path()).unwrap();
            take_over(&folder).unwrap();
            let (_, state) = Engine::open(&folder).unwrap();
            assert_eq!((state.revision, state.fingerprint()), (Revision(9), sample().fingerprint()));
        }
        assert!(!home.path().join("sled").exists());
    }

    #[test]
    fn a_damaged_earlier_database_stays_and_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sled");
        earlier(&path, &sample());
        open(&path).remove(b"e\x05job/1\0\0").unwrap();
        let folder = Folder::lock(home.path()).unwrap();
        let error = take_over(&folder).unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { detail, .. } if detail.contains("5 entries")),
            "{error}"
        );
        assert!(path.exists() && !home.path().join("journal").exists());
    }
}
