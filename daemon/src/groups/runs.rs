//! How often builds were tested: without it nobody knows whether a build is good or merely untried.

use std::collections::BTreeMap;

use holdfast_wire::id::{AttemptId, BuildHash, CaseName};
use serde::{Deserialize, Serialize};

/// How often a build was tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRuns {
    /// Which.
    pub build: BuildHash,
    /// Attempts that came to an end with what its cases showed.
    pub attempts: u64,
    /// How often each case was run to its end.
    pub cases: BTreeMap<CaseName, u64>,
    /// The attempt that was counted last: its cases are told one by one.
    last: Option<AttemptId>,
}

impl BuildRuns {
    /// A build that was never tested.
    pub fn new(build: BuildHash) -> Self {
        Self { build, attempts: 0, cases: BTreeMap::new(), last: None }
    }

    /// Counts a case of an attempt; the cases of an attempt come in a row.
    pub fn count(&mut self, attempt: AttemptId, case: CaseName) {
        self.attempts += u64::from(self.last != Some(attempt));
        self.last = Some(attempt);
        *self.cases.entry(case).or_default() += 1;
    }
}
