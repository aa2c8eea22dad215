//! The rules of matching, once more: slow, obvious, and without a look at the brain. It is told of every event's records
//! before and after, and says which jobs had to start. Which phones a job gets is the brain's choice among those that
//! will do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_scheduler::JobRecord;
use holdfast_scheduler::PhoneRecord;
use holdfast_scheduler::policy::Policy;
use holdfast_scheduler::record::HoldPhase;
use holdfast_wire::id::{BuildHash, JobId, Owner, RackId, Udid};
use holdfast_wire::job::{JobClass, JobState};
use holdfast_wire::outcome::Blame;
use holdfast_wire::phone::{OsVersion, PhoneReport, Readiness};
use holdfast_wire::requirement::{Atom, Compare, Place, Term};
use holdfast_wire::time::Time;

/// What was recorded.
pub(crate) type Jobs = BTreeMap<JobId, JobRecord>;

/// Phones as the test has told of them.
pub(crate) struct Seen {
    pub(crate) rack: RackId,
    pub(crate) report: PhoneReport,
}

/// What there is to be matched.
pub(crate) struct Farm<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) now: Time,
    pub(crate) before: &'a Jobs,
    pub(crate) after: &'a Jobs,
    pub(crate) phones: &'a BTreeMap<Udid, Seen>,
    pub(crate) records: &'a BTreeMap<Udid, PhoneRecord>,
    pub(crate) heard: &'a BTreeSet<RackId>,
}

/// What has to be remembered between events.
#[derive(Default)]
pub(crate) struct Matcher {
    /// Where each job stands among those of other owners.
    shares: BTreeMap<JobId, u64>,
    served: BTreeMap<(Option<Owner>, Rank), u64>,
    reached: BTreeMap<Rank, u64>,
    tested: BTreeMap<BuildHash, u64>,
    batches: BTreeMap<Udid, u32>,
    builds: BTreeMap<Udid, BuildHash>,
    used: BTreeMap<Owner, (i64, u64)>,
}

/// Strict classes first, then by rank.
type Rank = (bool, u8);

/// The order of service: bucket, rank, priority, deadline, share, age.
type Order = (u8, u8, i64, i64, u64, JobId);

/// The bucket of jobs whose owner has used up its quota: the last.
const BEYOND_QUOTA: u8 = 3;

/// What a phone is to a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fit {
    Native,
    Lent,
    No,
}

/// A job that started, on which phones.
type Starts = BTreeMap<JobId, Vec<Udid>>;

impl Matcher {
    /// Holds what the brain has started against the rules.
    pub(crate) fn judge(&mut self, farm: &Farm<'_>) -> Result<(), String> {
        self.submitted(farm);
        self.charge(farm);
        let mut match_ = Match::new(self, farm);
        let verdict = match_.run();
        let starts = match_.all_starts.clone();
        // Whatever has been found, the next event is judged by what did happen.
        self.follow(farm, &starts);
        verdict
    }

    /// New jobs get their share: start-time fair queueing by owner, and by builds for idle jobs.
    fn submitted(&mut self, farm: &Farm<'_>) {
        for (id, job) in farm.after.iter().filter(|(id, _)| !farm.before.contains_key(id)) {
            let rank = rank(farm.policy, job.spec.class);
            let share = if job.spec.class == JobClass::Idle {
                let tested = self.tested.entry(job.spec.build.hash).or_insert(0);
                *tested += 1;
                *tested - 1
            } else {
                let reached = self.reached.get(&rank).copied().unwrap_or(0);
                let served = self.served.entry((job.spec.owner.clone(), rank)).or_insert(0);
                let start = reached.max(*served);
                let weight = job
                    .spec
                    .owner
                    .as_ref()
                    .map_or(farm.policy.default_owner, |o| farm.policy.owner(o))
                    .weight;
                *served = start + (usual_ms(job) / 100 / u64::from(weight)).max(1);
                start
            };
            self.shares.insert(*id, share);
        }
    }

    /// Attempts that have ended are charged to their owners' day.
    fn charge(&mut self, farm: &Farm<'_>) {
        let today = farm.now.as_unix_ms().div_euclid(86_400_000);
        for (id, job) in farm.after {
            let Some(owner) = &job.spec.owner else { continue };
            for (place, attempt) in job.attempts.iter().enumerate() {
                let was_open = farm.before.get(id).is_some_and(|job| {
                    job.attempts.get(place).is_some_and(|attempt| attempt.ended.is_none())
                });
                if let (true, Some(ended)) = (was_open, &attempt.ended) {
                    let held = u64::try_from(ended.at.since(attempt.leased_at).as_millis()).unwrap_or(0);
                    let used = self.used.entry(owner.clone()).or_insert((today, 0));
                    *used = if used.0 == today { (today, used.1 + held) } else { (today, held) };
                }
            }
        }
    }

