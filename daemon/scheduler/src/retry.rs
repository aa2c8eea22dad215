//! What follows from the end of an attempt: the job is done, goes on later, is tried again, or is given up, and the
//! phone is trusted or kept from work. Blame alone decides.

use std::sync::Arc;

use holdfast_wire::id::{AttemptId, JobId};
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};

use crate::decision::Decision;
use crate::fleet::Touch;
use crate::kinds::PhoneId;
use crate::lease::{close, unreported};
use crate::record::{Ended, JobRecord, Quarantined};
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// Attempts of one job, at most, whatever is to blame: its record must stay small, and a job that was begun so often
/// needs a person.
pub const ATTEMPTS_MAX: usize = 32;

impl Scheduler {
    /// Ends an attempt that counts, and decides what becomes of its job. The phone has been dealt with.
    pub(crate) fn settle_attempt(&mut self, attempt: AttemptId, ended: Ended) {
        let id = attempt.job;
        let (at, end) = (ended.at, ended.end.clone());
        let Some(slot) = self.jobs.get_mut(id) else { return };
        let (owner, usual_ms) = (slot.owner, slot.usual_ms);
        let record = Arc::make_mut(&mut slot.record);
        close(record, attempt, ended);
        let held =
            record.attempt(attempt.number).map(|attempt| at.since(attempt.leased_at)).unwrap_or_default();
        self.charge_end(owner, usual_ms, held);
        self.pace_of(id, &end, held);
        let still_running =
            self.jobs.get(id).is_some_and(|slot| running(&slot.record).any(|other| other != attempt.number));
        if still_running && end == AttemptEnd::Passed {
            // Of a job on several phones the others have yet to end.
            self.touch_job(id);
            return;
        }
        self.end_others(attempt);
        match self.outcome(id, end) {
            Some(outcome) => self.end_job(id, outcome),
            None => {
                if let Some(slot) = self.jobs.get_mut(id) {
                    Arc::make_mut(&mut slot.record).state = JobState::Queued;
                }
                self.touch_job(id);
                self.wait(id);
            }
        }
    }

    /// What an attempt's end makes of its job; none when it goes on.
    fn outcome(&mut self, id: JobId, end: AttemptEnd) -> Option<JobOutcome> {
        let budget_of = self.policy.retries;
        let slot = self.jobs.get_mut(id)?;
        let record = Arc::make_mut(&mut slot.record);
        let outcome = match end {
            AttemptEnd::Passed => Some(passed(record)),
            AttemptEnd::Failed { blame, step, reason } => {
                let failures = record.failures().get(&blame).copied().unwrap_or(0);
                (failures > budget_of.budget(blame)).then(|| JobOutcome::Failed {
                    blame,
                    reason: if failures > 1 {
                        format!("{failures} attempts failed, the last in {step}: {reason}")
                    } else {
                        reason
                    },
                })
            }
            AttemptEnd::Yielded { cases_done, failure } => {
                let all = u32::try_from(record.spec.cases.len()).unwrap_or(u32::MAX);
                record.cases_done = record.cases_done.saturating_add(cases_done).min(all);
                record.failure = record.failure.take().or(failure);
                record.yielded += 1;
                (record.cases_done == all).then(|| passed(record))
            }
            // Nobody took the job back, so it goes on waiting.
            AttemptEnd::Revoked => None,
        };
        let worn_out = record.attempts.len() + usize::from(record.spec.phones) > ATTEMPTS_MAX;
        outcome.or_else(|| {
            worn_out.then(|| JobOutcome::Failed {
                blame: Blame::Farm,
                reason: format!(
                    "{ATTEMPTS_MAX} attempts came to nothing; look at the attempts, then submit it again"
                ),
            })
        })
    }

    /// One attempt of a job on several phones has failed: the others are given up.
    fn end_others(&mut self, attempt: AttemptId) {
        let Some(slot) = self.jobs.get(attempt.job) else { return };
        let others: Vec<u32> = running(&slot.record).filter(|number| *number != attempt.number).collect();
        for number in others {
            let other = AttemptId { job: attempt.job, number };
            self.revoke(other);
        }
    }

