//! Everything that can go wrong with the store, in words that say what to do next.

use std::io;
use std::path::PathBuf;

use crate::api::{Condition, Revision};

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A guard does not hold; nothing has changed.
    #[error("cannot commit: `{key}` must have {expected}, but {}; read it again and retry", found_words(*.found))]
    Conflict {
        /// The guarded key, readable.
        key: String,
        /// What the guard asked for.
        expected: Condition,
        /// The version that is there.
        found: Option<Revision>,
    },
    /// A key is empty or too long.
    #[error("cannot use `{key}` as a key: {bytes} bytes; a key has 1 to {}", crate::KEY_BYTES_MAX)]
    KeySize {
        /// The key, readable.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// A value is too large.
    #[error(
        "cannot store `{key}`: its value has {bytes} bytes and the limit is {}; keep large data as a blob \
         and store its name",
        crate::VALUE_BYTES_MAX
    )]
    ValueSize {
        /// The key, readable.
        key: String,
        /// The length of its value.
        bytes: usize,
    },
    /// A transaction has too many ops or bytes.
    #[error(
        "cannot commit {ops} ops of {bytes} bytes at once: the limits are {} ops and {} bytes; split the \
         transaction",
        crate::OPS_MAX,
        crate::TRANSACTION_BYTES_MAX
    )]
    TransactionSize {
        /// Guards and ops together.
        ops: usize,
        /// Keys and values together.
        bytes: usize,
    },
    /// A transaction changes one key twice.
    #[error("cannot commit: the transaction changes `{key}` twice; keep only the last change of each key")]
    DuplicateKey {
        /// The key, readable.
        key: String,
    },
    /// A watcher asked for, or fell behind, what is no longer remembered.
    #[error(
        "cannot follow changes from revision {from}: only those from {oldest} on are remembered; scan again \
         and watch from there"
    )]
    Resync {
        /// The next revision that the watcher needed.
        from: Revision,
        /// The oldest one still remembered.
        oldest: Revision,
    },
    /// The store was closed, or something happened after which it can't be trusted.
    #[error(
        "the store has stopped: {reason}; restart the daemon, it goes on from the last durable transaction"
    )]
    Stopped {
        /// What happened.
        reason: String,
    },
    /// Another process (or another part of this one) has the folder open.
    #[error(
        "cannot open the store in `{}`: process {holder} has it open; stop that process, or use another folder",
        folder.display()
    )]
    Locked {
        /// The store's folder.
        folder: PathBuf,
        /// Its process id, as written into the lock file, or `unknown`.
        holder: String,
    },
    /// A newer program wrote this store.
    #[error(
        "cannot open the store in `{}`: it has format {found} and this program reads up to {supported}; start \
         the newer program, or let that one run `holdfast store export` and import the dump here",
        folder.display()
    )]
    Newer {
        /// The store's folder.
        folder: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format known here.
        supported: u32,
    },
    /// What is on disk is not what was written.
    #[error(
        "cannot open the store in `{}`: {detail}; {}; to go on from the last export, move that folder away and \
         run `holdfast store import DUMP`",
        folder.display(),
        copy_words(.copy.as_ref())
    )]
    Damaged {
        /// The store's folder.
        folder: PathBuf,
        /// What is wrong, with the key when one is known.
        detail: String,
        /// Where a copy of the damaged files was put aside.
        copy: Option<PathBuf>,
    },
    /// The operating system refused a file operation.
    #[error("cannot {action} `{}`; check space, permissions and the disk, then start again", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Import into a store that has entries.
    #[error(
        "cannot import into the store in `{}`: it has {entries} entries; import into a new folder, or move this \
         one away first",
        folder.display()
    )]
    NotEmpty {
        /// The store's folder.
        folder: PathBuf,
        /// How many entries it has.
        entries: usize,
    },
    /// A dump is truncated, altered or not a dump.
    #[error("cannot import the dump: line {line}: {detail}; take another dump")]
    Dump {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        detail: String,
    },
    /// A dump can't be written or read.
    #[error("cannot {action} the dump; check space and permissions")]
    DumpFile {
        /// `read` or `write`.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A record was written by a newer program.
    #[error(
        "cannot read record `{key}`: it has version {found} and this program reads up to {supported}; start the \
         newer program again"
    )]
    NewerRecord {
        /// The key, readable.
        key: String,
        /// The version found.
        found: u32,
        /// The newest version known to the reader.
        supported: u32,
    },
    /// A record is not what its kind looks like.
    #[error("cannot read record `{key}`; export the store, mend that record and import it again")]
    BadRecord {
        /// The key, readable.
        key: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A record can't be written as JSON.
    #[error("cannot write a record as JSON; this is a fault of the program")]
    Encode {
        /// What the writer said.
        #[source]
        source: serde_json::Error,
    },
}

impl StoreError {
    /// For `map_err` around file operations.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::File { action, path, source }
    }
}

fn found_words(found: Option<Revision>) -> String {
    match found {
        Some(version) => format!("has version {version}"),
        None => "has no entry".to_owned(),
    }
}

fn copy_words(copy: Option<&PathBuf>) -> String {
    match copy {
        Some(copy) => format!("a copy of its files is in `{}`", copy.display()),
        None => "its files were left as they are".to_owned(),
    }
}
