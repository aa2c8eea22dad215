//! The page of one job: what was asked, why it waits phone by phone, every attempt with its cases and crashes.

use std::time::Duration;

use holdfast_wire::api::{AttemptView, CrashView, Explanation, JobView};
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::job::{JobOutcome, JobState, Requirements};
use holdfast_wire::outcome::{AttemptEnd, CaseResult, LaunchEnd};
use holdfast_wire::time::Time;
use holdfast_wire::views::CaseStats;
use maud::{Markup, html};

use super::part::Part;
use super::picture::JobPage;
use super::rows::{PhoneNames, bar, by_udid, class_badge, crash, list, phone_link, step_words};
use super::shapes::{self, FAILED, READY};
use super::shell::{Frame, live};
use super::words::{absolute, ago, ahead, bytes, count, lasting, shown, span};

/// Launches shown of a case: one with the most allowed would be a thousand rows, of which the first tell enough.
const LAUNCHES_MAX: usize = 200;

/// The whole page.
pub fn render(page: &JobPage, now: Time) -> Markup {
    let title = format!("Job {}", page.job.id);
    let simulated = page.phones.iter().any(|phone| phone.facts.simulated);
    let frame = Frame { title: &title, class: "one", now, simulated };
    let events = format!("/dashboard/events?job={}", page.job.id);
    live(frame, &events, &parts(page, now), &parts(page, Time::default()))
}

/// The parts of the page, ages counted at `now`.
pub fn parts(page: &JobPage, now: Time) -> Vec<Part> {
    let phones = by_udid(&page.phones);
    let job = &page.job;
    let rows: Vec<Part> = page.crashes.iter().map(|view| crash(view, &phones, now)).collect();
    let attempts: Vec<Part> =
        job.attempts.iter().rev().map(|one| attempt(one, &page.crashes, &phones, now)).collect();
    vec![
        head(job, &phones, now),
        why(page.explanation.as_ref(), &phones, now),
        list("attempts", "Attempts", attempts.len(), attempts, "No phone has been given to this job yet."),
        list("crashes", "Crashes", rows.len(), rows, "No crash was collected in this job."),
        asked(page),
    ]
}

fn head(job: &JobView, phones: &PhoneNames<'_>, now: Time) -> Part {
    let progress = job.attempts.last().and_then(|attempt| attempt.progress.as_ref());
    Part::leaf(
        "head",
        html! {
            section.head #head {
                h1 { (job.id) " " (class_badge(job)) }
                p.lead {
                    (shapes::job(&job.state).markup())
                    @match &job.state {
                        JobState::Queued => {
                            "for " (lasting(job.submitted_at, now)) " · "
                            (shown(job.waiting.as_deref().unwrap_or("its turn has not come yet")))
                            @if let Some(eta) = &job.eta {
                                " · expected to start " (ahead(eta.likely, now)) ", at the latest " (ahead(eta.latest, now))
                            }
                        },
                        JobState::Running { attempt, phone, others } => {
                            "attempt " (attempt) " on " (phone_link(phone, phones))
                            @for other in others { " and " (phone_link(&other.phone, phones)) }
                            @if let Some(progress) = progress { " · " (step_words(progress)) }
                        },
                        JobState::Ended { outcome, at } => {
                            (ago(*at, now)) (outcome_words(outcome)) " · " (span(at.since(job.submitted_at))) " from submission"
                        },
                    }
                }
                @if let JobState::Running { .. } = &job.state { (bar(progress, "done")) }
            }
        },
    )
}

fn outcome_words(outcome: &JobOutcome) -> Markup {
    html! {
        @match outcome {
            JobOutcome::Failed { blame, reason } => { " · blamed on the " (blame) ": " (shown(reason)) },
            JobOutcome::Expired => { " · it was not started in time" },
            JobOutcome::Cancelled => { " · somebody took it back" },
            JobOutcome::Passed => {},
        }
    }
}

