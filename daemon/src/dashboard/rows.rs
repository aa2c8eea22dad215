//! Rows that several pages show alike: a job, a crash.

use std::collections::BTreeMap;

use holdfast_wire::api::{CrashView, JobView, PhoneView, ProgressView};
use holdfast_wire::id::Udid;
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::time::Time;
use maud::{Markup, html};

use super::part::Part;
use super::shapes::{self, CRASH};
use super::words::{ago, count, lasting, shown, span};
use crate::older::Older;

/// Phones by name, so that a row can say where a job runs.
pub(crate) type PhoneNames<'a> = BTreeMap<&'a Udid, &'a PhoneView>;

/// Phones by name.
pub(crate) fn by_udid(phones: &[PhoneView]) -> PhoneNames<'_> {
    phones.iter().map(|phone| (&phone.facts.udid, phone)).collect()
}

/// A phone's name with a link to its page; the UDID where the name is not known.
pub(crate) fn phone_link(udid: &Udid, phones: &PhoneNames<'_>) -> Markup {
    let name = phones.get(udid).map_or_else(|| udid.to_string(), |phone| shown(&phone.facts.name));
    html! { a href={ "/phones/" (udid) } { (name) } }
}

/// A job as one row of a list.
pub(crate) fn job(job: &JobView, phones: &PhoneNames<'_>, now: Time) -> Part {
    let id = format!("job-{}", job.id);
    let face = shapes::job(&job.state);
    let cases: Vec<&str> = job.spec.cases.iter().map(|case| case.name.as_str()).collect();
    let html = html! {
        li.job #(id) data-state=(face.word) {
            div.line {
                // What runs or waits stands under a heading that says so.
                @match &job.state {
                    JobState::Queued | JobState::Running { .. } => {
                        span class={ "state " (face.tone) } { (face.shape()) span.unseen { (face.word) } }
                    },
                    JobState::Ended { .. } => { (face.markup()) },
                }
                a.id href={ "/jobs/" (job.id) } { (job.id) }
                (class_badge(job))
                span.what title=(shown(&build_words(job))) {
                    (shown(&job.spec.build.executable)) " " (shown(&job.spec.build.version))
                    span.quiet { " · " (cases.join(", ")) }
                }
                span.when {
                    @match &job.state {
                        JobState::Queued => { (lasting(job.submitted_at, now)) },
                        JobState::Running { .. } => {
                            (lasting(job.attempts.last().map_or(job.submitted_at, |attempt| attempt.leased_at), now))
                        },
                        JobState::Ended { at, .. } => { (ago(*at, now)) },
                    }
                }
            }
            (job_detail(job, phones))
        }
    };
    Part::leaf(id, html)
}

fn job_detail(job: &JobView, phones: &PhoneNames<'_>) -> Markup {
    let crashes: usize = job.attempts.iter().map(|attempt| attempt.crashes.len()).sum();
    html! {
        @match &job.state {
            JobState::Queued => {
                p.detail { (shown(job.waiting.as_deref().unwrap_or("its turn has not come yet"))) }
            },
            JobState::Running { attempt, phone, others } => {
                @let progress = job.attempts.last().and_then(|attempt| attempt.progress.as_ref());
                p.detail {
                    "on " (phone_link(phone, phones))
                    @for other in others { " and " (phone_link(&other.phone, phones)) }
                    @if *attempt > 1 { " · try " (attempt) }
                    @if let Some(progress) = progress { " · " (step_words(progress)) }
                }
                (bar(progress, &format!("{} done", job.id)))
            },
            JobState::Ended { outcome, at } => {
                p.detail {
                    (ended_words(outcome))
                    @if let Some(last) = job.attempts.last() {
                        @if matches!(outcome, JobOutcome::Failed { .. }) { " · " }
                        "on " (phone_link(&last.phone, phones)) " · " (span(at.since(job.submitted_at))) " from submission"
                    }
                    @if crashes > 0 { span.found { (CRASH.shape()) (count(crashes, "crash")) } }
                }
            },
        }
    }
}

