//! The typed model of one report: everything that was read, every field as optional as real files make it.
//!
//! Reading lives in the other modules, what ended the process in [`crate::EndedBy`].

use crate::container::{ByteRange, Container, Malformed};
use crate::ended::EndedBy;
use crate::kind::Kind;
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many bytes of a process name a memory report keeps.
pub(crate) const JETSAM_NAME_BYTES: usize = 32;

/// One report file, read as far as it goes. The bytes themselves stay with whoever read the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How the file is put together.
    pub container: Container,
    /// The header's `bug_type`, as written; a legacy text has none.
    pub bug_type: Option<String>,
    /// What `bug_type` stands for; for a text without one, what the text shows.
    pub kind: Kind,
    /// The process that the report is about. Reports about the whole phone (memory, panic, stackshot) have none.
    pub process: Option<String>,
    /// Where its executable lies on the phone.
    pub process_path: Option<String>,
    /// Its bundle identifier.
    pub bundle_id: Option<String>,
    /// `CFBundleShortVersionString`.
    pub app_version: Option<String>,
    /// `CFBundleVersion`.
    pub app_build: Option<String>,
    /// Such as `iPhone OS 18.5 (22F76)`.
    pub os_version: Option<String>,
    /// Such as `iPhone17,1`.
    pub device_model: Option<String>,
    /// The same for a file and its `.synced` twin.
    pub incident_id: Option<String>,
    /// When it happened, in the phone's clock. The one to attribute by.
    pub captured_at: Option<Moment>,
    /// When the file was written: up to hours after it happened.
    pub written_at: Option<Moment>,
    /// When the process was launched.
    pub launched_at: Option<Moment>,
    /// Process id on the phone.
    pub pid: Option<u64>,
    /// What the process was for the user at that moment: `Foreground`, `Background`, `Non UI`.
    pub role: Option<String>,
    /// The process that launched it.
    pub parent_process: Option<String>,
    /// UUID of the main executable, lower case with dashes. With a debug dylib it is that of a stub.
    pub slice_uuid: Option<String>,
    /// The Mach exception.
    pub exception: Option<Exception>,
    /// Who ended the process, and why, by its own account.
    pub termination: Option<Termination>,
    /// The language exception that nobody caught, if the report names one.
    pub uncaught: Option<UncaughtException>,
    /// What ended the process, in words.
    pub ended_by: EndedBy,
    /// How far the process had come.
    pub launch_phase: LaunchPhase,
    /// All threads that the report shows.
    pub threads: Vec<Thread>,
    /// `index` of the thread that crashed (or was blamed).
    pub crashed_thread: Option<u32>,
    /// Where an uncaught exception was thrown: the only useful stack of an Objective-C exception.
    pub last_exception_backtrace: Vec<Frame>,
    /// Libraries and executables that were loaded.
    pub images: Vec<Image>,
    /// Position in `images` of the process' own executable; often not the first.
    pub app_image: Option<usize>,
    /// UUIDs of the images for which symbols were at hand after the report was read.
    #[serde(default)]
    pub symbolicated: Vec<Arc<str>>,
    /// Application-specific information: what libraries said before the end.
    pub application_info: Vec<ApplicationInfo>,
    /// What the kernel said about the faulting address.
    pub vm_region_info: Option<String>,
    /// What the kernel had noted before the end, one sentence a line.
    pub kernel_triage: Option<String>,
    /// What the writer of the report had trouble with.
    pub notes: Vec<String>,
    /// A memory shortage, if the report is about one.
    pub jetsam: Option<Jetsam>,
    /// A resource that was used too much, if the report is about one.
    pub resource: Option<Resource>,
    /// The first lines of a panic, or why a stackshot was taken.
    pub system_message: Option<String>,
    /// What is wrong with the file, first fault first; empty when all was well.
    pub malformed: Vec<Malformed>,
    /// Parts of the file that were not read.
    pub unread: Vec<ByteRange>,
}

impl Report {
    /// The app's version and build number as people write them: `8.0.1 (4127)`.
    pub fn version(&self) -> Option<String> {
        match (&self.app_version, &self.app_build) {
            (Some(version), Some(build)) => Some(format!("{version} ({build})")),
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (None, None) => None,
        }
    }