fn why(explanation: Option<&Explanation>, phones: &PhoneNames<'_>, now: Time) -> Part {
    let html = html! {
        section.list #why hidden[explanation.is_none()] {
            @if let Some(explanation) = explanation {
                h2 { "Why it waits" }
                p { (shown(&explanation.summary)) }
                ul.plain {
                    @for rule in &explanation.rules {
                        li {
                            (shown(&rule.words))
                            @if let Some(until) = rule.until { span.quiet { " · " (ahead(until, now)) } }
                        }
                    }
                }
                (table(&["Phone", "Rack", "Why not here, now"], html! {
                    @for answer in &explanation.phones {
                        tr {
                            td { (phone_link(&answer.phone, phones)) }
                            td { (answer.rack) }
                            td { (shown(&answer.words)) }
                        }
                    }
                }))
            }
        }
    };
    Part::leaf("why", html)
}

fn attempt(view: &AttemptView, crashes: &[CrashView], phones: &PhoneNames<'_>, now: Time) -> Part {
    let element = format!("attempt-{}", view.id.number);
    let html = html! {
        li.attempt #(element) {
            h3 { "Attempt " (view.id.number) " on " (phone_link(&view.phone, phones)) }
            p.quiet {
                "rack " (view.rack) " · lease " (view.lease) " · began " (ago(view.leased_at, now))
                @if let Some(ended) = view.ended_at { " · took " (span(ended.since(view.leased_at))) }
            }
            p { (attempt_end(view)) }
            @if view.end.is_none() { (bar(view.progress.as_ref(), "done")) }
            @for case in &view.cases { (case_result(case, crashes)) }
        }
    };
    Part::leaf(element, html)
}

fn attempt_end(view: &AttemptView) -> Markup {
    html! {
        @match (&view.end, &view.progress) {
            (Some(AttemptEnd::Passed), _) => { span.state.good { (READY.shape()) "every case passed" } },
            (Some(AttemptEnd::Failed { blame, step, reason }), _) => {
                span.state.alarm { (FAILED.shape()) "failed" }
                " in " (step) ", blamed on the " (blame) ": " (shown(reason))
            },
            (Some(AttemptEnd::Revoked), _) => { span.state.off { (shapes::OFFLINE.shape()) "lease taken back" } },
            (Some(AttemptEnd::Yielded { cases_done, failure }), _) => {
                span.state.off { (shapes::WAITING.shape()) "gave the phone up to more urgent work" }
                " after " (count(*cases_done as usize, "case"))
                @if let Some(failure) = failure { ": " (shown(failure)) }
            },
            (None, Some(progress)) => { (step_words(progress)) },
            (None, None) => { "not heard of yet" },
        }
        @if !view.crashes.is_empty() { " · " (count(view.crashes.len(), "crash")) }
    }
}

fn case_result(result: &CaseResult, crashes: &[CrashView]) -> Markup {
    html! {
        h4 {
            @if result.failure.is_none() { span.state.good { (READY.shape()) } }
            @else { span.state.alarm { (FAILED.shape()) } }
            " " (result.case)
        }
        @if let Some(failure) = &result.failure { p { (shown(failure)) } }
        @if !result.launches.is_empty() {
            (table(&["Launch", "Process", "Launched in", "Alive for", "Then"], html! {
                @for launch in result.launches.iter().take(LAUNCHES_MAX) {
                    tr {
                        td.number { (launch.number) }
                        td.number { @match launch.pid { Some(pid) => { (pid) }, None => { "–" } } }
                        td.number { (span(Duration::from_millis(launch.launch_ms))) }
                        td.number { (span(Duration::from_millis(launch.alive_ms))) }
                        td { (launch_end(&launch.end, crashes)) }
                    }
                }
            }))
            @if result.launches.len() > LAUNCHES_MAX {
                p.empty { "and " (result.launches.len() - LAUNCHES_MAX) " other launches" }
            }
        }
    }
}

