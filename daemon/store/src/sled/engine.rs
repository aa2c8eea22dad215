//! One sled database with the mends: opened with care, written durably, read whole once.
//! Who may open it and where it lies is the business of `folder`.

use std::fs::{self, File};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sled::{Batch, Db};

use super::folder::{self, Folder};
use super::records::{self, Assembly, StateRecord};
use crate::api::Revision;
use crate::error::StoreError;
use crate::key::Key;
use crate::state::{Fingerprint, Slot, State};

/// sled's page cache. Everything is in memory once already, so this only serves its own rewriting.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How long to wait for threads of a database closed just before in this process to let go of it.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// Bytes written to a new database in one batch.
const BUILD_BATCH_BYTES: usize = 1024 * 1024;

/// An open database. Never dropped by accident: after a fault, sled must not run again, not even to
/// clean up after itself.
pub(super) struct Engine {
    db: ManuallyDrop<Db>,
    /// Kept open: a failed sync is reported once per open file, so it must always be the same one.
    file: File,
}

/// What a changed key becomes, and how many chunks lie there already.
pub(super) struct Write<'a> {
    pub(super) key: &'a Key,
    pub(super) new: Option<&'a Slot>,
    pub(super) old_chunks: usize,
}

impl Engine {
    /// Opens the folder's database, which must exist, and reads it whole.
    pub(super) fn open(folder: &Folder) -> Result<(Self, State), StoreError> {
        folder.remove_unfinished_snapshots()?;
        let engine = Self::open_at(&folder.database(), folder)?;
        let state = match caught(|| load(&engine.db)) {
            Ok(Ok(state)) => state,
            Ok(Err(fault)) => {
                // sled itself is sound here, so that it can let go of its file.
                drop(engine.close());
                return Err(fault.refuse(folder));
            }
            Err(panic) => return Err(Fault::Damaged(panic).refuse(folder)),
        };
        // What opening itself wrote counts from here on.
        engine.sync().map_err(|reason| Fault::Other(reason).refuse(folder))?;
        folder::sync_folder(&folder.database())?;
        Ok((engine, state))
    }

    /// Builds a database with these contents in `creating`, durable but not yet in place.
    pub(super) fn build(folder: &Folder, state: &State) -> Result<(), StoreError> {
        let engine = Self::open_at(&folder.creating(), folder)?;
        let mut writes: Vec<Write<'_>> = Vec::new();
        let mut bytes = 0;
        let refuse = |reason| Fault::Other(reason).refuse(folder);
        for (key, slot) in state.iter() {
            writes.push(Write { key, new: Some(slot), old_chunks: 0 });
            bytes += key.len() + slot.value.len();
            if bytes > BUILD_BATCH_BYTES {
                engine.apply(&writes, None).map_err(refuse)?;
                writes.clear();
                bytes = 0;
            }
        }
        engine.apply(&writes, Some((state.revision, state.fingerprint()))).map_err(refuse)?;
        engine.sync().map_err(refuse)?;
        engine.close().map_err(refuse)
    }

