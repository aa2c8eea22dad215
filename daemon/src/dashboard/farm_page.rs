//! The first page: racks with their phones, the queue with why each job waits, the last crashes.

use std::cmp::Ordering;

use holdfast_wire::api::{JobView, PhoneView, RackView};
use holdfast_wire::id::RackId;
use holdfast_wire::job::JobState;
use holdfast_wire::phone::{Battery, PhoneState};
use holdfast_wire::time::Time;
use maud::{Markup, html};

use super::part::Part;
use super::picture::Picture;
use super::rows::{PhoneNames, bar, by_udid, crash, job, list, step_words};
use super::shapes::{
    ALARM, BUSY, CHARGING, Face, OFFLINE, READY, RESTING, TAKEN, WAITING, battery, phone as phone_face,
};
use super::shell::{Frame, live};
use super::words::{ago, ahead, count, lasting, shown};

/// Waiting jobs shown: a screen or two. The rest is a number.
const WAITING_MAX: usize = 50;
/// Ended jobs shown.
const ENDED_MAX: usize = 20;
/// Crashes shown.
const CRASHES_MAX: usize = 20;

/// Where the first page's changes come from.
pub(crate) const EVENTS: &str = "/dashboard/events";

/// The whole first page.
pub fn render_page(picture: &Picture) -> Markup {
    let frame = Frame { title: "Farm", class: "farm", now: picture.now, simulated: picture.simulated };
    live(frame, EVENTS, &parts(picture, picture.now), &parts(picture, Time::default()))
}

/// The parts of the first page, ages counted at `now`.
pub fn parts(picture: &Picture, now: Time) -> Vec<Part> {
    let phones = by_udid(&picture.phones);
    vec![
        counts(picture),
        racks(picture, now),
        jobs("running", "Running", picture, &phones, now),
        jobs("waiting", "Waiting", picture, &phones, now),
        crashes(picture, &phones, now),
        jobs("ended", "Ended", picture, &phones, now),
    ]
}

fn counts(picture: &Picture) -> Part {
    let (mut ready, mut busy, mut resting, mut alarm, mut taken, mut offline) = (0, 0, 0, 0, 0, 0);
    for phone in &picture.phones {
        let counter = match phone.state {
            PhoneState::Ready => &mut ready,
            PhoneState::Busy { .. } | PhoneState::Releasing { .. } => &mut busy,
            PhoneState::Preparing | PhoneState::Cooling | PhoneState::Charging | PhoneState::Recovering => {
                &mut resting
            }
            PhoneState::NeedsHands | PhoneState::Quarantined { .. } => &mut alarm,
            PhoneState::Taken { .. } => &mut taken,
            PhoneState::Offline => &mut offline,
        };
        *counter += 1;
    }
    let running = picture.jobs.iter().filter(|job| matches!(job.state, JobState::Running { .. })).count();
    let cell = |id: &str, face: Face, word: &str, number: usize| {
        let tone = if number == 0 { "none" } else { face.tone };
        html! { li class={ "count " (tone) } { b #(id) { (number) } span { (face.shape()) (word) } } }
    };
    Part::leaf(
        "counts",
        html! {
            section.counts #counts aria-label="Counts" {
                ul aria-label="Phones" {
                    (cell("count-ready", READY, "ready", ready))
                    (cell("count-busy", BUSY, "busy", busy))
                    (cell("count-resting", RESTING, "not yet ready", resting))
                    (cell("count-alarm", ALARM, "need a person", alarm))
                    @if taken > 0 { (cell("count-taken", TAKEN, "borrowed", taken)) }
                    (cell("count-offline", OFFLINE, "offline", offline))
                }
                ul aria-label="Jobs" {
                    (cell("count-running", BUSY, "jobs running", running))
                    (cell("count-waiting", WAITING, "jobs waiting", picture.jobs_waiting))
                }
            }
        },
    )
}

fn racks(picture: &Picture, now: Time) -> Part {
    let known = |rack: &RackId| picture.racks.iter().any(|view| view.id == *rack);
    let mut strays: Vec<&RackId> =
        picture.phones.iter().map(|phone| &phone.rack).filter(|rack| !known(rack)).collect();
    strays.sort();
    strays.dedup();
    let mut parts: Vec<Part> =
        picture.racks.iter().map(|view| rack(&view.id, Some(view), picture, now)).collect();
    parts.extend(strays.into_iter().map(|id| rack(id, None, picture, now)));
    let none = parts.is_empty();
    Part::around("racks", parts, |inner| {
        html! {
            div.racks #racks {
                @if none {
                    section.list {
                        h2 { "No rack yet" }
                        p.empty { "Start an agent that knows this daemon's address; its phones appear here by themselves." }
                    }
                }
                (inner)
            }
        }
    })
}

