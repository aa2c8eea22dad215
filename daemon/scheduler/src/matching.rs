//! Which job goes to which phone: the first job in the order of service for which a fitting phone is free. Giving the
//! phone away is not here (`lease`), nor is taking one from other work (`preempt`).

use std::collections::BTreeSet;

use holdfast_wire::id::JobId;
use holdfast_wire::outcome::Blame;

use crate::bits::Bits;
use crate::kinds::PhoneId;
use crate::lanes::{Lane, LaneId};
use crate::parts::Part;
use crate::place::Place;
use crate::scheduler::Scheduler;
use crate::shares::OwnerId;
use crate::waiting::Slot;

/// Phones with the job's build that are looked at before any free phone will do.
const SAME_BUILD_LOOKS: usize = 16;

/// Jobs behind the first that are looked at for one of the build that is on the phone already.
const BATCH_LOOKS: usize = 3;

/// Waiting jobs of an owner with room for another that are looked at to take a phone from lesser work.
const OWNER_LOOKS: usize = 32;

/// Failures through the fault of phones of one rack after which the whole rack is avoided.
const RACK_FAILURES: usize = 2;

/// Who may have lesser work give way, once no more free phones can be given away.
#[derive(Debug, Default)]
struct Asking {
    jobs: Vec<JobId>,
    lanes: Vec<LaneId>,
    owners: Vec<OwnerId>,
}

impl Scheduler {
    /// Gives leases until no waiting job fits a free phone, and asks for phones that lesser work holds.
    pub(crate) fn dispatch(&mut self) {
        let mut asking = Asking::default();
        loop {
            self.ungather_barred();
            let phones = std::mem::take(&mut self.turn.phones);
            let mut jobs = std::mem::take(&mut self.turn.jobs);
            let lanes = std::mem::take(&mut self.turn.lanes);
            let owners = std::mem::take(&mut self.turn.owners);
            for phone in &phones {
                self.phones[*phone].is_fresh = false;
            }
            self.note_freed(&phones);
            if std::mem::take(&mut self.turn.recheck)
                && (self.has_free() || !self.kinds.with_victims.is_empty())
            {
                // Who kept away from some phones may have to make do with them.
                jobs.extend(self.picky.iter());
            }
            if phones.is_empty() && jobs.is_empty() && lanes.is_empty() && owners.is_empty() {
                // Whoever could be given a free phone has one. What is kept for a job of several may be borrowed by whoever
                // goes before it, now that no job is left whose pool it is; what is still wanted is asked of others.
                if !self.gangs.is_empty() {
                    self.match_all();
                }
                self.seat_gangs_beyond_quota();
                if self.turn.is_settled() && !self.ask(std::mem::take(&mut asking)) {
                    return;
                }
                continue;
            }
            // A job that begins to wait must not lose its owner's room, or phones that a job of several behind it takes too,
            // to one that goes behind it and takes a phone which it does not take itself.
            let grants = phones.len() + jobs.len();
            let has_rivals = |job: &JobId| {
                self.gang_lanes.iter().any(|lane| self.lanes.live.has(*lane))
                    || self.jobs.get(*job).is_some_and(|slot| self.shares.list[slot.owner].is_tight(grants))
            };
            let something_comes = !phones.is_empty() || !jobs.is_empty();
            // And of several owners who may begin a job from now on, the first of all their jobs has the choice.
            let rivals = (something_comes && !owners.is_empty())
                || owners.len() > 1
                || (!phones.is_empty() && jobs.iter().any(has_rivals));
            if phones.len() > 1 || !lanes.is_empty() || rivals {
                if self.has_free() {
                    self.match_all();
                }
            } else {
                if let Some(phone) = phones.first() {
                    self.serve(*phone, &jobs);
                }
                self.seat_all(&mut jobs);
            }
            for owner in owners {
                // What a job of several phones has let go of goes to whoever is first, not to this owner.
                if self.ungather_barred() || !self.turn.phones.is_empty() {
                    self.turn.owners.push(owner);
                } else {
                    self.let_through(owner);
                    asking.owners.push(owner);
                }
            }
            if !self.kinds.with_victims.is_empty() || !self.ahead.staged.is_empty() {
                if asking.jobs.is_empty() {
                    std::mem::swap(&mut asking.jobs, &mut jobs);
                } else {
                    asking.jobs.append(&mut jobs);
                }
                asking.lanes.extend(lanes);
            }
            use_again(&mut self.turn.phones, phones);
            use_again(&mut self.turn.jobs, jobs);
        }
    }

