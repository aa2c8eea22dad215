//! A brain from what was recorded: the same farm as before, and every phone told again what it has to obey.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_wire::id::{AttemptId, JobId, Udid};
use holdfast_wire::job::JobState;
use holdfast_wire::time::Time;

use crate::ahead::Ahead;
use crate::compare::Compares;
use crate::decision::Decision;
use crate::fleet::Phone;
use crate::kinds::{Kinds, PhoneId};
use crate::lanes::Lanes;
use crate::pace::Paces;
use crate::place::Place;
use crate::policy::Policy;
use crate::record::{CompareRecord, Ended, Hold, HoldPhase, JobRecord, Next, NextPhase, PhoneRecord, Record};
use crate::retry::running;
use crate::rules::by_class;
use crate::scheduler::{Scheduler, Turn};
use crate::shares::{Shares, day_of};
use crate::table::Table;
use crate::timers::{Timer, Timers};

/// Why the records of a store make no farm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A phone is held by an attempt whose job is not there or does not say so.
    #[error(
        "phone {phone} is held by {attempt}, but its job does not run there; restore the store from an export"
    )]
    Hold {
        /// The phone.
        phone: Udid,
        /// The attempt.
        attempt: AttemptId,
    },
    /// A job runs on a phone that is not held by it.
    #[error("job {job} runs on phone {phone}, which is not held by it; restore the store from an export")]
    Running {
        /// The job.
        job: JobId,
        /// The phone.
        phone: Udid,
    },
}

