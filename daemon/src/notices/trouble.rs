//! A phone's limits of waiting crash files as the facts by which is decided who is told.

use std::time::Duration;

use holdfast_notify::event::{Link, Origin};
use holdfast_notify::{PhoneTrouble, Rules, Trouble};
use holdfast_wire::crash::{CrashLimit, Fullness};
use holdfast_wire::time::Time;

use crate::snapshot::ShownPhone;

/// For how long a lost crash is news: phones count what they ever lost, and tell it again whenever they speak.
const NEWS: Duration = Duration::from_secs(86_400);

/// What is the matter with a phone's crash reports; nothing unless the rules are about phones.
pub(crate) fn troubles(phone: &ShownPhone, rules: &Rules, now: Time) -> Vec<PhoneTrouble> {
    if rules.phones.is_none() {
        return Vec::new();
    }
    let mut troubles = Vec::new();
    for limit in &phone.facts.crash_limits {
        let lost_at = limit.last_lost_at.filter(|at| at.after(NEWS) > now);
        // By when it was lost: what is told again after midnight is no other loss.
        troubles.extend(lost_at.map(|at| trouble(phone, rules, limit, Trouble::Lost, at)));
        if limit.fullness > Fullness::Room {
            troubles.push(trouble(phone, rules, limit, Trouble::Near, now));
        }
    }
    troubles
}

fn trouble(
    phone: &ShownPhone,
    rules: &Rules,
    limit: &CrashLimit,
    trouble: Trouble,
    at: Time,
) -> PhoneTrouble {
    let facts = &phone.facts;
    let link = rules
        .farm_url
        .as_ref()
        .map(|farm| Link { label: "Phone".to_owned(), url: format!("{farm}/phones/{}", facts.udid) });
    PhoneTrouble {
        trouble,
        at,
        udid: facts.udid.to_string(),
        name: facts.name.clone(),
        place: Some(format!("rack {}, slot {}", phone.rack, facts.slot)),
        bug_type: limit.bug_type.clone(),
        process: limit.process.clone(),
        waiting: limit.waiting,
        limit: limit.limit,
        lost: limit.swallowed.saturating_add(limit.refused),
        link,
        origin: if facts.simulated { Origin::Simulated } else { Origin::Real },
    }
}
