//! What an agent and the daemon say to each other: sync by version, over HTTP.
//!
//! One request carries everything the agent has to say; one answer carries what changed for this rack since
//! the version that the request names. The next request confirms the last answer, so a message that is lost is
//! simply said again. An answer may be held back until there is news ([`SyncRequest::wait_ms`]); an agent with
//! news of its own drops the waiting request and sends another.
//!
//! Blobs go beside it: `PUT /agent/v1/blobs/{hash}` before the entry that names them, `GET` for builds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::build::BuildIdentity;
use crate::case::Case;
use crate::crash::CrashOrigin;
use crate::id::{AttemptId, EntryId, JobId, LeaseNumber, RackId, StartId, Udid};
use crate::job::JobClass;
use crate::outcome::{AttemptReport, StepName};
use crate::phone::PhoneReport;
use crate::time::Time;

/// The protocol spoken here. A daemon answers every older one; a newer one is refused with both numbers named.
pub const PROTOCOL: u32 = 2;

/// The first protocol in which an agent understands [`Order::Yield`]; an older one is told to rest.
pub const PROTOCOL_WITH_YIELD: u32 = 2;

/// Phones that one rack may report: four times the largest rack that one USB host was seen to carry.
pub const PHONES_PER_RACK_MAX: usize = 256;

/// Outbox entries in one request: the rest follows in the next, so that a request stays under a megabyte.
pub const ENTRIES_PER_SYNC_MAX: usize = 64;

/// A version that means something to its writer only: it names a state, and grows with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u64))]
pub struct Version(pub u64);

/// `POST /agent/v1/sync`: everything an agent has to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncRequest {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// The rack that speaks.
    pub rack: RackId,
    /// This start of the agent: another one means that it has been away.
    pub agent_start: StartId,
    /// Requests of one agent start are numbered from 1: one that arrives behind a newer one is not looked at,
    /// so that a request which was dropped half-way cannot turn the picture back.
    pub number: u64,
    /// The agent's program version, for people.
    pub agent_version: String,
    /// The daemon's start whose `orders_seen` this is; none before the first answer.
    pub daemon_start: Option<StartId>,
    /// The last version of the orders that the agent has made its own.
    pub orders_seen: Version,
    /// The version of the phone reports after this request.
    pub phones_version: Version,
    /// Phones whose reports changed since the version that the daemon last confirmed; all of them when it has
    /// confirmed none.
    pub phones: Vec<PhoneReport>,
    /// Every lease that the rack holds at this moment, running or being cleaned up.
    pub held: Vec<HeldLease>,
    /// Phones that hold no lease and whose attempts have all been reported, with the last lease that each obeyed: a
    /// lease up to this one that the daemon thinks is running has been lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<IdlePhone>,
    /// What waits in the outbox, oldest first, at most [`ENTRIES_PER_SYNC_MAX`].
    pub entries: Vec<OutboxEntry>,
    /// Where running attempts stand; lost without harm.
    pub progress: Vec<AttemptProgress>,
    /// How long the daemon may hold the answer back when it has no news, milliseconds.
    pub wait_ms: u64,
}

/// A lease that a rack holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeldLease {
    /// The phone.
    pub phone: Udid,
    /// The lease.
    pub lease: LeaseNumber,
    /// The attempt.
    pub attempt: AttemptId,
    /// Staged attempts up to this lease have been taken back while this one runs: they did not begin, and never will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<LeaseNumber>,
}

/// A phone on which nothing runs and of which nothing is left to report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdlePhone {
    /// The phone.
    pub phone: Udid,
    /// The last lease that it obeyed, or that it was told is over.
    pub obeyed: LeaseNumber,
}

/// Something that must not be lost: it is said again until the daemon confirms it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutboxEntry {
    /// Its name; the confirmation carries it.
    pub id: EntryId,
    /// What it says.
    pub what: OutboxItem,
}

