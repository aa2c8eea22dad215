//! Waiting jobs, by lane: jobs of one lane may use the same phones under the same rules, and stand in the order of
//! service. Which phones those are is worked out once a lane, never once a job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::build::BuildIdentity;
use holdfast_wire::id::PoolName;
use holdfast_wire::job::{JobClass, Requirements};
use holdfast_wire::phone::OsVersion;
use holdfast_wire::requirement::{Atom, Compare, Term};

use crate::bits::Bits;
use crate::kinds::{Demand, Kind, KindId};
use crate::parts::Parts;
use crate::place::Place;
use crate::policy::Policy;
use crate::shares::OwnerId;

/// One lane, by number.
pub(crate) type LaneId = usize;

/// Descriptions that are known by their address, at most: whoever submits is expected to share them between jobs.
const ADDRESSES_MAX: usize = 8_192;

/// Empty lanes that are kept for jobs to come, at most: several times as many as a farm's jobs usually make, as each
/// new one has to be held against every kind of phone.
const EMPTY_LANES_MAX: usize = 16_384;

/// What jobs of a lane have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub(crate) class: JobClass,
    /// Which requirements, by number.
    pub(crate) wants: usize,
    /// How far they have loosened.
    pub(crate) step: usize,
    /// The oldest OS on which the build installs, by number.
    pub(crate) minimum_os: Option<usize>,
    /// Whose, where phones ask for it.
    pub(crate) owner: Option<OwnerId>,
    /// Phones that each needs at once.
    pub(crate) phones: u16,
}

/// Why no job of a lane is begun, however many phones are free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shut {
    /// The window is closed.
    pub(crate) window: bool,
    /// Fewer phones work than each of its jobs needs.
    pub(crate) phones: bool,
}

/// Jobs that may use the same phones.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) key: LaneKey,
    /// What a phone must be.
    pub(crate) demand: Demand,
    /// The pool asked for instead of those that serve the class.
    pub(crate) pool: Option<PoolName>,
    /// Waiting jobs in the order of service.
    pub(crate) parts: Parts,
    /// Kinds that serve it.
    pub(crate) native: Bits,
    /// Kinds that it may borrow.
    pub(crate) lent: Bits,
    pub(crate) shut: Shut,
    /// Jobs in it that do not take every phone of these kinds.
    pub(crate) picky: u32,
    /// Jobs that were in it and are staged on a phone: they need it as if they waited.
    staged: u32,
}

impl Lane {
    /// Whether phones of a kind serve the lane, or may be borrowed by it.
    pub(crate) fn fit(&self, kind: &Kind, policy: &Policy, owner_may: bool) -> Fit {
        let Some(pool) = kind.key.pool.and_then(|pool| policy.pools.get(pool)) else { return Fit::No };
        if !owner_may || !self.demand.holds(&kind.key.facts) {
            return Fit::No;
        }
        match &self.pool {
            Some(wanted) if *wanted == pool.name => Fit::Native,
            Some(_) => Fit::No,
            None if pool.serves.contains(&self.key.class) => Fit::Native,
            None if pool.lends.contains(&self.key.class) => Fit::Lent,
            None => Fit::No,
        }
    }

    /// Kinds that fit it: those that serve it, then those that it may borrow.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = KindId> {
        self.native.iter().chain(self.lent.iter())
    }

    /// Whether a kind serves it or may be borrowed by it.
    pub(crate) fn fits(&self, kind: KindId) -> bool {
        self.native.has(kind) || self.lent.has(kind)
    }

    /// The first place, whether its owner may begin it now or not.
    fn head(&self) -> Place {
        let first = self.parts.iter().map(|part| part.first).min();
        first.filter(|_| self.shut == Shut::default()).unwrap_or(Place::LAST)
    }
}

/// What phones of a kind are to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// They serve it.
    Native,
    /// It may use them while nobody else wants them.
    Lent,
    /// They are not for it.
    No,
}

/// Requirements that some job has, with what they become as time passes.
#[derive(Debug)]
pub(crate) struct Wants {
    pub(crate) pool: Option<PoolName>,
    /// From when on what is demanded, seconds after submission.
    pub(crate) steps: Vec<(Duration, Arc<Term>)>,
}

/// Every lane.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    pub(crate) list: Vec<Lane>,
    /// Lanes by the requirements that they are for, in order: of one there are few, and they lie side by side.
    ids: Vec<Vec<(LaneKey, LaneId)>>,
    /// The first place of each lane, whoever's it is; last of all when nothing of it may begin.
    pub(crate) heads: Vec<Place>,
    /// Lanes with a job that may begin.
    pub(crate) live: Bits,
    empty: BTreeSet<LaneId>,
    pub(crate) wants: Vec<Wants>,
    wants_by_value: BTreeMap<Arc<Requirements>, usize>,
    wants_by_address: BTreeMap<usize, (Arc<Requirements>, usize)>,
    pub(crate) minimums: Vec<OsVersion>,
    minimum_by_address: BTreeMap<usize, (Arc<BuildIdentity>, Option<usize>)>,
}

