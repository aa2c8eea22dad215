//! The page of one crash: what happened in words first, then the stack that matters with the app's own frames
//! marked; other threads and images are folded, the bytes are a link away.

use holdfast_crash::{
    ApplicationInfo, Exception, Fate, Frame as StackFrame, Image, Jetsam, JetsamProcess, Report, Termination,
    Thread, fate, place,
};
use holdfast_wire::crash::MissingDsym;
use holdfast_wire::time::Time;
use maud::{Markup, html};

use super::job_page::table;
use super::picture::CrashPage;
use super::rows::{by_udid, phone_link};
use super::shapes::CRASH;
use super::shell::{Frame, still};
use super::words::{ago, bytes, shown, shown_lines, span};

/// Frames shown of the stack that matters: an endless recursion has 512 and more, and its beginning is the same.
const MAIN_FRAMES_MAX: usize = 200;
/// Frames shown of another thread.
const OTHER_FRAMES_MAX: usize = 60;
/// Other threads shown; real reports have some dozens.
const THREADS_MAX: usize = 200;
/// Images shown; real reports have some hundreds.
const IMAGES_MAX: usize = 1_500;
/// Processes shown of a memory shortage.
const VICTIMS_MAX: usize = 50;
/// Faults shown of a damaged file.
const FAULTS_MAX: usize = 20;

/// The whole page.
pub fn render(page: &CrashPage, now: Time) -> Markup {
    let report = &page.report;
    let title = shown(report.process.as_deref().unwrap_or(report.kind.words()));
    let simulated = page.phone.as_ref().is_some_and(|phone| phone.facts.simulated);
    let frame = Frame { title: &title, class: "one", now, simulated };
    still(
        frame,
        html! {
            (head(page, &title, now))
            (said(report))
            (stacks(report))
            (missing(page.view.missing_symbols.as_deref().unwrap_or_default()))
            @if let Some(jetsam) = &report.jetsam { (shortage(jetsam)) }
            (other_threads(report))
            (images(&report.images))
            (damage(report))
        },
    )
}

fn head(page: &CrashPage, title: &str, now: Time) -> Markup {
    let (origin, report) = (&page.view.origin, &page.report);
    let phones = page.phone.as_slice();
    html! {
        section.head #head {
            h1 { span.state.alarm { (CRASH.shape()) } (title) }
            p.lead { (shown(&report.ended_by.words)) }
            @if let Some(frame) = report.top_in_app() {
                p { "in " code { (shown(frame.image.as_deref().unwrap_or("?"))) " " (shown(&place(frame))) } }
            }
            p.links {
                a href={ "/api/v1/crashes/" (origin.id) "/raw" } { "the file as the phone wrote it" }
                a href={ "/api/v1/crashes/" (origin.id) "/text" } { "as Apple's text" }
                a href={ "/api/v1/crashes/" (origin.id) } { "as JSON" }
            }
            dl {
                dt { "kind" }
                dd {
                    (report.kind.words())
                    @if let Some(number) = &report.bug_type { span.quiet { " (" (shown(number)) ")" } }
                }
                (fact("bundle", report.bundle_id.as_deref()))
                (fact("version", report.version().as_deref()))
                dt { "phone" }
                dd {
                    @match &origin.phone {
                        Some(phone) => { (phone_link(phone, &by_udid(phones))) }
                        None => { "imported" }
                    }
                    @if let Some(rack) = &origin.rack { ", rack " (rack) }
                    @let named = [report.device_model.as_deref(), report.os_version.as_deref()];
                    @for words in named.into_iter().flatten() { span.quiet { " · " (shown(words)) } }
                }
                @if let Some(attempt) = origin.attempt {
                    dt { "in" } dd { "attempt " a href={ "/jobs/" (attempt.job) } { (attempt) } }
                }
                @if let Some(group) = &page.view.group {
                    dt { "group" }
                    dd {
                        a href={ "/groups/" (group) } {
                            (shown(page.view.signature.as_ref().map_or("its group", |signature| &signature.words)))
                        }
                    }
                }
                (fact("happened", report.captured_at.or(report.written_at).map(|at| format!("{at}, phone's clock")).as_deref()))
                (fact("launched", launched(report).as_deref()))
                (fact("process id", report.pid.map(|pid| pid.to_string()).as_deref()))
                (fact("executable", report.slice_uuid.as_deref()))
                (fact("incident", report.incident_id.as_deref()))
                dt { "collected" } dd { (ago(origin.collected_at, now)) }
                dt { "file" } dd { code { (shown(&origin.path)) } span.quiet { " · " (bytes(origin.size_bytes)) } }
            }
        }
    }
}

fn fact(title: &str, value: Option<&str>) -> Markup {
    html! { @if let Some(value) = value.filter(|value| !value.is_empty()) { dt { (title) } dd { (shown(value)) } } }
}

