//! What is said of waiting: why a job waits, phone by phone and rule by rule, when it is expected to start, what would
//! happen if it were asked for now, and the queue as a whole. Who waits is decided by the scheduler alone.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, CompareName, JobId, Owner, PoolName, RackId, Udid};
use crate::job::{JobClass, Mismatch};
use crate::sync::YieldWhen;
use crate::time::Time;

/// `GET /api/v1/jobs/{id}/explain`: why a job waits, rule by rule and phone by phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The job.
    pub job: JobId,
    /// The whole answer in one sentence.
    pub summary: String,
    /// How many jobs are served before it on the phones that would do.
    pub ahead: usize,
    /// Every rule that has a say in when it starts, the weightiest first.
    #[serde(default)]
    pub rules: Vec<RuleAnswer>,
    /// Every phone, with why it does not run this job now.
    pub phones: Vec<PhoneAnswer>,
}

/// What one rule says of a waiting job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleAnswer {
    /// The rule.
    pub rule: Rule,
    /// The same in words.
    pub words: String,
    /// When it stops to hold (a window opens) or begins to (a fallback, an expiry), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// A rule that has a say in when a job starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Rule {
    /// No phone of the farm can ever run it, as phones and pools are now.
    NeverFits,
    /// Others are served before it: classes first, then priority, deadline and age.
    Order {
        /// Its class.
        class: JobClass,
        /// How many go before it on the phones that would do.
        ahead: usize,
    },
    /// It has waited so long that it goes before everything that is not strict.
    Lifted,
    /// It is to be lifted once it has waited long enough.
    LiftsLater,
    /// Its class starts only while a window is open, and it is shut.
    Window {
        /// The window.
        name: String,
    },
    /// Its owner runs as many jobs at once as it may.
    OwnerLimit {
        /// Who.
        owner: Owner,
        /// How many it may run at once.
        running_max: u32,
    },
    /// Its owner has used today's phone-minutes up, so its jobs go below everything else until the next day (UTC).
    OverQuota {
        /// Who.
        owner: Owner,
        /// Phone-minutes used today.
        minutes_used: u32,
        /// Phone-minutes of a day.
        minutes_per_day: u32,
    },
    /// It waits for the very phone on which its comparison began.
    Comparison {
        /// The comparison.
        name: CompareName,
        /// The phone.
        phone: Udid,
    },
    /// It needs several phones at once.
    Gang {
        /// How many it needs.
        needed: u16,
        /// How many that would do are free or held free for it.
        free: u16,
    },
    /// A looser requirement takes over later.
    Fallback {
        /// Which of its fallbacks, from 1.
        number: u32,
        /// What will do from then on.
        phones: String,
    },
    /// It was tried before; phones where it failed come last.
    Retry {
        /// How many attempts it had.
        attempts: u32,
    },
    /// More urgent work takes a phone from idle work, which is giving it up.
    Preempts {
        /// The phone.
        phone: Udid,
    },
    /// It has been handed to a phone's agent, which begins it as soon as what runs there is over.
    Next {
        /// The phone.
        phone: Udid,
        /// What runs there; none when that is over and the rack has yet to say whether this has begun.
        behind: Option<AttemptId>,
    },
    /// It expires when it is not started in time.
    StartBy,
}

/// Why one phone does not run a job now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhoneAnswer {
    /// The phone.
    pub phone: Udid,
    /// Its rack.
    pub rack: RackId,
    /// The obstacle.
    pub obstacle: Obstacle,
    /// The same in words.
    pub words: String,
}

