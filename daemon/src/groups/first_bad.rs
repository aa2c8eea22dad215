//! Which build brought a group: the builds in question in the order of their commits, what was seen of each, and what the
//! odds say. Testing more of them is `search`'s.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_bisect::{Demands, Seen, odds};
use holdfast_wire::api::CrashView;
use holdfast_wire::build::Build;
use holdfast_wire::group::{FirstBad, Suspect};
use holdfast_wire::id::{AttemptId, BuildHash, CaseName, CrashId};

use super::group::{Group, Stats};
use super::order::{Line, line};
use super::view::seen_in;
use crate::snapshot::Snapshot;

/// Builds in question, at most: the newest of more.
const BUILDS_MAX: usize = 60;
/// Good builds before the newest good one that are looked at, too: one that passed may have been lucky.
const GOOD_BEFORE: usize = 3;
/// Crashes of a group that are counted, newest first.
const CRASHES_COUNTED_MAX: usize = 2_000;
/// Suspects that a view names.
const SUSPECTS_MAX: usize = 5;

/// For which groups the first bad build is looked for, and how surely.
#[derive(Debug, Clone, PartialEq)]
pub struct Hunt {
    /// The branch whose groups are looked after; none: nothing is tested, and odds are shown all the same.
    pub branch: Option<String>,
    /// When it is enough.
    pub demands: Demands,
}

/// The builds of which one brought a group, in the order of their commits, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub builds: Vec<Arc<Build>>,
    /// What was seen of each.
    pub seen: Vec<Seen>,
    /// The cases in which it was seen; none when nobody knows.
    pub cases: BTreeSet<CaseName>,
}

/// The builds in question; none when no crash of the group has a build with a branch.
pub fn row(snapshot: &Snapshot, stats: &Stats) -> Option<Row> {
    row_of(snapshot, stats, &line(snapshot, stats)?)
}

fn row_of(snapshot: &Snapshot, stats: &Stats, line: &Line) -> Option<Row> {
    let Line { builds, cases, .. } = line;
    let (last, good) = (line.first_bad, line.last_good);
    builds[last].origin.branch.as_ref()?;
    let attempts = |build: &Build| attempts(snapshot, build.identity.hash, cases);
    let first =
        good.map_or(0, |good| good.saturating_sub(GOOD_BEFORE)).max((last + 1).saturating_sub(BUILDS_MAX));
    let builds: Vec<Arc<Build>> = builds[first..=last].to_vec();
    let crashed = crashed(snapshot, stats);
    let seen = builds.iter().map(|build| {
        let crashed = crashed.get(&build.identity.hash).copied().unwrap_or(0);
        // What crashed before it could be counted ran all the same.
        Seen { attempts: attempts(build).max(crashed), crashed }
    });
    Some(Row { seen: seen.collect(), builds, cases: cases.clone() })
}

/// What readers are shown of the row of a group that stands so in its line.
pub(super) fn first_bad(snapshot: &Snapshot, stats: &Stats, line: &Line, hunt: &Hunt) -> Option<FirstBad> {
    let row = row_of(snapshot, stats, line)?;
    let odds = odds(&row.seen)?;
    let mut suspects: Vec<Suspect> = row
        .builds
        .iter()
        .zip(&odds.first_bad)
        .map(|(build, chance)| {
            let hash = build.identity.hash;
            let count = stats.builds.get(&hash).copied().unwrap_or(0);
            // What is not certain is never shown as certain.
            Suspect { build: seen_in(snapshot, hash, count), percent: (chance * 100.0).floor() as u8 }
        })
        .collect();
    suspects.sort_by_key(|suspect| Reverse(suspect.percent));
    suspects.truncate(SUSPECTS_MAX);
    let most = odds.first_bad.iter().copied().fold(0.0, f64::max);
    Some(FirstBad { is_certain: most >= hunt.demands.confidence, builds: row.builds.len() as u64, suspects })
}

/// Whether the first bad build of a group is to be looked for.
pub(super) fn is_hunted(snapshot: &Snapshot, group: &Group, hunt: &Hunt) -> bool {
    let Some(branch) = &hunt.branch else { return false };
    let mut builds = group.stats.builds.keys().filter_map(|hash| snapshot.builds.get(hash));
    builds.any(|build| build.origin.branch.as_ref() == Some(branch))
}

/// The cases in which a group was seen.
pub(super) fn cases(stats: &Stats) -> BTreeSet<CaseName> {
    stats.cases.keys().filter_map(|case| case.parse().ok()).collect()
}

/// Attempts in which a build ran one of these cases, or any when none is named.
pub(super) fn attempts(snapshot: &Snapshot, build: BuildHash, cases: &BTreeSet<CaseName>) -> u32 {
    let Some(runs) = snapshot.runs.get(&build) else { return 0 };
    let of_cases = runs.cases.iter().filter(|(case, _)| cases.contains(*case)).map(|(_, runs)| *runs);
    let attempts = if cases.is_empty() { runs.attempts } else { of_cases.max().unwrap_or(0) };
    u32::try_from(attempts).unwrap_or(u32::MAX)
}

/// Attempts in which a group happened, by build; a crash outside of every attempt counts as one.
fn crashed(snapshot: &Snapshot, stats: &Stats) -> BTreeMap<BuildHash, u32> {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Once {
        Attempt(AttemptId),
        Crash(CrashId),
    }
    let mut once: BTreeSet<(BuildHash, Once)> = BTreeSet::new();
    let crashes =
        stats.crashes.iter().take(CRASHES_COUNTED_MAX).filter_map(|(_, id)| snapshot.crashes.get(id));
    once.extend(crashes.filter_map(|crash: &Arc<CrashView>| {
        let of = crash.origin.attempt.map_or(Once::Crash(crash.origin.id), Once::Attempt);
        Some((crash.build?, of))
    }));
    let mut count: BTreeMap<BuildHash, u32> = BTreeMap::new();
    for (build, _) in once {
        *count.entry(build).or_default() += 1;
    }
    count
}