    /// Writes a group and answers once it is on the disk. After an error nothing written since the
    /// last success may be trusted, and the engine must be forgotten.
    pub(super) fn commit(
        &self,
        writes: &[Write<'_>],
        revision: Revision,
        state: Fingerprint,
    ) -> Result<(), String> {
        self.apply(writes, Some((revision, state)))?;
        self.sync()
    }

    /// Bytes of the database file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Ends sled's work properly.
    pub(super) fn close(self) -> Result<(), String> {
        let Self { db, file } = self;
        caught(|| drop(ManuallyDrop::into_inner(db)))?;
        file.sync_all().map_err(|error| format!("the last sync failed: {error}"))
    }

    fn open_at(path: &Path, folder: &Folder) -> Result<Self, StoreError> {
        // No flusher thread: it rewrites pages between our syncs. `compact` gives space back instead.
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let deadline = Instant::now() + RELEASE_LIMIT;
        let db = loop {
            match caught(|| config.open()) {
                Ok(Ok(db)) => break db,
                // Only this process can hold it, because the folder's lock is ours.
                Ok(Err(sled::Error::Io(error)))
                    if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(Err(sled::Error::Io(source))) => {
                    return Err(StoreError::File {
                        action: "open the database",
                        path: path.to_owned(),
                        source,
                    });
                }
                Ok(Err(error)) => return Err(Fault::Damaged(format!("sled says: {error}")).refuse(folder)),
                Err(panic) => return Err(Fault::Damaged(panic).refuse(folder)),
            }
        };
        let file = path.join("db");
        let file =
            File::options().read(true).write(true).open(&file).map_err(StoreError::file("open", file))?;
        Ok(Self { db: ManuallyDrop::new(db), file })
    }

    fn apply(&self, writes: &[Write<'_>], state: Option<(Revision, Fingerprint)>) -> Result<(), String> {
        let mut batch = Batch::default();
        for write in writes {
            let record = write.new.map(records::record).unwrap_or_default();
            let mut written = 0;
            for chunk in records::cut(&record) {
                batch.insert(records::chunk_key(write.key, written), chunk);
                written += 1;
            }
            for chunk in written..write.old_chunks {
                batch.remove(records::chunk_key(write.key, chunk));
            }
        }
        if let Some((revision, fingerprint)) = state {
            batch.insert(records::STATE_KEY, records::state_record(revision, fingerprint));
        }
        caught(|| self.db.apply_batch(batch))?.map_err(|error| format!("sled cannot write: {error}"))
    }

    fn sync(&self) -> Result<(), String> {
        caught(|| self.db.flush())?.map_err(|error| format!("sled cannot flush: {error}"))?;
        self.file.sync_all().map_err(|error| format!("the database file cannot be synced: {error}"))
    }
}

/// Why a database can't be used.
enum Fault {
    Newer(u32),
    /// Its contents are wrong, in words.
    Damaged(String),
    /// The disk refused.
    Other(String),
}

impl Fault {
    fn refuse(self, folder: &Folder) -> StoreError {
        let path: PathBuf = folder.path().to_owned();
        match self {
            Self::Newer(found) => StoreError::Newer { folder: path, found, supported: records::FORMAT },
            Self::Damaged(detail) => StoreError::Damaged { folder: path, detail, copy: folder.copy_aside() },
            Self::Other(reason) => StoreError::Stopped { reason },
        }
    }
}

fn load(db: &Db) -> Result<State, Fault> {
    let damaged = |detail: String| Fault::Damaged(detail);
    let read = db.get(records::STATE_KEY).map_err(|error| damaged(format!("sled says: {error}")))?;
    let Some(record) = read else { return Err(damaged("the state record is missing".to_owned())) };
    let (revision, expected) = match records::read_state(&record) {
        StateRecord::Known(revision, fingerprint) => (revision, fingerprint),
        StateRecord::Newer(format) => return Err(Fault::Newer(format)),
        StateRecord::Damaged => return Err(damaged("the state record is damaged".to_owned())),
    };
    let mut state = State::at(revision);
    let mut assembly = Assembly::default();
    for item in db.iter() {
        let (sled_key, bytes) = item.map_err(|error| damaged(format!("sled says: {error}")))?;
        if sled_key == records::STATE_KEY {
            continue;
        }
        if let Some((key, slot)) = assembly.take(&sled_key, &bytes).map_err(damaged)? {
            state.set(key, Some(slot));
        }
    }
    assembly.finish().map_err(damaged)?;
    let found = state.fingerprint();
    if found != expected {
        return Err(damaged(format!(
            "{} entries of {} bytes were written as of revision {revision}, but {} of {} bytes, or other ones, are there",
            expected.entries, expected.bytes, found.entries, found.bytes
        )));
    }
    Ok(state)
}

/// Runs sled; a panic becomes words.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        format!("sled panicked: {words}")
    })
}

/// Whether a database was ever moved into place here.
pub(super) fn exists(folder: &Folder) -> bool {
    fs::symlink_metadata(folder.database()).is_ok()
}
