//! What has been kept long enough: jobs that are over with their reports, and idempotency keys. Which they are is
//! worked out here as data; the loop removes them. Builds and crashes are kept.

use std::collections::BTreeMap;

use holdfast_scheduler::JobRecord;
use holdfast_store::{Op, Store, StoreError};
use holdfast_wire::id::{BlobHash, JobId};
use holdfast_wire::time::Time;

use crate::archive;
use crate::blobs::Blobs;
use crate::config::Retention;
use crate::records::{self, LateReport, Submission};
use crate::specs::Specs;

/// Jobs that are removed at once: with their reports they must fit one transaction.
const JOBS_AT_ONCE_MAX: usize = 500;

/// Ops after which no further job goes at once: with its reports and the keys they must fit one transaction.
const OPS_BEFORE_LAST_JOB: usize = 1_000;

/// Idempotency keys that are removed at once.
const KEYS_AT_ONCE_MAX: usize = 1_000;

/// How long things are kept, and where the bytes of reports lie.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// How long.
    pub retention: Retention,
    /// The reports' bytes.
    pub blobs: Blobs,
}

/// What goes.
#[derive(Debug, Default)]
pub struct Trim {
    /// Jobs that were over long ago.
    pub jobs: Vec<JobId>,
    /// Idempotency keys that nobody will send again.
    pub keys: Vec<String>,
    /// What takes them out of the store.
    pub ops: Vec<Op>,
    /// Reports that nobody names any more.
    pub reports: Vec<BlobHash>,
}

/// A job that was over long ago.
#[derive(Debug, Clone, PartialEq)]
pub struct OldJob {
    /// The job.
    pub job: JobRecord,
    /// Reports of its attempts that had been given up.
    pub late: Vec<LateReport>,
}

/// Jobs that were over long ago, as many as go at once. The one with the highest number stays: the next job's number
/// follows from it.
///
/// # Errors
/// The store does not serve, or a record is damaged.
pub async fn old_jobs<S: Store>(
    store: &S,
    specs: &Specs,
    now: Time,
    retention: &Retention,
) -> Result<Vec<OldJob>, StoreError> {
    let kept_ms = i64::try_from(retention.ended_jobs.as_millis()).unwrap_or(i64::MAX);
    let before = Time::from_unix_ms(now.as_unix_ms().saturating_sub(kept_ms).saturating_add(1));
    let newest = store.last(&records::ENDED.prefix()).await?.map(|entry| entry.key);
    let after = records::ended_before(before);
    let page = store.scan_prefix(&records::ENDED_AT.prefix(), Some(&after), JOBS_AT_ONCE_MAX).await?;
    let mut old = Vec::new();
    for (_, id) in page.entries.iter().filter_map(|entry| records::ended_job(&entry.key)) {
        let key = records::ENDED.number(id.0);
        let Some(entry) = store.get(&key).await?.filter(|_| newest.as_ref() != Some(&key)) else { continue };
        let job = archive::read(store, specs, &entry).await?;
        let late = store.scan_prefix(&records::late_reports_of(id)?, None, archive::PAGE_ENTRIES).await?;
        let late = late.entries.iter().map(records::read).collect::<Result<_, _>>()?;
        old.push(OldJob { job, late });
    }
    Ok(old)
}

