//! The contract that every engine keeps: keys, versions, guarded transactions, scans and watches.
//! No engine lives here.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::error::StoreError;
use crate::key::Key;
use crate::watch::Watch;

/// An ordered, durable map of bytes with guarded transactions.
///
/// The contract is narrow on purpose, so that a replicated engine (etcd: modification revisions,
/// `Txn`, watch) can stand behind it: there are no iterators, no locks and no callbacks.
/// Every engine passes the conformance suite in `tests/conformance.rs`.
pub trait Store: Send + Sync + 'static {
    /// The revision of the last durable transaction; zero in a store that never had one.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store can no longer be trusted or was closed.
    fn revision(&self) -> impl Future<Output = Result<Revision, StoreError>> + Send;

    /// The entry under `key`, or `None`.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store can no longer be trusted or was closed.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// Up to `limit` entries whose keys begin with `prefix` (empty: all keys) and come after `after`,
    /// in key order, all as of one revision. Pages of different calls may be of different revisions.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store can no longer be trusted or was closed.
    fn scan_prefix(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// The last entry in key order whose key begins with `prefix`, or `None`.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store can no longer be trusted or was closed.
    fn last(&self, prefix: &[u8]) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// Applies all of `ops` as one transaction if every guard holds, and answers once that is durable.
    /// Each transaction with an op raises the revision by exactly one; one without ops only checks.
    ///
    /// When the answer is [`StoreError::Stopped`], or the future is dropped before it answered, the
    /// transaction may or may not have happened: read again after a restart.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] names the first guard that does not hold; nothing has changed then.
    /// [`StoreError::ValueSize`], [`StoreError::TransactionSize`] and [`StoreError::DuplicateKey`]
    /// refuse the transaction as a whole. [`StoreError::Stopped`] as above.
    fn commit(
        &self,
        guards: Vec<Guard>,
        ops: Vec<Op>,
    ) -> impl Future<Output = Result<Revision, StoreError>> + Send;

    /// Follows the changes under `prefix` from `from` on, that revision included. After a scan at
    /// revision `r`, watch from `r.next()` and no change is missed.
    ///
    /// # Errors
    /// [`StoreError::Resync`] when changes since `from` are no longer remembered: scan again.
    fn watch_prefix(
        &self,
        prefix: &[u8],
        from: Revision,
    ) -> impl Future<Output = Result<Watch, StoreError>> + Send;
}

/// The number of a transaction: grows by one with each. As a version it names the transaction that
/// last wrote an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value; shared, so that a copy of an entry is cheap.
    pub value: Arc<[u8]>,
    /// The transaction that last wrote it.
    pub version: Revision,
}

/// Part of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Entries in key order. Fewer than the limit means that there are no more.
    pub entries: Vec<Entry>,
    /// The revision that the page shows.
    pub revision: Revision,
}

/// What must be true of a key for a transaction to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The key it is about.
    pub key: Key,
    /// What must be true of it.
    pub condition: Condition,
}

impl Guard {
    /// `key` must not exist.
    #[must_use]
    pub fn absent(key: Key) -> Self {
        Self { key, condition: Condition::Absent }
    }

    /// `key` must exist in exactly this version.
    #[must_use]
    pub fn version(key: Key, version: Revision) -> Self {
        Self { key, condition: Condition::Version(version) }
    }
}

/// What a [`Guard`] asks of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does not exist.
    Absent,
    /// It exists, in whatever version.
    Present,
    /// It exists and this transaction wrote it last.
    Version(Revision),
}

impl Condition {
    /// Whether the condition holds for a key found in this version, or not found.
    #[must_use]
    pub fn holds(self, found: Option<Revision>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Version(version) => found == Some(version),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no entry"),
            Self::Present => f.write_str("an entry"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

/// One change inside a transaction. A transaction names each key at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a value, whether or not the key exists.
    Put {
        /// The key.
        key: Key,
        /// At most [`crate::VALUE_BYTES_MAX`] bytes.
        value: Vec<u8>,
    },
    /// Removes the key; harmless when it does not exist.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Op {
    /// Writes `value` under `key`.
    #[must_use]
    pub fn put(key: Key, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key, value: value.into() }
    }

    /// Removes `key`.
    #[must_use]
    pub fn delete(key: Key) -> Self {
        Self::Delete { key }
    }

    /// The key that the op changes.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}
