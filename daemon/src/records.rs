//! What the store holds, as JSON with a version, and the way between that and the brain's own records. The brain's
//! types are not serialised themselves, so that it may change its mind without a migration.

use std::collections::BTreeMap;

use holdfast_scheduler::record::{Ended, Hold, HoldPhase, Quarantined};
use holdfast_scheduler::{AttemptRecord, JobRecord, PhoneRecord};
use holdfast_store::codec::{Kind, decode, encode};
use holdfast_store::{Entry, Key, Op, StoreError};
use holdfast_wire::api::CrashView;
use holdfast_wire::build::Build;
use holdfast_wire::id::{AttemptId, BlobHash, JobId, LeaseNumber, RackId, Udid};
use holdfast_wire::job::{JobSpec, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::phone::PhoneFacts;
use holdfast_wire::time::Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Jobs by number.
pub const JOB: Kind = Kind::new("job");
/// Phones by UDID.
pub const PHONE: Kind = Kind::new("phone");
/// Builds by hash.
pub const BUILD: Kind = Kind::new("build");
/// Crashes by hash.
pub const CRASH: Kind = Kind::new("crash");
/// Submissions by idempotency key.
pub const SUBMISSION: Kind = Kind::new("submission");
/// Reports of attempts that had been given up, by attempt and report.
pub const LATE_REPORT: Kind = Kind::new("late-report");

/// The shape of every record so far.
const VERSION: u32 = 1;

/// A submission that can be sent again without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The hash of the body that came with the key.
    pub body: BlobHash,
    /// The job that it made.
    pub job: JobId,
    /// When.
    pub at: Time,
}

/// The report of an attempt that had been given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateReport {
    /// Whose.
    pub attempt: AttemptId,
    /// Where it is kept.
    pub report: BlobHash,
}

#[derive(Serialize, Deserialize)]
struct StoredJob {
    id: JobId,
    spec: JobSpec,
    submitted_at: Time,
    state: JobState,
    attempts: Vec<StoredAttempt>,
}

#[derive(Serialize, Deserialize)]
struct StoredAttempt {
    phone: Udid,
    rack: RackId,
    lease: LeaseNumber,
    leased_at: Time,
    ended: Option<StoredEnd>,
}

#[derive(Serialize, Deserialize)]
struct StoredEnd {
    end: AttemptEnd,
    at: Time,
    report: Option<BlobHash>,
}

#[derive(Serialize, Deserialize)]
struct StoredPhone {
    rack: RackId,
    facts: PhoneFacts,
    last_lease: LeaseNumber,
    hold: Option<StoredHold>,
    failures_in_a_row: u32,
    quarantine: Option<StoredQuarantine>,
}

#[derive(Serialize, Deserialize)]
struct StoredHold {
    attempt: AttemptId,
    /// None once the attempt has been given up.
    deadline: Option<Time>,
}

#[derive(Serialize, Deserialize)]
struct StoredQuarantine {
    reason: String,
    since: Time,
    until: Option<Time>,
}

/// Writes a job.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_job(job: &JobRecord) -> Result<Op, StoreError> {
    let attempts = job.attempts.iter().map(|attempt| StoredAttempt {
        phone: attempt.phone.clone(),
        rack: attempt.rack.clone(),
        lease: attempt.lease,
        leased_at: attempt.leased_at,
        ended: attempt.ended.as_ref().map(|ended| StoredEnd {
            end: ended.end.clone(),
            at: ended.at,
            report: ended.report,
        }),
    });
    let stored = StoredJob {
        id: job.id,
        spec: job.spec.clone(),
        submitted_at: job.submitted_at,
        state: job.state.clone(),
        attempts: attempts.collect(),
    };
    Ok(Op::put(JOB.number(job.id.0), encode(VERSION, &stored)?))
}

/// Reads a job.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn read_job(entry: &Entry) -> Result<JobRecord, StoreError> {
    let stored: StoredJob = decode(&entry.key, &entry.value, VERSION)?;
    let attempts = stored.attempts.into_iter().map(|attempt| AttemptRecord {
        phone: attempt.phone,
        rack: attempt.rack,
        lease: attempt.lease,
        leased_at: attempt.leased_at,
        ended: attempt.ended.map(|ended| Ended { end: ended.end, at: ended.at, report: ended.report }),
    });
    Ok(JobRecord {
        id: stored.id,
        spec: stored.spec,
        submitted_at: stored.submitted_at,
        state: stored.state,
        attempts: attempts.collect(),
    })
}

/// Writes a phone.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_phone(phone: &PhoneRecord) -> Result<Op, StoreError> {
    let stored = StoredPhone {
        rack: phone.rack.clone(),
        facts: lasting(&phone.facts),
        last_lease: phone.last_lease,
        hold: phone.hold.as_ref().map(|hold| StoredHold {
            attempt: hold.attempt,
            deadline: match hold.phase {
                HoldPhase::Active { deadline } => Some(deadline),
                HoldPhase::Releasing => None,
            },
        }),
        failures_in_a_row: phone.failures_in_a_row,
        quarantine: phone.quarantine.as_ref().map(|why| StoredQuarantine {
            reason: why.reason.clone(),
            since: why.since,
            until: why.until,
        }),
    };
    Ok(Op::put(PHONE.name(phone.facts.udid.as_str())?, encode(VERSION, &stored)?))
}

/// What of a phone's facts is worth keeping. The lists of apps and crash files may be longer than a record, and the
/// rack tells them anew as soon as it speaks.
fn lasting(facts: &PhoneFacts) -> PhoneFacts {
    PhoneFacts { apps: Vec::new(), crash_files_waiting: BTreeMap::new(), ..facts.clone() }
}

/// Reads a phone.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn read_phone(entry: &Entry) -> Result<PhoneRecord, StoreError> {
    let stored: StoredPhone = decode(&entry.key, &entry.value, VERSION)?;
    let hold = stored.hold.map(|hold| Hold {
        attempt: hold.attempt,
        phase: hold.deadline.map_or(HoldPhase::Releasing, |deadline| HoldPhase::Active { deadline }),
    });
    let quarantine =
        stored.quarantine.map(|why| Quarantined { reason: why.reason, since: why.since, until: why.until });
    Ok(PhoneRecord {
        rack: stored.rack,
        facts: stored.facts,
        last_lease: stored.last_lease,
        hold,
        failures_in_a_row: stored.failures_in_a_row,
        quarantine,
    })
}

/// Writes a build.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_build(build: &Build) -> Result<Op, StoreError> {
    put(BUILD.name(&build.identity.hash.to_string())?, build)
}

/// Writes a crash.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_crash(crash: &CrashView) -> Result<Op, StoreError> {
    put(CRASH.name(&crash.origin.id.to_string())?, crash)
}

/// Writes a submission.
///
/// # Errors
/// The key is too long.
pub fn put_submission(key: &str, submission: &Submission) -> Result<Op, StoreError> {
    put(SUBMISSION.name(key)?, submission)
}

/// Writes a late report.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_late_report(late: &LateReport) -> Result<Op, StoreError> {
    put(late_report_key(late)?, late)
}

/// Where a late report is recorded.
///
/// # Errors
/// The store's, when the key cannot be formed.
pub fn late_report_key(late: &LateReport) -> Result<Key, StoreError> {
    LATE_REPORT.name(&format!("{}/{}", late.attempt, late.report))
}

/// Reads a record whose type is its own stored shape.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
    decode(&entry.key, &entry.value, VERSION)
}

fn put<T: Serialize>(key: Key, value: &T) -> Result<Op, StoreError> {
    Ok(Op::put(key, encode(VERSION, value)?))
}
