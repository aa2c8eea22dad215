//! The brain's state and the one way in: [`Scheduler::apply`]. Each event has its handler here; what the
//! handlers call upon lives in the other modules.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_wire::id::{AttemptId, BlobHash, JobId, LeaseNumber, RackId, Udid};
use holdfast_wire::job::{JobClass, JobOutcome, JobSpec, JobState};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};
use holdfast_wire::phone::{PhoneReport, Readiness};
use holdfast_wire::sync::HeldLease;
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::event::Event;
use crate::fleet::{Fleet, Phone, PhoneStatus, Presence, Rack, RackStatus, Worth};
use crate::lease::{close, order_of, unreported};
use crate::policy::Policy;
use crate::queue::Queue;
use crate::record::{Ended, Hold, HoldPhase, JobRecord, Quarantined, Record};

/// The brain.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) policy: Policy,
    /// Jobs that wait or run; one that is over is recorded and forgotten here.
    pub(crate) jobs: BTreeMap<JobId, Arc<JobRecord>>,
    pub(crate) queue: Queue,
    pub(crate) fleet: Fleet,
    next_job: JobId,
    woken_at: Option<Time>,
}

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
        let mut brain = Self {
            policy,
            jobs: BTreeMap::new(),
            queue: Queue::default(),
            fleet: Fleet::default(),
            next_job: JobId(1),
            woken_at: None,
        };
        for record in records {
            match record {
                Record::Job(job) => {
                    brain.next_job = brain.next_job.max(JobId(job.id.0 + 1));
                    if !matches!(job.state, JobState::Ended { .. }) {
                        brain.jobs.insert(job.id, Arc::new(job));
                    }
                }
                Record::Phone(mut phone) => {
                    // The rack may have ended the attempt in the meantime; let it say so first.
                    if let Some(Hold { phase: HoldPhase::Active { deadline }, .. }) = &mut phone.hold {
                        *deadline = (*deadline).max(now.after(brain.policy.rack_silent_after));
                    }
                    let rack = Rack { last_heard: now, presence: Presence::Expected };
                    brain.fleet.racks.entry(phone.rack.clone()).or_insert(rack);
                    brain.fleet.phones.insert(phone.facts.udid.clone(), Phone::remembered(phone, now));
                }
            }
        }
        brain.check_holds()?;
        for job in brain.jobs.values().filter(|job| job.state == JobState::Queued) {
            brain.queue.insert(job);
        }
        let mut out: Vec<Decision> =
            brain.fleet.phones.iter().map(|(udid, phone)| brain.order_of(udid, phone, now)).collect();
        brain.ask_to_be_woken(&mut out);
        Ok((brain, out))
    }

    /// Takes in a fact and says what follows from it.
    #[must_use = "a decision that nobody carries out is lost"]
    pub fn apply(&mut self, now: Time, event: Event) -> Vec<Decision> {
        let mut out = Vec::new();
        match event {
            Event::JobSubmitted { job, spec } => self.job_submitted(now, job, *spec, &mut out),
            Event::JobCancelled { job } => self.job_cancelled(now, job, &mut out),
            Event::PhoneReported { rack, report } => self.phone_reported(now, &rack, *report, &mut out),
            Event::AttemptEnded { rack: _, attempt, phone, lease, end, report } => {
                self.attempt_ended(now, attempt, &phone, lease, end, report, &mut out);
            }
            Event::RackSynced { rack, held } => self.rack_synced(now, &rack, &held, &mut out),
            Event::PhoneReleased { phone } => self.phone_released(&phone, &mut out),
            Event::PhoneQuarantined { phone, reason, until } => {
                self.phone_quarantined(&phone, Quarantined { reason, since: now, until }, &mut out);
            }
            Event::TimeReached => self.woken_at = None,
        }
        self.time_passed(now, &mut out);
        self.dispatch(now, &mut out);
        self.ask_to_be_woken(&mut out);
        out
    }

    /// The id for the next job.
    pub fn next_job(&self) -> JobId {
        self.next_job
    }

    /// A job that waits or runs.
    pub fn job(&self, id: JobId) -> Option<&Arc<JobRecord>> {
        self.jobs.get(&id)
    }

    /// Every waiting job in the order of service.
    pub fn queue(&self) -> Vec<JobId> {
        self.queue.in_order()
    }

    /// Every phone that is known, by UDID.
    pub fn phones(&self) -> impl Iterator<Item = PhoneStatus<'_>> {
        self.fleet.phones.values().map(|phone| self.fleet.status(&self.policy, phone))
    }

    /// One phone.
    pub fn phone(&self, udid: &Udid) -> Option<PhoneStatus<'_>> {
        self.fleet.phones.get(udid).map(|phone| self.fleet.status(&self.policy, phone))
    }

    /// Every rack that is known, by name.
    pub fn racks(&self) -> impl Iterator<Item = RackStatus<'_>> {
        self.fleet.rack_statuses()
    }

    fn job_submitted(&mut self, now: Time, id: JobId, spec: JobSpec, out: &mut Vec<Decision>) {
        assert!(id >= self.next_job, "{id} is a new job");
        self.next_job = JobId(id.0 + 1);
        let record = JobRecord { id, spec, submitted_at: now, state: JobState::Queued, attempts: Vec::new() };
        let job = Arc::new(record);
        out.push(Decision::SaveJob(job.clone()));
        self.queue.insert(&job);
        self.jobs.insert(id, job);
    }

    fn job_cancelled(&mut self, now: Time, id: JobId, out: &mut Vec<Decision>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let JobState::Running { attempt, phone, others: _ } = job.state.clone() {
            let attempt = AttemptId { job: id, number: attempt };
            close(Arc::make_mut(job), attempt, unreported(AttemptEnd::Revoked, now));
            self.release(now, &phone, out);
        }
        self.end_job(now, id, JobOutcome::Cancelled, out);
    }

    fn phone_reported(&mut self, now: Time, rack: &RackId, report: PhoneReport, out: &mut Vec<Decision>) {
        let udid = report.facts.udid.clone();
        let Some(phone) = self.fleet.phones.get_mut(&udid) else {
            let phone = Phone::discovered(rack, report, now);
            out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
            out.push(Decision::PhoneChanged(udid.clone()));
            self.fleet.phones.insert(udid, phone);
            return;
        };
        let before = phone.record.rack.clone();
        if before != *rack {
            // The rack that a phone has left says so for ever; only the one that has it now counts.
            if report.readiness == Readiness::Offline {
                return;
            }
            match phone.record.hold.as_ref().map(|hold| hold.phase) {
                // The old rack has yet to say how its attempt ended.
                Some(HoldPhase::Active { .. }) => {
                    phone.elsewhere = Some(Box::new((rack.clone(), report)));
                    return;
                }
                // A phone is on one bus only, so the old rack can have nothing running on it.
                Some(HoldPhase::Releasing) => phone.record.hold = None,
                None => {}
            }
            out.push(Decision::RackChanged(before));
        }
        if phone.report(rack, report, now) == Worth::Recording {
            out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
        }
        out.push(Decision::PhoneChanged(udid));
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one event")]
    fn attempt_ended(
        &mut self,
        now: Time,
        attempt: AttemptId,
        udid: &Udid,
        lease: LeaseNumber,
        end: AttemptEnd,
        report: BlobHash,
        out: &mut Vec<Decision>,
    ) {
        let Some(phone) = self.fleet.phones.get(udid) else { return };
        let hold = phone
            .record
            .hold
            .clone()
            .filter(|hold| hold.attempt == attempt && lease == phone.record.last_lease);
        match hold {
            Some(Hold { phase: HoldPhase::Active { .. }, .. }) => {
                self.judge_phone(now, udid, &end);
                self.free(now, udid, out);
                self.settle(now, attempt, Ended { end, at: now, report: Some(report) }, out);
            }
            Some(Hold { phase: HoldPhase::Releasing, .. }) => {
                out.push(Decision::KeepLateReport { attempt, report });
                self.free(now, udid, out);
            }
            None => out.push(Decision::KeepLateReport { attempt, report }),
        }
    }

    fn rack_synced(&mut self, now: Time, id: &RackId, held: &[HeldLease], out: &mut Vec<Decision>) {
        let rack = Rack { last_heard: now, presence: Presence::Heard };
        let before = self.fleet.racks.insert(id.clone(), rack);
        if before.is_none_or(|before| before.presence != Presence::Heard) {
            out.push(Decision::RackChanged(id.clone()));
            let here = self.fleet.phones.iter().filter(|(_, phone)| phone.record.rack == *id);
            out.extend(here.map(|(udid, _)| Decision::PhoneChanged(udid.clone())));
        }
        let released: Vec<Udid> = self
            .fleet
            .phones
            .iter()
            .filter(|(udid, phone)| {
                phone.record.rack == *id
                    && phone.record.hold.as_ref().is_some_and(|hold| hold.phase == HoldPhase::Releasing)
                    && !held.iter().any(|lease| lease.phone == **udid)
            })
            .map(|(udid, _)| udid.clone())
            .collect();
        for udid in released {
            self.free(now, &udid, out);
        }
    }

    fn phone_released(&mut self, udid: &Udid, out: &mut Vec<Decision>) {
        if let Some(phone) = self.fleet.phones.get_mut(udid) {
            phone.record.quarantine = None;
            phone.record.failures_in_a_row = 0;
            out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
        }
    }

    fn phone_quarantined(&mut self, udid: &Udid, why: Quarantined, out: &mut Vec<Decision>) {
        if let Some(phone) = self.fleet.phones.get_mut(udid) {
            phone.record.quarantine = Some(why);
            out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
        }
    }

    /// Whatever was waiting for a time that has come. The same for every event: a timer that fires late or
    /// twice changes nothing.
    fn time_passed(&mut self, now: Time, out: &mut Vec<Decision>) {
        self.expire_jobs(now, out);
        self.lift_jobs(now);
        self.lose_racks(now, out);
        self.end_overdue_attempts(now, out);
        self.end_quarantines(now, out);
    }

    fn expire_jobs(&mut self, now: Time, out: &mut Vec<Decision>) {
        while let Some((_, id)) = self.queue.first_to_expire().filter(|(at, _)| *at <= now) {
            self.end_job(now, id, JobOutcome::Expired, out);
        }
    }

    fn lift_jobs(&mut self, now: Time) {
        let Some(lift_after) = self.lift_after() else { return };
        while let Some((_, id)) =
            self.queue.oldest().filter(|(submitted, _)| submitted.after(lift_after) <= now)
        {
            let Some(job) = self.jobs.get(&id) else { return };
            self.queue.lift(job);
        }
    }

    /// When a job goes before everything but crash jobs: the queue knows one age for all other classes.
    fn lift_after(&self) -> Option<std::time::Duration> {
        self.policy.classes.get(&JobClass::Baseline)?.lift_after
    }

    fn lose_racks(&mut self, now: Time, out: &mut Vec<Decision>) {
        let silent_after = self.policy.rack_silent_after;
        let lost: Vec<RackId> = self
            .fleet
            .racks
            .iter_mut()
            .filter(|(_, rack)| {
                rack.presence != Presence::Silent && rack.last_heard.after(silent_after) <= now
            })
            .map(|(id, rack)| {
                rack.presence = Presence::Silent;
                id.clone()
            })
            .collect();
        for id in lost {
            let here: Vec<Udid> = self
                .fleet
                .phones
                .iter()
                .filter(|(_, phone)| phone.record.rack == id)
                .map(|(udid, _)| udid.clone())
                .collect();
            for udid in here {
                self.give_up(now, &udid, &format!("rack {id} fell silent"), out);
                out.push(Decision::PhoneChanged(udid));
            }
            out.push(Decision::RackChanged(id));
        }
    }

    fn end_overdue_attempts(&mut self, now: Time, out: &mut Vec<Decision>) {
        let overdue: Vec<Udid> = self
            .fleet
            .phones
            .iter()
            .filter(|(_, phone)| deadline(phone).is_some_and(|deadline| deadline <= now))
            .map(|(udid, _)| udid.clone())
            .collect();
        for udid in overdue {
            self.give_up(now, &udid, "the attempt did not end in its time", out);
        }
    }

    /// Ends the attempt on a phone without its rack's word, if one counts there.
    fn give_up(&mut self, now: Time, udid: &Udid, reason: &str, out: &mut Vec<Decision>) {
        let hold = self.fleet.phones.get(udid).and_then(|phone| phone.record.hold.clone());
        let Some(Hold { attempt, phase: HoldPhase::Active { .. } }) = hold else { return };
        let end = AttemptEnd::Failed { blame: Blame::Rack, step: StepName::Run, reason: reason.to_owned() };
        self.release(now, udid, out);
        self.settle(now, attempt, unreported(end, now), out);
    }

    fn end_quarantines(&mut self, now: Time, out: &mut Vec<Decision>) {
        for phone in self.fleet.phones.values_mut() {
            let until = phone.record.quarantine.as_ref().and_then(|quarantine| quarantine.until);
            if until.is_some_and(|until| until <= now) {
                phone.record.quarantine = None;
                phone.record.failures_in_a_row = 0;
                out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
            }
        }
    }

    /// The earliest time at which something happens by itself.
    fn next_wake(&self) -> Option<Time> {
        let heard = self.fleet.racks.values().filter(|rack| rack.presence != Presence::Silent);
        let silence = heard.map(|rack| rack.last_heard.after(self.policy.rack_silent_after));
        let deadlines = self.fleet.phones.values().filter_map(deadline);
        let quarantines =
            self.fleet.phones.values().filter_map(|phone| phone.record.quarantine.as_ref()?.until);
        let expiry = self.queue.first_to_expire().map(|(at, _)| at);
        let lift_after = self.lift_after();
        let lift = self.queue.oldest().and_then(|(submitted, _)| Some(submitted.after(lift_after?)));
        silence.chain(deadlines).chain(quarantines).chain(expiry).chain(lift).min()
    }

    fn ask_to_be_woken(&mut self, out: &mut Vec<Decision>) {
        let wake = self.next_wake();
        // A timer that fires too early costs one empty turn; asking anew at every heartbeat would cost more.
        if let Some(at) = wake
            && self.woken_at.is_none_or(|asked| at < asked)
        {
            self.woken_at = Some(at);
            out.push(Decision::WakeAt(at));
        }
    }

    fn order_of(&self, udid: &Udid, phone: &Phone, now: Time) -> Decision {
        let job = phone.record.hold.as_ref().and_then(|hold| self.jobs.get(&hold.attempt.job));
        order_of(udid, &phone.record, job, now)
    }

    /// Holds and running jobs must say the same.
    fn check_holds(&self) -> Result<(), RestoreError> {
        for (udid, phone) in &self.fleet.phones {
            let Some(Hold { attempt, phase: HoldPhase::Active { .. } }) = &phone.record.hold else {
                continue;
            };
            let running = self.jobs.get(&attempt.job).is_some_and(|job| {
                job.state
                    == JobState::Running { attempt: attempt.number, phone: udid.clone(), others: Vec::new() }
            });
            if !running {
                return Err(RestoreError::Hold { phone: udid.clone(), attempt: *attempt });
            }
        }
        for (id, job) in &self.jobs {
            let JobState::Running { attempt, phone, others: _ } = &job.state else { continue };
            let expected = AttemptId { job: *id, number: *attempt };
            let held = self.fleet.phones.get(phone).and_then(|phone| phone.record.hold.as_ref());
            let counts = |hold: &Hold| hold.attempt == expected && hold.phase != HoldPhase::Releasing;
            if !held.is_some_and(counts) {
                return Err(RestoreError::Running { job: *id, phone: phone.clone() });
            }
        }
        Ok(())
    }
}

fn deadline(phone: &Phone) -> Option<Time> {
    match phone.record.hold.as_ref()?.phase {
        HoldPhase::Active { deadline } => Some(deadline),
        HoldPhase::Releasing => None,
    }
}
