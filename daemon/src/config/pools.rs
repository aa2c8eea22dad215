//! The pools file → the scheduler's [`Policy`]: which phones serve which classes, and the rules of trying again. Classes
//! and windows are in `classes`, owners and demands in `owners`. What the rules lead to is `daemon/scheduler`'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use holdfast_scheduler::Policy;
use holdfast_scheduler::policy::{LIFT_AFTER, Members, Pool, Quarantine, Retries};
use holdfast_wire::id::{Label, Owner, PoolName, RackId, Slot, Udid};
use holdfast_wire::job::JobClass;
use schemars::JsonSchema;
use serde::Deserialize;

use super::classes::{self, LIFT_S_MAX, RawClasses, RawWindow};
use super::once::Once;
use super::owners::{self, RawDemand, RawOwner, twice};
use super::yaml::{Mistake, Source};

/// Most retries for one blame: each is an attempt in the job's record, which must stay small.
const RETRIES_MAX: u32 = 20;

/// Short jobs in a row, at most: older work of the same urgency waits for that long.
const BATCH_MAX: u32 = 1_000;

/// Which phones serve which classes of jobs, who may use them how much, and the rules of trying again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "pools.yaml of Holdfast")]
pub(super) struct Raw {
    /// The pools. The first that takes a phone has it; a phone that no pool takes gets no work.
    pools: Vec<RawPool>,
    /// How each class is served.
    #[serde(default)]
    classes: RawClasses,
    /// Windows of time by name, for classes.
    #[serde(default)]
    windows: Once<String, RawWindow>,
    /// What phones demand of jobs.
    #[serde(default)]
    demands: Vec<RawDemand>,
    /// Shares and limits by owner.
    #[serde(default)]
    owners: Once<Owner, RawOwner>,
    /// The share and the limits of every owner without an entry.
    #[serde(default)]
    default_owner: RawOwner,
    /// How often a job is tried again.
    #[serde(default)]
    retries: RawRetries,
    /// When a phone is kept from work.
    #[serde(default)]
    quarantine: RawQuarantine,
    /// A rack that has not spoken for so long is taken to be gone, seconds.
    #[serde(default = "rack_silent_after_s")]
    rack_silent_after_s: u64,
    /// What an attempt may take beside its cases, seconds.
    #[serde(default = "attempt_overhead_s")]
    attempt_overhead_s: u64,
    /// A job that has waited so long goes before everything that is not strict, seconds; classes may say otherwise.
    #[serde(default = "lift_after_s")]
    lift_after_s: u64,
    /// How long a job waits for the very phone of its comparison before another one will do, seconds.
    #[serde(default = "compare_wait_s")]
    compare_wait_s: u64,
    /// How soon an agent that is told to give a phone up at once must have done so, seconds.
    #[serde(default = "yield_within_s")]
    yield_within_s: u64,
    /// Short jobs of one build in a row on one phone, before older work of the same urgency; 0 turns it off.
    #[serde(default = "batch_max")]
    batch_max: u32,
    /// Whether the next job of a busy phone is handed to its agent ahead.
    #[serde(default = "stage_ahead")]
    stage_ahead: bool,
}

fn rack_silent_after_s() -> u64 {
    60
}

fn attempt_overhead_s() -> u64 {
    900
}

fn lift_after_s() -> u64 {
    LIFT_AFTER.as_secs()
}

fn compare_wait_s() -> u64 {
    600
}

fn yield_within_s() -> u64 {
    60
}

fn batch_max() -> u32 {
    8
}

fn stage_ahead() -> bool {
    true
}

/// A named set of phones: those that any of its lists names, or the rest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawPool {
    /// Its name.
    name: PoolName,
    /// The classes it serves.
    serves: Vec<JobClass>,
    /// Classes that may use its phones while they are idle; taken back at once.
    #[serde(default)]
    lends: Vec<JobClass>,
    /// The only owners whose jobs it takes; anyone's when left out.
    #[serde(default)]
    only: Vec<Owner>,
    /// Whether it takes every phone that no pool before took; for the last pool alone.
    #[serde(default)]
    rest: bool,
    /// Phones by UDID.
    #[serde(default)]
    phones: Vec<Udid>,
    /// Every phone of these racks.
    #[serde(default)]
    racks: Vec<RackId>,
    /// Phones in these slots, on any rack.
    #[serde(default)]
    slots: Vec<Slot>,
    /// Phones with any of these labels.
    #[serde(default)]
    labels: Vec<Label>,
}

/// How often a job is tried again after a failure that is blamed on …
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawRetries {
    /// … the build or the case.
    job: u32,
    /// … the phone.
    phone: u32,
    /// … the rack.
    rack: u32,
    /// … the farm.
    farm: u32,
}

impl Default for RawRetries {
    fn default() -> Self {
        Self { job: 0, phone: 3, rack: 3, farm: 3 }
    }
}