    fn follow(&mut self, farm: &Farm<'_>, starts: &Starts) {
        for (id, phones) in starts {
            let job = &farm.after[id];
            let reached = self.reached.entry(rank(farm.policy, job.spec.class)).or_insert(0);
            *reached = (*reached).max(self.shares[id]);
            for phone in phones {
                let same =
                    self.builds.insert(phone.clone(), job.spec.build.hash) == Some(job.spec.build.hash);
                let batch = self.batches.entry(phone.clone()).or_insert(0);
                *batch = if same { *batch + 1 } else { 1 };
            }
        }
    }
}

/// One event's matching.
struct Match<'a> {
    matcher: &'a Matcher,
    farm: &'a Farm<'a>,
    /// Phones that are free and not given away yet.
    free: BTreeSet<Udid>,
    /// Those of them that may be kept for a job of several phones, or may not: either is right.
    perhaps: BTreeSet<Udid>,
    /// Jobs that have not been looked at yet.
    open: BTreeSet<JobId>,
    /// What the brain has started and the rules have not yet explained.
    starts: Starts,
    all_starts: Starts,
    /// Attempts that run, by owner, with what they are expected to use.
    running: BTreeMap<Option<Owner>, (u32, u64)>,
}

impl<'a> Match<'a> {
    fn new(matcher: &'a Matcher, farm: &'a Farm<'a>) -> Self {
        let mut starts: Starts = BTreeMap::new();
        let mut running: BTreeMap<Option<Owner>, (u32, u64)> = BTreeMap::new();
        for (id, job) in farm.after {
            let known = farm.before.get(id).map_or(0, |job| job.attempts.len());
            let new: Vec<Udid> =
                job.attempts.iter().skip(known).map(|attempt| attempt.phone.clone()).collect();
            if !new.is_empty() {
                starts.insert(*id, new);
            }
            for _ in job.attempts.iter().take(known).filter(|attempt| attempt.ended.is_none()) {
                let running = running.entry(job.spec.owner.clone()).or_insert((0, 0));
                *running = (running.0 + 1, running.1 + usual_ms(job));
            }
        }
        let given: BTreeSet<&Udid> = starts.values().flatten().collect();
        let is_free = |udid: &&Udid| {
            let record = &farm.records[*udid];
            may_be_used(farm, udid) && (record.hold.is_none() || given.contains(udid))
        };
        Self {
            matcher,
            farm,
            free: farm.phones.keys().filter(is_free).cloned().collect(),
            perhaps: BTreeSet::new(),
            open: BTreeSet::new(),
            all_starts: starts.clone(),
            starts,
            running,
        }
    }

    /// Every waiting job in the order of service, on a phone that serves it, else on one that is lent and that no job
    /// waits for whose pool it is.
    fn run(&mut self) -> Result<(), String> {
        let lends = self.farm.policy.pools.iter().any(|pool| !pool.lends.is_empty());
        self.open = self.waiting();
        // Each start may change who is beyond its quota: the first is sought anew.
        while let Some(first) = self.open.iter().map(|id| self.order(*id)).min() {
            let left = self.starts.len();
            self.open.remove(&first.5);
            self.decide(first.5)?;
            if lends && self.starts.len() < left {
                // Whoever has left a phone of its own pool makes it free to be lent.
                self.open = self.waiting();
            }
        }
        match self.starts.is_empty() {
            true => Ok(()),
            false => Err(self.starts.iter().map(|(id, phones)| self.unexplained(*id, phones)).collect()),
        }
    }

    /// Jobs that wait, as far as the rules have explained by now.
    fn waiting(&self) -> BTreeSet<JobId> {
        let waits =
            |(id, job): &(&JobId, &JobRecord)| job.state == JobState::Queued || self.starts.contains_key(id);
        self.farm.after.iter().filter(waits).map(|(id, _)| *id).collect()
    }

    /// Whether a job waits, or may wait, for a phone of its own pool that another would borrow. Of a job that is bound
    /// to some phone it is not known here which it takes.
    fn is_wanted(&self, by: impl Fn(&JobRecord) -> bool, udid: &Udid) -> bool {
        self.waiting().iter().map(|other| &self.farm.after[other]).any(|other| {
            by(other)
                && self.fit(other, udid) == Fit::Native
                && self.may_begin(other)
                && (other.spec.compare.is_some() || !self.avoids(other, udid))
        })
    }

