//! What a reload changed, in words, one line each.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::load::FarmConfig;

/// Lines that are told at once; a reload that changes more says how many.
const LINES_MAX: usize = 100;

/// What is different between two configurations; empty when nothing is.
pub fn difference(before: &FarmConfig, after: &FarmConfig) -> Vec<String> {
    let mut lines = Vec::new();
    let (old, new) = (&before.policy, &after.policy);
    fn named<'a, K: Ord + Display, V>(list: impl Iterator<Item = (K, &'a V)>) -> BTreeMap<K, &'a V> {
        list.collect()
    }
    let pools = |pools: &'_ [holdfast_scheduler::policy::Pool]| -> Vec<String> {
        pools.iter().map(|pool| pool.name.to_string()).collect()
    };
    each(
        "pool",
        &named(old.pools.iter().map(|pool| (&pool.name, pool))),
        &named(new.pools.iter().map(|pool| (&pool.name, pool))),
        &mut lines,
    );
    let (mut sorted_old, mut sorted_new) = (pools(&old.pools), pools(&new.pools));
    let moved = sorted_old != sorted_new;
    sorted_old.sort();
    sorted_new.sort();
    if moved && sorted_old == sorted_new {
        lines.push("the pools are looked at in another order".to_owned());
    }
    each("class", &named(old.classes.iter()), &named(new.classes.iter()), &mut lines);
    each("window", &named(old.windows.iter()), &named(new.windows.iter()), &mut lines);
    each("owner", &named(old.owners.iter()), &named(new.owners.iter()), &mut lines);
    let parts = [
        ("the share and limits of every other owner", old.default_owner != new.default_owner),
        ("what phones demand of jobs", old.demands != new.demands),
        ("how often a job is tried again", old.retries != new.retries),
        ("when a phone is kept from work", old.quarantine != new.quarantine),
        ("rack_silent_after_s", old.rack_silent_after != new.rack_silent_after),
        ("attempt_overhead_s", old.attempt_overhead != new.attempt_overhead),
        ("compare_wait_s", old.compare_wait != new.compare_wait),
        ("yield_within_s", old.yield_within != new.yield_within),
        ("batch_max", old.batch_max != new.batch_max),
        ("stage_ahead", old.stage_ahead != new.stage_ahead),
    ];
    lines.extend(
        parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| format!("{part}: changed")),
    );
    each(
        "case",
        &named(before.catalogue.cases().map(|case| (&case.name, case))),
        &named(after.catalogue.cases().map(|case| (&case.name, case))),
        &mut lines,
    );
    each(
        "schedule",
        &named(before.schedules.iter().map(|plan| (&plan.name, plan))),
        &named(after.schedules.iter().map(|plan| (&plan.name, plan))),
        &mut lines,
    );
    if before.notify != after.notify {
        lines.push("who is told what about crashes: changed".to_owned());
    }
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn each<K: Ord + Display, V: PartialEq>(
    kind: &str,
    before: &BTreeMap<K, &V>,
    after: &BTreeMap<K, &V>,
    lines: &mut Vec<String>,
) {
    for (name, value) in after {
        match before.get(name) {
            None => lines.push(format!("{kind} {name}: new")),
            Some(old) if old != value => lines.push(format!("{kind} {name}: changed")),
            Some(_) => {}
        }
    }
    lines.extend(
        before.keys().filter(|name| !after.contains_key(name)).map(|name| format!("{kind} {name}: gone")),
    );
}
