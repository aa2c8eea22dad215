//! The journal: one file to which every group of changes is appended, read whole once, when the store is opened.
//! Everything is in memory besides, so nothing is ever looked up in the file, and a commit is one write and one sync.
//! Who may open it and where it lies is the business of `folder`; how the bytes lie in it, of `frame`.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::folder::{self, Folder};
use super::frame::{self, Digest, FRAME_HEAD_BYTES, Frame, FrameHead};
use crate::api::Revision;
use crate::error::StoreError;
use crate::key::Key;
use crate::state::{Fingerprint, Slot, State};

/// The one file of a database.
const FILE: &str = "journal";

/// Bytes of one frame of a new database.
const BUILD_FRAME_BYTES: usize = 1024 * 1024;

/// Bytes read at once.
const READ_BYTES: usize = 1024 * 1024;

/// An open database, at its end.
#[derive(Debug)]
pub(super) struct Engine {
    /// Kept open: a failed sync is reported once per open file, so it must always be the same one.
    file: File,
    bytes: u64,
    last: Digest,
}

/// What a changed key becomes.
pub(super) struct Write<'a> {
    pub(super) key: &'a Key,
    pub(super) new: Option<&'a Slot>,
}

impl Engine {
    /// Opens the folder's database, which must exist, and reads it whole.
    pub(super) fn open(folder: &Folder) -> Result<(Self, State), StoreError> {
        let path = folder.database().join(FILE);
        let found = load(&path).map_err(|fault| fault.refuse(folder))?;
        let opened = File::options().write(true).open(&path);
        let mut file = opened.map_err(StoreError::file("open", &path))?;
        // What a power cut left of a group that nobody was answered for goes, before something follows it.
        let settled = file
            .set_len(found.end)
            .and_then(|()| file.seek(SeekFrom::Start(found.end)))
            .and_then(|_| file.sync_all());
        settled.map_err(StoreError::file("settle the end of", &path))?;
        Ok((Self { file, bytes: found.end, last: found.last }, found.state))
    }

    /// Builds a database with these contents in `creating`, durable but not yet in place.
    pub(super) fn build(folder: &Folder, state: &State) -> Result<(), StoreError> {
        let creating = folder.creating();
        fs::create_dir_all(&creating).map_err(StoreError::file("create", &creating))?;
        let path = creating.join(FILE);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&frame::head())?;
            let mut frame = Frame::after(frame::BEFORE_ALL);
            for (key, slot) in state.iter() {
                frame.add(key, Some(slot));
                if frame.len() > BUILD_FRAME_BYTES {
                    let (bytes, digest) = frame.finish(None);
                    file.write_all(&bytes)?;
                    frame = Frame::after(digest);
                }
            }
            let (bytes, _) = frame.finish(Some((state.revision, state.fingerprint())));
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(StoreError::file("write", &path))?;
        folder::sync_folder(&creating)
    }

    /// Writes a group and answers once it is on the disk. After an error nothing written since the last success may be
    /// trusted, and the engine must be forgotten.
    pub(super) fn commit(
        &mut self,
        writes: &[Write<'_>],
        revision: Revision,
        state: Fingerprint,
    ) -> Result<(), String> {
        let mut frame = Frame::after(self.last);
        for write in writes {
            frame.add(write.key, write.new);
        }
        let (bytes, digest) = frame.finish(Some((revision, state)));
        self.file.write_all(&bytes).map_err(|error| format!("the journal cannot be written: {error}"))?;
        self.file.sync_data().map_err(|error| format!("the journal cannot be synced: {error}"))?;
        self.bytes += bytes.len() as u64;
        self.last = digest;
        Ok(())
    }

    /// Bytes of the database file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes
    }
}

/// Whether a database was ever moved into place here.
pub(super) fn exists(folder: &Folder) -> bool {
    fs::symlink_metadata(folder.database()).is_ok()
}

/// Why a database can't be used.
enum Fault {
    Newer(u32),
    /// Its contents are wrong, in words.
    Damaged(String),
    File(StoreError),
}

