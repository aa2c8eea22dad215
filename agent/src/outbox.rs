//! Results wait on disk until the daemon has confirmed them: one file per entry, and the bytes of crash files in
//! a spool by hash. It survives the end of the agent at any byte.
//!
//! ```text
//! outbox/00000000000000000007-<entry>.json   waits, or is being confirmed
//! outbox/refused/…                           the daemon can never take it; kept for people
//! outbox/damaged/…                           cannot be read any more; kept for people
//! spool/<hash>                               bytes of crash files that entries name
//! ```
//!
//! What is on disk is in [`store`]; this file is the task that owns it. When entries are said is `link`'s.

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_attempt::Taken;
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{AttemptId, CrashId, EntryId, LeaseNumber, Udid};
use holdfast_wire::sync::{ENTRIES_PER_SYNC_MAX, OutboxEntry, OutboxItem};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use store::Settled;
use store::Store;

use crate::client::Client;
use crate::error::AgentError;

/// Messages that wait for the outbox's task: one per phone of the largest rack.
const MAILBOX: usize = 256;

/// Crash files on the way to the daemon at once.
const UPLOADS_AT_ONCE: usize = 4;

/// Until an upload that failed is tried again, at first; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);

/// The longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// What the link says of the outbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Waiting {
    /// Entries that can be said now: reports first, then crash files of each phone in turn, oldest first. Their bytes
    /// are with the daemon.
    pub ready: Vec<OutboxEntry>,
    /// All entries that are not done with: unconfirmed, or yet to be remembered by their phone.
    pub all: usize,
    /// Crash files that wait, by phone.
    pub crashes: BTreeMap<Udid, Spooled>,
    /// Phones of which the report of an attempt waits: whatever is known of them is not yet all said.
    pub unreported: BTreeSet<Udid>,
}

/// Crash files of one phone that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spooled {
    /// How many.
    pub files: usize,
    /// Their bytes, as the phone told them.
    pub bytes: u64,
}

/// Crash files of one phone that wait here at most: each is an entry that is gone through again and again. The others
/// wait on the phone, and phones do not stand in each other's way.
pub const FILES_PER_PHONE_MAX: usize = 1_000;

/// The way to the outbox's task.
#[derive(Debug, Clone)]
pub struct Outbox {
    mailbox: mpsc::Sender<Message>,
    waiting: watch::Receiver<Arc<Waiting>>,
    spool: PathBuf,
}

#[derive(Debug)]
enum Message {
    Append {
        item: Box<OutboxItem>,
        pulled: Option<Pulled>,
        reply: oneshot::Sender<Result<EntryId, AgentError>>,
    },
    Settle {
        ids: Vec<EntryId>,
        reply: oneshot::Sender<Vec<Settled>>,
    },
    Forget(Vec<EntryId>),
    Refuse {
        id: EntryId,
        reason: String,
    },
    BytesAgain,
    Pending {
        phone: Udid,
        reply: oneshot::Sender<Vec<Taken>>,
    },
    HasReport {
        attempt: AttemptId,
        lease: LeaseNumber,
        reply: oneshot::Sender<bool>,
    },
}

/// The bytes of a crash file, as they came from the phone.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The file on the phone.
    pub file: CrashFile,
    /// Where its bytes lie: a path of [`Outbox::fresh_path`].
    pub bytes: PathBuf,
}

impl Outbox {
    /// Opens what lies in `folder` and starts the task that owns it.
    ///
    /// # Errors
    /// [`AgentError::Disk`]; damaged entries are set aside with a warning instead.
    pub fn open(
        folder: &Path,
        client: Client,
        tasks: &mut JoinSet<&'static str>,
    ) -> Result<Self, AgentError> {
        let store = Store::open(folder)?;
        let spool = store.spool().to_owned();
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let (tell, waiting) = watch::channel(Arc::new(waiting_in(&store)));
        let owner = Owner { store, client, tell, uploads: JoinSet::new(), retry: RETRY_MIN, retry_at: None };
        tasks.spawn(async move {
            owner.run(messages).await;
            "outbox"
        });
        Ok(Self { mailbox, waiting, spool })
    }

