//! What the operations of AFC do: one [`Files`] for each connection, because open files belong to it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::info;
use super::jail::Jail;
use super::packet::{Operation, Reply, Request, Status, number_at, text_at};
use super::sha1::Sha1;
use crate::events::Event;
use crate::phone::Phone;

/// How many files one connection may have open.
const OPEN_MAX: usize = 128;

/// The most bytes that one read returns; clients ask again for the rest.
const READ_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The largest file that may be written or made by setting its size. No build comes near it, and reading a file that
/// is nothing but a size must not keep a rack busy for long.
const FILE_BYTES_MAX: u64 = 16_000_000_000;

/// What is told about deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// Each deleted file is a crash report, which tests count.
    CrashReports,
}

/// The files of one connection.
#[derive(Debug)]
pub(super) struct Files {
    phone: Arc<Phone>,
    jail: Jail,
    kind: Kind,
    open: BTreeMap<u64, Opened>,
    last_handle: u64,
}

#[derive(Debug)]
struct Opened {
    file: File,
    appends: bool,
}

type Outcome = Result<Reply, Status>;

const DONE: Outcome = Ok(Reply::Status(Status::Success));

impl Files {
    pub(super) fn new(phone: Arc<Phone>, jail: Jail, kind: Kind) -> Self {
        Self { phone, jail, kind, open: BTreeMap::new(), last_handle: 0 }
    }

    /// Performs a request; a failure is an answer too.
    pub(super) fn perform(&mut self, request: &Request) -> Reply {
        self.try_perform(request.operation, &request.body).unwrap_or_else(Reply::Status)
    }

    fn try_perform(&mut self, operation: Operation, body: &[u8]) -> Outcome {
        let path = || text_at(body, 0).map(|(path, _)| path).ok_or(Status::InvalidArgument);
        let number = |index: usize| number_at(body, index * 8).ok_or(Status::InvalidArgument);
        let path_after =
            |numbers: usize| text_at(body, numbers * 8).map(|(path, _)| path).ok_or(Status::InvalidArgument);
        match operation {
            Operation::ReadFolder => self.read_folder(path()?),
            Operation::FileInfo => self.file_info(path()?),
            Operation::DeviceInfo => Ok(Reply::Data(info::of_phone(&self.phone))),
            Operation::ConnectionInfo => Ok(Reply::Data(Vec::new())),
            Operation::Setting => DONE,
            Operation::MakeFolder => {
                fs::create_dir_all(self.jail.target(path()?)?).map_err(status)?;
                DONE
            }
            Operation::RemovePath => self.remove(path()?),
            Operation::RemoveWithContents => self.remove_with_contents(path()?),
            Operation::Rename => {
                let (from, behind) = text_at(body, 0).ok_or(Status::InvalidArgument)?;
                let (to, _) = text_at(body, behind).ok_or(Status::InvalidArgument)?;
                fs::rename(self.jail.entry(from)?, self.jail.entry(to)?).map_err(status)?;
                DONE
            }
            Operation::MakeLink => self.make_link(body),
            Operation::TruncatePath => {
                let file = self.open_file(path_after(1)?, 2)?;
                self.set_size(&file, number(0)?)
            }
            Operation::SetModified => self.set_modified(number(0)?, path_after(1)?),
            Operation::Hash => self.hash(path()?, 0, u64::MAX),
            Operation::HashRange => self.hash(path_after(2)?, number(0)?, number(1)?),
            Operation::Open => self.open(number(0)?, path_after(1)?),
            Operation::Read => self.read(number(0)?, number(1)?),
            Operation::Write => self.write(number(0)?, body.get(8..).unwrap_or_default()),
            Operation::Seek => self.seek(number(0)?, number(1)?, number(2)?.cast_signed()),
            Operation::Tell => {
                Ok(Reply::Position(self.opened(number(0)?)?.file.stream_position().map_err(status)?))
            }
            Operation::Close => {
                self.open.remove(&number(0)?).ok_or(Status::InvalidArgument)?;
                DONE
            }
            Operation::SetSize => {
                let file = self.opened(number(0)?)?.file.try_clone().map_err(status)?;
                self.set_size(&file, number(1)?)
            }
            Operation::Lock => self.lock(number(0)?, number(1)?),
            Operation::Unknown => Err(Status::OperationNotSupported),
        }
    }

