//! What is counted and timed as it happens, by class and pool. Everything that can be read off the picture is not
//! here (`metrics`). All of it begins anew with the daemon; a turn is counted once, when it is durable.

use std::sync::atomic::AtomicU64;

use holdfast_scheduler::{AttemptRecord, JobRecord};
use holdfast_wire::id::Udid;
use holdfast_wire::job::{JobClass, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::time::Time;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::snapshot::Snapshot;

/// Upper bounds of an attempt's duration, seconds: from a single launch to a whole suite.
const DURATION_BUCKETS: [f64; 10] = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1_800.0, 7_200.0];

/// Upper bounds of waiting times, seconds: from a free phone to a night.
const WAIT_BUCKETS: [f64; 12] =
    [0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0];

/// Upper bounds of idle gaps, seconds: from the loop's own pace to a phone that nothing wants.
const GAP_BUCKETS: [f64; 11] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, 60.0, 600.0, 3_600.0];

/// The class of a job and the pool of its phone.
type Place = [(&'static str, String); 2];

type Timed = Family<Place, Histogram, fn() -> Histogram>;

/// The meters.
#[derive(Debug)]
pub struct Meters {
    submitted: Family<[(&'static str, String); 1], Counter>,
    ended: Family<[(&'static str, String); 2], Counter>,
    attempts: Family<[(&'static str, String); 2], Counter>,
    durations: Histogram,
    waits: Timed,
    gaps: Timed,
    turns: Counter<u64, AtomicU64>,
    decisions: Counter<u64, AtomicU64>,
}

/// What a turn is counted as.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A job was submitted.
    Submitted(JobClass),
    /// A job is over.
    Ended(JobClass, &'static str),
    /// A job was given a phone.
    Leased {
        /// Its class.
        class: JobClass,
        /// The phone's pool; empty when it has none.
        pool: String,
        /// How long it had waited, seconds.
        waited_s: f64,
        /// How long the phone had rested, seconds; none when it had run nothing yet.
        rested_s: Option<f64>,
    },
    /// An attempt is over.
    Over {
        /// How.
        outcome: &'static str,
        /// Whom to blame; empty for nobody.
        blame: &'static str,
        /// How long it had its phone, seconds.
        took_s: f64,
    },
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            submitted: Family::default(),
            ended: Family::default(),
            attempts: Family::default(),
            durations: Histogram::new(DURATION_BUCKETS),
            waits: Family::new_with_constructor(|| Histogram::new(WAIT_BUCKETS)),
            gaps: Family::new_with_constructor(|| Histogram::new(GAP_BUCKETS)),
            turns: Counter::default(),
            decisions: Counter::default(),
        }
    }
}

impl Meters {
    /// Counts a turn that is durable.
    pub fn count(&self, readings: Vec<Reading>, decisions: usize) {
        self.turns.inc();
        self.decisions.inc_by(decisions as u64);
        for reading in readings {
            match reading {
                Reading::Submitted(class) => {
                    self.submitted.get_or_create(&[("class", class.to_string())]).inc();
                }
                Reading::Ended(class, outcome) => {
                    let labels = [("class", class.to_string()), ("outcome", outcome.to_owned())];
                    self.ended.get_or_create(&labels).inc();
                }
                Reading::Leased { class, pool, waited_s, rested_s } => {
                    let labels = [("class", class.to_string()), ("pool", pool)];
                    self.waits.get_or_create(&labels).observe(waited_s);
                    if let Some(rested_s) = rested_s {
                        self.gaps.get_or_create(&labels).observe(rested_s);
                    }
                }
                Reading::Over { outcome, blame, took_s } => {
                    let labels = [("outcome", outcome.to_owned()), ("blame", blame.to_owned())];
                    self.attempts.get_or_create(&labels).inc();
                    self.durations.observe(took_s);
                }
            }
        }
    }

    /// Lets a registry show everything.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("jobs_submitted", "Jobs submitted, by class", self.submitted.clone());
        registry.register("jobs_ended", "Jobs that are over, by class and outcome", self.ended.clone());
        registry.register("attempts", "Attempts that are over, by outcome and blame", self.attempts.clone());
        let durations = self.durations.clone();
        registry.register_with_unit("attempt_duration", "From lease to end", Unit::Seconds, durations);
        registry.register_with_unit(
            "queue_wait",
            "From the time a job began to wait until it was given a phone, by class and pool",
            Unit::Seconds,
            self.waits.clone(),
        );
        registry.register_with_unit(
            "phone_idle_gap",
            "From the end of an attempt until its phone was given to the next, by class and pool of the next",
            Unit::Seconds,
            self.gaps.clone(),
        );
        registry.register("turns", "Turns of the loop", self.turns.clone());
        registry.register("decisions", "Decisions of the scheduler", self.decisions.clone());
    }
}

/// What a change of a job is counted as, seen from the picture before it; when each phone was last let go of is kept
/// in `rested`.
pub(crate) fn read(
    before: &Snapshot,
    job: &JobRecord,
    rested: &mut std::collections::BTreeMap<Udid, Time>,
    readings: &mut Vec<Reading>,
) {
    let class = job.spec.class;
    let known = before.jobs.get(&job.id);
    if known.is_none() && !matches!(job.state, JobState::Ended { .. }) {
        readings.push(Reading::Submitted(class));
    }
    for (index, attempt) in job.attempts.iter().enumerate() {
        let was = known.and_then(|known| known.attempts.get(index));
        if was.is_none() {
            let began = job.attempts.iter().take(index).filter_map(|one| one.ended.as_ref());
            let began = began.map(|ended| ended.at).max().unwrap_or(job.submitted_at).max(job.submitted_at);
            let pool = before.phone_at_rest(&attempt.phone).and_then(|phone| phone.pool.as_ref());
            readings.push(Reading::Leased {
                class,
                pool: pool.map(ToString::to_string).unwrap_or_default(),
                waited_s: attempt.leased_at.since(began).as_secs_f64(),
                rested_s: rested.get(&attempt.phone).map(|at| attempt.leased_at.since(*at).as_secs_f64()),
            });
        }
        if let Some(ended) = attempt.ended.as_ref().filter(|_| was.is_none_or(|was| was.ended.is_none())) {
            readings.push(over(attempt, &ended.end, ended.at));
            rested.insert(attempt.phone.clone(), ended.at);
        }
    }
    if let JobState::Ended { outcome, .. } = &job.state
        && !known.is_some_and(|known| matches!(known.state, JobState::Ended { .. }))
    {
        readings.push(Reading::Ended(class, outcome.as_str()));
    }
}

fn over(attempt: &AttemptRecord, end: &AttemptEnd, at: Time) -> Reading {
    let (outcome, blame) = match end {
        AttemptEnd::Passed => ("passed", ""),
        AttemptEnd::Failed { blame, .. } => ("failed", blame.as_str()),
        AttemptEnd::Revoked => ("revoked", ""),
        AttemptEnd::Yielded { .. } => ("yielded", ""),
    };
    Reading::Over { outcome, blame, took_s: at.since(attempt.leased_at).as_secs_f64() }
}
