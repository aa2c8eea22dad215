//! What an operator may choose. Parsed and checked by the daemon's configuration; what follows from it is decided in
//! the other modules.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_calendar::Calendar;
use holdfast_wire::id::{Label, Owner, PoolName, RackId, Slot, Udid};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::Blame;
use holdfast_wire::phone::PhoneFacts;
use holdfast_wire::requirement::Expression;
use holdfast_wire::sync::YieldWhen;

/// The farm's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The pools, first match wins; a phone that no pool takes is in none and gets no work.
    pub pools: Vec<Pool>,
    /// Phones that an operator has put into a pool by hand: looked at before the pools' own lists. A name that no pool
    /// has counts for nothing.
    pub overrides: BTreeMap<Udid, PoolName>,
    /// How each class is served. Every class has an entry.
    pub classes: BTreeMap<JobClass, ClassPolicy>,
    /// Shares and limits of owners; those without an entry get [`Policy::default_owner`].
    pub owners: BTreeMap<Owner, OwnerPolicy>,
    /// The share and limits of every owner without an entry, each on its own, and of jobs without an owner together.
    pub default_owner: OwnerPolicy,
    /// What phones demand of jobs. A phone that several demands name takes work only from owners that all of them allow.
    pub demands: Vec<Demand>,
    /// Windows of time by name, as classes use them.
    pub windows: BTreeMap<String, Calendar>,
    /// A rack that has not spoken for so long is taken to be gone.
    pub rack_silent_after: Duration,
    /// What an attempt may take beside its cases: check, fetch, install, collect, upload, clean.
    pub attempt_overhead: Duration,
    /// How often a job is tried again after a failure that blames …
    pub retries: Retries,
    /// When a phone is kept from work.
    pub quarantine: Quarantine,
    /// How long a job waits for the very phone of its comparison before another one will do.
    pub compare_wait: Duration,
    /// An agent told to give a phone up at once must have done so after this time; then its lease is taken back.
    pub yield_within: Duration,
    /// Short jobs of one build in a row on one phone, at most, before older work of the same urgency; 0: no batches.
    pub batch_max: u32,
    /// Whether the next job of a busy phone is handed to its agent ahead, so that the build is there when it is free.
    pub stage_ahead: bool,
}

/// How the jobs of one class are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassPolicy {
    /// 0 is served first. Classes of one rank share: age and fair share decide between them.
    pub rank: u8,
    /// Whether no lifted job of another class goes before it.
    pub strict: bool,
    /// A job that has waited so long goes before everything that is not strict; none: never. This bounds how long it waits:
    /// for this time, and then until a phone that it takes is through with what runs there by then, with strict work, and
    /// with jobs that had waited so long before it. Nothing that comes later is begun there before it.
    pub lift_after: Option<Duration>,
    /// Whether it gives its phone up to any class of a better rank that is not preemptible itself.
    pub preemptible: bool,
    /// How it takes a phone from preemptible work; none: it waits for the end.
    pub takes: Option<YieldWhen>,
    /// Jobs of this class start only while this window, one of `Policy::windows`, is open; none: always.
    pub window: Option<String>,
}

/// A named set of phones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// The classes it serves.
    pub serves: Vec<JobClass>,
    /// Classes that may use its phones while they are idle. A phone that is lent is taken back at once.
    pub lends: Vec<JobClass>,
    /// The only owners whose jobs it takes; empty: anyone's.
    pub only: Vec<Owner>,
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

/// The share and the limits of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerPolicy {
    /// Share of the phones while several owners want them: one of weight 2 gets twice that of weight 1. 1 to 1000.
    pub weight: u32,
    /// Jobs that may run at once; none: as many as there are phones.
    pub running_max: Option<u32>,
    /// Phone-minutes of one UTC day. Beyond them its jobs wait below everything else; none: no end.
    pub minutes_per_day: Option<u32>,
}

/// What phones demand of the jobs that they take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The phones.
    pub phones: Expression,
    /// The only owners whose jobs they take.
    pub only: Vec<Owner>,
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

/// When a phone is kept from work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    /// After so many failures in a row that blame it.
    pub after_failures: u32,
    /// For so long.
    pub lasts: Duration,
}

/// A job of a class that is not strict has waited long enough after this time, unless configuration says otherwise.
pub const LIFT_AFTER: Duration = Duration::from_secs(4 * 3_600);

impl Policy {
    /// The pool that a phone belongs to.
    pub fn pool_of(&self, rack: &RackId, facts: &PhoneFacts) -> Option<&Pool> {
        let by_hand = self.overrides.get(&facts.udid);
        let put = by_hand.and_then(|name| self.pools.iter().find(|pool| pool.name == *name));
        put.or_else(|| self.pool_by_lists(rack, facts))
    }

    /// The pool that a phone would belong to without [`Policy::overrides`].
    pub fn pool_by_lists(&self, rack: &RackId, facts: &PhoneFacts) -> Option<&Pool> {
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

    /// How a class is served.
    pub fn class(&self, class: JobClass) -> ClassPolicy {
        self.classes.get(&class).cloned().unwrap_or_else(|| ClassPolicy::of(class))
    }

    /// The share and limits of an owner.
    pub fn owner(&self, owner: &Owner) -> OwnerPolicy {
        self.owners.get(owner).copied().unwrap_or(self.default_owner)
    }

    /// How classes are served unless configuration says otherwise, with an entry for every class.
    pub fn default_classes() -> BTreeMap<JobClass, ClassPolicy> {
        JobClass::ALL.into_iter().map(|class| (class, ClassPolicy::of(class))).collect()
    }

    /// The rules that count unless configuration says otherwise, with these pools.
    pub fn with_pools(pools: Vec<Pool>) -> Self {
        Self {
            pools,
            overrides: BTreeMap::new(),
            classes: Self::default_classes(),
            owners: BTreeMap::new(),
            default_owner: OwnerPolicy::default(),
            demands: Vec::new(),
            windows: BTreeMap::new(),
            rack_silent_after: Duration::from_secs(60),
            attempt_overhead: Duration::from_secs(900),
            retries: Retries { job: 0, phone: 3, rack: 3, farm: 3 },
            quarantine: Quarantine { after_failures: 3, lasts: Duration::from_secs(3_600) },
            compare_wait: Duration::from_secs(600),
            yield_within: Duration::from_secs(60),
            batch_max: 8,
            stage_ahead: true,
        }
    }
}

impl ClassPolicy {
    /// How a class is served unless configuration says otherwise.
    pub fn of(class: JobClass) -> Self {
        let (rank, takes) = match class {
            JobClass::Crash => (0, Some(YieldWhen::AtOnce)),
            JobClass::Baseline => (1, Some(YieldWhen::CaseDone)),
            JobClass::Custom => (2, Some(YieldWhen::CaseDone)),
            JobClass::Special => (3, Some(YieldWhen::CaseDone)),
            JobClass::Idle => (4, None),
        };
        let strict = class == JobClass::Crash;
        Self {
            rank,
            strict,
            // What gives its phone up to anyone would not keep it for having waited.
            lift_after: (!strict && class != JobClass::Idle).then_some(LIFT_AFTER),
            preemptible: class == JobClass::Idle,
            takes,
            window: None,
        }
    }
}

impl Default for OwnerPolicy {
    /// Everyone alike, without limits.
    fn default() -> Self {
        Self { weight: 1, running_max: None, minutes_per_day: None }
    }
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
