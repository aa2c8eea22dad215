//! Jobs that wait and were never begun, in the store: neighbours by number share one record. A start reads every one
//! of them, and what a store takes to open is counted in records. A job that begins gets a record of its own (`job`).

use std::sync::Arc;

use holdfast_scheduler::JobRecord;
use holdfast_store::codec::{Record, encode};
use holdfast_store::{Entry, Key, Op, StoreError};
use holdfast_wire::id::{BlobHash, CompareName, JobId, Owner};
use holdfast_wire::job::{JobClass, JobSpec, JobState};
use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use super::job::{is_default, is_one, one};
use super::{VERSION, WAITING, bad};
use crate::specs::{Parts, SpecName};

/// Numbers that share a record: more make a start no faster, and each beginning of a job writes the others again.
const BATCH: u64 = 32;

/// The record that jobs with neighbouring numbers share while they wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(u64);

impl BatchId {
    /// The record of a job.
    pub fn of(job: JobId) -> Self {
        Self(job.0 / BATCH)
    }

    /// The record that lies under a key; none when that is another kind of record.
    pub fn named(key: &Key) -> Option<Self> {
        WAITING.number_of(key).map(Self)
    }

    /// The jobs that share it.
    pub fn jobs(self) -> impl Iterator<Item = JobId> {
        (0..BATCH).map(move |place| JobId(self.0 * BATCH + place))
    }
}

/// Whether a job waits and was never begun: only such a job is in a batch.
pub fn is_fresh(job: &JobRecord) -> bool {
    let JobRecord { id: _, spec: _, submitted_at: _, state, attempts, cases_done, failure, yielded } = job;
    let begun = !attempts.is_empty() || *cases_done > 0 || failure.is_some() || *yielded > 0;
    *state == JobState::Queued && !begun
}

/// What is stored. What is usual is left out.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// What the jobs share, each named once.
    specs: Vec<SpecName>,
    /// When the first of them was submitted, milliseconds since 1970.
    since: i64,
    jobs: Vec<StoredJob>,
}

#[derive(Serialize, Deserialize)]
struct StoredJob {
    /// Its number, counted from the first of the batch.
    n: u64,
    /// Its place among the specs.
    spec: usize,
    class: JobClass,
    /// When it was submitted, milliseconds after the first.
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
}

/// What becomes of the store when a batch changes: these are the jobs in it now.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_batch(id: BatchId, jobs: &[(&JobRecord, SpecName)]) -> Result<Op, StoreError> {
    let key = WAITING.number(id.0);
    let Some(since) = jobs.iter().map(|(job, _)| job.submitted_at.as_unix_ms()).min() else {
        return Ok(Op::delete(key));
    };
    let mut specs: Vec<SpecName> = Vec::new();
    let jobs = jobs.iter().map(|(job, spec)| {
        let known = specs.iter().position(|known| known == spec);
        let spec = known.unwrap_or_else(|| {
            specs.push(*spec);
            specs.len() - 1
        });
        StoredJob {
            n: job.id.0 % BATCH,
            spec,
            class: job.spec.class,
            at: job.submitted_at.as_unix_ms() - since,
            priority: job.spec.priority,
            owner: job.spec.owner.clone(),
            start_by: job.spec.start_by.map(Time::as_unix_ms),
            phones: job.spec.phones,
            compare: job.spec.compare.clone(),
            content: job.spec.content.as_deref().copied(),
        }
    });
    let jobs = jobs.collect();
    Ok(Op::put(key, encode(VERSION, &Stored { specs, since, jobs })?))
}

/// Reads a batch; `parts` gives what its jobs share with others.
///
/// # Errors
/// The record is damaged or newer than this program, or names what is not there.
pub fn read_batch(
    entry: &Entry,
    mut parts: impl FnMut(SpecName) -> Option<Parts>,
) -> Result<Vec<Arc<JobRecord>>, StoreError> {
    let Stored { specs, since, jobs } = Record::open(&entry.key, &entry.value, VERSION)?.read(&entry.key)?;
    let first =
        WAITING.number_of(&entry.key).ok_or_else(|| bad(&entry.key, "its key has no number"))? * BATCH;
    let named = |name: &SpecName| {
        parts(*name).ok_or_else(|| bad(&entry.key, format!("it names {name}, which is not there")))
    };
    let specs: Vec<Parts> = specs.iter().map(named).collect::<Result<_, _>>()?;
    let read = |job: StoredJob| {
        let no_spec = || bad(&entry.key, format!("it has no spec {}", job.spec));
        let Parts { build, cases, requirements } = specs.get(job.spec).ok_or_else(no_spec)?.clone();
        Ok(Arc::new(JobRecord {
            id: JobId(first + job.n),
            spec: JobSpec {
                class: job.class,
                build,
                cases,
                requirements,
                priority: job.priority,
                owner: job.owner,
                start_by: job.start_by.map(Time::from_unix_ms),
                phones: job.phones,
                compare: job.compare,
                content: job.content.map(Box::new),
            },
            submitted_at: Time::from_unix_ms(since.saturating_add(job.at)),
            state: JobState::Queued,
            attempts: Vec::new(),
            cases_done: 0,
            failure: None,
            yielded: 0,
        }))
    };
    jobs.into_iter().map(read).collect()
}