/// What goes at this time, as much as fits one transaction.
///
/// # Errors
/// A key of the store cannot be formed.
pub fn due(
    old: &[OldJob],
    submissions: &BTreeMap<String, Submission>,
    now: Time,
    retention: &Retention,
) -> Result<Trim, StoreError> {
    let mut trim = Trim::default();
    for OldJob { job, late } in old {
        if trim.ops.len() + trim.reports.len() > OPS_BEFORE_LAST_JOB {
            break;
        }
        trim.jobs.push(job.id);
        trim.ops.extend(archive::forget(job));
        trim.reports.extend(job.attempts.iter().filter_map(|attempt| attempt.ended.as_ref()?.report));
        for late in late {
            trim.ops.push(Op::delete(records::late_report_key(late)?));
            trim.reports.push(late.report);
        }
    }
    for report in &trim.reports {
        // Whether it is here or a blob: taking out what is not there does no harm.
        trim.ops.push(Op::delete(records::report_key(report)?));
    }
    let sent = submissions.iter().filter(|(_, sent)| sent.at.after(retention.idempotency_keys) <= now);
    for (key, _) in sent.take(KEYS_AT_ONCE_MAX) {
        trim.ops.push(Op::delete(records::SUBMISSION.name(key)?));
        trim.keys.push(key.clone());
    }
    Ok(trim)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use std::time::Duration;

    use holdfast_scheduler::AttemptRecord;
    use holdfast_scheduler::record::Ended;
    use holdfast_store::MemoryStore;
    use holdfast_wire::id::{AttemptId, LeaseNumber};
    use holdfast_wire::job::{JobOutcome, JobState};
    use holdfast_wire::outcome::AttemptEnd;

    use super::*;

    fn job(id: u64, ended_at: i64) -> JobRecord {
        let spec = serde_json::from_value(serde_json::json!({
            "class": "idle", "cases": [], "requirements": {}, "priority": 0, "owner": null, "start_by": null,
            "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": "1",
                "build_number": "1", "uuids": [], "minimum_os": null }
        }));
        let at = Time::from_unix_ms(ended_at);
        let report = Some(BlobHash::new([u8::try_from(id).unwrap(); 32]));
        let attempt = AttemptRecord {
            phone: "P1".parse().unwrap(),
            rack: "r1".parse().unwrap(),
            lease: LeaseNumber(id),
            leased_at: at,
            ended: Some(Ended { end: AttemptEnd::Passed, at, report }),
        };
        JobRecord {
            id: JobId(id),
            spec: spec.unwrap(),
            submitted_at: at,
            state: JobState::Ended { outcome: JobOutcome::Passed, at },
            attempts: vec![attempt],
            cases_done: 0,
            failure: None,
            yielded: 0,
        }
    }

    #[tokio::test]
    async fn old_jobs_go_with_their_reports_but_numbers_are_never_given_again() {
        let (store, specs) = (MemoryStore::new(), Specs::default());
        let mut ops: BTreeMap<_, Op> = BTreeMap::new();
        let mut put = |op: Op| drop(ops.insert(op.key().clone(), op));
        for (id, ended_at) in [(1, 1_000), (2, 90_000), (3, 2_000)] {
            let job = job(id, ended_at);
            let (name, new) = records::name_spec(&specs, &job).unwrap();
            new.iter().for_each(|parts| put(records::put_spec(name, parts).unwrap()));
            records::put_job(&job, name).unwrap().into_iter().for_each(&mut put);
        }
        let late = |job, byte| LateReport {
            attempt: AttemptId { job: JobId(job), number: 1 },
            report: BlobHash::new([byte; 32]),
        };
        for late in [late(1, 9), late(2, 8), late(11, 7)] {
            put(records::put_late_report(&late).unwrap());
        }
        store.commit(Vec::new(), ops.into_values().collect()).await.unwrap();
        let sent =
            |at| Submission { body: BlobHash::new([0; 32]), job: JobId(1), at: Time::from_unix_ms(at) };
        let submissions = BTreeMap::from([("old".to_owned(), sent(0)), ("new".to_owned(), sent(99_000))]);
        let retention =
            Retention { ended_jobs: Duration::from_secs(60), idempotency_keys: Duration::from_secs(60) };
        let now = Time::from_unix_ms(100_000);
        let old = old_jobs(&store, &specs, now, &retention).await.unwrap();
        let trim = due(&old, &submissions, now, &retention).unwrap();
        assert_eq!(trim.jobs, [JobId(1)], "2 is young, 3 is the newest");
        assert_eq!(trim.reports, [BlobHash::new([1; 32]), BlobHash::new([9; 32])]);
        assert_eq!(trim.keys, ["old"]);
        store.commit(Vec::new(), trim.ops).await.unwrap();
        let gone = store.get(&records::ENDED.number(1)).await.unwrap();
        assert_eq!((gone, old_jobs(&store, &specs, now, &retention).await.unwrap()), (None, Vec::new()));
    }
}