    fn read_folder(&self, path: &str) -> Outcome {
        let folder = self.jail.target(path)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(status)? {
            names.push(entry.map_err(status)?.file_name().into_encoded_bytes());
        }
        if let Some(only) = self.jail.only_folder()
            && self.jail.is_top(&folder)
        {
            names.retain(|name| name == only.as_bytes());
        }
        names.sort();
        let all = [b".".to_vec(), b"..".to_vec()].into_iter().chain(names);
        Ok(Reply::Data(all.flat_map(|name| name.into_iter().chain([0])).collect()))
    }

    fn file_info(&self, path: &str) -> Outcome {
        // A link is told about itself; only the top folder has no entry of its own.
        let place = self.jail.entry(path).or_else(|_| self.jail.target(path))?;
        let metadata = place.symlink_metadata().map_err(status)?;
        Ok(Reply::Data(info::of_file(&place, &metadata)))
    }

    fn remove(&self, path: &str) -> Outcome {
        let place = self.jail.entry(path)?;
        let metadata = place.symlink_metadata().map_err(status)?;
        if metadata.is_dir() {
            fs::remove_dir(&place).map_err(status)?;
        } else {
            fs::remove_file(&place).map_err(status)?;
            self.forget(&place, metadata.len());
        }
        DONE
    }

    fn remove_with_contents(&self, path: &str) -> Outcome {
        self.remove_tree(&self.jail.entry(path)?).map_err(status)?;
        DONE
    }

    fn remove_tree(&self, place: &Path) -> io::Result<()> {
        let metadata = place.symlink_metadata()?;
        if !metadata.is_dir() {
            fs::remove_file(place)?;
            self.forget(place, metadata.len());
            return Ok(());
        }
        for entry in fs::read_dir(place)? {
            self.remove_tree(&entry?.path())?;
        }
        fs::remove_dir(place)
    }

    fn forget(&self, place: &Path, bytes: u64) {
        self.phone.disk.release(bytes);
        if self.kind == Kind::CrashReports
            && let Some(shown) = self.jail.shown(place)
        {
            self.phone.events.record(Event::CrashFileDeleted { path: shown.to_owned() });
        }
    }

    fn make_link(&self, body: &[u8]) -> Outcome {
        let kind = number_at(body, 0).ok_or(Status::InvalidArgument)?;
        let (target, behind) = text_at(body, 8).ok_or(Status::InvalidArgument)?;
        let (link, _) = text_at(body, behind).ok_or(Status::InvalidArgument)?;
        let link = self.jail.entry(link)?;
        match kind {
            1 => fs::hard_link(self.jail.entry(target)?, link).map_err(status)?,
            // The target is kept as it is written; the jail looks at it whenever the link is followed.
            2 => std::os::unix::fs::symlink(target, link).map_err(status)?,
            _ => return Err(Status::InvalidArgument),
        }
        DONE
    }

    fn set_modified(&self, nanoseconds: u64, path: &str) -> Outcome {
        let file = File::open(self.jail.target(path)?).map_err(status)?;
        file.set_modified(UNIX_EPOCH + Duration::from_nanos(nanoseconds)).map_err(status)?;
        DONE
    }

