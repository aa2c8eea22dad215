//! The page of one phone: its state and why, what is known of it, what it ran, what crashed on it.

use holdfast_wire::crash::{CrashLimit, Fullness};
use holdfast_wire::phone::{Pairing, PhoneFacts, PhoneState};
use holdfast_wire::time::Time;
use maud::{Markup, html};

use super::farm_page::power;
use super::job_page::table;
use super::part::Part;
use super::picture::PhonePage;
use super::rows::{bar, by_udid, crash, job, list, step_words};
use super::shapes;
use super::shell::{Frame, live};
use super::words::{absolute, ahead, bytes, lasting, shown, span};

/// The whole page.
pub fn render(page: &PhonePage, now: Time) -> Markup {
    let facts = &page.phone.facts;
    let title = shown(&facts.name);
    let frame = Frame { title: &title, class: "one", now, simulated: facts.simulated };
    let events = format!("/dashboard/events?phone={}", facts.udid);
    live(frame, &events, &parts(page, now), &parts(page, Time::default()))
}

/// The parts of the page, ages counted at `now`.
pub fn parts(page: &PhonePage, now: Time) -> Vec<Part> {
    let known = std::slice::from_ref(&page.phone);
    let phones = by_udid(known);
    let jobs: Vec<Part> = page.jobs.iter().map(|view| job(view, &phones, now)).collect();
    let crashes: Vec<Part> = page.crashes.iter().map(|view| crash(view, &phones, now)).collect();
    vec![
        head(page, now),
        list("jobs", "Jobs here", jobs.len(), jobs, "This phone has run nothing that is still shown."),
        list(
            "crashes",
            "Crashes here",
            crashes.len(),
            crashes,
            "No crash has been collected from this phone.",
        ),
        known_facts(&page.phone.facts),
    ]
}

fn head(page: &PhonePage, now: Time) -> Part {
    let phone = &page.phone;
    let html = html! {
        section.head #head {
            h1 { (shown(&phone.facts.name)) }
            p.lead {
                (shapes::phone(&phone.state).markup())
                "for " (lasting(phone.since, now))
                @if !phone.reason.is_empty() { " · " (shown(&phone.reason)) }
                @match &phone.state {
                    PhoneState::Busy { attempt } | PhoneState::Releasing { attempt } => {
                        " · " a href={ "/jobs/" (attempt.job) } { (attempt) }
                        @if let Some(progress) = &phone.progress { " · " (step_words(progress)) }
                    },
                    PhoneState::Quarantined { until: Some(until) } => { " · tried again " (ahead(*until, now)) },
                    PhoneState::Taken { by, until } => {
                        " · borrowed by " (by)
                        @if let Some(until) = until { ", back " (ahead(*until, now)) }
                    },
                    PhoneState::Offline
                    | PhoneState::Preparing
                    | PhoneState::Ready
                    | PhoneState::Cooling
                    | PhoneState::Charging
                    | PhoneState::Recovering
                    | PhoneState::NeedsHands
                    | PhoneState::Quarantined { until: None } => {},
                }
            }
            @if let PhoneState::Busy { .. } = &phone.state { (bar(phone.progress.as_ref(), "done")) }
            (power(phone.facts.battery.as_ref()))
            p.quiet {
                "rack " (phone.rack) " · slot " (phone.facts.slot) " · "
                @match &phone.pool { Some(pool) => { "pool " (pool) }, None => { "in no pool, gets no work" } }
                @if phone.failures_in_a_row > 0 {
                    " · " (phone.failures_in_a_row) " failures in a row blamed on it"
                }
            }
        }
    };
    Part::leaf("head", html)
}

