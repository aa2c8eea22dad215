//! Bugs that the model must find.

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Broken {
    /// None.
    Nothing,
    /// The agent obeys any lease, however old.
    LeasesNotCompared,
    /// The agent begins before the lease is on its disk.
    LeaseNotRecorded,
    /// The daemon takes a phone for free when it gives the attempt up, before the rack has shown it clean.
    FreeAtGiveUp,
    /// Orders leave before what they follow from is on disk.
    OrderBeforeCommit,
    /// A report of an attempt that was given up is taken for that of the one that counts.
    FencedReportDecides,
    /// A request that arrives behind a newer one of the same agent is looked at.
    OvertakenRequestsCount,
}

impl Broken {
    /// Every bug.
    pub const ALL: [Self; 6] = [
        Self::LeasesNotCompared,
        Self::LeaseNotRecorded,
        Self::FreeAtGiveUp,
        Self::OrderBeforeCommit,
        Self::FencedReportDecides,
        Self::OvertakenRequestsCount,
    ];
}
