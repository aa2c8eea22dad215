//! A report as a page of text for a terminal: what happened first, the stack that matters with the app's frames marked,
//! the rest folded. Our own form, not Apple's.

use crate::ended::Cause;
use crate::report::{Frame, Jetsam, JetsamProcess, Report, Thread};
use crate::summary::{place, titled};
use std::fmt::Write;

/// Frames shown of the stack that matters: an endless recursion has 512 and more.
const MAIN_FRAMES_MAX: usize = 60;
/// Names longer than this no longer line up.
const IMAGE_COLUMN: usize = 28;
/// Processes shown of a memory shortage.
const VICTIMS_MAX: usize = 20;
/// Faults shown of a damaged file.
const FAULTS_MAX: usize = 10;

/// Writes the report as text, ending with a line end. Control characters of the file are made harmless.
pub fn render_text(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, report);
    page.chars()
        .map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter })
        .collect()
}

fn write_page(page: &mut String, report: &Report) -> std::fmt::Result {
    let title = report.process.as_deref().unwrap_or(report.kind.words());
    writeln!(page, "{}", titled(title, &report.ended_by.words))?;
    writeln!(page)?;
    write_identity(page, report)?;
    write_causes(page, report)?;
    if let Some(jetsam) = &report.jetsam {
        write_jetsam(page, jetsam)?;
    }
    write_stacks(page, report)?;
    write_damage(page, report)
}

fn write_identity(page: &mut String, report: &Report) -> std::fmt::Result {
    let version = report.version();
    let kind = match &report.bug_type {
        Some(bug_type) => format!("{} ({bug_type})", report.kind.words()),
        None => report.kind.words().to_owned(),
    };
    let phone = [report.device_model.as_deref(), report.os_version.as_deref()];
    let phone = phone.into_iter().flatten().collect::<Vec<_>>().join(", ");
    line(page, "kind", Some(kind))?;
    line(page, "bundle", report.bundle_id.clone())?;
    line(page, "version", version)?;
    line(page, "phone", Some(phone))?;
    line(page, "happened", report.captured_at.or(report.written_at).map(|moment| moment.to_string()))?;
    line(page, "launched", launched(report))?;
    line(page, "pid", report.pid.map(|pid| pid.to_string()))?;
    line(page, "incident", report.incident_id.clone())
}

fn launched(report: &Report) -> Option<String> {
    let launched = report.launched_at?;
    let lived = report.captured_at.map(|captured| captured.since(&launched).as_secs_f64());
    let lived = lived
        .filter(|seconds| *seconds >= 0.0)
        .map(|seconds| format!(", lived {seconds:.1} s"))
        .unwrap_or_default();
    Some(format!("{launched}{lived} ({})", report.launch_phase.words()))
}

