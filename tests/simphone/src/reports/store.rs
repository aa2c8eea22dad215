//! The crash folder of one phone: names, half-written files, and the limit of waiting files. What stands in a report
//! is made elsewhere in this module.
//!
//! The limit counts the files that are on the disk now, by kind and process. At the limit a report with a known
//! signature is dropped in silence, and only the time stamp of the first file with that signature moves; a report with
//! a new signature makes room by deleting older duplicates, and is refused when there are none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::binary::{Binaries, Binary, BinaryError};
use super::report::Report;
use crate::events::Event;
use crate::log::{Level, LogLine};
use crate::phone::Phone;

/// How many files of one kind and process may wait, unless the kind has its own limit.
pub const COUNT_LIMIT: usize = 25;

/// The kinds that have another limit; `None` is no limit.
const COUNT_LIMITS: &[(&str, Option<usize>)] =
    &[("187", Some(100)), ("210", None), ("211", Some(150)), ("288", Some(100)), ("328", Some(250))];

/// Where the crash folder is on a phone.
const FOLDER: &str = "/var/mobile/Library/Logs/CrashReporter";

/// Who writes reports, and its pid in the table of processes.
const WRITER: (u32, &str) =
    (118, "/System/Library/PrivateFrameworks/OSAnalytics.framework/osanalyticshelper");

/// The crash reports of one phone.
#[derive(Debug, Default)]
pub struct Reports {
    inner: Mutex<Inner>,
    binaries: Binaries,
}

#[derive(Debug, Default)]
struct Inner {
    /// In the order in which they were written.
    saved: Vec<Saved>,
    /// Every name that was ever given, so that a collected and deleted file is not followed by another of its name.
    names: BTreeSet<String>,
    for_flush: Vec<Report>,
    limits: BTreeMap<String, usize>,
}

#[derive(Debug, Clone)]
struct Saved {
    key: String,
    signature: u64,
    path: PathBuf,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in the crash folder under this name.
    Written(String),
    /// It was dropped without a word: the file of this name has its signature.
    Duplicate(String),
    /// The limit has been reached.
    Refused,
    /// The disk is full or failed.
    NoRoom,
}

impl Outcome {
    /// Whether there is a file now.
    #[must_use]
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }
}

impl Reports {
    /// Sets the limit of waiting files for one kind, such as `309`.
    pub fn set_limit(&self, bug_type: &str, files_max: usize) {
        self.lock().limits.insert(bug_type.to_owned(), files_max);
    }

    /// Writes a report, or not, as the limit says; tells the system log and the phone's events.
    pub fn save(&self, phone: &Phone, report: &Report) -> Outcome {
        let mut inner = self.lock();
        let folder = phone.disk.crashes();
        inner.saved.retain(|saved| saved.path.exists());
        let key = format!("{}_{}", report.bug_type, report.process);
        let limit = inner.limit(report.bug_type);
        let waiting = |inner: &Inner| inner.saved.iter().filter(|saved| saved.key == key).count();
        if limit.is_some_and(|limit| waiting(&inner) >= limit) {
            let same = |saved: &&Saved| saved.key == key && saved.signature == report.signature;
            if let Some(first) = inner.saved.iter().find(same) {
                touch(&first.path);
                let (name, lost) = (name_of(&first.path), format!("{}.ips", report.stem));
                let reason = format!("the limit is reached and {name} has the same signature");
                phone.events.record(Event::CrashFileLost { path: lost, reason });
                return Outcome::Duplicate(name);
            }
            inner.delete_duplicates(phone, &key);
        }
        if let Some(limit) = limit.filter(|limit| waiting(&inner) >= *limit) {
            let kind = report.bug_type;
            let told = format!(
                "Report of type '{kind}({key})' not saved because the limit of {limit} logs has been reached"
            );
            log(phone, Level::Error, told);
            let lost = format!("{}.ips", report.stem);
            phone
                .events
                .record(Event::CrashFileLost { path: lost, reason: "the limit is reached".to_owned() });
            return Outcome::Refused;
        }
        let name = inner.new_name(&folder, &report.stem);
        if let Err(error) = write(phone, &folder, &name, report) {
            log(
                phone,
                Level::Error,
                format!("Failed to save type '{}({key})' report: {error}", report.bug_type),
            );
            phone
                .events
                .record(Event::CrashFileLost { path: name, reason: format!("cannot write: {error}") });
            return Outcome::NoRoom;
        }
        inner.saved.push(Saved { key: key.clone(), signature: report.signature, path: folder.join(&name) });
        let (kind, number) = (report.bug_type, waiting(&inner));
        let of = limit.map_or_else(String::new, |limit| format!(" of max {limit}"));
        phone.events.record(Event::CrashFileWritten { path: name.clone() });
        log(
            phone,
            Level::Notice,
            format!("Saved type '{kind}({key})' report ({number}{of}) at {FOLDER}/{name}"),
        );
        Outcome::Written(name)
    }

    /// Writes every report that waits for `com.apple.crashreportmover`.
    pub fn flush(&self, phone: &Phone) {
        let waiting = std::mem::take(&mut self.lock().for_flush);
        for report in waiting {
            self.save(phone, &report);
        }
    }