fn rack(id: &RackId, view: Option<&RackView>, picture: &Picture, now: Time) -> Part {
    let mut phones: Vec<&PhoneView> = picture.phones.iter().filter(|phone| phone.rack == *id).collect();
    phones.sort_by(|a, b| {
        let by_slot = natural(a.facts.slot.as_str(), b.facts.slot.as_str());
        by_slot.then_with(|| a.facts.udid.cmp(&b.facts.udid))
    });
    let tiles: Vec<Part> = phones.iter().map(|phone| tile(phone, now)).collect();
    let element = format!("rack-{id}");
    let none = tiles.is_empty();
    Part::around(element.clone(), tiles, |inner| {
        html! {
            section.rack #(element) aria-labelledby={ (element) "-title" } {
                header {
                    h2 #{ (element) "-title" } { span.quiet { "rack " } (id) }
                    @if let Some(view) = view { (rack_line(view, now)) }
                }
                @if none { p.empty { "No phone has been seen here yet." } }
                div.tiles { (inner) }
            }
        }
    })
}

fn rack_line(view: &RackView, now: Time) -> Markup {
    html! {
        @if view.online {
            p.quiet {
                (view.phones_working) " of " (count(view.phones, "phone")) " working · agent "
                (shown(&view.agent_version))
            }
        } @else {
            p.lost role="status" {
                (OFFLINE.shape()) "agent silent, last heard " (ago(view.last_heard, now))
                " · look at the host's power, network and agent log"
            }
        }
    }
}

/// `1-10` after `1-2`: runs of digits are numbers.
fn natural(a: &str, b: &str) -> Ordering {
    fn pieces(text: &str) -> Vec<(u64, &str)> {
        text.split(|letter: char| !letter.is_ascii_alphanumeric())
            .map(|piece| (piece.parse().unwrap_or(u64::MAX), piece))
            .collect()
    }
    pieces(a).cmp(&pieces(b)).then_with(|| a.cmp(b))
}

fn tile(phone: &PhoneView, now: Time) -> Part {
    let facts = &phone.facts;
    let element = format!("phone-{}", facts.udid);
    let face = phone_face(&phone.state);
    let html = html! {
        article class={ "phone " (face.tone) } #(element) data-state=(face.word) {
            div.line {
                (face.markup())
                span.slot title={ "slot " (facts.slot) } { span.unseen { "slot " } (facts.slot) }
            }
            h3 { a.cover href={ "/phones/" (facts.udid) } { (shown(&facts.name)) } }
            p.quiet.model title={ (shown(&facts.model)) " · iOS " (facts.os_version) } {
                (shown(&facts.model)) " · iOS " (facts.os_version)
            }
            (power(facts.battery.as_ref()))
            (tile_work(phone, now))
        }
    };
    Part::leaf(element, html)
}

