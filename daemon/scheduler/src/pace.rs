//! How long attempts take, learned from those that ran to their end: by the first case and the number of cases.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_wire::id::{CaseName, JobId};
use holdfast_wire::outcome::{AttemptEnd, Blame};

use crate::scheduler::Scheduler;

/// What is remembered, at most: jobs with cases of their own could else fill the memory.
const REMEMBERED_MAX: usize = 10_000;

/// How much a new attempt counts against those before it: about the last eight matter.
const NEWEST_COUNTS: f64 = 0.25;

/// Durations of attempts that are alike.
#[derive(Debug, Default)]
pub(crate) struct Paces(BTreeMap<(CaseName, usize), Pace>);

/// A duration that moves with what is seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Milliseconds.
    pub(crate) mean_ms: f64,
    /// How far attempts lie from that on average, milliseconds.
    pub(crate) spread_ms: f64,
}

impl Pace {
    fn learn(&mut self, ms: f64) {
        let off = ms - self.mean_ms;
        self.mean_ms += NEWEST_COUNTS * off;
        self.spread_ms += NEWEST_COUNTS * (off.abs() - self.spread_ms);
    }
}

impl Scheduler {
    /// Learns from an attempt that is over, when its end says something about how long such work takes.
    pub(crate) fn pace_of(&mut self, id: JobId, end: &AttemptEnd, held: Duration) {
        if !matches!(end, AttemptEnd::Passed | AttemptEnd::Failed { blame: Blame::Job, .. }) {
            return;
        }
        let Some(slot) = self.jobs.get(id).filter(|slot| slot.record.cases_done == 0) else { return };
        let cases = &slot.record.spec.cases;
        let Some(first) = cases.first() else { return };
        let ms = held.as_secs_f64() * 1_000.0;
        if let Some(pace) = self.paces.0.get_mut(&(first.name.clone(), cases.len())) {
            pace.learn(ms);
        } else if self.paces.0.len() < REMEMBERED_MAX {
            let pace = Pace { mean_ms: ms, spread_ms: ms / 4.0 };
            self.paces.0.insert((first.name.clone(), cases.len()), pace);
        }
    }

    /// How long an attempt of these cases takes, as far as is known.
    pub(crate) fn pace(&self, spec: &holdfast_wire::job::JobSpec) -> Pace {
        let learned =
            spec.cases.first().and_then(|first| self.paces.0.get(&(first.name.clone(), spec.cases.len())));
        learned.copied().unwrap_or_else(|| {
            let usual_ms = spec.usual_duration().as_secs_f64() * 1_000.0;
            Pace { mean_ms: usual_ms, spread_ms: usual_ms / 2.0 }
        })
    }
}
