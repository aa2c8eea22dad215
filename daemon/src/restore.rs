//! The start: what the store holds becomes brain and picture. Only what waits or runs is read whole; of what is over,
//! the newest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use holdfast_scheduler::{Decision, JobRecord, PhoneRecord, Record, Scheduler};
use holdfast_store::{Entry, Op, Store, StoreError};
use holdfast_wire::id::{JobId, Udid};
use holdfast_wire::job::JobState;
use holdfast_wire::time::Time;

use crate::archive::{all, parts, read};
use crate::config::FarmConfig;
use crate::farm::FarmError;
use crate::groups::{BuildRuns, GroupRecord, Groups};
use crate::notices::{Desk, NOTICE, SENDS, TICKET};
use crate::records::{self, BatchId, Submission};
use crate::rules::{OVERRIDE, Rules};
use crate::schedules::SCHEDULE;
use crate::snapshot::{ENDED_MAX, EndedKey, Snapshot};
use crate::specs::{Parts, SpecName, Specs};

/// Jobs of earlier versions that move to where they are kept now in one transaction.
const MOVED_AT_ONCE: usize = 500;

/// Threads that read jobs: more gain nothing, as the store hands them out one after the other.
const READERS_MAX: usize = 4;

/// Fewer entries than this are read by one thread.
const ENTRIES_PER_READER_MIN: usize = 100;

/// A farm as it was.
pub(crate) struct Restored {
    pub(crate) brain: Scheduler,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) picture: Snapshot,
    pub(crate) submissions: BTreeMap<String, Submission>,
    pub(crate) rules: Rules,
    /// What people are told.
    pub(crate) desk: Desk,
    /// The number that the next job has at least.
    pub(crate) next_job: JobId,
    /// The number that the next audit entry has.
    pub(crate) next_audit: u64,
}

/// Reads the store.
pub(crate) async fn restore<S: Store>(
    store: &S,
    specs: &Specs,
    config: FarmConfig,
    now: Time,
) -> Result<Restored, FarmError> {
    let (overrides, schedules) = (all(store, OVERRIDE).await?, all(store, SCHEDULE).await?);
    let (mut rules, ops) = Rules::restore(config, now, &overrides, &schedules)?;
    if !ops.is_empty() {
        store.commit(Vec::new(), ops).await?;
    }
    let mut picture = Snapshot::default();
    let Jobs { mut live, over, single } = jobs(store, specs).await?;
    archive(store, specs, over).await?;
    join(store, specs, &single).await?;
    live.extend(single);
    let phones = phones(store).await?;
    let owners = all(store, records::OWNER).await?;
    let owners: Vec<_> = owners.iter().map(records::read_owner).collect::<Result<_, _>>()?;
    let compares = all(store, records::COMPARE).await?;
    let compares: Vec<_> = compares.iter().map(records::read_compare).collect::<Result<_, _>>()?;
    for entry in all(store, records::BUILD).await? {
        picture.put_build(Arc::new(records::read(&entry)?));
    }
    for entry in all(store, records::CRASH).await? {
        picture.put_crash(Arc::new(records::read(&entry)?));
    }
    let groups = all(store, records::GROUP).await?;
    let groups: Vec<GroupRecord> = groups.iter().map(records::read).collect::<Result<_, _>>()?;
    picture.groups = Groups::restore(groups, picture.crashes.values().map(|crash| &**crash));
    for entry in all(store, records::BUILD_RUNS).await? {
        let runs: BuildRuns = records::read(&entry)?;
        picture.runs.insert(runs.build, Arc::new(runs));
    }
    let (tickets, sends) = (all(store, TICKET).await?, all(store, SENDS).await?);
    let mut desk = Desk::restore(&all(store, NOTICE).await?, &tickets, &sends)?;
    desk.follow(&rules.shown().config.notify);
    picture.notices = desk.views().map(|view| (view.id, view)).collect();
    let mut submissions = BTreeMap::new();
    for entry in all(store, records::SUBMISSION).await? {
        let key = records::SUBMISSION.name_of(&entry.key).unwrap_or_default().to_owned();
        submissions.insert(key, records::read(&entry)?);
    }
    let kept = owners.into_iter().map(Record::Owner).chain(phones.into_iter().map(Record::Phone));
    let kept = kept.chain(compares.into_iter().map(Record::Compare));
    let kept = kept.chain(live.iter().cloned().map(Record::Job));
    let policy = rules.policy();
    let (brain, decisions) = std::thread::scope(|scope| {
        // Of a million jobs, one core lists them while the other one queues them.
        let listing = scope.spawn(|| {
            picture.list_live(&live);
            live.iter().for_each(|job| rules.timetable.saw_job(job));
        });
        let restored = Scheduler::restore(policy, now, kept);
        listing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        restored
    })?;
    picture.queue_live(&brain, &live);
    picture.rules = rules.shown();
    for job in newest_ended(store, specs).await? {
        rules.timetable.saw_job(&job);
        picture.put_job(Arc::new(job), None);
    }
    picture.look_at_all(&brain);
    picture.at = now;
    let newest = store.last(&records::ENDED.prefix()).await?;
    let newest = newest.and_then(|entry| records::ENDED.number_of(&entry.key)).unwrap_or(0);
    let audit = store.scan_prefix(&records::AUDIT.prefix(), None, 1).await?;
    let audit = audit.entries.first().and_then(|entry| records::AUDIT.number_of(&entry.key));
    Ok(Restored {
        next_job: brain.next_job().max(JobId(newest + 1)),
        next_audit: audit.map_or(1, |number| !number + 1),
        brain,
        decisions,
        picture,
        submissions,
        rules,
        desk,
    })
}

