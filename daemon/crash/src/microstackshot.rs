//! Texts of sampled stacks: processor time (202, 206), disk writes (145), wake-ups (142). They are texts to this day.
//!
//! Only the accused process is read; the other processes that such a file samples stay raw.

use crate::images::place_frames;
use crate::lines::{image_line, known, os_version, sampled_frame_line, two_versions};
use crate::moment::Moment;
use crate::report::{Frame, Report, Resource, Thread};

/// Whether a text is one of these.
pub(crate) fn is_sampled_text(text: &[u8]) -> bool {
    // The mark stands among the first lines, before any stack.
    let head = text.get(..4096).unwrap_or(text);
    let has = |mark: &str| head.split(|byte| *byte == b'\n').any(|line| line.starts_with(mark.as_bytes()));
    has("Data Source:") || (has("Command:") && has("Event:"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Head,
    HeaviestStack,
    Samples,
    Images,
    Done,
}

/// Reads the accused process, what it used, its heaviest stack and its images.
pub(crate) fn read_sampled_text(report: &mut Report, text: &[u8]) {
    let mut section = Section::Head;
    let mut stack = Vec::new();
    let mut end_time = None;
    for line in text.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let trimmed = line.trim();
        section = match section {
            _ if trimmed.starts_with("Heaviest stack for the ") => Section::HeaviestStack,
            Section::Samples if trimmed == "Binary Images:" => Section::Images,
            Section::Images if trimmed.is_empty() && !report.images.is_empty() => Section::Done,
            Section::HeaviestStack if trimmed.is_empty() && !stack.is_empty() => Section::Samples,
            Section::Head if trimmed.starts_with("Powerstats for:") => Section::Samples,
            other => other,
        };
        match section {
            Section::Head => head(report, &mut end_time, trimmed),
            Section::HeaviestStack => stack.extend(sampled_frame_line(trimmed)),
            Section::Samples => {
                if let Some(uuid) = trimmed.strip_prefix("UUID:")
                    && report.slice_uuid.is_none()
                {
                    report.slice_uuid = crate::images::plain_uuid(uuid.trim());
                }
            }
            Section::Images => report.images.extend(image_line(trimmed)),
            Section::Done => break,
        }
    }
    // It happened when the limit was passed, which is the end of the sampled time.
    report.captured_at = end_time.or(report.captured_at);
    keep_stack(report, stack);
    place_frames(report);
}

/// Sampled stacks are written outermost first.
fn keep_stack(report: &mut Report, mut stack: Vec<Frame>) {
    if stack.is_empty() {
        return;
    }
    stack.reverse();
    let name = Some("heaviest stack".to_owned());
    report.threads = vec![Thread { index: 0, name, queue: None, triggered: true, frames: stack }];
    report.crashed_thread = Some(0);
}

fn head(report: &mut Report, end_time: &mut Option<Moment>, line: &str) {
    let Some((key, value)) = line.split_once(':') else { return };
    let value = value.trim();
    let resource = report.resource.get_or_insert_with(Resource::default);
    match key {
        "Command" => fill(&mut report.process, known(value)),
        "Path" => fill(&mut report.process_path, known(value)),
        "Identifier" => fill(&mut report.bundle_id, known(value)),
        "Version" => {
            let (version, build) = two_versions(value);
            fill(&mut report.app_version, version);
            fill(&mut report.app_build, build.filter(|build| !build.contains('?')));
        }
        "PID" => fill(&mut report.pid, value.parse().ok()),
        "Date/Time" => fill(&mut report.captured_at, Moment::parse(value)),
        "End time" => fill(end_time, Moment::parse(value)),
        "OS Version" => fill(&mut report.os_version, os_version(value)),
        "Hardware model" => fill(&mut report.device_model, known(value)),
        "Incident Identifier" => fill(&mut report.incident_id, known(value)),
        "Event" => fill(&mut resource.event, known(value)),
        "Action taken" => fill(&mut resource.action, known(value)),
        "Duration" => fill(&mut resource.duration, known(value)),
        "CPU" | "Writes" | "Wakeups" => fill(&mut resource.used, known(value)),
        "CPU limit" | "Writes limit" | "Wakeups limit" => fill(&mut resource.limit, known(value)),
        _ => {}
    }
}

fn fill<T>(field: &mut Option<T>, value: Option<T>) {
    if field.is_none() {
        *field = value;
    }
}
