//! What the attempts so far say: Bayes' rule over "which commit" and "how often it crashes".

/// Commits in one row at most; the caller names the newest of a longer one.
pub const COMMITS_MAX: usize = 400;

/// A crash that is not the commit's: another cause with the same stack, a phone that misbehaves. One in five hundred.
const STRAY: f64 = 0.002;
/// Steps in which "how often it crashes" is gone through, from one in a hundred to always. Even in the logarithm: of a crash
/// that shows once in fifty attempts it matters whether it is fifty or thirty.
const RATES: usize = 24;
/// The rarest crash that is looked for.
const RATE_MIN: f64 = 0.01;

/// What was seen of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Attempts that ran the case to its end or crashed in it.
    pub attempts: u32,
    /// Of these, attempts in which the crash happened; more than attempts count as all of them.
    pub crashed: u32,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Odds {
    /// For each commit, the chance that it is the first bad one; together 1.
    pub first_bad: Vec<f64>,
    /// For each commit, the chance that one more attempt crashes.
    pub crashes: Vec<f64>,
    /// Chance of each pair of first bad commit and rate; rates are the inner row.
    pub(crate) joint: Vec<f64>,
}

/// The odds after what was seen; every commit is as likely as any other before. None for an empty row. Of a row longer than
/// [`COMMITS_MAX`], the oldest are left out, and count as good.
pub fn odds(seen: &[Seen]) -> Option<Odds> {
    let count = seen.len().min(COMMITS_MAX);
    if count == 0 {
        return None;
    }
    let left_out = seen.len() - count;
    let seen = &seen[left_out..];
    let rates = rates();
    let good: Vec<f64> = seen.iter().map(|one| log_chance(*one, STRAY)).collect();
    let before: Vec<f64> = sums(good.iter().copied());
    let mut logs = vec![0.0_f64; count * RATES];
    for (at_rate, rate) in rates.iter().enumerate() {
        let bad: Vec<f64> = sums(seen.iter().map(|one| log_chance(*one, *rate)));
        for first in 0..count {
            // Good up to it, bad from it on.
            logs[first * RATES + at_rate] = before[first] + bad[count] - bad[first];
        }
    }
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut joint: Vec<f64> = logs.into_iter().map(|log| (log - most).exp()).collect();
    let all: f64 = joint.iter().sum();
    joint.iter_mut().for_each(|chance| *chance /= all);
    // Sums of chances may be a hair above one.
    let mut first_bad: Vec<f64> =
        joint.chunks_exact(RATES).map(|of| of.iter().sum::<f64>().min(1.0)).collect();
    let mut crashes = Vec::with_capacity(count);
    let (mut bad, mut weighed) = (0.0, 0.0);
    for of in joint.chunks_exact(RATES) {
        bad += of.iter().sum::<f64>();
        weighed += of.iter().zip(&rates).map(|(chance, rate)| chance * rate).sum::<f64>();
        crashes.push((weighed + (1.0 - bad) * STRAY).clamp(0.0, 1.0));
    }
    if left_out > 0 {
        first_bad.splice(0..0, std::iter::repeat_n(0.0, left_out));
        crashes.splice(0..0, std::iter::repeat_n(STRAY, left_out));
    }
    Some(Odds { first_bad, crashes, joint })
}

impl Odds {
    /// How unsure it is which commit it was, in bits, after one more attempt of this commit, on average.
    pub(crate) fn unsure_after(&self, commit: usize) -> f64 {
        let left_out = self.first_bad.len() - self.joint.len() / RATES;
        let Some(commit) = commit.checked_sub(left_out) else { return unsure(&self.first_bad) };
        let rates = rates();
        let mut crashed = Vec::with_capacity(self.joint.len() / RATES);
        let mut passed = Vec::with_capacity(crashed.capacity());
        for (first, of) in self.joint.chunks_exact(RATES).enumerate() {
            let whole: f64 = of.iter().sum();
            let hit: f64 = if first <= commit {
                of.iter().zip(&rates).map(|(chance, rate)| chance * rate).sum()
            } else {
                whole * STRAY
            };
            crashed.push(hit);
            passed.push(whole - hit);
        }
        let part = |of: &[f64]| {
            let whole: f64 = of.iter().sum();
            if whole > 0.0 {
                whole * unsure(&of.iter().map(|chance| chance / whole).collect::<Vec<_>>())
            } else {
                0.0
            }
        };
        part(&crashed) + part(&passed)
    }
}

/// Entropy, bits.
pub(crate) fn unsure(chances: &[f64]) -> f64 {
    chances.iter().filter(|chance| **chance > 0.0).map(|chance| -chance * chance.log2()).sum()
}

fn rates() -> [f64; RATES] {
    let step = |at: usize| RATE_MIN.powf(1.0 - at as f64 / (RATES - 1) as f64);
    // What always crashes is told apart from what nearly always does by a stray pass alone.
    std::array::from_fn(|at| step(at).min(1.0 - STRAY))
}

/// Logarithm of the chance to see this when each attempt crashes at this rate.
fn log_chance(seen: Seen, rate: f64) -> f64 {
    let crashed = seen.crashed.min(seen.attempts);
    f64::from(crashed) * rate.ln() + f64::from(seen.attempts - crashed) * (1.0 - rate).ln()
}

/// Sums of the first none, one, two, … of them.
fn sums(of: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    for one in of {
        sum += one;
        sums.push(sum);
    }
    sums
}