/// Jobs that are not in the archive, as the store has them.
struct Jobs {
    /// Those that wait or run.
    live: Vec<Arc<JobRecord>>,
    /// Those of earlier versions that are over.
    over: Vec<Arc<JobRecord>>,
    /// Those of earlier versions that wait, never begun, each in a record of its own.
    single: Vec<Arc<JobRecord>>,
}

/// Every job that is not in the archive, read by several threads.
async fn jobs<S: Store>(store: &S, specs: &Specs) -> Result<Jobs, StoreError> {
    // What jobs share is read first, so that the threads ask nobody.
    let mut shared: HashMap<SpecName, Parts> = HashMap::new();
    for entry in all(store, records::SPEC).await? {
        let name =
            records::SPEC.name_of(&entry.key).and_then(|name| SpecName::try_from(name.to_owned()).ok());
        if let Some(name) = name {
            shared.insert(name, records::read(&entry)?);
        }
    }
    let parts = |name| shared.get(&name).cloned();
    let (batches, singles) = (all(store, records::WAITING).await?, all(store, records::JOB).await?);
    let mut live = in_threads(&batches, |entry| records::read_batch(entry, parts))?;
    let singles = in_threads(&singles, |entry| Ok(vec![Arc::new(records::read_job(entry, parts)?)]))?;
    for (name, parts) in shared {
        // Those that only archived jobs name are read when these are looked at.
        if Arc::strong_count(&parts.cases) > 1 {
            specs.stored(name, parts);
        }
    }
    let (mut over, mut single) = (Vec::new(), Vec::new());
    for mut job in singles {
        // Jobs of the first version have everything to themselves.
        if Arc::strong_count(&job.spec.cases) == 1 {
            drop(specs.share(&mut Arc::make_mut(&mut job).spec));
        }
        match &job.state {
            JobState::Ended { .. } => over.push(job),
            JobState::Queued if records::is_fresh(&job) => single.push(job),
            JobState::Queued | JobState::Running { .. } => live.push(job),
        }
    }
    Ok(Jobs { live, over, single })
}

