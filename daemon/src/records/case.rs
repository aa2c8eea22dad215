//! How a case went, run after run: enough to see that it flakes. Reports themselves are blobs.

use std::collections::VecDeque;

use holdfast_wire::id::{BuildHash, CaseName};
use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use crate::farm::Went;

/// Runs that are remembered one by one: several builds of a few repetitions each.
const RECENT_MAX: usize = 50;

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseStat {
    /// The case.
    pub case: CaseName,
    /// How often it was run.
    pub runs: u64,
    /// How often it failed.
    pub failures: u64,
    /// How often it went otherwise than the run before it on the very same build: what flakes.
    pub flips: u64,
    /// The last runs, newest first.
    pub recent: VecDeque<Run>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// On which build.
    pub build: BuildHash,
    /// Whether it failed.
    pub failed: bool,
    /// When the daemon knew.
    pub at: Time,
}

impl CaseStat {
    /// A case that was never run.
    pub fn new(case: CaseName) -> Self {
        Self { case, runs: 0, failures: 0, flips: 0, recent: VecDeque::new() }
    }

    /// Counts a run.
    pub fn count(&mut self, build: BuildHash, went: Went, at: Time) {
        let failed = went == Went::Badly;
        let before = self.recent.iter().find(|run| run.build == build);
        self.flips += u64::from(before.is_some_and(|before| before.failed != failed));
        self.runs += 1;
        self.failures += u64::from(failed);
        self.recent.push_front(Run { build, failed, at });
        self.recent.truncate(RECENT_MAX);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn only_another_outcome_on_the_same_build_is_a_flip() {
        let mut stat = CaseStat::new("launch".parse().unwrap());
        let (one, two) = (BuildHash::new([1; 32]), BuildHash::new([2; 32]));
        let runs = [
            (one, Went::Well, 0),
            (two, Went::Badly, 0),
            (one, Went::Badly, 1),
            (two, Went::Badly, 1),
            (one, Went::Well, 2),
        ];
        for (build, went, flips) in runs {
            stat.count(build, went, Time::default());
            assert_eq!(stat.flips, flips);
        }
        assert_eq!((stat.runs, stat.failures), (5, 3));
        (0..100).for_each(|_| stat.count(one, Went::Well, Time::default()));
        assert_eq!((stat.runs, stat.recent.len()), (105, RECENT_MAX));
    }
}