fn launch_end(end: &LaunchEnd, crashes: &[CrashView]) -> Markup {
    html! {
        @match end {
            LaunchEnd::Stayed => { span.state.good { (READY.shape()) "stayed" } },
            LaunchEnd::Exited => { span.state.alarm { (FAILED.shape()) "exited by itself" } },
            LaunchEnd::Hung => { span.state.alarm { (FAILED.shape()) "hung" } },
            LaunchEnd::Crashed { crash } => {
                @let known = crashes.iter().find(|view| view.origin.id == *crash);
                span.state.alarm { (shapes::CRASH.shape()) a href={ "/crashes/" (crash) } { "crashed" } }
                @if let Some(words) = known.and_then(|view| view.ended_by.as_deref()) { ": " (shown(words)) }
            },
        }
    }
}

fn asked(page: &JobPage) -> Part {
    let job = &page.job;
    let spec = &job.spec;
    let build = &spec.build;
    let html = html! {
        section.list #asked {
            h2 { "What was asked" }
            dl {
                dt { "build" }
                dd {
                    (shown(&build.executable)) " " (shown(&build.version)) " (" (shown(&build.build_number)) ") · "
                    (build.bundle_id) " · " (bytes(build.size_bytes)) " · " code title=(build.hash) { (build.hash.short()) }
                }
                @for case in spec.cases.iter() { dt { "case" } dd { (case_words(case, page.stats.get(&case.name))) } }
                dt { "phones" }
                dd { @if spec.phones > 1 { (spec.phones) " at once: " } (demands(&spec.requirements)) }
                @if let Some(compare) = &spec.compare { dt { "compared in" } dd { (compare) } }
                @if spec.priority != 0 { dt { "priority" } dd { (spec.priority) } }
                @if let Some(owner) = &spec.owner { dt { "asked by" } dd { (owner) } }
                dt { "submitted" } dd { (absolute(job.submitted_at)) }
                @if let Some(by) = spec.start_by { dt { "start by" } dd { (absolute(by)) } }
            }
            p { a href={ "/api/v1/jobs/" (job.id) } { "The same as JSON" } }
        }
    };
    Part::leaf("asked", html)
}

fn case_words(case: &Case, stats: Option<&CaseStats>) -> Markup {
    let CaseRun::Launch { launches, stay_ms, launch_timeout_ms, arguments } = &case.run;
    let arguments: Vec<String> = arguments.iter().map(|argument| shown(argument)).collect();
    html! {
        (case.name) span.quiet { " · owner " (case.owner) " · " }
        (launches) " cold launches, each alive for " (span(Duration::from_millis(*stay_ms)))
        ", a hang after " (span(Duration::from_millis(*launch_timeout_ms)))
        @if !arguments.is_empty() { ", with " code { (arguments.join(" ")) } }
        @if let Some(stats) = stats {
            span.quiet {
                " · on this farm " (stats.words())
                @if let Some(attempt) = stats.last_failures.first().and_then(|last| last.attempt) {
                    ", failed last in " a href={ "/jobs/" (attempt.job) } { (attempt) }
                }
            }
        }
    }
}

fn demands(wanted: &Requirements) -> String {
    let mut words = Vec::new();
    if !wanted.models.is_empty() {
        words.push(wanted.models.iter().map(|model| shown(model)).collect::<Vec<_>>().join(" or "));
    }
    words.extend(wanted.os_min.as_ref().map(|version| format!("iOS {version} or newer")));
    words.extend(wanted.os_max.as_ref().map(|version| format!("iOS {version} or older")));
    words.extend(wanted.labels.iter().map(|label| format!("label {label}")));
    words.extend(wanted.pool.as_ref().map(|pool| format!("pool {pool}")));
    words.extend(wanted.rack.as_ref().map(|rack| format!("rack {rack}")));
    words.extend(wanted.phone.as_ref().map(|phone| format!("phone {phone}")));
    words.extend(wanted.expression.as_ref().map(|expression| shown(expression.as_str())));
    words.extend(wanted.fallbacks.iter().map(|fallback| {
        let after = span(Duration::from_secs(fallback.after_s));
        format!("after {after} also {}", shown(fallback.expression.as_str()))
    }));
    if words.is_empty() { "any".to_owned() } else { words.join(", ") }
}

/// A table that may be wider than a phone.
pub(crate) fn table(titles: &[&str], rows: Markup) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { @for title in titles { th scope="col" { (title) } } } }
                tbody { (rows) }
            }
        }
    }
}
