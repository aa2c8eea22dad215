//! What follows from the operator's rules as time passes or when they change: windows open and close, days begin, and
//! everything is sorted anew under other rules.

use std::collections::BTreeMap;

use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;

use crate::fleet::{Changed, Touch};
use crate::kinds::Kinds;
use crate::lanes::Lanes;
use crate::policy::{ClassPolicy, Policy};
use crate::scheduler::Scheduler;
use crate::shares::{day_of, end_of_day};
use crate::timers::Timer;

/// The rules of every class, and their ranks.
pub(crate) fn by_class(policy: &Policy) -> ([ClassPolicy; JobClass::ALL.len()], [u8; JobClass::ALL.len()]) {
    (JobClass::ALL.map(|class| policy.class(class)), JobClass::ALL.map(|class| policy.rank(class)))
}

impl Scheduler {
    /// Obeys other rules: whatever follows from the old ones is worked out anew. What runs goes on.
    pub(crate) fn obey(&mut self, policy: Policy) {
        self.take_back_where(|_| true);
        let waiting: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, slot)| slot.is_waiting || slot.is_staged)
            .map(|(id, _)| id)
            .collect();
        // Where a job stands follows from the rules under which it began to wait.
        for id in &waiting {
            self.leave(*id);
        }
        (self.rules, self.ranks) = by_class(&policy);
        self.policy = policy;
        self.shares.obey(&self.policy);
        self.sort_anew();
        for id in waiting {
            // Shares begin anew, in the order in which jobs came.
            let record = self.jobs.get(id).map(|slot| slot.record.clone());
            if let Some(record) = record {
                let fresh = self.slot(record);
                if let Some(slot) = self.jobs.get_mut(id) {
                    slot.share = fresh.share;
                }
                // One that is staged waits again when its rack has said so.
                if self.jobs.get(id).is_some_and(|slot| !slot.is_staged) {
                    self.wait(id);
                }
                self.turn.out.push(crate::Decision::JobMoved(id));
            }
        }
        self.note_ages();
        for number in 0..self.racks.len() {
            let at = self.silent_at(number);
            self.timers.set(at, Timer::Silence(number));
        }
    }

    /// Sorts phones into kinds from nothing; no job may wait meanwhile.
    pub(crate) fn sort_anew(&mut self) {
        self.kinds = Kinds::default();
        self.lanes = Lanes::default();
        self.gang_lanes.clear();
        self.free_builds.clear();
        self.tested.clear();
        let demands = self.policy.demands.clone();
        self.demands = demands
            .into_iter()
            .map(|demand| (self.kinds.learn(demand.phones.term()).0, demand.only))
            .collect();
        for id in 0..self.phones.len() {
            let phone = &mut self.phones[id];
            (phone.is_member, phone.kind, phone.noted) = (false, usize::MAX, crate::fleet::Noted::default());
            phone.freed_build = None;
            self.look_at(id, Changed::Lasting);
            self.changed(id, Touch::Shown);
        }
        // A window that is shut is told to phones by their kinds, which are known by now.
        self.windows.clear();
        for class in JobClass::ALL {
            self.look_at_window(class);
        }
        self.begin_day();
    }

    /// Jobs that may be lifted, oldest first.
    pub(crate) fn note_ages(&mut self) {
        self.ages = BTreeMap::new();
        let mut by_class: BTreeMap<JobClass, Vec<(Time, JobId)>> = BTreeMap::new();
        // One that runs and was lifted under other rules may yet have to wait for it under these.
        for (id, slot) in self.jobs.iter() {
            by_class.entry(slot.record.spec.class).or_default().push((slot.record.submitted_at, id));
        }
        for (class, mut jobs) in by_class {
            jobs.sort_unstable();
            for (submitted, id) in jobs {
                self.note_age(class, submitted, id);
            }
        }
    }

    /// A window of a class may have opened or closed.
    pub(crate) fn look_at_window(&mut self, class: JobClass) {
        let name = self.rule(class).window.clone();
        let Some(calendar) = name.and_then(|name| self.policy.windows.get(&name)) else { return };
        let is_open = calendar.is_open(self.now);
        if let Some(at) = calendar.next_change(self.now) {
            self.timers.set(at, Timer::Window(class));
        }
        if self.windows.insert(class, is_open) == Some(is_open) {
            return;
        }
        for lane in 0..self.lanes.list.len() {
            if self.lanes.list[lane].key.class != class {
                continue;
            }
            self.lanes.list[lane].shut.window = !is_open;
            self.lanes.note(lane);
            if is_open {
                self.turn.lanes.push(lane);
            }
        }
        if !is_open {
            self.close_window(class);
        }
    }

    /// A new day begins: whoever had used up its quota may go on.
    pub(crate) fn begin_day(&mut self) {
        if self.policy.owners.values().all(|owner| owner.minutes_per_day.is_none())
            && self.policy.default_owner.minutes_per_day.is_none()
        {
            return;
        }
        let today = day_of(self.now);
        self.timers.set(end_of_day(today), Timer::Midnight);
        for owner in 0..self.shares.list.len() {
            let share = &mut self.shares.list[owner];
            if share.day != today {
                share.begin_day(today);
                if !share.waiting.is_empty() {
                    self.turn.owners.push(owner);
                }
            }
        }
    }
}