    /// What the rules say of a start that they do not explain.
    fn unexplained(&self, id: JobId, phones: &[Udid]) -> String {
        let job = &self.farm.after[&id];
        let said = phones.iter().map(|udid| {
            let (fit, accepts, free) =
                (self.fit(job, udid), !self.avoids(job, udid), self.free.contains(udid));
            format!(", {udid} {fit:?}, accepted: {accepts}, left over: {free}")
        });
        let failed: Vec<_> = job.failed_elsewhere().map(|(attempt, blame)| (&attempt.phone, blame)).collect();
        let (may, said) = (self.may_begin(job), said.collect::<String>());
        let (spec, waited) = (&job.spec, self.farm.now.since(job.submitted_at));
        format!(
            "{id} {} {:?} {:?} waited {waited:?} started against the rules; may begin: {may}, failed on {failed:?}{said}\n",
            spec.class, spec.compare, spec.requirements
        )
    }

    fn decide(&mut self, id: JobId) -> Result<(), String> {
        let job = &self.farm.after[&id];
        let phones = usize::from(job.spec.phones);
        if !self.may_begin(job) {
            return Ok(());
        }
        // Where a comparison is at home changes with every job of it that begins, within a turn too: its jobs may wait.
        // And a phone that is kept for a job of several phones is not given back because another one may do by now.
        let has_tried = job.failed_elsewhere().next().is_some();
        let is_bound = job.spec.compare.is_some() || (phones > 1 && has_tried);
        let takes = |udid: &&Udid| is_bound || !self.avoids(job, udid);
        let of = |fit: Fit| -> Vec<Udid> {
            self.free.iter().filter(|udid| self.fit(job, udid) == fit).filter(takes).cloned().collect()
        };
        let mut fitting = of(Fit::Native);
        let mut unsure: BTreeSet<Udid> = BTreeSet::new();
        let given = self.starts.get(&id).cloned();
        let is_given = given.as_ref().is_some_and(|given| given.iter().all(|udid| fitting.contains(udid)));
        // A bound job may take none of those that serve it.
        if fitting.len() < phones || (is_bound && !is_given) {
            for udid in of(Fit::Lent) {
                let unbound = |other: &JobRecord| other.id != id && other.spec.compare.is_none();
                if self.is_wanted(|other| other.id != id, &udid) {
                    unsure.insert(udid.clone());
                }
                if !self.is_wanted(unbound, &udid) {
                    fitting.push(udid);
                }
            }
        }
        if fitting.len() >= phones
            && let Some(given) = given
        {
            let is_among = given.iter().all(|udid| fitting.contains(udid));
            // What a bound job takes may only come to be free for it. And what a job whose pool it is may want is perhaps
            // not there to be lent: the lent phone that was given is then one which others have only left.
            let sure = fitting.iter().filter(|udid| !unsure.contains(*udid)).count();
            if !is_among && (is_bound || sure < phones) {
                return Ok(());
            }
            let distinct: BTreeSet<&Udid> = given.iter().collect();
            if distinct.len() != phones || !is_among {
                return Err(format!("{id} was given {given:?}, of {fitting:?}"));
            }
            // Its turn on a phone may have gone to the other build of its comparison, and it found another phone since.
            fitting.retain(|udid| !given.contains(udid));
            if job.spec.compare.is_some()
                && let Some(other) = self.instead(id, &fitting)
            {
                self.begin(other);
                self.open.remove(&other);
            }
            self.begin(id);
            return Ok(());
        }
        // Another one as urgent may go first, for the sake of its build.
        if fitting.len() >= phones
            && let Some(other) = self.instead(id, &fitting)
        {
            self.begin(other);
            self.open.remove(&other);
            return self.decide(id);
        }
        let is_sure = |udid: &&Udid| !self.perhaps.contains(*udid) && !unsure.contains(*udid);
        let sure = fitting.iter().filter(is_sure).count();
        if sure < phones || is_bound {
            // What there is is kept for a job of several phones, unless its owner has used up its quota.
            if self.order(id).0 == BEYOND_QUOTA {
                return Ok(());
            }
            // One whose owner may run out of room within the turn may yet let go of it.
            let owner = job.spec.owner.as_ref().map(|owner| self.farm.policy.owner(owner));
            let is_firm =
                owner.is_none_or(|rule| rule.running_max.is_none() && rule.minutes_per_day.is_none());
            if phones > 1 && sure == fitting.len() && !is_bound && is_firm {
                self.free.retain(|udid| !fitting.contains(udid));
            } else if phones > 1 {
                self.perhaps.extend(fitting);
            }
            return Ok(());
        }
        Err(format!(
            "{id} at {:?} waits although {fitting:?} would do; failed on {:?}, waited {:?}; started: {:?}",
            self.order(id),
            job.failed_elsewhere().map(|(attempt, blame)| (&attempt.phone, blame)).collect::<Vec<_>>(),
            self.farm.now.since(job.submitted_at),
            self.all_starts.iter().map(|(id, on)| (self.order(*id), on)).collect::<Vec<_>>()
        ))
    }

