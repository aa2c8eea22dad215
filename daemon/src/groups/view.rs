//! What readers are shown of groups, and what is suggested to them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_crash::similarity;
use holdfast_wire::api::CrashView;
use holdfast_wire::group::{Alike, DayCount, GroupView, Seen, SeenInBuild, Suggestions};
use holdfast_wire::id::{BuildHash, CrashId};
use holdfast_wire::time::Time;
use imbl::OrdMap;

use super::between::{author, between, doubts};
use super::first_bad::{Hunt, first_bad as first_bad_odds};
use super::group::{Group, Stats, day, day_begins};
use super::order::line;
use crate::snapshot::Snapshot;

/// Builds that a view names.
const BUILDS_MAX: usize = 20;
/// Phones, models, cases that a view names.
const SEEN_MAX: usize = 10;
/// Days of a trend.
const TREND_DAYS: i64 = 30;
/// Crashes that a view names.
const SAMPLES_MAX: usize = 5;
/// Crashes of a group that are held against others when something is suggested.
const COMPARED_MAX: usize = 30;
/// Groups that are held against one.
const GROUPS_COMPARED_MAX: usize = 2_000;
/// Groups that are suggested for a merge.
const ALIKE_MAX: usize = 5;
/// Stacks alike enough that two groups may be one defect.
const MERGE_MIN: f64 = 0.6;
/// Stacks so unlike that one group may be two defects.
const SPLIT_MAX: f64 = 0.25;
/// Crashes that show a part of a group: fewer are chance.
const PART_MIN: usize = 2;

/// What readers are shown of a group.
pub fn view(snapshot: &Snapshot, group: &Group, hunt: &Hunt, now: Time) -> GroupView {
    let (record, stats) = (&group.record, snapshot.groups.stats(group));
    let newest = stats.crashes.iter().find_map(|(_, id)| snapshot.crashes.get(id));
    let mut builds: Vec<SeenInBuild> =
        stats.builds.iter().map(|(build, count)| seen_in(snapshot, *build, *count)).collect();
    builds.sort_by_key(|seen| (Reverse(seen.uploaded_at), seen.build));
    let line = line(snapshot, &stats);
    let at = |place: usize| {
        let hash = line.as_ref()?.builds.get(place)?.identity.hash;
        Some(seen_in(snapshot, hash, stats.builds.get(&hash).copied().unwrap_or(0)))
    };
    GroupView {
        id: record.id.clone(),
        title: record.name.clone().unwrap_or_else(|| record.signature.clone()),
        name: record.name.clone(),
        signature: record.signature.clone(),
        state: record.state.clone(),
        ended_by: newest.and_then(|crash| crash.ended_by.clone()),
        process: newest.and_then(|crash| crash.process.clone()),
        bundle_id: newest.and_then(|crash| crash.bundle_id.clone()),
        count: stats.crashes.len() as u64,
        first_seen: stats.first(),
        last_seen: stats.last(),
        first_bad: line.as_ref().and_then(|line| at(line.first_bad)),
        last_good: line.as_ref().and_then(|line| at(line.last_good?)),
        between: line.as_ref().and_then(|line| between(snapshot, line)),
        doubts: line.as_ref().map(|line| doubts(snapshot, line)).unwrap_or_default(),
        odds: line.as_ref().and_then(|line| first_bad_odds(snapshot, &stats, line, hunt)),
        attempts: stats.attempts.len() as u64,
        attempts_run: builds.iter().map(|seen| seen.attempts_run).sum(),
        phones: most(&stats.phones),
        models: most(&stats.models),
        app_versions: most(&stats.app_versions),
        os_versions: most(&stats.os_versions),
        cases: most(&stats.cases),
        launch_phases: most(&stats.launch_phases),
        trend: trend(&stats, now),
        samples: stats.crashes.iter().take(SAMPLES_MAX).map(|(_, id)| *id).collect(),
        absorbed: record.absorbed.clone(),
        builds: {
            builds.truncate(BUILDS_MAX);
            builds
        },
    }
}

