//! What the store holds, as JSON with a version, and the way between that and the brain's own records. The brain's
//! types are not serialised themselves, so that it may change its mind without a migration. Jobs and phones, which are
//! more than one shape, have files of their own.

mod batch;
mod case;
mod job;
mod phone;

use holdfast_scheduler::{CompareRecord, JobRecord, OwnerRecord};
use holdfast_store::codec::{Kind, Record, encode};
use holdfast_store::{Entry, Key, Op, StoreError, show};
use holdfast_wire::api::{AuditEntry, CrashView};
use holdfast_wire::build::Build;
use holdfast_wire::id::{AttemptId, BlobHash, BuildHash, CompareName, JobId, Owner, Udid};
use holdfast_wire::time::Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::batch::{BatchId, is_fresh, jobs_in, put_batch, read_batch};
pub use self::case::{CaseStat, Run};
pub use self::job::{put_job, read_job, spec_of};
pub use self::phone::{is_known_alike, leased, named, put_held, put_known, read_phone};
use crate::groups::{BuildRuns, GroupRecord};
use crate::specs::{Parts, SpecName, Specs};

/// Jobs that run, or wait after they have run, by number.
pub const JOB: Kind = Kind::new("job");
/// Jobs that wait and were never begun, many to a record, by number.
pub const WAITING: Kind = Kind::new("waiting");
/// Jobs that are over, by number.
pub const ENDED: Kind = Kind::new("ended");
/// The same by when they ended, newest first: keys alone.
pub const ENDED_AT: Kind = Kind::new("ended-at");
/// What jobs have in common, by its name.
pub const SPEC: Kind = Kind::new("spec");
/// What is known of phones, by UDID.
pub const PHONE: Kind = Kind::new("phone");
/// What holds phones, by UDID: it changes with every lease.
pub const LEASE: Kind = Kind::new("lease");
/// Builds by hash.
pub const BUILD: Kind = Kind::new("build");
/// Crashes by hash.
pub const CRASH: Kind = Kind::new("crash");
/// Submissions by idempotency key.
pub const SUBMISSION: Kind = Kind::new("submission");
/// Reports of attempts that had been given up, by attempt and report.
pub const LATE_REPORT: Kind = Kind::new("late-report");
/// Small reports of attempts by hash, byte for byte; larger ones are blobs.
pub const REPORT: Kind = Kind::new("report");

/// Bytes of a report that is kept in the store, at most: a turn with a thousand of them fits one transaction.
pub const REPORT_BYTES_MAX: usize = 8 * 1024;

/// What owners have used of their quota, by name.
pub const OWNER: Kind = Kind::new("owner");
/// Where comparisons run, by name.
pub const COMPARE: Kind = Kind::new("compare");
/// What operators did, newest first: by the complement of its number.
pub const AUDIT: Kind = Kind::new("audit");
/// Crash groups, by id.
pub const GROUP: Kind = Kind::new("group");
/// How often builds were tested, by hash.
pub const BUILD_RUNS: Kind = Kind::new("build-runs");
/// How cases went, by name.
pub const CASE_STAT: Kind = Kind::new("case-stat");

/// The newest shape of any record. The first had jobs and phones whole, the second a record for every job that waits;
/// everything else is as it was.
const VERSION: u32 = 3;

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

/// Writes a small report as it came.
///
/// # Errors
/// The store's, when the key cannot be formed.
pub fn put_report(hash: &BlobHash, bytes: Vec<u8>) -> Result<Op, StoreError> {
    Ok(Op::put(report_key(hash)?, bytes))
}

/// Where a small report is kept.
///
/// # Errors
/// The store's, when the key cannot be formed.
pub fn report_key(hash: &BlobHash) -> Result<Key, StoreError> {
    REPORT.name(&hash.to_string())
}

/// Writes a late report.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_late_report(late: &LateReport) -> Result<Op, StoreError> {
    put(late_report_key(late)?, late)
}

/// What the keys of a job's late reports begin with.
///
/// # Errors
/// The store's, when the key cannot be formed.
pub fn late_reports_of(job: JobId) -> Result<Vec<u8>, StoreError> {
    Ok(LATE_REPORT.name(&format!("{job}."))?.as_bytes().to_vec())
}

/// Where a late report is recorded.
///
/// # Errors
/// The store's, when the key cannot be formed.
pub fn late_report_key(late: &LateReport) -> Result<Key, StoreError> {
    LATE_REPORT.name(&format!("{}/{}", late.attempt, late.report))
}

