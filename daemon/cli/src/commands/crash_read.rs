//! `holdfast crash read`: report files of this machine, read by the same code as in the daemon.

use std::io::Read;
use std::path::{Path, PathBuf};

use holdfast_crash::{Container, FILE_BYTES_MAX, Report, Rules};
use holdfast_symbols::Symbols;

use super::crash_symbols::{missing, name_frames};
use super::stdout_failed;
use crate::exit::{Exit, Failure};
use crate::output::{Format, printable, write};

/// How a report file is named: on the phone, once it was uploaded, and by older tools.
const NAME_ENDS: [&str; 7] = [".ips", ".beta", ".synced", ".crash", ".panic", ".hang", ".spin"];

/// Whose text is wanted when it is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// Our page.
    Ours,
    /// That of Apple's tools.
    Apples,
}

/// What stands above each text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Titles {
    /// One file was named, and its text is all that is printed.
    None,
    /// The name of the file.
    FileNames,
}

/// What is printed of each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One JSON object a line.
    Line,
    /// What happened first, then the stack that matters.
    Page,
    /// The text of Apple's tools.
    AppleText,
}

/// Where a file was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// On the command line: whatever it holds, it has an answer.
    ByHand,
    /// In a folder, where other files may lie too.
    InFolder,
}

/// Reads and prints every file, whatever became of those before it.
pub(super) fn run(
    format: Format,
    wanted: Texts,
    symbols: Option<Symbols>,
    files: &[PathBuf],
) -> Result<Exit, Failure> {
    let form = match (format, wanted) {
        (Format::Json, Texts::Apples) => {
            return Err(Failure::Request("--json and --text are two forms; say one".to_owned()));
        }
        (Format::Json, Texts::Ours) => Form::Line,
        (Format::Text, Texts::Apples) => Form::AppleText,
        (Format::Text, Texts::Ours) => Form::Page,
    };
    let titles = match files {
        [one] if !one.is_dir() => Titles::None,
        _ => Titles::FileNames,
    };
    let mut reading = Reading::new(form, titles, symbols);
    for file in files {
        reading.named(file)?;
    }
    reading.end()
}

/// What was read so far.
#[derive(Debug)]
struct Reading {
    form: Form,
    titles: Titles,
    rules: Rules,
    symbols: Option<Symbols>,
    printed: usize,
    unreadable: usize,
    /// Files in folders that are no reports.
    left_out: usize,
    failed: Option<Exit>,
}

impl Reading {
    fn new(form: Form, titles: Titles, symbols: Option<Symbols>) -> Self {
        Self {
            form,
            titles,
            rules: Rules::default(),
            symbols,
            printed: 0,
            unreadable: 0,
            left_out: 0,
            failed: None,
        }
    }