/// What an operator may want to merge this group with, and which of its crashes may be another defect.
pub fn suggestions(snapshot: &Snapshot, group: &Group) -> Suggestions {
    let own = stacks(snapshot, &snapshot.groups.stats(group));
    let process = |id: &CrashId| snapshot.crashes.get(id).and_then(|crash| crash.process.clone());
    let of = own.first().and_then(|(id, _)| process(id));
    let mut merge: Vec<Alike> = Vec::new();
    let others = snapshot
        .groups
        .iter()
        .filter(|other| other.record.id != group.record.id && other.record.state.word() != "merged");
    for other in others.take(GROUPS_COMPARED_MAX) {
        let theirs = stacks(snapshot, &other.stats);
        if theirs.first().and_then(|(id, _)| process(id)) != of {
            continue;
        }
        let alike = likeness(&own, &theirs);
        if alike >= MERGE_MIN {
            merge.push(Alike {
                group: other.record.id.clone(),
                title: other.record.name.clone().unwrap_or_else(|| other.record.signature.clone()),
                percent: (alike * 100.0).round() as u8,
            });
        }
    }
    merge.sort_by(|one, two| (Reverse(one.percent), &one.group).cmp(&(Reverse(two.percent), &two.group)));
    merge.truncate(ALIKE_MAX);
    Suggestions { merge, split: parts(&own) }
}

/// Crashes with their stacks, newest first.
type Stacks = Vec<(CrashId, Vec<String>)>;

fn stacks(snapshot: &Snapshot, stats: &Stats) -> Stacks {
    let crashes = stats.crashes.iter().filter_map(|(_, id)| snapshot.crashes.get(id));
    let stack = |crash: &Arc<CrashView>| {
        let stack = crash.signature.as_ref()?.stack.clone();
        (!stack.is_empty()).then_some((crash.origin.id, stack))
    };
    crashes.filter_map(stack).take(COMPARED_MAX).collect()
}

/// How alike two groups are: each crash counts by the likest of the other side.
fn likeness(one: &Stacks, other: &Stacks) -> f64 {
    let towards = |from: &Stacks, to: &Stacks| {
        let best = from
            .iter()
            .map(|(_, stack)| to.iter().map(|(_, other)| similarity(stack, other)).fold(0.0, f64::max));
        best.sum::<f64>() / from.len().max(1) as f64
    };
    if one.is_empty() || other.is_empty() { 0.0 } else { f64::min(towards(one, other), towards(other, one)) }
}

/// Parts of a group that have next to nothing in common, but for the largest.
fn parts(stacks: &Stacks) -> Vec<Vec<CrashId>> {
    let mut parts: Vec<Vec<&(CrashId, Vec<String>)>> = Vec::new();
    for one in stacks {
        let part =
            parts.iter_mut().find(|part| part.iter().any(|other| similarity(&other.1, &one.1) > SPLIT_MAX));
        match part {
            Some(part) => part.push(one),
            None => parts.push(vec![one]),
        }
    }
    parts.sort_by_key(|part| Reverse(part.len()));
    let others = parts.into_iter().skip(1).filter(|part| part.len() >= PART_MIN);
    others.map(|part| part.into_iter().map(|(id, _)| *id).collect()).collect()
}

pub(super) fn seen_in(snapshot: &Snapshot, hash: BuildHash, count: u64) -> SeenInBuild {
    let build = snapshot.builds.get(&hash);
    let origin = build.map(|build| build.origin.clone()).unwrap_or_default();
    SeenInBuild {
        build: hash,
        commit: origin.commit,
        branch: origin.branch,
        author: build.and_then(|build| author(snapshot, build)),
        uploaded_at: build.map(|build| build.uploaded_at),
        count,
        attempts_run: snapshot.runs.get(&hash).map_or(0, |runs| runs.attempts),
    }
}

fn most(counts: &OrdMap<String, u64>) -> Vec<Seen> {
    let mut all: Vec<Seen> =
        counts.iter().map(|(what, count)| Seen { what: what.clone(), count: *count }).collect();
    all.sort_by(|one, two| (Reverse(one.count), &one.what).cmp(&(Reverse(two.count), &two.what)));
    all.truncate(SEEN_MAX);
    all
}

/// The last days, those without a crash included.
fn trend(stats: &Stats, now: Time) -> Vec<DayCount> {
    let today = day(now);
    let counts: BTreeMap<i64, u64> =
        stats.days.range(today - TREND_DAYS + 1..=today).map(|(day, count)| (*day, *count)).collect();
    (today - TREND_DAYS + 1..=today)
        .map(|day| DayCount {
            day: day_begins(day).to_string().chars().take("2026-11-21".len()).collect(),
            count: counts.get(&day).copied().unwrap_or_default(),
        })
        .collect()
}
