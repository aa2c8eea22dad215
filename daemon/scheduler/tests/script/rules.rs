//! The words of a scenario that change the operator's rules.

use std::time::Duration;

use holdfast_calendar::{Calendar, Window};
use holdfast_scheduler::policy::{Demand, Members, OwnerPolicy, Policy, Pool};
use holdfast_wire::id::Owner;
use holdfast_wire::job::JobClass;
use holdfast_wire::sync::YieldWhen;

/// Changes one rule, as the words behind `rule` say. Lists are joined by commas.
pub(super) fn change(policy: &mut Policy, words: &[&str]) {
    match words {
        ["class", class, more @ ..] => change_class(policy, class_of(class), more),
        ["owner", owner, more @ ..] => {
            let mut rule = policy.owner(&owner.parse().unwrap());
            change_owner(&mut rule, more);
            policy.owners.insert(owner.parse().unwrap(), rule);
        }
        ["everyone", more @ ..] => change_owner(&mut policy.default_owner, more),
        ["pool", name, more @ ..] => change_pool(policy, name, more),
        ["window", name, clock @ ..] => {
            let window = Window::by_clock(&clock.join(" "), "UTC", []).unwrap();
            let calendar = Calendar::new("UTC", vec![window], [], []).unwrap();
            policy.windows.insert((*name).to_owned(), calendar);
        }
        ["demand", phones, "only", owners] => {
            policy.demands.push(Demand { phones: phones.parse().unwrap(), only: owners_of(owners) });
        }
        ["stage-ahead", answer] => policy.stage_ahead = *answer == "yes",
        ["batch", most] => policy.batch_max = most.parse().unwrap(),
        ["compare-wait", seconds] => policy.compare_wait = span(seconds),
        ["yield-within", seconds] => policy.yield_within = span(seconds),
        other => panic!("no such rule: {other:?}"),
    }
}

/// The class of this name.
pub(super) fn class_of(name: &str) -> JobClass {
    JobClass::ALL.into_iter().find(|known| known.as_str() == name).unwrap()
}

fn change_class(policy: &mut Policy, class: JobClass, words: &[&str]) {
    let rule = policy.classes.get_mut(&class).unwrap();
    for pair in words.chunks(2) {
        match pair {
            ["rank", rank] => rule.rank = rank.parse().unwrap(),
            ["strict", answer] => rule.strict = *answer == "yes",
            ["lift", "never"] => rule.lift_after = None,
            ["lift", seconds] => rule.lift_after = Some(span(seconds)),
            ["gives-way", answer] => rule.preemptible = *answer == "yes",
            ["takes", "nothing"] => rule.takes = None,
            ["takes", "at-once"] => rule.takes = Some(YieldWhen::AtOnce),
            ["takes", "case-done"] => rule.takes = Some(YieldWhen::CaseDone),
            ["window", name] => rule.window = Some((*name).to_owned()),
            other => panic!("no such words of a class: {other:?}"),
        }
    }
}

fn change_owner(rule: &mut OwnerPolicy, words: &[&str]) {
    for pair in words.chunks(2) {
        match pair {
            ["weight", weight] => rule.weight = weight.parse().unwrap(),
            ["running", most] => rule.running_max = Some(most.parse().unwrap()),
            ["minutes", most] => rule.minutes_per_day = Some(most.parse().unwrap()),
            other => panic!("no such words of an owner: {other:?}"),
        }
    }
}

/// A pool that is not there yet goes before all others and takes what is labelled with its name.
fn change_pool(policy: &mut Policy, name: &str, words: &[&str]) {
    if !policy.pools.iter().any(|pool| pool.name.as_str() == name) {
        let pool = Pool {
            name: name.parse().unwrap(),
            serves: vec![],
            lends: vec![],
            only: vec![],
            members: Members::Listed {
                phones: vec![],
                racks: vec![],
                slots: vec![],
                labels: vec![name.parse().unwrap()],
            },
        };
        policy.pools.insert(0, pool);
    }
    let pool = policy.pools.iter_mut().find(|pool| pool.name.as_str() == name).unwrap();
    let classes = |list: &str| list.split(',').map(class_of).collect();
    for pair in words.chunks(2) {
        match pair {
            ["serves", list] => pool.serves = classes(list),
            ["lends", list] => pool.lends = classes(list),
            ["only", list] => pool.only = owners_of(list),
            other => panic!("no such words of a pool: {other:?}"),
        }
    }
}

fn owners_of(list: &str) -> Vec<Owner> {
    list.split(',').map(|owner| owner.parse().unwrap()).collect()
}

fn span(seconds: &str) -> Duration {
    Duration::from_secs(seconds.parse().unwrap())
}
