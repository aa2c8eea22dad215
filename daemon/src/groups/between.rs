//! What an app's mirror tells beyond the order of builds: commits between a good build and a bad one, of which there is no
//! build to test, who wrote them, and which commits it does not have.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::build::Build;
use holdfast_wire::group::{CommitSeen, CommitsBetween};
use holdfast_wire::id::BuildHash;

use super::order::{Line, history};
use crate::commits::{Between, Commit, History, Standing};
use crate::snapshot::Snapshot;

/// Commits that a view names.
const COMMITS_MAX: usize = 20;
/// Commits which the mirror does not have that a view names.
const MISSING_MAX: usize = 5;
/// Builds before and after which what is missing in the mirror may change the answer.
const BUILDS_MAX: usize = 60;

/// The author of a build's commit: as its uploader said, else as the mirror has it.
pub fn author(snapshot: &Snapshot, build: &Build) -> Option<String> {
    let said = || {
        let commit = history(snapshot, &build.identity.bundle_id)?.commit(build.origin.commit.as_deref()?)?;
        Some(commit.author.clone())
    };
    build.origin.author.clone().or_else(said)
}

/// Who wrote what came between two builds: the author of the later one, unless commits of others lie between them of which
/// there is no build.
pub fn brought_by(snapshot: &Snapshot, before: Option<&Build>, build: &Build) -> Option<String> {
    let own = author(snapshot, build);
    let Some((history, Between::Commits(places))) = before.and_then(|before| walked(snapshot, before, build))
    else {
        return own;
    };
    let authors: BTreeSet<&str> =
        places.iter().filter_map(|place| history.at(*place)).map(|commit| commit.author.as_str()).collect();
    own.filter(|_| authors.len() <= 1)
}

/// The commits after the last good build up to the first bad one; none when there is no mirror, or it does not have both.
pub(super) fn between(snapshot: &Snapshot, line: &Line) -> Option<CommitsBetween> {
    let bad = line.builds.get(line.first_bad)?;
    let good = line.builds.get(line.last_good?)?;
    let (history, Between::Commits(places)) = walked(snapshot, good, bad)? else { return None };
    let commits: Vec<&Commit> = places.iter().filter_map(|place| history.at(*place)).collect();
    let built: BTreeMap<&str, BuildHash> = line
        .builds
        .iter()
        .filter_map(|build| {
            let commit = history.commit(build.origin.commit.as_deref()?)?;
            Some((commit.hash.as_str(), build.identity.hash))
        })
        .collect();
    let build_of = |commit: &Commit| built.get(commit.hash.as_str()).copied();
    let shown = commits.iter().take(COMMITS_MAX).map(|commit| CommitSeen {
        commit: commit.hash.clone(),
        author: commit.author.clone(),
        subject: commit.subject.clone(),
        build: build_of(commit),
    });
    let without_build = commits.iter().filter(|commit| build_of(commit).is_none()).count();
    Some(CommitsBetween {
        count: commits.len() as u64,
        without_build: without_build as u64,
        commits: shown.collect(),
    })
}

/// What keeps the order of a group's builds from being that of its app's repository, and what to do about it.
pub(super) fn doubts(snapshot: &Snapshot, line: &Line) -> Vec<String> {
    let Some(bad) = line.builds.get(line.first_bad) else { return Vec::new() };
    let Some(history) = history(snapshot, &bad.identity.bundle_id) else { return Vec::new() };
    let mut doubts: Vec<String> =
        history.trouble.iter().map(|trouble| format!("the mirror cannot be read: {trouble}")).collect();
    let from = line.last_good.unwrap_or(0).max((line.first_bad + 1).saturating_sub(BUILDS_MAX));
    let unknown: Vec<String> = line.builds[from..=line.first_bad]
        .iter()
        .filter_map(|build| {
            let said = build.origin.commit.as_deref()?;
            doubt(history, said, history.standing(said)?)
        })
        .collect();
    let more = unknown.len().saturating_sub(MISSING_MAX);
    doubts.extend(unknown.into_iter().take(MISSING_MAX));
    if more > 0 {
        doubts.push(format!("and {more} other commits"));
    }
    if !doubts.is_empty() {
        doubts.push("until then such builds stand where their parents or their uploads put them".to_owned());
    }
    doubts
}

fn doubt(history: &History, said: &str, standing: Standing) -> Option<String> {
    let mirror = &history.mirror;
    match standing {
        Standing::At(_) | Standing::Older => None,
        Standing::Missing => {
            Some(format!("commit {said} is not in the mirror {mirror}; fetch it: git -C {mirror} fetch"))
        }
        Standing::Ambiguous => Some(format!(
            "several commits of the mirror {mirror} begin with {said}; upload builds with the whole hash"
        )),
        Standing::NoHash => {
            Some(format!("{said:?} is no hash of a commit; upload builds with the commit's whole hash"))
        }
    }
}

fn walked<'s>(snapshot: &'s Snapshot, good: &Build, bad: &Build) -> Option<(&'s History, Between)> {
    let history = history(snapshot, &bad.identity.bundle_id)?;
    let place = |build: &Build| match history.standing(build.origin.commit.as_deref()?)? {
        Standing::At(place) => Some(place),
        Standing::Older | Standing::Missing | Standing::Ambiguous | Standing::NoHash => None,
    };
    Some((history, history.between(place(good)?, place(bad)?)))
}