/// Which build, in full: for a title.
pub(crate) fn build_words(job: &JobView) -> String {
    let build = &job.spec.build;
    format!("{} {} ({}), {}", build.bundle_id, build.version, build.build_number, build.hash.short())
}

/// The class of a job.
pub(crate) fn class_badge(job: &JobView) -> Markup {
    html! { span class={ "class " (job.spec.class) } { (job.spec.class) } }
}

/// What an attempt does, in words.
pub(crate) fn step_words(progress: &ProgressView) -> Markup {
    html! {
        span.step { (progress.step) }
        @if !progress.note.is_empty() { ", " (shown(&progress.note)) }
    }
}

/// How far an attempt is. Without a figure the bar is there and empty, so that nothing jumps.
pub(crate) fn bar(progress: Option<&ProgressView>, label: &str) -> Markup {
    let percent = progress.map_or(0, |progress| progress.percent.min(100));
    html! {
        span.far {
            progress max="100" value=(percent) aria-label=(label) {}
            span.percent { (percent) " %" }
        }
    }
}

/// How a job ended, beyond the word: empty unless there is a reason.
fn ended_words(outcome: &JobOutcome) -> Markup {
    html! {
        @match outcome {
            JobOutcome::Failed { blame, reason } => {
                span.blame { (blame) } " " span.reason title=(shown(reason)) { (shown(reason)) }
            },
            JobOutcome::Passed | JobOutcome::Cancelled | JobOutcome::Expired => {},
        }
    }
}

/// What stands below a page of a long list: ways to the newest and to the next one.
pub(crate) fn ways<K: std::fmt::Display>(
    address: &str,
    begins: Option<&Older<K>>,
    goes_on: Option<&Older<K>>,
) -> Markup {
    html! {
        @if begins.is_some() || goes_on.is_some() {
            p.links {
                @if begins.is_some() { a href=(address) { "newest" } " " }
                @if let Some(older) = goes_on { a href={ (address) "?older=" (older) } rel="next" { "older" } }
            }
        }
    }
}

/// A crash as one row of a list.
pub(crate) fn crash(crash: &CrashView, phones: &PhoneNames<'_>, now: Time) -> Part {
    let id = format!("crash-{}", crash.origin.id.short());
    let process = crash.process.as_deref().or(crash.bundle_id.as_deref()).unwrap_or(&crash.kind);
    let ended = crash.ended_by.as_deref().unwrap_or(if crash.malformed.is_empty() {
        "the report does not tell what ended it"
    } else {
        "the report cannot be read"
    });
    let happened = crash.captured_at.as_deref().map(|at| format!("phone's clock: {}", shown(at)));
    let html = html! {
        li.crash #(id) data-news={ (shown(process)) ": " (shown(ended)) } {
            div.line {
                span.state.alarm { (CRASH.shape()) }
                a.id href={ "/crashes/" (crash.origin.id) } { (shown(process)) }
                @if !crash.malformed.is_empty() { span.class.damaged { "damaged file" } }
                span.what title=(shown(ended)) { (shown(ended)) }
                span.when title=[happened] { (ago(crash.origin.collected_at, now)) }
            }
            p.detail {
                @if let Some(frame) = &crash.top_frame { code title=(shown(frame)) { (shown(frame)) } " · " }
                @match &crash.origin.phone {
                    Some(phone) => { (phone_link(phone, phones)) }
                    None => { "imported" }
                }
                @if let Some(attempt) = crash.origin.attempt {
                    " · in " a href={ "/jobs/" (attempt.job) } { (attempt) }
                }
            }
        }
    };
    Part::leaf(id, html)
}

/// A titled list of rows. When it is empty it says so.
pub(crate) fn list(id: &str, title: &str, total: usize, rows: Vec<Part>, empty: &str) -> Part {
    let hidden = total.saturating_sub(rows.len());
    let none = rows.is_empty();
    Part::around(id, rows, |inner| {
        html! {
            section.list #(id) aria-labelledby={ (id) "-title" } {
                h2 #{ (id) "-title" } { (title) " " span.total { (total) } }
                @if none { p.empty { (empty) } } @else { ol.rows { (inner) } }
                @if hidden > 0 { p.empty { "and " (count(hidden, "other")) } }
            }
        }
    })
}
