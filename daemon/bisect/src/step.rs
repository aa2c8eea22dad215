//! What to do next: test a commit, name one, or give up.

use crate::odds::{Odds, Seen, odds, unsure};

/// Less than this is no news: bits.
const NEWS_MIN: f64 = 1e-6;

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demands {
    /// Chance that the named commit is the one, at least: 0.95.
    pub confidence: f64,
    /// Attempts in all, those that were made before anybody asked included: more cost more than they tell.
    pub attempts_max: u32,
}

impl Default for Demands {
    fn default() -> Self {
        Self { confidence: 0.95, attempts_max: 400 }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// One more attempt with this commit tells most.
    Test {
        /// Its place in the row.
        commit: usize,
    },
    /// This is the one.
    Named {
        /// Its place in the row.
        commit: usize,
        /// The chance that it is.
        confidence: f64,
    },
    /// It cannot be told: there were too many attempts, or no commit can be tested that would tell more.
    GivenUp {
        /// The likeliest.
        commit: usize,
        /// The chance that it is the one.
        confidence: f64,
    },
}

/// What to do next. `testable` says of each commit whether there is a build of it; a row without one is as long. None for an
/// empty row, and while nothing crashed.
pub fn next(seen: &[Seen], testable: &[bool], demands: Demands) -> Option<Step> {
    if seen.iter().all(|one| one.crashed == 0) {
        return None;
    }
    let now = odds(seen)?;
    let (commit, confidence) = likeliest(&now)?;
    if confidence >= demands.confidence {
        return Some(Step::Named { commit, confidence });
    }
    let attempts: u64 = seen.iter().map(|one| u64::from(one.attempts)).sum();
    let best = (attempts < u64::from(demands.attempts_max)).then(|| telling(&now, testable)).flatten();
    Some(match best {
        Some(commit) => Step::Test { commit },
        None => Step::GivenUp { commit, confidence },
    })
}

fn likeliest(odds: &Odds) -> Option<(usize, f64)> {
    let all = odds.first_bad.iter().copied().enumerate();
    all.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

/// The commit of which one more attempt leaves us least unsure.
fn telling(odds: &Odds, testable: &[bool]) -> Option<usize> {
    let before = unsure(&odds.first_bad);
    let of = |commit: usize| testable.get(commit).copied().unwrap_or(true);
    let best = (0..odds.first_bad.len())
        .filter(|commit| of(*commit))
        .map(|commit| (commit, odds.unsure_after(commit)))
        .min_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (before - best.1 > NEWS_MIN).then_some(best.0)
}
