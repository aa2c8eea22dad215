//! The sections above the threads: who, when, what ended it, and what was said.

use super::convert::{Form, Source};
use super::stacks;
use crate::tape::Node;
use std::fmt::{Result, Write};

/// How wide the names of fields are on a phone, and on a Mac.
const PHONE_COLUMN: usize = 21;
const MAC_COLUMN: usize = 23;

pub(super) fn write_phone(page: &mut String, source: &Source<'_>) -> Result {
    let mut field = |name: &str, value: &str| writeln!(page, "{name:<PHONE_COLUMN$}{value}");
    let report = source.report;
    field("Incident Identifier:", report.incident_id.as_deref().unwrap_or_default())?;
    if source.node(&["isBeta"]).is_some_and(Node::truth) {
        field("Beta Identifier:", &source.words_or(&["storeInfo", "deviceIdentifierForVendor"], "Unknown"))?;
    } else {
        field("CrashReporter Key:", &source.words_or(&["crashReporterKey"], ""))?;
    }
    field("Hardware Model:", &source.words_or(&["modelCode"], ""))?;
    field("Process:", &with_pid(source, "procName", "pid", ""))?;
    field("Path:", &source.words_or(&["procPath"], "???"))?;
    field("Identifier:", &identifier(source))?;
    field("Version:", &version(source))?;
    for (name, path) in [
        ("AppStoreTools:", ["bundleInfo", "DTAppStoreToolsBuild"]),
        ("AppVariant:", ["storeInfo", "applicationVariant"]),
    ] {
        if let Some(value) = source.words(&path) {
            field(name, &value)?;
        }
    }
    if source.node(&["isBeta"]).is_some_and(Node::truth) {
        field("Beta:", "YES")?;
    }
    field("Code Type:", &code_type(source))?;
    field("Role:", &source.words_or(&["procRole"], "Unspecified"))?;
    field("Parent Process:", &with_pid(source, "parentProc", "parentPid", "Unknown"))?;
    let coalition = source.words_or(&["coalitionName"], "<none>");
    field("Coalition:", &format!("{coalition} [{}]", source.words_or(&["coalitionID"], "")))?;
    if source.words(&["responsiblePid"]).is_some() {
        field("Responsible Process:", &with_pid(source, "responsibleProc", "responsiblePid", ""))?;
    }
    writeln!(page)?;
    let mut field = |name: &str, value: &str| writeln!(page, "{name:<PHONE_COLUMN$}{value}");
    field("Date/Time:", &source.words_or(&["captureTime"], ""))?;
    field("Launch Time:", &source.words_or(&["procLaunch"], ""))?;
    field("OS Version:", report.os_version.as_deref().unwrap_or_default())?;
    field("Release Type:", &source.words_or(&["osVersion", "releaseType"], ""))?;
    if let Some(version) = source.words(&["basebandVersion"]) {
        field("Baseband Version:", &version)?;
    }
    field("Report Version:", "104")?;
    writeln!(page)?;
    write_exception(page, source, Form::Phone)?;
    write_termination(page, source, Form::Phone)?;
    // The report's own word may be missing where the thread's mark is there.
    let faulting = report.crashed_thread.map(|index| index.to_string());
    writeln!(page, "Triggered by Thread:  {}\n", faulting.as_deref().unwrap_or("Unknown"))?;
    write_said(page, source)?;
    if !report.last_exception_backtrace.is_empty() {
        writeln!(page, "Last Exception Backtrace:")?;
        stacks::write_frames(page, &report.last_exception_backtrace)?;
        writeln!(page)?;
    }
    write_kernel_triage(page, source)
}

