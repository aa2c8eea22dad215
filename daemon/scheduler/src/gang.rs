//! Jobs that need several phones at once. Phones that come free are kept for the first such job in the order of
//! service until it has enough; a job that goes before it may still take them. There is one order for all jobs, so no
//! two of them can wait for each other. A job that may not begin, or whose owner has used up its quota, keeps nothing: the
//! latter begins when enough phones are free that nobody else wants.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::id::JobId;

use crate::fleet::Touch;
use crate::kinds::PhoneId;
use crate::lanes::Lane;
use crate::place::Place;
use crate::scheduler::Scheduler;
use crate::waiting::Slot;

/// Waiting jobs of one owner that has used up its quota that are looked at for what is left over.
const BEYOND_LOOKS: usize = 32;

/// The phones that are kept for each job.
pub(crate) type Gangs = BTreeMap<JobId, BTreeSet<PhoneId>>;

impl Scheduler {
    /// Begins a job of several phones when enough are free, and else keeps for it those that are.
    pub(crate) fn seat_gang(&mut self, job: JobId) {
        let Some(slot) = self.jobs.get(job).filter(|slot| slot.is_waiting) else { return };
        let lane = &self.lanes.list[slot.lane];
        let wanted = usize::from(slot.record.spec.phones);
        let mut seats: Vec<PhoneId> = self.gangs.get(&job).into_iter().flatten().copied().collect();
        // What others want least comes first, as for every job.
        let mut kinds: Vec<usize> = lane.native.both(&self.kinds.with_free).collect();
        kinds.sort_by_key(|kind| self.kinds.list[*kind].native.count());
        kinds.extend(lane.lent.both(&self.kinds.with_free));
        let free =
            kinds.iter().flat_map(|kind| self.kinds.list[*kind].free.iter().map(|(_, _, phone)| *phone));
        let free: Vec<PhoneId> =
            free.filter(|phone| self.accepts(slot, *phone) && self.is_open(lane, *phone)).collect();
        let missing = wanted.saturating_sub(seats.len());
        seats.extend(free.into_iter().take(missing));
        if seats.len() < wanted {
            let place = self.counted(slot);
            let missing = wanted - seats.len();
            seats.extend(self.gathered_behind(slot, place).into_iter().take(missing));
        }
        let keeps = self.keeps(slot);
        if seats.len() == wanted {
            self.ungather(job);
            for phone in &seats {
                self.take_from_gang(*phone);
            }
            self.grant(job, &seats);
            return;
        }
        if !keeps {
            return;
        }
        for phone in seats {
            if self.phones[phone].gathered != Some(job) {
                self.take_from_gang(phone);
                self.phones[phone].gathered = Some(job);
                self.lose_summons(phone);
                self.gangs.entry(job).or_default().insert(phone);
                self.changed(phone, Touch::Shown);
            }
        }
    }

    /// Phones kept for jobs that go behind this one and that it could use.
    fn gathered_behind(&self, slot: &Slot, place: Place) -> Vec<PhoneId> {
        let lane = &self.lanes.list[slot.lane];
        let behind = self.gangs.iter().filter(|(job, _)| {
            self.jobs.get(**job).is_some_and(|other| {
                let standing = self.standing(other);
                standing.is_none_or(|standing| standing > place)
            })
        });
        let phones = behind.flat_map(|(_, phones)| phones.iter().copied());
        let fits = |phone: &PhoneId| {
            let kind = self.phones[*phone].kind;
            lane.fits(kind) && self.accepts(slot, *phone)
        };
        phones.filter(fits).collect()
    }

    /// A phone that is kept for a job of several phones which goes behind this one.
    pub(crate) fn choose_gathered(&self, slot: &Slot) -> Option<PhoneId> {
        if self.gangs.is_empty() {
            return None;
        }
        let place = self.standing(slot)?;
        let lane = &self.lanes.list[slot.lane];
        self.gathered_behind(slot, place).into_iter().find(|phone| self.is_open(lane, *phone))
    }

    /// Whether phones are kept for a job of several: not when it may not begin, as its owner runs too much, its window is
    /// shut or fewer phones work than it needs, nor when its owner has used up its quota.
    fn keeps(&self, slot: &Slot) -> bool {
        self.standing(slot) == Some(self.own_place(slot))
    }

    /// A job of several phones for which none are kept any longer lets go of those that are. Says whether one did.
    pub(crate) fn ungather_barred(&mut self) -> bool {
        if self.gangs.is_empty() {
            return false;
        }
        let barred = |job: &&JobId| self.jobs.get(**job).is_none_or(|slot| !self.keeps(slot));
        let barred: Vec<JobId> = self.gangs.keys().filter(barred).copied().collect();
        for job in &barred {
            self.ungather(*job);
        }
        !barred.is_empty()
    }

    /// Jobs of several phones for which none are kept, as their owner has used up its quota: each begins if enough are
    /// free. Whatever goes before them has been served.
    pub(crate) fn seat_gangs_beyond_quota(&mut self) {
        if self.gang_lanes.is_empty() || self.kinds.with_free.is_empty() {
            return;
        }
        let mut beyond: Vec<Place> = Vec::new();
        for lane in self.gang_lanes.iter().filter(|lane| self.lanes.live.has(**lane)) {
            let lane = &self.lanes.list[*lane];
            for part in lane.parts.iter().filter(|part| part.owner.is_some()) {
                let looked_at = part.jobs.iter().take(BEYOND_LOOKS);
                let standing = looked_at.map(|place| (place, self.standing_of(part.owner, lane, *place)));
                beyond.extend(
                    standing.filter_map(|(place, standing)| standing.filter(|standing| standing != place)),
                );
            }
        }
        beyond.sort_unstable();
        for place in beyond {
            if self.jobs.get(place.job()).is_some_and(|slot| self.standing(slot).is_some()) {
                self.seat_gang(place.job());
            }
        }
    }

    /// Whether a job of several phones does something with one that comes free: keeps it, or begins at once with others.
    pub(crate) fn uses_one(&self, lane: &Lane, slot: &Slot) -> bool {
        if self.keeps(slot) {
            return true;
        }
        let wanted = usize::from(lane.key.phones);
        let kinds = lane.native.both(&self.kinds.with_free).map(|kind| &self.kinds.list[kind]);
        let free = kinds.flat_map(|kind| kind.free.iter()).filter(|(_, _, phone)| self.accepts(slot, *phone));
        free.take(wanted).count() == wanted
    }

    /// Nothing is kept for the job any longer.
    pub(crate) fn ungather(&mut self, job: JobId) {
        for phone in self.gangs.remove(&job).unwrap_or_default() {
            self.phones[phone].gathered = None;
            self.changed(phone, Touch::Shown);
        }
    }

    /// The phone is kept for nobody any longer.
    pub(crate) fn take_from_gang(&mut self, phone: PhoneId) {
        let Some(job) = self.phones[phone].gathered.take() else { return };
        if let Some(phones) = self.gangs.get_mut(&job) {
            phones.remove(&phone);
            if phones.is_empty() {
                self.gangs.remove(&job);
            }
        }
    }

    /// The number of phones that work has changed: there may be enough for a job that needs several, or too few.
    pub(crate) fn judge_gangs(&mut self) {
        if self.gang_lanes.is_empty() {
            return;
        }
        for lane in self.gang_lanes.clone() {
            if self.lanes.list[lane].key.phones > 1 && self.judge_lane(lane) {
                self.turn.lanes.push(lane);
            }
        }
    }
}
