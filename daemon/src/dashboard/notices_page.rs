//! The page of what people are told: for each receiver what waits, what was sent, held back or given up and why, and how
//! often it may be spoken to.

use holdfast_wire::notice::{NoticeState, NoticeView, ReceiverView};
use holdfast_wire::time::Time;
use maud::{Markup, html};

use super::job_page::table;
use super::picture::{NoticesPage, Told};
use super::shapes::{FAILED, Face, OFFLINE, READY, WAITING};
use super::shell::{Frame, still};
use super::words::{ago, ahead, count, shown};

/// The title of the page, as the navigation has it.
const TITLE: &str = "Notices";

/// The page.
pub fn render(page: &NoticesPage, now: Time) -> Markup {
    let frame = Frame { title: TITLE, class: "one", now, simulated: page.simulated };
    still(
        frame,
        html! {
            section.head #head {
                h1 { "Notices" }
                p.lead {
                    "Who was told of which crash, what waits, and what was held back and why. The rules are in "
                    code { "notify.yaml" } "; " code { "holdfast rules test CRASH" } " tries them."
                }
                @if let Some(group) = &page.group {
                    p.links {
                        a href={ "/groups/" (group) } { "about crash group " (group) " alone" }
                        a href="/notices" { "about all" }
                    }
                }
            }
            @if page.told.is_empty() {
                p.empty { "Nobody is told anything: the rules name no receiver." }
            }
            @for told in &page.told { (receiver(told, page.group.is_some(), now)) }
        },
    )
}

fn receiver(told: &Told, one_group: bool, now: Time) -> Markup {
    let name = shown(&told.name);
    let nobody = told.receiver.is_none();
    let id = format!("to-{}", told.name);
    html! {
        section.list #(id) aria-labelledby={ (id) "-title" } {
            h2 #{ (id) "-title" } {
                @if told.name == "-" { "Nobody" } @else { (name) }
                " " span.total { (told.total) }
            }
            @match &told.receiver {
                Some(receiver) => { (state(receiver, now)) },
                None if told.name == "-" => { p.lead { "What was held back before it came to a receiver." } },
                None => { p.lead { "The rules name no such receiver any more." } },
            }
            @if told.notices.is_empty() {
                p.empty { @if nobody { "Nothing." } @else { "Nothing was told here yet." } }
            } @else {
                (table(&["State", "When", "What", "Why"], html! {
                    @for notice in &told.notices { (row(notice, now)) }
                }))
            }
            @if told.total > told.notices.len() && !one_group {
                p.empty { "and " (count(told.total - told.notices.len(), "other")) ": holdfast notice list" }
            }
        }
    }
}

/// How often it may be spoken to, and whether it may be now.
fn state(receiver: &ReceiverView, now: Time) -> Markup {
    html! {
        p.lead {
            (receiver.kind) " · " (count(usize::try_from(receiver.waiting).unwrap_or(usize::MAX), "message")) " waiting"
            @for limit in &receiver.limits {
                " · " (limit.used) " of " (limit.messages) " in " (span_words(limit.window_ms))
            }
            @if let Some(last) = receiver.last_sent { " · spoken to " (ago(last, now)) }
        }
        @match (receiver.not_before, receiver.wants_quiet) {
            (Some(at), true) => {
                p { (WAITING.markup()) " it said that it was told too often; left alone, again " (ahead(at, now)) }
            },
            (Some(at), false) => { p { (WAITING.markup()) " its limit is reached; again " (ahead(at, now)) } },
            (None, _) => {},
        }
    }
}

fn span_words(window_ms: u64) -> String {
    match window_ms {
        60_000 => "the last minute".to_owned(),
        1_000 => "the last second".to_owned(),
        other => format!("the last {} s", other.div_ceil(1_000)),
    }
}

fn row(notice: &NoticeView, now: Time) -> Markup {
    html! {
        tr #{ "notice-" (notice.id) } data-state=(notice.state.word()) {
            td { (face(notice.state).markup()) }
            td { (ago(notice.ended_at.unwrap_or(notice.at), now)) }
            td {
                @match &notice.phone {
                    Some(udid) => { a href={ "/phones/" (udid) } { (shown(&notice.title)) } },
                    None => { a href={ "/groups/" (notice.group) } { (shown(&notice.title)) } },
                }
            }
            td {
                (shown(&notice.words()))
                @if let (NoticeState::Waiting, Some(at)) = (notice.state, notice.next_try) {
                    span.quiet { " · next " (ahead(at, now)) }
                }
            }
        }
    }
}

fn face(state: NoticeState) -> Face {
    match state {
        NoticeState::Waiting => WAITING,
        NoticeState::Sent => READY.called("sent"),
        NoticeState::Failed => FAILED.called("given up"),
        NoticeState::Held => OFFLINE.called("held back"),
    }
}