    fn hash(&self, path: &str, start: u64, length: u64) -> Outcome {
        let place = self.jail.target(path)?;
        if place.is_dir() {
            return Err(Status::ObjectIsFolder);
        }
        let mut file = File::open(place).map_err(status)?;
        file.seek(SeekFrom::Start(start)).map_err(status)?;
        let mut part = file.take(length);
        let mut sha1 = Sha1::new();
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let read = part.read(&mut buffer).map_err(status)?;
            if read == 0 {
                return Ok(Reply::Data(sha1.finish().to_vec()));
            }
            sha1.update(&buffer[..read]);
        }
    }

    fn open(&mut self, mode: u64, path: &str) -> Outcome {
        if self.open.len() >= OPEN_MAX {
            return Err(Status::NoResources);
        }
        let file = self.open_file(path, mode)?;
        self.last_handle += 1;
        self.open.insert(self.last_handle, Opened { file, appends: matches!(mode, 5 | 6) });
        Ok(Reply::Opened(self.last_handle))
    }

    fn open_file(&self, path: &str, mode: u64) -> Result<File, Status> {
        let place = self.jail.target(path)?;
        if place.is_dir() {
            return Err(Status::ObjectIsFolder);
        }
        let mut options = OpenOptions::new();
        // The six modes are those of C's fopen: r, r+ (which makes the file here), w, w+, a, a+.
        match mode {
            1 => options.read(true),
            2 => options.read(true).write(true).create(true),
            3 | 4 => options.read(mode == 4).write(true).create(true).truncate(true),
            5 | 6 => options.read(mode == 6).append(true).create(true),
            _ => return Err(Status::InvalidArgument),
        };
        if mode != 1 && self.phone.disk.free_bytes() == 0 && !place.exists() {
            return Err(Status::NoSpaceLeft);
        }
        let before = place.metadata().map_or(0, |metadata| metadata.len());
        let file = options.open(&place).map_err(status)?;
        if matches!(mode, 3 | 4) {
            self.phone.disk.release(before);
        }
        Ok(file)
    }

    fn opened(&mut self, handle: u64) -> Result<&mut Opened, Status> {
        self.open.get_mut(&handle).ok_or(Status::InvalidArgument)
    }

    fn read(&mut self, handle: u64, length: u64) -> Outcome {
        let opened = self.opened(handle)?;
        let mut data = Vec::new();
        (&mut opened.file).take(length.min(READ_BYTES_MAX)).read_to_end(&mut data).map_err(status)?;
        Ok(Reply::Data(data))
    }

    fn write(&mut self, handle: u64, data: &[u8]) -> Outcome {
        let opened = self.opened(handle)?;
        let size = opened.file.metadata().map_err(status)?.len();
        let start = if opened.appends { size } else { opened.file.stream_position().map_err(status)? };
        let end = start.saturating_add(data.len() as u64);
        if end > FILE_BYTES_MAX {
            return Err(Status::NoSpaceLeft);
        }
        self.phone.disk.reserve(end.saturating_sub(size)).map_err(|_full| Status::NoSpaceLeft)?;
        self.opened(handle)?.file.write_all(data).map_err(status)?;
        DONE
    }

    fn seek(&mut self, handle: u64, whence: u64, offset: i64) -> Outcome {
        let to = match whence {
            0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Status::InvalidArgument)?),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(Status::InvalidArgument),
        };
        self.opened(handle)?.file.seek(to).map_err(status)?;
        DONE
    }

    fn set_size(&self, file: &File, size: u64) -> Outcome {
        let before = file.metadata().map_err(status)?.len();
        if size > FILE_BYTES_MAX {
            return Err(Status::NoSpaceLeft);
        }
        self.phone.disk.reserve(size.saturating_sub(before)).map_err(|_full| Status::NoSpaceLeft)?;
        file.set_len(size).map_err(status)?;
        self.phone.disk.release(before.saturating_sub(size));
        DONE
    }

    /// The numbers of the lock operations are those of `flock(2)` with "do not wait" added.
    fn lock(&mut self, handle: u64, how: u64) -> Outcome {
        let file = &self.opened(handle)?.file;
        let locked = match how {
            5 => file.try_lock_shared(),
            6 => file.try_lock(),
            8 | 12 => file.unlock().map_err(TryLockError::Error),
            _ => return Err(Status::InvalidArgument),
        };
        match locked {
            Ok(()) => DONE,
            Err(TryLockError::WouldBlock) => Err(Status::WouldBlock),
            Err(TryLockError::Error(error)) => Err(status(error)),
        }
    }
}