    fn begin(&mut self, id: JobId) {
        let job = &self.farm.after[&id];
        let phones = self.starts.remove(&id).unwrap_or_default();
        self.free.retain(|udid| !phones.contains(udid));
        let running = self.running.entry(job.spec.owner.clone()).or_insert((0, 0));
        *running = (running.0 + phones.len() as u32, running.1 + usual_ms(job) * phones.len() as u64);
    }

    /// A job that the brain has started on one of these phones instead: of the other build of its comparison, or of the
    /// build that is on the phone already.
    fn instead(&self, id: JobId, fitting: &[Udid]) -> Option<JobId> {
        let first = &self.farm.after[&id];
        let (own, policy) = (self.order(id), self.farm.policy);
        self.starts.iter().find_map(|(other, phones)| {
            let job = &self.farm.after[other];
            let order = self.order(*other);
            let [phone] = phones.as_slice() else { return None };
            let as_urgent = (order.0, order.1, order.2, order.3) == (own.0, own.1, own.2, own.3);
            let last = self.matcher.builds.get(phone);
            let turn = job.spec.compare.is_some()
                && job.spec.compare == first.spec.compare
                && job.spec.build.hash != first.spec.build.hash;
            let batch = self.matcher.batches.get(phone).copied().unwrap_or(0) < policy.batch_max
                && last == Some(&job.spec.build.hash)
                && job.spec.compare.is_none()
                && last != Some(&first.spec.build.hash);
            let may = self.may_begin(job)
                && self.fit(job, phone) != Fit::No
                && (job.spec.compare.is_some() || !self.avoids(job, phone));
            (as_urgent && (turn || batch) && may && fitting.contains(phone)).then_some(*other)
        })
    }

    /// Strict classes, then what has waited too long, then the others by rank, then what is beyond its quota.
    fn order(&self, id: JobId) -> Order {
        let job = &self.farm.after[&id];
        let (policy, spec) = (self.farm.policy, &job.spec);
        let class = policy.class(spec.class);
        let waited = self.farm.now.since(job.submitted_at);
        let deadline = spec.start_by.map_or(i64::MAX, Time::as_unix_ms);
        let key = (-i64::from(spec.priority), deadline, self.matcher.shares[&id], id);
        let lifted = !class.strict && class.lift_after.is_some_and(|after| after <= waited);
        let key = if lifted { (i64::MIN, 0, 0, id) } else { key };
        let bucket = match (class.strict, self.is_beyond_quota(job), lifted) {
            (_, false, true) => (1, 0),
            (true, _, _) => (0, class.rank),
            (false, true, _) => (BEYOND_QUOTA, 0),
            (false, false, false) => (2, class.rank),
        };
        (bucket.0, bucket.1, key.0, key.1, key.2, key.3)
    }

    fn is_beyond_quota(&self, job: &JobRecord) -> bool {
        let Some(owner) = &job.spec.owner else { return false };
        let Some(minutes) = self.farm.policy.owner(owner).minutes_per_day else { return false };
        let today = self.farm.now.as_unix_ms().div_euclid(86_400_000);
        let used = self.matcher.used.get(owner).filter(|(day, _)| *day == today).map_or(0, |(_, ms)| *ms);
        let expected = self.running.get(&job.spec.owner).map_or(0, |(_, ms)| *ms);
        used + expected >= u64::from(minutes) * 60_000
    }

    /// Whether rules that have nothing to do with phones let it begin.
    fn may_begin(&self, job: &JobRecord) -> bool {
        let policy = self.farm.policy;
        let window = policy.class(job.spec.class).window;
        let open = window.is_none_or(|name| policy.windows[&name].is_open(self.farm.now));
        let rule = job.spec.owner.as_ref().map_or(policy.default_owner, |owner| policy.owner(owner));
        let running = self.running.get(&job.spec.owner).map_or(0, |(count, _)| *count);
        let room = rule.running_max.is_none_or(|most| running + u32::from(job.spec.phones) <= most);
        let working =
            self.farm.phones.keys().filter(|udid| self.fit(job, udid) != Fit::No && works(self.farm, udid));
        open && room && (job.spec.phones == 1 || working.count() >= usize::from(job.spec.phones))
    }

