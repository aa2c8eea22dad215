//! The handle that callers have: reads from memory, hands transactions to the writer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::engine::{self, Engine};
use super::folder::Folder;
use super::writer::{Commit, Request, Shared, StopOnPanic, Writer};
use crate::api::{Entry, Guard, Op, Page, Revision, Store};
use crate::error::StoreError;
use crate::key::Key;
use crate::plan;
use crate::state::State;
use crate::watch::Watch;

/// Transactions that may wait for the writer: a few groups. Callers beyond wait their turn.
const QUEUE_MAX: usize = 1024;

/// How long callers wait for the disk. One that needs longer is as good as dead.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one transaction, its turn in the queue included; then the store stops.
    pub commit: Duration,
    /// For opening, closing and compacting, which look at everything.
    pub whole: Duration,
}

impl Default for Limits {
    /// For disks that work: a million records need seconds to open.
    fn default() -> Self {
        Self { commit: Duration::from_secs(30), whole: Duration::from_secs(600) }
    }
}

/// A store on disk. Share it in an `Arc`. Needs a tokio runtime with time.
#[derive(Debug)]
pub struct SledStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Request>,
    limits: Limits,
}

/// Figures about a store on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Entries in it.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub live_bytes: u64,
    /// Bytes of the database file.
    pub file_bytes: u64,
}

impl SledStore {
    /// Opens the store in `folder`, or makes an empty one. Every record is checked.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Newer`], [`StoreError::Damaged`] (a copy has been put
    /// aside), [`StoreError::File`], [`StoreError::Stopped`] when sled can't write.
    pub async fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(folder, Limits::default()).await
    }

    /// Like [`SledStore::open`], with other limits.
    ///
    /// # Errors
    /// As [`SledStore::open`].
    pub async fn open_with(folder: impl AsRef<Path>, limits: Limits) -> Result<Self, StoreError> {
        let path = folder.as_ref().to_owned();
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let (answer, opened) = oneshot::channel();
        let work = move || match open_blocking(&path) {
            Ok((folder, engine, state)) => {
                let shared = Arc::new(Shared::new(state));
                let _stop = StopOnPanic(Arc::clone(&shared));
                let writer =
                    Writer { folder, shared: Arc::clone(&shared), queue: requests, engine: Some(engine) };
                if answer.send(Ok(shared)).is_ok() {
                    writer.run();
                }
            }
            Err(error) => drop(answer.send(Err(error))),
        };
        let spawned = std::thread::Builder::new().name("holdfast-store".to_owned()).spawn(work);
        spawned.map_err(StoreError::file("start the writer of", folder.as_ref()))?;
        let shared = match timeout(limits.whole, opened).await {
            Ok(Ok(shared)) => shared?,
            Ok(Err(_)) => return Err(stopped("opening it panicked")),
            Err(_) => return Err(stopped("opening it took too long")),
        };
        Ok(Self { shared, queue, limits })
    }

    /// How much is in the store and on the disk.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        let file_bytes = self.ask(Request::FileBytes).await?;
        let fingerprint = self.shared.read(State::fingerprint);
        Ok(Stats { entries: fingerprint.entries, live_bytes: fingerprint.bytes, file_bytes })
    }

    /// Rewrites the database without dead data; answers the bytes of the new file. Commits wait
    /// meanwhile, about a second per 50 MB of live data. Happens by itself when the file has grown
    /// to many times the live data.
    ///
    /// # Errors
    /// [`StoreError::Stopped`]; [`StoreError::File`] when there is no space, and the old database stays.
    pub async fn compact(&self) -> Result<u64, StoreError> {
        self.ask(Request::Compact).await?
    }

    /// Finishes what waits, closes the database and lets go of the folder, so that it can be opened
    /// again at once. Dropping the store does the same in the background.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store had stopped before.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.ask(Request::Close).await
    }

    /// A consistent copy of everything, for an export.
    pub(crate) fn snapshot(&self) -> State {
        self.shared.read(State::clone)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, StoreError> {
        let (answer, wait) = oneshot::channel();
        let asked = async {
            self.queue.send(request(answer)).await.ok()?;
            wait.await.ok()
        };
        match timeout(self.limits.whole, asked).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.shared.check().err().unwrap_or_else(|| stopped("it was closed"))),
            Err(_) => Err(stopped("its writer does not answer")),
        }
    }
}

impl Store for SledStore {
    async fn revision(&self) -> Result<Revision, StoreError> {
        self.shared.check()?;
        Ok(self.shared.read(|state| state.revision))
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.shared.check()?;
        Ok(self.shared.read(|state| state.get(key)))
    }

    async fn scan_prefix(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.shared.check()?;
        Ok(self.shared.read(|state| state.scan(prefix, after, limit)))
    }

    async fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.shared.check()?;
        Ok(self.shared.read(|state| state.last(prefix)))
    }

    async fn commit(&self, guards: Vec<Guard>, ops: Vec<Op>) -> Result<Revision, StoreError> {
        self.shared.check()?;
        let bytes = plan::measure(&guards, &ops)?;
        let (answer, wait) = oneshot::channel();
        let committed = async {
            self.queue.send(Request::Commit(Commit { guards, ops, bytes, answer })).await.ok()?;
            wait.await.ok()
        };
        match timeout(self.limits.commit, committed).await {
            Ok(Some(result)) => result,
            Ok(None) => Err(self.shared.check().err().unwrap_or_else(|| stopped("its writer is gone"))),
            Err(_) => {
                self.shared.stop("the disk did not answer in time");
                Err(self.shared.check().err().unwrap_or_else(|| stopped("the disk did not answer in time")))
            }
        }
    }

    async fn watch_prefix(&self, prefix: &[u8], from: Revision) -> Result<Watch, StoreError> {
        self.shared.check()?;
        self.shared.hub.watch(prefix, from)
    }
}

fn open_blocking(path: &Path) -> Result<(Folder, Engine, State), StoreError> {
    let folder = Folder::lock(path)?;
    if !engine::exists(&folder) {
        Engine::build(&folder, &State::default())?;
        folder.adopt()?;
    }
    let (engine, state) = Engine::open(&folder)?;
    Ok((folder, engine, state))
}

fn stopped(reason: &str) -> StoreError {
    StoreError::Stopped { reason: reason.to_owned() }
}
