//! What would happen if a job were submitted now: the job waits for a moment, is looked at, and is taken out again.

use std::sync::Arc;

use holdfast_wire::api::{Plan, PlanAnswer, Preemption};
use holdfast_wire::id::{JobId, Owner};
use holdfast_wire::job::{JobSpec, JobState};
use holdfast_wire::time::Time;

use crate::explain::AHEAD_MAX;
use crate::record::JobRecord;
use crate::scheduler::Scheduler;
use crate::shares::{Share, day_of};

impl Scheduler {
    /// What would happen if this job were submitted now. Nothing is kept.
    pub fn plan(&mut self, now: Time, spec: &JobSpec) -> Plan {
        self.now = now;
        let id = self.next_job;
        let record = JobRecord {
            id,
            spec: spec.clone(),
            submitted_at: now,
            state: JobState::Queued,
            attempts: Vec::new(),
            cases_done: 0,
            failure: None,
            yielded: 0,
        };
        let shares = self.shares.remember();
        let tested = self.tested.get(&spec.build.hash).copied();
        let slot = self.slot(Arc::new(record));
        self.jobs.insert(id, slot);
        self.wait(id);
        let plan = self.look_ahead(now, id);
        self.leave(id);
        self.jobs.remove(id);
        self.turn.jobs.retain(|job| *job != id);
        self.shares.recall(shares);
        match tested {
            Some(tested) => self.tested.insert(spec.build.hash, tested),
            None => self.tested.remove(&spec.build.hash),
        };
        plan
    }

    fn look_ahead(&self, now: Time, id: JobId) -> Plan {
        let Some(slot) = self.jobs.get(id) else { unreachable!("the caller has put it there") };
        let lane = &self.lanes.list[slot.lane];
        let ahead = self.ahead(slot, AHEAD_MAX);
        let rules = self.rules_of(slot, ahead);
        let phones: Vec<_> = self.by_udid.values().filter_map(|phone| self.answer(slot, *phone)).collect();
        let mut preempts = Vec::new();
        let may_begin = self.standing(slot).is_some();
        let starts = if !may_begin {
            Vec::new()
        } else if lane.key.phones > 1 {
            let free = self.fitting(lane).flat_map(|kind| kind.free.iter().map(|(_, _, phone)| *phone));
            let free: Vec<usize> = free.take(usize::from(lane.key.phones)).collect();
            if free.len() == usize::from(lane.key.phones) { free } else { Vec::new() }
        } else {
            self.choose(slot).into_iter().collect()
        };
        let would = if let Some(why) = self.hopeless(slot) {
            PlanAnswer::Never { why }
        } else if starts.is_empty() {
            preempts.extend(self.would_preempt(id));
            PlanAnswer::Waits { eta: self.eta_of(now, slot), ahead, summary: self.summary(slot, ahead) }
        } else {
            let phones = starts.into_iter().map(|phone| self.phones[phone].udid().clone());
            PlanAnswer::StartsNow { phones: phones.collect() }
        };
        Plan { would, rules, phones, preempts }
    }

    /// The work that would be made to give way.
    fn would_preempt(&self, id: JobId) -> Option<Preemption> {
        let slot = self.jobs.get(id)?;
        if self.standing(slot).is_none() || slot.record.spec.phones > 1 {
            return None;
        }
        let (phone, when) = self.victim_for(id)?;
        let hold = self.phones[phone].counting()?;
        let class = self.jobs.get(hold.attempt.job)?.record.spec.class;
        Some(Preemption { phone: self.phones[phone].udid().clone(), attempt: hold.attempt, class, when })
    }

    /// What owners use, by name; jobs without an owner are not here.
    pub fn owners(&self) -> impl Iterator<Item = OwnerUsage<'_>> {
        let today = day_of(self.now);
        self.shares.list.iter().filter_map(move |share| {
            let Share { owner, rule, running, day, used_ms, .. } = share;
            let owner = owner.as_ref()?;
            let used_ms = if *day == today { *used_ms } else { 0 };
            Some(OwnerUsage { owner, rule: *rule, running: *running, used_ms })
        })
    }
}

/// What one owner uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerUsage<'a> {
    /// Who.
    pub owner: &'a Owner,
    /// Share and limits.
    pub rule: crate::policy::OwnerPolicy,
    /// Attempts that hold a phone now.
    pub running: u32,
    /// How long its attempts have held phones today (UTC), milliseconds; counted for owners with a quota.
    pub used_ms: u64,
}
