//! sled without our mends, or with only some of them: what the crash test must find faulty.

use std::fs::{self, File};
use std::path::Path;

use crate::workload::{Change, Contents};

/// Which mends are left on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mends {
    /// None: `flush` alone before an acknowledgement, as the library's documentation says.
    Nothing,
    /// The file is synced and unfinished snapshots are removed, but large values are not cut.
    AllButChunks,
}

/// A plain sled database.
#[derive(Debug)]
pub struct PlainStore {
    db: sled::Db,
    synced: Option<File>,
}

impl PlainStore {
    /// Opens or makes a database.
    ///
    /// # Errors
    /// What sled or the operating system says. sled may also panic.
    pub fn open(folder: &Path, mends: Mends) -> Result<Self, String> {
        if mends == Mends::Nothing {
            // Its own thread syncs twice a second, which would only hide how little `flush` does.
            let db = sled::Config::new().path(folder).flush_every_ms(None).open();
            return Ok(Self { db: db.map_err(|error| error.to_string())?, synced: None });
        }
        if let Ok(entries) = fs::read_dir(folder) {
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.extension().is_some_and(|extension| extension == "generating") {
                    fs::remove_file(path).map_err(|error| error.to_string())?;
                }
            }
        }
        let db = sled::Config::new().path(folder).flush_every_ms(None).open();
        let db = db.map_err(|error| error.to_string())?;
        let file = File::options().write(true).open(folder.join("db")).map_err(|error| error.to_string())?;
        for name in ["conf", "blobs", "."] {
            let synced = File::open(folder.join(name)).and_then(|file| file.sync_all());
            synced.map_err(|error| error.to_string())?;
        }
        Ok(Self { db, synced: Some(file) })
    }

    /// Commits changes in one batch and answers when they are what this store takes for durable.
    ///
    /// # Errors
    /// What sled or the operating system says.
    pub fn commit(&self, changes: Vec<Change>) -> Result<(), String> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(|error| error.to_string())?;
        self.db.flush().map_err(|error| error.to_string())?;
        match &self.synced {
            Some(file) => file.sync_all().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// Everything in it.
    ///
    /// # Errors
    /// What sled says.
    pub fn contents(&self) -> Result<Contents, String> {
        let items = self.db.iter().map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec())));
        items.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}