/// What an owner has used.
#[derive(Serialize, Deserialize)]
struct StoredOwner {
    owner: Owner,
    day: i64,
    used_ms: u64,
}

/// Writes what an owner has used.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_owner(used: &OwnerRecord) -> Result<Op, StoreError> {
    let stored = StoredOwner { owner: used.owner.clone(), day: used.day, used_ms: used.used_ms };
    put(OWNER.name(used.owner.as_str())?, &stored)
}

/// Reads what an owner has used.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn read_owner(entry: &Entry) -> Result<OwnerRecord, StoreError> {
    let StoredOwner { owner, day, used_ms } = read(entry)?;
    Ok(OwnerRecord { owner, day, used_ms })
}

/// Where a comparison runs.
#[derive(Serialize, Deserialize)]
struct StoredCompare {
    name: CompareName,
    phone: Udid,
    build: BuildHash,
}

/// Writes where a comparison runs.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_compare(compare: &CompareRecord) -> Result<Op, StoreError> {
    let CompareRecord { name, phone, build } = compare.clone();
    put(compare_key(&compare.name)?, &StoredCompare { name, phone, build })
}

/// Where it is recorded where a comparison runs.
///
/// # Errors
/// The store's, when the key cannot be formed.
pub fn compare_key(name: &CompareName) -> Result<Key, StoreError> {
    COMPARE.name(name.as_str())
}

/// Reads where a comparison runs.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn read_compare(entry: &Entry) -> Result<CompareRecord, StoreError> {
    let StoredCompare { name, phone, build } = read(entry)?;
    Ok(CompareRecord { name, phone, build })
}

/// Writes what an operator did.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_audit(entry: &AuditEntry) -> Result<Op, StoreError> {
    put(AUDIT.number(!entry.number), entry)
}

/// Writes how a case went.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_case_stat(stat: &CaseStat) -> Result<Op, StoreError> {
    put(CASE_STAT.name(stat.case.as_str())?, stat)
}

/// Writes what is recorded of a crash group.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_group(group: &GroupRecord) -> Result<Op, StoreError> {
    put(GROUP.name(group.id.as_str())?, group)
}

/// Writes how often a build was tested.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_build_runs(runs: &BuildRuns) -> Result<Op, StoreError> {
    put(BUILD_RUNS.name(&runs.build.to_string())?, runs)
}

/// The name of what a job shares; with what it is when the store does not have it yet.
///
/// # Errors
/// The store's, when it has no JSON form.
pub fn name_spec(specs: &Specs, job: &JobRecord) -> Result<(SpecName, Option<Parts>), StoreError> {
    specs.name(&job.spec).map_err(|source| StoreError::Encode { source })
}

/// Reads a record whose type is its own stored shape.
///
/// # Errors
/// The record is damaged or newer than this program.
pub fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
    Record::open(&entry.key, &entry.value, VERSION)?.read(&entry.key)
}

/// Writes what jobs have in common.
///
/// # Errors
/// The store's, when it has no JSON form.
pub fn put_spec(name: SpecName, parts: &Parts) -> Result<Op, StoreError> {
    put(SPEC.name(&name.to_string())?, parts)
}

/// Where it is kept when a job ended: the newest comes first.
pub fn ended_at(at: Time, job: JobId) -> Key {
    ENDED_AT.pair(!ascending(at), job.0)
}

/// Behind every job that ended at this time or later.
pub fn ended_before(at: Time) -> Key {
    ENDED_AT.pair(!ascending(at), u64::MAX)
}

/// The job that a key of [`ENDED_AT`] names, and when it ended.
pub fn ended_job(key: &Key) -> Option<(Time, JobId)> {
    let (at, job) = ENDED_AT.pair_of(key)?;
    Some((Time::from_unix_ms(((!at) ^ (1 << 63)).cast_signed()), JobId(job)))
}

/// Times as numbers that grow with them; those before 1970 come first.
fn ascending(at: Time) -> u64 {
    at.as_unix_ms().cast_unsigned() ^ (1 << 63)
}

/// A record that cannot be right, in words.
fn bad(key: &Key, words: impl std::fmt::Display) -> StoreError {
    StoreError::BadRecord { key: show(key), source: serde::de::Error::custom(words) }
}

fn put<T: Serialize>(key: Key, value: &T) -> Result<Op, StoreError> {
    Ok(Op::put(key, encode(VERSION, value)?))
}
