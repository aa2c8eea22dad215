//! What each event does.

use std::sync::Arc;

use holdfast_wire::id::{AttemptId, BlobHash, JobId, LeaseNumber, RackId, Udid};
use holdfast_wire::job::{JobOutcome, JobSpec, JobState};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{HeldLease, IdlePhone};
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::event::Event;
use crate::fleet::{Changed, Phone, Presence, Rack, RackNumber, Touch};
use crate::lease::unreported;
use crate::record::{Ended, HoldPhase, JobRecord, Quarantined, Taken};
use crate::retry::running;
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// What the end of an attempt usually leads to: two jobs, an owner and a phone are recorded, an order is given, and the
/// next waking is asked for.
const USUAL_DECISIONS: usize = 6;

impl Scheduler {
    pub(crate) fn happened(&mut self, event: Event) {
        match event {
            Event::JobSubmitted { job, spec } => self.job_submitted(job, *spec),
            Event::JobCancelled { job } => self.job_cancelled(job),
            Event::PhoneReported { rack, report } => self.phone_reported(&rack, *report),
            Event::AttemptEnded { rack: _, attempt, phone, lease, end, report } => {
                self.attempt_ended(attempt, &phone, lease, end, report);
            }
            Event::RackSynced { rack, held, idle } => self.rack_synced(&rack, &held, &idle),
            Event::PhoneReleased { phone } => self.phone_released(&phone),
            Event::PhoneQuarantined { phone, reason, until } => {
                let why = Quarantined { reason, since: self.now, until };
                self.phone_quarantined(&phone, why);
            }
            Event::PhoneTaken { phone, by, reason, until } => {
                let taken = Taken { by, reason, since: self.now, until };
                self.phone_taken(&phone, taken);
            }
            Event::LeaseRevoked { phone, reason: _ } => self.lease_revoked(&phone),
            Event::PolicyChanged { policy } => self.obey(*policy),
            Event::TimeReached => self.woken_at = None,
        }
    }

    fn job_submitted(&mut self, id: JobId, spec: JobSpec) {
        assert!(id >= self.next_job, "{id} is a new job");
        self.next_job = JobId(id.0 + 1);
        let class = spec.class;
        let record = JobRecord {
            id,
            spec,
            submitted_at: self.now,
            state: JobState::Queued,
            attempts: Vec::new(),
            cases_done: 0,
            failure: None,
            yielded: 0,
        };
        let slot = self.slot(Arc::new(record));
        self.jobs.insert(id, slot);
        self.note_age(class, self.now, id);
        self.touch_job(id);
        self.wait(id);
    }

    fn job_cancelled(&mut self, id: JobId) {
        let Some(slot) = self.jobs.get(id) else { return };
        let counting: Vec<u32> = running(&slot.record).collect();
        for number in counting {
            self.revoke(AttemptId { job: id, number });
        }
        self.end_job(id, JobOutcome::Cancelled);
    }

    pub(crate) fn expire(&mut self, id: JobId) {
        let due = self.jobs.get(id).filter(|slot| {
            slot.is_waiting && slot.record.spec.start_by.is_some_and(|start_by| start_by <= self.now)
        });
        if due.is_some() {
            self.end_job(id, JobOutcome::Expired);
        }
    }

    /// The number of a rack; one that speaks for the first time is expected to.
    pub(crate) fn rack(&mut self, id: &RackId) -> RackNumber {
        if let Some(number) = self.by_rack.get(id) {
            return *number;
        }
        let number = self.racks.len();
        self.racks.push(Rack {
            id: id.clone(),
            last_heard: self.now,
            presence: Presence::Expected,
            phones: std::collections::BTreeSet::new(),
            releasing: std::collections::BTreeSet::new(),
            unsure: std::collections::BTreeSet::new(),
        });
        self.by_rack.insert(id.clone(), number);
        self.turn.racks.insert(number);
        self.timers.set(self.now.after(self.policy.rack_silent_after), Timer::Silence(number));
        number
    }

