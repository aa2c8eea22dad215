//! What an operator may choose. Parsed and checked by the daemon's configuration.

use std::time::Duration;

use holdfast_wire::id::{Label, PoolName, RackId, Slot, Udid};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::Blame;
use holdfast_wire::phone::PhoneFacts;

/// The farm's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The pools, first match wins; a phone that no pool takes is in none and gets no work.
    pub pools: Vec<Pool>,
    /// A rack that has not spoken for so long is taken to be gone.
    pub rack_silent_after: Duration,
    /// What an attempt may take beside its cases: check, fetch, install, collect, upload, clean.
    pub attempt_overhead: Duration,
    /// How often a job is tried again after a failure that blames …
    pub retries: Retries,
    /// When a phone is kept from work.
    pub quarantine: Quarantine,
    /// A job that has waited so long goes before everything but crash jobs.
    pub lift_after: Duration,
}

/// How often a job is tried again, by blame. Each has its own budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// … the job itself.
    pub job: u32,
    /// … the phone.
    pub phone: u32,
    /// … the rack.
    pub rack: u32,
    /// … the farm.
    pub farm: u32,
}

impl Retries {
    /// The budget for one blame.
    pub fn budget(&self, blame: Blame) -> u32 {
        match blame {
            Blame::Job => self.job,
            Blame::Phone => self.phone,
            Blame::Rack => self.rack,
            Blame::Farm => self.farm,
        }
    }
}

/// When a phone is kept from work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    /// After so many failures in a row that blame it.
    pub after_failures: u32,
    /// For so long.
    pub lasts: Duration,
}

/// A named set of phones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// The classes it serves.
    pub serves: Vec<JobClass>,
    /// The phones it takes.
    pub members: Members,
}

/// Which phones a pool takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Every phone that no pool before took.
    Rest,
    /// A phone that any of these lists names.
    Listed {
        /// By UDID.
        phones: Vec<Udid>,
        /// By rack.
        racks: Vec<RackId>,
        /// By slot, on any rack.
        slots: Vec<Slot>,
        /// By label.
        labels: Vec<Label>,
    },
}

impl Policy {
    /// The pool that a phone belongs to.
    pub fn pool_of(&self, rack: &RackId, facts: &PhoneFacts) -> Option<&Pool> {
        self.pools.iter().find(|pool| match &pool.members {
            Members::Rest => true,
            Members::Listed { phones, racks, slots, labels } => {
                phones.contains(&facts.udid)
                    || racks.contains(rack)
                    || slots.contains(&facts.slot)
                    || facts.labels.iter().any(|label| labels.contains(label))
            }
        })
    }
}
