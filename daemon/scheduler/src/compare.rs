//! Comparisons: jobs that are held against each other run on the very same phone and take turns between builds, so
//! that what differs between them is the build alone.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::id::{BuildHash, CompareName, JobId};

use crate::kinds::PhoneId;
use crate::scheduler::Scheduler;
use crate::waiting::Slot;

/// Comparisons that are remembered while none of their jobs waits or runs, at most.
const REMEMBERED_MAX: usize = 4_096;

/// What is known of every comparison.
#[derive(Debug, Default)]
pub(crate) struct Compares(BTreeMap<CompareName, Comparison>);

#[derive(Debug, Default)]
struct Comparison {
    home: Option<PhoneId>,
    last_build: Option<BuildHash>,
    waiting: BTreeSet<JobId>,
}

impl Compares {
    /// A job of the comparison begins to wait. Gives the comparisons that are forgotten for it.
    pub(crate) fn wait(&mut self, name: &CompareName, job: JobId) -> Vec<CompareName> {
        let mut forgotten = Vec::new();
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(name) {
            let idle = self.0.iter().filter(|(_, comparison)| comparison.waiting.is_empty());
            forgotten = idle.map(|(name, _)| name.clone()).collect();
            self.0.retain(|_, comparison| !comparison.waiting.is_empty());
        }
        self.0.entry(name.clone()).or_default().waiting.insert(job);
        forgotten
    }

    pub(crate) fn leave(&mut self, name: &CompareName, job: JobId) {
        if let Some(comparison) = self.0.get_mut(name) {
            comparison.waiting.remove(&job);
        }
    }

    /// A job of the comparison begins on a phone: the others follow it there. Says whether that is news.
    pub(crate) fn begin(&mut self, name: &CompareName, phone: PhoneId, build: BuildHash) -> bool {
        let comparison = self.0.entry(name.clone()).or_default();
        let before = (comparison.home, comparison.last_build);
        (comparison.home, comparison.last_build) = (Some(phone), Some(build));
        before != (comparison.home, comparison.last_build)
    }

    /// Where jobs of the comparison run.
    pub(crate) fn home(&self, name: &CompareName) -> Option<PhoneId> {
        self.0.get(name)?.home
    }
}

impl Scheduler {
    /// A waiting job of the same comparison and urgency with another build than the one that ran last.
    pub(crate) fn other_build(&self, phone: PhoneId, name: &CompareName, first: &Slot) -> Option<JobId> {
        let comparison = self.compares.0.get(name)?;
        let last = comparison.last_build?;
        if first.record.spec.build.hash != last {
            return None;
        }
        let own = self.standing(first)?;
        // What is only lent to the one is not given to it before the other, whose pool's it is.
        let is_lent = !self.lanes.list[first.lane].native.has(self.phones[phone].kind);
        let others = comparison.waiting.iter().filter_map(|job| self.jobs.get(*job));
        let mut fitting = others.filter(|slot| {
            let lane = &self.lanes.list[slot.lane];
            let kind = self.phones[phone].kind;
            slot.record.spec.build.hash != last
                && slot.record.spec.phones == 1
                && self.standing(slot).is_some_and(|place| place.is_as_urgent_as(own))
                && (lane.native.has(kind) || (is_lent && lane.lent.has(kind)))
                && self.accepts(slot, phone)
        });
        fitting.next().map(|slot| slot.record.id)
    }
}