/// What an outbox entry says. Each is harmless when said twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OutboxItem {
    /// An attempt is over and its phone is clean.
    AttemptEnded {
        /// The whole report.
        report: AttemptReport,
    },
    /// A crash file was taken; its bytes have been put under its hash.
    CrashTaken {
        /// Where it came from.
        origin: CrashOrigin,
    },
}

/// Where a running attempt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptProgress {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The step it is in.
    pub step: StepName,
    /// How much of the whole attempt is done, 0 to 100.
    pub percent: u8,
    /// What it does, for people: `launch 3 of 5`.
    pub note: String,
}

/// The answer to a [`SyncRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncReply {
    /// This start of the daemon: another one than before means that versions begin anew.
    pub daemon_start: StartId,
    /// The daemon's clock.
    pub now: Time,
    /// The version of the orders after this answer.
    pub orders_version: Version,
    /// Orders of the phones whose order changed since `orders_seen`; of all this rack's phones that have one
    /// when the agent knows none of this daemon start.
    pub orders: Vec<PhoneOrder>,
    /// The version of the phone reports that the daemon now has.
    pub phones_seen: Version,
    /// Entries that are on the daemon's disk: the agent may forget them.
    pub confirmed: Vec<EntryId>,
    /// Entries that can never be taken, with the reason: the agent sets them aside and warns.
    pub refused: Vec<RefusedEntry>,
}

/// An outbox entry that the daemon will not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedEntry {
    /// Which.
    pub id: EntryId,
    /// Why, and what to do.
    pub reason: String,
}

/// What a phone has to do: a state to be in, not a message to react to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhoneOrder {
    /// The phone.
    pub phone: Udid,
    /// What to do.
    pub order: Order,
    /// What comes next, when the daemon knows already: begun as soon as the attempt that runs now is over and its
    /// report is on the rack's disk, without asking; but not when that attempt's end blames phone, rack or farm. It is
    /// taken back by an order without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Staged>,
    /// Staged attempts up to this lease are taken back. The agent says so of the lease that it holds
    /// ([`HeldLease::withdrawn`]); one that had begun already goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<LeaseNumber>,
}

/// An attempt that is to be begun when the one before it is over. Its lease is newer than that one's, and than any that
/// was staged before and taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Staged {
    /// The lease.
    pub lease: LeaseNumber,
    /// The work; its build is fetched ahead.
    pub work: Box<Work>,
}

/// What a phone has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Order {
    /// Nothing: every lease up to this number is over; stop and clean up if one of them still runs.
    Rest {
        /// The last lease that was ever given for this phone.
        through: LeaseNumber,
    },
    /// Run this attempt, if its lease is newer than any the phone has obeyed; a repeat is harmless.
    Run {
        /// The lease.
        lease: LeaseNumber,
        /// The work.
        work: Box<Work>,
    },
    /// Give the phone up: the attempt under this lease ends with [`crate::outcome::AttemptEnd::Yielded`], at once or
    /// after the case that runs. One that has not begun ends so with no case done. A lease that is over already is
    /// left at that.
    Yield {
        /// The lease.
        lease: LeaseNumber,
        /// Its attempt.
        attempt: AttemptId,
        /// When.
        when: YieldWhen,
    },
}

/// When a phone is to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum YieldWhen {
    /// After the case that runs now.
    CaseDone,
    /// Now: the case that runs is broken off, and will be run again from its beginning.
    AtOnce,
}

/// The work of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Work {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Its job's class, for people.
    pub class: JobClass,
    /// The build to install.
    #[cfg_attr(feature = "openapi", schema(value_type = BuildIdentity))]
    pub build: Arc<BuildIdentity>,
    /// The cases to run, in this order: those that an earlier attempt has done are left out.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Case>))]
    pub cases: Arc<Vec<Case>>,
    /// How long the whole attempt may take, milliseconds; after that the daemon takes the lease back.
    pub limit_ms: u64,
    /// The other phones of a job that needs several at once, this one left out; in the order of their attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Udid>,
}

impl Work {
    /// The job that this is an attempt of.
    pub fn job(&self) -> JobId {
        self.attempt.job
    }
}