/// The protocol's number for a failure of the host.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err` everywhere")]
fn status(error: io::Error) -> Status {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Status::ObjectNotFound,
        ErrorKind::PermissionDenied => Status::PermissionDenied,
        ErrorKind::AlreadyExists => Status::ObjectExists,
        ErrorKind::IsADirectory => Status::ObjectIsFolder,
        ErrorKind::DirectoryNotEmpty => Status::FolderNotEmpty,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Status::NoSpaceLeft,
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => Status::InvalidArgument,
        _ => Status::IoError,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;
    use crate::identity::{Identity, IosVersion, MODELS};

    fn phone() -> (tempfile::TempDir, Arc<Phone>) {
        let folder = tempfile::tempdir().unwrap();
        let ios = IosVersion { major: 16, minor: 7, patch: 2 };
        let identity = Identity::at_position(0, &MODELS[0], ios);
        let (phone, _power) = Phone::new(identity, folder.path().join("phone")).unwrap();
        (folder, Arc::new(phone))
    }

    fn files(phone: &Arc<Phone>) -> Files {
        Files::new(Arc::clone(phone), Jail::new(&phone.disk.media()).unwrap(), Kind::Plain)
    }

    fn body(numbers: &[u64], texts: &[&str]) -> Vec<u8> {
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        numbers.chain(texts.iter().flat_map(|text| format!("{text}\0").into_bytes())).collect()
    }

    fn status_is(status: Status) -> Reply {
        Reply::Status(status)
    }

    fn data(text: &str) -> Reply {
        Reply::Data(text.as_bytes().to_vec())
    }

    #[test]
    fn a_file_lives_from_open_to_removal() {
        let (_folder, phone) = phone();
        let mut files = files(&phone);
        let free = phone.disk.free_bytes();
        let done = || status_is(Status::Success);
        // Handles count from 1 for each connection.
        let steps: Vec<(&str, Operation, Vec<u8>, Reply)> = vec![
            ("make a folder and the one above", Operation::MakeFolder, body(&[], &["a/b"]), done()),
            ("making it again is no mistake", Operation::MakeFolder, body(&[], &["/a/b"]), done()),
            (
                "read what is not there",
                Operation::Open,
                body(&[1], &["a/f"]),
                status_is(Status::ObjectNotFound),
            ),
            ("open a folder", Operation::Open, body(&[3], &["a/b"]), status_is(Status::ObjectIsFolder)),
            (
                "a mode that is none",
                Operation::Open,
                body(&[7], &["a/f"]),
                status_is(Status::InvalidArgument),
            ),
            ("write it new", Operation::Open, body(&[4], &["a/f"]), Reply::Opened(1)),
            ("write", Operation::Write, body(&[1], &["hello wide world"])[..24].to_vec(), done()),
            ("tell", Operation::Tell, body(&[1], &[]), Reply::Position(16)),
            ("seek from the end", Operation::Seek, body(&[1, 2, (-5_i64).cast_unsigned()], &[]), done()),
            ("read the end", Operation::Read, body(&[1, 100], &[]), data("world")),
            ("read at the end", Operation::Read, body(&[1, 100], &[]), data("")),
            (
                "seek before the start",
                Operation::Seek,
                body(&[1, 0, u64::MAX], &[]),
                status_is(Status::InvalidArgument),
            ),
            ("cut it", Operation::SetSize, body(&[1, 5], &[]), done()),
            ("an exclusive lock", Operation::Lock, body(&[1, 6], &[]), done()),
            ("open it again to append", Operation::Open, body(&[6], &["a/f"]), Reply::Opened(2)),
            ("locked by the other", Operation::Lock, body(&[2, 6], &[]), status_is(Status::WouldBlock)),
            ("unlock", Operation::Lock, body(&[1, 12], &[]), done()),
            ("now it locks", Operation::Lock, body(&[2, 5], &[]), done()),
            ("append", Operation::Write, body(&[2], &["!!"])[..10].to_vec(), done()),
            ("close", Operation::Close, body(&[1], &[]), done()),
            ("close twice", Operation::Close, body(&[1], &[]), status_is(Status::InvalidArgument)),
            ("rename", Operation::Rename, body(&[], &["a/f", "a/b/g"]), done()),
            ("a symbolic link", Operation::MakeLink, body(&[2], &["b/g", "a/s"]), done()),
            (
                "a link again",
                Operation::MakeLink,
                body(&[2], &["b/g", "a/s"]),
                status_is(Status::ObjectExists),
            ),
            ("through the link", Operation::Open, body(&[1], &["a/s"]), Reply::Opened(3)),
            ("read all", Operation::Read, body(&[3, 100], &[]), data("hello!!")),
            ("list", Operation::ReadFolder, body(&[], &["/a"]), data(".\0..\0b\0s\0")),
            ("list a file", Operation::ReadFolder, body(&[], &["/a/b/g"]), status_is(Status::ObjectNotFound)),
            ("cut by name", Operation::TruncatePath, body(&[2], &["a/b/g"]), done()),
            (
                "remove what is not empty",
                Operation::RemovePath,
                body(&[], &["a/b"]),
                status_is(Status::FolderNotEmpty),
            ),
            ("remove all", Operation::RemoveWithContents, body(&[], &["a"]), done()),
            (
                "remove the top",
                Operation::RemoveWithContents,
                body(&[], &["/"]),
                status_is(Status::PermissionDenied),
            ),
            ("no arguments", Operation::Seek, vec![1, 2], status_is(Status::InvalidArgument)),
            ("no such operation", Operation::Unknown, vec![], status_is(Status::OperationNotSupported)),
        ];
        for (what, operation, body, expected) in steps {
            let reply = files.perform(&Request { number: 1, operation, body });
            assert_eq!(reply, expected, "{what}");
        }
        // A link's own few bytes were never counted when it was made, so at most those may be given back too much.
        assert!(phone.disk.free_bytes() >= free && phone.disk.free_bytes() - free < 16);
    }

    #[test]
    fn info_and_hash_tell_what_is_there() {
        let (_folder, phone) = phone();
        let mut files = files(&phone);
        fs::write(phone.disk.media().join("f"), "abcabc").unwrap();
        let mut ask = |operation, body| match files.perform(&Request { number: 1, operation, body }) {
            Reply::Data(data) => data,
            other => unreachable!("{other:?}"),
        };
        // SHA-1 of "abc", from the standard.
        let abc = "a9993e364706816aba3e25717850c26c9cd0d89d";
        let hash = ask(Operation::HashRange, body(&[3, 3], &["f"]));
        assert_eq!(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), abc);
        assert_eq!(ask(Operation::Hash, body(&[], &["f"])).len(), 20);
        let info = String::from_utf8(ask(Operation::FileInfo, body(&[], &["/f"]))).unwrap();
        assert!(info.starts_with("st_size\x006\x00"), "{info:?}");
        assert!(info.contains("st_ifmt\0S_IFREG\0"), "{info:?}");
        let device = String::from_utf8(ask(Operation::DeviceInfo, Vec::new())).unwrap();
        assert!(
            device.starts_with("Model\0iPhone14,5\0FSTotalBytes\x00128000000000\0FSFreeBytes\0"),
            "{device:?}"
        );
    }

    #[test]
    fn a_modification_time_is_set_in_nanoseconds() {
        let (_folder, phone) = phone();
        let mut files = files(&phone);
        fs::write(phone.disk.media().join("f"), "x").unwrap();
        let body = body(&[1_700_000_000_123_456_789], &["f"]);
        let reply = files.perform(&Request { number: 1, operation: Operation::SetModified, body });
        assert_eq!(reply, status_is(Status::Success));
        let modified = fs::metadata(phone.disk.media().join("f")).unwrap().modified().unwrap();
        assert_eq!(modified.duration_since(UNIX_EPOCH).unwrap().as_nanos(), 1_700_000_000_123_456_789);
    }

    #[test]
    fn each_deleted_crash_report_is_told() {
        let (_folder, phone) = phone();
        let crashes = phone.disk.crashes();
        fs::create_dir(crashes.join("Retired")).unwrap();
        for name in ["a.ips", "b.ips", "Retired/c.ips"] {
            fs::write(crashes.join(name), "x").unwrap();
        }
        let jail = Jail::new(&crashes).unwrap();
        let mut files = Files::new(Arc::clone(&phone), jail, Kind::CrashReports);
        for (operation, path) in [
            (Operation::RemovePath, "/a.ips"),
            (Operation::RemovePath, "/a.ips"),
            (Operation::RemoveWithContents, "Retired"),
        ] {
            files.perform(&Request { number: 1, operation, body: body(&[], &[path]) });
        }
        let told: Vec<Event> = phone.events.after(0).into_iter().map(|entry| entry.event).collect();
        let deleted = |path: &str| Event::CrashFileDeleted { path: path.to_owned() };
        assert_eq!(told, [deleted("a.ips"), deleted("Retired/c.ips")]);
    }

    proptest::proptest! {
        // Each case makes a phone's folders on disk.
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn random_requests_never_panic(
            operations in proptest::collection::vec((0_u64..0x28, proptest::collection::vec(0_u8..5, 0..40)), 1..20)
        ) {
            let (_folder, phone) = phone();
            let mut files = files(&phone);
            for (number, body) in operations {
                let operation = Operation::from_number(number);
                files.perform(&Request { number, operation, body });
            }
        }
    }
}
