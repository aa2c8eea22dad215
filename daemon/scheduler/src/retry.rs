//! What follows from the end of an attempt: the job is done, tried again, or given up, and the phone is
//! trusted or kept from work. Blame alone decides.

use std::sync::Arc;

use holdfast_wire::id::{AttemptId, JobId, Udid};
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::outcome::{AttemptEnd, Blame};
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::lease::close;
use crate::record::{Ended, Quarantined};
use crate::scheduler::Scheduler;

/// Attempts of one job, at most, whatever is to blame: its record must stay small, and a job that was begun so often
/// needs a person.
pub const ATTEMPTS_MAX: usize = 32;

impl Scheduler {
    /// Ends an attempt that counts, and decides what becomes of its job.
    pub(crate) fn settle(&mut self, now: Time, attempt: AttemptId, ended: Ended, out: &mut Vec<Decision>) {
        let end = ended.end.clone();
        let budget_of = self.policy.retries;
        let Some(job) = self.jobs.get_mut(&attempt.job) else { return };
        let record = Arc::make_mut(job);
        close(record, attempt, ended);
        let outcome = match end {
            AttemptEnd::Passed => Some(JobOutcome::Passed),
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
            // Nobody took the job back, so it goes on waiting.
            AttemptEnd::Revoked | AttemptEnd::Yielded { .. } => None,
        };
        let worn_out = record.attempts.len() >= ATTEMPTS_MAX;
        let outcome = outcome.or_else(|| {
            worn_out.then(|| JobOutcome::Failed {
                blame: Blame::Farm,
                reason: format!(
                    "{ATTEMPTS_MAX} attempts came to nothing; look at the attempts, then submit it again"
                ),
            })
        });
        match outcome {
            Some(outcome) => self.end_job(now, attempt.job, outcome, out),
            None => {
                record.state = JobState::Queued;
                out.push(Decision::SaveJob(job.clone()));
                self.queue.insert(job);
            }
        }
    }

    /// The job is over: recorded for good, and no longer thought of.
    pub(crate) fn end_job(&mut self, now: Time, id: JobId, outcome: JobOutcome, out: &mut Vec<Decision>) {
        let Some(mut job) = self.jobs.remove(&id) else { return };
        self.queue.remove(&job);
        Arc::make_mut(&mut job).state = JobState::Ended { outcome, at: now };
        out.push(Decision::SaveJob(job));
    }

    /// Counts the end of an attempt for or against its phone. The caller records the phone.
    pub(crate) fn judge_phone(&mut self, now: Time, udid: &Udid, end: &AttemptEnd) {
        let rule = self.policy.quarantine;
        let Some(phone) = self.fleet.phones.get_mut(udid) else { return };
        match end {
            AttemptEnd::Passed | AttemptEnd::Failed { blame: Blame::Job, .. } => {
                phone.record.failures_in_a_row = 0;
            }
            AttemptEnd::Failed { blame: Blame::Phone, step, reason } => {
                phone.record.failures_in_a_row = phone.record.failures_in_a_row.saturating_add(1);
                if phone.record.failures_in_a_row >= rule.after_failures {
                    phone.record.quarantine = Some(Quarantined {
                        reason: format!(
                            "{} attempts in a row failed through this phone, the last in {step}: {reason}",
                            phone.record.failures_in_a_row
                        ),
                        since: now,
                        until: Some(now.after(rule.lasts)),
                    });
                }
            }
            AttemptEnd::Failed { blame: Blame::Rack | Blame::Farm, .. }
            | AttemptEnd::Revoked
            | AttemptEnd::Yielded { .. } => {}
        }
    }
}
