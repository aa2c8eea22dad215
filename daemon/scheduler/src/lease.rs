//! Giving a phone to an attempt, and taking it back. The lease number grows by one with every lease of a phone
//! and is recorded before any order leaves.

use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::id::{AttemptId, Udid};
use holdfast_wire::job::JobState;
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::sync::{Order, Work};
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::matching::Pairing;
use crate::record::{AttemptRecord, Ended, Hold, HoldPhase, JobRecord, PhoneRecord};
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Gives leases until no waiting job fits a free phone.
    pub(crate) fn dispatch(&mut self, now: Time, out: &mut Vec<Decision>) {
        while let Some(pairing) = self.next_pairing() {
            self.grant(now, &pairing, out);
        }
    }

    fn grant(&mut self, now: Time, pairing: &Pairing, out: &mut Vec<Decision>) {
        let deadline = now.after(self.attempt_limit(pairing));
        let (Some(job), Some(phone)) =
            (self.jobs.get_mut(&pairing.job), self.fleet.phones.get_mut(&pairing.phone))
        else {
            return;
        };
        assert!(phone.record.hold.is_none(), "{} is free", pairing.phone);
        self.queue.remove(job);
        let number = u32::try_from(job.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let attempt = AttemptId { job: job.id, number };
        let lease = phone.record.last_lease.next();
        phone.record.last_lease = lease;
        phone.record.hold = Some(Hold { attempt, phase: HoldPhase::Active { deadline } });
        let record = Arc::make_mut(job);
        record.state =
            JobState::Running { attempt: number, phone: pairing.phone.clone(), others: Vec::new() };
        record.attempts.push(AttemptRecord {
            phone: pairing.phone.clone(),
            rack: phone.record.rack.clone(),
            lease,
            leased_at: now,
            ended: None,
        });
        out.push(Decision::SaveJob(job.clone()));
        out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
        out.push(order_of(&pairing.phone, &phone.record, Some(job), now));
    }

    /// How long an attempt of the job may hold a phone.
    fn attempt_limit(&self, pairing: &Pairing) -> Duration {
        let cases =
            self.jobs.get(&pairing.job).map(|job| job.spec.cases.iter().map(|case| case.run_limit()).sum());
        self.policy.attempt_overhead.saturating_add(cases.unwrap_or_default())
    }

    /// Gives an attempt up while its rack still has the phone: the attempt no longer counts, and the phone is
    /// free once its rack has shown so.
    pub(crate) fn release(&mut self, now: Time, udid: &Udid, out: &mut Vec<Decision>) {
        let Some(phone) = self.fleet.phones.get_mut(udid) else { return };
        if let Some(hold) = &mut phone.record.hold {
            hold.phase = HoldPhase::Releasing;
            out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
            out.push(rest(udid, &phone.record));
        }
        if phone.elsewhere.is_some() {
            self.free(now, udid, out);
        }
    }

    /// The phone is free: its rack has shown that nothing of the lease is left.
    pub(crate) fn free(&mut self, now: Time, udid: &Udid, out: &mut Vec<Decision>) {
        let Some(phone) = self.fleet.phones.get_mut(udid) else { return };
        phone.record.hold = None;
        phone.since = now;
        phone.last_used = now;
        if let Some(moved) = phone.elsewhere.take() {
            let (rack, report) = *moved;
            out.push(rest(udid, &phone.record));
            out.push(Decision::RackChanged(phone.record.rack.clone()));
            phone.report(&rack, report, now);
        }
        out.push(Decision::SavePhone(Arc::new(phone.record.clone())));
        out.push(rest(udid, &phone.record));
    }
}

/// Writes the end of an attempt into its job.
pub(crate) fn close(job: &mut JobRecord, attempt: AttemptId, ended: Ended) {
    let place = usize::try_from(attempt.number).unwrap_or(0).wrapping_sub(1);
    if let Some(record) = job.attempts.get_mut(place) {
        record.ended = Some(ended);
    }
}

/// The end of an attempt that its rack did not report.
pub(crate) fn unreported(end: AttemptEnd, at: Time) -> Ended {
    Ended { end, at, report: None }
}

/// What a phone has to do, from what is recorded: the same after a restart as before it.
pub(crate) fn order_of(
    udid: &Udid,
    phone: &PhoneRecord,
    job: Option<&Arc<JobRecord>>,
    now: Time,
) -> Decision {
    match (&phone.hold, job) {
        (Some(Hold { attempt, phase: HoldPhase::Active { deadline } }), Some(job)) => Decision::Order {
            rack: phone.rack.clone(),
            phone: udid.clone(),
            order: Order::Run {
                lease: phone.last_lease,
                work: Box::new(Work {
                    attempt: *attempt,
                    class: job.spec.class,
                    build: job.spec.build.clone(),
                    cases: job.spec.cases.clone(),
                    limit_ms: u64::try_from(deadline.since(now).as_millis()).unwrap_or(u64::MAX),
                    with: Vec::new(),
                }),
            },
        },
        (Some(_), _) | (None, _) => rest(udid, phone),
    }
}

fn rest(udid: &Udid, phone: &PhoneRecord) -> Decision {
    Decision::Order {
        rack: phone.rack.clone(),
        phone: udid.clone(),
        order: Order::Rest { through: phone.last_lease },
    }
}
