//! Builds by hash on the rack: streamed from the daemon, hashed while they are written, dropped when room is
//! needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt;
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::id::BuildHash;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, Semaphore};

use crate::client::Client;
use crate::disk;
use crate::error::{AgentError, chain};

/// Builds that are fetched ahead at once: those of attempts that wait already must not share the line with more.
const FETCHES_AHEAD_AT_ONCE: usize = 1;

/// Builds on disk, shared by every phone's task.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    bytes_max: u64,
    client: Client,
    /// One door per build: whoever waits at it finds the build there when the download before it is done.
    doors: Mutex<BTreeMap<BuildHash, Arc<Mutex<()>>>>,
    shelf: Mutex<Shelf>,
    /// The turns of those that are fetched ahead.
    ahead: Semaphore,
}

#[derive(Debug, Default)]
struct Shelf {
    builds: BTreeMap<BuildHash, Shelved>,
    turn: u64,
}

#[derive(Debug)]
struct Shelved {
    size_bytes: u64,
    /// The turn of its last use.
    used: u64,
    pin: Arc<()>,
}

/// A build on the rack; it stays there as long as this is held.
#[derive(Debug)]
pub struct CachedBuild {
    /// The archive.
    pub path: PathBuf,
    _pin: Arc<()>,
}

impl Cache {
    /// Opens the folder; what lies there from before is used again.
    ///
    /// # Errors
    /// [`AgentError::Disk`].
    pub fn open(folder: &Path, bytes_max: u64, client: Client) -> Result<Self, AgentError> {
        disk::make_folder(folder)?;
        let mut found: Vec<(SystemTime, BuildHash, u64)> = Vec::new();
        for path in disk::files_of(folder)? {
            let hash = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let meta = path.metadata().map_err(AgentError::disk("read", &path))?;
            match hash {
                Some(hash) => {
                    found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), hash, meta.len()));
                }
                None => {
                    tracing::warn!(path = %path.display(), "a file in the cache is no build; it is left alone")
                }
            }
        }
        found.sort();
        let mut shelf = Shelf::default();
        for (_, hash, size_bytes) in found {
            shelf.turn += 1;
            let shelved = Shelved { size_bytes, used: shelf.turn, pin: Arc::new(()) };
            shelf.builds.insert(hash, shelved);
        }
        let inner = Inner {
            folder: folder.to_owned(),
            bytes_max,
            client,
            doors: Mutex::default(),
            shelf: Mutex::new(shelf),
            ahead: Semaphore::new(FETCHES_AHEAD_AT_ONCE),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The build, fetched when it is not here. `progress` is told per cent. Two who want the same build wait for
    /// one download.
    ///
    /// # Errors
    /// Unreachable, refused, hash, disk.
    pub async fn get(
        &self,
        build: &BuildIdentity,
        progress: &(dyn Fn(u8) + Send + Sync),
    ) -> Result<CachedBuild, AgentError> {
        let door = Arc::clone(self.inner.doors.lock().await.entry(build.hash).or_default());
        let _held = door.lock().await;
        if let Some(cached) = self.look_up(build.hash).await {
            return Ok(cached);
        }
        self.make_room(build.size_bytes).await?;
        let size_bytes = self.download(build, progress).await?;
        let mut shelf = self.inner.shelf.lock().await;
        shelf.turn += 1;
        let shelved = Shelved { size_bytes, used: shelf.turn, pin: Arc::new(()) };
        let cached = CachedBuild { path: self.path_of(build.hash), _pin: Arc::clone(&shelved.pin) };
        shelf.builds.insert(build.hash, shelved);
        Ok(cached)
    }

    /// The same for an attempt that is yet to come, after others of that kind. One that begins meanwhile and wants
    /// the same build waits for this download.
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub async fn get_ahead(&self, build: &BuildIdentity) -> Result<CachedBuild, AgentError> {
        // It is never closed; without a turn the build would only come earlier.
        let _turn = self.inner.ahead.acquire().await.ok();
        self.get(build, &|_percent| {}).await
    }

    fn path_of(&self, hash: BuildHash) -> PathBuf {
        self.inner.folder.join(format!("{hash}.ipa"))
    }

    async fn look_up(&self, hash: BuildHash) -> Option<CachedBuild> {
        let mut shelf = self.inner.shelf.lock().await;
        shelf.turn += 1;
        let turn = shelf.turn;
        let path = self.path_of(hash);
        let shelved = shelf.builds.get_mut(&hash)?;
        // Somebody may have tidied the folder by hand.
        if path.metadata().map(|meta| meta.len()).ok() != Some(shelved.size_bytes) {
            shelf.builds.remove(&hash);
            return None;
        }
        shelved.used = turn;
        Some(CachedBuild { path, _pin: Arc::clone(&shelved.pin) })
    }

    /// Drops builds that nobody holds, the one used longest ago first, until `wanted` bytes fit.
    async fn make_room(&self, wanted: u64) -> Result<(), AgentError> {
        let mut shelf = self.inner.shelf.lock().await;
        loop {
            let total: u64 = shelf.builds.values().map(|shelved| shelved.size_bytes).sum();
            if total.saturating_add(wanted) <= self.inner.bytes_max {
                return Ok(());
            }
            let idle = shelf.builds.iter().filter(|(_, shelved)| Arc::strong_count(&shelved.pin) == 1);
            let Some(oldest) = idle.min_by_key(|(_, shelved)| shelved.used).map(|(hash, _)| *hash) else {
                return Ok(());
            };
            disk::remove(&self.path_of(oldest))?;
            shelf.builds.remove(&oldest);
        }
    }

    async fn download(
        &self,
        build: &BuildIdentity,
        progress: &(dyn Fn(u8) + Send + Sync),
    ) -> Result<u64, AgentError> {
        let response = self.inner.client.get_blob(build.hash.into()).await?;
        let name = format!("{}-{}{}", build.hash.short(), disk::random_name(), disk::TEMPORARY);
        let temporary = Temporary(self.inner.folder.join(name));
        let mut file =
            tokio::fs::File::create(&temporary.0).await.map_err(AgentError::disk("create", &temporary.0))?;
        let (mut hasher, mut size, mut pieces) = (blake3::Hasher::new(), 0u64, response.bytes_stream());
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| AgentError::Unreachable {
                address: "the daemon (in the middle of a build)".to_owned(),
                what: chain(&error),
            })?;
            size += piece.len() as u64;
            if size > build.size_bytes {
                break;
            }
            hasher.update(&piece);
            file.write_all(&piece).await.map_err(AgentError::disk("write", &temporary.0))?;
            progress(u8::try_from(size * 100 / build.size_bytes.max(1)).unwrap_or(100));
        }
        let found = BuildHash::new(*hasher.finalize().as_bytes());
        if found != build.hash {
            let found = format!("{found}, {size} bytes of {}", build.size_bytes);
            return Err(AgentError::Hash { wanted: build.hash.to_string(), found });
        }
        file.sync_all().await.map_err(AgentError::disk("sync", &temporary.0))?;
        disk::rename_durable(&temporary.0, &self.path_of(build.hash))?;
        Ok(size)
    }
}

/// Removed when the download is dropped half-way.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _renamed_already = std::fs::remove_file(&self.0);
    }
}
