//! Text bodies and legacy texts about one process: what the sections are and which line belongs to which.
//!
//! Single lines are read in [`crate::lines`], texts of sampled stacks in [`crate::microstackshot`].

use crate::images::place_frames;
use crate::kind::Kind;
use crate::lines::{
    Blamed, ThreadLine, frame_line, hex, image_line, known, name_and_pid, name_and_queue, os_version,
    thread_line, two_versions,
};
use crate::moment::Moment;
use crate::report::{ApplicationInfo, Exception, Frame, Report, Termination, Thread};
use crate::system::panic_sign;
use std::collections::BTreeMap;

/// From this release on the version stands before the build: `1.0 (1)`, earlier `1 (1.0)`.
const VERSION_FIRST_SINCE_IOS: u32 = 15;

/// Titles that end whatever section was open and begin one that is not read.
const OTHER_TITLES: [&str; 12] = [
    "Filtered syslog:",
    "Kernel Triage:",
    "External Modification",
    "VM Region Summary:",
    "VM Regions Near",
    "Extra Information:",
    "Application Specific Signatures:",
    "Error Formulating Crash Report:",
    "Global Trace Buffer",
    "Model:",
    "EOF",
    "CrashDoctor Diagnosis:",
];

/// Reads a text about one process into the report; what a JSON header said stays.
pub(crate) fn read_crash_text(report: &mut Report, text: &[u8]) {
    let mut reader = TextReader::new(report);
    for line in text.split(|byte| *byte == b'\n') {
        reader.line(String::from_utf8_lossy(line).trim_end());
    }
    reader.finish();
    place_frames(report);
}

/// Where in the text the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// `Key: value` lines, and what continues them.
    Head,
    /// `Application Specific Information:`
    Said,
    /// Frames of the thread that was started last.
    Thread,
    /// `Last Exception Backtrace:`, or on the Mac `Application Specific Backtrace 1:`
    LastException,
    Images,
    Other,
}

/// A key whose value goes on over the following lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continued {
    Termination,
    VmRegion,
    Nothing,
}

struct TextReader<'r> {
    report: &'r mut Report,
    section: Section,
    continued: Continued,
    names: BTreeMap<u32, String>,
    said: Vec<String>,
    version: Option<String>,
}

