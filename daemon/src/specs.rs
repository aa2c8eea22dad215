//! What many jobs have in common (build, cases, requirements), kept once in memory and once in the store, under the
//! hash of what it says. Jobs themselves are not here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::Case;
use holdfast_wire::job::{JobSpec, Requirements};
use serde::{Deserialize, Serialize};

/// Kept although no job names them: work that comes again and again is not written again and again.
const IDLE_MAX: usize = 4_096;

/// The name of what jobs have in common: the first half of the BLAKE3 hash of what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpecName(u128);

/// What jobs have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// What is tested.
    pub build: Arc<BuildIdentity>,
    /// What is run.
    pub cases: Arc<Vec<Case>>,
    /// Which phones will do.
    pub requirements: Arc<Requirements>,
}

/// Everything that jobs in memory have in common. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Specs {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<SpecName, Known>,
    /// By where the parts lie in memory: `known` keeps them there.
    by_place: HashMap<[usize; 3], SpecName>,
    /// Tidied up when there are more than this.
    tidy_at: usize,
    /// While the store is swept: everything that was or became known since that began.
    seen: Option<HashSet<SpecName>>,
}

#[derive(Debug)]
struct Known {
    parts: Parts,
    stored: Stored,
}

/// Whether the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    NotYet,
    Already,
}

impl SpecName {
    /// The name of what the bytes say.
    pub fn of(bytes: &[u8]) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        Self(u128::from_be_bytes(first))
    }
}

