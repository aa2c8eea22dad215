//! One report as one JSON object with names that do not change: what the command line prints and the API gives.
//!
//! The whole of what was read is [`crate::Report`]; a page for people is [`crate::render_text`].

use crate::bug_types::bug_type_name;
use crate::container::{Container, Place};
use crate::kind::Kind;
use crate::report::{
    ApplicationInfo, Exception, Frame, Jetsam, LaunchPhase, Report, Resource, Termination, UncaughtException,
};
use crate::signature::{Rules, SIGNATURE_VERSION, signature};
use crate::symbols::{MissingSymbols, missing_symbols};
use serde::{Deserialize, Serialize};

/// A report with its signature. A member is `null` where its type has no such thing or nobody knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The file as it was named; `-` for standard input.
    pub file: String,
    /// How the file is put together.
    pub container: Container,
    /// The header's `bug_type`, as written.
    pub bug_type: Option<String>,
    /// The system's own name for it, also for kinds that are not read: `SiriSearchFeedback`.
    pub bug_type_name: Option<String>,
    /// What it stands for.
    pub kind: Kind,
    /// The process; reports about the whole phone have none.
    pub process: Option<String>,
    /// Process id on the phone.
    pub pid: Option<u64>,
    /// Bundle identifier.
    pub bundle_id: Option<String>,
    /// `CFBundleShortVersionString`.
    pub app_version: Option<String>,
    /// `CFBundleVersion`.
    pub app_build: Option<String>,
    /// UUID of the main executable, lower case with dashes.
    pub slice_uuid: Option<String>,
    /// Such as `iPhone OS 18.5 (22F76)`.
    pub os_version: Option<String>,
    /// Such as `iPhone17,1`.
    pub device_model: Option<String>,
    /// The same for a file and its `.synced` twin.
    pub incident_id: Option<String>,
    /// When it happened, by the phone's clock, RFC 3339 with its offset.
    pub captured_at: Option<String>,
    /// When the file was written.
    pub written_at: Option<String>,
    /// When the process was launched.
    pub launched_at: Option<String>,
    /// How far the process had come.
    pub launch_phase: Option<LaunchPhase>,
    /// What ended the process, in words.
    pub ended_by: Option<String>,
    /// Its class with what belongs to it, as in [`crate::Cause`].
    pub cause: Option<crate::Cause>,
    /// The Mach exception.
    pub exception: Option<Exception>,
    /// Who ended the process, and why, by its own account.
    pub termination: Option<Termination>,
    /// The language exception that nobody caught.
    pub uncaught: Option<UncaughtException>,
    /// What libraries said before the end.
    pub application_info: Option<Vec<ApplicationInfo>>,
    /// A resource that was used too much.
    pub resource: Option<Resource>,
    /// A memory shortage with its victims.
    pub jetsam: Option<Jetsam>,
    /// The first lines of a panic, or why a stackshot was taken.
    pub system_message: Option<String>,
    /// How many threads the report shows.
    pub thread_count: Option<usize>,
    /// Number of the thread that crashed or was blamed.
    pub crashed_thread: Option<u32>,
    /// The stack to look at first, innermost frame first: where an uncaught exception was thrown, else the crashed
    /// thread's.
    pub frames: Option<Vec<Frame>>,
    /// Images of the app whose frames have no names, with the UUIDs of the dSYMs that would name them.
    pub missing_symbols: Option<Vec<MissingSymbols>>,
    /// How many images were loaded.
    pub image_count: Option<usize>,
    /// What it has in common with other reports of the same defect, in words.
    pub signature: Option<String>,
    /// Sixteen digits that stand for it.
    pub signature_id: Option<String>,
    /// The version of signatures by which it was made.
    pub signature_version: Option<u32>,
    /// What is wrong with the file and where; `null` when all was well.
    pub malformed: Option<Vec<Fault>>,
}

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Bytes from the beginning of the file.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What, as a sentence without its full stop.
    pub what: String,
}

/// Makes the document of a report that was read from this file.
pub fn document(file: &str, report: &Report, rules: &Rules) -> Document {
    let signature = signature(report, rules);
    let has_threads = report.kind.has_threads() || !report.threads.is_empty();
    let is_read = report.container != Container::Unreadable;
    let report_of_process = has_threads && is_read;
    let info = &report.application_info;
    Document {
        file: file.to_owned(),
        container: report.container,
        bug_type: report.bug_type.clone(),
        bug_type_name: report.bug_type.as_deref().and_then(bug_type_name).map(str::to_owned),
        kind: report.kind,
        process: report.process.clone(),
        pid: report.pid,
        bundle_id: report.bundle_id.clone(),
        app_version: report.app_version.clone(),
        app_build: report.app_build.clone(),
        slice_uuid: report.slice_uuid.clone(),
        os_version: report.os_version.clone(),
        device_model: report.device_model.clone(),
        incident_id: report.incident_id.clone(),
        captured_at: report.captured_at.map(|moment| moment.to_string()),
        written_at: report.written_at.map(|moment| moment.to_string()),
        launched_at: report.launched_at.map(|moment| moment.to_string()),
        launch_phase: report_of_process.then_some(report.launch_phase),
        ended_by: is_read.then(|| report.ended_by.words.clone()),
        cause: is_read.then(|| report.ended_by.cause.clone()),
        exception: report.exception.clone(),
        termination: report.termination.clone(),
        uncaught: report.uncaught.clone(),
        application_info: (!info.is_empty()).then(|| info.clone()),
        resource: report.resource.clone(),
        jetsam: report.jetsam.clone(),
        system_message: report.system_message.clone(),
        thread_count: report_of_process.then_some(report.threads.len()),
        crashed_thread: report.crashed().map(|thread| thread.index).or(report.crashed_thread),
        frames: report_of_process.then(|| report.main_stack().to_vec()),
        missing_symbols: report_of_process.then(|| missing_symbols(report)),
        image_count: report_of_process.then_some(report.images.len()),
        signature: signature.as_ref().map(ToString::to_string),
        signature_id: signature.as_ref().map(crate::Signature::id),
        signature_version: signature.as_ref().map(|_| SIGNATURE_VERSION),
        malformed: (!report.malformed.is_empty()).then(|| {
            let fault = |fault: &crate::Malformed| {
                let Place { offset, line, column } = fault.place;
                Fault { offset, line, column, what: fault.what.clone() }
            };
            report.malformed.iter().map(fault).collect()
        }),
    }
}