    fn fit(&self, job: &JobRecord, udid: &Udid) -> Fit {
        let (policy, seen, spec) = (self.farm.policy, &self.farm.phones[udid], &job.spec);
        let Some(pool) = policy.pool_of(&seen.rack, &seen.report.facts) else { return Fit::No };
        let place = Place { facts: &seen.report.facts, rack: &seen.rack, pool: Some(&pool.name) };
        let allows =
            |only: &[Owner]| only.is_empty() || spec.owner.as_ref().is_some_and(|owner| only.contains(owner));
        let demanded =
            policy.demands.iter().all(|demand| !demand.phones.term().holds(&place) || allows(&demand.only));
        let waited = self.farm.now.since(job.submitted_at);
        let steps = spec.requirements.steps();
        let step: Option<&(Duration, Term)> = steps.iter().rev().find(|(after, _)| *after <= waited);
        let asked = step.is_some_and(|(_, term)| term.holds(&place));
        let minimum: Option<OsVersion> = spec.build.minimum_os.as_ref().and_then(|text| text.parse().ok());
        let installs =
            minimum.is_none_or(|version| Atom::Os { compare: Compare::AtLeast, version }.holds(&place));
        if !(allows(&pool.only) && demanded && asked && installs) {
            return Fit::No;
        }
        match &spec.requirements.pool {
            Some(wanted) if *wanted == pool.name => Fit::Native,
            Some(_) => Fit::No,
            None if pool.serves.contains(&spec.class) => Fit::Native,
            None if pool.lends.contains(&spec.class) => Fit::Lent,
            None => Fit::No,
        }
    }

    /// Whether a job keeps away from a phone: it failed there, or twice on its rack, or through the fault of its rack,
    /// and as many phones as it needs may do elsewhere.
    fn avoids(&self, job: &JobRecord, udid: &Udid) -> bool {
        let failed: Vec<_> = job.failed_elsewhere().collect();
        let on_phone = |udid: &Udid| failed.iter().any(|(attempt, _)| attempt.phone == *udid);
        let on_rack = |udid: &Udid| {
            let rack = &self.farm.phones[udid].rack;
            let here: Vec<_> = failed.iter().filter(|(attempt, _)| attempt.rack == *rack).collect();
            here.len() >= 2 || here.iter().any(|(_, blame)| *blame == Blame::Rack)
        };
        let elsewhere = |holds: &dyn Fn(&Udid) -> bool| {
            let others = self.farm.phones.keys();
            let others = others.filter(|udid| self.fit(job, udid) != Fit::No && works(self.farm, udid));
            others.filter(|udid| holds(udid)).count() >= usize::from(job.spec.phones)
        };
        let bad = on_phone(udid) || on_rack(udid);
        bad && elsewhere(&|udid| !on_phone(udid) && !on_rack(udid))
            || on_phone(udid) && elsewhere(&|udid| !on_phone(udid))
    }
}

/// Whether a phone may be given work, but for a lease.
fn may_be_used(farm: &Farm<'_>, udid: &Udid) -> bool {
    let (seen, record) = (&farm.phones[udid], &farm.records[udid]);
    farm.heard.contains(&seen.rack)
        && seen.report.readiness == Readiness::Ready
        && record.quarantine.is_none()
        && record.taken.is_none()
        && farm.policy.pool_of(&seen.rack, &seen.report.facts).is_some()
}

/// Whether a phone works or soon may: it runs something, is being released, or is free.
fn works(farm: &Farm<'_>, udid: &Udid) -> bool {
    let (seen, record) = (&farm.phones[udid], &farm.records[udid]);
    let heard =
        farm.heard.contains(&seen.rack) && farm.policy.pool_of(&seen.rack, &seen.report.facts).is_some();
    heard
        && match record.hold.as_ref().map(|hold| hold.phase) {
            Some(HoldPhase::Active { .. } | HoldPhase::Yielding { .. }) => true,
            Some(HoldPhase::Releasing) => seen.report.readiness != Readiness::Offline,
            None => may_be_used(farm, udid),
        }
}

fn rank(policy: &Policy, class: JobClass) -> Rank {
    let rule = policy.class(class);
    (!rule.strict, rule.rank)
}

fn usual_ms(job: &JobRecord) -> u64 {
    u64::try_from(job.spec.usual_duration().as_millis()).unwrap_or(u64::MAX)
}