    /// Lets those who found no free phone ask for one on which lesser work runs. Says whether there was anybody.
    fn ask(&mut self, asking: Asking) -> bool {
        let Asking { jobs, lanes, owners } = asking;
        if jobs.is_empty() && lanes.is_empty() && owners.is_empty() {
            return false;
        }
        for owner in owners {
            self.summon_for_owner(owner);
        }
        for job in &jobs {
            self.summon(*job);
        }
        for lane in lanes {
            self.summon_for_lane(lane);
        }
        use_again(&mut self.turn.jobs, jobs);
        true
    }

    /// Whether any phone is free, or kept for a job of several phones.
    fn has_free(&self) -> bool {
        !self.kinds.with_free.is_empty() || !self.gangs.is_empty()
    }

    fn seat_all(&mut self, jobs: &mut Vec<JobId>) {
        if jobs.len() > 1 {
            // Who is beyond its quota stands behind all others here, whatever its place in the queue.
            let standing = |job: &JobId| {
                let slot = self.jobs.get(*job).filter(|slot| slot.is_waiting);
                slot.and_then(|slot| self.standing(slot)).unwrap_or(Place::LAST)
            };
            jobs.sort_unstable_by_key(standing);
        }
        let mut left = usize::MAX;
        loop {
            for at in 0..jobs.len() {
                if !self.has_free() {
                    return;
                }
                self.seat(jobs[at]);
                if self.ungather_barred() {
                    // What it has let go of goes to whoever is first, not to the first of these.
                    self.turn.jobs.append(jobs);
                    return;
                }
            }
            // Whoever leaves a phone of its own pool makes it free to be lent.
            let waiting = jobs.iter().filter(|job| self.jobs.get(**job).is_some_and(|slot| slot.is_waiting));
            let waiting = waiting.count();
            if waiting == 0 || waiting >= left.min(jobs.len()) {
                return;
            }
            left = waiting;
        }
    }

    /// An owner that was at its limit may begin another job on a free phone.
    fn let_through(&mut self, owner: OwnerId) {
        let mut passed: BTreeSet<JobId> = BTreeSet::new();
        while let Some(job) = self.first_of_owner(owner, &passed) {
            passed.insert(job);
            self.seat(job);
        }
    }

    /// An owner that was at its limit may have lesser work give way to its first jobs.
    fn summon_for_owner(&mut self, owner: OwnerId) {
        if self.kinds.with_victims.is_empty() && self.ahead.staged.is_empty() {
            return;
        }
        let first: Vec<JobId> =
            self.shares.list[owner].waiting.iter().take(OWNER_LOOKS).map(|place| place.job()).collect();
        for job in first {
            self.summon(job);
        }
    }

    /// The first job of an owner for which a phone is free, of those that have not been passed over.
    fn first_of_owner(&self, owner: OwnerId, passed: &BTreeSet<JobId>) -> Option<JobId> {
        if !self.gangs.is_empty() {
            // Phones that are kept for a job which goes behind count too, and are not noted as free.
            let mut first = self.shares.list[owner].waiting.iter().take(OWNER_LOOKS);
            let seated = first.find(|place| {
                !passed.contains(&place.job()) && {
                    let slot = self.jobs.get(place.job());
                    slot.is_some_and(|slot| self.standing(slot).is_some() && self.choose(slot).is_some())
                }
            });
            return seated.map(|place| place.job());
        }
        let mut best = Place::LAST;
        for kind in self.kinds.with_free.iter() {
            let kind = &self.kinds.list[kind];
            for lane in kind.native.both(&self.lanes.live).chain(kind.lent.both(&self.lanes.live)) {
                let lane = &self.lanes.list[lane];
                let limit = best;
                let jobs = lane.parts.of(Some(owner)).into_iter().flatten();
                for place in jobs.take_while(|place| **place < limit) {
                    if passed.contains(&place.job()) {
                        continue;
                    }
                    let Some(slot) = self.jobs.get(place.job()) else { continue };
                    if self.standing(slot).is_some() && self.choose(slot).is_some() {
                        best = *place;
                        break;
                    }
                    // Whoever comes behind takes the same phones or fewer.
                    if !slot.is_picky {
                        break;
                    }
                }
            }
        }
        (best != Place::LAST).then(|| best.job())
    }

