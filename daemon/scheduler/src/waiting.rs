//! Jobs that wait: which lane each is in, where it stands, and what changes that while it waits.

use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::requirement::Place as Whereabouts;
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::kinds::{KindId, KindKey};
use crate::lanes::{Fit, Lane, LaneId, LaneKey, Shut};
use crate::place::Place;
use crate::record::JobRecord;
use crate::scheduler::Scheduler;
use crate::shares::OwnerId;
use crate::timers::Timer;

/// A job that waits or runs, as the brain knows it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) record: Arc<JobRecord>,
    /// Where it stands among the jobs of other owners.
    pub(crate) share: u64,
    pub(crate) lane: LaneId,
    pub(crate) owner: OwnerId,
    /// How long an attempt usually takes, milliseconds.
    pub(crate) usual_ms: u64,
    /// The phone that is being taken from other work for it.
    pub(crate) summons: Option<usize>,
    /// How far its requirements have loosened.
    pub(crate) step: u8,
    pub(crate) is_waiting: bool,
    pub(crate) is_lifted: bool,
    /// It does not take every phone of the kinds that fit its lane.
    pub(crate) is_picky: bool,
    /// It has to be recorded at the end of the turn.
    pub(crate) is_touched: bool,
}

impl Scheduler {
    /// What is kept of a job. Its share is that of a newcomer.
    pub(crate) fn slot(&mut self, record: Arc<JobRecord>) -> Slot {
        let spec = &record.spec;
        let owner = self.shares.id(spec.owner.as_ref(), &self.policy);
        let usual_ms = u64::try_from(spec.usual_duration().as_millis()).unwrap_or(u64::MAX);
        let rank = self.ranks[spec.class as usize];
        let share = if spec.class == JobClass::Idle {
            // Least tested first: what is queued already will have been tested by the time this one's turn comes.
            let tested = self.tested.entry(spec.build.hash).or_insert(0);
            *tested += 1;
            u64::from(*tested - 1)
        } else {
            self.shares.stand(owner, rank, usual_ms)
        };
        Slot {
            record,
            share,
            lane: 0,
            owner,
            usual_ms,
            summons: None,
            step: 0,
            is_waiting: false,
            is_lifted: false,
            is_picky: false,
            is_touched: false,
        }
    }

    /// The place of a job in the order of service; none unless it waits.
    pub fn place(&self, id: JobId) -> Option<Place> {
        let slot = self.jobs.get(id).filter(|slot| slot.is_waiting)?;
        Some(self.lanes.list[slot.lane].counted(self.own_place(slot)))
    }

    /// The same without regard to its owner's quota.
    pub(crate) fn own_place(&self, slot: &Slot) -> Place {
        let JobRecord { id, spec, .. } = &*slot.record;
        if slot.is_lifted {
            return Place::lifted(*id);
        }
        Place::new(self.ranks[spec.class as usize], spec.priority, spec.start_by, slot.share, *id)
    }

    /// A job begins to wait.
    pub(crate) fn wait(&mut self, id: JobId) {
        let now = self.now;
        let Some(slot) = self.jobs.get(id) else { return };
        let spec = slot.record.spec.clone();
        let (submitted, waited) = (slot.record.submitted_at, now.since(slot.record.submitted_at));
        let is_picky = spec.compare.is_some() || slot.record.failed_elsewhere().next().is_some();
        let lift_after = self.rule(spec.class).lift_after;
        let (key, loosens_at) = self.lane_key(id, now);
        let lane = self.lane(key.clone());
        if let Some(slot) = self.jobs.get_mut(id) {
            slot.lane = lane;
            slot.step = u8::try_from(key.step).unwrap_or(u8::MAX);
            slot.is_waiting = true;
            slot.is_picky = is_picky;
            slot.is_lifted = lift_after.is_some_and(|after| after <= waited);
        }
        if let Some(place) = self.jobs.get(id).map(|slot| self.own_place(slot)) {
            self.lanes.insert(lane, place);
        }
        if is_picky {
            self.lanes.list[lane].picky += 1;
        }
        if let Some(name) = &spec.compare {
            self.compares.wait(name, id);
            self.timers.set(submitted.after(self.policy.compare_wait), Timer::Loosen(id));
        }
        if let Some(at) = spec.start_by {
            self.timers.set(at, Timer::Expire(id));
        }
        if let Some(at) = loosens_at {
            self.timers.set(at, Timer::Loosen(id));
        }
        self.turn.jobs.push(id);
    }

