//! Taking back what is staged on a phone: for whoever goes before it, for a phone that is free at once, and when nobody
//! knows any longer when its own will be. What is staged, and when, is not here (`ahead`), nor what the agent says of it
//! (`handover`).

use std::ops::Bound;

use holdfast_wire::id::JobId;
use holdfast_wire::outcome::AttemptEnd;

use crate::decision::Decision;
use crate::fleet::Touch;
use crate::kinds::PhoneId;
use crate::lanes::{LaneId, Shut};
use crate::lease::unreported;
use crate::place::Place;
use crate::record::{AttemptRecord, Next, NextPhase};
use crate::scheduler::Scheduler;

/// Staged jobs behind a more urgent one that are looked at for a phone that it takes.
const OUTBID_LOOKS: usize = 64;

impl Scheduler {
    /// Phones that have changed in this turn may no longer be right for what is staged there.
    pub(crate) fn review(&mut self) {
        for place in 0..self.turn.touched.len() {
            let id = self.turn.touched[place];
            if self.phones[id].is_staged() && !self.is_right(id) {
                self.take_back(id);
            }
        }
    }

    fn is_right(&self, id: PhoneId) -> bool {
        let phone = &self.phones[id];
        let Some(slot) = self.staged_job(id).and_then(|job| self.jobs.get(job)) else { return false };
        let lane = &self.lanes.list[slot.lane];
        self.may_stage_on(phone)
            && lane.shut == Shut::default()
            && lane.native.has(phone.kind)
            && self.accepts(slot, id)
            // Jobs that the phone did not fit before may go before it.
            && self.goes_before(id).next().is_none()
    }

    /// Lanes that the phone serves, with a job that goes before the one that is or was staged there: any, when the phone
    /// has come to be of a pool that does not serve that one.
    pub(crate) fn goes_before(&self, id: PhoneId) -> impl Iterator<Item = LaneId> {
        let own = self.staged_job(id).and_then(|job| self.jobs.get(job));
        let place = own.map(|slot| {
            if self.is_lent_to(&self.phones[id], &slot.record.spec) {
                return Place::LAST;
            }
            self.phones[id].staged.unwrap_or_else(|| self.own_place(slot))
        });
        let lanes = self.kinds.list[self.phones[id].kind].native.both(&self.lanes.live);
        lanes.filter(move |lane| {
            let is_before = |other: Place| place.is_some_and(|place| other < place);
            is_before(self.lanes.heads[*lane])
                && self.first_taker(*lane, id).is_some_and(|(first, _)| is_before(first))
        })
    }

    /// Phones that nobody took: a staged job which fits one of them need not wait for its own.
    pub(crate) fn take_back_for_free(&mut self) {
        let mut freed = std::mem::take(&mut self.ahead.freed);
        if std::mem::take(&mut self.ahead.is_one_left) {
            let kinds = self.kinds.with_free.iter().map(|kind| &self.kinds.list[kind]);
            freed.extend(kinds.filter_map(|kind| kind.free.first()).map(|(_, _, phone)| *phone));
        }
        freed.sort_unstable();
        freed.dedup();
        freed.retain(|phone| self.phones[*phone].noted.free.is_some());
        let free = freed;
        if free.is_empty() {
            return;
        }
        let staged = self.ahead.staged.iter().map(|(_, phone)| *phone);
        let fits = |id: &PhoneId| {
            let slot = self.staged_job(*id).and_then(|job| self.jobs.get(job));
            slot.is_some_and(|slot| {
                let lane = &self.lanes.list[slot.lane];
                let takes = |phone: &PhoneId| {
                    lane.fits(self.phones[*phone].kind)
                        && self.accepts(slot, *phone)
                        && self.is_open(lane, *phone)
                };
                free.iter().any(takes)
            })
        };
        let claimed: Vec<PhoneId> = staged.filter(fits).take(free.len()).collect();
        for id in claimed {
            self.take_back(id);
        }
    }

