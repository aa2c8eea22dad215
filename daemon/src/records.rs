//! What the store holds, as JSON with a version, and the way between that and the brain's own records. The brain's
//! types are not serialised themselves, so that it may change its mind without a migration.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_scheduler::record::{Ended, Hold, HoldPhase, Quarantined, Taken};
use holdfast_scheduler::{AttemptRecord, JobRecord, OwnerRecord, PhoneRecord};
use holdfast_store::codec::{Kind, decode, encode};
use holdfast_store::{Entry, Key, Op, StoreError, VALUE_BYTES_MAX};
use holdfast_wire::api::CrashView;
use holdfast_wire::build::Build;
use holdfast_wire::id::{AttemptId, BlobHash, BuildHash, JobId, LeaseNumber, Owner, RackId, Udid};
use holdfast_wire::job::{JobSpec, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::phone::PhoneFacts;
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Jobs by number.
pub const JOB: Kind = Kind::new("job");
/// Phones by UDID.
pub const PHONE: Kind = Kind::new("phone");
/// What owners with a quota have used, by owner.
pub const OWNER: Kind = Kind::new("owner");
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
    #[serde(default, skip_serializing_if = "is_zero")]
    cases_done: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    yielded: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<StoredTaken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_build: Option<BuildHash>,
    #[serde(default)]
    busy_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredTaken {
    by: Owner,
    reason: String,
    since: Time,
    until: Option<Time>,
}

#[derive(Serialize, Deserialize)]
struct StoredOwner {
    owner: Owner,
    day: i64,
    used_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredHold {
    attempt: AttemptId,
    /// None once the attempt has been given up.
    deadline: Option<Time>,
    /// How soon it has to give its phone up, when it has been told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    yields: Option<YieldWhen>,
}

#[derive(Serialize, Deserialize)]
struct StoredQuarantine {
    reason: String,
    since: Time,
    until: Option<Time>,
}

/// Writes a job. When the words of its attempts would not fit a record, only the last attempt keeps its own: the whole
/// reports are blobs, and a record that is refused would stop the daemon.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_job(job: &JobRecord) -> Result<Op, StoreError> {
    let mut stored = stored_job(job);
    let mut bytes = encode(VERSION, &stored)?;
    if bytes.len() > VALUE_BYTES_MAX {
        let last = stored.attempts.len().saturating_sub(1);
        for attempt in stored.attempts.iter_mut().take(last) {
            if let Some(StoredEnd { end: AttemptEnd::Failed { reason, .. }, .. }) = &mut attempt.ended {
                reason.clear();
            }
        }
        bytes = encode(VERSION, &stored)?;
    }
    Ok(Op::put(JOB.number(job.id.0), bytes))
}

fn stored_job(job: &JobRecord) -> StoredJob {
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
    StoredJob {
        id: job.id,
        spec: job.spec.clone(),
        submitted_at: job.submitted_at,
        state: job.state.clone(),
        attempts: attempts.collect(),
        cases_done: job.cases_done,
        failure: job.failure.clone(),
        yielded: job.yielded,
    }
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
        cases_done: stored.cases_done,
        failure: stored.failure,
        yielded: stored.yielded,
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
                HoldPhase::Active { deadline } | HoldPhase::Yielding { deadline, .. } => Some(deadline),
                HoldPhase::Releasing => None,
            },
            yields: match hold.phase {
                HoldPhase::Yielding { when, .. } => Some(when),
                HoldPhase::Active { .. } | HoldPhase::Releasing => None,
            },
        }),
        failures_in_a_row: phone.failures_in_a_row,
        quarantine: phone.quarantine.as_ref().map(|why| StoredQuarantine {
            reason: why.reason.clone(),
            since: why.since,
            until: why.until,
        }),
        taken: phone.taken.as_ref().map(|taken| StoredTaken {
            by: taken.by.clone(),
            reason: taken.reason.clone(),
            since: taken.since,
            until: taken.until,
        }),
        last_build: phone.last_build,
        busy_ms: phone.busy_ms,
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
        phase: match (hold.deadline, hold.yields) {
            (None, _) => HoldPhase::Releasing,
            (Some(deadline), None) => HoldPhase::Active { deadline },
            (Some(deadline), Some(when)) => HoldPhase::Yielding { deadline, when },
        },
    });
    let taken = stored.taken.map(|taken| Taken {
        by: taken.by,
        reason: taken.reason,
        since: taken.since,
        until: taken.until,
    });
    let quarantine =
        stored.quarantine.map(|why| Quarantined { reason: why.reason, since: why.since, until: why.until });
    Ok(PhoneRecord {
        rack: stored.rack,
        facts: Arc::new(stored.facts),
        last_lease: stored.last_lease,
        hold,
        failures_in_a_row: stored.failures_in_a_row,
        quarantine,
        taken,
        last_build: stored.last_build,
        busy_ms: stored.busy_ms,
    })
}

