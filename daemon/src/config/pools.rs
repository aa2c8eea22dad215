//! The pools file → the scheduler's [`Policy`]: which phones serve which classes, and the rules of trying again.
//! What the rules lead to is `daemon/scheduler`'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use holdfast_scheduler::Policy;
use holdfast_scheduler::policy::{Members, Pool, Quarantine, Retries};
use holdfast_wire::id::{Label, PoolName, RackId, Slot, Udid};
use holdfast_wire::job::JobClass;
use serde::Deserialize;

use super::yaml::{Mistake, Source};

/// Most retries for one blame: each is an attempt in the job's record, which must stay small.
const RETRIES_MAX: u32 = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    pools: Vec<RawPool>,
    #[serde(default)]
    retries: RawRetries,
    #[serde(default)]
    quarantine: RawQuarantine,
    #[serde(default = "rack_silent_after_s")]
    rack_silent_after_s: u64,
    #[serde(default = "attempt_overhead_s")]
    attempt_overhead_s: u64,
    #[serde(default = "lift_after_s")]
    lift_after_s: u64,
}

fn rack_silent_after_s() -> u64 {
    60
}

fn attempt_overhead_s() -> u64 {
    900
}

fn lift_after_s() -> u64 {
    4 * 3_600
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPool {
    name: PoolName,
    serves: Vec<JobClass>,
    #[serde(default)]
    rest: bool,
    #[serde(default)]
    phones: Vec<Udid>,
    #[serde(default)]
    racks: Vec<RackId>,
    #[serde(default)]
    slots: Vec<Slot>,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRetries {
    job: u32,
    phone: u32,
    rack: u32,
    farm: u32,
}

impl Default for RawRetries {
    fn default() -> Self {
        Self { job: 0, phone: 3, rack: 3, farm: 3 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawQuarantine {
    after_failures: u32,
    lasts_s: u64,
}

impl Default for RawQuarantine {
    fn default() -> Self {
        Self { after_failures: 3, lasts_s: 3_600 }
    }
}

/// Reads and checks the pools file.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn read(file: &Path) -> Result<Policy, Vec<Mistake>> {
    let source = Source::read(file).map_err(|mistake| vec![mistake])?;
    parse(&source)
}

/// As [`read`], from a text that is already there.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn parse(source: &Source) -> Result<Policy, Vec<Mistake>> {
    let raw: Raw = source.parse().map_err(|mistake| vec![mistake])?;
    let mut mistakes = pool_mistakes(source, &raw.pools);
    mistakes.extend(number_mistakes(source, &raw));
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut classes = Policy::default_classes();
    classes.values_mut().filter(|class| !class.strict).for_each(|class| {
        class.lift_after = Some(Duration::from_secs(raw.lift_after_s));
    });
    Ok(Policy {
        classes,
        rack_silent_after: Duration::from_secs(raw.rack_silent_after_s),
        attempt_overhead: Duration::from_secs(raw.attempt_overhead_s),
        retries: Retries {
            job: raw.retries.job,
            phone: raw.retries.phone,
            rack: raw.retries.rack,
            farm: raw.retries.farm,
        },
        quarantine: Quarantine {
            after_failures: raw.quarantine.after_failures,
            lasts: Duration::from_secs(raw.quarantine.lasts_s),
        },
        ..Policy::with_pools(raw.pools.into_iter().map(pool).collect())
    })
}

fn pool(raw: RawPool) -> Pool {
    let members = if raw.rest {
        Members::Rest
    } else {
        Members::Listed { phones: raw.phones, racks: raw.racks, slots: raw.slots, labels: raw.labels }
    };
    Pool { name: raw.name, serves: raw.serves, lends: Vec::new(), only: Vec::new(), members }
}

fn pool_mistakes(source: &Source, pools: &[RawPool]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if pools.is_empty() {
        mistakes.push(
            source
                .mistake("pools", "there is no pool, so no phone would get work; add one with `rest: true`"),
        );
    }
    let mut names = BTreeMap::new();
    let mut phones = BTreeMap::new();
    for (index, pool) in pools.iter().enumerate() {
        let at = |field: &str| format!("pools[{index}].{field}");
        if let Some(before) = names.insert(&pool.name, index) {
            let what = format!("pool {} is already at pools[{before}]; give it another name", pool.name);
            mistakes.push(source.mistake(&at("name"), what));
        }
        for (place, udid) in pool.phones.iter().enumerate() {
            if let Some(before) = phones.insert(udid, &pool.name) {
                let what = format!("phone {udid} is already in pool {before}; take it out of one");
                mistakes.push(source.mistake(&at(&format!("phones[{place}]")), what));
            }
        }
        if pool.serves.is_empty() {
            let words = JobClass::ALL.map(JobClass::as_str).join(", ");
            mistakes.push(
                source.mistake(&at("serves"), format!("the pool serves no class; name some of {words}")),
            );
        }
        let listed = !(pool.phones.is_empty()
            && pool.racks.is_empty()
            && pool.slots.is_empty()
            && pool.labels.is_empty());
        match (pool.rest, listed) {
            (true, true) => mistakes.push(source.mistake(
                &at("rest"),
                "a pool that takes the rest cannot list phones, racks, slots or labels too; take out one or the other",
            )),
            (false, false) => mistakes.push(source.mistake(
                &format!("pools[{index}]"),
                "the pool takes no phone; list phones, racks, slots or labels, or say `rest: true`",
            )),
            (true, false) if index + 1 < pools.len() => mistakes.push(
                source.mistake(&at("rest"), "pools after this one would take nothing; move it to the end"),
            ),
            (true, false) | (false, true) => {}
        }
    }
    mistakes
}

fn number_mistakes(source: &Source, raw: &Raw) -> Vec<Mistake> {
    let ranges = [
        ("retries.job", u64::from(raw.retries.job), 0, u64::from(RETRIES_MAX)),
        ("retries.phone", u64::from(raw.retries.phone), 0, u64::from(RETRIES_MAX)),
        ("retries.rack", u64::from(raw.retries.rack), 0, u64::from(RETRIES_MAX)),
        ("retries.farm", u64::from(raw.retries.farm), 0, u64::from(RETRIES_MAX)),
        ("quarantine.after_failures", u64::from(raw.quarantine.after_failures), 1, 100),
        ("quarantine.lasts_s", raw.quarantine.lasts_s, 1, 30 * 86_400),
        ("rack_silent_after_s", raw.rack_silent_after_s, 3, 3_600),
        ("attempt_overhead_s", raw.attempt_overhead_s, 10, 86_400),
        ("lift_after_s", raw.lift_after_s, 1, 30 * 86_400),
    ];
    let wrong = ranges.into_iter().filter(|(_, value, least, most)| !(least..=most).contains(&value));
    wrong
        .map(|(path, value, least, most)| source.mistake(path, format!("{value} is not in {least}..={most}")))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn a_good_file_becomes_a_policy() {
        let text = "pools:\n  - name: crash\n    serves: [crash]\n    labels: [crash]\n  - name: general\n    \
                    serves: [baseline, idle]\n    rest: true\nquarantine:\n  after_failures: 2\n  lasts_s: 60\n";
        let policy = parse(&Source::of("pools.yaml", text)).unwrap();
        assert_eq!(policy.pools.len(), 2);
        assert_eq!(policy.pools[1].members, Members::Rest);
        assert_eq!(policy.quarantine.lasts, Duration::from_secs(60));
        assert_eq!(policy.retries, Retries { job: 0, phone: 3, rack: 3, farm: 3 });
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = "pools:\n  - name: a\n    serves: []\n    rest: true\n  - name: a\n    serves: [crash]\n\
                    rack_silent_after_s: 0\n";
        let told: Vec<String> =
            parse(&Source::of("pools.yaml", text)).unwrap_err().iter().map(ToString::to_string).collect();
        let expected = [
            "pools.yaml:3:13: pools[0].serves: the pool serves no class; name some of crash, baseline, custom, special, idle",
            "pools.yaml:4:11: pools[0].rest: pools after this one would take nothing; move it to the end",
            "pools.yaml:5:11: pools[1].name: pool a is already at pools[0]; give it another name",
            "pools.yaml:5:5: pools[1]: the pool takes no phone; list phones, racks, slots or labels, or say `rest: true`",
            "pools.yaml:7:22: rack_silent_after_s: 0 is not in 3..=3600",
        ];
        assert_eq!(told, expected);
    }
}
