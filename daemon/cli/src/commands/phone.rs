//! `holdfast phone …`: list, describe, quarantine, take, release.

use holdfast_wire::api::{Page, PhoneView};
use holdfast_wire::crash::{CrashLimit, Fullness};
use holdfast_wire::id::Owner;
use holdfast_wire::phone::PhoneFacts;
use serde_json::json;

use super::Context;
use crate::args::{By, PhoneCommand};
use crate::exit::{Exit, Failure};
use crate::output::{ago, bytes, fields, now, table};

pub(super) async fn run(context: &Context, command: PhoneCommand) -> Result<Exit, Failure> {
    match command {
        PhoneCommand::List => {
            let page: Page<PhoneView> = context.client.page("/api/v1/phones", &[]).await?;
            context.show(&page, list)
        }
        PhoneCommand::Describe { udid } => {
            let phone: PhoneView = context.client.get(&format!("/api/v1/phones/{udid}"), &[]).await?;
            context.show(&phone, describe)
        }
        PhoneCommand::Quarantine { udid, reason, lasts, by } => {
            let until = lasts.map(|lasts| now().after(lasts));
            let path = format!("/api/v1/phones/{udid}/quarantine");
            let body = json!({ "reason": reason, "until": until, "by": by.by });
            let phone: PhoneView = context.client.post(&path, &body, &[]).await?;
            context.show(&phone, describe)
        }
        PhoneCommand::Release { udid, by } => {
            let path = format!("/api/v1/phones/{udid}/release");
            let phone: PhoneView = context.client.post(&path, &json!({ "by": by.by }), &[]).await?;
            context.show(&phone, describe)
        }
        PhoneCommand::Take { udid, reason, lasts, now, by } => {
            let path = format!("/api/v1/phones/{udid}/take");
            let by = named(by)?;
            // The daemon's clock counts: this machine's may differ.
            let lasts = lasts.map(|lasts| lasts.as_secs());
            let body = json!({ "by": by, "reason": reason, "for_s": lasts, "now": now });
            let phone: PhoneView = context.client.post(&path, &body, &[]).await?;
            context.show(&phone, describe)
        }
        PhoneCommand::ForceRelease { udid, reason, by } => {
            let path = format!("/api/v1/phones/{udid}/force-release");
            let body = json!({ "by": named(by)?, "reason": reason });
            let phone: PhoneView = context.client.post(&path, &body, &[]).await?;
            context.show(&phone, describe)
        }
    }
}

fn named(by: By) -> Result<Owner, Failure> {
    by.by.ok_or_else(|| {
        Failure::Request("say who you are with --by NAME: others will want to know".to_owned())
    })
}

fn list(page: &Page<PhoneView>) -> String {
    if page.items.is_empty() {
        return "no phones yet: holdfast rack list shows which agents are heard".to_owned();
    }
    let rows = page.items.iter().map(|phone| {
        let facts = &phone.facts;
        vec![
            facts.udid.to_string(),
            facts.name.clone(),
            format!("{}/{}", phone.rack, facts.slot),
            facts.model.clone(),
            facts.os_version.to_string(),
            phone.pool.as_ref().map(ToString::to_string).unwrap_or_else(|| "(none)".to_owned()),
            phone.state.as_str().to_owned(),
            battery(phone),
            doing(phone),
        ]
    });
    let mut text = table(
        &["phone", "name", "rack/slot", "model", "iOS", "pool", "state", "battery", "doing"],
        &["name", "battery", "iOS", "model"],
        rows,
    );
    let simulated = page.items.iter().filter(|phone| phone.facts.simulated).count();
    if simulated > 0 {
        text.push_str(&format!("\n({simulated} of {} simulated)", page.items.len()));
    }
    text
}

fn battery(phone: &PhoneView) -> String {
    phone.facts.battery.as_ref().map_or_else(String::new, |battery| {
        let charging = if battery.charging { ", charging" } else { "" };
        let heat =
            battery.temperature_celsius.map(|celsius| format!(", {celsius:.0} °C")).unwrap_or_default();
        format!("{} %{charging}{heat}", battery.level_percent)
    })
}