/// What keeps a job off a phone. Those that lie in the nature of job and phone come first; the others pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Obstacle {
    /// The phone's pool does not serve the job's class, or another pool was asked for.
    Pool {
        /// The phone's pool; none when no pool has taken it.
        pool: Option<PoolName>,
    },
    /// The phone or its pool serves only certain owners, and the job's is none of them.
    Only {
        /// Whom it serves.
        owners: Vec<Owner>,
    },
    /// A requirement is not met.
    Requirement {
        /// Which.
        mismatch: Mismatch,
    },
    /// The build wants a newer OS.
    BuildTooNew {
        /// The build's minimum.
        minimum_os: String,
    },
    /// The comparison began on another phone.
    Comparison {
        /// There.
        phone: Udid,
    },
    /// The job failed on this phone before, and others are left to try.
    FailedHereBefore,
    /// The job failed on another phone of this rack before, and other racks are left to try.
    FailedOnRackBefore,
    /// The phone's pool lends to the job's class only while nothing that it serves waits.
    Lent {
        /// The pool.
        pool: PoolName,
    },
    /// The job's class starts only while a window is open, and it is shut.
    Window {
        /// The window.
        name: String,
        /// When it opens next; none when it never does.
        opens: Option<Time>,
    },
    /// The job's owner runs as many jobs at once as it may.
    OwnerLimit {
        /// Who.
        owner: Owner,
        /// How many it may run at once.
        running_max: u32,
    },
    /// The job's owner has used today's phone-minutes up: others go first.
    OverQuota {
        /// Who.
        owner: Owner,
    },
    /// The phone is free, and the job needs more than there are.
    Gang {
        /// How many it needs.
        needed: u16,
        /// How many that would do are free.
        free: u16,
    },
    /// The phone is held free for a job that needs several at once.
    GatheredFor {
        /// That job.
        job: JobId,
    },
    /// The phone is free, and goes to a job that is served before this one.
    Before {
        /// That job.
        job: JobId,
    },
    /// The phone runs something else.
    Busy {
        /// What.
        attempt: AttemptId,
    },
    /// The phone runs idle work that is giving it up.
    Yielding {
        /// What.
        attempt: AttemptId,
    },
    /// A person has borrowed the phone.
    Taken {
        /// Who.
        by: Owner,
        /// When it comes back by itself; when somebody gives it back when none.
        until: Option<Time>,
    },
    /// The phone cannot take work now.
    NotReady {
        /// The word for its state.
        state: String,
        /// Why.
        reason: String,
    },
}

/// When a job is expected to start: a range that is meant to hold the true start as often as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Eta {
    /// Hardly before.
    pub earliest: Time,
    /// The best guess.
    pub likely: Time,
    /// Hardly after.
    pub latest: Time,
    /// How often, out of a hundred, the true start falls between earliest and latest.
    pub confidence_percent: u8,
    /// What it rests on, for people: `3 jobs go before it on 2 phones`.
    pub words: String,
}

/// `GET /api/v1/jobs/{id}/eta`: when a waiting job is expected to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobEta {
    /// The job.
    pub job: JobId,
    /// When; none when nothing can be said, because nothing that the farm has now can run it.
    pub eta: Option<Eta>,
    /// Why it waits, in one sentence.
    pub waiting: Option<String>,
}

/// `POST /api/v1/plan`: what would happen if this job were submitted now. Nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// The answer.
    pub would: PlanAnswer,
    /// Every rule that has a say in when it starts, the weightiest first.
    pub rules: Vec<RuleAnswer>,
    /// Every phone that would not run it now, with why.
    pub phones: Vec<PhoneAnswer>,
    /// What would be made to give its phone up.
    pub preempts: Vec<Preemption>,
}

/// What would become of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PlanAnswer {
    /// It starts at once.
    StartsNow {
        /// On these phones.
        phones: Vec<Udid>,
    },
    /// It waits.
    Waits {
        /// When it is expected to start; none when that cannot be said.
        eta: Option<Eta>,
        /// How many jobs are served before it on the phones that would do.
        ahead: usize,
        /// Why, in one sentence.
        summary: String,
    },
    /// Nothing that the farm has can ever run it.
    Never {
        /// Why, in one sentence.
        why: String,
    },
}

/// An attempt that would give its phone up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preemption {
    /// The phone.
    pub phone: Udid,
    /// What runs there now.
    pub attempt: AttemptId,
    /// The class of that.
    pub class: JobClass,
    /// At once, or when the case is done.
    pub when: YieldWhen,
}

/// `GET /api/v1/queue`: what waits and what runs, by class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueView {
    /// When this was so.
    pub at: Time,
    /// Every class, first served first.
    pub classes: Vec<ClassQueue>,
}

/// What waits and runs of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClassQueue {
    /// The class.
    pub class: JobClass,
    /// Jobs that wait.
    pub waiting: usize,
    /// Jobs that run.
    pub running: usize,
    /// When the oldest of those that wait was submitted.
    pub oldest: Option<Time>,
    /// Those that are served next, in this order.
    pub next: Vec<QueuedJob>,
}

/// A waiting job, as the queue shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueuedJob {
    /// The job.
    pub job: JobId,
    /// Who asked.
    pub owner: Option<Owner>,
    /// Inside the class, higher goes first.
    pub priority: i32,
    /// When it was submitted.
    pub submitted_at: Time,
    /// Not started by then, it expires.
    pub start_by: Option<Time>,
    /// Phones that it needs at once.
    pub phones: u16,
    /// Why it waits, for people.
    pub waiting: Option<String>,
    /// When it is expected to start.
    pub eta: Option<Eta>,
}