impl Scheduler {
    /// The brain of a farm whose durable records are these. The decisions tell every phone again what it has
    /// to obey. Racks that were there get the time of a silent rack to come back.
    ///
    /// # Errors
    /// The records contradict each other.
    pub fn restore(
        policy: Policy,
        now: Time,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<(Self, Vec<Decision>), RestoreError> {
        let mut brain = Self::empty(policy, now);
        let (mut jobs, mut compares) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Job(job) => {
                    brain.next_job = brain.next_job.max(JobId(job.id.0 + 1));
                    jobs.push(job);
                }
                Record::Phone(phone) => brain.remember_phone(phone),
                Record::Compare(compare) => compares.push(compare),
                Record::Owner(used) => {
                    let owner = brain.shares.id(Some(&used.owner), &brain.policy);
                    let share = &mut brain.shares.list[owner];
                    share.remember(&used, day_of(now));
                }
            }
        }
        brain.sort_anew();
        for CompareRecord { name, phone, build } in compares {
            if let Some(phone) = brain.by_udid.get(&phone) {
                brain.compares.begin(&name, *phone, build);
            }
        }
        let staged = brain.remembered_as_staged();
        brain.remember_jobs(jobs, &staged);
        brain.check_holds()?;
        for id in 0..brain.phones.len() {
            // What runs on it decides how it may be taken.
            brain.settle(id);
            brain.phones[id].touch = crate::fleet::Touch::Nothing;
            if brain.phones[id].record.hold.is_some() {
                brain.look_in(id, 0);
            }
        }
        // Nobody has been heard yet, so there is nobody to give work to; and readers look at everything anyway.
        brain.turn = Turn::default();
        let orders: Vec<Decision> = brain.by_udid.values().map(|id| brain.order(*id)).collect();
        for phone in &mut brain.phones {
            phone.is_fresh = false;
        }
        let mut out = orders;
        if let Some((at, _)) = brain.timers.first() {
            brain.woken_at = Some(at);
            out.push(Decision::WakeAt(at));
        }
        Ok((brain, out))
    }

    fn empty(policy: Policy, now: Time) -> Self {
        let (rules, ranks) = by_class(&policy);
        Self {
            rules,
            ranks,
            demands: Vec::new(),
            windows: BTreeMap::new(),
            now,
            jobs: Table::default(),
            lanes: Lanes::default(),
            gang_lanes: BTreeSet::new(),
            kinds: Kinds::default(),
            claimed: BTreeSet::new(),
            phones: Vec::new(),
            by_udid: BTreeMap::new(),
            racks: Vec::new(),
            by_rack: BTreeMap::new(),
            shares: Shares::new(&policy),
            compares: Compares::default(),
            gangs: BTreeMap::new(),
            picky: BTreeSet::new(),
            free_builds: BTreeMap::new(),
            tested: BTreeMap::new(),
            paces: Paces::default(),
            ages: BTreeMap::new(),
            ahead: Ahead::default(),
            timers: Timers::default(),
            turn: Turn::default(),
            next_job: JobId(1),
            woken_at: None,
            policy,
        }
    }

    fn remember_phone(&mut self, mut record: PhoneRecord) {
        let now = self.now;
        // The rack may have ended the attempt in the meantime; let it say so first.
        if let Some(Hold {
            phase: HoldPhase::Active { deadline } | HoldPhase::Yielding { deadline, .. },
            ..
        }) = &mut record.hold
        {
            *deadline = (*deadline).max(now.after(self.policy.rack_silent_after));
        }
        if let Some(Next { phase: NextPhase::Unsure { until }, .. }) = &mut record.next {
            *until = (*until).max(now.after(self.policy.rack_silent_after));
        }
        let number = self.rack(&record.rack.clone());
        let id = self.phones.len();
        self.racks[number].phones.insert(id);
        if record.hold.as_ref().is_some_and(|hold| hold.phase == HoldPhase::Releasing) {
            self.racks[number].releasing.insert(id);
        }
        if record
            .next
            .as_ref()
            .is_some_and(|next| matches!(next.phase, NextPhase::Withdrawing | NextPhase::Unsure { .. }))
        {
            self.racks[number].unsure.insert(id);
        }
        if let Some(until) = record.quarantine.as_ref().and_then(|why| why.until) {
            self.timers.set(until, Timer::Parole(id));
        }
        if let Some(until) = record.taken.as_ref().and_then(|taken| taken.until) {
            self.timers.set(until, Timer::Return(id));
        }
        self.by_udid.insert(record.facts.udid.clone(), id);
        self.phones.push(Phone::new(record, number, now));
    }

    /// Attempts that belong to phones on which they have yet to begin.
    fn remembered_as_staged(&self) -> BTreeMap<AttemptId, PhoneId> {
        let phones = self.phones.iter().enumerate();
        let staged = phones.filter_map(|(id, phone)| {
            let next = phone.record.next.as_ref()?;
            (next.phase != NextPhase::Withdrawn).then_some((next.attempt, id))
        });
        staged.collect()
    }

    fn remember_jobs(&mut self, mut jobs: Vec<Arc<JobRecord>>, staged: &BTreeMap<AttemptId, PhoneId>) {
        jobs.sort_unstable_by_key(|job| job.id);
        for job in jobs {
            let (id, is_over) = (job.id, matches!(job.state, JobState::Ended { .. }));
            self.remember_attempts(&job);
            if is_over {
                continue;
            }
            let is_waiting = job.state == JobState::Queued;
            let number = u32::try_from(job.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
            let seat = staged.get(&AttemptId { job: id, number }).filter(|_| is_waiting);
            let slot = self.slot(job);
            let (owner, usual_ms) = (slot.owner, slot.usual_ms);
            let running = running(&slot.record).count();
            self.jobs.insert(id, slot);
            if let Some(seat) = seat {
                self.charge_begin(owner, 1, usual_ms);
                self.remember_staged(id, *seat);
            } else if is_waiting {
                self.wait(id);
            } else {
                self.charge_begin(owner, running, usual_ms);
            }
        }
        self.note_ages();
    }

    /// A job belongs to a phone that is to begin it next.
    fn remember_staged(&mut self, job: JobId, phone: PhoneId) {
        // It stands where it would if it waited.
        self.wait(job);
        let standing = self.jobs.get(job).map_or(Place::LAST, |slot| self.counted(slot));
        self.leave(job);
        match self.phones[phone].record.next.as_ref().map(|next| next.phase) {
            Some(NextPhase::Staged) => self.note_staged(phone, job, standing),
            Some(_) | None => {
                if let Some(slot) = self.jobs.get_mut(job) {
                    (slot.is_staged, slot.seat) = (true, phone);
                }
            }
        }
    }

    /// What the attempts of a job tell about phones and paces.
    fn remember_attempts(&mut self, job: &JobRecord) {
        for attempt in &job.attempts {
            let Some(phone) = self.by_udid.get(&attempt.phone).copied() else { continue };
            if let Some(Ended { at, .. }) = &attempt.ended {
                let seat = &mut self.phones[phone];
                seat.last_used = seat.last_used.max(*at);
            }
        }
    }

    /// Holds and running jobs must say the same.
    fn check_holds(&self) -> Result<(), RestoreError> {
        for phone in &self.phones {
            let Some(hold) = phone.counting() else { continue };
            let attempt = hold.attempt;
            let runs = self.jobs.get(attempt.job).is_some_and(|slot| {
                running(&slot.record).any(|number| number == attempt.number)
                    && slot
                        .record
                        .attempt(attempt.number)
                        .is_some_and(|attempt| attempt.phone == *phone.udid())
            });
            if !runs {
                return Err(RestoreError::Hold { phone: phone.udid().clone(), attempt });
            }
        }
        for (job, slot) in self.jobs.iter() {
            for number in running(&slot.record) {
                let Some(udid) = slot.record.attempt(number).map(|attempt| &attempt.phone) else { continue };
                let attempt = AttemptId { job, number };
                let held = self.by_udid.get(udid).and_then(|id| self.phones[*id].counting());
                if held.is_none_or(|hold| hold.attempt != attempt) {
                    return Err(RestoreError::Running { job, phone: udid.clone() });
                }
            }
        }
        Ok(())
    }
}
