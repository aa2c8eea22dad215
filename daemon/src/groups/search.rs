//! The farm asks itself: idle jobs that run the case of a crash on the builds of which one brought it, one at a time, until
//! the odds name it. The work itself is `first_bad`'s and `holdfast-bisect`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_bisect::{Step, next};
use holdfast_wire::case::Case;
use holdfast_wire::id::{BlobHash, GroupId, JobId};
use holdfast_wire::job::{JobClass, JobSpec, JobState};
use holdfast_wire::time::Time;

use super::first_bad::{Hunt, Row, is_hunted, row};
use super::group::Group;
use crate::clock::Clock;
use crate::farm::{Ask, Farm, Stopping, Submitted};
use crate::notices::{NoticeAsk, first_bad};
use crate::snapshot::Snapshot;

/// Between two looks at all groups: every attempt that ends changes the picture.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Groups whose first bad build is looked for at once, the newest first: idle time is shared.
const HUNTED_MAX: usize = 20;
/// Jobs in a row for one build that told nothing: there is something else the matter with it.
const FRUITLESS_MAX: u32 = 3;
/// A job for which there was no idle time for so long is given up; what is asked then may be another.
const START_WITHIN: Duration = Duration::from_secs(7 * 86_400);

/// What is under way.
#[derive(Debug, Default)]
pub struct Search {
    jobs: BTreeMap<GroupId, Asked>,
    /// Groups whose commit is known, and which one.
    named: BTreeMap<GroupId, String>,
}

/// The job that was submitted last for a group.
#[derive(Debug, Clone, Copy)]
struct Asked {
    job: JobId,
    place: usize,
    attempts: u32,
    fruitless: u32,
}

/// A job to be submitted for a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// For which.
    pub group: GroupId,
    /// What is asked.
    pub spec: Box<JobSpec>,
    /// The same for the same question: after a restart it is asked once.
    pub key: String,
    place: usize,
    attempts: u32,
    fruitless: u32,
}

/// Follows the farm until it stops.
///
/// # Errors
/// The daemon stops.
pub async fn search(farm: Farm, clock: Arc<Clock>, hunt: Hunt) -> Result<(), Stopping> {
    let (mut search, mut pictures) = (Search::default(), farm.follow());
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while hunt.branch.is_some() {
        pictures.changed().await.map_err(|_| Stopping)?;
        let snapshot = pictures.borrow_and_update().clone();
        for wish in search.wishes(&snapshot, &hunt, clock.now()) {
            search.submit(&farm, wish).await?;
        }
        for group in search.named(&snapshot, &hunt, clock.now()) {
            // Who was told already is not told again, also by a daemon that was started anew.
            farm.ask(|answer| Ask::Notice(NoticeAsk::FirstBad { group, answer })).await?;
        }
        look.tick().await;
    }
    Ok(())
}

impl Search {
    /// What is to be asked now.
    pub fn wishes(&self, snapshot: &Snapshot, hunt: &Hunt, now: Time) -> Vec<Wish> {
        let groups = hunted(snapshot, hunt, now).into_iter();
        groups.filter_map(|group| self.wish(snapshot, group, hunt, now)).collect()
    }

    /// Groups whose commit was not known at the last call, or was another.
    pub fn named(&mut self, snapshot: &Snapshot, hunt: &Hunt, now: Time) -> Vec<GroupId> {
        let mut found = Vec::new();
        for group in hunted(snapshot, hunt, now) {
            let id = &group.record.id;
            let Some(bad) = first_bad(snapshot, group) else { continue };
            if self.named.get(id) != Some(&bad.commit) {
                self.named.insert(id.clone(), bad.commit);
                found.push(id.clone());
            }
        }
        found
    }

    fn wish(&self, snapshot: &Snapshot, group: &Group, hunt: &Hunt, now: Time) -> Option<Wish> {
        let asked = self.jobs.get(&group.record.id);
        let is_over = |job: JobId| {
            snapshot.jobs.get(&job).is_none_or(|job| matches!(job.state, JobState::Ended { .. }))
        };
        if asked.is_some_and(|asked| !is_over(asked.job)) {
            return None;
        }
        let stats = snapshot.groups.stats(group);
        let row = row(snapshot, &stats)?;
        let Step::Test { commit: place } = next(&row.seen, &[], hunt.demands)? else { return None };
        let attempts = row.seen.get(place)?.attempts;
        // The same question again: the job before it told nothing.
        let again = asked.filter(|asked| asked.place == place && asked.attempts == attempts);
        let fruitless = again.map_or(0, |asked| asked.fruitless + 1);
        if fruitless >= FRUITLESS_MAX {
            return None;
        }
        let build = row.builds.get(place)?;
        let spec = JobSpec {
            class: JobClass::Idle,
            build: Arc::new(build.identity.clone()),
            cases: Arc::new(cases(snapshot, group, &row)?),
            requirements: Arc::default(),
            priority: 0,
            owner: None,
            start_by: Some(now.after(START_WITHIN)),
            phones: 1,
            compare: None,
            content: None,
        };
        let key =
            format!("first-bad/{}/{}/{attempts}/{fruitless}", group.record.id, build.identity.hash.short());
        Some(Wish { group: group.record.id.clone(), spec: Box::new(spec), key, place, attempts, fruitless })
    }

    async fn submit(&mut self, farm: &Farm, wish: Wish) -> Result<(), Stopping> {
        let Wish { group, spec, key, place, attempts, fruitless } = wish;
        let build = spec.build.hash.short();
        // The key stands for the whole question; when it may start is no part of it.
        let body = BlobHash::new(*blake3::hash(key.as_bytes()).as_bytes());
        let submitted = farm.ask(|answer| Ask::Submit { spec, key: Some((key, body)), answer }).await?;
        let job = match submitted {
            Submitted::New { job, .. } => {
                tracing::info!(%group, build, %job, "asks which build brought a crash group");
                job
            }
            Submitted::Before(job) | Submitted::OtherBody(job) => job,
        };
        self.jobs.insert(group, Asked { job, place, attempts, fruitless });
        Ok(())
    }
}

/// The groups that are looked after, the newest first.
fn hunted<'a>(snapshot: &'a Snapshot, hunt: &Hunt, now: Time) -> Vec<&'a Arc<Group>> {
    let is_wanted = |group: &&Arc<Group>| group.record.state.is_open(now) && is_hunted(snapshot, group, hunt);
    let mut groups: Vec<&Arc<Group>> = snapshot.groups.iter().filter(is_wanted).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.stats.last()));
    groups.truncate(HUNTED_MAX);
    groups
}

/// The cases in which a group was seen, as the job of one of its crashes ran them; all of that job's when it is not known in
/// which it happened.
fn cases(snapshot: &Snapshot, group: &Group, row: &Row) -> Option<Vec<Case>> {
    let crashes = group.stats.crashes.iter().filter_map(|(_, id)| snapshot.crashes.get(id));
    let mut jobs = crashes.filter_map(|crash| snapshot.jobs.get(&crash.origin.attempt?.job));
    let all = jobs.next()?.spec.cases.to_vec();
    let seen: Vec<Case> = all.iter().filter(|case| row.cases.contains(&case.name)).cloned().collect();
    Some(if seen.is_empty() { all } else { seen })
}
