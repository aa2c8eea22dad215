//! The farm at a moment, as the laws about order and waste see it: which phones are free, which jobs wait and may begin,
//! who goes before whom. Worked out from rules and records; of the brain only the public state of phones is used.

use std::cell::OnceCell;

use holdfast_scheduler::policy::ClassPolicy;
use holdfast_scheduler::record::{HoldPhase, JobRecord, PhoneRecord};
use holdfast_scheduler::{PhoneStatus, Policy, Scheduler};
use holdfast_wire::id::{JobId, Owner, Udid};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::Blame;
use holdfast_wire::phone::PhoneState;
use holdfast_wire::requirement::Term;
use holdfast_wire::time::Time;

use crate::book::{Book, usual_ms};
use crate::fit::{Fit, demanded, fit};

/// Failures through the fault of phones of one rack after which the whole rack is avoided.
const RACK_FAILURES: usize = 2;

/// The rank of jobs that have waited too long.
pub(super) const LIFTED: u8 = 100;

/// The rank of jobs whose owner has used up its quota.
pub(super) const BEYOND_QUOTA: u8 = 250;

const DAY_MS: i64 = 86_400_000;

/// Who goes first: the smaller. Rank, priority turned around, deadline; for lifted jobs the number of the job.
pub(super) type Urgency = (u8, i64, i64);

/// The farm at a moment.
pub struct Sight<'a> {
    /// What was recorded.
    pub book: &'a Book,
    /// The rules.
    pub policy: &'a Policy,
    /// Now.
    pub now: Time,
    /// Every phone.
    pub phones: Vec<Seen<'a>>,
    waiting: OnceCell<Vec<Waiting<'a>>>,
}

/// A phone.
pub struct Seen<'a> {
    /// As readers see it.
    pub status: PhoneStatus<'a>,
    /// As it is recorded.
    pub record: &'a PhoneRecord,
    /// It may be given a lease now.
    pub is_free: bool,
    /// It does or soon may work.
    pub works: bool,
}

/// A job that waits.
pub struct Waiting<'a> {
    /// The job.
    pub job: &'a JobRecord,
    /// What it demands now.
    pub term: Option<&'a Term>,
    /// Where it stands.
    pub urgency: Urgency,
    /// Whether its class, its owner and the number of phones let it begin.
    pub may_begin: bool,
}

impl<'a> Sight<'a> {
    /// Looks.
    pub fn of(book: &'a Book, brain: &'a Scheduler, now: Time) -> Self {
        let seen = brain.phones().filter_map(|status| {
            let record = book.phones.get(status.udid)?;
            let in_pool = status.pool.is_some();
            let is_free = in_pool && status.state == PhoneState::Ready;
            let works = in_pool
                && matches!(
                    status.state,
                    PhoneState::Ready | PhoneState::Busy { .. } | PhoneState::Releasing { .. }
                );
            Some(Seen { record, is_free, works, status })
        });
        Self { book, policy: &book.policy, now, phones: seen.collect(), waiting: OnceCell::new() }
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> &[Waiting<'a>] {
        self.waiting.get_or_init(|| {
            // What is staged has its phone, and waits for no other.
            let known = self.book.waiting.iter().filter(|(id, _)| !self.book.staged.contains_key(id));
            known.filter_map(|(id, steps)| Some(self.wait(self.book.jobs.get(id)?, steps))).collect()
        })
    }

    /// A job that is staged, as if it waited.
    pub fn staged(&self, id: JobId) -> Option<Waiting<'a>> {
        Some(self.wait(self.book.jobs.get(&id)?, self.book.waiting.get(&id)?))
    }