/// Charge and temperature of a phone.
pub(crate) fn power(known: Option<&Battery>) -> Markup {
    html! {
        p.power {
            @match known {
                Some(cell) => {
                    (battery(cell.level_percent))
                    span.figure { (cell.level_percent) " %" }
                    @if cell.charging {
                        span.bolt title="charging" { (CHARGING.shape()) span.unseen { "charging" } }
                    }
                    @if let Some(celsius) = cell.temperature_celsius {
                        span.figure.temperature { (format!("{celsius:.1} °C")) }
                    }
                },
                None => { span.quiet { "battery not known" } },
            }
        }
    }
}

/// What a phone runs, or why it runs nothing. Always as high, so that tiles keep their place.
fn tile_work(phone: &PhoneView, now: Time) -> Markup {
    html! {
        div.work {
            @match &phone.state {
                PhoneState::Busy { attempt } => {
                    p {
                        a href={ "/jobs/" (attempt.job) } { (attempt) }
                        @if let Some(progress) = &phone.progress { " · " (step_words(progress)) }
                    }
                    (bar(phone.progress.as_ref(), &format!("{attempt} done")))
                },
                PhoneState::Releasing { attempt } => {
                    p { a href={ "/jobs/" (attempt.job) } { (attempt) } " is over, cleaning up" }
                },
                PhoneState::Ready => {
                    p.quiet {
                        @match &phone.pool {
                            Some(pool) => { "free in pool " (pool) },
                            None => { "in no pool, gets no work" },
                        }
                        " · for " (lasting(phone.since, now))
                    }
                },
                PhoneState::Taken { by, until } => {
                    p.why title=(shown(&phone.reason)) { "borrowed by " (by) ": " (shown(&phone.reason)) }
                    p.quiet {
                        "for " (lasting(phone.since, now))
                        @if let Some(until) = until { ", back " (ahead(*until, now)) }
                    }
                },
                PhoneState::Offline
                | PhoneState::Preparing
                | PhoneState::Cooling
                | PhoneState::Charging
                | PhoneState::Recovering
                | PhoneState::NeedsHands
                | PhoneState::Quarantined { .. } => {
                    p.why title=(shown(&phone.reason)) { (shown(&phone.reason)) }
                    p.quiet {
                        "for " (lasting(phone.since, now))
                        @if let PhoneState::Quarantined { until: Some(until) } = &phone.state {
                            ", again " (ahead(*until, now))
                        }
                    }
                },
            }
        }
    }
}

fn jobs(id: &str, title: &str, picture: &Picture, phones: &PhoneNames<'_>, now: Time) -> Part {
    let belongs = |view: &&JobView| match view.state {
        JobState::Running { .. } => id == "running",
        JobState::Queued => id == "waiting",
        JobState::Ended { .. } => id == "ended",
    };
    let all: Vec<&JobView> = picture.jobs.iter().filter(belongs).collect();
    let (limit, total, empty) = match id {
        "running" => (usize::MAX, all.len(), "No job runs."),
        "waiting" => (WAITING_MAX, picture.jobs_waiting.max(all.len()), "No job waits."),
        _ => (ENDED_MAX, all.len().min(ENDED_MAX), "No job has ended yet."),
    };
    let rows = all.into_iter().take(limit).map(|view| job(view, phones, now)).collect();
    list(id, title, total, rows, empty)
}

fn crashes(picture: &Picture, phones: &PhoneNames<'_>, now: Time) -> Part {
    let rows: Vec<Part> =
        picture.crashes.iter().take(CRASHES_MAX).map(|view| crash(view, phones, now)).collect();
    list("crashes", "Last crashes", rows.len(), rows, "No crash has been collected.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_in_the_order_of_their_numbers() {
        let mut slots = ["1-10", "2-1", "1-2.10", "1-2.9", "1-2", "usb-a", "1-1"];
        slots.sort_by(|a, b| natural(a, b));
        assert_eq!(slots, ["1-1", "1-2", "1-2.9", "1-2.10", "1-10", "2-1", "usb-a"]);
    }
}
