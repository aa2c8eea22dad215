//! One group: what is recorded of it, and what its crashes add up to.

use std::cmp::Reverse;

use holdfast_wire::api::CrashView;
use holdfast_wire::group::GroupState;
use holdfast_wire::id::{AttemptId, BuildHash, CrashId, GroupId};
use holdfast_wire::time::Time;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

/// Milliseconds of a day: trends are counted by days in UTC.
const DAY_MS: i64 = 86_400_000;

/// What is recorded of a group. Everything else follows from its crashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Its name for programs.
    pub id: GroupId,
    /// What its crashes have in common, in the words of the signature that most of them had last.
    pub signature: String,
    /// Signatures whose crashes come here, of earlier versions too.
    pub signatures: Vec<GroupId>,
    /// The name that an operator gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it stands.
    #[serde(default)]
    pub state: GroupState,
    /// Groups that were merged into it, each with those that had been merged into that one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absorbed: Vec<GroupId>,
    /// Groups that were split off: a new crash of its signatures goes where the stacks are likest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split_off: Vec<GroupId>,
}

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What is recorded of it.
    pub record: GroupRecord,
    /// What its own crashes add up to, without those of groups that were merged into it.
    pub stats: Stats,
}

/// What crashes add up to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Which they are, by when they happened, newest first.
    pub crashes: OrdSet<(Reverse<Time>, CrashId)>,
    /// By build.
    pub builds: OrdMap<BuildHash, u64>,
    /// By phone.
    pub phones: OrdMap<String, u64>,
    /// By model.
    pub models: OrdMap<String, u64>,
    /// By version of the app.
    pub app_versions: OrdMap<String, u64>,
    /// By version of the system.
    pub os_versions: OrdMap<String, u64>,
    /// By case.
    pub cases: OrdMap<String, u64>,
    /// By how far the process had come.
    pub launch_phases: OrdMap<String, u64>,
    /// By day, counted from 1970.
    pub days: OrdMap<i64, u64>,
    /// By attempt in which they happened.
    pub attempts: OrdMap<AttemptId, u64>,
}

impl Group {
    /// A group that a signature founds.
    pub fn founded(id: GroupId, signature: String, signatures: Vec<GroupId>) -> Self {
        let state = GroupState::Open;
        let (absorbed, split_off) = (Vec::new(), Vec::new());
        let record = GroupRecord { id, signature, signatures, name: None, state, absorbed, split_off };
        Self { record, stats: Stats::default() }
    }
}

impl Stats {
    /// Counts a crash; once, however often it is given.
    pub fn add(&mut self, crash: &CrashView) {
        if self.crashes.insert((Reverse(happened(crash)), crash.origin.id)).is_none() {
            self.count(crash, |count| *count += 1);
        }
    }

    /// Counts a crash no longer.
    pub fn remove(&mut self, crash: &CrashView) {
        if self.crashes.remove(&(Reverse(happened(crash)), crash.origin.id)).is_some() {
            self.count(crash, |count| *count = count.saturating_sub(1));
        }
    }

    fn count(&mut self, crash: &CrashView, change: impl Fn(&mut u64)) {
        let text = |what: Option<&str>| what.map(str::to_owned);
        tally(&mut self.builds, crash.build, &change);
        tally(&mut self.phones, text(crash.origin.phone.as_ref().map(|phone| phone.as_str())), &change);
        tally(&mut self.models, crash.device_model.clone(), &change);
        tally(&mut self.app_versions, crash.app_version.clone(), &change);
        tally(&mut self.os_versions, crash.os_version.clone(), &change);
        tally(&mut self.cases, text(crash.case.as_ref().map(|case| case.as_str())), &change);
        tally(&mut self.launch_phases, crash.launch_phase.clone(), &change);
        tally(&mut self.days, Some(day(happened(crash))), &change);
        tally(&mut self.attempts, crash.origin.attempt, &change);
    }

    /// Takes the counts of another group in.
    pub fn absorb(&mut self, other: &Stats) {
        self.crashes.extend(other.crashes.iter().copied());
        add_all(&mut self.builds, &other.builds);
        add_all(&mut self.phones, &other.phones);
        add_all(&mut self.models, &other.models);
        add_all(&mut self.app_versions, &other.app_versions);
        add_all(&mut self.os_versions, &other.os_versions);
        add_all(&mut self.cases, &other.cases);
        add_all(&mut self.launch_phases, &other.launch_phases);
        add_all(&mut self.days, &other.days);
        add_all(&mut self.attempts, &other.attempts);
    }

    /// When the last of them happened.
    pub fn last(&self) -> Option<Time> {
        self.crashes.get_min().map(|(Reverse(at), _)| *at)
    }

    /// When the first of them happened.
    pub fn first(&self) -> Option<Time> {
        self.crashes.get_max().map(|(Reverse(at), _)| *at)
    }
}

/// Changes the count of something, which is forgotten when it is none.
fn tally<K: Ord + Clone>(counts: &mut OrdMap<K, u64>, what: Option<K>, change: impl Fn(&mut u64)) {
    let Some(what) = what else { return };
    let mut count = counts.get(&what).copied().unwrap_or_default();
    change(&mut count);
    if count == 0 {
        counts.remove(&what)
    } else {
        counts.insert(what, count)
    };
}

fn add_all<K: Ord + Clone>(counts: &mut OrdMap<K, u64>, others: &OrdMap<K, u64>) {
    for (what, more) in others {
        tally(counts, Some(what.clone()), |count| *count += more);
    }
}

/// When a crash happened, as far as anybody knows.
pub(super) fn happened(crash: &CrashView) -> Time {
    crash.happened_at.unwrap_or(crash.origin.collected_at)
}

/// The day of a moment, counted from 1970, in UTC.
pub(super) fn day(at: Time) -> i64 {
    at.as_unix_ms().div_euclid(DAY_MS)
}

/// When a day begins.
pub(super) fn day_begins(day: i64) -> Time {
    Time::from_unix_ms(day.saturating_mul(DAY_MS))
}
