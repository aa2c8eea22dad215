//! Whether a staged job has begun on its phone: when the attempt before it is over, and by what its rack says. Which job
//! is staged is not here (`ahead`), nor what takes it back (`withdraw`).

use holdfast_wire::id::{AttemptId, LeaseNumber};
use holdfast_wire::outcome::{AttemptEnd, Blame};
use holdfast_wire::sync::HeldLease;

use crate::ahead::Standing;
use crate::fleet::{RackNumber, Touch};
use crate::kinds::PhoneId;
use crate::lanes::LaneId;
use crate::record::{Hold, HoldPhase, NextPhase};
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Whether the agent goes on with what is staged, given how the attempt before it ended.
    pub(crate) fn goes_on(&self, id: PhoneId, end: &AttemptEnd) -> bool {
        let is_trouble = matches!(end, AttemptEnd::Failed { blame, .. } if *blame != Blame::Job);
        self.phones[id].is_staged() && self.phones[id].claims.is_empty() && !is_trouble
    }

    /// What is staged has begun, or is to begin now.
    pub(crate) fn begin_next(&mut self, id: PhoneId) {
        let now = self.now;
        let Some(job) = self.staged_job(id) else { return };
        // Whoever goes before it by now may break it off.
        let before: Vec<LaneId> = self.goes_before(id).collect();
        self.turn.lanes.extend(before);
        self.unnote_staged(id);
        let phone = &mut self.phones[id];
        phone.record.hold = None;
        (phone.since, phone.last_used) = (now, now);
        self.ahead.is_one_left |= self.racks[phone.rack].unsure.remove(&id);
        if let Some(slot) = self.jobs.get_mut(job) {
            slot.is_staged = false;
        }
        self.begin(job, &[id]);
    }

    /// Nothing holds the phone any longer: says what that makes of what was staged behind it.
    pub(crate) fn next_is_alone(&mut self, id: PhoneId) {
        let until = self.now.after(self.policy.rack_silent_after);
        let has_claims = !self.phones[id].claims.is_empty();
        let Some(next) = &self.phones[id].record.next else { return };
        match next.phase {
            // The attempt before it ended such that the agent waits for an order.
            NextPhase::Staged if !has_claims => return self.forget_next(id),
            NextPhase::Withdrawn => return self.forget_next(id),
            // It may have begun before the phone went to another rack.
            NextPhase::Staged => self.take_back(id),
            NextPhase::Withdrawing | NextPhase::Unsure { .. } => {}
        }
        if let Some(next) = &mut self.phones[id].record.next {
            next.phase = NextPhase::Unsure { until };
        }
    }

    /// A rack has said what it holds: what was taken back there will not begin, or has begun.
    pub(crate) fn hear_of_next(&mut self, rack: RackNumber, held: &[HeldLease]) {
        for id in self.racks[rack].unsure.clone() {
            let phone = &self.phones[id];
            let Some(next) = &phone.record.next else { continue };
            // Attempts are numbers: most of what the rack holds is passed over without comparing names.
            let holds = phone.record.hold.as_ref().map(|hold| hold.attempt);
            let is_meant = |attempt| holds == Some(attempt) || next.attempt == attempt;
            let mut held = held.iter().filter(|lease| is_meant(lease.attempt));
            let Some(lease) = held.find(|lease| lease.phone == *phone.udid()) else { continue };
            match next.phase {
                NextPhase::Withdrawing => {
                    let is_first = lease.lease == phone.record.last_lease;
                    if is_first && lease.withdrawn >= Some(next.lease) {
                        self.is_withdrawn(id);
                    }
                }
                NextPhase::Unsure { .. } if lease.lease == next.lease => self.has_begun(id),
                NextPhase::Unsure { .. } | NextPhase::Staged | NextPhase::Withdrawn => {}
            }
        }
    }

    fn is_withdrawn(&mut self, id: PhoneId) {
        self.let_wait(id);
        let phone = &mut self.phones[id];
        if let Some(next) = &mut phone.record.next {
            next.phase = NextPhase::Withdrawn;
        }
        self.ahead.is_one_left |= self.racks[phone.rack].unsure.remove(&id);
        self.changed(id, Touch::Recorded);
        if matches!(self.stands(id), Some(Standing::Near { .. })) {
            // Whoever goes before it may be staged now.
            self.ahead.near.push(id);
        }
    }

    fn has_begun(&mut self, id: PhoneId) {
        if self.staged_job(id).is_some() {
            return self.begin_next(id);
        }
        // Nobody wants it any more.
        let Some(next) = self.phones[id].record.next.take() else { return };
        let phone = &mut self.phones[id];
        phone.record.last_lease = next.lease;
        phone.record.hold = Some(Hold { attempt: next.attempt, phase: HoldPhase::Releasing });
        let rack = &mut self.racks[phone.rack];
        rack.unsure.remove(&id);
        rack.releasing.insert(id);
        self.changed(id, Touch::Ordered);
    }

    /// A rack says that nothing runs on a phone of which it had yet to say whether it goes on, nor will.
    pub(crate) fn hear_it_rests(&mut self, id: PhoneId, obeyed: LeaseNumber) {
        if !self.phones[id].is_unsure() {
            return;
        }
        if self.phones[id].record.next.as_ref().is_some_and(|next| obeyed >= next.lease) {
            // It may have begun, and been lost.
            self.fence_next(id);
        }
        self.forget_next(id);
        self.follow(id);
        self.changed(id, Touch::Ordered);
    }

    /// The attempt that was staged is over, says its rack, which had yet to say that it had begun.
    pub(crate) fn has_begun_and_ended(&mut self, id: PhoneId, attempt: AttemptId, lease: LeaseNumber) {
        let is_it = self.phones[id].is_unsure()
            && self.phones[id]
                .record
                .next
                .as_ref()
                .is_some_and(|next| next.attempt == attempt && next.lease == lease);
        if is_it {
            self.has_begun(id);
        }
    }

    /// A rack is given up, or has not said in time what became of what was staged: that is over for all that the farm
    /// cares, and the rack has to show the phone clean.
    pub(crate) fn give_next_up(&mut self, id: PhoneId) {
        if self.phones[id].is_unsure() {
            self.fence_next(id);
            self.has_begun(id);
        }
    }
}
