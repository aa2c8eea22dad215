//! The brain, a clock, and what has been recorded so far. What it is told is not here.

use std::collections::BTreeMap;

use holdfast_scheduler::policy::Policy;
use holdfast_scheduler::{Decision, Event, Scheduler};
use holdfast_wire::id::{CompareName, JobId, Owner, Udid};
use holdfast_wire::sync::PhoneOrder;
use holdfast_wire::time::Time;

/// The brain, a clock, and what has been recorded so far.
pub(crate) struct World {
    pub(crate) brain: Scheduler,
    /// The rules that are in force, also after a restart.
    pub(crate) policy: Policy,
    pub(crate) now: Time,
    pub(crate) jobs: BTreeMap<JobId, holdfast_scheduler::JobRecord>,
    pub(crate) phones: BTreeMap<Udid, holdfast_scheduler::PhoneRecord>,
    /// What each phone has to obey, from the last order.
    pub(crate) orders: BTreeMap<Udid, PhoneOrder>,
    pub(crate) owners: BTreeMap<Owner, holdfast_scheduler::OwnerRecord>,
    pub(crate) compares: BTreeMap<CompareName, holdfast_scheduler::CompareRecord>,
    wake: Option<Time>,
}

impl World {
    /// An empty farm under these rules, at 00:16:40 on the first day of 1970.
    pub(crate) fn under(policy: Policy) -> Self {
        let now = Time::from_unix_ms(1_000_000);
        let (brain, _) = Scheduler::restore(policy.clone(), now, []).unwrap();
        Self {
            brain,
            policy,
            now,
            jobs: BTreeMap::new(),
            phones: BTreeMap::new(),
            orders: BTreeMap::new(),
            owners: BTreeMap::new(),
            compares: BTreeMap::new(),
            wake: None,
        }
    }

    pub(crate) fn apply(&mut self, event: Event) -> Vec<Decision> {
        let decisions = self.brain.apply(self.now, event);
        self.record(&decisions);
        decisions
    }

    pub(crate) fn record(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::SaveJob(job) => {
                    self.jobs.insert(job.id, (**job).clone());
                }
                Decision::SavePhone(phone) => {
                    self.phones.insert(phone.facts.udid.clone(), (**phone).clone());
                }
                Decision::Order { order, .. } => {
                    self.orders.insert(order.phone.clone(), order.clone());
                }
                Decision::WakeAt(at) => self.wake = Some(*at),
                Decision::SaveOwner(owner) => {
                    self.owners.insert(owner.owner.clone(), (**owner).clone());
                }
                Decision::SaveCompare(compare) => {
                    self.compares.insert(compare.name.clone(), (**compare).clone());
                }
                Decision::ForgetCompare(name) => drop(self.compares.remove(name)),
                Decision::KeepLateReport { .. }
                | Decision::JobMoved(_)
                | Decision::PhoneChanged(_)
                | Decision::RackChanged(_) => {}
            }
        }
    }

    /// When the brain has asked to be woken.
    pub(crate) fn next_wake(&self) -> Option<Time> {
        self.wake
    }

    /// The brain is about to be woken: it has to ask anew.
    pub(crate) fn woken(&mut self) {
        self.wake = None;
    }
}