    fn phone_reported(&mut self, rack: &RackId, report: PhoneReport) {
        let now = self.now;
        let number = self.rack(rack);
        let Some(id) = self.by_udid.get(&report.facts.udid).copied() else {
            let id = self.phones.len();
            self.by_udid.insert(report.facts.udid.clone(), id);
            self.phones.push(Phone::discovered(rack, number, report, now));
            self.racks[number].phones.insert(id);
            self.turn.racks.insert(number);
            self.look_at(id, Changed::Lasting);
            self.changed(id, Touch::Recorded);
            return;
        };
        if self.phones[id].rack != number {
            return self.claimed(id, number, report);
        }
        let same = *self.phones[id].record.facts == report.facts;
        let changed = self.phones[id].report(rack, number, report, now);
        if !same {
            self.look_at(id, changed);
        }
        self.follow(id);
        self.changed(id, if changed == Changed::Lasting { Touch::Recorded } else { Touch::Shown });
    }

    fn attempt_ended(
        &mut self,
        attempt: AttemptId,
        udid: &Udid,
        lease: LeaseNumber,
        end: AttemptEnd,
        report: BlobHash,
    ) {
        // The job knows where it runs, which saves looking the phone up by name.
        let seat = self
            .jobs
            .get(attempt.job)
            .and_then(|slot| self.phones.get(slot.seat).map(|phone| (slot.seat, phone)));
        let seat = seat.filter(|(_, phone)| phone.udid() == udid).map(|(id, _)| id);
        let Some(id) = seat.or_else(|| self.by_udid.get(udid).copied()) else { return };
        self.turn.out.reserve(USUAL_DECISIONS);
        self.has_begun_and_ended(id, attempt, lease);
        let phone = &mut self.phones[id];
        let holds = phone.record.hold.as_ref().filter(|hold| hold.attempt == attempt);
        let phase = holds.filter(|_| lease == phone.record.last_lease).map(|hold| hold.phase);
        match phase {
            Some(HoldPhase::Active { .. } | HoldPhase::Yielding { .. }) => {
                let held = self.jobs.get(attempt.job).and_then(|slot| slot.record.attempts.last());
                let held = held.map(|attempt| self.now.since(attempt.leased_at)).unwrap_or_default();
                let held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
                self.phones[id].record.busy_ms = self.phones[id].record.busy_ms.saturating_add(held_ms);
                self.judge_phone(id, &end);
                if self.goes_on(id, &end) {
                    self.begin_next(id);
                } else {
                    self.free(id);
                }
                self.settle_attempt(attempt, Ended { end, at: self.now, report: Some(report) });
            }
            Some(HoldPhase::Releasing) => {
                self.turn.out.push(Decision::KeepLateReport { attempt, report });
                self.free(id);
            }
            None => self.turn.out.push(Decision::KeepLateReport { attempt, report }),
        }
    }

    fn rack_synced(&mut self, rack: &RackId, held: &[HeldLease], idle: &[IdlePhone]) {
        let number = self.rack(rack);
        let entry = &mut self.racks[number];
        entry.last_heard = self.now;
        let returned = entry.presence != Presence::Heard;
        entry.presence = Presence::Heard;
        if returned {
            self.turn.racks.insert(number);
            self.timers.set(self.now.after(self.policy.rack_silent_after), Timer::Silence(number));
            for phone in self.racks[number].phones.clone() {
                self.changed(phone, Touch::Shown);
            }
            self.weigh_claims();
        }
        if !self.racks[number].releasing.is_empty() {
            let is_held = |phone: &usize| held.iter().any(|lease| lease.phone == *self.phones[*phone].udid());
            let free: Vec<usize> =
                self.racks[number].releasing.iter().copied().filter(|phone| !is_held(phone)).collect();
            for phone in free {
                self.free(phone);
            }
        }
        if !self.racks[number].unsure.is_empty() {
            self.hear_of_next(number, held);
        }
        for IdlePhone { phone, obeyed } in idle {
            self.phone_idle(number, phone, *obeyed);
        }
    }