    /// Gives a free phone to the first job that takes it.
    fn serve(&mut self, phone: PhoneId, fresh: &[JobId]) {
        while self.phones[phone].noted.free.is_some() {
            let kind = &self.kinds.list[self.phones[phone].kind];
            let first = self.first_of(phone, &kind.native);
            let Some((lane, place)) = first.or_else(|| self.first_of(phone, &kind.lent)) else { return };
            if self.lanes.list[lane].key.phones > 1 {
                self.seat_gang(place.job());
            } else {
                let job = self.preferred(phone, lane, place);
                // One that has only begun to wait has not looked at the other free phones yet.
                let slot = self.jobs.get(job).filter(|_| fresh.contains(&job));
                let best = slot.and_then(|slot| self.choose(slot)).unwrap_or(phone);
                self.grant(job, &[best]);
            }
        }
    }

    /// The first job of these lanes that takes the phone.
    pub(crate) fn first_of(&self, phone: PhoneId, lanes: &Bits) -> Option<(LaneId, Place)> {
        let mut best: Option<(Place, LaneId, Place)> = None;
        let mut looked_at: Option<(Place, LaneId)> = None;
        // No job of a lane stands before its head. So lanes are looked into by their heads, and most often one is enough.
        loop {
            let heads = lanes.both(&self.lanes.live).map(|lane| (self.lanes.heads[lane], lane));
            let Some((head, lane)) = heads.filter(|head| Some(*head) > looked_at).min() else { break };
            if best.is_some_and(|(standing, ..)| standing <= head) {
                break;
            }
            if let Some((standing, place)) = self.first_taker(lane, phone) {
                if standing == head {
                    return Some((lane, place));
                }
                if best.is_none_or(|(least, ..)| standing < least) {
                    best = Some((standing, lane, place));
                }
            }
            looked_at = Some((head, lane));
        }
        best.map(|(_, lane, place)| (lane, place))
    }

    /// The first job of a lane that takes this phone: where it stands, and its place.
    pub(crate) fn first_taker(&self, lane: LaneId, phone: PhoneId) -> Option<(Place, Place)> {
        let lane = &self.lanes.list[lane];
        if lane.key.phones > 1 {
            let takes = |place: &&Place| {
                let slot = self.jobs.get(place.job());
                slot.is_some_and(|slot| self.accepts(slot, phone) && self.uses_one(lane, slot))
            };
            let firsts = lane.parts.iter().filter_map(|part| {
                // Nothing is kept for those beyond their owner's quota: either the first few of them begin, or none.
                let is_within = self.standing_of(part.owner, lane, part.first)? == part.first;
                let looks = if is_within { usize::MAX } else { OWNER_LOOKS };
                let place = part.jobs.iter().take(looks).find(takes)?;
                Some((self.standing_of(part.owner, lane, *place)?, *place))
            });
            return firsts.min();
        }
        if lane.picky == 0 {
            let first = |part: &Part| Some((self.standing_of(part.owner, lane, part.first)?, part.first));
            return lane.parts.iter().filter_map(first).min();
        }
        let takes = |place: &&Place| self.jobs.get(place.job()).is_some_and(|slot| self.accepts(slot, phone));
        let firsts = lane.parts.iter().filter_map(|part| {
            let place = part.jobs.iter().find(takes)?;
            Some((self.standing_of(part.owner, lane, *place)?, *place))
        });
        firsts.min()
    }

    /// The job itself, or one as urgent that goes better with this phone: of the other build of its comparison, or of
    /// the build that is on the phone already.
    pub(crate) fn preferred(&self, phone: PhoneId, lane: LaneId, first: Place) -> JobId {
        let job = first.job();
        let Some(slot) = self.jobs.get(job) else { return job };
        if slot.is_lifted {
            // It has waited long enough.
            return job;
        }
        if let Some(name) = &slot.record.spec.compare {
            return self.other_build(phone, name, slot).unwrap_or(job);
        }
        let seat = &self.phones[phone];
        let Some(build) = seat.record.last_build else { return job };
        if build == slot.record.spec.build.hash || seat.batch >= self.policy.batch_max {
            return job;
        }
        let own = self.own_place(slot);
        let jobs = self.lanes.list[lane].parts.of(self.part(slot));
        let behind = jobs.into_iter().flat_map(|jobs| jobs.range(own..)).skip(1).take(BATCH_LOOKS);
        let mut behind = behind.filter(|place| place.is_as_urgent_as(own)).map(|place| place.job());
        let same = behind.find(|job| {
            self.jobs.get(*job).is_some_and(|slot| {
                slot.record.spec.build.hash == build
                    && slot.record.spec.compare.is_none()
                    && self.accepts(slot, phone)
            })
        });
        same.unwrap_or(job)
    }

