//! Jobs in the store: what they share with others is named, not repeated, so that a waiting job is a few words.

use holdfast_scheduler::record::Ended;
use holdfast_scheduler::{AttemptRecord, JobRecord};
use holdfast_store::codec::{Record, encode};
use holdfast_store::{Entry, Op, StoreError, VALUE_BYTES_MAX};
use holdfast_wire::id::{BlobHash, CompareName, JobId, LeaseNumber, Owner, RackId, Udid};
use holdfast_wire::job::{JobClass, JobSpec, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use super::{ENDED, JOB, VERSION, bad};
use crate::specs::{Parts, SpecName};

/// The first version: the whole job.
#[derive(Deserialize)]
struct Whole {
    id: JobId,
    spec: JobSpec,
    submitted_at: Time,
    state: JobState,
    attempts: Vec<WholeAttempt>,
}

#[derive(Serialize, Deserialize)]
struct WholeAttempt {
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

/// The second version. What is usual is left out.
#[derive(Serialize, Deserialize)]
struct Stored {
    spec: SpecName,
    class: JobClass,
    /// Milliseconds since 1970.
    at: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    priority: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    owner: Option<Owner>,
    #[serde(default, skip_serializing_if = "is_default")]
    start_by: Option<i64>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    phones: u16,
    #[serde(default, skip_serializing_if = "is_default")]
    compare: Option<CompareName>,
    #[serde(default, skip_serializing_if = "is_default")]
    content: Option<BlobHash>,
    /// None while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<JobState>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<WholeAttempt>,
    #[serde(default, skip_serializing_if = "is_default")]
    cases_done: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    failure: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    yielded: u32,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn one() -> u16 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(super) fn is_one(phones: &u16) -> bool {
    *phones == 1
}

/// What becomes of the store when a job changes. One that is over moves to where it is not read at the start.
///
/// When the words of its attempts would not fit a record, only the last attempt keeps its own: the whole reports are
/// blobs, and a record that is refused would stop the daemon.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_job(job: &JobRecord, spec: SpecName) -> Result<Vec<Op>, StoreError> {
    let mut stored = stored(job, spec);
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
    Ok(match &job.state {
        JobState::Queued | JobState::Running { .. } => vec![Op::put(JOB.number(job.id.0), bytes)],
        JobState::Ended { at, .. } => vec![
            Op::delete(JOB.number(job.id.0)),
            Op::put(ENDED.number(job.id.0), bytes),
            Op::put(super::ended_at(*at, job.id), Vec::new()),
        ],
    })
}

fn stored(job: &JobRecord, spec: SpecName) -> Stored {
    let attempts = job.attempts.iter().map(|attempt| WholeAttempt {
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
    Stored {
        spec,
        class: job.spec.class,
        at: job.submitted_at.as_unix_ms(),
        priority: job.spec.priority,
        owner: job.spec.owner.clone(),
        start_by: job.spec.start_by.map(Time::as_unix_ms),
        phones: job.spec.phones,
        compare: job.spec.compare.clone(),
        content: job.spec.content.as_deref().copied(),
        state: (job.state != JobState::Queued).then(|| job.state.clone()),
        attempts: attempts.collect(),
        cases_done: job.cases_done,
        failure: job.failure.clone(),
        yielded: job.yielded,
    }
}

/// Reads a job; `parts` gives what it shares with others.
///
/// # Errors
/// The record is damaged or newer than this program, or names what is not there.
pub fn read_job(
    entry: &Entry,
    parts: impl FnOnce(SpecName) -> Option<Parts>,
) -> Result<JobRecord, StoreError> {
    let record = Record::open(&entry.key, &entry.value, VERSION)?;
    if record.version == 1 {
        return Ok(whole(record.read(&entry.key)?));
    }
    let stored: Stored = record.read(&entry.key)?;
    let number = JOB.number_of(&entry.key).or_else(|| ENDED.number_of(&entry.key));
    let id = number.map(JobId).ok_or_else(|| bad(&entry.key, "its key has no number"))?;
    let Parts { build, cases, requirements } = parts(stored.spec)
        .ok_or_else(|| bad(&entry.key, format!("it names {}, which is not there", stored.spec)))?;
    Ok(JobRecord {
        id,
        spec: JobSpec {
            class: stored.class,
            build,
            cases,
            requirements,
            priority: stored.priority,
            owner: stored.owner,
            start_by: stored.start_by.map(Time::from_unix_ms),
            phones: stored.phones,
            compare: stored.compare,
            content: stored.content.map(Box::new),
        },
        submitted_at: Time::from_unix_ms(stored.at),
        state: stored.state.unwrap_or(JobState::Queued),
        attempts: stored.attempts.into_iter().map(attempt).collect(),
        cases_done: stored.cases_done,
        failure: stored.failure,
        yielded: stored.yielded,
    })
}

/// What of a job is needed to look up what it shares; none for one that is whole.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn spec_of(entry: &Entry) -> Result<Option<SpecName>, StoreError> {
    #[derive(Deserialize)]
    struct Named {
        spec: SpecName,
    }
    let record = Record::open(&entry.key, &entry.value, VERSION)?;
    if record.version == 1 {
        return Ok(None);
    }
    record.read::<Named>(&entry.key).map(|named| Some(named.spec))
}

fn whole(job: Whole) -> JobRecord {
    JobRecord {
        id: job.id,
        spec: job.spec,
        submitted_at: job.submitted_at,
        state: job.state,
        attempts: job.attempts.into_iter().map(attempt).collect(),
        cases_done: 0,
        failure: None,
        yielded: 0,
    }
}

fn attempt(attempt: WholeAttempt) -> AttemptRecord {
    AttemptRecord {
        phone: attempt.phone,
        rack: attempt.rack,
        lease: attempt.lease,
        leased_at: attempt.leased_at,
        ended: attempt.ended.map(|ended| Ended { end: ended.end, at: ended.at, report: ended.report }),
    }
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
        let parts = Parts::of(&job.spec);
        let name = SpecName::of(&parts.bytes().unwrap());
        let Some(Op::Put { key, value }) = put_job(&job, name).unwrap().pop() else {
            unreachable!("a job is put")
        };
        assert!(value.len() <= VALUE_BYTES_MAX, "{} bytes", value.len());
        let entry = Entry { key, value: value.into(), version: holdfast_store::Revision::ZERO };
        let read = read_job(&entry, |asked| (asked == name).then(|| parts.clone())).unwrap();
        assert_eq!(read.attempts.len(), ATTEMPTS_MAX);
        assert_eq!(read.attempts.last(), job.attempts.last(), "the last attempt keeps its words");
    }

    #[test]
    fn a_waiting_job_is_a_few_words_and_names_what_it_shares() {
        let spec: JobSpec = serde_json::from_value(spec()).unwrap();
        let job = JobRecord {
            id: JobId(1_000_000),
            spec,
            submitted_at: Time::from_unix_ms(1_795_000_000_000),
            state: JobState::Queued,
            attempts: vec![],
            cases_done: 0,
            failure: None,
            yielded: 0,
        };
        let parts = Parts::of(&job.spec);
        let name = SpecName::of(&parts.bytes().unwrap());
        let [Op::Put { key, value }] = &put_job(&job, name).unwrap()[..] else { unreachable!("one op") };
        assert!(value.len() < 150, "{}", String::from_utf8_lossy(value));
        let entry = Entry {
            key: key.clone(),
            value: value.as_slice().into(),
            version: holdfast_store::Revision::ZERO,
        };
        assert_eq!(read_job(&entry, |_| Some(parts.clone())).unwrap(), job);
        let error = read_job(&entry, |_| None).unwrap_err();
        assert!(format!("{error:?}").contains("which is not there"), "{error:?}");
    }

    #[test]
    fn a_job_of_the_first_version_is_still_read() {
        let value = serde_json::json!({ "v": 1, "data": {
            "id": "J7", "spec": spec(), "submitted_at": "2026-11-21T03:30:46.120Z",
            "state": { "state": "ended", "outcome": { "outcome": "passed" }, "at": "2026-11-21T03:31:00.000Z" },
            "attempts": [{
                "phone": "P1", "rack": "r1", "lease": 3, "leased_at": "2026-11-21T03:30:50.000Z",
                "ended": { "end": { "ended": "passed" }, "at": "2026-11-21T03:31:00.000Z", "report": "07".repeat(32) },
            }],
        }});
        let entry = Entry {
            key: JOB.number(7),
            value: value.to_string().into_bytes().into(),
            version: holdfast_store::Revision::ZERO,
        };
        let job = read_job(&entry, |_| None).unwrap();
        assert_eq!((job.id, job.spec.priority, job.attempts[0].lease), (JobId(7), 5, LeaseNumber(3)));
        assert_eq!(spec_of(&entry).unwrap(), None);
    }

    fn spec() -> serde_json::Value {
        serde_json::json!({
            "class": "baseline", "cases": [], "requirements": {}, "priority": 5, "owner": "team-a", "start_by": null,
            "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": "1",
                "build_number": "1", "uuids": [], "minimum_os": null }
        })
    }
}