    /// A job waits no longer.
    pub(crate) fn leave(&mut self, id: JobId) {
        let Some(slot) = self.jobs.get(id).filter(|slot| slot.is_waiting) else { return };
        let (lane, place, is_picky) = (slot.lane, self.own_place(slot), slot.is_picky);
        if let Some(at) = slot.record.spec.start_by {
            self.timers.unset(at, Timer::Expire(id));
        }
        if let Some(name) = &slot.record.spec.compare {
            self.compares.leave(name, id);
        }
        self.lanes.remove(lane, place);
        if is_picky {
            self.lanes.list[lane].picky -= 1;
        }
        let summons = self.jobs.get_mut(id).and_then(|slot| {
            slot.is_waiting = false;
            slot.summons.take()
        });
        if let Some(phone) = summons {
            self.phones[phone].summoned = None;
        }
        self.ungather(id);
    }

    /// The lane that a job belongs to now, and when it will belong to another.
    fn lane_key(&mut self, id: JobId, now: Time) -> (LaneKey, Option<Time>) {
        let (record, owner) = match self.jobs.get(id) {
            Some(slot) => (slot.record.clone(), slot.owner),
            None => unreachable!("the caller has the job"),
        };
        let spec = &record.spec;
        let wants = self.lanes.wants(&spec.requirements);
        let steps = &self.lanes.wants[wants].steps;
        let reached = |after: &std::time::Duration| record.submitted_at.after(*after) <= now;
        let step = steps.iter().rposition(|(after, _)| reached(after)).unwrap_or(0);
        let next = steps.get(step + 1).map(|(after, _)| record.submitted_at.after(*after));
        let key = LaneKey {
            class: spec.class,
            wants,
            step,
            minimum_os: self.lanes.minimum_os(&spec.build),
            owner: self.shares.list[owner].is_apart.then_some(owner),
            phones: spec.phones,
        };
        (key, next)
    }

    /// The lane with this key; a new one is held against every kind of phone.
    pub(crate) fn lane(&mut self, key: LaneKey) -> LaneId {
        if let Some(id) = self.lanes.find(&key) {
            return id;
        }
        let term = self.lanes.term(&key);
        let known = self.kinds.facts();
        let (demand, is_new) = self.kinds.learn(&term);
        if is_new {
            self.look_closer(known);
        }
        let (owner, class) = (key.owner, key.class);
        let (id, before) = self.lanes.add(key, demand);
        self.gang_lanes.remove(&id);
        if self.lanes.list[id].key.phones > 1 {
            self.gang_lanes.insert(id);
        }
        if let Some(owner) = before.and_then(|before: Lane| before.key.owner) {
            self.shares.list[owner].lanes.remove(&id);
        }
        if let Some(owner) = owner {
            self.shares.list[owner].lanes.insert(id);
        }
        for kind in 0..self.kinds.list.len() {
            self.hold_against(id, kind);
        }
        self.judge_lane(id);
        let is_shut = self.windows.get(&class).is_some_and(|is_open| !is_open);
        self.lanes.list[id].shut.window = is_shut;
        self.lanes.note(id);
        id
    }

    /// Notes whether a kind of phones fits a lane.
    pub(crate) fn hold_against(&mut self, lane_id: LaneId, kind_id: KindId) {
        let kind = &self.kinds.list[kind_id];
        let lane = &self.lanes.list[lane_id];
        let fit = lane.fit(kind, &self.policy, self.owner_may(lane.key.owner, &kind.key));
        let (native, lent) = (fit == Fit::Native, fit == Fit::Lent);
        let kind = &mut self.kinds.list[kind_id];
        kind.native.put(lane_id, native);
        kind.lent.put(lane_id, lent);
        let lane = &mut self.lanes.list[lane_id];
        lane.native.put(kind_id, native);
        lane.lent.put(kind_id, lent);
    }

    /// Whether phones of a kind take jobs of an owner; those of owners that no rule names are all alike.
    pub(crate) fn owner_may(&self, owner: Option<OwnerId>, kind: &KindKey) -> bool {
        let owner = owner.and_then(|owner| self.shares.list[owner].owner.as_ref());
        let takes = |only: &[holdfast_wire::id::Owner]| {
            only.is_empty() || owner.is_some_and(|owner| only.contains(owner))
        };
        let pool = kind.pool.and_then(|pool| self.policy.pools.get(pool));
        pool.is_none_or(|pool| takes(&pool.only))
            && self.demands.iter().all(|(demand, only)| !demand.holds(&kind.facts) || takes(only))
    }