    /// A report about which nothing is known yet.
    pub(crate) fn empty(container: Container) -> Report {
        Report {
            container,
            bug_type: None,
            kind: Kind::Unknown,
            process: None,
            process_path: None,
            bundle_id: None,
            app_version: None,
            app_build: None,
            os_version: None,
            device_model: None,
            incident_id: None,
            captured_at: None,
            written_at: None,
            launched_at: None,
            pid: None,
            role: None,
            parent_process: None,
            slice_uuid: None,
            exception: None,
            termination: None,
            uncaught: None,
            ended_by: EndedBy::unknown(),
            launch_phase: LaunchPhase::Unknown,
            threads: Vec::new(),
            crashed_thread: None,
            last_exception_backtrace: Vec::new(),
            images: Vec::new(),
            app_image: None,
            symbolicated: Vec::new(),
            application_info: Vec::new(),
            vm_region_info: None,
            kernel_triage: None,
            notes: Vec::new(),
            jetsam: None,
            resource: None,
            system_message: None,
            malformed: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// The thread that crashed, if the report names one that it also shows; of a hang the main thread.
    pub fn crashed(&self) -> Option<&Thread> {
        let index = self.crashed_thread.or((self.kind == Kind::Hang).then_some(0))?;
        self.threads.iter().find(|thread| thread.index == index)
    }

    /// The stack to look at first: where the uncaught exception was thrown, else the crashed thread's.
    pub fn main_stack(&self) -> &[Frame] {
        if self.last_exception_backtrace.is_empty() {
            self.crashed().map_or(&[], |thread| &thread.frames)
        } else {
            &self.last_exception_backtrace
        }
    }

    /// The topmost frame of the main stack that belongs to the app.
    pub fn top_in_app(&self) -> Option<&Frame> {
        self.main_stack().iter().find(|frame| frame.in_app)
    }
}

/// A Mach exception as the report words it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Such as `EXC_BAD_ACCESS`.
    #[serde(rename = "type")]
    pub exception_type: Option<String>,
    /// Such as `SIGSEGV`.
    pub signal: Option<String>,
    /// The codes as written, such as `0x0000000000000001, 0x0000000000000000`.
    pub codes: Option<String>,
    /// The same as numbers.
    pub raw_codes: Vec<u64>,
    /// Such as `KERN_INVALID_ADDRESS at 0x0000000000000000`.
    pub subtype: Option<String>,
    /// What the kernel adds, such as which limit was exceeded.
    pub message: Option<String>,
}

/// Who ended the process, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// Such as `SIGNAL`, `FRONTBOARD`, `DYLD`.
    pub namespace: Option<String>,
    /// What the namespace means by it.
    pub code: Option<u64>,
    /// The code as people know it: `0x8badf00d`.
    pub code_hex: Option<String>,
    /// Such as `Abort trap: 6`, `Library missing`.
    pub indicator: Option<String>,
    /// Sentences by whoever ended it; cut by the system at commas and line ends.
    pub reasons: Vec<String>,
    /// More of them.
    pub details: Vec<String>,
    /// The process that ended it.
    pub by_process: Option<String>,
    /// Its process id.
    pub by_pid: Option<u64>,
    /// How it was ended, bits of the kernel's `os_reason`.
    pub flags: Option<u64>,
}

impl Termination {
    /// Reasons and details as one text, for looking things up in it.
    pub(crate) fn all_text(&self) -> String {
        self.reasons.iter().chain(&self.details).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// An Objective-C exception that nobody caught.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncaughtException {
    /// Such as `NSInvalidArgumentException`.
    pub name: Option<String>,
    /// The sentence that it was thrown with.
    pub reason: Option<String>,
}

/// How far the process had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchPhase {
    /// The loader had not yet called `main`.
    BeforeMain,
    /// Within a few seconds after launch, or killed because the launch took too long.
    InLaunch,
    /// Later.
    Running,
    /// The report doesn't tell.
    Unknown,
}

impl LaunchPhase {
    /// What a person calls it.
    pub fn words(self) -> &'static str {
        match self {
            LaunchPhase::BeforeMain => "before main",
            LaunchPhase::InLaunch => "in launch",
            LaunchPhase::Running => "running",
            LaunchPhase::Unknown => "unknown",
        }
    }
}

/// One thread and its stack, innermost frame first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its number in the report.
    pub index: u32,
    /// The thread's own name.
    pub name: Option<String>,
    /// The dispatch queue that it served.
    pub queue: Option<String>,
    /// Whether the report blames this thread.
    pub triggered: bool,
    /// Innermost first.
    pub frames: Vec<Frame>,
}

/// One frame of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Name of the image that the address lies in.
    pub image: Option<Arc<str>>,
    /// Its UUID, lower case with dashes.
    pub image_uuid: Option<Arc<str>>,
    /// Bytes from the image's base. To look a symbol up, subtract 1 in every frame but the innermost.
    pub offset: Option<u64>,
    /// Address in the process.
    pub address: Option<u64>,
    /// Function, if the phone or somebody after it knew.
    pub symbol: Option<String>,
    /// Bytes from the function's beginning.
    pub symbol_offset: Option<u64>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
    /// Where the line can be looked at, when the reader of the report knows the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<Box<str>>,
    /// Whether the compiler put this function into the one below it, so that both have one address.
    pub inlined: bool,
    /// Whether the image belongs to the app, not to the system or the test runner.
    pub in_app: bool,
}

