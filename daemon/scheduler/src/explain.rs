//! Why a job waits: phone by phone, and in one sentence. Reads only.

use std::collections::BTreeMap;

use holdfast_wire::api::{Explanation, Obstacle, PhoneAnswer};
use holdfast_wire::id::{JobId, Owner};
use holdfast_wire::job::JobState;
use holdfast_wire::phone::PhoneState;

use crate::fleet::Phone;
use crate::queue::Shape;
use crate::record::{HoldPhase, JobRecord};
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Why a queued job waits; none when the job is unknown, running or over.
    pub fn explain(&self, id: JobId) -> Option<Explanation> {
        let job = self.jobs.get(&id).filter(|job| job.state == JobState::Queued)?;
        let shape = Shape::of(job);
        let avoided = self.avoided(job, &shape);
        let phones: Vec<PhoneAnswer> = self
            .fleet
            .phones
            .iter()
            .filter_map(|(udid, phone)| {
                let obstacle = self.obstacle_of_shape(&shape, phone).or_else(|| {
                    let here = avoided.contains(udid).then_some(Obstacle::FailedHereBefore);
                    here.or_else(|| self.obstacle_of_state(phone))
                })?;
                let words = words(&obstacle);
                Some(PhoneAnswer { phone: udid.clone(), rack: phone.record.rack.clone(), obstacle, words })
            })
            .collect();
        let ahead = self.queue.ahead(id, |other| self.compete(&shape, other));
        let summary = self.summary(job, &phones, ahead);
        Some(Explanation { job: id, summary, ahead, rules: Vec::new(), phones })
    }

    /// The one sentence of [`Self::explain`].
    pub fn waiting(&self, id: JobId) -> Option<String> {
        self.explain(id).map(|explanation| explanation.summary)
    }

    fn obstacle_of_state(&self, phone: &Phone) -> Option<Obstacle> {
        match (self.fleet.state(phone), &phone.record.hold) {
            ((PhoneState::Ready, _), _) => None,
            ((PhoneState::Busy { attempt }, _), _) => Some(Obstacle::Busy { attempt }),
            ((PhoneState::Offline, reason), Some(hold)) if matches!(hold.phase, HoldPhase::Active { .. }) => {
                Some(Obstacle::NotReady {
                    state: PhoneState::Offline.as_str().to_owned(),
                    reason: format!("{reason}, and {} may still run there", hold.attempt),
                })
            }
            ((state, reason), _) => Some(Obstacle::NotReady { state: state.as_str().to_owned(), reason }),
        }
    }

    /// Whether jobs of the two shapes want a common phone.
    fn compete(&self, one: &Shape, other: &Shape) -> bool {
        self.fleet.phones.values().any(|phone| {
            self.obstacle_of_shape(one, phone).is_none() && self.obstacle_of_shape(other, phone).is_none()
        })
    }

    fn summary(&self, job: &JobRecord, phones: &[PhoneAnswer], ahead: usize) -> String {
        if self.fleet.phones.is_empty() {
            return "no phone is known to the farm; start an agent on a rack".to_owned();
        }
        let never = |answer: &&PhoneAnswer| {
            matches!(
                answer.obstacle,
                Obstacle::Pool { .. }
                    | Obstacle::Only { .. }
                    | Obstacle::Requirement { .. }
                    | Obstacle::BuildTooNew { .. }
            )
        };
        let fitting = self.fleet.phones.len() - phones.iter().filter(never).count();
        if fitting == 0 {
            return format!("no phone of the farm fits: {}", commonest(phones.iter().filter(never)));
        }
        let busy = phones.iter().filter(|answer| matches!(answer.obstacle, Obstacle::Busy { .. })).count();
        let behind = match ahead {
            0 => "it is next".to_owned(),
            1 => "1 job goes before it".to_owned(),
            _ => format!("{ahead} jobs go before it"),
        };
        let fit = if fitting == 1 { "1 phone fits".to_owned() } else { format!("{fitting} phones fit") };
        if busy == fitting {
            return format!("{fit}, busy with other work; {behind}");
        }
        let cannot = phones
            .iter()
            .filter(|answer| !never(answer) && !matches!(answer.obstacle, Obstacle::Busy { .. }));
        if cannot.clone().count() == 0 {
            return format!("{fit}; {behind}");
        }
        let tried = if job.attempts.is_empty() { "" } else { "it is to be tried again; " };
        format!("{tried}{fit}, {busy} busy with other work; {}; {behind}", commonest(cannot))
    }
}

/// The commonest obstacles in words, each with how many phones it keeps away; at most three.
fn commonest<'a>(answers: impl Iterator<Item = &'a PhoneAnswer>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.words.as_str()).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(words, count)| (std::cmp::Reverse(*count), *words));
    let shown: Vec<String> = counts
        .iter()
        .take(3)
        .map(|(words, count)| match count {
            1 => format!("1 phone: {words}"),
            _ => format!("{count} phones: {words}"),
        })
        .collect();
    shown.join("; ")
}

fn words(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Pool { pool: Some(pool) } => format!("pool {pool} does not serve this job"),
        Obstacle::Pool { pool: None } => "no pool has taken the phone".to_owned(),
        Obstacle::Only { owners } => {
            let owners: Vec<&str> = owners.iter().map(Owner::as_str).collect();
            format!("it serves only {}", owners.join(", "))
        }
        Obstacle::Requirement { mismatch } => mismatch.to_string(),
        Obstacle::BuildTooNew { minimum_os } => format!("the build wants iOS {minimum_os} or newer"),
        Obstacle::Comparison { phone } => format!("the comparison began on phone {phone}"),
        Obstacle::FailedHereBefore => "the job failed there before, and another phone may do".to_owned(),
        Obstacle::FailedOnRackBefore => "the job failed on that rack before, and another may do".to_owned(),
        Obstacle::Lent { pool } => format!("pool {pool} is lent only while its own work does not want it"),
        Obstacle::Window { name, opens: Some(opens) } => format!("window {name} is shut until {opens}"),
        Obstacle::Window { name, opens: None } => format!("window {name} is shut and never opens again"),
        Obstacle::OwnerLimit { owner, running_max } => {
            format!("{owner} runs {running_max} at once, as many as it may")
        }
        Obstacle::OverQuota { owner } => {
            format!("{owner} has used today's phone-minutes up, so others go first")
        }
        Obstacle::Gang { needed, free } => {
            format!("free, but the job needs {needed} at once and {free} are free")
        }
        Obstacle::GatheredFor { job } => format!("held free for {job}, which needs several phones"),
        Obstacle::Before { job } => format!("goes to {job} first"),
        Obstacle::Busy { attempt } => format!("runs {attempt}"),
        Obstacle::Yielding { attempt } => format!("{attempt} is giving it up"),
        Obstacle::Taken { by, until: Some(until) } => format!("taken by {by} until {until}"),
        Obstacle::Taken { by, until: None } => format!("taken by {by} until it is released"),
        Obstacle::NotReady { state, reason } if reason.is_empty() => state.clone(),
        Obstacle::NotReady { state, reason } => format!("{state}: {reason}"),
    }
}
