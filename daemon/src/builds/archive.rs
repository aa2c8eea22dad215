//! The archive of a build, read without unpacking it. Limits come before bytes: what an archive claims is checked
//! from its central directory, and what it really holds is read through a bound.

use std::io::{Read, Seek};

use zip::ZipArchive;
use zip::result::ZipError;

/// Entries in one archive: the largest applications have some ten thousand files.
pub const ENTRIES_MAX: usize = 50_000;

/// All entries unpacked, bytes: the App Store takes 4 GB, and frameworks with symbols may double that.
pub const UNPACKED_BYTES_MAX: u64 = 16 << 30;

/// Unpacked against packed: programs shrink to a third, text to a twentieth; more is a bomb.
pub const RATIO_MAX: u64 = 200;

/// Ratios of small archives say nothing: a page of zeros is no bomb.
const RATIO_MATTERS_FROM_BYTES: u64 = 64 << 20;

/// Why an archive is refused. Each says where in the archive, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no zip archive, or a broken one.
    #[error("the file is no readable zip archive ({what}); upload the .ipa as Xcode exports it")]
    NoArchive {
        /// What the reader says.
        what: String,
    },
    /// What should hold symbols is no zip archive, or a broken one.
    #[error("the file is no readable zip archive ({what}); zip the .dSYM folder that Xcode or dsymutil made")]
    NoSymbolsArchive {
        /// What the reader says.
        what: String,
    },
    /// The symbols are of another build.
    #[error("the symbols are of {found}, and the build is {wanted}; upload the dSYM of the same build")]
    OtherSymbols {
        /// Where they lie, and their UUIDs.
        found: String,
        /// The build's.
        wanted: String,
    },
    /// The symbols cannot be read.
    #[error("{what}")]
    DamagedSymbols {
        /// Where and what, with the mend.
        what: String,
    },
    /// It has too many entries.
    #[error(
        "the archive has {found} entries, and at most {ENTRIES_MAX} are taken; leave out what is not the app"
    )]
    TooManyEntries {
        /// How many it has.
        found: usize,
    },
    /// It would be too large unpacked.
    #[error("the archive unpacks to {found} bytes, and at most {allowed} are taken; make the app smaller")]
    TooLarge {
        /// How large it claims to be.
        found: u64,
        /// How large it may be.
        allowed: u64,
    },
    /// It unpacks to suspiciously much.
    #[error(
        "the archive unpacks to {found} times its size, and at most {RATIO_MAX} times is taken; it looks like a bomb"
    )]
    Ratio {
        /// How many times.
        found: u64,
    },
    /// An entry would land outside the folder it is unpacked to.
    #[error("entry {entry:?} leads out of the archive; make the archive anew with plain relative paths")]
    Escapes {
        /// Its name.
        entry: String,
    },
    /// An entry is a symbolic link that leads out of the archive or cannot be followed.
    #[error("entry {entry:?} is a symbolic link; iOS apps have none, so replace it by the file itself")]
    Link {
        /// Its name.
        entry: String,
    },
    /// A needed entry is not there.
    #[error("the archive has no {wanted}; {mend}")]
    Missing {
        /// What was looked for.
        wanted: String,
        /// What to do.
        mend: &'static str,
    },
    /// A needed entry is larger than such a thing ever is.
    #[error("entry {entry:?} has more than {allowed} bytes; no such file is so large")]
    EntryTooLarge {
        /// Its name.
        entry: String,
        /// How large it may be.
        allowed: u64,
    },
    /// A needed entry cannot be unpacked.
    #[error("entry {entry:?} cannot be unpacked: {what}; make the archive anew")]
    Broken {
        /// Its name.
        entry: String,
        /// What the reader says.
        what: String,
    },
    /// `Info.plist` says something wrong, or says it not at all.
    #[error("{entry}: {key}: {what}")]
    Plist {
        /// Its name in the archive.
        entry: String,
        /// The key.
        key: &'static str,
        /// What is wrong, and the mend.
        what: String,
    },
    /// The main executable is not for phones.
    #[error("{entry}: {what}")]
    Executable {
        /// Its name in the archive.
        entry: String,
        /// What is wrong, and the mend.
        what: String,
    },
}

/// An archive whose directory has been checked.
pub struct Archive<R> {
    zip: ZipArchive<R>,
    names: Vec<String>,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive of so many bytes and checks its directory against the limits.
    ///
    /// # Errors
    /// No archive, too many entries, too large, a bomb, an entry that leads outside, a link.
    pub fn open(reader: R, packed_bytes: u64) -> Result<Self, ArchiveError> {
        let mut zip =
            ZipArchive::new(reader).map_err(|error| ArchiveError::NoArchive { what: words(&error) })?;
        if zip.len() > ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries { found: zip.len() });
        }
        let mut names = Vec::with_capacity(zip.len());
        let mut unpacked: u64 = 0;
        for index in 0..zip.len() {
            let entry =
                zip.by_index_raw(index).map_err(|error| ArchiveError::NoArchive { what: words(&error) })?;
            let name =
                entry.name().map_err(|error| ArchiveError::NoArchive { what: words(&error) })?.into_owned();
            if entry.enclosed_name().is_none() {
                return Err(ArchiveError::Escapes { entry: name });
            }
            if entry.is_symlink() {
                return Err(ArchiveError::Link { entry: name });
            }
            unpacked = unpacked.saturating_add(entry.size());
            names.push(name);
        }
        if unpacked > UNPACKED_BYTES_MAX {
            return Err(ArchiveError::TooLarge { found: unpacked, allowed: UNPACKED_BYTES_MAX });
        }
        let ratio = unpacked / packed_bytes.max(1);
        if unpacked > RATIO_MATTERS_FROM_BYTES && ratio > RATIO_MAX {
            return Err(ArchiveError::Ratio { found: ratio });
        }
        Ok(Self { zip, names })
    }

    /// The names of all entries, in the order of the archive.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// An entry, whole.
    ///
    /// # Errors
    /// Missing, larger than `bytes_max`, broken.
    pub fn read(&mut self, name: &str, bytes_max: u64, mend: &'static str) -> Result<Vec<u8>, ArchiveError> {
        let broken = |what: String| ArchiveError::Broken { entry: name.to_owned(), what };
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => {
                return Err(ArchiveError::Missing { wanted: name.to_owned(), mend });
            }
            Err(error) => return Err(broken(words(&error))),
        };
        let mut bytes = Vec::new();
        entry.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
        if bytes.len() as u64 > bytes_max {
            return Err(ArchiveError::EntryTooLarge { entry: name.to_owned(), allowed: bytes_max });
        }
        Ok(bytes)
    }
}

fn words(error: &ZipError) -> String {
    error.to_string()
}