pub(super) fn write_mac(page: &mut String, source: &Source<'_>) -> Result {
    let mut field = |name: &str, value: &str| writeln!(page, "{name:<MAC_COLUMN$}{value}");
    field("Process:", &with_pid(source, "procName", "pid", ""))?;
    field("Path:", &source.words_or(&["procPath"], "???"))?;
    field("Identifier:", &identifier(source))?;
    field("Version:", &version(source))?;
    field("Code Type:", &code_type(source))?;
    field("Parent Process:", &with_pid(source, "parentProc", "parentPid", "Unknown"))?;
    if source.words(&["responsiblePid"]).is_some() {
        field("Responsible:", &with_pid(source, "responsibleProc", "responsiblePid", ""))?;
    }
    field("User ID:", &source.words_or(&["userID"], ""))?;
    writeln!(page)?;
    let mut field = |name: &str, value: &str| writeln!(page, "{name:<MAC_COLUMN$}{value}");
    field("Date/Time:", &source.words_or(&["captureTime"], ""))?;
    field("OS Version:", source.report.os_version.as_deref().unwrap_or_default())?;
    field("Report Version:", "12")?;
    field("Anonymous UUID:", &source.words_or(&["crashReporterKey"], ""))?;
    writeln!(page, "\n")?;
    writeln!(page, "Time Awake Since Boot: {} seconds\n", source.words_or(&["uptime"], ""))?;
    if let Some(protection) = source.words(&["sip"]) {
        writeln!(page, "System Integrity Protection: {protection}\n")?;
    }
    let index = source.report.crashed_thread.map_or_else(|| "Unknown".to_owned(), |index| index.to_string());
    let name = source.words_or(&["legacyInfo", "threadTriggered", "name"], "");
    let queue = source.words(&["legacyInfo", "threadTriggered", "queue"]);
    let queue = queue.map(|queue| format!("  Dispatch queue: {queue}")).unwrap_or_default();
    let name = if name.is_empty() { String::new() } else { format!("  {name}") };
    writeln!(page, "{:<MAC_COLUMN$}{index}{name}{queue}\n", "Crashed Thread:")?;
    write_exception(page, source, Form::Mac)?;
    writeln!(page)?;
    write_termination(page, source, Form::Mac)?;
    if let Some(region) = source.words(&["vmRegionInfo"]) {
        writeln!(page, "VM Region Info: {region}\n")?;
    }
    write_said(page, source)?;
    let notes = source.sentences(&["reportNotes"]);
    if !notes.is_empty() {
        writeln!(page, "Error Formulating Crash Report:\n{}\n", notes.join("\n"))?;
    }
    write_kernel_triage(page, source)?;
    if !source.report.last_exception_backtrace.is_empty() {
        writeln!(page, "Last Exception Backtrace:")?;
        stacks::write_frames(page, &source.report.last_exception_backtrace)?;
        writeln!(page)?;
    }
    Ok(())
}

/// `name [pid]`
fn with_pid(source: &Source<'_>, name: &str, pid: &str, unknown: &str) -> String {
    format!("{} [{}]", source.words_or(&[name], "???"), source.words_or(&[pid], unknown))
}

fn identifier(source: &Source<'_>) -> String {
    let bundle = source.words(&["bundleInfo", "CFBundleIdentifier"]);
    bundle.or_else(|| source.words(&["procName"])).map_or_else(|| "???".to_owned(), Into::into)
}

fn version(source: &Source<'_>) -> String {
    let build = source.words_or(&["bundleInfo", "CFBundleVersion"], "???");
    match source.words(&["bundleInfo", "CFBundleShortVersionString"]) {
        Some(short) => format!("{short} ({build})"),
        None => build.into_owned(),
    }
}

fn code_type(source: &Source<'_>) -> String {
    let translated = source.node(&["translated"]).is_some_and(Node::truth);
    let how = if translated { "Translated" } else { "Native" };
    format!("{} ({how})", source.words_or(&["cpuType"], "???"))
}

