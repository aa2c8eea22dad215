//! The store's folder: its lock, the place where a database is built before it counts, and the copy
//! that is put aside when one can't be read. What is inside a database is the business of `engine`.
//!
//! ```text
//! lock               who has the store open
//! sled/              the database
//! sled.creating/     one being built; without meaning until it is renamed
//! sled.old/          the one before a compaction; only between two renames
//! sled.damaged-1/    a copy of one that could not be read
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// Copies of damaged databases that are kept. A service manager that restarts a failing daemon for
/// ever must not fill the disk.
const COPIES_MAX: usize = 3;

/// An opened and locked folder. The lock ends when this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Drop for Folder {
    /// Unlocked in so many words: a child process that is just being started shares the open file until
    /// it runs its own program, and closing our side alone would leave the lock with it.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not unlock the store's folder");
        }
    }
}

impl Folder {
    /// Makes the folder if need be, takes its lock and settles what an interrupted run left behind.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::file("create the store's folder", path))?;
        let lock = take_lock(path)?;
        let folder = Self { path: path.to_owned(), lock };
        folder.settle()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database is, or will be.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("sled")
    }

    /// Where a new database is built.
    pub(super) fn creating(&self) -> PathBuf {
        self.path.join("sled.creating")
    }

    /// Gives the finished database in `creating` its name, in place of the present one if there is one.
    pub(super) fn adopt(&self) -> Result<(), StoreError> {
        let (creating, database, old) = (self.creating(), self.database(), self.old());
        sync_tree(&creating)?;
        if database.exists() {
            fs::rename(&database, &old).map_err(StoreError::file("move away", &database))?;
        }
        fs::rename(&creating, &database).map_err(StoreError::file("move into place", &creating))?;
        sync_folder(&self.path)?;
        remove(&old)
    }

    /// Removes snapshots that were not finished: sled takes the last name in order for the newest, and
    /// an unfinished one then makes the database unopenable. A finished one has been renamed.
    pub(super) fn remove_unfinished_snapshots(&self) -> Result<(), StoreError> {
        let database = self.database();
        for entry in fs::read_dir(&database).map_err(StoreError::file("list", &database))? {
            let path = entry.map_err(StoreError::file("list", &database))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                fs::remove_file(&path).map_err(StoreError::file("remove the unfinished snapshot", &path))?;
            }
        }
        Ok(())
    }

    /// Copies the database aside before anyone tries to mend it; `None` when that did not work or
    /// enough copies are there, because the refusal to open matters more.
    pub(super) fn copy_aside(&self) -> Option<PathBuf> {
        let free =
            (1..=COPIES_MAX).map(|n| self.path.join(format!("sled.damaged-{n}"))).find(|to| !to.exists());
        let Some(to) = free else { return Some(self.path.join(format!("sled.damaged-{COPIES_MAX}"))) };
        let partial = self.path.join("sled.damaged.tmp");
        let copied = remove(&partial)
            .and_then(|()| {
                copy_tree(&self.database(), &partial).map_err(StoreError::file("copy to", &partial))
            })
            .and_then(|()| fs::rename(&partial, &to).map_err(StoreError::file("rename", &partial)));
        match copied {
            Ok(()) => Some(to),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not copy the damaged store aside"
                );
                // What could not be copied whole only takes space.
                drop(remove(&partial));
                None
            }
        }
    }

    /// Between the two renames of `adopt` there is no `sled/`; nothing was committed since, so the old
    /// one is as good as the new and is known to be complete.
    fn settle(&self) -> Result<(), StoreError> {
        let (database, old) = (self.database(), self.old());
        if !database.exists() && old.exists() {
            fs::rename(&old, &database).map_err(StoreError::file("move back", &old))?;
        }
        remove(&old)?;
        remove(&self.creating())
    }

    fn old(&self) -> PathBuf {
        self.path.join("sled.old")
    }
}

/// Makes the names inside a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::file("sync", path))
}

/// Makes a folder and all files in it durable.
pub(super) fn sync_tree(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(StoreError::file("list", path))? {
        let entry = entry.map_err(StoreError::file("list", path))?;
        let kind = entry.file_type().map_err(StoreError::file("look at", entry.path()))?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            let synced = File::open(entry.path()).and_then(|file| file.sync_all());
            synced.map_err(StoreError::file("sync", entry.path()))?;
        }
    }
    sync_folder(path)
}

fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    // Not truncated: until the lock is ours, the file names its holder.
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut lock = opened.map_err(StoreError::file("open the lock file", &path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = lock.read_to_string(&mut holder);
            let known = read.is_ok() && !holder.trim().is_empty();
            let holder = if known { holder.trim().to_owned() } else { "unknown".to_owned() };
            return Err(StoreError::Locked { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => {
            return Err(StoreError::File { action: "lock", path, source });
        }
    }
    let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    written.map_err(StoreError::file("write the lock file", &path))?;
    Ok(lock)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::File { action: "remove", path: path.to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