fn write_causes(page: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(exception) = &report.exception {
        let parts = [
            &exception.exception_type,
            &exception.signal,
            &exception.subtype,
            &exception.codes,
            &exception.message,
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        line(page, "exception", Some(parts.join(", ")))?;
    }
    if let Some(termination) = &report.termination {
        let parts = [&termination.namespace, &termination.code_hex, &termination.indicator];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        let by = termination.by_process.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
        line(page, "ended by", Some(format!("{}{by}", parts.join(" "))))?;
        for reason in termination.reasons.iter().chain(&termination.details).flat_map(|reason| reason.lines())
        {
            line(page, "", Some(reason.trim().to_owned()))?;
        }
    }
    if let Some(resource) = &report.resource {
        line(page, "used", resource.used.clone())?;
        line(page, "limit", resource.limit.clone())?;
        line(page, "action", resource.action.clone())?;
    }
    line(page, "message", report.system_message.clone())?;
    for info in &report.application_info {
        let by = info.image.as_ref().map(|image| format!("{image}: ")).unwrap_or_default();
        for said in info.lines.iter().flat_map(|said| said.lines()) {
            line(page, "said", Some(format!("{by}{}", said.trim_end())))?;
        }
    }
    Ok(())
}

fn line(page: &mut String, title: &str, value: Option<String>) -> std::fmt::Result {
    match value.filter(|value| !value.is_empty()) {
        Some(value) => writeln!(page, "  {title:<10} {value}"),
        None => Ok(()),
    }
}

fn write_jetsam(page: &mut String, jetsam: &Jetsam) -> std::fmt::Result {
    writeln!(page)?;
    writeln!(page, "killed ({} of {} processes)", jetsam.victims.len(), jetsam.process_count)?;
    for victim in jetsam.victims.iter().take(VICTIMS_MAX) {
        write_process(page, victim)?;
    }
    if jetsam.victims.len() > VICTIMS_MAX {
        writeln!(page, "  … {} more", jetsam.victims.len() - VICTIMS_MAX)?;
    }
    if let Some(largest) = &jetsam.largest {
        writeln!(page, "largest process: {largest}")?;
    }
    Ok(())
}

fn write_process(page: &mut String, process: &JetsamProcess) -> std::fmt::Result {
    let name = process.name.as_deref().unwrap_or("?");
    let pid = process.pid.map(|pid| format!(" [{pid}]")).unwrap_or_default();
    let memory =
        process.memory_bytes.map(|bytes| format!("{} MiB", bytes / (1024 * 1024))).unwrap_or_default();
    let reason = process.reason.as_deref().unwrap_or("not killed");
    let name = format!("{name}{pid}");
    writeln!(page, "  {name:<42} {memory:>9}  {reason}")
}

fn write_stacks(page: &mut String, report: &Report) -> std::fmt::Result {
    if !report.last_exception_backtrace.is_empty() {
        writeln!(page)?;
        writeln!(page, "where the exception was thrown")?;
        write_frames(page, &report.last_exception_backtrace)?;
    }
    let Some(crashed) = report.crashed() else {
        return fold(page, &report.threads, None, report.images.len());
    };
    writeln!(page)?;
    let fate = match fate(report) {
        Fate::Crashed => "crashed",
        Fate::Blamed => "was blamed",
    };
    writeln!(page, "thread {}{} {fate}", crashed.index, thread_title(crashed))?;
    write_frames(page, &crashed.frames)?;
    fold(page, &report.threads, Some(crashed.index), report.images.len())
}

fn write_frames(page: &mut String, frames: &[Frame]) -> std::fmt::Result {
    for (number, frame) in frames.iter().take(MAIN_FRAMES_MAX).enumerate() {
        let mark = if frame.in_app { '>' } else { ' ' };
        let image = frame.image.as_deref().unwrap_or("?");
        let link = frame.source_url.as_deref().map(|url| format!("  {url}")).unwrap_or_default();
        writeln!(page, "{mark} {number:>3}  {image:<IMAGE_COLUMN$} {}{link}", place(frame))?;
    }
    if frames.len() > MAIN_FRAMES_MAX {
        writeln!(page, "       … {} more frames", frames.len() - MAIN_FRAMES_MAX)?;
    }
    Ok(())
}

/// One line for each other thread: where it was.
fn fold(page: &mut String, threads: &[Thread], shown: Option<u32>, images: usize) -> std::fmt::Result {
    let others: Vec<&Thread> = threads.iter().filter(|thread| Some(thread.index) != shown).collect();
    if !others.is_empty() {
        writeln!(page)?;
        writeln!(page, "other threads")?;
        for thread in others {
            let top = thread.frames.first().map_or_else(|| "no frames".to_owned(), place);
            let in_app = if thread.frames.iter().any(|frame| frame.in_app) { '>' } else { ' ' };
            writeln!(
                page,
                "{in_app} {:>3}{}  {top} ({})",
                thread.index,
                thread_title(thread),
                frame_count(thread)
            )?;
        }
    }
    if images > 0 {
        writeln!(page)?;
        writeln!(page, "{images} images")?;
    }
    Ok(())
}

/// What is said of the thread that a report names. A process that was ended from outside was merely somewhere, so its
/// thread was blamed and did not crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It crashed.
    Crashed,
    /// It was named without being guilty.
    Blamed,
}

/// The fate of the thread that a report names.
pub fn fate(report: &Report) -> Fate {
    match report.ended_by.cause {
        Cause::Watchdog { .. }
        | Cause::Terminated { .. }
        | Cause::OutOfMemory { .. }
        | Cause::ResourceLimit { .. }
        | Cause::Thermal
        | Cause::Hang
        | Cause::NothingEnded => Fate::Blamed,
        Cause::LibraryMissing { .. }
        | Cause::SymbolMissing { .. }
        | Cause::LoaderFailed
        | Cause::PrivacyKeyMissing { .. }
        | Cause::CodeSigning
        | Cause::ObjectiveCException { .. }
        | Cause::RuntimeFailure { .. }
        | Cause::BadAccess { .. }
        | Cause::Exception { .. }
        | Cause::KernelPanic
        | Cause::ForcedReset
        | Cause::Unknown => Fate::Crashed,
    }
}

fn frame_count(thread: &Thread) -> String {
    match thread.frames.len() {
        1 => "1 frame".to_owned(),
        count => format!("{count} frames"),
    }
}

fn thread_title(thread: &Thread) -> String {
    match (&thread.name, &thread.queue) {
        (Some(name), Some(queue)) => format!(" {name} ({queue})"),
        (Some(name), None) => format!(" {name}"),
        (None, Some(queue)) => format!(" ({queue})"),
        (None, None) => String::new(),
    }
}

fn write_damage(page: &mut String, report: &Report) -> std::fmt::Result {
    if report.malformed.is_empty() && report.unread.is_empty() {
        return Ok(());
    }
    writeln!(page)?;
    writeln!(page, "the file")?;
    for fault in report.malformed.iter().take(FAULTS_MAX) {
        let place = fault.place;
        writeln!(
            page,
            "  line {}, column {} (byte {}): {}",
            place.line, place.column, place.offset, fault.what
        )?;
    }
    if report.malformed.len() > FAULTS_MAX {
        writeln!(page, "  … {} more faults", report.malformed.len() - FAULTS_MAX)?;
    }
    for range in &report.unread {
        writeln!(page, "  bytes {} to {} were not read", range.start, range.end)?;
    }
    Ok(())
}
