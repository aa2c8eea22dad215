//! Giving phones to attempts, and taking them back. The lease number grows by one with every lease of a phone and is
//! recorded before any order leaves.

use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::id::{AttemptId, JobId};
use holdfast_wire::job::{JobState, Member};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::sync::{Order, PhoneOrder, Work};
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::fleet::{Phone, Touch};
use crate::kinds::PhoneId;
use crate::record::{AttemptRecord, CompareRecord, Ended, Hold, HoldPhase, JobRecord, place_of};
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Gives phones to a waiting job: one attempt on each, all at once.
    pub(crate) fn grant(&mut self, id: JobId, phones: &[PhoneId]) {
        self.leave(id);
        // One that was kept for a job of several phones which goes behind this one is kept no longer.
        for phone in phones {
            self.take_from_gang(*phone);
        }
        let Some(slot) = self.jobs.get(id) else { return };
        self.charge_begin(slot.owner, phones.len(), slot.usual_ms);
        self.begin(id, phones);
    }

    /// Begins an attempt on each phone, by the lease that was set aside for it or else the next.
    pub(crate) fn begin(&mut self, id: JobId, phones: &[PhoneId]) {
        let now = self.now;
        let Some(slot) = self.jobs.get_mut(id) else { return };
        let (share, mean_ms) = (slot.share, self.paces.mean_ms(slot));
        let limit = self.policy.attempt_overhead.saturating_add(run_limit(&slot.record));
        let deadline = now.after(limit);
        slot.seat = phones.first().copied().unwrap_or(usize::MAX);
        let record = Arc::make_mut(&mut slot.record);
        let first = u32::try_from(record.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let (mut lead, mut others) = (None, Vec::new());
        for (phone, number) in phones.iter().zip(first..) {
            let seat = &mut self.phones[*phone];
            assert!(seat.record.hold.is_none(), "{} is free", seat.udid());
            let next = seat.record.next.take();
            let lease = next.map_or_else(|| seat.record.last_lease.next(), |next| next.lease);
            seat.record.last_lease = lease;
            let attempt = AttemptId { job: id, number };
            seat.record.hold = Some(Hold { attempt, phase: HoldPhase::Active { deadline } });
            let build = record.spec.build.hash;
            seat.batch = if seat.record.last_build == Some(build) { seat.batch + 1 } else { 1 };
            seat.record.last_build = Some(build);
            // Most jobs have one attempt only.
            record.attempts.reserve_exact(1);
            record.attempts.push(AttemptRecord {
                phone: seat.udid().clone(),
                rack: seat.record.rack.clone(),
                lease,
                leased_at: now,
                ended: None,
            });
            let member = Member { attempt: number, phone: seat.udid().clone() };
            match lead {
                None => lead = Some(member),
                Some(_) => others.push(member),
            }
        }
        let compare = record.spec.compare.clone().map(|name| (name, record.spec.build.hash));
        let class = record.spec.class;
        if let Some(Member { attempt, phone }) = lead {
            record.state = JobState::Running { attempt, phone, others };
        }
        self.touch_job(id);
        if let (Some((name, build)), Some(phone)) = (compare, phones.first()) {
            if self.compares.home(&name) != Some(*phone) {
                // Others of the comparison have another phone to wait for.
                self.turn.recheck = true;
            }
            if self.compares.begin(&name, *phone, build) {
                let record = CompareRecord { name, phone: self.phones[*phone].udid().clone(), build };
                self.turn.out.push(Decision::SaveCompare(Arc::new(record)));
            }
        }
        self.shares.serve(self.ranks[class as usize], share);
        for phone in phones {
            self.watch(*phone, mean_ms);
            // Whoever had this phone summoned and did not get it looks for another.
            self.lose_summons(*phone);
            self.changed(*phone, Touch::Ordered);
        }
    }

    /// Gives an attempt up while its rack still has the phone: the attempt no longer counts, and the phone is
    /// free once its rack has shown so.
    pub(crate) fn release(&mut self, id: PhoneId) {
        self.fence_next(id);
        let phone = &mut self.phones[id];
        if let Some(hold) = &mut phone.record.hold {
            hold.phase = HoldPhase::Releasing;
            self.racks[phone.rack].releasing.insert(id);
            self.changed(id, Touch::Ordered);
        }
        if self.has_left(&self.phones[id]) {
            self.free(id);
        }
    }

    /// The phone is free: its rack has shown that nothing of the lease is left.
    pub(crate) fn free(&mut self, id: PhoneId) {
        let now = self.now;
        self.next_is_alone(id);
        let phone = &mut self.phones[id];
        phone.record.hold = None;
        phone.since = now;
        phone.last_used = now;
        self.racks[phone.rack].releasing.remove(&id);
        if !phone.claims.is_empty() {
            let (rack, order) = (phone.record.rack.clone(), rest(phone));
            if self.follow(id) {
                self.turn.out.push(Decision::Order { rack, order });
            }
        }
        self.changed(id, Touch::Ordered);
    }

    /// Counts an attempt that begins against what its owner may have.
    pub(crate) fn charge_begin(&mut self, owner: usize, phones: usize, usual_ms: u64) {
        let share = &mut self.shares.list[owner];
        share.running += u32::try_from(phones).unwrap_or(u32::MAX);
        share.expected_ms = share.expected_ms.saturating_add(usual_ms * phones as u64);
    }

    /// Counts an attempt that is over.
    pub(crate) fn charge_end(&mut self, owner: usize, usual_ms: u64, held: Duration) {
        let today = crate::shares::day_of(self.now);
        let share = &mut self.shares.list[owner];
        // Whoever was within its limits has looked for a phone with every job already. One of several phones may be held
        // back by a limit that a job of one phone does not feel.
        let was_held_back = share.is_full(1) || share.is_beyond_quota() || !self.gang_lanes.is_empty();
        let may_have_room = share.is_limited && was_held_back && !share.waiting.is_empty();
        share.running = share.running.saturating_sub(1);
        share.expected_ms = share.expected_ms.saturating_sub(usual_ms);
        if share.rule.minutes_per_day.is_some() {
            share.spend(today, u64::try_from(held.as_millis()).unwrap_or(u64::MAX));
            if let Some(name) = &share.owner {
                let used = crate::record::OwnerRecord {
                    owner: name.clone(),
                    day: share.day,
                    used_ms: share.used_ms,
                };
                self.turn.out.push(Decision::SaveOwner(Arc::new(used)));
            }
        }
        // Whoever was at its limit, or expected to use more than it has, may have room for another.
        if may_have_room {
            self.turn.owners.push(owner);
        }
    }

    /// What a phone has to do, from what is recorded: the same after a restart as before it.
    pub(crate) fn order(&self, id: PhoneId) -> Decision {
        let phone = &self.phones[id];
        let record = &phone.record;
        let job =
            record.hold.as_ref().and_then(|hold| self.jobs.get(hold.attempt.job)).map(|slot| &slot.record);
        let order = match (&record.hold, job) {
            (Some(Hold { attempt, phase: HoldPhase::Active { deadline } }), Some(job)) => {
                let limit_ms = u64::try_from(deadline.since(self.now).as_millis()).unwrap_or(u64::MAX);
                let work = Box::new(work(job, *attempt, limit_ms));
                Some(Order::Run { lease: record.last_lease, work })
            }
            (Some(Hold { attempt, phase: HoldPhase::Yielding { when, .. } }), Some(_)) => {
                Some(Order::Yield { lease: record.last_lease, attempt: *attempt, when: *when })
            }
            (Some(_) | None, _) => None,
        };
        let order = match order {
            Some(order) => {
                let (next, withdrawn) = self.next_of(id);
                PhoneOrder { phone: phone.udid().clone(), order, next, withdrawn }
            }
            // What may have begun behind it goes on for as long as anybody wants it.
            None if self.staged_job(id).is_some() => {
                PhoneOrder { order: Order::Rest { through: record.last_lease }, ..rest(phone) }
            }
            None => rest(phone),
        };
        Decision::Order { rack: record.rack.clone(), order }
    }
}

