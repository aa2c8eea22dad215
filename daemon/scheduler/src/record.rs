//! What must outlive the process. The daemon turns these into stored records and back; nothing here knows how.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_wire::id::{
    AttemptId, BlobHash, BuildHash, CompareName, JobId, LeaseNumber, Owner, RackId, Udid,
};
use holdfast_wire::job::{JobSpec, JobState};
use holdfast_wire::outcome::{AttemptEnd, Blame};
use holdfast_wire::phone::PhoneFacts;
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;

/// One durable thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A job.
    Job(Arc<JobRecord>),
    /// A phone.
    Phone(PhoneRecord),
    /// What an owner has used.
    Owner(OwnerRecord),
    /// Where a comparison runs.
    Compare(CompareRecord),
}

/// A job and its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    /// Its name.
    pub id: JobId,
    /// What is asked.
    pub spec: JobSpec,
    /// When it was submitted: its age counts from here, through every retry.
    pub submitted_at: Time,
    /// Where it stands.
    pub state: JobState,
    /// Its attempts, oldest first; attempt `n` is at `n - 1`.
    pub attempts: Vec<AttemptRecord>,
    /// Cases that attempts which gave their phone up have done: the next attempt begins behind them.
    pub cases_done: u32,
    /// Why one of these cases failed; none when they all passed.
    pub failure: Option<String>,
    /// How often it gave a phone up to more urgent work.
    pub yielded: u32,
}

impl JobRecord {
    /// An attempt by its number.
    pub fn attempt(&self, number: u32) -> Option<&AttemptRecord> {
        self.attempts.get(place_of(number)?)
    }

    /// Failures so far, by blame.
    pub fn failures(&self) -> BTreeMap<Blame, u32> {
        let mut failures = BTreeMap::new();
        for attempt in &self.attempts {
            if let Some(Ended { end: AttemptEnd::Failed { blame, .. }, .. }) = &attempt.ended {
                *failures.entry(*blame).or_insert(0) += 1;
            }
        }
        failures
    }

    /// Attempts that failed through the phone's or the rack's fault, with that blame.
    pub fn failed_elsewhere(&self) -> impl Iterator<Item = (&AttemptRecord, Blame)> {
        self.attempts.iter().filter_map(|attempt| match &attempt.ended {
            Some(Ended {
                end: AttemptEnd::Failed { blame: blame @ (Blame::Phone | Blame::Rack), .. },
                ..
            }) => Some((attempt, *blame)),
            Some(_) | None => None,
        })
    }
}

/// Where the attempt of a number is kept.
pub(crate) fn place_of(number: u32) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

/// One attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The phone it has or had.
    pub phone: Udid,
    /// That phone's rack.
    pub rack: RackId,
    /// The lease.
    pub lease: LeaseNumber,
    /// When the lease was given.
    pub leased_at: Time,
    /// How it ended; none while it holds its phone.
    pub ended: Option<Ended>,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: AttemptEnd,
    /// When the daemon knew.
    pub at: Time,
    /// Where the agent's whole report is kept; none when the attempt was given up without one.
    pub report: Option<BlobHash>,
}

/// A phone, as far as it must be remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneRecord {
    /// Where it was seen last.
    pub rack: RackId,
    /// What was known of it when this was recorded.
    pub facts: Arc<PhoneFacts>,
    /// The last lease that was given for it.
    pub last_lease: LeaseNumber,
    /// What holds it.
    pub hold: Option<Hold>,
    /// What was staged behind that.
    pub next: Option<Next>,
    /// Failures in a row that blame it.
    pub failures_in_a_row: u32,
    /// Why it is kept from work, and until when.
    pub quarantine: Option<Quarantined>,
    /// Who has borrowed it.
    pub taken: Option<Taken>,
    /// The build of the last attempt on it.
    pub last_build: Option<BuildHash>,
    /// How long attempts have held it in all, milliseconds: its wear.
    pub busy_ms: u64,
}

/// A lease on a phone that is not known to be over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The attempt that has or had it.
    pub attempt: AttemptId,
    /// Whether the attempt still counts.
    pub phase: HoldPhase,
}

/// Whether the attempt that holds a phone still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldPhase {
    /// It runs until the deadline.
    Active {
        /// Then the lease is taken back.
        deadline: Time,
    },
    /// It has been told to give the phone up, and runs until it says so.
    Yielding {
        /// Then the lease is taken back.
        deadline: Time,
        /// How soon it has to.
        when: YieldWhen,
    },
    /// It has been given up; the rack has yet to show that the phone is free of it.
    Releasing,
}

/// An attempt that was staged behind the one that holds a phone. It is no attempt of its job before it has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// What it is called once it begins.
    pub attempt: AttemptId,
    /// Its lease: newer than the last that was given, and never used for another.
    pub lease: LeaseNumber,
    /// What is known of it.
    pub phase: NextPhase,
}

/// What is known of a staged attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPhase {
    /// Its rack begins it as soon as the attempt before it is over.
    Staged,
    /// It is being taken back; it may have begun before its rack heard of that.
    Withdrawing,
    /// The attempt before it is over, and its rack has yet to say whether it has begun.
    Unsure {
        /// Then it is given up unheard.
        until: Time,
    },
    /// Its rack has said that it will not begin. Only its lease number is used up.
    Withdrawn,
}

/// Why a phone is kept from work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// Until when; until somebody releases it when none.
    pub until: Option<Time>,
}

/// Who has borrowed a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Who.
    pub by: Owner,
    /// What for.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// Until when; until it is given back when none.
    pub until: Option<Time>,
}

/// Where the last job of a comparison began, and which build that was: the others wait for this phone, and take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompareRecord {
    /// The comparison.
    pub name: CompareName,
    /// The phone; of several that one job needs, the first.
    pub phone: Udid,
    /// The build.
    pub build: BuildHash,
}

/// What an owner with a quota has used on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRecord {
    /// Who.
    pub owner: Owner,
    /// The day, counted from 1970-01-01 in UTC.
    pub day: i64,
    /// How long its attempts have held phones on that day, milliseconds.
    pub used_ms: u64,
}
