//! The order of service: one number a job, worked out when it begins to wait. It stays for as long as the job waits,
//! but for one lift when the job has waited too long; so no job ever has to be compared twice because time passed.

use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;

use crate::policy::Policy;

/// A place in the order of service: the smaller goes first. By class, then priority, then deadline, then fair share,
/// then age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Rank (8 bits), priority (32), deadline in milliseconds (44), fair share (44). In halves, as a number of 128 bits
    /// would make each place a third larger, and there are millions.
    high: u64,
    low: u64,
    job: JobId,
}

/// The rank of jobs that have waited too long: behind strict classes, before all others.
const LIFTED: u8 = 100;

/// The rank of jobs whose owner has used up its quota: behind everything.
const BEYOND_QUOTA: u8 = 250;

const RANK_SHIFT: u32 = 120;
const PRIORITY_SHIFT: u32 = 88;
const DEADLINE_SHIFT: u32 = 44;
const FIELD_MAX: u64 = (1 << 44) - 1;

impl Place {
    /// Behind every job.
    pub(crate) const LAST: Self = Self { high: u64::MAX, low: u64::MAX, job: JobId(u64::MAX) };

    /// The place of a job of this rank. `share` is where its owner stands among the others.
    pub(crate) fn new(rank: u8, priority: i32, start_by: Option<Time>, share: u64, job: JobId) -> Self {
        // Flipping the sign bit orders signed numbers as unsigned ones; the complement puts higher ones first.
        let priority = !(priority.cast_unsigned() ^ (1 << 31));
        let deadline = start_by.map_or(FIELD_MAX, |at| u64::try_from(at.as_unix_ms()).unwrap_or(0));
        let order = u128::from(rank) << RANK_SHIFT
            | u128::from(priority) << PRIORITY_SHIFT
            | u128::from(deadline.min(FIELD_MAX)) << DEADLINE_SHIFT
            | u128::from(share.min(FIELD_MAX));
        Self::of(order, job)
    }

    /// The place of a job that has waited too long: among its like, the oldest goes first.
    pub(crate) fn lifted(job: JobId) -> Self {
        Self::of(u128::from(LIFTED) << RANK_SHIFT, job)
    }

    /// The same place behind everything that is within its owner's quota.
    pub(crate) fn beyond_quota(self) -> Self {
        if self.rank() < LIFTED {
            return self;
        }
        let below = self.order() & ((1 << RANK_SHIFT) - 1);
        Self::of(below | u128::from(BEYOND_QUOTA) << RANK_SHIFT, self.job)
    }

    /// The job.
    pub fn job(self) -> JobId {
        self.job
    }

    fn rank(self) -> u8 {
        (self.order() >> RANK_SHIFT) as u8
    }

    /// Whether the two differ in nothing but share and age: overtaking there hurts nobody's urgency.
    pub(crate) fn is_as_urgent_as(self, other: Self) -> bool {
        self.order() >> DEADLINE_SHIFT == other.order() >> DEADLINE_SHIFT
    }

    fn of(order: u128, job: JobId) -> Self {
        Self { high: (order >> u64::BITS) as u64, low: order as u64, job }
    }

    fn order(self) -> u128 {
        u128::from(self.high) << u64::BITS | u128::from(self.low)
    }
}

impl Policy {
    /// The rank of a class in the order of service: strict classes stand before lifted jobs, the others behind.
    pub(crate) fn rank(&self, class: JobClass) -> u8 {
        let rule = self.class(class);
        if rule.strict { rule.rank.min(LIFTED - 1) } else { (LIFTED + 1).saturating_add(rule.rank.min(100)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_then_deadline_then_share_then_age() {
        let at = |ms| Some(Time::from_unix_ms(ms));
        let places = [
            Place::new(1, i32::MIN, None, 0, JobId(9)),
            Place::lifted(JobId(3)),
            Place::lifted(JobId(4)),
            Place::new(101, i32::MAX, None, 9, JobId(1)),
            Place::new(101, 5, at(1_000), 9, JobId(8)),
            Place::new(101, 5, at(2_000), 0, JobId(1)),
            Place::new(101, 5, None, 0, JobId(7)),
            Place::new(101, 5, None, 1, JobId(2)),
            Place::new(101, 5, None, 1, JobId(3)),
            Place::new(101, -1, None, 0, JobId(1)),
            Place::new(102, 100, at(0), 0, JobId(1)),
            Place::lifted(JobId(1)).beyond_quota(),
            Place::LAST,
        ];
        assert!(places.is_sorted(), "{places:#?}");
        let strict = Place::new(0, 0, None, 0, JobId(1));
        assert_eq!(strict.beyond_quota(), strict, "a crash job asks for no quota");
    }
}