impl<'r> TextReader<'r> {
    fn new(report: &'r mut Report) -> TextReader<'r> {
        TextReader {
            report,
            section: Section::Head,
            continued: Continued::Nothing,
            names: BTreeMap::new(),
            said: Vec::new(),
            version: None,
        }
    }

    fn line(&mut self, line: &str) {
        if self.title(line) {
            return;
        }
        match self.section {
            Section::Head => self.head(line),
            Section::Said if line.trim().is_empty() => {}
            Section::Said => self.said.push(line.to_owned()),
            Section::Thread => match frame_line(line) {
                Some(frame) => {
                    if let Some(thread) = self.report.threads.last_mut() {
                        thread.frames.push(frame);
                    }
                }
                None if line.trim().is_empty() => self.section = Section::Head,
                None => {}
            },
            Section::LastException => self.last_exception(line),
            Section::Images => self.report.images.extend(image_line(line)),
            Section::Other => {}
        }
    }

    /// Whether this line begins a section.
    fn title(&mut self, line: &str) -> bool {
        let section = match thread_line(line) {
            Some(ThreadLine::Name(index, name)) => {
                self.names.insert(index, name.to_owned());
                Section::Other
            }
            Some(ThreadLine::Start { index, blamed, name }) => {
                self.start_thread(index, blamed, name);
                Section::Thread
            }
            Some(ThreadLine::Other) => Section::Other,
            None if line.starts_with("Application Specific Information:") => Section::Said,
            None if line.starts_with("Last Exception Backtrace:") => Section::LastException,
            None if line.starts_with("Application Specific Backtrace") => {
                if self.report.last_exception_backtrace.is_empty() {
                    Section::LastException
                } else {
                    Section::Other
                }
            }
            None if line.trim() == "Binary Images:" => Section::Images,
            None if OTHER_TITLES.iter().any(|title| line.starts_with(title)) => Section::Other,
            None if line.starts_with("panic(") && self.report.system_message.is_none() => {
                self.report.system_message = Some(panic_sign(line));
                Section::Other
            }
            None => return false,
        };
        self.section = section;
        self.continued = Continued::Nothing;
        true
    }

    fn start_thread(&mut self, index: u32, blamed: Blamed, title: &str) {
        let title =
            if title.is_empty() { self.names.remove(&index).unwrap_or_default() } else { title.to_owned() };
        let (name, queue) = name_and_queue(&title);
        let triggered = blamed == Blamed::Yes;
        if triggered && self.report.crashed_thread.is_none() {
            self.report.crashed_thread = Some(index);
        }
        self.report.threads.push(Thread { index, name, queue, triggered, frames: Vec::new() });
    }

    /// Frames, or in one line the bare addresses: `(0x185fb3180 0x1851c69f8)`.
    fn last_exception(&mut self, line: &str) {
        let stack = &mut self.report.last_exception_backtrace;
        if let Some(addresses) = line.trim().strip_prefix('(') {
            let addresses = addresses.trim_end_matches(')').split_whitespace().filter_map(hex);
            stack.extend(addresses.map(|address| Frame { address: Some(address), ..Frame::default() }));
        } else if let Some(frame) = frame_line(line) {
            stack.push(frame);
        } else if line.trim().is_empty() && !stack.is_empty() {
            self.section = Section::Head;
        }
    }

    fn head(&mut self, line: &str) {
        if line.trim().is_empty() {
            self.continued = Continued::Nothing;
            return;
        }
        let pair = line.split_once(':').filter(|(key, _)| !key.starts_with([' ', '\t', '-']));
        if let Some((key, value)) = pair
            && self.pair(key.trim(), value.trim())
        {
            return;
        }
        match self.continued {
            Continued::Termination => {
                self.report.termination.get_or_insert_default().reasons.push(line.trim().to_owned());
            }
            Continued::VmRegion => {
                if let Some(text) = &mut self.report.vm_region_info {
                    text.push('\n');
                    text.push_str(line);
                }
            }
            Continued::Nothing => {}
        }
    }

    /// One `Key: value` line; `false` when the key is none of ours.
    fn pair(&mut self, key: &str, value: &str) -> bool {
        let mut continued = Continued::Nothing;
        match key {
            "Exception Type" | "Exception Codes" | "Exception Subtype" | "Exception Message"
            | "Exception Note" => {
                self.exception(key, value);
            }
            "Termination Reason"
            | "Termination Signal"
            | "Termination Description"
            | "Terminating Process" => {
                self.termination(key, value);
                if key != "Terminating Process" && key != "Termination Signal" {
                    continued = Continued::Termination;
                }
            }
            "VM Region Info" => {
                self.report.vm_region_info = known(value);
                continued = Continued::VmRegion;
            }
            _ if !self.identity(key, value) => return false,
            _ => {}
        }
        self.continued = continued;
        true
    }

    fn identity(&mut self, key: &str, value: &str) -> bool {
        let report = &mut *self.report;
        match key {
            "Incident Identifier" => keep(&mut report.incident_id, known(value)),
            "Hardware Model" => keep(&mut report.device_model, known(value)),
            "Process" => {
                let (name, pid) = name_and_pid(value);
                keep(&mut report.process, name);
                keep(&mut report.pid, pid);
            }
            "Path" => keep(&mut report.process_path, known(value)),
            "Identifier" => keep(&mut report.bundle_id, known(value)),
            "Version" => self.version = known(value),
            "Date/Time" | "Date" => keep(&mut report.captured_at, Moment::parse(value)),
            "Launch Time" => keep(&mut report.launched_at, Moment::parse(value)),
            "OS Version" => keep(&mut report.os_version, os_version(value)),
            "Reason" => keep(&mut report.system_message, known(value)),
            "Triggered by Thread" | "Crashed Thread" | "Highlighted Thread" => {
                keep(
                    &mut report.crashed_thread,
                    value.split_whitespace().next().and_then(|index| index.parse().ok()),
                );
            }
            "Code Type" | "Parent Process" | "Coalition" | "Role" | "CrashReporter Key"
            | "Report Version" => {}
            _ => return false,
        }
        true
    }

    fn exception(&mut self, key: &str, value: &str) {
        let exception = self.report.exception.get_or_insert_default();
        match key {
            "Exception Type" => match value.split_once(" (") {
                Some((exception_type, signal)) => {
                    exception.exception_type = known(exception_type);
                    exception.signal = known(signal.trim_end_matches(')'));
                }
                // Some producers know only the signal.
                None if value.starts_with("SIG") => exception.signal = known(value),
                None => exception.exception_type = known(value),
            },
            "Exception Codes" => {
                exception.codes = known(value);
                // Where the codes should stand, some producers write what newer ones call the subtype.
                if value.contains(" at 0x") && !value.starts_with("0x") && exception.subtype.is_none() {
                    exception.subtype = known(value);
                }
            }
            "Exception Subtype" => exception.subtype = known(value),
            "Exception Message" => exception.message = known(value),
            _ => {}
        }
    }

    fn termination(&mut self, key: &str, value: &str) {
        let termination = self.report.termination.get_or_insert_default();
        match key {
            "Termination Reason" => read_termination_reason(termination, value),
            "Termination Signal" => termination.indicator = known(value),
            "Termination Description" => termination.reasons.extend(known(value)),
            _ => termination.by_process = name_and_pid(value).0,
        }
    }

    fn finish(self) {
        if !self.said.is_empty() {
            self.report.application_info.push(ApplicationInfo { image: None, lines: self.said });
        }
        if self.report.exception == Some(Exception::default()) {
            self.report.exception = None;
        }
        if let Some(version) = self.version {
            let (first, second) = two_versions(&version);
            let (short, build) = if build_comes_first(self.report.os_version.as_deref()) {
                (second, first)
            } else {
                (first, second)
            };
            keep(&mut self.report.app_version, short);
            keep(&mut self.report.app_build, build);
        }
        if self.report.kind == Kind::Unknown {
            let is_crash = self.report.exception.is_some() || !self.report.threads.is_empty();
            self.report.kind = match self.report.system_message {
                Some(_) if !is_crash => Kind::Panic,
                _ if is_crash => Kind::Crash,
                _ => Kind::Unknown,
            };
        }
    }
}

/// The first to say something is believed: the header before the text, the head before a copy further down.
fn keep<T>(field: &mut Option<T>, value: Option<T>) {
    if field.is_none() {
        *field = value;
    }
}

/// `Namespace SIGNAL, Code 0x5`, `SIGNAL 5 Trace/BPT trap: 5`, `FRONTBOARD 2343432205`.
fn read_termination_reason(termination: &mut Termination, value: &str) {
    let (namespace, rest) = match value.strip_prefix("Namespace ") {
        Some(value) => value.split_once(", Code ").unwrap_or((value, "")),
        None => value.split_once(' ').unwrap_or((value, "")),
    };
    let (code, indicator) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    let code = code.trim_end_matches(',');
    termination.namespace = known(namespace);
    termination.code = hex(code).or_else(|| code.parse().ok());
    termination.code_hex = termination.code.map(|code| format!("0x{code:x}"));
    if let Some(indicator) = known(indicator) {
        termination.indicator = Some(indicator);
    }
}

/// Whether this release of iOS writes the build before the version; Macs never did.
fn build_comes_first(os_version: Option<&str>) -> bool {
    let Some(os) = os_version else { return false };
    let number = os.strip_prefix("iPhone OS ").or_else(|| os.strip_prefix("iOS "));
    let major =
        number.and_then(|number| number.split('.').next()).and_then(|major| major.trim().parse::<u32>().ok());
    major.is_some_and(|major| major < VERSION_FIRST_SINCE_IOS)
}
