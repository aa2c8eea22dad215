//! Walks through a log and, at chosen points, crashes the disk in every way asked for and has the
//! result checked. What the check is and which points are chosen is the tests' business.

use std::fmt;
use std::path::Path;
use std::thread;

use crate::disk::{Crash, Disk};
use crate::log::Record;
use crate::workload::{Ledger, Wrong};

/// A check at one point with one crash that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// After this many records.
    pub point: usize,
    /// Which crash.
    pub crash: Crash,
    /// What was wrong.
    pub wrong: Wrong,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after record {} with {:?}: {}", self.point, self.crash, self.wrong)
    }
}

/// Points inside opening (all of them), and every `stride`th elsewhere. A point is a number of
/// records after which the disk may be different.
#[must_use]
pub fn points(records: &[Record], stride: usize) -> Vec<usize> {
    let (mut opening, mut elsewhere) = (false, 0);
    let mut points = Vec::new();
    for (index, record) in records.iter().enumerate() {
        match record {
            Record::Mark(mark) if mark.starts_with("open-begin") => opening = true,
            Record::Mark(mark) if mark.starts_with("open-end") => opening = false,
            // An acknowledgement is a point too: from then on, more must be there.
            Record::Mark(mark) if !mark.starts_with("ack") => continue,
            record if !record.touches_disk() && !matches!(record, Record::Mark(_)) => continue,
            _ => {}
        }
        elsewhere += usize::from(!opening);
        if opening || elsewhere.is_multiple_of(stride.max(1)) {
            points.push(index + 1);
        }
    }
    points
}

/// What the marks of a recording say must be found, and may be.
pub trait Book: Clone + Send + Sync {
    /// Takes in a mark; others are not its business.
    fn take(&mut self, mark: &str);
}

impl Book for Ledger {
    fn take(&mut self, mark: &str) {
        Self::take(self, mark);
    }
}

/// A recorded history and what it began with.
pub struct History<'a, B = Ledger> {
    /// The disk before the first record.
    pub disk: &'a Disk,
    /// What had been acknowledged before the first record.
    pub ledger: B,
    /// What happened.
    pub records: &'a [Record],
}

impl<B: Book> History<'_, B> {
    /// The disk and what had been acknowledged at a point.
    #[must_use]
    pub fn at(&self, point: usize) -> (Disk, B) {
        let (mut disk, mut ledger) = (self.disk.clone(), self.ledger.clone());
        self.records.iter().take(point).for_each(|record| step(&mut disk, &mut ledger, record));
        (disk, ledger)
    }

    /// Crashes at each of the points, in ascending order, in each way that `crashes` gives for it, and
    /// has `check` look at what is left, in a folder of its own inside `work`. Two threads share the
    /// work. Answers the failures in order of points.
    pub fn check(
        &self,
        points: &[usize],
        work: &Path,
        crashes: impl Fn(usize) -> Vec<Crash> + Sync,
        check: impl Fn(&Path, &B) -> Result<(), Wrong> + Sync,
    ) -> Vec<Failure> {
        const WORKERS: usize = 2;
        let (crashes, check) = (&crashes, &check);
        let share = |worker: usize| {
            let (mut disk, mut ledger, mut done) = (self.disk.clone(), self.ledger.clone(), 0);
            let mut failures = Vec::new();
            for (number, point) in points.iter().copied().enumerate() {
                for record in &self.records[done..point] {
                    step(&mut disk, &mut ledger, record);
                }
                done = point;
                if number % WORKERS != worker {
                    continue;
                }
                for crash in crashes(point) {
                    let outcome = in_new_folder(work, |folder| {
                        disk.write_after(crash, folder)
                            .map_err(|error| Wrong::Unusable(error.to_string()))?;
                        check(folder, &ledger)
                    });
                    failures.extend(outcome.err().map(|wrong| Failure { point, crash, wrong }));
                }
            }
            failures
        };
        let share = &share;
        let mut failures: Vec<Failure> = thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || share(worker))).collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_else(|_| vec![panicked()]))
                .collect()
        });
        failures.sort_by_key(|failure| failure.point);
        failures
    }
}

fn step(disk: &mut Disk, ledger: &mut impl Book, record: &Record) {
    if let Record::Mark(mark) = record {
        ledger.take(mark);
    }
    disk.apply(record);
}

fn in_new_folder(work: &Path, run: impl FnOnce(&Path) -> Result<(), Wrong>) -> Result<(), Wrong> {
    let folder = tempfile::tempdir_in(work).map_err(|error| Wrong::Unusable(error.to_string()))?;
    run(folder.path())
}

fn panicked() -> Failure {
    Failure { point: 0, crash: Crash::Kill, wrong: Wrong::Unusable("the check itself panicked".to_owned()) }
}
