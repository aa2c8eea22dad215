//! Random farms: what may happen to them, and the rules that they are under.

use std::time::Duration;

use holdfast_calendar::{Calendar, Window};
use holdfast_scheduler::policy::{Demand, Members, OwnerPolicy, Policy, Pool};
use holdfast_wire::job::JobClass;
use proptest::prelude::*;

use super::farm::policy;

/// The rules of a farm, as numbers that choose among a few.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) pools: usize,
    pub(crate) owners: usize,
    pub(crate) classes: usize,
    pub(crate) windows: usize,
    pub(crate) batch_max: u32,
}

/// Something that happens. Numbers choose among what is there.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Submit(Wish),
    /// An attempt that runs ends so.
    End {
        which: usize,
        end: usize,
    },
    Cancel {
        which: usize,
    },
    Pass {
        seconds: u64,
    },
    /// Racks speak no more for so long.
    Mute {
        seconds: u64,
    },
    Readiness {
        phone: usize,
        ready: usize,
    },
    Battery {
        phone: usize,
        percent: u8,
    },
    Move {
        phone: usize,
    },
    Quarantine {
        phone: usize,
    },
    Take {
        phone: usize,
        seconds: u64,
    },
    Release {
        phone: usize,
    },
    Revoke {
        phone: usize,
    },
}

/// A job that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) class: usize,
    pub(crate) owner: usize,
    pub(crate) priority: i32,
    pub(crate) start_by: Option<u64>,
    pub(crate) wants: usize,
    pub(crate) phones: usize,
    pub(crate) compare: usize,
    pub(crate) build: u8,
    pub(crate) cases: usize,
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    let batch_max = prop_oneof![3 => Just(0u32), 1 => Just(2u32)];
    (0..5usize, 0..4usize, 0..4usize, 0..3usize, batch_max).prop_map(
        |(pools, owners, classes, windows, batch_max)| Rules { pools, owners, classes, windows, batch_max },
    )
}

pub(crate) fn happening() -> impl Strategy<Value = Happening> {
    let phone = 0..12usize;
    prop_oneof![
        10 => wish().prop_map(Happening::Submit),
        10 => (0..12usize, 0..8usize).prop_map(|(which, end)| Happening::End { which, end }),
        1 => (0..30usize).prop_map(|which| Happening::Cancel { which }),
        4 => (1..60u64).prop_map(|seconds| Happening::Pass { seconds }),
        1 => (20..80u64).prop_map(|seconds| Happening::Mute { seconds }),
        2 => (phone.clone(), 0..4usize).prop_map(|(phone, ready)| Happening::Readiness { phone, ready }),
        1 => (phone.clone(), prop_oneof![Just(20u8), Just(80u8)])
            .prop_map(|(phone, percent)| Happening::Battery { phone, percent }),
        1 => phone.clone().prop_map(|phone| Happening::Move { phone }),
        1 => phone.clone().prop_map(|phone| Happening::Quarantine { phone }),
        1 => (phone.clone(), 1..90u64).prop_map(|(phone, seconds)| Happening::Take { phone, seconds }),
        2 => phone.clone().prop_map(|phone| Happening::Release { phone }),
        1 => phone.prop_map(|phone| Happening::Revoke { phone }),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let who = (0..5usize, 0..3usize, prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(-1)]);
    let what = (0..9usize, prop_oneof![5 => Just(1usize), 1 => 2..4usize], 0..10usize, 1..4u8, 1..3usize);
    (who, proptest::option::weighted(0.15, 5..200u64), what).prop_map(
        |((class, owner, priority), start_by, (wants, phones, compare, build, cases))| Wish {
            class,
            owner,
            priority,
            start_by,
            wants,
            phones,
            compare,
            build,
            cases,
        },
    )
}

/// The rules in full. Everything is short, so that it happens within a trial.
pub(crate) fn policy_of(rules: &Rules) -> Policy {
    let mut policy = Policy {
        compare_wait: Duration::from_secs(40),
        yield_within: Duration::from_secs(5),
        batch_max: rules.batch_max,
        quarantine: holdfast_scheduler::policy::Quarantine {
            after_failures: 2,
            lasts: Duration::from_secs(50),
        },
        ..policy()
    };
    for class in policy.classes.values_mut().filter(|class| class.lift_after.is_some()) {
        class.lift_after = Some(Duration::from_secs(150));
    }
    pools(&mut policy, rules.pools);
    owners(&mut policy, rules.owners);
    match rules.classes {
        1 => policy.classes.get_mut(&JobClass::Special).unwrap().rank = 2,
        2 => policy.classes.get_mut(&JobClass::Baseline).unwrap().strict = true,
        3 => policy.classes.values_mut().for_each(|class| class.lift_after = None),
        _ => {}
    }
    if rules.windows > 0 {
        // The trial begins at 00:16:40.
        let windows = ["00:18-00:19", "00:20-00:30"].map(|text| Window::by_clock(text, "UTC", []).unwrap());
        let calendar = Calendar::new("UTC", windows.to_vec(), [], []).unwrap();
        policy.windows.insert("nights".to_owned(), calendar);
        let class = if rules.windows == 1 { JobClass::Idle } else { JobClass::Baseline };
        policy.classes.get_mut(&class).unwrap().window = Some("nights".to_owned());
    }
    policy
}

fn pools(policy: &mut Policy, choice: usize) {
    let mut labelled = |name: &str, serves: &[JobClass], lends: &[JobClass], only: &[&str]| {
        let members = Members::Listed {
            phones: vec![],
            racks: vec![],
            slots: vec![],
            labels: vec![name.parse().unwrap()],
        };
        let only = only.iter().map(|owner| owner.parse().unwrap()).collect();
        let (serves, lends) = (serves.to_vec(), lends.to_vec());
        policy.pools.insert(0, Pool { name: name.parse().unwrap(), serves, lends, only, members });
    };
    match choice {
        1 => labelled("fast", &[JobClass::Custom, JobClass::Idle], &[JobClass::Baseline], &[]),
        2 => labelled("fast", &[JobClass::Custom, JobClass::Special], &[], &["o1"]),
        3 => policy.pools[0].lends = vec![JobClass::Idle, JobClass::Custom],
        _ => {}
    }
    if choice == 4 {
        let quiet = Demand { phones: "label = fast".parse().unwrap(), only: vec!["o2".parse().unwrap()] };
        policy.demands.push(quiet);
    }
}

fn owners(policy: &mut Policy, choice: usize) {
    let rule = match choice {
        1 => OwnerPolicy { weight: 3, ..OwnerPolicy::default() },
        2 => OwnerPolicy { running_max: Some(2), ..OwnerPolicy::default() },
        3 => OwnerPolicy { minutes_per_day: Some(2), ..OwnerPolicy::default() },
        _ => return,
    };
    policy.owners.insert("o1".parse().unwrap(), rule);
}