    /// Looks for a phone for a job that has just begun to wait: what waits longer has found none of them to fit.
    fn seat(&mut self, job: JobId) {
        let Some(slot) = self.jobs.get(job).filter(|slot| slot.is_waiting) else { return };
        if self.standing(slot).is_none() {
            return;
        }
        if slot.record.spec.phones > 1 {
            self.seat_gang(job);
        } else if let Some(phone) = self.choose(slot) {
            self.grant(job, &[phone]);
        }
    }

    /// The same for all jobs and phones: the first job in the order of service takes the phone that others want least.
    fn match_all(&mut self) {
        let open = self.open_lanes();
        let mut passed: BTreeSet<JobId> = BTreeSet::new();
        loop {
            let mut best: Option<(Place, PhoneId)> = None;
            for lane in open.both(&self.lanes.live) {
                let limit = best.map_or(Place::LAST, |(place, _)| place);
                if self.lanes.heads[lane] < limit
                    && let Some(found) = self.first_seated(lane, limit, &passed)
                {
                    best = Some(found);
                }
            }
            let Some((standing, phone)) = best else { return };
            let job = standing.job();
            if self.jobs.get(job).is_some_and(|slot| slot.record.spec.phones > 1) {
                passed.insert(job);
                self.seat_gang(job);
            } else {
                self.grant(job, &[phone]);
            }
            self.ungather_barred();
        }
    }

    /// Whether a phone of a kind that fits the lane is there for it: what is only lent is left to those whose pool it
    /// is, also while it is kept for one of them that would not take it any more.
    pub(crate) fn is_open(&self, lane: &Lane, phone: PhoneId) -> bool {
        let kind = self.phones[phone].kind;
        let keeper = || self.phones[phone].gathered.and_then(|job| self.jobs.get(job));
        let is_kept = || keeper().is_some_and(|slot| self.lanes.list[slot.lane].native.has(kind));
        lane.native.has(kind) || (!is_kept() && self.first_of(phone, &self.kinds.list[kind].native).is_none())
    }

    /// Lanes that some free phone fits, or one that is kept for a job of several.
    fn open_lanes(&self) -> Bits {
        let kept = self.gangs.values().flatten().map(|phone| self.phones[*phone].kind);
        let mut open = Bits::default();
        for kind in self.kinds.with_free.iter().chain(kept) {
            let kind = &self.kinds.list[kind];
            kind.native.both(&self.lanes.live).for_each(|lane| open.set(lane));
            kind.lent.both(&self.lanes.live).for_each(|lane| open.set(lane));
        }
        open
    }

    /// The first job of a lane for which a phone is free, before a limit.
    fn first_seated(
        &self,
        lane_id: LaneId,
        limit: Place,
        passed: &BTreeSet<JobId>,
    ) -> Option<(Place, PhoneId)> {
        let lane = &self.lanes.list[lane_id];
        let mut best: Option<(Place, PhoneId)> = None;
        for part in lane.parts.iter() {
            for place in &part.jobs {
                let Some(standing) = self.standing_of(part.owner, lane, *place) else { break };
                if standing >= best.map_or(limit, |(least, _)| least) {
                    break;
                }
                let Some(slot) = self.jobs.get(place.job()) else { continue };
                if passed.contains(&place.job()) {
                    continue;
                }
                if let Some(phone) = self.choose(slot) {
                    best = Some((standing, phone));
                    break;
                }
                // Whoever comes behind takes the same phones or fewer.
                if !slot.is_picky {
                    break;
                }
            }
        }
        best
    }