/// How long the cases that are left may run.
pub(crate) fn run_limit(job: &JobRecord) -> Duration {
    let done = usize::try_from(job.cases_done).unwrap_or(usize::MAX);
    job.spec.cases.iter().skip(done).map(holdfast_wire::case::Case::run_limit).sum()
}

pub(crate) fn work(job: &Arc<JobRecord>, attempt: AttemptId, limit_ms: u64) -> Work {
    let done = usize::try_from(job.cases_done).unwrap_or(usize::MAX);
    let cases = if done == 0 {
        job.spec.cases.clone()
    } else {
        Arc::new(job.spec.cases.iter().skip(done).cloned().collect())
    };
    let with = match &job.state {
        JobState::Running { attempt: number, phone, others } if !others.is_empty() => {
            let first = (*number, phone);
            let all =
                std::iter::once(first).chain(others.iter().map(|member| (member.attempt, &member.phone)));
            all.filter(|(number, _)| *number != attempt.number).map(|(_, phone)| phone.clone()).collect()
        }
        JobState::Running { .. } | JobState::Queued | JobState::Ended { .. } => Vec::new(),
    };
    Work { attempt, class: job.spec.class, build: job.spec.build.clone(), cases, limit_ms, with }
}

/// Writes the end of an attempt into its job.
pub(crate) fn close(job: &mut JobRecord, attempt: AttemptId, ended: Ended) {
    if let Some(record) = place_of(attempt.number).and_then(|place| job.attempts.get_mut(place)) {
        record.ended = Some(ended);
    }
}

/// The end of an attempt that its rack did not report.
pub(crate) fn unreported(end: AttemptEnd, at: Time) -> Ended {
    Ended { end, at, report: None }
}

/// Every lease that the phone ever had is over, also one that was only set aside.
pub(crate) fn rest(phone: &Phone) -> PhoneOrder {
    let withdrawn = phone.record.next.as_ref().map(|next| next.lease);
    let through = phone.record.last_lease.max(withdrawn.unwrap_or_default());
    PhoneOrder { phone: phone.udid().clone(), order: Order::Rest { through }, next: None, withdrawn }
}
