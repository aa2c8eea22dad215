//! From bytes to a report: which reader each container and text needs, in which order.

use crate::body::{read_body, read_header};
use crate::container::{Container, Parts, places, take_apart};
use crate::ended::{ended_by, find_uncaught};
use crate::json::{Fault, Members};
use crate::kind::Kind;
use crate::lines::known;
use crate::microstackshot::{is_sampled_text, read_sampled_text};
use crate::phase::launch_phase;
use crate::report::{Exception, Report};
use crate::system::read_system;
use crate::tape::Node;
use crate::text::read_crash_text;

/// Reads one report file, whatever it holds.
///
/// Never fails and never panics: what can be had is had, [`Report::malformed`] says what is wrong and where, and a file in
/// which nothing can be read is a report whose container is [`Container::Unreadable`]. Time and memory grow with the
/// file's length, up to [`crate::FILE_BYTES_MAX`].
pub fn read(bytes: &[u8]) -> Report {
    let parts = take_apart(bytes, Members::Known);
    let mut report = Report::empty(parts.container);
    let mut faults = parts.faults.clone();
    read_header(&mut report, &parts);
    read_body(&mut report, &parts);
    read_system(&mut report, &parts);
    stackshot_code(&mut report, &parts);
    if let Some(text) = parts.text {
        if is_sampled_text(text) {
            read_sampled_text(&mut report, text);
        } else {
            read_crash_text(&mut report, text);
        }
    }
    faults.extend(missing_body(&report, bytes));
    report.uncaught = report.uncaught.take().or_else(|| find_uncaught(&report));
    report.ended_by = ended_by(&report);
    report.launch_phase = launch_phase(&report);
    report.unread = parts.unread.clone();
    report.malformed = places(bytes, faults);
    report
}

/// A stackshot's `exception` is a bare code.
fn stackshot_code(report: &mut Report, parts: &Parts<'_>) {
    if report.kind == Kind::Stackshot
        && let Some(codes) = parts.body("exception").and_then(Node::str).and_then(known)
    {
        report.exception = Some(Exception { codes: Some(codes), ..Exception::default() });
    }
}

/// Some kinds are a header and nothing else; a crash without a body was cut off.
fn missing_body(report: &Report, bytes: &[u8]) -> Option<Fault> {
    let cut_off = report.container == Container::HeaderOnly
        && (report.kind.has_threads() || matches!(report.kind, Kind::Jetsam | Kind::Panic));
    cut_off.then(|| Fault {
        offset: bytes.len(),
        what: "the file ends after the header; the report itself is missing".to_owned(),
    })
}
