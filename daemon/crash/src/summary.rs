//! One line about one report: for lists, messages and tickets.

use crate::kind::Kind;
use crate::moment::Moment;
use crate::report::{Frame, LaunchPhase, Report};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The little that a list shows of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The sort of report.
    pub kind: Kind,
    /// The process; of a memory shortage the first that was killed.
    pub process: Option<String>,
    /// Its bundle identifier.
    pub bundle_id: Option<String>,
    /// Version and build, as far as known: `1.0 (1)`.
    pub version: Option<String>,
    /// When it happened, else when it was written.
    pub at: Option<Moment>,
    /// What ended the process, in words.
    pub ended_by: String,
    /// How far the process had come.
    pub launch_phase: LaunchPhase,
    /// The topmost frame of the app itself: `Chat -[Room open:] + 32`, or image and offset without a symbol.
    pub top_in_app: Option<String>,
    /// Whether something is wrong with the file.
    pub malformed: bool,
}

/// Sums a report up.
pub fn summary(report: &Report) -> Summary {
    let victim = || {
        report
            .jetsam
            .as_ref()
            .and_then(|jetsam| jetsam.victims.first())
            .and_then(|victim| victim.name.clone())
    };
    let version = match (&report.app_version, &report.app_build) {
        (Some(version), Some(build)) => Some(format!("{version} ({build})")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    };
    Summary {
        kind: report.kind,
        process: report.process.clone().or_else(victim),
        bundle_id: report.bundle_id.clone(),
        version,
        at: report.captured_at.or(report.written_at),
        ended_by: report.ended_by.words.clone(),
        launch_phase: report.launch_phase,
        top_in_app: report
            .top_in_app()
            .map(|frame| format!("{} {}", frame.image.as_deref().unwrap_or("?"), place(frame))),
        malformed: !report.malformed.is_empty(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = match (self.process.as_deref().unwrap_or(self.kind.words()), &self.version) {
            (process, Some(version)) => format!("{process} {version}"),
            (process, None) => process.to_owned(),
        };
        write!(formatter, "{}", titled(&title, &self.ended_by))?;
        if let Some(frame) = &self.top_in_app {
            write!(formatter, ", in {frame}")?;
        }
        if self.malformed {
            write!(formatter, " [file damaged]")?;
        }
        Ok(())
    }
}

/// A sentence under its title, which is not said twice.
pub(crate) fn titled(title: &str, words: &str) -> String {
    if words.starts_with(title) { words.to_owned() } else { format!("{title}: {words}") }
}

/// `symbol + 12 (file:line)`, of the file its name without its folders; else `+ offset` in the image, else the address.
pub fn place(frame: &Frame) -> String {
    let Some(symbol) = &frame.symbol else {
        return match (frame.offset, frame.address) {
            (Some(offset), _) => format!("+ 0x{offset:x}"),
            (None, Some(address)) => format!("0x{address:x}"),
            (None, None) => "?".to_owned(),
        };
    };
    let offset = frame.symbol_offset.map(|offset| format!(" + {offset}")).unwrap_or_default();
    let source = match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!(" ({}:{line})", name_of(file)),
        (Some(file), None) => format!(" ({})", name_of(file)),
        (None, _) => String::new(),
    };
    let inlined = if frame.inlined { " [inlined]" } else { "" };
    format!("{symbol}{inlined}{offset}{source}")
}

/// A path's last part.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