    /// What waits, as it changes.
    pub fn waiting(&self) -> watch::Receiver<Arc<Waiting>> {
        self.waiting.clone()
    }

    /// A path in the spool for bytes that are still to come; what is left there is removed at the next start.
    pub fn fresh_path(&self) -> PathBuf {
        self.spool.join(format!("{}{}", crate::disk::random_name(), crate::disk::TEMPORARY))
    }

    /// Whether another crash file of this phone may come.
    pub fn has_room(&self, phone: &Udid, bytes_max: u64) -> bool {
        let waiting = self.waiting.borrow();
        let spooled = waiting.crashes.get(phone).copied().unwrap_or_default();
        spooled.files < FILES_PER_PHONE_MAX && spooled.bytes < bytes_max
    }

    /// Puts an entry on disk. It is durable when this returns.
    ///
    /// # Errors
    /// [`AgentError::Disk`], [`AgentError::Ended`].
    pub async fn append(&self, item: OutboxItem, pulled: Option<Pulled>) -> Result<EntryId, AgentError> {
        self.ask(|reply| Message::Append { item: Box::new(item), pulled, reply }).await?
    }

    /// The daemon has these. Reports are forgotten at once; crash files are given back, so that their phones can
    /// remember them before [`Outbox::forget`].
    ///
    /// # Errors
    /// [`AgentError::Ended`].
    pub async fn settle(&self, ids: Vec<EntryId>) -> Result<Vec<Settled>, AgentError> {
        self.ask(|reply| Message::Settle { ids, reply }).await
    }

    /// Forgets confirmed crash entries and their bytes.
    pub async fn forget(&self, ids: Vec<EntryId>) {
        // When the task has ended the agent is ending, and the daemon will confirm again.
        let _ended = self.mailbox.send(Message::Forget(ids)).await;
    }

    /// The daemon can never take this one.
    pub async fn refuse(&self, id: EntryId, reason: String) {
        let _ended = self.mailbox.send(Message::Refuse { id, reason }).await;
    }

    /// The daemon may lack bytes that were put there: each is looked for again before its entry is said.
    pub async fn bytes_again(&self) {
        let _ended = self.mailbox.send(Message::BytesAgain).await;
    }

    /// Crash files of a phone that wait here: taken, not confirmed.
    ///
    /// # Errors
    /// [`AgentError::Ended`].
    pub async fn pending(&self, phone: &Udid) -> Result<Vec<Taken>, AgentError> {
        let phone = phone.clone();
        self.ask(|reply| Message::Pending { phone, reply }).await
    }

    /// Whether the report of this attempt waits here.
    ///
    /// # Errors
    /// [`AgentError::Ended`].
    pub async fn has_report(&self, attempt: AttemptId, lease: LeaseNumber) -> Result<bool, AgentError> {
        self.ask(|reply| Message::HasReport { attempt, lease, reply }).await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, AgentError> {
        let (reply, answer) = oneshot::channel();
        let ended = AgentError::Ended { part: "outbox" };
        if self.mailbox.send(message(reply)).await.is_err() {
            return Err(ended);
        }
        answer.await.map_err(|_gone| ended)
    }
}

/// The task that owns the outbox.
struct Owner {
    store: Store,
    client: Client,
    tell: watch::Sender<Arc<Waiting>>,
    uploads: JoinSet<(CrashId, Result<(), AgentError>)>,
    retry: Duration,
    retry_at: Option<Instant>,
}

impl Owner {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            self.start_uploads();
            self.publish();
            let retry_at = self.retry_at;
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                Some(done) = self.uploads.join_next() => match done {
                    Ok((crash, result)) => self.uploaded(crash, result),
                    Err(error) => tracing::error!(%error, "an upload stopped; it is tried again"),
                },
                () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    self.retry_at = None;
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        // An asker that has gone away needs no answer. What waits is published before the answer: whoever has it
        // may say that a phone is free, and must not be ahead of its report.
        match message {
            Message::Append { item, pulled, reply } => {
                let appended = self.store.append(*item, pulled);
                self.publish();
                let _gone = reply.send(appended);
            }
            Message::Settle { ids, reply } => {
                let settled = self.store.settle(&ids);
                self.publish();
                let _gone = reply.send(settled);
            }
            Message::Forget(ids) => ids.iter().for_each(|id| self.store.forget(id)),
            Message::Refuse { id, reason } => self.store.refuse(&id, &reason),
            Message::BytesAgain => self.store.bytes_again(),
            Message::Pending { phone, reply } => {
                let _gone = reply.send(self.store.pending(&phone));
            }
            Message::HasReport { attempt, lease, reply } => {
                let _gone = reply.send(self.store.has_report(attempt, lease));
            }
        }
    }

