//! The brain's state and the one way in: [`Scheduler::apply`]. What each event does is in `events`; what they call
//! upon lives in the other modules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use holdfast_wire::id::{BuildHash, JobId, Owner, RackId, Udid};
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;

use crate::ahead::Ahead;
use crate::compare::Compares;
use crate::decision::Decision;
use crate::event::Event;
use crate::fleet::{Phone, PhoneStatus, Rack, RackNumber, RackStatus, Touch};
use crate::gang::Gangs;
use crate::kinds::{Demand, FreeKey, Kinds, PhoneId};
use crate::lanes::{LaneId, Lanes};
use crate::pace::Paces;
use crate::place::Place;
use crate::policy::{ClassPolicy, Policy};
use crate::record::JobRecord;
use crate::shares::{OwnerId, Shares};
use crate::table::Table;
use crate::timers::{Timer, Timers};
use crate::waiting::Slot;

/// The brain.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) policy: Policy,
    /// The rules of classes and their ranks, by class.
    pub(crate) rules: [ClassPolicy; JobClass::ALL.len()],
    pub(crate) ranks: [u8; JobClass::ALL.len()],
    /// What phones demand of jobs.
    pub(crate) demands: Vec<(Demand, Vec<Owner>)>,
    /// Whether the windows of classes are open; a class without a window is not here.
    pub(crate) windows: BTreeMap<JobClass, bool>,
    /// The time of the event that is being applied.
    pub(crate) now: Time,
    /// Jobs that wait or run; one that is over is recorded and forgotten here.
    pub(crate) jobs: Table<Slot>,
    pub(crate) lanes: Lanes,
    /// Lanes of jobs that need several phones.
    pub(crate) gang_lanes: BTreeSet<LaneId>,
    pub(crate) kinds: Kinds,
    pub(crate) phones: Vec<Phone>,
    pub(crate) by_udid: BTreeMap<Udid, PhoneId>,
    /// Phones that racks other than their own say they have.
    pub(crate) claimed: BTreeSet<PhoneId>,
    pub(crate) racks: Vec<Rack>,
    pub(crate) by_rack: BTreeMap<RackId, RackNumber>,
    pub(crate) shares: Shares,
    pub(crate) compares: Compares,
    pub(crate) gangs: Gangs,
    /// Waiting jobs that do not take every phone of the kinds that fit them.
    pub(crate) picky: BTreeSet<JobId>,
    /// Free phones by the build that they ran last.
    pub(crate) free_builds: BTreeMap<BuildHash, BTreeSet<FreeKey>>,
    /// How often each build has been asked for in idle time.
    pub(crate) tested: BTreeMap<BuildHash, u32>,
    pub(crate) paces: Paces,
    /// Phones that are soon to be free.
    pub(crate) ahead: Ahead,
    /// Jobs that may be lifted, by class, oldest first.
    pub(crate) ages: BTreeMap<JobClass, VecDeque<(Time, JobId)>>,
    pub(crate) timers: Timers,
    pub(crate) turn: Turn,
    pub(crate) next_job: JobId,
    pub(crate) woken_at: Option<Time>,
}

/// What one event has led to so far.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) out: Vec<Decision>,
    /// Phones that have become free.
    pub(crate) phones: Vec<PhoneId>,
    /// Jobs that have begun to wait, or look for a phone again.
    pub(crate) jobs: Vec<JobId>,
    /// Lanes that have been let through.
    pub(crate) lanes: Vec<LaneId>,
    /// Owners that may begin another job.
    pub(crate) owners: Vec<OwnerId>,
    /// Whether jobs that were choosy may take what they did not.
    pub(crate) recheck: bool,
    /// Phones that are to be told of.
    pub(crate) touched: Vec<PhoneId>,
    /// Jobs that are to be recorded.
    pub(crate) touched_jobs: Vec<JobId>,
    /// Racks that readers should look at.
    pub(crate) racks: BTreeSet<RackNumber>,
}

impl Turn {
    /// Whether nothing is left to be matched.
    pub(crate) fn is_settled(&self) -> bool {
        self.phones.is_empty()
            && self.jobs.is_empty()
            && self.lanes.is_empty()
            && self.owners.is_empty()
            && !self.recheck
    }
}

impl Scheduler {
    /// Takes in a fact and says what follows from it.
    #[must_use = "a decision that nobody carries out is lost"]
    pub fn apply(&mut self, now: Time, event: Event) -> Vec<Decision> {
        self.now = now;
        self.happened(event);
        self.time_passed();
        self.dispatch();
        self.stage();
        self.tell()
    }

    /// The id for the next job.
    pub fn next_job(&self) -> JobId {
        self.next_job
    }

    /// The rules that are in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A job that waits or runs.
    pub fn job(&self, id: JobId) -> Option<&Arc<JobRecord>> {
        self.jobs.get(id).map(|slot| &slot.record)
    }