impl std::fmt::Display for SpecName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<SpecName> for String {
    fn from(name: SpecName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for SpecName {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

impl Parts {
    /// What a job shares.
    pub fn of(spec: &JobSpec) -> Self {
        Self { build: spec.build.clone(), cases: spec.cases.clone(), requirements: spec.requirements.clone() }
    }

    /// Their bytes, which name them.
    ///
    /// # Errors
    /// Never in practice: everything in them has a JSON form.
    pub fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    fn place(&self) -> [usize; 3] {
        [
            Arc::as_ptr(&self.build).addr(),
            Arc::as_ptr(&self.cases).addr(),
            Arc::as_ptr(&self.requirements).addr(),
        ]
    }

    /// Whether somebody beside us holds them. Cases are shared by nothing smaller than a whole job.
    fn in_use(&self) -> bool {
        Arc::strong_count(&self.cases) > 1
    }
}

impl Specs {
    /// Lets a job share what others have too. Says how many bytes it is described in, its own few left out.
    ///
    /// # Errors
    /// Never in practice: everything in a job has a JSON form.
    pub fn share(&self, spec: &mut JobSpec) -> Result<usize, serde_json::Error> {
        let parts = Parts::of(spec);
        let bytes = parts.bytes()?;
        let parts = self.lock().learn(SpecName::of(&bytes), parts, Stored::NotYet);
        (spec.build, spec.cases, spec.requirements) = (parts.build, parts.cases, parts.requirements);
        Ok(bytes.len())
    }

    /// The same for a job that may share already.
    ///
    /// # Errors
    /// Never in practice: everything in a job has a JSON form.
    pub fn share_once(&self, spec: &mut JobSpec) -> Result<(), serde_json::Error> {
        let shares = self.lock().by_place.contains_key(&Parts::of(spec).place());
        if shares { Ok(()) } else { self.share(spec).map(drop) }
    }

    /// Takes over what the store holds, so that jobs read from it share it.
    pub fn stored(&self, name: SpecName, parts: Parts) -> Parts {
        self.lock().learn(name, parts, Stored::Already)
    }

    /// What is known under a name.
    pub fn get(&self, name: SpecName) -> Option<Parts> {
        self.lock().known.get(&name).map(|known| known.parts.clone())
    }

    /// The name of what a job shares; with its bytes when the store does not have it yet. The caller records them in
    /// the same transaction as the job.
    ///
    /// # Errors
    /// Never in practice: everything in a job has a JSON form.
    pub fn name(&self, spec: &JobSpec) -> Result<(SpecName, Option<Parts>), serde_json::Error> {
        let parts = Parts::of(spec);
        let mut inner = self.lock();
        let name = match inner.by_place.get(&parts.place()) {
            Some(name) => *name,
            None => {
                let name = SpecName::of(&parts.bytes()?);
                inner.learn(name, parts, Stored::NotYet);
                name
            }
        };
        if let Some(seen) = &mut inner.seen {
            seen.insert(name);
        }
        let Some(known) = inner.known.get_mut(&name) else { return Ok((name, None)) };
        let new = known.stored == Stored::NotYet;
        known.stored = Stored::Already;
        Ok((name, new.then(|| known.parts.clone())))
    }

    /// From now on it is noted what is known, until [`Specs::end_sweep`].
    pub fn begin_sweep(&self) {
        let mut inner = self.lock();
        inner.seen = Some(inner.known.keys().copied().collect());
    }

    /// What must stay because it was known at some time since the sweep began.
    pub fn end_sweep(&self) -> HashSet<SpecName> {
        self.lock().seen.take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn learn(&mut self, name: SpecName, parts: Parts, stored: Stored) -> Parts {
        if let Some(seen) = &mut self.seen {
            seen.insert(name);
        }
        if let Some(known) = self.known.get_mut(&name) {
            if stored == Stored::Already {
                known.stored = stored;
            }
            return known.parts.clone();
        }
        if self.known.len() >= self.tidy_at.max(IDLE_MAX) {
            self.tidy();
        }
        self.by_place.insert(parts.place(), name);
        self.known.insert(name, Known { parts: parts.clone(), stored });
        parts
    }

    /// Forgets what no job names any more; what was forgotten is written again when it comes again.
    fn tidy(&mut self) {
        self.known.retain(|_, known| known.parts.in_use());
        let known = &self.known;
        self.by_place.retain(|_, name| known.contains_key(name));
        self.tidy_at = self.known.len() * 2 + IDLE_MAX;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn spec(version: usize) -> JobSpec {
        let json = serde_json::json!({
            "class": "idle", "cases": [], "requirements": {}, "priority": 0, "owner": null, "start_by": null,
            "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A",
                "version": version.to_string(), "build_number": "1", "uuids": [], "minimum_os": null }
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn equal_jobs_share_their_parts_and_these_are_written_once() {
        let specs = Specs::default();
        let (mut one, mut two, mut other) = (spec(1), spec(1), spec(2));
        for spec in [&mut one, &mut two, &mut other] {
            specs.share(spec).unwrap();
        }
        assert!(Arc::ptr_eq(&one.build, &two.build) && Arc::ptr_eq(&one.cases, &two.cases));
        assert!(!Arc::ptr_eq(&one.build, &other.build));
        let (name, new) = specs.name(&one).unwrap();
        assert_eq!(new, Some(Parts::of(&one)));
        assert_eq!(specs.name(&two).unwrap(), (name, None));
        assert_eq!(specs.name(&spec(1)).unwrap(), (name, None), "found by what it says as well");
        assert_ne!(specs.name(&other).unwrap().0, name);
        assert_eq!(SpecName::try_from(String::from(name)).unwrap(), name);
    }

    #[test]
    fn what_no_job_names_is_forgotten_and_what_one_names_is_not() {
        let specs = Specs::default();
        let mut kept = spec(0);
        specs.share(&mut kept).unwrap();
        let (name, _) = specs.name(&kept).unwrap();
        for version in 1..=IDLE_MAX {
            specs.share(&mut spec(version)).unwrap();
        }
        assert!(specs.lock().known.len() < 10 && specs.lock().by_place.len() < 10);
        assert_eq!(specs.name(&kept).unwrap(), (name, None));
    }

    #[test]
    fn a_sweep_spares_what_was_known_at_any_time_since_it_began() {
        let specs = Specs::default();
        let (mut before, mut during) = (spec(1), spec(2));
        specs.share(&mut before).unwrap();
        specs.begin_sweep();
        specs.share(&mut during).unwrap();
        let names = [&before, &during].map(|spec| specs.name(spec).unwrap().0);
        assert_eq!(specs.end_sweep(), HashSet::from(names));
    }
}
