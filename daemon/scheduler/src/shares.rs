//! Fair share between owners: who stands where among the others, who runs as much as it may, and who has used up its
//! day. A job's share is settled when it is submitted, by start-time fair queueing: each owner's jobs are spaced by
//! what they cost it, so that owners take turns in proportion to their weights, and none gains by submitting a lot.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::id::Owner;
use holdfast_wire::time::Time;

use crate::place::Place;
use crate::policy::{OwnerPolicy, Policy};
use crate::record::OwnerRecord;

/// One owner, by number; jobs without an owner share one.
pub(crate) type OwnerId = usize;

/// The unit of a share: a tenth of a second of one phone, at weight 1.
const UNIT_MS: u64 = 100;

const DAY_MS: i64 = 86_400_000;

/// The day of an instant, counted from 1970-01-01 in UTC.
pub(crate) fn day_of(at: Time) -> i64 {
    at.as_unix_ms().div_euclid(DAY_MS)
}

/// The end of a day.
pub(crate) fn end_of_day(day: i64) -> Time {
    Time::from_unix_ms((day + 1).saturating_mul(DAY_MS))
}

/// What is known of one owner.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) owner: Option<Owner>,
    pub(crate) rule: OwnerPolicy,
    /// Whether phones ask for this owner by name: then its jobs have lanes of their own.
    pub(crate) is_named: bool,
    /// Whether it has a limit or a quota: then its jobs stand by themselves in each lane.
    pub(crate) is_limited: bool,
    /// Attempts that count and hold a phone.
    pub(crate) running: u32,
    /// The day that `used_ms` is of.
    pub(crate) day: i64,
    pub(crate) used_ms: u64,
    /// A day that is recorded and has yet to come, and what was used on it: the daemon started anew on a clock that was set
    /// back over midnight.
    later: Option<(i64, u64)>,
    /// What the attempts that run are expected to use.
    pub(crate) expected_ms: u64,
    /// The most that any attempt of it was ever expected to use.
    pub(crate) longest_ms: u64,
    /// Its waiting jobs in the order of service, when it has limits.
    pub(crate) waiting: BTreeSet<Place>,
    /// Up to where it has been served, by rank.
    served: BTreeMap<u8, u64>,
}

impl Share {
    /// Whether an attempt on so many phones would be more than it may run.
    pub(crate) fn is_full(&self, phones: u16) -> bool {
        self.rule.running_max.is_some_and(|most| self.running + u32::from(phones) > most)
    }

    /// Whether so many more attempts could meet one of its limits: then it matters which of its jobs begins first.
    pub(crate) fn is_tight(&self, attempts: usize) -> bool {
        let more = u32::try_from(attempts).unwrap_or(u32::MAX);
        let running = self.running.saturating_add(more);
        let full = self.rule.running_max.is_some_and(|most| running > most);
        let more_ms = self.longest_ms.saturating_mul(u64::from(more));
        full || self.would_be_beyond_quota(more_ms)
    }

    /// Where a job of it stands now; none when it may not begin any.
    pub(crate) fn standing(&self, phones: u16, place: Place) -> Option<Place> {
        if self.is_full(phones) {
            return None;
        }
        Some(if self.is_beyond_quota() { place.beyond_quota() } else { place })
    }

    /// Begins a day, unless it has begun already.
    pub(crate) fn begin_day(&mut self, today: i64) {
        if self.day != today {
            let used = self.later.take_if(|(day, _)| *day <= today).filter(|(day, _)| *day == today);
            (self.day, self.used_ms) = (today, used.map_or(0, |(_, used_ms)| used_ms));
        }
    }

    /// Uses so much of today. What is recorded of another day is replaced by it.
    pub(crate) fn spend(&mut self, today: i64, held_ms: u64) {
        self.begin_day(today);
        self.later = None;
        self.used_ms = self.used_ms.saturating_add(held_ms);
    }

    /// Takes over what was recorded.
    pub(crate) fn remember(&mut self, used: &OwnerRecord, today: i64) {
        self.later = Some((used.day, used.used_ms));
        self.begin_day(today);
    }

    /// Whether what it has used today, with what it is using, is all that it may.
    pub(crate) fn is_beyond_quota(&self) -> bool {
        self.would_be_beyond_quota(0)
    }

    fn would_be_beyond_quota(&self, more_ms: u64) -> bool {
        let quota_ms = self.rule.minutes_per_day.map(|minutes| u64::from(minutes) * 60_000);
        let all_ms = self.used_ms.saturating_add(self.expected_ms).saturating_add(more_ms);
        quota_ms.is_some_and(|quota_ms| all_ms >= quota_ms)
    }
}

