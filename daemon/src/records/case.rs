//! How a case went, run after run: enough to see that it flakes. Reports themselves are blobs.

use std::collections::VecDeque;

use holdfast_wire::id::{AttemptId, BuildHash, CaseName};
use holdfast_wire::time::Time;
use holdfast_wire::views::{CaseFailure, CaseStats};
use serde::{Deserialize, Serialize};

use crate::farm::Went;

/// Runs that are remembered one by one: several builds of a few repetitions each.
const RECENT_MAX: usize = 50;

/// Failures that readers are shown of a case.
const FAILURES_SHOWN: usize = 5;

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
    /// In which attempt; none in records of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
}

impl CaseStat {
    /// A case that was never run.
    pub fn new(case: CaseName) -> Self {
        Self { case, runs: 0, failures: 0, flips: 0, recent: VecDeque::new() }
    }

    /// Counts a run.
    pub fn count(&mut self, attempt: AttemptId, build: BuildHash, went: Went, at: Time) {
        let failed = went == Went::Badly;
        let before = self.recent.iter().find(|run| run.build == build);
        self.flips += u64::from(before.is_some_and(|before| before.failed != failed));
        self.runs += 1;
        self.failures += u64::from(failed);
        self.recent.push_front(Run { build, failed, at, attempt: Some(attempt) });
        self.recent.truncate(RECENT_MAX);
    }

    /// What readers are shown of it.
    pub fn shown(&self) -> CaseStats {
        let passed = self.runs.saturating_sub(self.failures);
        let failed = self.recent.iter().filter(|run| run.failed);
        CaseStats {
            runs: self.runs,
            passed,
            failed: self.failures,
            flaky: self.flips,
            // What went wrong once is never shown as nothing.
            passed_percent: percent(self.failures, self.runs).map(|failed| 100 - failed),
            failed_percent: percent(self.failures, self.runs),
            flaky_percent: percent(self.flips, self.runs),
            recent_runs: self.recent.len() as u64,
            recent_failed: failed.clone().count() as u64,
            last_failures: failed
                .take(FAILURES_SHOWN)
                .map(|run| CaseFailure { at: run.at, build: run.build, attempt: run.attempt })
                .collect(),
        }
    }
}

/// How many of a hundred, rounded up; none of nothing.
fn percent(part: u64, whole: u64) -> Option<u8> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    let up = u128::from(u128::from(part) * 100 > percent * u128::from(whole));
    u8::try_from((percent + up).min(100)).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    const ATTEMPT: AttemptId = AttemptId { job: holdfast_wire::id::JobId(7), number: 2 };

    #[test]
    fn what_readers_are_shown_is_rounded_towards_what_went_wrong() {
        let table = [
            (0, 0, 0, (None, None, None), "never run"),
            (1, 0, 0, (Some(100), Some(0), Some(0)), "passed 100 % of 1 run"),
            (1_000, 1, 2, (Some(99), Some(1), Some(1)), "passed 99 % of 1000 runs, flaky 1 %"),
            (3, 1, 1, (Some(66), Some(34), Some(34)), "passed 66 % of 3 runs, flaky 34 %"),
            (2, 2, 0, (Some(0), Some(100), Some(0)), "passed 0 % of 2 runs"),
            (u64::MAX, 1, 0, (Some(99), Some(1), Some(0)), "passed 99 % of 18446744073709551615 runs"),
        ];
        for (runs, failures, flips, expected, words) in table {
            let stat = CaseStat { runs, failures, flips, ..CaseStat::new("launch".parse().unwrap()) };
            let shown = stat.shown();
            assert_eq!((shown.passed_percent, shown.failed_percent, shown.flaky_percent), expected);
            assert_eq!(shown.words(), words);
        }
        let mut stat = CaseStat::new("launch".parse().unwrap());
        let build = BuildHash::new([1; 32]);
        for number in 1..=12 {
            let went = if number % 2 == 0 { Went::Badly } else { Went::Well };
            stat.count(AttemptId { number, ..ATTEMPT }, build, went, Time::from_unix_ms(i64::from(number)));
        }
        let shown = stat.shown();
        let last: Vec<_> =
            shown.last_failures.iter().map(|failure| failure.attempt.unwrap().number).collect();
        assert_eq!((last, shown.recent_failed, shown.passed), (vec![12, 10, 8, 6, 4], 6, 6));
    }

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
            stat.count(ATTEMPT, build, went, Time::default());
            assert_eq!(stat.flips, flips);
        }
        assert_eq!((stat.runs, stat.failures), (5, 3));
        (0..100).for_each(|_| stat.count(ATTEMPT, one, Went::Well, Time::default()));
        assert_eq!((stat.runs, stat.recent.len()), (105, RECENT_MAX));
    }
}
