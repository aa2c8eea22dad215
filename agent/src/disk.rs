//! Durable writes and the lock of the data folder.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::AgentError;

/// Ends the name of a file that is being written; such a file means nothing and is removed at the next start.
pub const TEMPORARY: &str = ".tmp";

/// Writes a file so that after a crash either the old or the whole new one is there: temporary name, sync,
/// rename, sync of the folder.
///
/// # Errors
/// [`AgentError::Disk`].
pub fn write_durable(path: &Path, bytes: &[u8]) -> Result<(), AgentError> {
    let temporary = temporary_of(path);
    aside(|| {
        let mut file = File::create(&temporary).map_err(AgentError::disk("create", &temporary))?;
        file.write_all(bytes).map_err(AgentError::disk("write", &temporary))?;
        file.sync_all().map_err(AgentError::disk("sync", &temporary))?;
        drop(file);
        rename_durable(&temporary, path)
    })
}

/// Renames a file whose bytes are synced already, and syncs the folder.
///
/// # Errors
/// [`AgentError::Disk`].
pub fn rename_durable(from: &Path, to: &Path) -> Result<(), AgentError> {
    aside(|| {
        std::fs::rename(from, to).map_err(AgentError::disk("rename", from))?;
        sync_folder(to)
    })
}

/// Waits for the disk without holding up the tasks of other phones, which may be queued on this thread.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A runtime of one thread has nobody to hand its tasks to.
        Ok(_) | Err(_) => work(),
    }
}

/// Removes a file; one that is not there is fine.
///
/// # Errors
/// [`AgentError::Disk`].
pub fn remove(path: &Path) -> Result<(), AgentError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(AgentError::disk("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`AgentError::Disk`].
pub fn make_folder(path: &Path) -> Result<(), AgentError> {
    std::fs::create_dir_all(path).map_err(AgentError::disk("make folder", path))
}

/// The files of a folder, sorted by name; those with a temporary name are removed on the way.
///
/// # Errors
/// [`AgentError::Disk`].
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>, AgentError> {
    let entries = std::fs::read_dir(folder).map_err(AgentError::disk("list", folder))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(AgentError::disk("list", folder))?.path();
        if path.to_string_lossy().ends_with(TEMPORARY) {
            remove(&path)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The temporary name beside a path.
pub fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// A random name of 16 hexadecimal digits.
pub fn random_name() -> String {
    use std::fmt::Write as _;
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        // Only a kernel without randomness gets here; the clock still tells two names apart.
        bytes = jiff::Timestamp::now().as_nanosecond().to_le_bytes()[..8].try_into().unwrap_or_default();
    }
    bytes.iter().fold(String::with_capacity(16), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn sync_folder(path: &Path) -> Result<(), AgentError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let handle = File::open(folder).map_err(AgentError::disk("open", folder))?;
    handle.sync_all().map_err(AgentError::disk("sync", folder))
}

/// The data folder, held by this process alone until it ends, however it ends.
#[derive(Debug)]
pub struct FolderLock(File);

impl FolderLock {
    /// Takes the folder, making it when needed.
    ///
    /// # Errors
    /// [`AgentError::InUse`] when another process has it, [`AgentError::Disk`].
    pub fn take(folder: &Path) -> Result<Self, AgentError> {
        make_folder(folder)?;
        let path = folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(AgentError::disk("open", &path))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(AgentError::InUse { path: folder.to_owned() }),
            Err(errno) => Err(AgentError::disk("lock", &path)(errno.into())),
        }
    }

    /// Writes who holds it, for people.
    ///
    /// # Errors
    /// [`AgentError::Disk`].
    pub fn sign(&mut self) -> Result<(), AgentError> {
        self.0.set_len(0).map_err(AgentError::disk("write", "lock"))?;
        writeln!(self.0, "{}", std::process::id()).map_err(AgentError::disk("write", "lock"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    #[test]
    fn two_agents_never_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(AgentError::InUse { .. })));
        drop(lock);
        assert!(FolderLock::take(folder.path()).is_ok());
    }

    #[test]
    fn half_written_files_are_removed_and_whole_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json.tmp"), "{").unwrap();
        write_durable(&folder.path().join("b.json"), b"{}").unwrap();
        assert_eq!(files_of(folder.path()).unwrap(), [folder.path().join("b.json")]);
        assert!(!folder.path().join("a.json.tmp").exists());
    }
}