/// One loaded library or executable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// File name.
    pub name: Option<Arc<str>>,
    /// Where it lies on the phone.
    pub path: Option<String>,
    /// Lower case with dashes.
    pub uuid: Option<Arc<str>>,
    /// Where it was loaded.
    pub base: Option<u64>,
    /// How much of the process it took, in bytes.
    pub size: Option<u64>,
    /// Such as `arm64e`.
    pub arch: Option<String>,
    /// `P` process, `S` shared cache, `C` library of the shared cache, `K` kernel, `A` absolute; others will come.
    pub source: Option<String>,
}

/// What one library said before the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationInfo {
    /// The library; a text report doesn't say which.
    pub image: Option<String>,
    /// Its sentences.
    pub lines: Vec<String>,
}

/// A memory shortage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jetsam {
    /// Bytes in a page: 16384, on old phones 4096.
    pub page_size: Option<u64>,
    /// The largest process, which need not be a victim.
    pub largest: Option<String>,
    /// How many processes the report lists.
    pub process_count: usize,
    /// Those that were killed.
    pub victims: Vec<JetsamProcess>,
    /// Those that were in front of the user.
    pub frontmost: Vec<JetsamProcess>,
}

impl Jetsam {
    /// Was this process killed? Looked up by process id, then by the UUID of its executable, then by the first 32 bytes of
    /// its name, because the report cuts names there and has no bundle identifiers. An id that fits a process of another
    /// name doesn't count: ids are used again.
    pub fn victim(&self, pid: Option<u64>, uuid: Option<&str>, name: Option<&str>) -> Option<&JetsamProcess> {
        let cut = name.map(jetsam_name);
        let name_fits = |victim: &&JetsamProcess| cut.is_none() || victim.name.as_deref() == cut;
        let by_pid =
            || self.victims.iter().filter(name_fits).find(|victim| pid.is_some() && victim.pid == pid);
        let by_uuid = || {
            let uuid = uuid.and_then(crate::images::plain_uuid)?;
            self.victims.iter().find(|victim| victim.uuid.as_ref() == Some(&uuid))
        };
        let by_name = || self.victims.iter().find(|victim| cut.is_some() && victim.name.as_deref() == cut);
        by_pid().or_else(by_uuid).or_else(by_name)
    }
}

/// The name as a memory report keeps it, cut between characters.
fn jetsam_name(name: &str) -> &str {
    let mut end = name.len().min(JETSAM_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or(name)
}

/// One process of a memory report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JetsamProcess {
    /// At most 32 bytes of its name.
    pub name: Option<String>,
    /// Process id.
    pub pid: Option<u64>,
    /// UUID of its executable, lower case with dashes.
    pub uuid: Option<String>,
    /// Why it was killed, such as `per-process-limit`.
    pub reason: Option<String>,
    /// What it used at that moment, in bytes.
    pub memory_bytes: Option<u64>,
    /// What it ever used at most, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Such as `frontmost`, `suspended`, `daemon`, `idle`.
    pub states: Vec<String>,
}

/// A resource that was used too much, as the report words it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Such as `cpu usage`, `disk writes`, `wakeups`.
    pub event: Option<String>,
    /// `none` is a warning; anything else was done to the process.
    pub action: Option<String>,
    /// What was used over how long, and the limit.
    pub used: Option<String>,
    /// The limit alone.
    pub limit: Option<String>,
    /// Over how long, as written: `2.80s`.
    pub duration: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_victim_is_found_by_pid_then_uuid_then_cut_name() {
        let process = |name: &str, pid, uuid: &str| JetsamProcess {
            name: Some(name.to_owned()),
            pid: Some(pid),
            uuid: Some(uuid.to_owned()),
            ..JetsamProcess::default()
        };
        let jetsam = Jetsam {
            page_size: Some(16384),
            largest: None,
            process_count: 3,
            victims: vec![
                process("HoldfastExampleWithAVeryLongProc", 71, "0a0a0a0a-0000-3000-8000-000000000001"),
                process("Chat", 72, "0a0a0a0a-0000-3000-8000-000000000002"),
            ],
            frontmost: Vec::new(),
        };
        let long = "HoldfastExampleWithAVeryLongProcessName";
        let table = [
            (Some(72), None, None, Some(72)),
            (Some(72), None, Some("Chat"), Some(72)),
            (Some(72), None, Some(long), Some(71)),
            (Some(9), Some("0A0A0A0A000030008000000000000002"), None, Some(72)),
            (None, None, Some(long), Some(71)),
            (Some(9), None, Some("Other"), None),
            (None, None, None, None),
        ];
        for (pid, uuid, name, expected) in table {
            let found = jetsam.victim(pid, uuid, name).and_then(|victim| victim.pid);
            assert_eq!(found, expected, "{pid:?} {uuid:?} {name:?}");
        }
    }
}