fn known_facts(facts: &PhoneFacts) -> Part {
    let html = html! {
        section.list #facts {
            h2 { "What is known of it" }
            dl {
                dt { "UDID" } dd { code { (facts.udid) } }
                dt { "model" } dd { (shown(&facts.model)) " (" (shown(&facts.product_type)) ")" }
                @if let Some(chip) = &facts.chip { dt { "chip" } dd { (shown(chip)) } }
                @if let Some(region) = &facts.region { dt { "sold in" } dd { (shown(region)) } }
                dt { "iOS" } dd { (facts.os_version) " (" (shown(&facts.os_build)) ")" }
                dt { "trust" } dd { (pairing_words(facts.pairing)) }
                dt { "passcode" } dd { @if facts.passcode_locked { "locks it now" } @else { "does not lock it" } }
                @if let Some(on) = facts.developer_mode { dt { "Developer Mode" } dd { @if on { "on" } @else { "off" } } }
                @if let Some(storage) = facts.storage {
                    dt { "storage" } dd { (bytes(storage.free_bytes)) " free of " (bytes(storage.total_bytes)) }
                }
                @if let Some(battery) = &facts.battery {
                    @if let Some(health) = battery.health_percent { dt { "battery health" } dd { (health) " %" } }
                    @if let Some(cycles) = battery.cycles { dt { "charge cycles" } dd { (cycles) } }
                }
                @if let Some(speed) = facts.usb_speed_bps { dt { "USB" } dd { (speed / 1_000_000) " Mbit/s" } }
                @if let Some(offset) = facts.clock_offset_ms { dt { "clock" } dd { (clock_words(offset)) } }
                @if !facts.labels.is_empty() {
                    dt { "labels" } dd { @for label in &facts.labels { span.class { (label) } " " } }
                }
            }
            (waiting_files(facts))
            (crash_limits(facts))
            (apps(facts))
            p { a href={ "/api/v1/phones/" (facts.udid) } { "The same as JSON" } }
        }
    };
    Part::leaf("facts", html)
}

fn waiting_files(facts: &PhoneFacts) -> Markup {
    html! {
        @if !facts.crash_files_waiting.is_empty() {
            h3 { "Crash files waiting on it" }
            (table(&["Process", "Files"], html! {
                @for (process, files) in &facts.crash_files_waiting {
                    tr { td { (shown(process)) } td.number { (files) } }
                }
            }))
        }
    }
}

/// What is near the number of files at which the phone writes no more, and what was lost so.
fn crash_limits(facts: &PhoneFacts) -> Markup {
    let limit = |one: &CrashLimit| one.limit.map_or_else(|| "any".to_owned(), |limit| limit.to_string());
    let meaning = |one: &CrashLimit| match (one.fullness, one.swallowed > 0 || one.refused > 0) {
        (Fullness::Urgent, _) => "full soon: collected at once",
        (Fullness::Near, _) => "near its limit",
        (Fullness::Room, true) => "room again, but crashes were lost",
        (Fullness::Room, false) => "room",
    };
    html! {
        @if !facts.crash_limits.is_empty() {
            h3 { "Limits of its crash files" }
            p { "At its limit the phone writes no more reports of a type and process. Swallowed ones left no file, so there are at least so many." }
            (table(&["Process", "Type", "Waiting", "Limit", "Swallowed", "Refused", "Meaning"], html! {
                @for one in &facts.crash_limits {
                    tr {
                        td { (shown(&one.process)) } td { (shown(&one.bug_type)) }
                        td.number { (one.waiting) } td.number { (limit(one)) }
                        td.number { (one.swallowed) } td.number { (one.refused) }
                        td {
                            (meaning(one))
                            @if let Some(at) = one.last_lost_at { ", the last one " (absolute(at)) }
                        }
                    }
                }
            }))
        }
    }
}

fn apps(facts: &PhoneFacts) -> Markup {
    html! {
        @if !facts.apps.is_empty() {
            details {
                summary { "Apps (" (facts.apps.len()) ")" }
                (table(&["App", "Version", "Build"], html! {
                    @for app in &facts.apps {
                        tr { td { (app.bundle_id) } td { (shown(&app.version)) } td { (shown(&app.build_number)) } }
                    }
                }))
            }
        }
    }
}

fn pairing_words(pairing: Pairing) -> &'static str {
    match pairing {
        Pairing::Paired => "this rack is trusted",
        Pairing::DialogPending => "the trust dialog waits for a finger",
        Pairing::Denied => "somebody tapped \"Don't trust\"",
        Pairing::Unpaired => "never paired, or no longer",
    }
}

fn clock_words(offset_ms: i64) -> String {
    let size = span(std::time::Duration::from_millis(offset_ms.unsigned_abs()));
    match offset_ms {
        0 => "as the rack's".to_owned(),
        ..0 => format!("{size} behind the rack's"),
        1.. => format!("{size} ahead of the rack's"),
    }
}