    fn start_uploads(&mut self) {
        if self.retry_at.is_some() {
            return;
        }
        let room = UPLOADS_AT_ONCE.saturating_sub(self.uploads.len());
        for crash in self.store.start_uploads(room) {
            let (client, path) = (self.client.clone(), self.store.bytes_of(crash));
            self.uploads.spawn(async move { (crash, client.put_blob(crash.into(), &path).await) });
        }
    }

    fn uploaded(&mut self, crash: CrashId, result: Result<(), AgentError>) {
        match result {
            Ok(()) => {
                self.retry = RETRY_MIN;
                self.store.uploaded(crash);
            }
            Err(error @ AgentError::Hash { .. }) => self.store.damaged_bytes(crash, &error.to_string()),
            Err(error) => {
                tracing::debug!(%error, %crash, "a crash file could not be sent; it is tried again");
                self.store.upload_failed(crash);
                self.retry_at = Some(Instant::now() + self.retry);
                self.retry = (self.retry * 2).min(RETRY_MAX);
            }
        }
    }

    fn publish(&self) {
        let waiting = waiting_in(&self.store);
        self.tell.send_if_modified(|told| {
            let changed = **told != waiting;
            if changed {
                *told = Arc::new(waiting);
            }
            changed
        });
    }
}

fn waiting_in(store: &Store) -> Waiting {
    let (ready, all) = (store.ready(ENTRIES_PER_SYNC_MAX), store.waiting());
    Waiting { ready, all, crashes: store.crashes(), unreported: store.unreported() }
}

/// The crash ids of settled entries.
pub fn crashes_of(settled: &[Settled]) -> BTreeSet<CrashId> {
    settled.iter().map(|settled| settled.crash).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use holdfast_wire::outcome::{AttemptEnd, AttemptReport};
    use holdfast_wire::time::Time;

    use super::*;

    fn report() -> OutboxItem {
        let report = AttemptReport {
            attempt: "J1.1".parse().unwrap(),
            phone: "phone".parse().unwrap(),
            lease: LeaseNumber(1),
            end: AttemptEnd::Revoked,
            cases: Vec::new(),
            crashes: Vec::new(),
            started_at: Time::from_unix_ms(0),
            ended_at: Time::from_unix_ms(1),
        };
        OutboxItem::AttemptEnded { report }
    }

    /// Whoever sees a phone rest must see that its report waits: before the append is answered, and from the first
    /// moment after a restart.
    #[tokio::test]
    async fn a_report_that_waits_is_never_overlooked() {
        let _installed_by_another_test = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(&["http://127.0.0.1:1".to_owned()]).unwrap();
        let phone: Udid = "phone".parse().unwrap();
        let mut tasks = JoinSet::new();
        let outbox = Outbox::open(folder.path(), client.clone(), &mut tasks).unwrap();
        let waits = |outbox: &Outbox| outbox.waiting().borrow().unreported.contains(&phone);
        assert!(!waits(&outbox));
        let id = outbox.append(report(), None).await.unwrap();
        assert!(waits(&outbox));
        drop(tasks);
        let mut tasks = JoinSet::new();
        let outbox = Outbox::open(folder.path(), client, &mut tasks).unwrap();
        assert!(waits(&outbox), "before its task has run");
        outbox.settle(vec![id]).await.unwrap();
        assert!(!waits(&outbox));
    }
}