/// When a phone is kept from work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawQuarantine {
    /// After so many failures in a row that blame it.
    after_failures: u32,
    /// For so long, seconds.
    lasts_s: u64,
}

impl Default for RawQuarantine {
    fn default() -> Self {
        Self { after_failures: 3, lasts_s: 3_600 }
    }
}

/// What the pools file says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pools {
    /// The rules.
    pub policy: Policy,
    /// What is legal but odd.
    pub warnings: Vec<String>,
}

/// Reads and checks the pools file.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn read(file: &Path) -> Result<Pools, Vec<Mistake>> {
    let source = Source::read(file).map_err(|mistake| vec![mistake])?;
    parse(&source)
}

/// As [`read`], from a text that is already there.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn parse(source: &Source) -> Result<Pools, Vec<Mistake>> {
    let raw: Raw = source.parse()?;
    let mut mistakes = pool_mistakes(source, &raw.pools);
    mistakes.extend(number_mistakes(source, &raw));
    let classes = classes::classes(source, &raw.classes, raw.lift_after_s, &raw.windows, &mut mistakes);
    let windows = classes::windows(source, &raw.windows, &mut mistakes);
    let (owners, default_owner) = owners::owners(source, &raw.owners, raw.default_owner, &mut mistakes);
    let demands = owners::demands(source, raw.demands, &mut mistakes);
    if !mistakes.is_empty() {
        mistakes.sort_by_key(|mistake| mistake.position);
        return Err(mistakes);
    }
    let policy = Policy {
        pools: raw.pools.into_iter().map(pool).collect(),
        overrides: BTreeMap::new(),
        classes,
        owners,
        default_owner,
        demands,
        windows,
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
        compare_wait: Duration::from_secs(raw.compare_wait_s),
        yield_within: Duration::from_secs(raw.yield_within_s),
        batch_max: raw.batch_max,
        stage_ahead: raw.stage_ahead,
    };
    let mut warnings = oddities(&policy);
    warnings.extend(classes::oddities(&policy));
    let file = source.file().display();
    let warnings = warnings.into_iter().map(|warning| format!("{file}: {warning}")).collect();
    Ok(Pools { policy, warnings })
}

fn pool(raw: RawPool) -> Pool {
    let members = if raw.rest {
        Members::Rest
    } else {
        Members::Listed { phones: raw.phones, racks: raw.racks, slots: raw.slots, labels: raw.labels }
    };
    Pool { name: raw.name, serves: raw.serves, lends: raw.lends, only: raw.only, members }
}

/// What is legal but odd about the pools.
fn oddities(policy: &Policy) -> Vec<String> {
    let unserved = JobClass::ALL.into_iter().filter(|class| {
        !policy.pools.iter().any(|pool| pool.serves.contains(class) || pool.lends.contains(class))
    });
    let mut odd: Vec<String> = unserved
        .map(|class| format!("pools: no pool serves {class}, so jobs of that class wait until one does"))
        .collect();
    for pool in &policy.pools {
        let lent_only: Vec<&str> = pool
            .lends
            .iter()
            .filter(|class| !policy.pools.iter().any(|pool| pool.serves.contains(class)))
            .map(|class| class.as_str())
            .collect();
        if !lent_only.is_empty() {
            odd.push(format!("pools: {} runs on lent phones of {} alone", lent_only.join(", "), pool.name));
        }
    }
    odd
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
        twice(source, &at("serves"), &pool.serves, &mut mistakes);
        twice(source, &at("lends"), &pool.lends, &mut mistakes);
        twice(source, &at("only"), &pool.only, &mut mistakes);
        for (place, class) in pool.lends.iter().enumerate().filter(|(_, class)| pool.serves.contains(class)) {
            let what = format!("the pool serves {class}, so it need not lend to it; take it out of one list");
            mistakes.push(source.mistake(&at(&format!("lends[{place}]")), what));
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
        ("lift_after_s", raw.lift_after_s, 1, LIFT_S_MAX),
        ("compare_wait_s", raw.compare_wait_s, 0, 86_400),
        ("yield_within_s", raw.yield_within_s, 1, 3_600),
        ("batch_max", u64::from(raw.batch_max), 0, u64::from(BATCH_MAX)),
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
        let Pools { policy, warnings } = parse(&Source::of("pools.yaml", text)).unwrap();
        assert_eq!(warnings.len(), 2, "custom and special are served by nobody: {warnings:?}");
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
            "pools.yaml:5:5: pools[1]: the pool takes no phone; list phones, racks, slots or labels, or say `rest: true`",
            "pools.yaml:5:11: pools[1].name: pool a is already at pools[0]; give it another name",
            "pools.yaml:7:22: rack_silent_after_s: 0 is not in 3..=3600",
        ];
        assert_eq!(told, expected);
    }
}
