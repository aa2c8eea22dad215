//! Jobs that wait: which lane each is in, where it stands, and what changes that while it waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::requirement::Place as Whereabouts;
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::kinds::{KindId, KindKey};
use crate::lanes::{Fit, Lane, LaneId, LaneKey, Shut};
use crate::pace::PaceId;
use crate::place::Place;
use crate::record::JobRecord;
use crate::scheduler::Scheduler;
use crate::shares::OwnerId;
use crate::timers::Timer;

/// Jobs that are lifted in one turn, at most: when a great many were submitted in the same moment, nobody else has to
/// wait for all of them.
const LIFTS_MAX: usize = 1_000;

/// When the next ones are lifted.
const NEXT_LIFTS: Duration = Duration::from_millis(1);

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
    /// The phone of its attempt, of the first when there are several; the one that it is staged on.
    pub(crate) seat: usize,
    /// How long attempts of its cases take.
    pub(crate) pace: PaceId,
    pub(crate) is_waiting: bool,
    /// It belongs to a phone that is to begin it next.
    pub(crate) is_staged: bool,
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
        let longest = &mut self.shares.list[owner].longest_ms;
        *longest = usual_ms.max(*longest);
        let rank = self.ranks[spec.class as usize];
        let pace = self.paces.id(&spec.cases);
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
            seat: usize::MAX,
            pace,
            is_waiting: false,
            is_staged: false,
            is_lifted: false,
            is_picky: false,
            is_touched: false,
        }
    }

    /// The place of a job in the order of service; none unless it waits or is staged. That its owner may be beyond its
    /// quota is not in it.
    pub fn place(&self, id: JobId) -> Option<Place> {
        self.jobs.get(id).filter(|slot| slot.is_waiting || slot.is_staged).map(|slot| self.own_place(slot))
    }

    /// Where a waiting job stands now; none when its lane is shut or its owner may not begin any.
    pub(crate) fn standing(&self, slot: &Slot) -> Option<Place> {
        let lane = &self.lanes.list[slot.lane];
        if lane.shut != Shut::default() {
            return None;
        }
        self.standing_of(self.part(slot), lane, self.own_place(slot))
    }

    /// Where a job of this part of a lane stands now.
    pub(crate) fn standing_of(&self, part: Option<OwnerId>, lane: &Lane, place: Place) -> Option<Place> {
        part.map_or(Some(place), |owner| self.shares.list[owner].standing(lane.key.phones, place))
    }

    /// Where a waiting job counts among the others: as it stands, or would if it might begin.
    pub(crate) fn counted(&self, slot: &Slot) -> Place {
        self.standing(slot).unwrap_or_else(|| self.own_place(slot))
    }

    /// Jobs of a lane that go before a place, counted up to a limit.
    pub(crate) fn before(&self, lane: &Lane, place: Place, most: usize) -> usize {
        let parts = lane.parts.iter().flat_map(|part| {
            let standing = move |other: &&Place| self.standing_of(part.owner, lane, **other);
            part.jobs.iter().take_while(move |other| standing(other).is_some_and(|other| other < place))
        });
        parts.take(most).count()
    }

    /// The part of its lane in which a job stands.
    pub(crate) fn part(&self, slot: &Slot) -> Option<OwnerId> {
        self.shares.list[slot.owner].is_limited.then_some(slot.owner)
    }

    /// The place of a job that waits or is about to.
    pub(crate) fn own_place(&self, slot: &Slot) -> Place {
        if slot.is_lifted { Place::lifted(slot.record.id) } else { self.unlifted_place(slot) }
    }

    fn unlifted_place(&self, slot: &Slot) -> Place {
        let JobRecord { id, spec, .. } = &*slot.record;
        Place::new(self.ranks[spec.class as usize], spec.priority, spec.start_by, slot.share, *id)
    }

    /// A job begins to wait.
    pub(crate) fn wait(&mut self, id: JobId) {
        let now = self.now;
        let Some(slot) = self.jobs.get(id) else { return };
        let record = slot.record.clone();
        let spec = &record.spec;
        let is_picky = spec.compare.is_some() || record.failed_elsewhere().next().is_some();
        let lift_after = self.lift_after(spec.class);
        let (key, loosens_at) = self.lane_key(&record, slot.owner, now);
        let lane = self.lane(key);
        if let Some(slot) = self.jobs.get_mut(id) {
            slot.lane = lane;
            (slot.is_waiting, slot.is_picky) = (true, is_picky);
            slot.is_lifted = lift_after.is_some_and(|after| after <= now.since(record.submitted_at));
        }
        if let Some(slot) = self.jobs.get(id) {
            let (place, part) = (self.own_place(slot), self.part(slot));
            self.lanes.insert(lane, part, place);
            if let Some(owner) = part {
                self.shares.list[owner].waiting.insert(place);
            }
        }
        if is_picky {
            self.lanes.list[lane].picky += 1;
            self.picky.insert(id);
        }
        if let Some(name) = &spec.compare {
            for forgotten in self.compares.wait(name, id) {
                self.turn.out.push(Decision::ForgetCompare(forgotten));
            }
            let waits_until = record.submitted_at.after(self.policy.compare_wait);
            // One that has waited long enough must not be looked at for ever in the same instant.
            if waits_until > now {
                self.timers.set(waits_until, Timer::Loosen(id));
            }
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
        let (part, is_gang) = (self.part(slot), slot.record.spec.phones > 1);
        if let Some(at) = slot.record.spec.start_by {
            self.timers.unset(at, Timer::Expire(id));
        }
        if let Some(name) = &slot.record.spec.compare {
            self.compares.leave(name, id);
        }
        self.lanes.remove(lane, part, place);
        if let Some(owner) = part {
            self.shares.list[owner].waiting.remove(&place);
        }
        if is_picky {
            self.lanes.list[lane].picky -= 1;
            self.picky.remove(&id);
        }
        let summons = self.jobs.get_mut(id).and_then(|slot| {
            slot.is_waiting = false;
            slot.summons.take()
        });
        if let Some(phone) = summons {
            self.phones[phone].summoned = None;
        }
        if is_gang {
            self.ungather(id);
        }
    }

    /// The lane that a job belongs to now, and when it will belong to another.
    fn lane_key(&mut self, record: &JobRecord, owner: OwnerId, now: Time) -> (LaneKey, Option<Time>) {
        let spec = &record.spec;
        let wants = self.lanes.wants(&spec.requirements);
        let steps = &self.lanes.wants[wants].steps;
        let reached = |after: &Duration| record.submitted_at.after(*after) <= now;
        let step = steps.iter().rposition(|(after, _)| reached(after)).unwrap_or(0);
        let next = steps.get(step + 1).map(|(after, _)| record.submitted_at.after(*after));
        let key = LaneKey {
            class: spec.class,
            wants,
            step,
            minimum_os: self.lanes.minimum_os(&spec.build),
            owner: self.shares.list[owner].is_named.then_some(owner),
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
        let (class, phones) = (key.class, key.phones);
        let id = self.lanes.add(key, demand);
        self.gang_lanes.remove(&id);
        if phones > 1 {
            self.gang_lanes.insert(id);
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
        let pool = self.pool(kind.pool);
        pool.is_none_or(|pool| takes(&pool.only))
            && self.demands.iter().all(|(demand, only)| !demand.holds(&kind.facts) || takes(only))
    }

    /// Some facts have not been asked about before: phones that seemed alike may differ in them.
    fn look_closer(&mut self, known: usize) {
        for id in 0..self.phones.len() {
            let phone = &self.phones[id];
            let pool = self.pool(phone.pool).map(|pool| &pool.name);
            let place = Whereabouts { facts: &phone.record.facts, rack: &phone.record.rack, pool };
            let truth = self.kinds.more_truth(&phone.truth, known, &place);
            if truth != phone.truth {
                (self.phones[id].truth, self.phones[id].is_sorted) = (truth, false);
                self.settle(id);
            }
        }
    }

    /// Notes whether there are as many phones as each job of a lane needs. Says whether there are now, and were not.
    pub(crate) fn judge_lane(&mut self, id: LaneId) -> bool {
        let lane = &self.lanes.list[id];
        let few = lane.key.phones > 1 && self.working(id) < u32::from(lane.key.phones);
        let lane = &mut self.lanes.list[id];
        let let_through = lane.shut.phones && !few;
        if lane.shut.phones != few {
            lane.shut.phones = few;
            self.lanes.note(id);
        }
        let_through
    }

    /// Phones that work and fit a lane.
    pub(crate) fn working(&self, id: LaneId) -> u32 {
        let lane = &self.lanes.list[id];
        lane.kinds().map(|kind| self.kinds.list[kind].working).sum()
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

    /// How long a job of a class waits before it is lifted. A strict class has no better place to be lifted to.
    fn lift_after(&self, class: JobClass) -> Option<Duration> {
        let rule = self.rule(class);
        rule.lift_after.filter(|_| !rule.strict)
    }

    /// Jobs of a class in the order of their age: the oldest are lifted first.
    pub(crate) fn note_age(&mut self, class: JobClass, submitted: Time, id: JobId) {
        let Some(after) = self.lift_after(class) else { return };
        let ages = self.ages.entry(class).or_default();
        // Nearly always the youngest; a daemon that starts after its clock was set back sees younger jobs as older ones.
        let is_youngest = ages.back().is_none_or(|last| *last <= (submitted, id));
        let place =
            if is_youngest { ages.len() } else { ages.partition_point(|known| *known <= (submitted, id)) };
        if place == 0 {
            self.timers.set(submitted.after(after), Timer::Lift(class));
        }
        ages.insert(place, (submitted, id));
    }

    /// Lifts the jobs of a class that have waited too long.
    pub(crate) fn lift(&mut self, class: JobClass) {
        let Some(after) = self.lift_after(class) else { return };
        let mut due = Vec::new();
        let ages: &mut VecDeque<(Time, JobId)> = self.ages.entry(class).or_default();
        while let Some((submitted, id)) = ages.front().copied() {
            if due.len() == LIFTS_MAX {
                self.timers.set(self.now.after(NEXT_LIFTS), Timer::Lift(class));
                break;
            }
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
                self.lift_job(id);
            }
        }
    }

    /// Moves a waiting job to the front of its lane: nothing else of it changes.
    fn lift_job(&mut self, id: JobId) {
        let Some(slot) = self.jobs.get_mut(id) else { return };
        slot.is_lifted = true;
        let (lane, owner) = (slot.lane, slot.owner);
        let Some(slot) = self.jobs.get(id) else { return };
        let (part, lifted) = (self.part(slot), self.own_place(slot));
        let before = self.unlifted_place(slot);
        self.lanes.remove(lane, part, before);
        self.lanes.insert(lane, part, lifted);
        if part.is_some() {
            let waiting = &mut self.shares.list[owner].waiting;
            waiting.remove(&before);
            waiting.insert(lifted);
        }
        self.turn.jobs.push(id);
        self.turn.out.push(Decision::JobMoved(id));
    }

    /// A job's requirements may have loosened, or it need no longer wait for one phone.
    pub(crate) fn loosen(&mut self, id: JobId) {
        if self.jobs.get(id).is_some_and(|slot| slot.is_waiting) {
            self.move_job(id);
        }
    }
}
