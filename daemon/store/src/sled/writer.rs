//! The one thread that writes: gathers waiting transactions into a group, makes the group durable,
//! then shows it to readers and watchers and answers. Opening and what sled needs is in `engine`.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::engine::{Engine, Write};
use super::folder::Folder;
use super::records;
use crate::api::{Guard, Op, Revision};
use crate::error::StoreError;
use crate::plan::{Outcome, Plan};
use crate::state::State;
use crate::watch::Hub;

/// Transactions in one group. Beyond this the gain per sync is small and the first one waits longer.
const GROUP_TRANSACTIONS_MAX: usize = 256;

/// Bytes in one group, about twice a sled segment.
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// The file may hold this many times the live data, and [`SLACK_BYTES`], before it is rewritten.
const SLACK_FACTOR: u64 = 8;

/// Below this size nobody minds dead data.
const SLACK_BYTES: u64 = 128 * 1024 * 1024;

/// Groups between two looks at the file's size.
const GROUPS_PER_LOOK: u32 = 256;

/// What the writer and the callers both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: RwLock<State>,
    pub(super) hub: Arc<Hub>,
    /// Set once, for good: nothing is answered as done after that.
    stopped: OnceLock<String>,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        let hub = Hub::new(state.revision);
        Self { state: RwLock::new(state), hub, stopped: OnceLock::new() }
    }

    /// Stops the store; the first reason stays.
    pub(super) fn stop(&self, reason: &str) {
        self.hub.stop(self.stopped.get_or_init(|| reason.to_owned()));
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(reason) => Err(StoreError::Stopped { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn error(&self) -> StoreError {
        let reason = self.stopped.get().cloned();
        StoreError::Stopped { reason: reason.unwrap_or_else(|| "it was closed".to_owned()) }
    }
}

/// What callers ask of the writer.
pub(super) enum Request {
    Commit(Commit),
    /// Rewrite the database without dead data.
    Compact(oneshot::Sender<Result<u64, StoreError>>),
    /// Finish, close the database and let go of the folder.
    Close(oneshot::Sender<()>),
    /// Size of the database file.
    FileBytes(oneshot::Sender<u64>),
}

/// One transaction with its answer.
pub(super) struct Commit {
    pub(super) guards: Vec<Guard>,
    pub(super) ops: Vec<Op>,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
}

/// The thread's own things.
pub(super) struct Writer {
    pub(super) folder: Folder,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: mpsc::Receiver<Request>,
    /// `None` after a fault.
    pub(super) engine: Option<Engine>,
}

impl Writer {
    /// Serves until the last caller is gone, someone closes the store, or a fault.
    pub(super) fn run(mut self) {
        let mut groups = 0;
        let mut next = None;
        let closed = loop {
            let request = match next.take() {
                Some(request) => request,
                None => match self.queue.blocking_recv() {
                    Some(request) => request,
                    None => break None,
                },
            };
            match request {
                Request::Commit(first) => {
                    let group;
                    (group, next) = self.gather(first);
                    self.commit(group);
                    groups += 1;
                    if groups % GROUPS_PER_LOOK == 0 {
                        self.compact_if_wasteful();
                    }
                }
                Request::Compact(answer) => {
                    let _gone = answer.send(self.compact());
                }
                Request::FileBytes(answer) => {
                    let _gone = answer.send(self.engine.as_ref().map_or(0, Engine::file_bytes));
                }
                Request::Close(answer) => break Some(answer),
            }
        };
        self.shared.stop("it was closed");
        if let Some(Err(reason)) = self.engine.take().map(Engine::close) {
            tracing::error!(reason, "the store did not close properly; everything acknowledged is on disk");
        }
        drop(self.queue);
        drop(self.folder);
        if let Some(answer) = closed {
            let _gone = answer.send(());
        }
    }

    /// Takes what already waits, up to the limits, and the first request that is not a commit.
    fn gather(&mut self, first: Commit) -> (Vec<Commit>, Option<Request>) {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while group.len() < GROUP_TRANSACTIONS_MAX && bytes < GROUP_BYTES_MAX {
            match self.queue.try_recv() {
                Ok(Request::Commit(commit)) => {
                    bytes += commit.bytes;
                    group.push(commit);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    fn commit(&mut self, group: Vec<Commit>) {
        let shared = Arc::clone(&self.shared);
        let mut answers = Vec::with_capacity(group.len());
        let durable = shared.read(|state| {
            let mut plan = Plan::on(state);
            for commit in group {
                answers.push((commit.answer, plan.admit(&commit.guards, commit.ops)));
            }
            let outcome = plan.finish();
            self.make_durable(state, &outcome).map(|()| outcome)
        });
        match durable {
            Ok(outcome) => {
                let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
                let changes = outcome.apply(&mut state);
                drop(state);
                shared.hub.publish(changes);
                for (answer, result) in answers {
                    // Refusals wait for the group too: their reason may be a transaction inside it.
                    let _gone = answer.send(result);
                }
            }
            Err(_) => {
                for (answer, _) in answers {
                    let _gone = answer.send(Err(shared.error()));
                }
            }
        }
    }

    fn make_durable(&mut self, state: &State, outcome: &Outcome) -> Result<(), StoreError> {
        self.shared.check()?;
        if outcome.revision == state.revision {
            return Ok(());
        }
        let writes: Vec<Write<'_>> = outcome
            .slots
            .iter()
            .map(|(key, new)| Write {
                key,
                new: new.as_ref(),
                old_chunks: state.slot(key).map_or(0, |slot| records::chunks(slot.value.len())),
            })
            .collect();
        let Some(engine) = &self.engine else { return Err(self.shared.error()) };
        if let Err(reason) = engine.commit(&writes, outcome.revision, outcome.fingerprint) {
            // Forgotten, not dropped: sled must not write again after a fault.
            self.engine = None;
            self.shared.stop(&reason);
        }
        // A caller that gave up waiting may have stopped the store meanwhile.
        self.shared.check()
    }

    fn compact_if_wasteful(&mut self) {
        let live = self.shared.read(|state| state.fingerprint().bytes);
        let file = self.engine.as_ref().map_or(0, Engine::file_bytes);
        if file > live.saturating_mul(SLACK_FACTOR).saturating_add(SLACK_BYTES)
            && let Err(error) = self.compact()
        {
            tracing::error!(error = &error as &dyn std::error::Error, "could not compact the store");
        }
    }

    /// Builds a database of the live entries, puts it in place and goes on with it.
    fn compact(&mut self) -> Result<u64, StoreError> {
        self.shared.check()?;
        let Some(engine) = self.engine.take() else { return Err(self.shared.error()) };
        let built = self.shared.read(|state| Engine::build(&self.folder, state));
        if let Err(error) = built {
            // The present database is untouched.
            self.engine = Some(engine);
            return Err(error);
        }
        let swapped = engine
            .close()
            .map_err(|reason| StoreError::Stopped { reason })
            .and_then(|()| self.folder.adopt())
            .and_then(|()| Engine::open(&self.folder));
        match swapped {
            Ok((engine, _)) => {
                let bytes = engine.file_bytes();
                self.engine = Some(engine);
                Ok(bytes)
            }
            Err(error) => {
                self.shared.stop(&format!("compaction failed half-way: {error}"));
                Err(error)
            }
        }
    }
}

/// Stops the store when the writer's thread unwinds, so that callers learn of it.
pub(super) struct StopOnPanic(pub(super) Arc<Shared>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop("its writer panicked");
        }
    }
}