/// The numbers of the jobs in a batch; none in another kind of record.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn jobs_in(entry: &Entry) -> Result<Vec<JobId>, StoreError> {
    #[derive(Deserialize)]
    struct Numbered {
        jobs: Vec<Number>,
    }
    #[derive(Deserialize)]
    struct Number {
        n: u64,
    }
    let Some(batch) = WAITING.number_of(&entry.key) else { return Ok(Vec::new()) };
    let Numbered { jobs } = Record::open(&entry.key, &entry.value, VERSION)?.read(&entry.key)?;
    Ok(jobs.into_iter().map(|job| JobId(batch * BATCH + job.n)).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_scheduler::AttemptRecord;
    use holdfast_store::{Revision, VALUE_BYTES_MAX};
    use holdfast_wire::id::LeaseNumber;
    use holdfast_wire::job::JobOutcome;

    use super::*;

    fn job(id: u64, build: &str) -> JobRecord {
        let spec = serde_json::json!({
            "class": "baseline", "cases": [], "requirements": {}, "priority": 0, "owner": null, "start_by": null,
            "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": build,
                "build_number": "1", "uuids": [], "minimum_os": null },
        });
        JobRecord {
            id: JobId(id),
            spec: serde_json::from_value(spec).unwrap(),
            submitted_at: Time::from_unix_ms(1_795_000_000_000 + i64::try_from(id).unwrap()),
            state: JobState::Queued,
            attempts: vec![],
            cases_done: 0,
            failure: None,
            yielded: 0,
        }
    }

    fn full(id: u64) -> JobRecord {
        let mut job = job(id, &format!("1.{id}"));
        let name = || "n".repeat(holdfast_wire::id::NAME_BYTES_MAX);
        job.spec.owner = Some(name().parse().unwrap());
        job.spec.compare = Some(name().parse().unwrap());
        job.spec.start_by = Some(Time::from_unix_ms(i64::MIN));
        job.spec.content = Some(Box::new(BlobHash::new([7; 32])));
        (job.spec.priority, job.spec.phones) = (i32::MIN, 9);
        job
    }

    fn name(job: &JobRecord) -> SpecName {
        SpecName::of(&Parts::of(&job.spec).bytes().unwrap())
    }

    fn written(jobs: &[JobRecord]) -> Entry {
        let named: Vec<_> = jobs.iter().map(|job| (job, name(job))).collect();
        let Op::Put { key, value } = put_batch(BatchId::of(jobs[0].id), &named).unwrap() else {
            unreachable!("a batch with jobs is put")
        };
        Entry { key, value: value.into(), version: Revision::ZERO }
    }

    #[test]
    fn neighbours_share_a_record_and_come_back_as_they_were() {
        let jobs = [job(64, "1"), full(65), job(90, "1"), job(95, "2")];
        assert!(jobs.iter().all(|job| BatchId::of(job.id).jobs().any(|id| id == job.id)));
        assert_ne!(BatchId::of(JobId(63)), BatchId::of(JobId(64)));
        assert_ne!(BatchId::of(JobId(95)), BatchId::of(JobId(96)));
        let entry = written(&jobs);
        let parts = |asked| jobs.iter().find(|job| name(job) == asked).map(|job| Parts::of(&job.spec));
        let read: Vec<JobRecord> =
            read_batch(&entry, parts).unwrap().into_iter().map(Arc::unwrap_or_clone).collect();
        assert_eq!(read, jobs);
        assert_eq!(jobs_in(&entry).unwrap(), [64, 65, 90, 95].map(JobId));
        let error = read_batch(&entry, |_| None).unwrap_err();
        assert!(format!("{error:?}").contains("which is not there"), "{error:?}");
    }

    #[test]
    fn a_usual_job_is_a_few_words_and_the_longest_ones_fit_a_record() {
        let usual: Vec<JobRecord> = (0..BATCH).map(|id| job(id, "1")).collect();
        let bytes = written(&usual).value.len();
        assert!(bytes / usual.len() < 60, "{bytes} bytes");
        let longest: Vec<JobRecord> = (0..BATCH).map(full).collect();
        let bytes = written(&longest).value.len();
        assert!(bytes <= VALUE_BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn a_batch_without_jobs_is_taken_out() {
        assert_eq!(put_batch(BatchId(3), &[]).unwrap(), Op::delete(WAITING.number(3)));
    }

    #[test]
    fn a_job_that_was_ever_begun_or_is_over_is_in_no_batch() {
        let attempt = AttemptRecord {
            phone: "P1".parse().unwrap(),
            rack: "r1".parse().unwrap(),
            lease: LeaseNumber(1),
            leased_at: Time::default(),
            ended: None,
        };
        let over = JobState::Ended { outcome: JobOutcome::Passed, at: Time::default() };
        let begun = [
            JobRecord { attempts: vec![attempt], ..job(1, "1") },
            JobRecord { cases_done: 1, ..job(1, "1") },
            JobRecord { failure: Some(String::new()), ..job(1, "1") },
            JobRecord { yielded: 1, ..job(1, "1") },
            JobRecord { state: over, ..job(1, "1") },
        ];
        assert!(is_fresh(&full(1)));
        assert!(!begun.iter().any(is_fresh));
    }
}