impl Fault {
    fn refuse(self, folder: &Folder) -> StoreError {
        let path: PathBuf = folder.path().to_owned();
        match self {
            Self::Newer(found) => StoreError::Newer { folder: path, found, supported: frame::FORMAT },
            Self::Damaged(detail) => StoreError::Damaged { folder: path, detail, copy: folder.copy_aside() },
            Self::File(error) => error,
        }
    }
}

struct Found {
    state: State,
    /// Where the last whole frame ends.
    end: u64,
    last: Digest,
}

fn load(path: &Path) -> Result<Found, Fault> {
    let io = |source| match source {
        // A file or folder in its place is as good as a damaged one.
        error if matches!(error_kind(&error), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            Fault::Damaged(format!("its journal cannot be read: {error}"))
        }
        source => Fault::File(StoreError::File { action: "read", path: path.to_owned(), source }),
    };
    let file = File::open(path).map_err(io)?;
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    let mut head = [0; frame::HEAD_BYTES];
    let read = fill(&mut reader, &mut head).map_err(io)?;
    match frame::format_of(&head[..read]) {
        Some(frame::FORMAT) => {}
        Some(newer) if newer > frame::FORMAT => return Err(Fault::Newer(newer)),
        Some(_) | None => return Err(Fault::Damaged("the head of its journal is damaged".to_owned())),
    }
    let mut found = Found { state: State::default(), end: frame::HEAD_BYTES as u64, last: frame::BEFORE_ALL };
    let mut began = false;
    let (mut position, mut last) = (found.end, frame::BEFORE_ALL);
    let mut body = Vec::new();
    loop {
        let mut head = [0; FRAME_HEAD_BYTES];
        let read = fill(&mut reader, &mut head).map_err(io)?;
        let whole = FrameHead::read(&head[..read]).filter(|head| head.before == last);
        let mut body_read = 0;
        if let Some(frame) = &whole {
            body.resize(frame.body_bytes, 0);
            body_read = fill(&mut reader, &mut body).map_err(io)?;
        }
        let Some(frame) = whole.filter(|frame| frame.fits(&body[..body_read])) else {
            let mut rest = head[..read].to_vec();
            rest.extend_from_slice(&body[..body_read]);
            reader.read_to_end(&mut rest).map_err(io)?;
            if !began || follows(rest.get(1..).unwrap_or_default()) {
                return Err(Fault::Damaged(format!("its journal is damaged at byte {position}")));
            }
            return Ok(found);
        };
        position += (FRAME_HEAD_BYTES + frame.body_bytes) as u64;
        last = frame.digest;
        take(&mut found.state, &body)?;
        if let Some((revision, expected)) = frame::state_of(&body) {
            found.state.revision = revision;
            check(&found.state, expected)?;
            (found.end, found.last, began) = (position, last, true);
        }
    }
}

fn error_kind(error: &std::io::Error) -> ErrorKind {
    error.kind()
}

fn take(state: &mut State, body: &[u8]) -> Result<(), Fault> {
    for change in frame::changes(body) {
        let Some((key, slot)) = change else {
            return Err(Fault::Damaged("its journal holds a change that makes no sense".to_owned()));
        };
        state.set(key, slot);
    }
    Ok(())
}

fn check(state: &State, expected: Fingerprint) -> Result<(), Fault> {
    let (found, revision) = (state.fingerprint(), state.revision);
    if found == expected {
        return Ok(());
    }
    Err(Fault::Damaged(format!(
        "{} entries of {} bytes were written as of revision {revision}, but {} of {} bytes, or other ones, are there",
        expected.entries, expected.bytes, found.entries, found.bytes
    )))
}

/// Whether whole frames lie behind a broken place. Only the last group can be half on the disk after a power cut,
/// because the next one is written when it is synced: so these were written after it, and what is broken was durable.
fn follows(bytes: &[u8]) -> bool {
    let marks = bytes.windows(frame::MARK.len()).enumerate().filter(|(_, window)| *window == frame::MARK);
    marks.map(|(place, _)| &bytes[place..]).any(|at| {
        FrameHead::read(at).is_some_and(|head| {
            at.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + head.body_bytes).is_some_and(|body| head.fits(body))
        })
    })
}

/// Reads until the buffer is full or the file ends; says how much it was.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
