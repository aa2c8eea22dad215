//! Bytes named by their BLAKE3 hash: builds, symbols, crash files, reports. Written to a temporary name, synced,
//! renamed, and the folder synced: whoever is told of a blob can rely on it. What the bytes mean is not here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt};
use holdfast_wire::id::BlobHash;
use tokio::sync::mpsc;

/// Chunks between the network and the disk: enough to keep both busy, little memory for each upload.
const CHUNKS_WAITING_MAX: usize = 8;

/// Where unfinished writes lie.
const TEMPORARY: &str = "tmp";

/// Why bytes could not be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// More bytes came than are allowed.
    #[error(
        "the upload has more than {allowed} bytes; send a smaller file or raise the limit in holdfastd.yaml"
    )]
    TooLarge {
        /// How many are allowed.
        allowed: u64,
    },
    /// The bytes are not the ones that were announced.
    #[error("the bytes have the hash {found}, and {announced} was announced; send the file again")]
    OtherBytes {
        /// What came.
        found: BlobHash,
        /// What was announced.
        announced: BlobHash,
    },
    /// The sender stopped in the middle.
    #[error("the upload broke off: {what}; send the file again")]
    BrokenOff {
        /// What the connection says.
        what: String,
    },
    /// The disk is full.
    #[error("the daemon's disk is full; free some room in its data folder")]
    DiskFull,
    /// The disk does not serve.
    #[error("cannot {operation} {path} in the daemon's data folder")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl BlobError {
    fn disk(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Disk { operation, path, cause },
        }
    }
}

/// A blob that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub hash: BlobHash,
    /// Its bytes.
    pub size_bytes: u64,
    /// Whether it had been there before.
    pub presence: Presence,
}

/// Whether a blob had been there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is new.
    New,
    /// It was there.
    Known,
}

/// The folder of blobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: Arc<PathBuf>,
    /// Numbers for temporary names; the folder is this process's alone.
    next: Arc<AtomicU64>,
    durable: Arc<Mutex<Durable>>,
}

/// What is known of renames, which a power cut could undo until their folder is synced.
#[derive(Debug, Default)]
struct Durable {
    /// Folders that were synced since the start: what a process before renamed there is durable.
    folders: BTreeSet<PathBuf>,
    /// Blobs that are being renamed, or whose folder could not be synced.
    arriving: BTreeSet<BlobHash>,
}

impl Blobs {
    /// Opens the folder, makes it when it is not there, and removes what a killed process left unfinished.
    ///
    /// # Errors
    /// The disk does not serve.
    pub fn open(folder: &Path) -> Result<Self, BlobError> {
        let temporary = folder.join(TEMPORARY);
        std::fs::create_dir_all(&temporary).map_err(BlobError::disk("make", &temporary))?;
        let entries = std::fs::read_dir(&temporary).map_err(BlobError::disk("list", &temporary))?;
        for entry in entries {
            let path = entry.map_err(BlobError::disk("list", &temporary))?.path();
            std::fs::remove_file(&path).map_err(BlobError::disk("remove", &path))?;
        }
        sync_folder(folder)?;
        Ok(Self { folder: Arc::new(folder.to_owned()), next: Arc::default(), durable: Arc::default() })
    }

    /// Where a blob lies, whether or not it is there.
    pub fn path(&self, hash: &BlobHash) -> PathBuf {
        let name = hash.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    /// The bytes of a blob; none when it is not there.
    ///
    /// # Errors
    /// The disk does not serve.
    pub fn size(&self, hash: &BlobHash) -> Result<Option<u64>, BlobError> {
        let path = self.path(hash);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlobError::disk("look at", &path)(error)),
        }
    }

    /// A blob, whole; none when it is not there. For what is known to be small.
    ///
    /// # Errors
    /// The disk does not serve.
    pub fn read(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(hash);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlobError::disk("read", &path)(error)),
        }
    }

    /// Keeps bytes that are in memory. Blocks on the disk.
    ///
    /// # Errors
    /// The disk is full or does not serve.
    pub fn keep(&self, bytes: &[u8]) -> Result<Kept, BlobError> {
        let mut writing = self.begin(u64::MAX)?;
        writing.write(bytes)?;
        writing.finish(None)
    }

    /// Keeps what a stream brings, at most `bytes_max`; with `announced`, only if the bytes have that hash.
    ///
    /// # Errors
    /// Too large, other bytes, broken off, disk.
    pub async fn keep_stream<B, E>(
        &self,
        stream: impl Stream<Item = Result<B, E>> + Send,
        bytes_max: u64,
        announced: Option<BlobHash>,
    ) -> Result<Kept, BlobError>
    where
        B: AsRef<[u8]> + Send + 'static,
        E: std::fmt::Display,
    {
        let (chunks, mut arriving) = mpsc::channel::<B>(CHUNKS_WAITING_MAX);
        let (whole, is_whole) = tokio::sync::oneshot::channel::<()>();
        let blobs = self.clone();
        // Making a file, hashing and syncing block, so they have a thread of their own, and the network waits for it.
        let written = tokio::task::spawn_blocking(move || {
            let mut writing = blobs.begin(bytes_max)?;
            while let Some(chunk) = arriving.blocking_recv() {
                writing.write(chunk.as_ref())?;
            }
            // A sender that went away says nothing; its bytes are not to be kept.
            is_whole
                .blocking_recv()
                .map_err(|_| BlobError::BrokenOff { what: "the sender went away".to_owned() })?;
            writing.finish(announced)
        });
        let mut stream = std::pin::pin!(stream);
        let mut broken = None;
        while let Some(chunk) = stream.next().await {
            match chunk {
                // A writer that has given up says why below.
                Ok(chunk) => {
                    if chunks.send(chunk).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    broken = Some(BlobError::BrokenOff { what: error.to_string() });
                    break;
                }
            }
        }
        drop(chunks);
        match broken {
            Some(error) => {
                drop(whole);
                Err(error)
            }
            None => {
                // The writer has given up when nobody listens, and says why below.
                let _listening = whole.send(());
                written.await.unwrap_or_else(|error| Err(BlobError::BrokenOff { what: error.to_string() }))
            }
        }
    }

    /// Removes a blob; one that is not there is fine.
    ///
    /// # Errors
    /// The disk does not serve.
    pub fn remove(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let path = self.path(hash);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlobError::disk("remove", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn durable(&self) -> MutexGuard<'_, Durable> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, bytes_max: u64) -> Result<Writing, BlobError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(TEMPORARY).join(format!("{number}.part"));
        let file = File::create_new(&path).map_err(BlobError::disk("create", &path))?;
        let temporary = Temporary { path };
        Ok(Writing {
            blobs: self.clone(),
            file,
            temporary,
            hasher: blake3::Hasher::new(),
            size_bytes: 0,
            bytes_max,
        })
    }
}

