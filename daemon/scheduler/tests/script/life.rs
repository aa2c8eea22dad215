//! What a scenario needs of a farm beside its events: the usual rules, time that passes, a daemon that dies.

use std::time::Duration;

use holdfast_scheduler::record::Record;
use holdfast_scheduler::{Decision, Event, Scheduler};

use crate::farm::{World, policy};

impl World {
    /// An empty farm under the usual rules.
    pub(crate) fn new() -> Self {
        Self::under(policy())
    }

    /// Lets time pass, waking the brain whenever it asked to be.
    pub(crate) fn pass(&mut self, span: Duration) -> Vec<Decision> {
        let target = self.now.after(span);
        let mut all = Vec::new();
        while let Some(at) = self.next_wake().filter(|at| *at <= target) {
            self.now = self.now.max(at);
            self.woken();
            all.extend(self.apply(Event::TimeReached));
        }
        self.now = target;
        all
    }

    /// The daemon dies and comes back with what was recorded.
    pub(crate) fn restart(&mut self) -> Vec<Decision> {
        let jobs = self.jobs.values().map(|job| Record::Job(job.clone().into()));
        let phones = self.phones.values().cloned().map(Record::Phone);
        let owners = self.owners.values().cloned().map(Record::Owner);
        let compares = self.compares.values().cloned().map(Record::Compare);
        let records = jobs.chain(phones).chain(owners).chain(compares);
        let (brain, decisions) = Scheduler::restore(self.policy.clone(), self.now, records).unwrap();
        self.brain = brain;
        self.woken();
        self.record(&decisions);
        decisions
    }
}