    /// A job waits that finds no phone: the last of those staged behind it gives up one that this job takes.
    pub(crate) fn outbid(&mut self, job: JobId) {
        let Some(slot) = self.jobs.get(job).filter(|slot| slot.is_waiting && slot.summons.is_none()) else {
            return;
        };
        let Some(place) = self.standing(slot).filter(|_| slot.record.spec.phones == 1) else { return };
        let lane = &self.lanes.list[slot.lane];
        let lesser = (Bound::Excluded((place, PhoneId::MAX)), Bound::Unbounded);
        let mut behind = self.ahead.staged.range(lesser).rev().take(OUTBID_LOOKS);
        let is_native = |phone| self.kinds.of(phone).is_some_and(|kind| lane.native.has(kind));
        let found = behind.find(|(_, phone)| is_native(*phone) && self.accepts(slot, *phone));
        if let Some((_, phone)) = found {
            self.take_back(*phone);
        }
    }

    /// Takes back everything that is staged, or that of some class.
    pub(crate) fn take_back_where(&mut self, holds: impl Fn(&crate::waiting::Slot) -> bool) {
        let staged = self.ahead.staged.iter().map(|(_, phone)| *phone);
        let is_meant = |id: &PhoneId| {
            let slot = self.staged_job(*id).and_then(|job| self.jobs.get(job));
            slot.is_some_and(&holds)
        };
        let phones: Vec<PhoneId> = staged.filter(is_meant).collect();
        for id in phones {
            self.take_back(id);
        }
    }

    /// The agent is told not to begin what is staged. The job stays with the phone until it is known that it did not.
    pub(crate) fn take_back(&mut self, id: PhoneId) {
        if !self.phones[id].is_staged() {
            return;
        }
        self.unnote_staged(id);
        let phone = &mut self.phones[id];
        if let Some(next) = &mut phone.record.next {
            next.phase = NextPhase::Withdrawing;
        }
        self.racks[phone.rack].unsure.insert(id);
        self.changed(id, Touch::Ordered);
    }

    /// The job that belongs to a phone waits again, at its old place.
    pub(crate) fn let_wait(&mut self, id: PhoneId) {
        let Some(job) = self.staged_job(id) else { return };
        self.unnote_staged(id);
        let Some(slot) = self.jobs.get_mut(job) else { return };
        (slot.is_staged, slot.seat) = (false, usize::MAX);
        let (owner, usual_ms) = (slot.owner, slot.usual_ms);
        self.charge_end(owner, usual_ms, std::time::Duration::ZERO);
        self.wait(job);
        self.turn.out.push(Decision::JobMoved(job));
    }

    /// The job goes on without the phone, which may have begun it for all that is known: that attempt counts no longer,
    /// and its lease is given up.
    pub(crate) fn fence_next(&mut self, id: PhoneId) {
        let now = self.now;
        let Some(next) = self.phones[id].record.next.clone() else { return };
        if let Some(slot) = self.staged_job(id).and_then(|job| self.jobs.get_mut(job)) {
            let phone = &self.phones[id];
            std::sync::Arc::make_mut(&mut slot.record).attempts.push(AttemptRecord {
                phone: phone.udid().clone(),
                rack: phone.record.rack.clone(),
                lease: next.lease,
                leased_at: now,
                ended: Some(unreported(AttemptEnd::Revoked, now)),
            });
            self.touch_job(next.attempt.job);
            self.let_wait(id);
        }
        if let Some(Next { phase: phase @ NextPhase::Staged, .. }) = &mut self.phones[id].record.next {
            *phase = NextPhase::Withdrawing;
            let rack = self.phones[id].rack;
            self.racks[rack].unsure.insert(id);
        }
    }

    /// Nothing of what was staged is left on the phone: its job waits again, if it still belongs to it.
    pub(crate) fn forget_next(&mut self, id: PhoneId) {
        self.let_wait(id);
        let phone = &mut self.phones[id];
        if let Some(next) = phone.record.next.take() {
            phone.record.last_lease = phone.record.last_lease.max(next.lease);
        }
        self.ahead.is_one_left |= self.racks[phone.rack].unsure.remove(&id);
    }
}
