//! What has been kept long enough: jobs that are over with their reports, and idempotency keys. Which they are is
//! worked out here as data; the loop removes them. Builds and crashes are kept.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_store::{Op, StoreError};
use holdfast_wire::id::{BlobHash, JobId};
use holdfast_wire::time::Time;

use crate::blobs::Blobs;
use crate::config::Retention;
use crate::records::{self, LateReport, Submission};
use crate::snapshot::Snapshot;

/// Jobs that are removed at once: with their reports they must fit one transaction.
const JOBS_AT_ONCE_MAX: usize = 500;

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

/// What has been kept long enough at this time, as much as fits one transaction.
///
/// # Errors
/// A key of the store cannot be formed.
pub fn due(
    snapshot: &Snapshot,
    submissions: &BTreeMap<String, Submission>,
    late: &[LateReport],
    now: Time,
    retention: &Retention,
) -> Result<Trim, StoreError> {
    let mut trim = Trim::default();
    // The newest job stays: the next job's number follows from it.
    let newest = snapshot.jobs.get_max().map(|(id, _)| *id);
    let oldest_first = snapshot.ended.iter().rev();
    let over = oldest_first.take_while(|(ended, _)| ended.0.after(retention.ended_jobs) <= now);
    let over = over.map(|(_, id)| *id).filter(|id| Some(*id) != newest).take(JOBS_AT_ONCE_MAX);
    trim.jobs = over.collect();
    for job in trim.jobs.iter().filter_map(|id| snapshot.jobs.get(id)) {
        trim.ops.push(Op::delete(records::JOB.number(job.id.0)));
        trim.reports.extend(job.attempts.iter().filter_map(|attempt| attempt.ended.as_ref()?.report));
    }
    let gone: BTreeSet<JobId> = trim.jobs.iter().copied().collect();
    for late in late.iter().filter(|late| gone.contains(&late.attempt.job)) {
        trim.ops.push(Op::delete(records::late_report_key(late)?));
        trim.reports.push(late.report);
    }
    let old = submissions.iter().filter(|(_, sent)| sent.at.after(retention.idempotency_keys) <= now);
    for (key, _) in old.take(KEYS_AT_ONCE_MAX) {
        trim.ops.push(Op::delete(records::SUBMISSION.name(key)?));
        trim.keys.push(key.clone());
    }
    Ok(trim)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use std::sync::Arc;
    use std::time::Duration;

    use holdfast_scheduler::record::Ended;
    use holdfast_scheduler::{AttemptRecord, JobRecord};
    use holdfast_wire::id::{AttemptId, LeaseNumber};
    use holdfast_wire::job::{JobOutcome, JobState};
    use holdfast_wire::outcome::AttemptEnd;

    use super::*;

    fn job(id: u64, ended_at: i64) -> Arc<JobRecord> {
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
        Arc::new(JobRecord {
            id: JobId(id),
            spec: spec.unwrap(),
            submitted_at: at,
            state: JobState::Ended { outcome: JobOutcome::Passed, at },
            attempts: vec![attempt],
            cases_done: 0,
            failure: None,
            yielded: 0,
        })
    }

    #[test]
    fn old_jobs_go_with_their_reports_but_numbers_are_never_given_again() {
        let mut snapshot = Snapshot::default();
        for (id, ended_at) in [(1, 1_000), (2, 90_000), (3, 2_000)] {
            snapshot.put_job(job(id, ended_at));
        }
        let late = |job, byte| LateReport {
            attempt: AttemptId { job: JobId(job), number: 1 },
            report: BlobHash::new([byte; 32]),
        };
        let sent =
            |at| Submission { body: BlobHash::new([0; 32]), job: JobId(1), at: Time::from_unix_ms(at) };
        let submissions = BTreeMap::from([("old".to_owned(), sent(0)), ("new".to_owned(), sent(99_000))]);
        let minute = Duration::from_secs(60);
        let retention = Retention { ended_jobs: minute, idempotency_keys: minute };
        let now = Time::from_unix_ms(100_000);
        let trim = due(&snapshot, &submissions, &[late(1, 9), late(2, 8)], now, &retention).unwrap();
        assert_eq!(trim.jobs, [JobId(1)], "2 is young, 3 is the newest");
        assert_eq!(trim.reports, [BlobHash::new([1; 32]), BlobHash::new([9; 32])]);
        assert_eq!(trim.keys, ["old"]);
        assert_eq!(trim.ops.len(), 3);
    }
}
