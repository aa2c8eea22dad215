//! The rules that operators choose between, by number.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_calendar::{Calendar, Schedule, Window};
use holdfast_scheduler::policy::{
    ClassPolicy, Demand, Members, OwnerPolicy, Policy, Pool, Quarantine, Retries,
};
use holdfast_wire::id::{Label, Owner, PoolName};
use holdfast_wire::job::JobClass;
use holdfast_wire::job::JobClass::{Baseline, Crash, Custom, Idle, Special};
use holdfast_wire::sync::YieldWhen;

use crate::nouns::{name, owner, udid};

/// How many there are.
pub const POLICIES: usize = 7;

/// The number of rules that no seed chooses: one pool, and owners that differ in nothing but their weights, 3 to 1.
pub const WEIGHTS: usize = 1_000;

/// Rules by number.
pub fn policy(number: usize) -> Policy {
    if number == WEIGHTS {
        return weights();
    }
    match number % POLICIES {
        0 => plain(),
        1 => lending(),
        2 => owners(),
        3 => windows(),
        4 => only(),
        5 => patient(),
        _ => one_pool(),
    }
}

/// The rules under which whatever is left comes to its end: no window, no limit.
pub fn last() -> Policy {
    Policy { windows: BTreeMap::new(), ..plain() }
}

/// A pool for crash jobs, one for the rest, and nothing else.
pub fn plain() -> Policy {
    let mut policy = Policy {
        rack_silent_after: Duration::from_secs(150),
        attempt_overhead: Duration::from_secs(900),
        retries: Retries { job: 0, phone: 3, rack: 6, farm: 4 },
        quarantine: Quarantine { after_failures: 3, lasts: Duration::from_secs(900) },
        compare_wait: Duration::from_secs(400),
        ..Policy::with_pools(vec![
            pool("crash", &[Crash], &[], &["crash"]),
            pool("general", &[Baseline, Custom, Special, Idle], &[], &[]),
        ])
    };
    lift(&mut policy, 1_800);
    policy
}

/// The crash pool is lent to everybody while it is idle, and so is a third one.
fn lending() -> Policy {
    let mut policy = plain();
    policy.pools = vec![
        pool("crash", &[Crash], &[Baseline, Custom, Special, Idle], &["crash"]),
        pool("video", &[Custom], &[Idle, Baseline], &["video"]),
        pool("general", &[Baseline, Custom, Special, Idle], &[Crash], &[]),
    ];
    policy.retries.job = 1;
    policy
}

/// Owners with shares, limits and quotas; `custom` and `special` share a rank.
fn owners() -> Policy {
    let mut policy = plain();
    class(&mut policy, Special).rank = 2;
    let rules = [
        OwnerPolicy { weight: 3, running_max: Some(2), minutes_per_day: None },
        OwnerPolicy { weight: 1, running_max: None, minutes_per_day: Some(12) },
        OwnerPolicy { weight: 2, running_max: Some(3), minutes_per_day: Some(30) },
    ];
    policy.owners = rules.into_iter().enumerate().map(|(number, rule)| (owner(number), rule)).collect();
    policy.demands = vec![Demand { phones: name("label = video"), only: vec![owner(2), owner(0)] }];
    policy
}

/// Idle work runs for a quarter of every hour, special work for forty minutes of it.
fn windows() -> Policy {
    let mut policy = lending();
    policy.windows = [("quarter", "*/30 * * * *", 900), ("most", "10 * * * *", 2_400)]
        .into_iter()
        .filter_map(|(name, cron, seconds)| {
            let schedule = Schedule::parse(cron, "UTC").ok()?;
            let window = Window::new(schedule, Duration::from_secs(seconds), []).ok()?;
            Some((name.to_owned(), Calendar::new("UTC", vec![window], [], []).ok()?))
        })
        .collect();
    class(&mut policy, Idle).window = Some("quarter".to_owned());
    class(&mut policy, Special).window = Some("most".to_owned());
    policy
}

/// Pools that take work of some owners only, one phone put into a pool by hand, and crash jobs everywhere.
fn only() -> Policy {
    let mut policy = plain();
    policy.pools = vec![
        Pool {
            only: vec![owner(0), owner(1)],
            ..pool("video", &[Baseline, Custom, Idle], &[Special], &["video"])
        },
        pool("crash", &[Crash], &[Idle], &["crash"]),
        pool("general", &[Crash, Baseline, Custom, Special, Idle], &[], &[]),
    ];
    policy.overrides = BTreeMap::from([(udid(2), name::<PoolName>("crash"))]);
    policy.batch_max = 2;
    policy
}

/// Nobody takes a phone from anybody but crash jobs, and those wait for the case; nothing is batched.
fn patient() -> Policy {
    let mut policy = plain();
    for (kind, rule) in &mut policy.classes {
        rule.takes = (*kind == Crash).then_some(YieldWhen::CaseDone);
    }
    policy.pools = vec![pool("general", &JobClass::ALL, &[], &[])];
    policy.batch_max = 0;
    policy.compare_wait = Duration::from_secs(60);
    lift(&mut policy, 900);
    policy
}

/// One pool for all, where two classes give way.
fn one_pool() -> Policy {
    let mut policy = plain();
    policy.pools = vec![pool("general", &JobClass::ALL, &[], &[])];
    let special = class(&mut policy, Special);
    (special.preemptible, special.lift_after) = (true, None);
    policy.default_owner = OwnerPolicy { weight: 1, running_max: Some(4), minutes_per_day: Some(60) };
    policy
}

fn weights() -> Policy {
    let mut policy = plain();
    policy.pools = vec![pool("general", &JobClass::ALL, &[], &[])];
    policy.batch_max = 0;
    let of = |weight| OwnerPolicy { weight, running_max: None, minutes_per_day: None };
    policy.owners = BTreeMap::from([(owner(0), of(3)), (owner(1), of(1))]);
    policy
}

fn lift(policy: &mut Policy, seconds: u64) {
    for rule in policy.classes.values_mut().filter(|rule| rule.lift_after.is_some()) {
        rule.lift_after = Some(Duration::from_secs(seconds));
    }
}

fn class(policy: &mut Policy, class: JobClass) -> &mut ClassPolicy {
    policy.classes.entry(class).or_insert_with(|| ClassPolicy::of(class))
}

fn pool(named: &str, serves: &[JobClass], lends: &[JobClass], labels: &[&str]) -> Pool {
    let members = if labels.is_empty() {
        Members::Rest
    } else {
        let labels = labels.iter().map(|label| name::<Label>(label)).collect();
        Members::Listed { phones: Vec::new(), racks: Vec::new(), slots: Vec::new(), labels }
    };
    let only: Vec<Owner> = Vec::new();
    Pool { name: name(named), serves: serves.to_vec(), lends: lends.to_vec(), only, members }
}
