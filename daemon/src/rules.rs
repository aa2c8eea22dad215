//! The rules in force: what the files say, what operators have said beside them, and the timetable. Owned by the loop;
//! readers get [`Shown`]. What the files mean is `config`'s, what follows from the rules is the brain's.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_scheduler::policy::OwnerPolicy;
use holdfast_scheduler::{Event, Policy};
use holdfast_store::codec::{Kind, decode, encode};
use holdfast_store::{Entry, Key, Op, StoreError};
use holdfast_wire::api::{Act, Mistake, ReloadAsked, audit_lines};
use holdfast_wire::id::{Owner, PoolName, ScheduleName, Udid};
use holdfast_wire::time::Time;
use holdfast_wire::views::{OwnerLimits, RefusedReload};

use crate::config::{self, FarmConfig};
use crate::schedules::{Fired, Timetable};

/// What operators said beside the files: `pool/UDID` and `owner/OWNER`.
pub const OVERRIDE: Kind = Kind::new("override");

/// The shape of the records so far.
const VERSION: u32 = 1;

/// What operators said beside the files. It outlives restarts and reloads, until somebody takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Pools of phones.
    pub pools: BTreeMap<Udid, PoolName>,
    /// Shares and limits of owners.
    pub owners: BTreeMap<Owner, OwnerPolicy>,
}

/// A change of the rules while the daemon runs.
#[derive(Debug, Clone)]
pub enum RulesChange {
    /// The files were read again, and are good.
    Reloaded {
        /// What they say.
        config: Box<FarmConfig>,
        /// How the daemon was told to.
        asked: ReloadAsked,
    },
    /// The files were read again, and are refused.
    Refused {
        /// What is wrong with them.
        mistakes: Vec<Mistake>,
        /// How the daemon was told to.
        asked: ReloadAsked,
    },
    /// An operator puts a phone into a pool; none: back to the files.
    Pool {
        /// The phone.
        phone: Udid,
        /// The pool.
        pool: Option<PoolName>,
    },
    /// An operator says an owner's share and limits; none: back to the files.
    Owner {
        /// The owner.
        owner: Owner,
        /// What counts, checked.
        limits: Option<OwnerLimits>,
    },
}

/// What a change leads to.
#[derive(Debug)]
pub struct Changed {
    /// What was done, for the audit.
    pub act: Act,
    /// To be recorded.
    pub ops: Vec<Op>,
    /// For the brain.
    pub event: Option<Event>,
    /// What changed, in words.
    pub words: Vec<String>,
}

/// The rules in force, as readers see them.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Since when the files are in force.
    pub loaded_at: Time,
    /// What they say.
    pub config: Arc<FarmConfig>,
    /// What operators said beside them.
    pub overrides: Arc<Overrides>,
    /// Both together: what the brain goes by.
    pub policy: Arc<Policy>,
    /// What is remembered of schedules.
    pub fired: Arc<BTreeMap<ScheduleName, Fired>>,
    /// The last reload that was refused since.
    pub refused: Option<Arc<RefusedReload>>,
}