    /// Some facts have not been asked about before: phones that seemed alike may differ in them.
    fn look_closer(&mut self, known: usize) {
        for id in 0..self.phones.len() {
            let phone = &self.phones[id];
            let pool = self.policy.pool_of(&phone.record.rack, &phone.record.facts).map(|pool| &pool.name);
            let place = Whereabouts { facts: &phone.record.facts, rack: &phone.record.rack, pool };
            let truth = self.kinds.more_truth(&phone.truth, known, &place);
            if truth != phone.truth {
                self.phones[id].truth = truth;
                self.settle(id);
            }
        }
    }

    /// Notes what the rules of its owner and the number of phones say to a lane. Says whether it has been let through.
    pub(crate) fn judge_lane(&mut self, id: LaneId) -> bool {
        let lane = &self.lanes.list[id];
        let share = lane.key.owner.map(|owner| &self.shares.list[owner]);
        let owner = share.is_some_and(|share| share.is_full(lane.key.phones));
        let beyond_quota = share.is_some_and(crate::shares::Share::is_beyond_quota);
        let phones = lane.key.phones > 1 && self.working(id) < u32::from(lane.key.phones);
        let lane = &mut self.lanes.list[id];
        let (shut, quota) = (Shut { owner, phones, ..lane.shut }, lane.beyond_quota);
        if shut == lane.shut && quota == beyond_quota {
            return false;
        }
        let let_through = lane.shut.owner && !owner || lane.shut.phones && !phones || quota && !beyond_quota;
        (lane.shut, lane.beyond_quota) = (shut, beyond_quota);
        self.lanes.note(id);
        if quota != beyond_quota {
            let moved: Vec<JobId> = self.lanes.list[id].jobs.iter().map(|place| place.job()).collect();
            self.turn.out.extend(moved.into_iter().map(Decision::JobMoved));
        }
        let_through
    }

    /// Phones that work and fit a lane.
    pub(crate) fn working(&self, id: LaneId) -> u32 {
        let lane = &self.lanes.list[id];
        lane.native.iter().chain(lane.lent.iter()).map(|kind| self.kinds.list[kind].working).sum()
    }

    /// Takes a job out of its lane and puts it where it belongs now.
    pub(crate) fn move_job(&mut self, id: JobId) {
        let summons = self.jobs.get(id).and_then(|slot| slot.summons);
        self.leave(id);
        self.wait(id);
        if let (Some(phone), Some(slot)) = (summons, self.jobs.get_mut(id)) {
            slot.summons = Some(phone);
            self.phones[phone].summoned = Some(id);
        }
        self.turn.out.push(Decision::JobMoved(id));
    }

    /// Jobs of a class in the order of their age: the oldest are lifted first.
    pub(crate) fn note_age(&mut self, class: JobClass, submitted: Time, id: JobId) {
        let Some(after) = self.rule(class).lift_after else { return };
        let ages = self.ages.entry(class).or_default();
        if ages.is_empty() {
            self.timers.set(submitted.after(after), Timer::Lift(class));
        }
        ages.push_back((submitted, id));
    }

    /// Lifts the jobs of a class that have waited too long.
    pub(crate) fn lift(&mut self, class: JobClass) {
        let Some(after) = self.rule(class).lift_after else { return };
        let mut due = Vec::new();
        let ages: &mut VecDeque<(Time, JobId)> = self.ages.entry(class).or_default();
        while let Some((submitted, id)) = ages.front().copied() {
            if submitted.after(after) > self.now {
                self.timers.set(submitted.after(after), Timer::Lift(class));
                break;
            }
            ages.pop_front();
            due.push(id);
        }
        for id in due {
            // One that runs is lifted when it waits again.
            if self.jobs.get(id).is_some_and(|slot| slot.is_waiting && !slot.is_lifted) {
                self.move_job(id);
            }
        }
    }

    /// A job's requirements may have loosened, or it need no longer wait for one phone.
    pub(crate) fn loosen(&mut self, id: JobId) {
        if self.jobs.get(id).is_some_and(|slot| slot.is_waiting) {
            self.move_job(id);
        }
    }
}