/// What entries hold, in their order, read by several threads.
fn in_threads(
    entries: &[Entry],
    read: impl Fn(&Entry) -> Result<Vec<Arc<JobRecord>>, StoreError> + Sync,
) -> Result<Vec<Arc<JobRecord>>, StoreError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX);
    let each = entries.len().div_ceil(threads).max(ENTRIES_PER_READER_MIN);
    let read = |entries: &[Entry]| {
        let mut jobs = Vec::new();
        for entry in entries {
            jobs.extend(read(entry)?);
        }
        Ok(jobs)
    };
    let read = &read;
    let parts: Vec<Result<Vec<Arc<JobRecord>>, StoreError>> = std::thread::scope(|scope| {
        let running: Vec<_> =
            entries.chunks(each).map(|entries| scope.spawn(move || read(entries))).collect();
        let stopped = || StoreError::Stopped { reason: "a reader of its jobs panicked".to_owned() };
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(stopped()))).collect()
    });
    let mut jobs = Vec::new();
    for part in parts {
        jobs.extend(part?);
    }
    Ok(jobs)
}

/// Moves jobs of earlier versions that wait, never begun, into batches, each batch whole or not at all.
async fn join<S: Store>(store: &S, specs: &Specs, single: &[Arc<JobRecord>]) -> Result<(), StoreError> {
    let mut batches: BTreeMap<BatchId, Vec<(&JobRecord, SpecName)>> = BTreeMap::new();
    let mut ops: BTreeMap<_, Op> = BTreeMap::new();
    for job in single {
        let (name, new) = records::name_spec(specs, job)?;
        if let Some(parts) = new {
            let op = records::put_spec(name, &parts)?;
            ops.insert(op.key().clone(), op);
        }
        batches.entry(BatchId::of(job.id)).or_default().push((job, name));
    }
    for (batch, jobs) in batches {
        for op in std::iter::once(records::put_batch(batch, &jobs)?)
            .chain(jobs.iter().map(|(job, _)| Op::delete(records::JOB.number(job.id.0))))
        {
            ops.insert(op.key().clone(), op);
        }
        if ops.len() > MOVED_AT_ONCE {
            store.commit(Vec::new(), std::mem::take(&mut ops).into_values().collect()).await?;
        }
    }
    if !ops.is_empty() {
        store.commit(Vec::new(), ops.into_values().collect()).await?;
    }
    Ok(())
}

/// Moves jobs of earlier versions that are over into the archive, each whole or not at all.
async fn archive<S: Store>(store: &S, specs: &Specs, over: Vec<Arc<JobRecord>>) -> Result<(), StoreError> {
    for jobs in over.chunks(MOVED_AT_ONCE) {
        let mut ops: BTreeMap<_, Op> = BTreeMap::new();
        for job in jobs {
            let (name, new) = records::name_spec(specs, job)?;
            let new = new.map(|parts| records::put_spec(name, &parts)).transpose()?;
            for op in records::put_job(job, name)?.into_iter().chain(new) {
                ops.insert(op.key().clone(), op);
            }
        }
        store.commit(Vec::new(), ops.into_values().collect()).await?;
    }
    Ok(())
}

/// Every phone.
async fn phones<S: Store>(store: &S) -> Result<Vec<PhoneRecord>, StoreError> {
    let leases = all(store, records::LEASE).await?;
    let leases: HashMap<Udid, &Entry> =
        leases.iter().filter_map(|entry| Some((records::leased(entry)?, entry))).collect();
    let known = all(store, records::PHONE).await?;
    let read = |entry: &Entry| {
        let lease = records::named(entry).and_then(|udid| leases.get(&udid).copied());
        records::read_phone(entry, lease)
    };
    known.iter().map(read).collect()
}

/// The newest jobs that are over: as many as the picture holds.
async fn newest_ended<S: Store>(store: &S, specs: &Specs) -> Result<Vec<JobRecord>, StoreError> {
    let page = store.scan_prefix(&records::ENDED_AT.prefix(), None, ENDED_MAX).await?;
    let ids: BTreeSet<EndedKey> = page
        .entries
        .iter()
        .filter_map(|entry| records::ended_job(&entry.key))
        .map(|(at, id)| (Reverse(at), id))
        .collect();
    let mut jobs = Vec::with_capacity(ids.len());
    for (_, id) in ids {
        let Some(entry) = store.get(&records::ENDED.number(id.0)).await? else { continue };
        if let Some(name) = records::spec_of(&entry)? {
            parts(store, specs, name).await?;
        }
        jobs.push(read(store, specs, &entry).await?);
    }
    Ok(jobs)
}
