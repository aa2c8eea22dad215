//! A job as the bounds see it: it has one phone at a time, and is served whenever that is.

/// A job. Times are seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// When it was submitted.
    pub release: f64,
    /// How long it runs.
    pub run: f64,
    /// What a second of its waiting costs.
    pub weight: f64,
    /// The kinds of phones that it may use, by number; at least one.
    pub kinds: Vec<usize>,
    /// Whether its run may be in pieces.
    pub breaks: Breaks,
}

/// Where a run may be broken off, to go on later on any phone that fits. The start of a job in pieces is the one that its
/// end implies: so much earlier as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// It is one piece.
    Never,
    /// At any moment, and nothing is lost.
    Anywhere,
}

/// The sum of weighted starts when nobody waits.
pub(super) fn at_once(jobs: &[Demand]) -> f64 {
    jobs.iter().map(|job| job.weight * job.release).sum()
}