/// Writes what an owner has used.
///
/// # Errors
/// The store's, when the key cannot be formed.
pub fn put_owner(owner: &OwnerRecord) -> Result<Op, StoreError> {
    let stored = StoredOwner { owner: owner.owner.clone(), day: owner.day, used_ms: owner.used_ms };
    put(OWNER.name(owner.owner.as_str())?, &stored)
}

/// Reads what an owner has used.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn read_owner(entry: &Entry) -> Result<OwnerRecord, StoreError> {
    let stored: StoredOwner = decode(&entry.key, &entry.value, VERSION)?;
    Ok(OwnerRecord { owner: stored.owner, day: stored.day, used_ms: stored.used_ms })
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_scheduler::ATTEMPTS_MAX;
    use holdfast_wire::build::BuildIdentity;
    use holdfast_wire::id::BuildHash;
    use holdfast_wire::job::{JobClass, Requirements};
    use holdfast_wire::outcome::{Blame, StepName};

    use super::*;

    #[test]
    fn a_job_with_as_many_attempts_as_there_may_be_fits_a_record() {
        let at = Time::from_unix_ms(1_795_000_000_000);
        let reason = "\u{1F4F1}\u{7}".repeat(300);
        let end = AttemptEnd::Failed { blame: Blame::Phone, step: StepName::Install, reason: reason.clone() };
        let attempt = AttemptRecord {
            phone: "00008110-000A2D8E3C41801E".parse().unwrap(),
            rack: "r".repeat(64).parse().unwrap(),
            lease: LeaseNumber(u64::MAX),
            leased_at: at,
            ended: Some(Ended { end, at, report: Some(BlobHash::new([7; 32])) }),
        };
        let build = BuildIdentity {
            hash: BuildHash::new([1; 32]),
            size_bytes: 1,
            bundle_id: "a.b".parse().unwrap(),
            executable: "A".to_owned(),
            version: "1".to_owned(),
            build_number: "2".repeat(crate::http::jobs::SPEC_BYTES_MAX - 1_024),
            uuids: vec![],
            minimum_os: None,
        };
        let spec = JobSpec {
            class: JobClass::Custom,
            build: build.into(),
            cases: vec![].into(),
            requirements: Requirements::default().into(),
            priority: 0,
            owner: None,
            start_by: None,
            phones: 1,
            compare: None,
            content: None,
        };
        let job = JobRecord {
            id: JobId(1),
            spec,
            submitted_at: at,
            state: JobState::Queued,
            attempts: vec![attempt; ATTEMPTS_MAX],
            cases_done: 0,
            failure: None,
            yielded: 0,
        };
        let Op::Put { key, value } = put_job(&job).unwrap() else { unreachable!("a job is put") };
        assert!(value.len() <= VALUE_BYTES_MAX, "{} bytes", value.len());
        let entry = Entry { key, value: value.into(), version: holdfast_store::Revision::ZERO };
        let read = read_job(&entry).unwrap();
        assert_eq!(read.attempts.len(), ATTEMPTS_MAX);
        assert_eq!(read.attempts.last(), job.attempts.last(), "the last attempt keeps its words");
    }
}
