//! Taking phones from lesser work: a job for which no phone is free asks for one on which idle work runs, or for one of
//! its own pool that is lent out. The cheapest is asked: the lowest class, interrupted least so far, begun last.

use holdfast_wire::id::JobId;
use holdfast_wire::sync::YieldWhen;

use crate::fleet::Touch;
use crate::kinds::{PhoneId, VictimKey};
use crate::lanes::LaneId;
use crate::record::HoldPhase;
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Asks for a phone for a waiting job, unless one is on its way to it already.
    pub(crate) fn summon(&mut self, job: JobId) {
        if !self.kinds.with_victims.is_empty() {
            self.summon_victim(job);
        }
        if !self.ahead.staged.is_empty() {
            self.outbid(job);
        }
    }

    fn summon_victim(&mut self, job: JobId) {
        let Some(slot) = self.jobs.get(job).filter(|slot| slot.is_waiting) else { return };
        if let Some(coming) = slot.summons {
            if self.accepts(slot, coming) {
                return;
            }
            // It waits for another phone by now.
            self.phones[coming].summoned = None;
            if let Some(slot) = self.jobs.get_mut(job) {
                slot.summons = None;
            }
        }
        let Some(slot) = self.jobs.get(job) else { return };
        // What may not begin, or is below everything, breaks nothing off; and a job of several phones gathers what comes
        // free.
        if self.standing(slot) != Some(self.own_place(slot)) || slot.record.spec.phones > 1 {
            return;
        }
        if let Some((phone, when)) = self.victim_for(job) {
            self.tell_to_yield(phone, when);
            // Whoever it was coming to looks for another.
            self.lose_summons(phone);
            self.phones[phone].summoned = Some(job);
            if let Some(slot) = self.jobs.get_mut(job) {
                slot.summons = Some(phone);
            }
        }
    }

    /// Whoever had a phone summoned does not get it, and looks for another.
    pub(crate) fn lose_summons(&mut self, phone: PhoneId) {
        if let Some(job) = self.phones[phone].summoned.take()
            && let Some(slot) = self.jobs.get_mut(job)
        {
            slot.summons = None;
            self.turn.jobs.push(job);
        }
    }

    /// The same for the jobs of a lane that has been let through, first come first served.
    pub(crate) fn summon_for_lane(&mut self, lane: LaneId) {
        if self.kinds.with_victims.is_empty() && self.ahead.staged.is_empty() {
            return;
        }
        let parts: Vec<_> = self.lanes.list[lane].parts.iter().map(|part| part.owner).collect();
        for part in parts {
            let jobs = self.lanes.list[lane].parts.of(part).into_iter().flatten();
            let jobs: Vec<JobId> = jobs.map(|place| place.job()).collect();
            for job in jobs {
                self.summon(job);
                let in_vain = self.jobs.get(job);
                let in_vain =
                    in_vain.is_some_and(|slot| slot.is_waiting && slot.summons.is_none() && !slot.is_picky);
                if in_vain {
                    break;
                }
            }
        }
    }

    /// The phone whose work is broken off at the least cost for this job, and how soon.
    pub(crate) fn victim_for(&self, job: JobId) -> Option<(PhoneId, YieldWhen)> {
        let slot = self.jobs.get(job)?;
        let lane = &self.lanes.list[slot.lane];
        let rule = self.rule(lane.key.class);
        let takes = |key: &&VictimKey| self.accepts(slot, key.3);
        let kinds = || lane.native.both(&self.kinds.with_victims).map(|kind| &self.kinds.list[kind]);
        let lent_out = kinds().filter_map(|kind| kind.lent_out.iter().find(takes)).min();
        if let Some(key) = lent_out {
            return Some((key.3, YieldWhen::AtOnce));
        }
        let when = rule.takes.filter(|_| !rule.preemptible)?;
        let rank = self.ranks[lane.key.class as usize];
        let victims =
            kinds().filter_map(|kind| kind.victims.iter().filter(|key| key.0.0 > rank).find(takes)).min();
        if let Some(key) = victims {
            return Some((key.3, when));
        }
        // What gives way after its case does so at once for the most urgent.
        let mut yielding = kinds().flat_map(|kind| kind.yielding.iter().copied());
        let hurried = yielding.find(|phone| when == YieldWhen::AtOnce && self.may_hurry(*phone, rank));
        hurried.filter(|phone| self.accepts(slot, *phone)).map(|phone| (phone, when))
    }

    /// Whether the phone gives way to a job of a worse rank, or to none.
    fn may_hurry(&self, phone: PhoneId, rank: u8) -> bool {
        let summoner = self.phones[phone].summoned.and_then(|job| self.jobs.get(job));
        summoner.is_none_or(|slot| self.ranks[slot.record.spec.class as usize] > rank)
    }

    /// Orders the work on a phone to give way.
    pub(crate) fn tell_to_yield(&mut self, phone: PhoneId, when: YieldWhen) {
        let now = self.now;
        let within = self.policy.yield_within;
        self.take_back(phone);
        let seat = &mut self.phones[phone];
        let Some(hold) = &mut seat.record.hold else { return };
        let deadline = match hold.phase {
            HoldPhase::Active { deadline } | HoldPhase::Yielding { deadline, .. } => deadline,
            HoldPhase::Releasing => return,
        };
        let deadline = match when {
            YieldWhen::CaseDone => deadline,
            YieldWhen::AtOnce => deadline.min(now.after(within)),
        };
        hold.phase = HoldPhase::Yielding { deadline, when };
        self.changed(phone, Touch::Ordered);
    }

    /// The window of a class has closed: what runs of it ends with the case that runs.
    pub(crate) fn close_window(&mut self, class: holdfast_wire::job::JobClass) {
        self.take_back_where(|slot| slot.record.spec.class == class);
        let runs = |phone: &PhoneId| {
            let Some(hold) = self.phones[*phone].counting() else { return false };
            matches!(hold.phase, HoldPhase::Active { .. })
                && self.jobs.get(hold.attempt.job).is_some_and(|slot| slot.record.spec.class == class)
        };
        let phones: Vec<PhoneId> = (0..self.phones.len()).filter(runs).collect();
        for phone in phones {
            self.tell_to_yield(phone, YieldWhen::CaseDone);
        }
    }
}