    /// One name of the command line.
    fn named(&mut self, path: &Path) -> Result<(), Failure> {
        if path.as_os_str() == "-" {
            let bytes = bounded(std::io::stdin().lock());
            return self.file(path, Named::ByHand, bytes);
        }
        for found in walk(path) {
            match found {
                Found::File(path, named) => self.file(&path, named, read(&path))?,
                Found::Other => self.left_out += 1,
                Found::Closed(path, cause) => self.fail(&path, &cause),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, named: Named, bytes: std::io::Result<Vec<u8>>) -> Result<(), Failure> {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(cause) => {
                self.fail(path, &cause);
                return Ok(());
            }
        };
        let mut report = holdfast_crash::read(&bytes);
        if report.container == Container::Unreadable {
            if named == Named::InFolder && !is_named_like_a_report(path) {
                self.left_out += 1;
                return Ok(());
            }
            self.unreadable += 1;
        }
        if let Some(symbols) = &mut self.symbols {
            name_frames(symbols, path, &mut report);
        }
        let mut words = self.words(path, &bytes, &report)?;
        if !words.ends_with('\n') {
            words.push('\n');
        }
        self.printed += 1;
        write(words.as_bytes()).map_err(stdout_failed)
    }

    fn words(&self, path: &Path, bytes: &[u8], report: &Report) -> Result<String, Failure> {
        let name = path.display().to_string();
        let title = match (self.titles, self.printed) {
            (Titles::None, _) => String::new(),
            (Titles::FileNames, 0) => format!("==> {} <==\n", printable(&name)),
            (Titles::FileNames, _) => format!("\n==> {} <==\n", printable(&name)),
        };
        match self.form {
            Form::Line => serde_json::to_string(&holdfast_crash::document(&name, report, &self.rules))
                .map_err(|cause| stdout_failed(std::io::Error::other(cause))),
            Form::Page => Ok(title + &self.page(report)),
            Form::AppleText => Ok(title
                + &match holdfast_crash::apple_text(bytes, report) {
                    Some(text) => harmless(&text),
                    None => self.page(report),
                }),
        }
    }

    fn page(&self, report: &Report) -> String {
        let page = holdfast_crash::render_text(report) + &missing(report);
        match holdfast_crash::signature(report, &self.rules) {
            Some(signature) => format!(
                "{page}\nsignature {} ({}, version {})\n",
                printable(&signature.to_string()),
                signature.id(),
                signature.version
            ),
            None => page,
        }
    }

    /// Says what is wrong with a file; the others are still read.
    fn fail(&mut self, path: &Path, cause: &std::io::Error) {
        let missing = cause.kind() == std::io::ErrorKind::NotFound;
        self.failed = self.failed.or(Some(if missing { Exit::NotFound } else { Exit::Error }));
        eprintln!("error: cannot read {}\n  because: {cause}", path.display());
    }

    fn end(&self) -> Result<Exit, Failure> {
        if self.left_out > 0 {
            eprintln!("left out {} files that are no reports", self.left_out);
        }
        if self.printed == 0 && self.failed.is_none() {
            return Err(Failure::Request("there is no report in what was named".to_owned()));
        }
        let unreadable = (self.unreadable > 0).then_some(Exit::Refused);
        Ok(self.failed.or(unreadable).unwrap_or(Exit::Done))
    }
}

/// Something that was named, or that lies in a folder that was.
#[derive(Debug)]
pub(super) enum Found {
    /// A file.
    File(PathBuf, Named),
    /// In a folder, what is neither a file nor a folder.
    Other,
    /// What cannot be looked at.
    Closed(PathBuf, std::io::Error),
}

/// What was named; of a folder everything in it in the order of names, without following links out of it.
pub(super) fn walk(path: &Path) -> Vec<Found> {
    if !path.is_dir() {
        return vec![Found::File(path.to_owned(), Named::ByHand)];
    }
    let mut found = Vec::new();
    inside(path, &mut found);
    found
}

fn inside(folder: &Path, found: &mut Vec<Found>) {
    let entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut entries: Vec<PathBuf> = match entries {
        Ok(entries) => entries,
        Err(cause) => return found.push(Found::Closed(folder.to_owned(), cause)),
    };
    entries.sort();
    for path in entries {
        // A phone writes a file under such a name first, and renames it when it is whole.
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        match path.symlink_metadata() {
            Ok(about) if about.is_dir() => inside(&path, found),
            Ok(about) if about.is_file() => found.push(Found::File(path, Named::InFolder)),
            Ok(_) => found.push(Found::Other),
            Err(cause) => found.push(Found::Closed(path, cause)),
        }
    }
}

fn is_named_like_a_report(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    NAME_ENDS.iter().any(|end| name.ends_with(end))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    bounded(std::fs::File::open(path)?)
}

/// One byte more than the reader takes, so that it knows of the rest.
fn bounded(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A text keeps its lines and tabs; nothing else in it may move the cursor.
pub(super) fn harmless(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .map(|piece| match piece.chars().last() {
            Some(end @ ('\n' | '\t')) => {
                let body = piece.strip_suffix(end).unwrap_or(piece);
                printable(body.strip_suffix('\r').unwrap_or(body)) + end.encode_utf8(&mut [0; 4])
            }
            _ => printable(piece),
        })
        .collect()
}