impl Default for Shown {
    /// No rules: what a picture shows before there are any.
    fn default() -> Self {
        let policy = Policy::with_pools(Vec::new());
        Self {
            loaded_at: Time::default(),
            config: Arc::new(FarmConfig::from(policy.clone())),
            overrides: Arc::default(),
            policy: Arc::new(policy),
            fired: Arc::default(),
            refused: None,
        }
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Rules {
    shown: Shown,
    /// Which firings are due.
    pub timetable: Timetable,
}

impl Rules {
    /// The rules of these files and what the store remembers beside them. The ops have to be recorded.
    ///
    /// # Errors
    /// A record is damaged or newer than this program.
    pub fn restore(
        config: FarmConfig,
        now: Time,
        overrides: &[Entry],
        schedules: &[Entry],
    ) -> Result<(Self, Vec<Op>), StoreError> {
        let mut said = Overrides::default();
        for entry in overrides {
            let name = OVERRIDE.name_of(&entry.key).unwrap_or_default();
            match name.split_once('/') {
                Some(("pool", phone)) => {
                    let pool = decode(&entry.key, &entry.value, VERSION)?;
                    said.pools.extend(phone.parse().ok().map(|phone| (phone, pool)));
                }
                Some(("owner", owner)) => {
                    let limits: OwnerLimits = decode(&entry.key, &entry.value, VERSION)?;
                    let limits = config::owners::policy_of(&limits);
                    said.owners.extend(owner.parse().ok().map(|owner| (owner, limits)));
                }
                Some(_) | None => {
                    tracing::warn!(key = %entry.key, "skips an override of a kind that is not known")
                }
            }
        }
        let timetable = Timetable::remembered(schedules)?;
        let mut this = Self { shown: Shown { overrides: Arc::new(said), ..Shown::default() }, timetable };
        let ops = this.adopt(config, now)?;
        Ok((this, ops))
    }

    fn adopt(&mut self, config: FarmConfig, now: Time) -> Result<Vec<Op>, StoreError> {
        let ops = self.timetable.adopt(Arc::new(config.schedules.clone()), now)?;
        self.shown.loaded_at = now;
        self.shown.refused = None;
        self.shown.config = Arc::new(config);
        self.merge();
        self.look_at_firings();
        Ok(ops)
    }

    /// What the brain goes by.
    pub fn policy(&self) -> Policy {
        (*self.shown.policy).clone()
    }

    /// The rules as readers see them.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::new(self.shown.clone())
    }

    /// Shows what is remembered of schedules as it is now.
    pub fn look_at_firings(&mut self) {
        self.shown.fired = Arc::new(self.timetable.fired().clone());
    }

    /// Takes a change in. It is in force once it is recorded and the brain has been told.
    ///
    /// # Errors
    /// The store's, when a record cannot be formed.
    pub fn change(&mut self, now: Time, change: RulesChange) -> Result<Changed, StoreError> {
        match change {
            RulesChange::Reloaded { config, asked } => {
                let mut words = config::difference(&self.shown.config, &config);
                let gone = |pool: &PoolName| !config.policy.pools.iter().any(|known| known.name == *pool);
                let homeless = self.shown.overrides.pools.iter().filter(|(_, pool)| gone(pool));
                words.extend(homeless.map(|(phone, pool)| {
                    format!("phone {phone} was put into pool {pool} by hand, and there is no such pool now: the files decide")
                }));
                let ops = self.adopt(*config, now)?;
                let act = Act::ConfigReloaded { asked, changes: audit_lines(&words) };
                Ok(Changed { act, ops, event: Some(self.event()), words })
            }
            RulesChange::Refused { mistakes, asked } => {
                let told = mistakes.iter().map(|mistake| format!("{}: {}", mistake.place, mistake.what));
                let act = Act::ReloadRefused { asked, mistakes: audit_lines(told) };
                self.shown.refused = Some(Arc::new(RefusedReload { at: now, mistakes }));
                Ok(Changed { act, ops: Vec::new(), event: None, words: Vec::new() })
            }
            RulesChange::Pool { phone, pool } => {
                let key = key("pool", phone.as_str())?;
                let overrides = Arc::make_mut(&mut self.shown.overrides);
                let op = match &pool {
                    Some(pool) => Op::put(key, encode(VERSION, pool)?),
                    None => Op::delete(key),
                };
                let before = match pool.clone() {
                    Some(pool) => overrides.pools.insert(phone.clone(), pool),
                    None => overrides.pools.remove(&phone),
                };
                Ok(self.overridden(op, Act::PoolChosen { phone, pool, before }))
            }
            RulesChange::Owner { owner, limits } => {
                let key = key("owner", owner.as_str())?;
                let before = Some(config::owners::limits_of(&self.shown.policy.owner(&owner)));
                let overrides = Arc::make_mut(&mut self.shown.overrides);
                let op = match &limits {
                    Some(limits) => {
                        overrides.owners.insert(owner.clone(), config::owners::policy_of(limits));
                        Op::put(key, encode(VERSION, limits)?)
                    }
                    None => {
                        overrides.owners.remove(&owner);
                        Op::delete(key)
                    }
                };
                Ok(self.overridden(op, Act::LimitsChanged { owner, limits, before }))
            }
        }
    }

    fn overridden(&mut self, op: Op, act: Act) -> Changed {
        self.merge();
        Changed { act, ops: vec![op], event: Some(self.event()), words: Vec::new() }
    }

    fn event(&self) -> Event {
        Event::PolicyChanged { policy: Box::new(self.policy()) }
    }

    /// What operators said counts before what the files say.
    fn merge(&mut self) {
        let mut policy = self.shown.config.policy.clone();
        let overrides = &self.shown.overrides;
        policy.overrides.extend(overrides.pools.clone());
        policy.owners.extend(overrides.owners.clone());
        self.shown.policy = Arc::new(policy);
    }
}

fn key(kind: &str, name: &str) -> Result<Key, StoreError> {
    OVERRIDE.name(&format!("{kind}/{name}"))
}