    /// Jobs that wait or run.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Every waiting job in the order of service, staged ones left out; for tests and reports, as it looks at all of
    /// them.
    pub fn queue(&self) -> Vec<JobId> {
        let waiting = self.jobs.iter().filter(|(_, slot)| slot.is_waiting);
        let mut places: Vec<Place> = waiting.map(|(_, slot)| self.counted(slot)).collect();
        places.sort_unstable();
        places.into_iter().map(Place::job).collect()
    }

    /// Every phone that is known, by UDID.
    pub fn phones(&self) -> impl Iterator<Item = PhoneStatus<'_>> {
        self.by_udid.values().map(|id| self.status(&self.phones[*id]))
    }

    /// One phone.
    pub fn phone(&self, udid: &Udid) -> Option<PhoneStatus<'_>> {
        self.by_udid.get(udid).map(|id| self.status(&self.phones[*id]))
    }

    /// Every rack that is known, by name.
    pub fn racks(&self) -> impl Iterator<Item = RackStatus<'_>> {
        self.by_rack.values().map(|number| self.rack_status(&self.racks[*number]))
    }

    /// One rack.
    pub fn rack_by_name(&self, rack: &RackId) -> Option<RackStatus<'_>> {
        self.by_rack.get(rack).map(|number| self.rack_status(&self.racks[*number]))
    }

    /// How a class is served.
    pub(crate) fn rule(&self, class: JobClass) -> &ClassPolicy {
        &self.rules[class as usize]
    }

    /// A job has changed: it is recorded at the end of the turn.
    pub(crate) fn touch_job(&mut self, id: JobId) {
        if let Some(slot) = self.jobs.get_mut(id)
            && !slot.is_touched
        {
            slot.is_touched = true;
            self.turn.touched_jobs.push(id);
        }
    }

    /// Whatever was waiting for a time that has come. The same for every event: a timer that fires late or
    /// twice changes nothing.
    fn time_passed(&mut self) {
        while let Some((at, timer)) = self.timers.due(self.now) {
            match timer {
                Timer::Expire(job) => self.expire(job),
                Timer::Loosen(job) => self.loosen(job),
                Timer::Deadline(phone) => self.look_at_deadline(phone, at),
                Timer::Silence(rack) => self.listen_for(rack),
                Timer::Parole(phone) => self.parole(phone),
                Timer::Return(phone) => self.give_back(phone),
                Timer::Lift(class) => self.lift(class),
                Timer::Window(class) => self.look_at_window(class),
                Timer::Midnight => self.begin_day(),
                Timer::Ahead => self.look_at_ends(),
            }
        }
    }

    /// Everything that this turn has led to: what is recorded comes before what is ordered.
    fn tell(&mut self) -> Vec<Decision> {
        let jobs = std::mem::take(&mut self.turn.touched_jobs);
        self.turn.out.reserve(jobs.len() + 2 * self.turn.touched.len() + 1);
        for id in &jobs {
            if let Some(slot) = self.jobs.get_mut(*id) {
                slot.is_touched = false;
                self.turn.out.push(Decision::SaveJob(slot.record.clone()));
            }
        }
        let mut phones = std::mem::take(&mut self.turn.touched);
        phones.sort_unstable();
        for id in &phones {
            self.tell_of_phone(*id);
        }
        for id in &phones {
            if self.phones[*id].touch == Touch::Ordered {
                let order = self.order(*id);
                self.turn.out.push(order);
            }
            self.phones[*id].touch = Touch::Nothing;
        }
        for number in std::mem::take(&mut self.turn.racks) {
            self.turn.out.push(Decision::RackChanged(self.racks[number].id.clone()));
        }
        self.ask_to_be_woken();
        // The lists are used again: most turns touch a few.
        (self.turn.touched_jobs, self.turn.touched) = (emptied(jobs), emptied(phones));
        std::mem::take(&mut self.turn.out)
    }

    fn tell_of_phone(&mut self, id: PhoneId) {
        let phone = &mut self.phones[id];
        let works = phone.noted.busy || phone.noted.free.is_some() || phone.gathered.is_some();
        if works != phone.is_shown_working {
            phone.is_shown_working = works;
            self.turn.racks.insert(phone.rack);
        }
        self.turn.out.push(match phone.touch {
            Touch::Recorded | Touch::Ordered => Decision::SavePhone(Arc::new(phone.record.clone())),
            Touch::Shown | Touch::Nothing => Decision::PhoneChanged(phone.udid().clone()),
        });
    }

    fn ask_to_be_woken(&mut self) {
        self.drop_old_deadlines();
        // A timer that fires too early costs one empty turn; asking anew at every heartbeat would cost more.
        if let Some((at, _)) = self.timers.first()
            && self.woken_at.is_none_or(|asked| at < asked)
        {
            self.woken_at = Some(at);
            self.turn.out.push(Decision::WakeAt(at));
        }
    }
}

fn emptied<T>(mut list: Vec<T>) -> Vec<T> {
    list.clear();
    list
}
