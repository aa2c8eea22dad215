//! `owners`, `default_owner` and `demands` of the pools file: shares and limits of teams, and what phones demand of
//! jobs. What follows from them is `daemon/scheduler`'s.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_scheduler::policy::{Demand, OwnerPolicy};
use holdfast_wire::id::Owner;
use holdfast_wire::requirement::Expression;
use holdfast_wire::views::OwnerLimits;
use schemars::JsonSchema;
use serde::Deserialize;

use super::once::Once;
use super::yaml::{Mistake, Source};

/// The largest share: more would leave nothing to anyone else.
const WEIGHT_MAX: u32 = 1_000;

/// Jobs at once, at most: more than the largest farm has phones.
const RUNNING_MAX: u32 = 100_000;

/// Phone-minutes of a day, at most: every phone of the largest farm all day long.
const MINUTES_MAX: u32 = 144_000_000;

/// The share and the limits of an owner. What is left out is weight 1 and no limit.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOwner {
    /// Share of the phones while several owners want them, 1 to 1000: weight 2 gets twice that of weight 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    weight: u32,
    /// Jobs that may run at once.
    #[schemars(range(min = 1))]
    running_max: Option<u32>,
    /// Phone-minutes of one UTC day; beyond them its jobs wait below everything else.
    #[schemars(range(min = 1))]
    minutes_per_day: Option<u32>,
}

fn one() -> u32 {
    1
}

impl Default for RawOwner {
    fn default() -> Self {
        Self { weight: one(), running_max: None, minutes_per_day: None }
    }
}

/// What phones demand of the jobs that they take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDemand {
    /// The phones.
    phones: Expression,
    /// The only owners whose jobs they take.
    only: Vec<Owner>,
}

/// The owners as configured, and their mistakes.
pub(super) fn owners(
    source: &Source,
    raw: &Once<Owner, RawOwner>,
    default_owner: RawOwner,
    mistakes: &mut Vec<Mistake>,
) -> (BTreeMap<Owner, OwnerPolicy>, OwnerPolicy) {
    let mut checked = |path: String, raw: &RawOwner| {
        let limits = OwnerLimits {
            weight: raw.weight,
            running_max: raw.running_max,
            minutes_per_day: raw.minutes_per_day,
        };
        let found = limit_mistakes(&limits);
        mistakes
            .extend(found.into_iter().map(|(field, what)| source.mistake(&format!("{path}.{field}"), what)));
        policy_of(&limits)
    };
    let default_owner = checked("default_owner".to_owned(), &default_owner);
    let owners =
        raw.0.iter().map(|(owner, raw)| (owner.clone(), checked(format!("owners.{owner}"), raw))).collect();
    (owners, default_owner)
}

/// The field and what is wrong with it, for a file and for the API alike.
pub(crate) fn limit_mistakes(limits: &OwnerLimits) -> Vec<(&'static str, String)> {
    let ranges = [
        ("weight", Some(limits.weight), WEIGHT_MAX),
        ("running_max", limits.running_max, RUNNING_MAX),
        ("minutes_per_day", limits.minutes_per_day, MINUTES_MAX),
    ];
    let wrong = ranges.into_iter().filter_map(|(field, value, most)| {
        let value = value.filter(|value| !(1..=most).contains(value))?;
        let mend = if field == "weight" { "" } else { "; leave it out for no limit" };
        Some((field, format!("{value} is not in 1..={most}{mend}")))
    });
    wrong.collect()
}

/// Checked limits, as the brain takes them.
pub(crate) fn policy_of(limits: &OwnerLimits) -> OwnerPolicy {
    OwnerPolicy {
        weight: limits.weight,
        running_max: limits.running_max,
        minutes_per_day: limits.minutes_per_day,
    }
}

/// Limits as people say them.
pub(crate) fn limits_of(policy: &OwnerPolicy) -> OwnerLimits {
    OwnerLimits {
        weight: policy.weight,
        running_max: policy.running_max,
        minutes_per_day: policy.minutes_per_day,
    }
}

/// The demands as configured, and their mistakes.
pub(super) fn demands(source: &Source, raw: Vec<RawDemand>, mistakes: &mut Vec<Mistake>) -> Vec<Demand> {
    for (place, demand) in raw.iter().enumerate() {
        if demand.only.is_empty() {
            let what = "the phones would take no job at all; name owners, or take the demand out";
            mistakes.push(source.mistake(&format!("demands[{place}].only"), what));
        }
        twice(source, &format!("demands[{place}].only"), &demand.only, mistakes);
    }
    raw.into_iter().map(|demand| Demand { phones: demand.phones, only: demand.only }).collect()
}

/// Tells what stands in a list twice.
pub(super) fn twice<T: Ord + std::fmt::Display>(
    source: &Source,
    path: &str,
    list: &[T],
    mistakes: &mut Vec<Mistake>,
) {
    let mut seen = BTreeSet::new();
    for (place, item) in list.iter().enumerate() {
        if !seen.insert(item) {
            mistakes.push(
                source.mistake(&format!("{path}[{place}]"), format!("{item} is listed twice; keep one")),
            );
        }
    }
}
