//! A first look into a crash file: whose process it was. Everything else in it is the daemon's to read.
//!
//! Two JSON documents, header and body (iOS 15 and later); a header with text below it; or anything broken. What
//! cannot be found stays unknown.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use holdfast_attempt::Peek;
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
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Document>();
    for document in documents.by_ref().map_while(Result::ok) {
        peek.bundle_id = peek.bundle_id.or(document.bundle_id);
        peek.bundle_id = peek.bundle_id.or(document.bundle_info.and_then(|info| info.identifier));
        peek.process = document.process.or(peek.process).or(document.app_name);
        pids.extend(document.pid);
        pids.extend(document.processes.iter().filter(|one| one.reason.is_some()).filter_map(|one| one.pid));
    }
    if pids.is_empty() {
        let rest = bytes.get(documents.byte_offset()..).unwrap_or_default();
        let rest = &rest[..rest.len().min(SEARCHED_BYTES)];
        pids.extend(pid_in_text(&String::from_utf8_lossy(rest)));
    }
    Peek { pids, ..peek }
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
    fn what_is_no_report_tells_nothing() {
        for bytes in [&b""[..], b"\xff\xfe\x00", b"[1,2", b"\"pid\""] {
            assert_eq!(look_at(bytes), Peek::default(), "{bytes:?}");
        }
    }
}
