//! How long attempts take, learned from those that ran to their end: by the first case and the number of cases.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_wire::case::Case;
use holdfast_wire::id::{CaseName, JobId};
use holdfast_wire::outcome::{AttemptEnd, Blame};

use crate::scheduler::Scheduler;
use crate::waiting::Slot;

/// What is remembered, at most: jobs with cases of their own could else fill the memory.
const REMEMBERED_MAX: usize = 10_000;

/// How much a new attempt counts against those before it: about the last eight matter.
const NEWEST_COUNTS: f64 = 0.25;

/// Durations of attempts that are alike.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    ids: BTreeMap<CaseName, Vec<(usize, PaceId)>>,
    /// None until the first attempt is over.
    list: Vec<Option<Pace>>,
}

/// One pace, by number; [`PaceId::MAX`] for those that are not remembered.
pub(crate) type PaceId = u16;

impl Paces {
    fn find(&self, cases: &[Case]) -> Option<PaceId> {
        let known = self.ids.get(&cases.first()?.name)?;
        known.iter().find(|(count, _)| *count == cases.len()).map(|(_, id)| *id)
    }

    /// The pace of attempts of these cases: looked up once a job, as names are long.
    pub(crate) fn id(&mut self, cases: &[Case]) -> PaceId {
        if let Some(id) = self.find(cases) {
            return id;
        }
        let (Some(first), true) = (cases.first(), self.list.len() < REMEMBERED_MAX) else {
            return PaceId::MAX;
        };
        let id = PaceId::try_from(self.list.len()).unwrap_or(PaceId::MAX);
        self.list.push(None);
        self.ids.entry(first.name.clone()).or_default().push((cases.len(), id));
        id
    }

    fn get(&self, id: PaceId) -> Option<Pace> {
        self.list.get(usize::from(id)).copied().flatten()
    }

    /// How long attempts of a job take on average, milliseconds.
    pub(crate) fn mean_ms(&self, slot: &Slot) -> u64 {
        self.get(slot.pace).map_or(slot.usual_ms, |pace| whole(pace.mean_ms))
    }
}

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
        let Some(known) = self.paces.list.get_mut(usize::from(slot.pace)) else { return };
        let ms = held.as_secs_f64() * 1_000.0;
        known.get_or_insert(Pace { mean_ms: ms, spread_ms: ms / 4.0 }).learn(ms);
    }

    /// How long an attempt of these cases takes, as far as is known.
    pub(crate) fn pace(&self, spec: &holdfast_wire::job::JobSpec) -> Pace {
        let learned = self.paces.find(&spec.cases).and_then(|id| self.paces.get(id));
        learned.unwrap_or_else(|| {
            let usual_ms = spec.usual_duration().as_secs_f64() * 1_000.0;
            Pace { mean_ms: usual_ms, spread_ms: usual_ms / 2.0 }
        })
    }
}

/// A positive number of milliseconds without its fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held inside what fits")]
pub(crate) fn whole(ms: f64) -> u64 {
    ms.clamp(0.0, 1e15) as u64
}