    fn wait(&self, job: &'a JobRecord, steps: &'a [(std::time::Duration, Term)]) -> Waiting<'a> {
        let term = demanded(steps, job.submitted_at, self.now);
        let may_begin = self.window_is_open(job.spec.class)
            && self.has_room(job.spec.owner.as_ref(), job.spec.phones)
            && (job.spec.phones == 1 || self.enough_work(job, term));
        Waiting {
            job,
            term,
            urgency: self.urgency(job, self.is_beyond_quota(job.spec.owner.as_ref(), 0)),
            may_begin,
        }
    }

    /// A phone by name.
    pub fn phone(&self, udid: &Udid) -> Option<&Seen<'a>> {
        self.phones.iter().find(|phone| phone.status.udid == udid)
    }

    /// How a class is served.
    pub fn rule(&self, class: JobClass) -> &'a ClassPolicy {
        &self.policy.classes[&class]
    }

    /// What a phone is to a job.
    pub fn fit(&self, job: &JobRecord, term: Option<&Term>, phone: &Seen<'_>) -> Fit {
        fit(self.policy, &job.spec, term, phone.status.rack, phone.status.facts)
    }

    /// Where a job stands, given whether its owner has used up its quota.
    pub fn urgency(&self, job: &JobRecord, beyond_quota: bool) -> Urgency {
        let rule = self.rule(job.spec.class);
        let deadline = job.spec.start_by.map_or(i64::MAX, Time::as_unix_ms);
        let priority = -i64::from(job.spec.priority);
        if rule.strict {
            return (rule.rank.min(99), priority, deadline);
        }
        let lifted = rule.lift_after.is_some_and(|after| job.submitted_at.after(after) <= self.now);
        let (priority, deadline) = if lifted {
            (i64::MIN, i64::try_from(job.id.0).unwrap_or(i64::MAX))
        } else {
            (priority, deadline)
        };
        let rank = if beyond_quota {
            BEYOND_QUOTA
        } else if lifted {
            LIFTED
        } else {
            101 + rule.rank.min(100)
        };
        (rank, priority, deadline)
    }

    /// Whether what an owner has used and is using, less something, is all that it may today.
    pub fn is_beyond_quota(&self, owner: Option<&Owner>, less_ms: u64) -> bool {
        let rule = owner.map_or(self.policy.default_owner, |owner| self.policy.owner(owner));
        let Some(minutes) = rule.minutes_per_day else { return false };
        let today = self.now.as_unix_ms().div_euclid(DAY_MS);
        let used = owner.and_then(|owner| self.book.owners.get(owner)).filter(|used| used.day == today);
        let used_ms = used.map_or(0, |used| used.used_ms);
        let (_, expected_ms) = self.book.runs(owner);
        used_ms + expected_ms.saturating_sub(less_ms) >= u64::from(minutes) * 60_000
    }

    /// Whether the quota of this owner cannot be known from records: what jobs without an owner use is not recorded.
    pub fn is_uncounted(&self, owner: Option<&Owner>) -> bool {
        owner.is_none() && self.policy.default_owner.minutes_per_day.is_some()
    }

    /// Whether a class may start now.
    pub fn window_is_open(&self, class: JobClass) -> bool {
        let window = self.rule(class).window.as_ref().and_then(|name| self.policy.windows.get(name));
        window.is_none_or(|calendar| calendar.is_open(self.now))
    }

    /// Whether an owner may run on so many phones more.
    pub fn has_room(&self, owner: Option<&Owner>, phones: u16) -> bool {
        let rule = owner.map_or(self.policy.default_owner, |owner| self.policy.owner(owner));
        rule.running_max.is_none_or(|most| self.book.runs(owner).0 + u32::from(phones) <= most)
    }

    fn enough_work(&self, job: &JobRecord, term: Option<&Term>) -> bool {
        let fitting = self.phones.iter().filter(|phone| phone.works && self.fit(job, term, phone) != Fit::No);
        fitting.count() >= usize::from(job.spec.phones)
    }

    /// Whether a job takes this very phone, which fits it: its comparison does not wait for another, and it did not
    /// fail there while it may run elsewhere.
    pub fn accepts(&self, waiting: &Waiting<'_>, phone: &Seen<'_>) -> bool {
        let home = self.home(waiting);
        home.is_none_or(|home| home == phone.status.udid) && !self.avoids(waiting, phone)
    }

    /// The phone of a job's comparison, while it waits for it.
    pub fn home(&self, waiting: &Waiting<'_>) -> Option<&Udid> {
        let home = self.book.homes.get(waiting.job.spec.compare.as_ref()?)?;
        let phone = self.phone(home)?;
        let waits = self.now < waiting.job.submitted_at.after(self.policy.compare_wait);
        let fits = phone.works && self.fit(waiting.job, waiting.term, phone) != Fit::No;
        // Nobody waits for a phone that it keeps away from.
        (waits && fits && !self.avoids(waiting, phone)).then_some(home)
    }

    fn avoids(&self, waiting: &Waiting<'_>, phone: &Seen<'_>) -> bool {
        let failed: Vec<_> = waiting.job.failed_elsewhere().collect();
        if failed.is_empty() {
            return false;
        }
        let here = |phone: &Seen<'_>| failed.iter().any(|(attempt, _)| attempt.phone == *phone.status.udid);
        let rack = |phone: &Seen<'_>| {
            let on = failed.iter().filter(|(attempt, _)| attempt.rack == *phone.status.rack);
            on.clone().any(|(_, blame)| *blame == Blame::Rack) || on.count() >= RACK_FAILURES
        };
        let other = |good: &dyn Fn(&Seen<'_>) -> bool| {
            let fits = |phone: &&Seen<'_>| self.fit(waiting.job, waiting.term, phone) != Fit::No;
            let fitting = self.phones.iter().filter(|phone| phone.works && good(phone)).filter(fits);
            fitting.count() >= usize::from(waiting.job.spec.phones)
        };
        ((here(phone) || rack(phone)) && other(&|phone| !here(phone) && !rack(phone)))
            || (here(phone) && other(&|phone| !here(phone)))
    }

    /// The job that runs on a phone and counts.
    pub fn runs_on(&self, phone: &Seen<'_>) -> Option<(&'a JobRecord, HoldPhase)> {
        let hold = phone.record.hold.as_ref()?;
        let job = self.book.jobs.get(&hold.attempt.job)?;
        Some((job, hold.phase))
    }

    /// How long the attempts that the last event gave to an owner are expected to take, milliseconds.
    pub fn given_now_ms(&self, owner: Option<&Owner>) -> u64 {
        let given = self.book.last.grants().filter(|(job, _)| job.spec.owner.as_ref() == owner);
        given.map(|(job, phones)| usual_ms(job) * phones.len() as u64).sum()
    }

    /// How long the attempts that the last event staged for an owner are expected to take, milliseconds.
    pub fn staged_now_ms(&self, owner: Option<&Owner>) -> u64 {
        let staged = self.book.last.stagings().filter_map(|(_, job)| self.book.jobs.get(&job));
        staged.filter(|job| job.spec.owner.as_ref() == owner).map(|job| usual_ms(job)).sum()
    }

    /// A waiting job by number.
    pub fn waits(&self, id: JobId) -> Option<&Waiting<'a>> {
        self.waiting().iter().find(|waiting| waiting.job.id == id)
    }
}