    /// Gives up an attempt that counts: its phone has yet to be shown clean. Its job is the caller's to deal with.
    pub(crate) fn revoke(&mut self, attempt: AttemptId) {
        let now = self.now;
        let Some(slot) = self.jobs.get_mut(attempt.job) else { return };
        let (owner, usual_ms) = (slot.owner, slot.usual_ms);
        let record = Arc::make_mut(&mut slot.record);
        close(record, attempt, unreported(AttemptEnd::Revoked, now));
        let Some(closed) = record.attempt(attempt.number) else { return };
        let (udid, held) = (closed.phone.clone(), now.since(closed.leased_at));
        self.charge_end(owner, usual_ms, held);
        if let Some(phone) = self.by_udid.get(&udid).copied()
            && self.phones[phone].counting().is_some_and(|hold| hold.attempt == attempt)
        {
            self.release(phone);
        }
    }

    /// The job is over: recorded for good, and no longer thought of.
    pub(crate) fn end_job(&mut self, id: JobId, outcome: JobOutcome) {
        self.leave(id);
        if let Some(slot) = self.jobs.get(id).filter(|slot| slot.is_staged) {
            let (phone, owner, usual_ms) = (slot.seat, slot.owner, slot.usual_ms);
            self.take_back(phone);
            self.ahead.is_one_left = true;
            self.charge_end(owner, usual_ms, std::time::Duration::ZERO);
        }
        let Some(mut slot) = self.jobs.remove(id) else { return };
        Arc::make_mut(&mut slot.record).state = JobState::Ended { outcome, at: self.now };
        self.turn.out.push(Decision::SaveJob(slot.record));
    }

    /// Ends the attempt on a phone without its rack's word, if one counts there.
    pub(crate) fn give_up(&mut self, phone: PhoneId, reason: &str) {
        let Some(hold) = self.phones[phone].counting() else { return self.give_next_up(phone) };
        let attempt = hold.attempt;
        let end = AttemptEnd::Failed { blame: Blame::Rack, step: StepName::Run, reason: reason.to_owned() };
        self.release(phone);
        self.settle_attempt(attempt, unreported(end, self.now));
    }

    /// Counts the end of an attempt for or against its phone. The caller has the phone recorded.
    pub(crate) fn judge_phone(&mut self, id: PhoneId, end: &AttemptEnd) {
        let rule = self.policy.quarantine;
        let now = self.now;
        let phone = &mut self.phones[id];
        match end {
            AttemptEnd::Passed | AttemptEnd::Failed { blame: Blame::Job, .. } => {
                phone.record.failures_in_a_row = 0;
            }
            AttemptEnd::Failed { blame: Blame::Phone, step, reason } => {
                phone.record.failures_in_a_row = phone.record.failures_in_a_row.saturating_add(1);
                if phone.record.failures_in_a_row >= rule.after_failures {
                    let until = now.after(rule.lasts);
                    phone.record.quarantine = Some(Quarantined {
                        reason: format!(
                            "{} attempts in a row failed through this phone, the last in {step}: {reason}",
                            phone.record.failures_in_a_row
                        ),
                        since: now,
                        until: Some(until),
                    });
                    self.timers.set(until, Timer::Parole(id));
                }
            }
            AttemptEnd::Failed { blame: Blame::Rack | Blame::Farm, .. }
            | AttemptEnd::Revoked
            | AttemptEnd::Yielded { .. } => {}
        }
    }

    /// Phones whose quarantine is over may work again.
    pub(crate) fn parole(&mut self, id: PhoneId) {
        let until = self.phones[id].record.quarantine.as_ref().and_then(|why| why.until);
        if until.is_some_and(|until| until <= self.now) {
            let record = &mut self.phones[id].record;
            record.quarantine = None;
            record.failures_in_a_row = 0;
            self.changed(id, Touch::Recorded);
        }
    }
}

/// The outcome of a job of which every case is done.
fn passed(record: &mut JobRecord) -> JobOutcome {
    match record.failure.take() {
        None => JobOutcome::Passed,
        Some(reason) => {
            record.failure = Some(reason.clone());
            JobOutcome::Failed { blame: Blame::Job, reason }
        }
    }
}

/// The numbers of the attempts that count now.
pub(crate) fn running(job: &JobRecord) -> impl Iterator<Item = u32> {
    let (first, others) = match &job.state {
        JobState::Running { attempt, others, .. } => (Some(*attempt), others.as_slice()),
        JobState::Queued | JobState::Ended { .. } => (None, [].as_slice()),
    };
    let numbers = first.into_iter().chain(others.iter().map(|member| member.attempt));
    numbers.filter(|number| job.attempt(*number).is_some_and(|attempt| attempt.ended.is_none()))
}
