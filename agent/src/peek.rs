//! A first look into a crash file: whose process it was, and when it ended. Everything else in it is the daemon's to
//! read.
//!
//! Two JSON documents, header and body (iOS 15 and later); a header with text below it; or anything broken. What
//! cannot be found stays unknown.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use holdfast_attempt::Peek;
use holdfast_wire::time::Time;
use serde::Deserialize;

use crate::error::AgentError;

/// Bytes that are looked at: the process is named near the top, and the largest report seen is below 2 MB.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of a broken report that are searched for the process number: it stands before threads and images.
const SEARCHED_BYTES: usize = 64 * 1024;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    #[serde(rename = "bundleID")]
    bundle_id: Option<String>,
    app_name: Option<String>,
    pid: Option<u32>,
    #[serde(rename = "procName")]
    process: Option<String>,
    #[serde(rename = "bundleInfo")]
    bundle_info: Option<BundleInfo>,
    /// Of a report that the system ran out of memory: every process, those it ended with a reason.
    processes: Vec<Process>,
    slice_uuid: Option<String>,
    #[serde(rename = "usedImages")]
    images: Vec<Image>,
    /// When it happened.
    #[serde(rename = "captureTime")]
    captured: Option<String>,
    /// The same in reports of the whole system.
    date: Option<String>,
    /// When the file was written: the only time of many kinds, which are written at once.
    timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image {
    uuid: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BundleInfo {
    #[serde(rename = "CFBundleIdentifier")]
    identifier: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    pid: Option<u32>,
    reason: Option<String>,
    uuid: Option<String>,
}

/// Looks into a file on the rack.
///
/// # Errors
/// [`AgentError::Disk`]; a report that cannot be understood is no error.
pub fn look(path: &Path) -> Result<Peek, AgentError> {
    let file = std::fs::File::open(path).map_err(AgentError::disk("open", path))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(AgentError::disk("read", path))?;
    Ok(look_at(&bytes))
}

/// Looks into the bytes of a report.
pub fn look_at(bytes: &[u8]) -> Peek {
    let mut peek = Peek::default();
    let mut pids = BTreeSet::new();
    let mut uuids = BTreeSet::new();
    let (mut captured, mut written) = (None, None);
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Document>();
    for document in documents.by_ref().map_while(Result::ok) {
        peek.bundle_id = peek.bundle_id.or(document.bundle_id);
        peek.bundle_id = peek.bundle_id.or(document.bundle_info.and_then(|info| info.identifier));
        peek.process = document.process.or(peek.process).or(document.app_name);
        captured = captured.or(document.captured).or(document.date);
        written = written.or(document.timestamp);
        uuids.extend(document.slice_uuid);
        uuids.extend(document.images.into_iter().filter_map(|image| image.uuid));
        pids.extend(document.pid);
        for ended in document.processes.into_iter().filter(|one| one.reason.is_some()) {
            pids.extend(ended.pid);
            uuids.extend(ended.uuid);
        }
    }
    let rest = bytes.get(documents.byte_offset()..).unwrap_or_default();
    let rest = String::from_utf8_lossy(&rest[..rest.len().min(SEARCHED_BYTES)]);
    if pids.is_empty() {
        pids.extend(pid_in_text(&rest));
    }
    let captured = captured.or_else(|| time_in_text(&rest)).as_deref().and_then(moment);
    Peek {
        pids,
        happened_at: captured.or_else(|| written.as_deref().and_then(moment)),
        uuids: uuids.into_iter().map(|uuid| uuid.to_ascii_lowercase()).collect(),
        ..peek
    }
}

/// The time in a broken body (`"captureTime" : "…"`) or in a text report (`Date/Time: …`).
fn time_in_text(text: &str) -> Option<String> {
    let quoted = || {
        let (_, rest) = text.split_once("\"captureTime\"")?;
        rest.trim_start_matches([' ', ':']).strip_prefix('"')?.split('"').next()
    };
    let in_line = || text.split_once("Date/Time:")?.1.lines().next();
    quoted().or_else(in_line).map(|time| time.trim().to_owned())
}

/// `2025-12-31 00:18:47.00 +0300`, with or without a fraction, with `T` or `Z`. A time without a zone tells nothing.
fn moment(text: &str) -> Option<Time> {
    let exact = text.parse::<jiff::Timestamp>().ok();
    let stamp = exact.or_else(|| jiff::Timestamp::strptime("%Y-%m-%d %H:%M:%S%.f %z", text).ok())?;
    Some(Time::from(stamp))
}

/// The process number in a broken body (`"pid" : 412`) or in a text report (`PID: 412`, `Process: Mooring [412]`).
fn pid_in_text(text: &str) -> Option<u32> {
    let after = |key: &str| text.split_once(key).map(|(_, rest)| rest);
    let number = |rest: &str| {
        let rest = rest.trim_start_matches([' ', '\t', ':']);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let in_brackets = || {
        let line = after("Process:")?.lines().next()?;
        number(line.split_once('[')?.1)
    };
    after("\"pid\"").and_then(number).or_else(|| after("\nPID:").and_then(number)).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_found_in_every_shape_of_report() {
        let header = r#"{"app_name":"Mooring","bundleID":"org.example.mooring","bug_type":"309"}"#;
        let cases = [
            (format!("{header}\n{{\"pid\" : 412, \"threads\":[{{\"x\":18446726482597246976}}]}}"), "412"),
            (format!("{header}\n{{\"uptime\" : 3,\n \"pid\" : 413, \"threads\" : [ {{"), "413"),
            (format!("{header}\nCommand:  Mooring\nPID:   414\n"), "414"),
            (format!("{header}\nProcess:   Mooring [415]\nPath: x"), "415"),
            (format!("{header}\n"), ""),
            (
                format!(
                    "{header}\n{{\"processes\":[{{\"pid\":7}},{{\"pid\":8,\"reason\":\"vnode-limit\"}}]}}"
                ),
                "8",
            ),
        ];
        for (text, expected) in cases {
            let peek = look_at(text.as_bytes());
            let pids: Vec<String> = peek.pids.iter().map(u32::to_string).collect();
            assert_eq!(pids.join(" "), expected, "{text}");
            assert_eq!(peek.bundle_id.as_deref(), Some("org.example.mooring"), "{text}");
            assert_eq!(peek.process.as_deref(), Some("Mooring"), "{text}");
        }
    }

    #[test]
    fn the_time_is_when_it_happened_and_not_when_it_was_written() {
        let header = r#"{"bug_type":"309","timestamp":"2026-11-21 06:30:59.00 +0300","slice_uuid":"AA-1"}"#;
        let cases = [
            (r#"{"captureTime":"2026-11-21 06:30:46.1200 +0300","pid":1}"#, "2026-11-21T03:30:46.120Z"),
            (
                "{\"uptime\":3, \"captureTime\" : \"2026-11-21 06:30:46.12 +0300\", \"pid\" : 4",
                "2026-11-21T03:30:46.120Z",
            ),
            (
                "Command: x\nDate/Time:        2026-11-21 06:30:46.120 +0300\nEnd time: y",
                "2026-11-21T03:30:46.120Z",
            ),
            (r#"{"date":"2026-11-21T03:30:46.120Z"}"#, "2026-11-21T03:30:46.120Z"),
            (r#"{"captureTime":"yesterday"}"#, "2026-11-21T03:30:59.000Z"),
            (r#"{"captureTime":"2026-11-21 06:30:46"}"#, "2026-11-21T03:30:59.000Z"),
            ("", "2026-11-21T03:30:59.000Z"),
        ];
        for (body, expected) in cases {
            let peek = look_at(format!("{header}\n{body}").as_bytes());
            assert_eq!(peek.happened_at.map(|at| at.to_string()).as_deref(), Some(expected), "{body}");
        }
        let body = r#"{"usedImages":[{"uuid":"BB-2","source":"P"},{"base":0}]}"#;
        let peek = look_at(format!("{header}\n{body}").as_bytes());
        assert_eq!(peek.uuids, BTreeSet::from(["aa-1".to_owned(), "bb-2".to_owned()]));
    }

    #[test]
    fn what_is_no_report_tells_nothing() {
        for bytes in [&b""[..], b"\xff\xfe\x00", b"[1,2", b"\"pid\""] {
            assert_eq!(look_at(bytes), Peek::default(), "{bytes:?}");
        }
    }
}
