//! Crash files as they arrive: bytes from the blobs, read by `daemon/crash`, shortened to what a list shows. A file
//! that cannot be read is kept and listed as such. What a report says in full is worked out anew for each reader.

use holdfast_crash::{Container, Malformed, Report, Rules};
use holdfast_wire::api::CrashView;
use holdfast_wire::crash::{CrashSource, MissingDsym};
use holdfast_wire::id::CrashId;
use holdfast_wire::time::Time;

use crate::blobs::{BlobError, Blobs};
use crate::symbols::{SourceRoots, Symbols};

/// Longest text of a list entry, in characters: a table cell, and a bound on what a hostile file puts into the store.
const TEXT_CHARS_MAX: usize = 300;

/// Faults of a file that its list entry names; the report names them all.
const FAULTS_MAX: usize = 10;

/// Missing symbols that its list entry names: the report names them all, and an app has some dozens of frameworks.
const MISSING_MAX: usize = 20;

/// The kind that people are shown for a file of which nothing can be read.
const UNREADABLE: &str = "unreadable";

/// A crash file that was read.
#[derive(Debug)]
pub struct Read {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they say.
    pub report: Report,
}

/// Reads a crash file that has been put, and names its frames by the symbols that are here; none when its bytes are not there. Off the async threads: a large file
/// takes a while.
///
/// # Errors
/// The disk does not serve.
pub async fn read(blobs: &Blobs, symbols: &Symbols, id: CrashId) -> Result<Option<Read>, BlobError> {
    let (blobs, library) = (blobs.clone(), symbols.library.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let bytes = blobs.read(&id.into())?;
        Ok(bytes.map(|bytes| {
            let mut report = holdfast_crash::read(&bytes);
            library.symbolicate(&mut report);
            Read { bytes, report }
        }))
    });
    reading.await.unwrap_or_else(|error| Err(BlobError::BrokenOff { what: error.to_string() }))
}

/// What lists show of a crash, with its signature by these rules. Its build, case and group are the loop's to find.
pub fn view(
    origin: CrashSource,
    size_bytes: u64,
    report: &Report,
    rules: &Rules,
    roots: &SourceRoots,
) -> CrashView {
    let summary = holdfast_crash::summary(report);
    let origin = CrashSource { size_bytes, path: short(&origin.path), ..origin };
    let of_process = report.kind.has_threads() || !report.threads.is_empty();
    CrashView {
        origin,
        kind: kind(report),
        process: summary.process.as_deref().map(short),
        bundle_id: summary.bundle_id.as_deref().map(short),
        ended_by: Some(short(&summary.ended_by)),
        top_frame: top_frame(report),
        captured_at: summary.at.map(|moment| moment.to_string()),
        malformed: report.malformed.iter().take(FAULTS_MAX).map(|fault| short(&fault_words(fault))).collect(),
        launch_phase: of_process.then(|| report.launch_phase.words().to_owned()),
        app_version: report.version().as_deref().map(short),
        os_version: report.os_version.as_deref().map(short),
        device_model: report.device_model.as_deref().map(short),
        slice_uuid: report.slice_uuid.as_deref().map(short),
        happened_at: summary.at.map(|moment| Time::from_unix_ms(moment.at.as_millisecond())),
        signature: crate::groups::sign(report, rules),
        build: None,
        case: None,
        group: None,
        placed_by_hand: false,
        missing_symbols: Some(missing(report)),
        top_file: top_file(report, roots),
        incident: report.incident_id.as_deref().map(|incident| short(incident).to_uppercase()),
        twin_of: None,
    }
}

/// What lists show of where it happened.
pub fn top_frame(report: &Report) -> Option<String> {
    holdfast_crash::summary(report).top_in_app.as_deref().map(short)
}

/// The source file of that, as a path in the repository when it lies in one of the roots.
pub fn top_file(report: &Report, roots: &SourceRoots) -> Option<String> {
    report.top_in_app()?.file.as_deref().map(|file| short(roots.relative(file)))
}

/// The symbols that nobody has, as far as its list entry names them.
pub fn missing(report: &Report) -> Vec<MissingDsym> {
    let missing = holdfast_crash::missing_symbols(report).into_iter().take(MISSING_MAX);
    missing.map(|it| MissingDsym { image: short(&it.image), uuid: short(&it.uuid), asked: None }).collect()
}

fn kind(report: &Report) -> String {
    if report.container == Container::Unreadable {
        return UNREADABLE.to_owned();
    }
    match serde_json::to_value(report.kind) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => report.kind.words().to_owned(),
    }
}

fn fault_words(fault: &Malformed) -> String {
    format!("line {}, column {}: {}", fault.place.line, fault.place.column, fault.what)
}

fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn viewed(bytes: &[u8]) -> CrashView {
        let origin = CrashSource {
            id: CrashId::new(*blake3::hash(bytes).as_bytes()),
            phone: Some("00008110-000A2D8E3C41801E".parse().unwrap()),
            rack: Some("r1".parse().unwrap()),
            path: "Mooring.ips".to_owned(),
            size_bytes: 0,
            collected_at: Time::from_unix_ms(0),
            attempt: None,
        };
        view(
            origin,
            bytes.len() as u64,
            &holdfast_crash::read(bytes),
            &Rules::default(),
            &SourceRoots::default(),
        )
    }

    #[test]
    fn a_file_that_cannot_be_read_is_listed_as_such() {
        let view = viewed(b"\xff\xfe\x00 nothing that a phone writes");
        assert_eq!(view.kind, "unreadable");
        assert!(view.malformed[0].starts_with("line 1, column 1: "), "{:?}", view.malformed);
    }

    #[test]
    fn a_sound_file_is_listed_by_what_it_says() {
        let view = viewed(include_bytes!("../crash/fixtures/watchdog_launch.ips"));
        assert_eq!((view.kind.as_str(), view.process.as_deref()), ("crash", Some("Chat")));
        assert_eq!(view.bundle_id.as_deref(), Some("example.holdfast.chat"));
        assert!(view.origin.size_bytes > 1_000, "the bytes are counted here, not believed");
        assert!(view.malformed.is_empty(), "{:?}", view.malformed);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(short(&"é".repeat(TEXT_CHARS_MAX)), "é".repeat(TEXT_CHARS_MAX));
        assert_eq!(short(&"é".repeat(TEXT_CHARS_MAX + 1)), format!("{}…", "é".repeat(TEXT_CHARS_MAX)));
    }
}