fn launched(report: &Report) -> Option<String> {
    let launched = report.launched_at?;
    let lived = report.captured_at.map(|captured| captured.since(&launched));
    let lived = lived.and_then(|lived| std::time::Duration::try_from(lived).ok());
    let lived = lived.map(|lived| format!(", lived {}", span(lived))).unwrap_or_default();
    Some(format!("{launched}{lived}, it was {}", report.launch_phase.words()))
}

/// What the system and the libraries said about the end.
fn said(report: &Report) -> Markup {
    let has_resource = report.resource.as_ref();
    let silent = report.exception.is_none()
        && report.termination.is_none()
        && report.uncaught.is_none()
        && has_resource.is_none()
        && report.system_message.is_none()
        && report.vm_region_info.is_none()
        && report.application_info.is_empty();
    html! {
        @if !silent {
            section.list #said {
                h2 { "What the system said" }
                dl {
                    @if let Some(uncaught) = &report.uncaught {
                        dt { "nobody caught" }
                        dd {
                            code { (shown(uncaught.name.as_deref().unwrap_or("an exception"))) }
                            @if let Some(reason) = &uncaught.reason { pre { (shown_lines(reason)) } }
                        }
                    }
                    @if let Some(exception) = &report.exception { (exception_fact(exception)) }
                    @if let Some(termination) = &report.termination { (termination_fact(termination)) }
                    @if let Some(resource) = has_resource {
                        (fact("used too much", resource.event.as_deref()))
                        (fact("used", resource.used.as_deref()))
                        (fact("limit", resource.limit.as_deref()))
                        (fact("done about it", resource.action.as_deref()))
                    }
                    (block("message", report.system_message.as_deref()))
                    (block("memory around", report.vm_region_info.as_deref()))
                    @for info in &report.application_info { (application_fact(info)) }
                }
            }
        }
    }
}

fn block(title: &str, text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { dt { (title) } dd { pre { (shown_lines(text)) } } } }
}

fn exception_fact(exception: &Exception) -> Markup {
    let words = [&exception.exception_type, &exception.signal, &exception.subtype];
    let more = [&exception.codes, &exception.message];
    html! {
        dt { "exception" }
        dd {
            code { (words.into_iter().flatten().map(|word| shown(word)).collect::<Vec<_>>().join(", ")) }
            @for line in more.into_iter().flatten() { div.quiet { (shown(line)) } }
        }
    }
}

fn termination_fact(termination: &Termination) -> Markup {
    let words = [&termination.namespace, &termination.code_hex, &termination.indicator];
    let reasons: Vec<&str> =
        termination.reasons.iter().chain(&termination.details).map(String::as_str).collect();
    html! {
        dt { "ended by" }
        dd {
            code { (words.into_iter().flatten().map(|word| shown(word)).collect::<Vec<_>>().join(" ")) }
            @if let Some(by) = &termination.by_process { span.quiet { ", by " (shown(by)) } }
            @if !reasons.is_empty() { pre { (shown_lines(&reasons.join("\n"))) } }
        }
    }
}

fn application_fact(info: &ApplicationInfo) -> Markup {
    html! {
        dt { (shown(info.image.as_deref().unwrap_or("a library"))) " said" }
        dd { pre { (shown_lines(&info.lines.join("\n"))) } }
    }
}

/// Where an uncaught exception was thrown, and the thread that crashed.
fn stacks(report: &Report) -> Markup {
    html! {
        @if !report.last_exception_backtrace.is_empty() {
            section.list #thrown {
                h2 { "Where the exception was thrown" }
                (frames(&report.last_exception_backtrace, MAIN_FRAMES_MAX))
            }
        }
        @if let Some(thread) = report.crashed() {
            section.list #crashed {
                h2 { (match fate(report) { Fate::Crashed => "Crashed", Fate::Blamed => "Blamed" }) " thread: " (thread_title(thread)) }
                p.quiet { "Frames of the app itself are marked with " span.mark { "▸" } "." }
                (frames(&thread.frames, MAIN_FRAMES_MAX))
            }
        }
    }
}

/// Which symbols nobody has uploaded, and how that is done.
fn missing(missing: &[MissingDsym]) -> Markup {
    html! {
        @if !missing.is_empty() {
            section.list #symbols {
                h2 { "Symbols are missing " span.total { (missing.len()) } }
                p.quiet { "To name the frames, upload the dSYMs of these UUIDs: " code { "holdfast build symbols BUILD App.dSYM.zip" } }
                (table(&["Image", "UUID of the dSYM"], html! {
                    @for one in missing {
                        tr { td { (shown(&one.image)) } td {
                            code { (shown(&one.uuid)) }
                            @if let Some(asked) = &one.asked { " " span.quiet { (shown(asked)) } }
                        } }
                    }
                }))
            }
        }
    }
}

fn thread_title(thread: &Thread) -> String {
    let number = format!("thread {}", thread.index);
    let more = [&thread.name, &thread.queue];
    more.into_iter().flatten().fold(number, |title, word| format!("{title} · {}", shown(word)))
}