    /// The free phone that suits a waiting job best: that of its comparison, then one that has its build, then one of
    /// the kind that others want least, and of these the one that has worked least.
    pub(crate) fn choose(&self, slot: &Slot) -> Option<PhoneId> {
        let lane = &self.lanes.list[slot.lane];
        if let Some(keys) = self.free_builds.get(&slot.record.spec.build.hash) {
            let mut same = keys.iter().take(SAME_BUILD_LOOKS).map(|(_, _, phone)| *phone);
            let fits = |phone: &PhoneId| {
                lane.native.has(self.phones[*phone].kind)
                    && self.accepts(slot, *phone)
                    && self.phones[*phone].batch < self.policy.batch_max
            };
            if let Some(phone) = same.find(fits) {
                return Some(phone);
            }
        }
        let found = self.choose_of(slot, &lane.native).or_else(|| self.choose_of(slot, &lane.lent));
        found.or_else(|| self.choose_gathered(slot))
    }

    fn choose_of(&self, slot: &Slot, kinds: &Bits) -> Option<PhoneId> {
        let mut best: Option<(usize, PhoneId)> = None;
        let lane = &self.lanes.list[slot.lane];
        for kind in kinds.both(&self.kinds.with_free) {
            let kind = &self.kinds.list[kind];
            let wanted_by = kind.native.count();
            if best.is_some_and(|(least, _)| least <= wanted_by) {
                continue;
            }
            let mut free = kind.free.iter().map(|(_, _, phone)| *phone);
            if let Some(phone) = free.find(|phone| self.accepts(slot, *phone) && self.is_open(lane, *phone)) {
                best = Some((wanted_by, phone));
            }
        }
        best.map(|(_, phone)| phone)
    }

    /// Whether a job takes this phone of a kind that fits its lane.
    pub(crate) fn accepts(&self, slot: &Slot, phone: PhoneId) -> bool {
        !slot.is_picky || (self.is_home(slot, phone) && !self.avoids(slot, phone))
    }

    /// Whether a job may run there for all that its comparison asks.
    pub(crate) fn is_home(&self, slot: &Slot, phone: PhoneId) -> bool {
        let Some(home) = self.home(slot) else { return true };
        home == phone
    }

    /// The phone that a job waits for, because what it is compared with ran there.
    pub(crate) fn home(&self, slot: &Slot) -> Option<PhoneId> {
        let home = self.compares.home(slot.record.spec.compare.as_ref()?)?;
        let seat = &self.phones[home];
        let lane = &self.lanes.list[slot.lane];
        let fits = lane.fits(seat.kind);
        let waits = self.now < slot.record.submitted_at.after(self.policy.compare_wait);
        // Nobody waits for a phone that it keeps away from.
        (waits && fits && seat.noted.working && !self.avoids(slot, home)).then_some(home)
    }

    /// Whether a job keeps away from a phone: it failed there, or twice on its rack, and elsewhere is a phone that
    /// could still take it.
    pub(crate) fn avoids(&self, slot: &Slot, phone: PhoneId) -> bool {
        let failed: Vec<_> = slot.record.failed_elsewhere().collect();
        if failed.is_empty() {
            return false;
        }
        let on_phone =
            |phone: PhoneId| failed.iter().any(|(attempt, _)| attempt.phone == *self.phones[phone].udid());
        let on_rack = |phone: PhoneId| {
            let rack = &self.phones[phone].record.rack;
            let mut here = failed.iter().filter(|(attempt, _)| attempt.rack == *rack);
            here.clone().any(|(_, blame)| *blame == Blame::Rack) || here.by_ref().count() >= RACK_FAILURES
        };
        if (on_phone(phone) || on_rack(phone))
            && self.may_elsewhere(slot, |other| !on_phone(other) && !on_rack(other))
        {
            return true;
        }
        on_phone(phone) && self.may_elsewhere(slot, |other| !on_phone(other))
    }

    /// Whether as many phones as the job needs work, fit it, and are such as something says.
    fn may_elsewhere(&self, slot: &Slot, holds: impl Fn(PhoneId) -> bool) -> bool {
        let wanted = usize::from(slot.record.spec.phones);
        let lane = &self.lanes.list[slot.lane];
        let kinds = lane.kinds().map(|kind| &self.kinds.list[kind]);
        kinds
            .filter(|kind| kind.working > 0)
            .flat_map(|kind| kind.members.iter().copied())
            .filter(|phone| self.phones[*phone].noted.working && holds(*phone))
            .take(wanted)
            .count()
            == wanted
    }
}

/// Keeps an emptied list for the next turn, as nearly every turn needs one.
fn use_again<T>(list: &mut Vec<T>, mut used: Vec<T>) {
    if list.capacity() == 0 {
        used.clear();
        *list = used;
    }
}