fn doing(phone: &PhoneView) -> String {
    match &phone.progress {
        Some(progress) => {
            format!("{}, {}", phone.reason, crate::output::progress(progress))
        }
        None => phone.reason.clone(),
    }
}

/// What is near the number of files at which the phone writes no more, and what was lost so.
fn crash_limits(facts: &PhoneFacts) -> String {
    if facts.crash_limits.is_empty() {
        return "far from all".to_owned();
    }
    let line = |one: &CrashLimit| {
        let limit = one.limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
        let near = match one.fullness {
            Fullness::Room => "",
            Fullness::Near => ", near its limit",
            Fullness::Urgent => ", collected at once",
        };
        let lost = match (one.swallowed, one.refused) {
            (0, 0) => String::new(),
            (swallowed, 0) => format!("; at least {swallowed} swallowed by the phone"),
            (0, refused) => format!("; {refused} refused by the phone"),
            (swallowed, refused) => {
                format!("; at least {swallowed} swallowed and {refused} refused by the phone")
            }
        };
        let at = one.last_lost_at.map(|at| format!(", the last {}", ago(now(), at))).unwrap_or_default();
        format!("{} of {} in {}, type {}{near}{lost}{at}", one.waiting, limit, one.process, one.bug_type)
    };
    facts.crash_limits.iter().map(line).collect::<Vec<String>>().join("; ")
}

fn describe(phone: &PhoneView) -> String {
    let facts = &phone.facts;
    let apps: Vec<String> = facts
        .apps
        .iter()
        .map(|app| format!("{} {} ({})", app.bundle_id, app.version, app.build_number))
        .collect();
    let waiting: Vec<String> =
        facts.crash_files_waiting.iter().map(|(process, count)| format!("{count} of {process}")).collect();
    let unknown = || "(not told)".to_owned();
    let labels: Vec<String> = facts.labels.iter().map(ToString::to_string).collect();
    fields(&[
        ("phone", facts.udid.to_string()),
        ("name", format!("{}{}", facts.name, if facts.simulated { " (simulated)" } else { "" })),
        ("state", format!("{} since {} ({})", phone.state.as_str(), phone.since, ago(now(), phone.since))),
        ("because", phone.reason.clone()),
        ("rack, slot", format!("{}, {}", phone.rack, facts.slot)),
        (
            "pool",
            phone
                .pool
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_else(|| "none: it gets no work".to_owned()),
        ),
        ("labels", labels.join(", ")),
        ("model", format!("{} ({})", facts.model, facts.product_type)),
        ("chip", facts.chip.clone().unwrap_or_else(unknown)),
        ("region", facts.region.clone().unwrap_or_else(unknown)),
        ("iOS", format!("{} ({})", facts.os_version, facts.os_build)),
        ("battery", battery(phone)),
        (
            "battery health",
            facts
                .battery
                .as_ref()
                .and_then(|battery| battery.health_percent)
                .map_or_else(unknown, |p| format!("{p} %")),
        ),
        (
            "storage",
            facts.storage.map_or_else(unknown, |storage| {
                format!("{} free of {}", bytes(storage.free_bytes), bytes(storage.total_bytes))
            }),
        ),
        ("trust", format!("{:?}", facts.pairing).to_lowercase()),
        ("passcode", if facts.passcode_locked { "locked" } else { "not locked" }.to_owned()),
        (
            "Developer Mode",
            facts.developer_mode.map_or_else(unknown, |on| if on { "on" } else { "off" }.to_owned()),
        ),
        ("crash files", if waiting.is_empty() { "none waiting".to_owned() } else { waiting.join(", ") }),
        ("crash limits", crash_limits(facts)),
        ("failures in a row", phone.failures_in_a_row.to_string()),
        ("apps", apps.join(", ")),
    ])
}