/// Names of fields stand in a column on a Mac and with one or two spaces on a phone.
fn write_exception(page: &mut String, source: &Source<'_>, form: Form) -> Result {
    let column = |name: &str, spaces: usize| match form {
        Form::Phone => format!("{name}{:spaces$}", ""),
        Form::Mac => format!("{name:<MAC_COLUMN$}"),
    };
    let words = |name: &str| source.words(&["exception", name]);
    let signal = words("signal").map(|signal| format!(" ({signal})")).unwrap_or_default();
    let exception_type = words("type").unwrap_or_default();
    writeln!(page, "{}{exception_type}{signal}", column("Exception Type:", 2))?;
    // A Mac's text has the subtype under the title of the codes.
    let subtype_title = match form {
        Form::Phone => "Exception Subtype:",
        Form::Mac => "Exception Codes:",
    };
    let subtype = match words("subtype") {
        Some(subtype) => format!("{}{subtype}\n", column(subtype_title, 1)),
        None => String::new(),
    };
    let message = match words("message") {
        Some(message) => format!("{}{message}\n", column("Exception Message:", 1)),
        None => String::new(),
    };
    let raw = source.report.exception.as_ref().map(|exception| exception.raw_codes.as_slice());
    let raw = raw.unwrap_or_default().iter().map(|code| format!("0x{code:016x}")).collect::<Vec<_>>();
    let codes = if raw.is_empty() { words("codes").map(Into::into) } else { Some(raw.join(", ")) };
    let codes = codes.map(|codes| format!("{}{codes}\n", column("Exception Codes:", 1))).unwrap_or_default();
    write!(page, "{subtype}{message}{codes}")?;
    if form == Form::Phone
        && let Some(region) = source.words(&["vmRegionInfo"])
    {
        writeln!(page, "VM Region Info: {region}")?;
    }
    if source.node(&["isSimulated"]).is_some_and(Node::truth) {
        writeln!(page, "{}SIMULATED (this is NOT a crash)", column("Exception Note:", 2))?;
    } else if source.node(&["isCorpse"]).is_some_and(Node::truth) {
        writeln!(page, "{}EXC_CORPSE_NOTIFY", column("Exception Note:", 2))?;
    } else if source.node(&["isNonFatal"]).is_some_and(Node::truth) {
        writeln!(page, "{}NON-FATAL CONDITION (this is NOT a crash)", column("Exception Note:", 2))?;
    }
    Ok(())
}

fn write_termination(page: &mut String, source: &Source<'_>, form: Form) -> Result {
    if source.node(&["termination"]).is_none() {
        return Ok(());
    }
    let words = |name: &str| source.words_or(&["termination", name], "");
    let (namespace, code, indicator) = (words("namespace"), words("code"), words("indicator"));
    match form {
        Form::Phone => writeln!(page, "Termination Reason: {namespace} {code} {indicator}")?,
        Form::Mac => writeln!(
            page,
            "{:<MAC_COLUMN$}Namespace {namespace}, Code {code} {indicator}",
            "Termination Reason:"
        )?,
    }
    for name in ["reasons", "details"] {
        for sentence in source.sentences(&["termination", name]) {
            writeln!(page, "{sentence}")?;
        }
    }
    if let Some(pid) = source.words(&["termination", "byPid"]) {
        let by = source.words_or(&["termination", "byProc"], "<unknown>");
        match form {
            Form::Phone => writeln!(page, "Terminating Process: {by} [{pid}]")?,
            Form::Mac => writeln!(page, "{:<MAC_COLUMN$}{by} [{pid}]", "Terminating Process:")?,
        }
    }
    writeln!(page)
}

fn write_said(page: &mut String, source: &Source<'_>) -> Result {
    if source.report.application_info.is_empty() || source.node(&["asi"]).is_none() {
        return Ok(());
    }
    writeln!(page, "Application Specific Information:")?;
    for line in source.report.application_info.iter().flat_map(|info| &info.lines) {
        writeln!(page, "{line}")?;
    }
    writeln!(page, "\n")
}

fn write_kernel_triage(page: &mut String, source: &Source<'_>) -> Result {
    match source.words(&["ktriageinfo"]) {
        Some(said) => writeln!(page, "Kernel Triage:\n{said}\n"),
        None => Ok(()),
    }
}