fn frames(frames: &[StackFrame], limit: usize) -> Markup {
    html! {
        @if frames.is_empty() { p.empty { "The report shows no frames of it." } }
        @else {
            ol.stack {
                @for (number, frame) in frames.iter().take(limit).enumerate() {
                    li.own[frame.in_app] {
                        span.mark { @if frame.in_app { "▸" span.unseen { "in the app: " } } }
                        span.depth { (number) }
                        span.image { (shown(frame.image.as_deref().unwrap_or("?"))) }
                        code {
                            // Only links of the configured form get here.
                            @match &frame.source_url {
                                Some(url) => a href=(url) rel="noreferrer" { (shown(&place(frame))) },
                                None => (shown(&place(frame))),
                            }
                        }
                    }
                }
            }
            @if frames.len() > limit { p.empty { "and " (frames.len() - limit) " more frames" } }
        }
    }
}

fn other_threads(report: &Report) -> Markup {
    let crashed = report.crashed().map(|thread| thread.index);
    let others: Vec<&Thread> = report.threads.iter().filter(|thread| Some(thread.index) != crashed).collect();
    html! {
        @if !others.is_empty() {
            section.list #threads {
                h2 { "Other threads " span.total { (others.len()) } }
                @for thread in others.iter().take(THREADS_MAX) {
                    details {
                        summary {
                            (thread_title(thread))
                            @if let Some(top) = thread.frames.first() { span.quiet { " · " (shown(&place(top))) } }
                            @if thread.frames.iter().any(|frame| frame.in_app) { " " span.class { "in the app" } }
                        }
                        (frames(&thread.frames, OTHER_FRAMES_MAX))
                    }
                }
                @if others.len() > THREADS_MAX { p.empty { "and " (others.len() - THREADS_MAX) " more threads" } }
            }
        }
    }
}

fn shortage(jetsam: &Jetsam) -> Markup {
    html! {
        section.list #jetsam {
            h2 { "Killed for memory " span.total { (jetsam.victims.len()) } }
            p.quiet {
                "of " (jetsam.process_count) " processes"
                @if let Some(largest) = &jetsam.largest { "; the largest was " (shown(largest)) }
            }
            (table(&["Process", "Used", "At most", "Why"], html! {
                @for victim in jetsam.victims.iter().take(VICTIMS_MAX) { (victim_row(victim)) }
            }))
            @if jetsam.victims.len() > VICTIMS_MAX {
                p.empty { "and " (jetsam.victims.len() - VICTIMS_MAX) " more" }
            }
        }
    }
}

fn victim_row(victim: &JetsamProcess) -> Markup {
    let memory = |used: Option<u64>| used.map_or_else(|| "–".to_owned(), bytes);
    html! {
        tr {
            td {
                (shown(victim.name.as_deref().unwrap_or("?")))
                @if let Some(pid) = victim.pid { span.quiet { " [" (pid) "]" } }
            }
            td.number { (memory(victim.memory_bytes)) }
            td.number { (memory(victim.memory_bytes_max)) }
            td { (shown(victim.reason.as_deref().unwrap_or("not said"))) }
        }
    }
}

fn images(images: &[Image]) -> Markup {
    let base = |image: &Image| image.base.map_or_else(|| "–".to_owned(), |base| format!("0x{base:x}"));
    html! {
        @if !images.is_empty() {
            section.list #images {
                details {
                    summary { "Images (" (images.len()) ")" }
                    (table(&["Image", "Base", "Arch", "UUID", "Path"], html! {
                        @for image in images.iter().take(IMAGES_MAX) {
                            tr {
                                td { (shown(image.name.as_deref().unwrap_or("?"))) }
                                td { code { (base(image)) } }
                                td { (shown(image.arch.as_deref().unwrap_or("–"))) }
                                td { code { (shown(image.uuid.as_deref().unwrap_or("–"))) } }
                                td { code { (shown(image.path.as_deref().unwrap_or("–"))) } }
                            }
                        }
                    }))
                    @if images.len() > IMAGES_MAX { p.empty { "and " (images.len() - IMAGES_MAX) " more" } }
                }
            }
        }
    }
}

/// Where the file is broken, and what was not read of it.
fn damage(report: &Report) -> Markup {
    html! {
        @if !report.malformed.is_empty() || !report.unread.is_empty() {
            section.list #damage {
                h2 { "The file is damaged" }
                p.quiet { "Its bytes are kept as they came." }
                ul.plain {
                    @for fault in report.malformed.iter().take(FAULTS_MAX) {
                        li {
                            "line " (fault.place.line) ", column " (fault.place.column)
                            " (byte " (fault.place.offset) "): " (shown(&fault.what))
                        }
                    }
                    @if report.malformed.len() > FAULTS_MAX {
                        li { "and " (report.malformed.len() - FAULTS_MAX) " more faults" }
                    }
                    @for range in &report.unread { li { "bytes " (range.start) " to " (range.end) " were not read" } }
                }
            }
        }
    }
}