impl Durable {
    /// Whether a blob that is in its folder stays there through a power cut.
    fn has(&self, folder: &Path, hash: &BlobHash) -> bool {
        self.folders.contains(folder) && !self.arriving.contains(hash)
    }

    fn synced(&mut self, folder: &Path) {
        if !self.folders.contains(folder) {
            self.folders.insert(folder.to_owned());
        }
    }
}

/// A file that is removed unless it has been renamed.
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove; a leftover goes at the next start.
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// A blob under way.
struct Writing {
    blobs: Blobs,
    file: File,
    temporary: Temporary,
    hasher: blake3::Hasher,
    size_bytes: u64,
    bytes_max: u64,
}

impl Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.bytes_max {
            return Err(BlobError::TooLarge { allowed: self.bytes_max });
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(BlobError::disk("write", &self.temporary.path))
    }

    fn finish(self, announced: Option<BlobHash>) -> Result<Kept, BlobError> {
        let hash = BlobHash::new(*self.hasher.finalize().as_bytes());
        if let Some(announced) = announced.filter(|announced| *announced != hash) {
            return Err(BlobError::OtherBytes { found: hash, announced });
        }
        let target = self.blobs.path(&hash);
        let folder = target.parent().unwrap_or(&self.blobs.folder);
        if target.is_file() {
            // A rename that a power cut could still undo must not be relied on.
            if !self.blobs.durable().has(folder, &hash) {
                sync_folder(folder)?;
                self.blobs.durable().synced(folder);
            }
            return Ok(Kept { hash, size_bytes: self.size_bytes, presence: Presence::Known });
        }
        self.file.sync_all().map_err(BlobError::disk("sync", &self.temporary.path))?;
        if !folder.is_dir() {
            std::fs::create_dir_all(folder).map_err(BlobError::disk("make", folder))?;
            sync_folder(&self.blobs.folder)?;
        }
        self.blobs.durable().arriving.insert(hash);
        std::fs::rename(&self.temporary.path, &target).map_err(BlobError::disk("rename to", &target))?;
        sync_folder(folder)?;
        let mut durable = self.blobs.durable();
        durable.arriving.remove(&hash);
        durable.synced(folder);
        Ok(Kept { hash, size_bytes: self.size_bytes, presence: Presence::New })
    }
}

fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    let opened = File::open(folder).map_err(BlobError::disk("open", folder))?;
    opened.sync_all().map_err(BlobError::disk("sync", folder))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn pieces(parts: &[&'static str]) -> impl Stream<Item = Result<&'static str, String>> + Send + use<> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(*part)).collect();
        futures_util::stream::iter(parts)
    }

    fn temporary_files(folder: &Path) -> usize {
        std::fs::read_dir(folder.join(TEMPORARY)).unwrap().count()
    }

    #[tokio::test]
    async fn bytes_are_kept_once_under_their_hash() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let first = blobs.keep_stream(pieces(&["ab", "c"]), 3, None).await.unwrap();
        assert_eq!(first.hash, BlobHash::new(*blake3::hash(b"abc").as_bytes()));
        assert_eq!((first.size_bytes, first.presence), (3, Presence::New));
        assert_eq!(blobs.read(&first.hash).unwrap().as_deref(), Some(b"abc".as_slice()));
        assert_eq!(blobs.keep(b"abc").unwrap(), Kept { presence: Presence::Known, ..first });
        assert_eq!(temporary_files(folder.path()), 0);
    }

    #[tokio::test]
    async fn what_is_too_large_other_or_broken_off_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let too_large = blobs.keep_stream(pieces(&["ab", "cd"]), 3, None).await;
        assert!(matches!(too_large, Err(BlobError::TooLarge { allowed: 3 })), "{too_large:?}");
        let other = blobs.keep_stream(pieces(&["ab"]), 3, Some(BlobHash::new([0; 32]))).await;
        assert!(matches!(other, Err(BlobError::OtherBytes { .. })), "{other:?}");
        let cut = futures_util::stream::iter([Ok("ab"), Err("cut".to_owned())]);
        let broken = blobs.keep_stream(cut, 3, None).await;
        assert!(matches!(broken, Err(BlobError::BrokenOff { .. })), "{broken:?}");
        assert_eq!(blobs.size(&BlobHash::new(*blake3::hash(b"ab").as_bytes())).unwrap(), None);
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let kept = blobs.keep(b"kept").unwrap();
        std::fs::write(folder.path().join(TEMPORARY).join("7.part"), b"half").unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        assert_eq!(temporary_files(folder.path()), 0);
        assert_eq!(blobs.size(&kept.hash).unwrap(), Some(4));
    }
}