/// Every owner.
#[derive(Debug)]
pub(crate) struct Shares {
    pub(crate) list: Vec<Share>,
    ids: BTreeMap<Owner, OwnerId>,
    /// How far service has come, by rank: a newcomer starts from here, not from the beginning of time.
    reached: BTreeMap<u8, u64>,
}

impl Shares {
    pub(crate) fn new(policy: &Policy) -> Self {
        let mut shares = Self { list: Vec::new(), ids: BTreeMap::new(), reached: BTreeMap::new() };
        shares.add(None, policy);
        shares
    }

    fn add(&mut self, owner: Option<Owner>, policy: &Policy) -> OwnerId {
        let mut share = Share {
            owner,
            rule: policy.default_owner,
            is_named: false,
            is_limited: false,
            running: 0,
            day: i64::MIN,
            used_ms: 0,
            later: None,
            expected_ms: 0,
            longest_ms: 0,
            waiting: BTreeSet::new(),
            served: BTreeMap::new(),
        };
        share.obey(policy);
        self.list.push(share);
        self.list.len() - 1
    }

    pub(crate) fn id(&mut self, owner: Option<&Owner>, policy: &Policy) -> OwnerId {
        let Some(owner) = owner else { return 0 };
        if let Some(id) = self.ids.get(owner) {
            return *id;
        }
        let id = self.add(Some(owner.clone()), policy);
        self.ids.insert(owner.clone(), id);
        id
    }

    /// Takes over other rules.
    pub(crate) fn obey(&mut self, policy: &Policy) {
        for share in &mut self.list {
            share.obey(policy);
            share.served.clear();
        }
        self.reached.clear();
    }

    /// Where the next job of an owner stands among jobs of its rank, and moves the one after it behind.
    pub(crate) fn stand(&mut self, id: OwnerId, rank: u8, cost_ms: u64) -> u64 {
        let reached = self.reached.get(&rank).copied().unwrap_or(0);
        let share = &mut self.list[id];
        let served = share.served.entry(rank).or_insert(0);
        let start = reached.max(*served);
        *served = start.saturating_add((cost_ms / UNIT_MS / u64::from(share.rule.weight.max(1))).max(1));
        start
    }

    /// Where every owner stands, to come back to.
    pub(crate) fn remember(&self) -> Vec<BTreeMap<u8, u64>> {
        self.list.iter().map(|share| share.served.clone()).collect()
    }

    /// Owners stand again where they stood.
    pub(crate) fn recall(&mut self, remembered: Vec<BTreeMap<u8, u64>>) {
        for (share, served) in self.list.iter_mut().zip(remembered) {
            share.served = served;
        }
    }

    /// A job that stood there begins.
    pub(crate) fn serve(&mut self, rank: u8, share: u64) {
        let reached = self.reached.entry(rank).or_insert(0);
        *reached = share.max(*reached);
    }
}

impl Share {
    fn obey(&mut self, policy: &Policy) {
        self.rule = self.owner.as_ref().map_or(policy.default_owner, |owner| policy.owner(owner));
        let named = |owner: &Owner| {
            policy.pools.iter().any(|pool| pool.only.contains(owner))
                || policy.demands.iter().any(|demand| demand.only.contains(owner))
        };
        self.is_named = self.owner.as_ref().is_some_and(named);
        self.is_limited = self.rule.running_max.is_some() || self.rule.minutes_per_day.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_take_turns_by_weight_and_newcomers_do_not_catch_up() {
        let mut policy = Policy::with_pools(Vec::new());
        let heavy: Owner = "heavy".parse().unwrap_or_else(|_| unreachable!("a good name"));
        policy.owners.insert(heavy.clone(), OwnerPolicy { weight: 2, ..OwnerPolicy::default() });
        let mut shares = Shares::new(&policy);
        let heavy = shares.id(Some(&heavy), &policy);
        let of_heavy: Vec<u64> = (0..4).map(|_| shares.stand(heavy, 7, 1_000)).collect();
        let of_nobody: Vec<u64> = (0..2).map(|_| shares.stand(0, 7, 1_000)).collect();
        assert_eq!(of_heavy, [0, 5, 10, 15], "a second is ten units, five at weight 2");
        assert_eq!(of_nobody, [0, 10]);
        shares.serve(7, 15);
        assert_eq!(shares.stand(0, 7, 1_000), 20);
        assert_eq!(shares.stand(0, 8, 1_000), 0, "another rank has its own shares");
    }
}