impl Lanes {
    /// The number of these requirements.
    pub(crate) fn wants(&mut self, requirements: &Arc<Requirements>) -> usize {
        let address = Arc::as_ptr(requirements).addr();
        if let Some((_, number)) = self.wants_by_address.get(&address) {
            return *number;
        }
        let number = match self.wants_by_value.get(requirements) {
            Some(number) => *number,
            None => {
                let steps = requirements.steps();
                let steps = steps.into_iter().map(|(from, term)| (from, Arc::new(term))).collect();
                self.wants.push(Wants { pool: requirements.pool.clone(), steps });
                self.wants_by_value.insert(requirements.clone(), self.wants.len() - 1);
                self.wants.len() - 1
            }
        };
        if self.wants_by_address.len() >= ADDRESSES_MAX {
            self.wants_by_address.clear();
        }
        // What is held here cannot be given back, so the address stays its own.
        self.wants_by_address.insert(address, (requirements.clone(), number));
        number
    }

    /// The number of the oldest OS on which a build installs. One that cannot be read is left to the phone's own
    /// judgement at install.
    pub(crate) fn minimum_os(&mut self, build: &Arc<BuildIdentity>) -> Option<usize> {
        let address = Arc::as_ptr(build).addr();
        if let Some((_, number)) = self.minimum_by_address.get(&address) {
            return *number;
        }
        let version: Option<OsVersion> = build.minimum_os.as_ref().and_then(|text| text.parse().ok());
        let number = version.map(|version| {
            let known = self.minimums.iter().position(|known| *known == version);
            known.unwrap_or_else(|| {
                self.minimums.push(version);
                self.minimums.len() - 1
            })
        });
        if self.minimum_by_address.len() >= ADDRESSES_MAX {
            self.minimum_by_address.clear();
        }
        self.minimum_by_address.insert(address, (build.clone(), number));
        number
    }

    /// The lane with this key, when there is one.
    pub(crate) fn find(&self, key: &LaneKey) -> Option<LaneId> {
        let alike = self.ids.get(key.wants)?;
        alike.binary_search_by(|(known, _)| known.cmp(key)).ok().map(|at| alike[at].1)
    }

    /// What a phone must be for a lane with this key.
    pub(crate) fn term(&self, key: &LaneKey) -> Arc<Term> {
        let steps = &self.wants[key.wants].steps;
        let asked = steps.get(key.step).or(steps.last()).map_or_else(anything, |(_, term)| term.clone());
        match key.minimum_os.and_then(|number| self.minimums.get(number)) {
            None => asked,
            Some(version) => {
                let installs = Atom::Os { compare: Compare::AtLeast, version: version.clone() };
                Arc::new(Term::All(vec![(*asked).clone(), Term::Is(installs)]))
            }
        }
    }

    /// Adds a lane without jobs; the place of one that is long empty is used again. The caller says which kinds fit.
    pub(crate) fn add(&mut self, key: LaneKey, demand: Demand) -> LaneId {
        let pool = self.wants[key.wants].pool.clone();
        let lane = Lane {
            key: key.clone(),
            demand,
            pool,
            parts: Parts::default(),
            native: Bits::default(),
            lent: Bits::default(),
            shut: Shut::default(),
            picky: 0,
            staged: 0,
        };
        let reused = if self.empty.len() > EMPTY_LANES_MAX { self.empty.pop_first() } else { None };
        let id = match reused {
            Some(id) => {
                let before = std::mem::replace(&mut self.list[id], lane);
                self.ids[before.key.wants].retain(|(_, known)| *known != id);
                id
            }
            None => {
                self.list.push(lane);
                self.heads.push(Place::LAST);
                self.list.len() - 1
            }
        };
        if self.ids.len() <= key.wants {
            self.ids.resize_with(key.wants + 1, Vec::new);
        }
        let alike = &mut self.ids[key.wants];
        let at = alike.partition_point(|(known, _)| *known < key);
        alike.insert(at, (key, id));
        self.empty.insert(id);
        id
    }

    pub(crate) fn insert(&mut self, id: LaneId, part: Option<OwnerId>, place: Place) {
        let parts = &mut self.list[id].parts;
        if parts.is_empty() {
            self.empty.remove(&id);
        }
        parts.insert(part, place);
        if place < self.heads[id] {
            self.note(id);
        }
    }

    pub(crate) fn remove(&mut self, id: LaneId, part: Option<OwnerId>, place: Place) {
        let lane = &mut self.list[id];
        lane.parts.remove(part, place);
        if lane.parts.is_empty() && lane.staged == 0 {
            self.empty.insert(id);
        }
        if place == self.heads[id] {
            self.note(id);
        }
    }

    /// The lane is kept for a job that is staged.
    pub(crate) fn keep(&mut self, id: LaneId) {
        self.list[id].staged += 1;
        self.empty.remove(&id);
    }

    /// The same, no longer.
    pub(crate) fn let_go(&mut self, id: LaneId) {
        let lane = &mut self.list[id];
        lane.staged -= 1;
        if lane.parts.is_empty() && lane.staged == 0 {
            self.empty.insert(id);
        }
    }

    /// Notes which job of the lane is first, after its rules have changed.
    pub(crate) fn note(&mut self, id: LaneId) {
        let head = self.list[id].head();
        self.heads[id] = head;
        self.live.put(id, head != Place::LAST);
    }
}

/// The term of a job that takes every phone.
fn anything() -> Arc<Term> {
    Arc::new(Term::All(Vec::new()))
}