    /// Renames a report to `<name>.synced`, as iOS does with one that was copied to another device or uploaded.
    ///
    /// # Errors
    /// When there is no such report.
    pub fn mark_synced(&self, phone: &Phone, name: &str) -> io::Result<()> {
        self.rename(phone, name, &format!("{name}.synced"))
    }

    /// Moves a report to `Retired/`, where it does not count any more.
    ///
    /// # Errors
    /// When there is no such report.
    pub fn retire(&self, phone: &Phone, name: &str) -> io::Result<()> {
        fs::create_dir_all(phone.disk.crashes().join("Retired"))?;
        self.rename(phone, name, &format!("Retired/{name}"))?;
        self.lock()
            .saved
            .retain(|saved| !saved.path.parent().is_some_and(|folder| folder.ends_with("Retired")));
        Ok(())
    }

    fn rename(&self, phone: &Phone, from: &str, to: &str) -> io::Result<()> {
        let plain = |name: &str| !name.split('/').any(|part| part.is_empty() || part == "..");
        if !plain(from) || !plain(to) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name inside the crash folder"));
        }
        let folder = phone.disk.crashes();
        let (from, to) = (folder.join(from), folder.join(to));
        let mut inner = self.lock();
        fs::rename(&from, &to)?;
        if let Some(saved) = inner.saved.iter_mut().find(|saved| saved.path == from) {
            saved.path = to;
        }
        Ok(())
    }

    /// Begins a report that will be finished later: half of it under its name with a dot in front.
    pub(super) fn begin(&self, phone: &Phone, report: &Report) -> Option<PathBuf> {
        let folder = phone.disk.crashes();
        let path = folder.join(format!(".{}.ips", report.stem));
        let half = report.text.len() / 2;
        fs::write(&path, &report.text.as_bytes()[..half]).ok().map(|()| path)
    }

    /// Takes away what [`begin`](Self::begin) wrote.
    pub(super) fn abandon(&self, half: &Path) {
        // It is gone when the finished file took its name.
        let _gone = fs::remove_file(half);
    }

    pub(super) fn keep_for_flush(&self, report: Report) {
        self.lock().for_flush.push(report);
    }

    pub(super) fn binary(&self, path: &Path) -> Result<Arc<Binary>, BinaryError> {
        self.binaries.get(path)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn limit(&self, bug_type: &str) -> Option<usize> {
        if let Some(limit) = self.limits.get(bug_type) {
            return Some(*limit);
        }
        COUNT_LIMITS.iter().find(|(kind, _)| *kind == bug_type).map_or(Some(COUNT_LIMIT), |(_, limit)| *limit)
    }

    /// Deletes the older ones of those files of a kind and process that have the same signature.
    fn delete_duplicates(&mut self, phone: &Phone, key: &str) {
        let mut newer = BTreeSet::new();
        let mut kept = Vec::new();
        for saved in std::mem::take(&mut self.saved).into_iter().rev() {
            if saved.key != key || newer.insert(saved.signature) {
                kept.push(saved);
                continue;
            }
            let path = name_of(&saved.path);
            let reason = "deleted as an older duplicate, to make room".to_owned();
            match fs::remove_file(&saved.path) {
                Ok(()) => phone.events.record(Event::CrashFileLost { path, reason }),
                Err(error) => tracing::warn!(%error, path, "cannot delete a duplicate crash report"),
            }
        }
        kept.reverse();
        self.saved = kept;
    }

    /// A name that no report had before: the second of one second gets a number.
    fn new_name(&mut self, folder: &Path, stem: &str) -> String {
        let plain = format!("{stem}.ips");
        let numbered = (0_u32..).map(|number| format!("{stem}.{number:03}.ips"));
        let mut names = std::iter::once(plain).chain(numbered);
        let free = names.find(|name| !self.names.contains(name) && !folder.join(name).exists());
        let name = free.unwrap_or_default();
        self.names.insert(name.clone());
        name
    }
}

/// Writes the whole file under its name with a dot in front, then renames it.
fn write(phone: &Phone, folder: &Path, name: &str, report: &Report) -> io::Result<()> {
    let bytes = report.text.len() as u64;
    phone.disk.reserve(bytes).map_err(|full| io::Error::new(io::ErrorKind::StorageFull, full))?;
    let hidden = folder.join(format!(".{name}"));
    let written = fs::create_dir_all(folder)
        .and_then(|()| File::create(&hidden))
        .and_then(|mut file| file.write_all(report.text.as_bytes()))
        .and_then(|()| fs::rename(&hidden, folder.join(name)));
    if written.is_err() {
        phone.disk.release(bytes);
    }
    written
}

fn touch(path: &Path) {
    let touched =
        File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::warn!(%error, path = %path.display(), "cannot touch a crash report");
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn log(phone: &Phone, level: Level, message: String) {
    let line = LogLine::notice(phone.clock.now(), WRITER.0, WRITER.1, message)
        .labelled("OSAnalytics", "com.apple.osanalytics", "diagnosticLogs")
        .level(level);
    phone.log.write(line);
}