    /// A rack says that nothing runs on a phone and nothing is left to report: what the farm thinks runs there under
    /// a lease that the phone has obeyed is lost.
    fn phone_idle(&mut self, rack: RackNumber, udid: &Udid, obeyed: LeaseNumber) {
        let Some(id) = self.by_udid.get(udid).copied() else { return };
        let phone = &self.phones[id];
        if phone.rack != rack {
            return;
        }
        let Some(hold) = phone.counting().filter(|_| obeyed >= phone.record.last_lease) else {
            return self.hear_it_rests(id, obeyed);
        };
        let attempt = hold.attempt;
        let reason = "the rack is there, but has neither the attempt nor its report: it was lost".to_owned();
        let end = AttemptEnd::Failed { blame: Blame::Rack, step: StepName::Run, reason };
        if phone.record.next.as_ref().is_some_and(|next| obeyed >= next.lease) {
            self.fence_next(id);
        }
        self.free(id);
        self.hear_it_rests(id, obeyed);
        self.settle_attempt(attempt, unreported(end, self.now));
    }

    /// A rack may have been silent for too long.
    pub(crate) fn listen_for(&mut self, number: RackNumber) {
        let rack = &mut self.racks[number];
        let silent_at = rack.last_heard.after(self.policy.rack_silent_after);
        if silent_at > self.now {
            self.timers.set(silent_at, Timer::Silence(number));
            return;
        }
        if rack.presence == Presence::Silent {
            return;
        }
        rack.presence = Presence::Silent;
        self.turn.racks.insert(number);
        let (id, phones) = (rack.id.clone(), rack.phones.clone());
        for phone in phones {
            self.changed(phone, Touch::Shown);
            self.give_up(phone, &format!("rack {id} fell silent"));
        }
        self.weigh_claims();
    }

    fn phone_released(&mut self, udid: &Udid) {
        let Some(id) = self.by_udid.get(udid).copied() else { return };
        let record = &mut self.phones[id].record;
        record.quarantine = None;
        record.failures_in_a_row = 0;
        record.taken = None;
        self.changed(id, Touch::Recorded);
    }

    fn phone_quarantined(&mut self, udid: &Udid, why: Quarantined) {
        let Some(id) = self.by_udid.get(udid).copied() else { return };
        if let Some(until) = why.until {
            self.timers.set(until, Timer::Parole(id));
        }
        self.phones[id].record.quarantine = Some(why);
        self.changed(id, Touch::Recorded);
    }

    fn phone_taken(&mut self, udid: &Udid, taken: Taken) {
        let Some(id) = self.by_udid.get(udid).copied() else { return };
        if let Some(until) = taken.until {
            self.timers.set(until, Timer::Return(id));
        }
        self.phones[id].record.taken = Some(taken);
        self.changed(id, Touch::Recorded);
    }

    /// A borrowed phone may come back.
    pub(crate) fn give_back(&mut self, id: usize) {
        let until = self.phones[id].record.taken.as_ref().and_then(|taken| taken.until);
        if until.is_some_and(|until| until <= self.now) {
            self.phones[id].record.taken = None;
            self.changed(id, Touch::Recorded);
        }
    }

    fn lease_revoked(&mut self, udid: &Udid) {
        let Some(id) = self.by_udid.get(udid).copied() else { return };
        let Some(hold) = self.phones[id].counting() else { return };
        let attempt = hold.attempt;
        self.release(id);
        self.settle_attempt(attempt, unreported(AttemptEnd::Revoked, self.now));
    }

    /// The instant at which a rack is taken to be gone unless it speaks.
    pub(crate) fn silent_at(&self, number: RackNumber) -> Time {
        self.racks[number].last_heard.after(self.policy.rack_silent_after)
    }
}
