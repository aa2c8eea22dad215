//! Which job goes first. Waiting jobs are kept by shape (what they demand of a phone), each shape in the order
//! of service, so that work is proportional to shapes and never to jobs. Which phones fit a shape is not here
//! (`matching`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::id::JobId;
use holdfast_wire::job::{JobClass, Requirements};
use holdfast_wire::phone::OsVersion;
use holdfast_wire::time::Time;

use crate::record::JobRecord;

/// Everything about a job that decides which phones fit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) class: JobClass,
    pub(crate) requirements: Requirements,
    /// The oldest OS on which the build installs.
    pub(crate) build_minimum_os: Option<OsVersion>,
}

impl Shape {
    pub(crate) fn of(job: &JobRecord) -> Self {
        Self {
            class: job.spec.class,
            requirements: (*job.spec.requirements).clone(),
            // A build whose minimum cannot be read is left to the phone's own judgement at install.
            build_minimum_os: job.spec.build.minimum_os.as_ref().and_then(|text| text.parse().ok()),
        }
    }
}

/// The order of service: the smaller goes first. Fixed for as long as a job waits, but for one lift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    rank: Rank,
    priority: Reverse<i32>,
    start_by: Time,
    submitted_at: Time,
    job: JobId,
}

/// What comes before class order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Crash jobs, always.
    Crash,
    /// A job that has waited too long; the oldest goes first.
    Lifted(Time),
    /// The order of classes.
    Class(JobClass),
}

impl Key {
    fn of(job: &JobRecord, lifted: Lift) -> Self {
        let rank = match (job.spec.class, lifted) {
            (JobClass::Crash, _) => Rank::Crash,
            (_, Lift::Done) => Rank::Lifted(job.submitted_at),
            (class, Lift::NotYet) => Rank::Class(class),
        };
        Self {
            rank,
            priority: Reverse(job.spec.priority),
            start_by: job.spec.start_by.unwrap_or(Time::from_unix_ms(i64::MAX)),
            submitted_at: job.submitted_at,
            job: job.id,
        }
    }

    pub(crate) fn job(&self) -> JobId {
        self.job
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lift {
    NotYet,
    Done,
}

/// The waiting jobs.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    shapes: BTreeMap<Shape, BTreeSet<Key>>,
    keys: BTreeMap<JobId, (Shape, Key)>,
    /// Jobs not lifted yet, oldest first.
    by_age: BTreeSet<(Time, JobId)>,
    /// Jobs that expire, soonest first.
    by_expiry: BTreeSet<(Time, JobId)>,
}

impl Queue {
    pub(crate) fn insert(&mut self, job: &JobRecord) {
        let (shape, key) = (Shape::of(job), Key::of(job, Lift::NotYet));
        self.shapes.entry(shape.clone()).or_default().insert(key);
        self.keys.insert(job.id, (shape, key));
        if job.spec.class != JobClass::Crash {
            self.by_age.insert((job.submitted_at, job.id));
        }
        if let Some(start_by) = job.spec.start_by {
            self.by_expiry.insert((start_by, job.id));
        }
    }

    pub(crate) fn remove(&mut self, job: &JobRecord) {
        let Some((shape, key)) = self.keys.remove(&job.id) else { return };
        if let Some(keys) = self.shapes.get_mut(&shape) {
            keys.remove(&key);
            if keys.is_empty() {
                self.shapes.remove(&shape);
            }
        }
        self.by_age.remove(&(job.submitted_at, job.id));
        if let Some(start_by) = job.spec.start_by {
            self.by_expiry.remove(&(start_by, job.id));
        }
    }

    /// Moves a job that has waited too long before the others.
    pub(crate) fn lift(&mut self, job: &JobRecord) {
        self.by_age.remove(&(job.submitted_at, job.id));
        let Some((shape, key)) = self.keys.get_mut(&job.id) else { return };
        let lifted = Key::of(job, Lift::Done);
        if let Some(keys) = self.shapes.get_mut(shape) {
            keys.remove(key);
            keys.insert(lifted);
        }
        *key = lifted;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Every shape with its jobs in the order of service.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&Shape, &BTreeSet<Key>)> {
        self.shapes.iter()
    }

    /// Jobs that are served before this one on phones for which `competes` holds.
    pub(crate) fn ahead(&self, job: JobId, competes: impl Fn(&Shape) -> bool) -> usize {
        let Some((_, own)) = self.keys.get(&job) else { return 0 };
        let before = |keys: &BTreeSet<Key>| keys.range(..own).count();
        self.shapes.iter().filter(|(shape, _)| competes(shape)).map(|(_, keys)| before(keys)).sum()
    }

    /// Every waiting job in the order of service.
    pub(crate) fn in_order(&self) -> Vec<JobId> {
        let mut keys: Vec<&Key> = self.shapes.values().flatten().collect();
        keys.sort_unstable();
        keys.into_iter().map(Key::job).collect()
    }

    /// The oldest job that has not been lifted, with when it was submitted.
    pub(crate) fn oldest(&self) -> Option<(Time, JobId)> {
        self.by_age.first().copied()
    }

    /// The job that expires first, with when.
    pub(crate) fn first_to_expire(&self) -> Option<(Time, JobId)> {
        self.by_expiry.first().copied()
    }
}
