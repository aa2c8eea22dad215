//! Reads the log of `recorder.c`: what a program did to files, in order. What it means for a disk is
//! in [`crate::disk`].

use std::path::{Path, PathBuf};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A process began; open files of the one before are gone.
    Start,
    /// A file or folder was opened.
    Open {
        /// Its descriptor.
        fd: i32,
        /// Absolute.
        path: PathBuf,
        /// It was made if it was not there.
        create: bool,
        /// It was emptied.
        truncate: bool,
    },
    /// A descriptor was closed.
    Close {
        /// Which.
        fd: i32,
    },
    /// A descriptor got a second number.
    Dup {
        /// The old one.
        fd: i32,
        /// The new one.
        to: i32,
    },
    /// Data was written.
    Write {
        /// To which descriptor.
        fd: i32,
        /// Where in the file.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// A file got this length.
    Truncate {
        /// Which descriptor.
        fd: i32,
        /// The length.
        bytes: u64,
    },
    /// A file became at least this long.
    Allocate {
        /// Which descriptor.
        fd: i32,
        /// The length.
        bytes: u64,
    },
    /// `fsync` or `fdatasync` succeeded.
    Sync {
        /// Which descriptor.
        fd: i32,
    },
    /// `sync_file_range` succeeded, which makes nothing durable.
    Range,
    /// A name changed.
    Rename {
        /// Absolute.
        from: PathBuf,
        /// Absolute.
        to: PathBuf,
    },
    /// A second name for a file.
    Link {
        /// Absolute.
        from: PathBuf,
        /// Absolute.
        to: PathBuf,
    },
    /// A file's name was removed.
    Unlink {
        /// Absolute.
        path: PathBuf,
    },
    /// A folder was made.
    Mkdir {
        /// Absolute.
        path: PathBuf,
    },
    /// A folder was removed.
    Rmdir {
        /// Absolute.
        path: PathBuf,
    },
    /// The program said something, such as an acknowledgement.
    Mark(String),
    /// A fault was injected.
    Fault {
        /// The error number.
        errno: i32,
    },
}

impl Record {
    /// Whether the disk can be different after it.
    #[must_use]
    pub fn touches_disk(&self) -> bool {
        match self {
            Self::Start | Self::Close { .. } | Self::Dup { .. } | Self::Range | Self::Mark(_) => false,
            Self::Fault { .. } => false,
            Self::Open { create, truncate, .. } => *create || *truncate,
            Self::Write { .. } | Self::Truncate { .. } | Self::Allocate { .. } | Self::Sync { .. } => true,
            Self::Rename { .. } | Self::Link { .. } | Self::Unlink { .. } => true,
            Self::Mkdir { .. } | Self::Rmdir { .. } => true,
        }
    }
}

/// Why a log can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file can't be read.
    #[error("cannot read the log `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// It is cut off or no log.
    #[error("cannot read the log at byte {at}: no whole record is there")]
    Broken {
        /// Where.
        at: usize,
    },
    /// The program changed files in a way that the log can't hold.
    #[error("cannot replay the log: the program used {what} on a watched file")]
    Unsupported {
        /// What it did.
        what: String,
    },
}

const HEAD_BYTES: usize = 32;

/// Reads a whole log.
///
/// # Errors
/// [`LogError`]; a log with something unsupported in it is refused as a whole.
pub fn read(path: &Path) -> Result<Vec<Record>, LogError> {
    let bytes = std::fs::read(path).map_err(|source| LogError::File { path: path.to_owned(), source })?;
    let mut records = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (record, taken) = parse(&bytes[at..]).ok_or(LogError::Broken { at })??;
        records.push(record);
        at += taken;
    }
    Ok(records)
}

/// One record and its length; `None` when it is not whole.
fn parse(bytes: &[u8]) -> Option<Result<(Record, usize), LogError>> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let word = |index: usize| {
        let at = index * 4;
        u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
    };
    let (fd, arg) = (word(1).cast_signed(), word(2).cast_signed());
    let (first_bytes, second_bytes) = (word(3) as usize, word(4) as usize);
    let offset = u64::from(word(6)) | u64::from(word(7)) << 32;
    let (first, rest) = rest.split_at_checked(first_bytes)?;
    let second = rest.get(..second_bytes)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let path = |bytes: &[u8]| PathBuf::from(text(bytes));
    let record = match word(0) {
        1 => Record::Open { fd, path: path(first), create: arg & 1 != 0, truncate: arg & 2 != 0 },
        2 => Record::Close { fd },
        3 => Record::Write { fd, offset, data: first.to_vec() },
        4 => Record::Truncate { fd, bytes: offset },
        5 => Record::Sync { fd },
        6 => Record::Range,
        7 => Record::Rename { from: path(first), to: path(second) },
        8 => Record::Unlink { path: path(first) },
        9 => Record::Mkdir { path: path(first) },
        10 => Record::Rmdir { path: path(first) },
        11 => Record::Mark(text(first)),
        12 => Record::Dup { fd, to: arg },
        13 => return Some(Err(LogError::Unsupported { what: text(first) })),
        14 => Record::Link { from: path(first), to: path(second) },
        15 => Record::Allocate { fd, bytes: offset },
        16 => Record::Start,
        17 => Record::Fault { errno: arg },
        _ => return None,
    };
    Some(Ok((record, HEAD_BYTES + first_bytes + second_bytes)))
}
