//! Jobs that are over and no longer in the picture, read from the store when somebody asks for them. What goes into
//! the archive is written by the loop, together with the end of the job; what leaves it is `retention`'s business.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use holdfast_scheduler::JobRecord;
use holdfast_store::codec::Kind;
use holdfast_store::{Entry, Key, Op, Store, StoreError};
use holdfast_wire::api::AuditEntry;
use holdfast_wire::id::{BlobHash, CaseName, JobId};
use holdfast_wire::job::JobState;

use crate::records::{self, CaseStat};
use crate::snapshot::EndedKey;
use crate::specs::{Parts, SpecName, Specs};

/// Entries read from the store at once.
pub(crate) const PAGE_ENTRIES: usize = 4_096;

/// The way to the archive. Cheap to clone.
#[derive(Clone)]
pub struct Archive(Arc<dyn Shelves>);

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Archive")
    }
}

/// What the archive needs of any store.
trait Shelves: Send + Sync {
    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<JobRecord>, StoreError>>;
    fn after(&self, after: EndedKey, limit: usize) -> BoxFuture<'_, Result<Vec<JobRecord>, StoreError>>;
    fn audit(&self, below: u64, limit: usize) -> BoxFuture<'_, Result<Vec<AuditEntry>, StoreError>>;
    fn case_stats(&self) -> BoxFuture<'_, Result<Vec<CaseStat>, StoreError>>;
    fn case_stat<'a>(&'a self, case: &'a CaseName) -> BoxFuture<'a, Result<Option<CaseStat>, StoreError>>;
    fn report(&self, hash: BlobHash) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>>;
}

struct Held<S> {
    store: Arc<S>,
    specs: Specs,
}

impl Archive {
    pub(crate) fn of<S: Store>(store: Arc<S>, specs: Specs) -> Self {
        Self(Arc::new(Held { store, specs }))
    }

    /// A job that is over.
    ///
    /// # Errors
    /// The store does not serve, or its record is damaged.
    pub async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.0.job(id).await
    }

    /// Up to so many jobs that are over and stand behind this one, newest first.
    ///
    /// # Errors
    /// The store does not serve, or a record is damaged.
    pub async fn after(&self, after: EndedKey, limit: usize) -> Result<Vec<JobRecord>, StoreError> {
        self.0.after(after, limit).await
    }

    /// Up to so many audit entries with a number below this one, newest first.
    ///
    /// # Errors
    /// The store does not serve, or a record is damaged.
    pub async fn audit(&self, below: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.0.audit(below, limit).await
    }

    /// A small report of an attempt, as it came; none when it is a blob or has been let go.
    ///
    /// # Errors
    /// The store does not serve.
    pub async fn report(&self, hash: BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.report(hash).await
    }

    /// What is known of how cases went, by name.
    ///
    /// # Errors
    /// The store does not serve, or a record is damaged.
    pub async fn case_stats(&self) -> Result<Vec<CaseStat>, StoreError> {
        self.0.case_stats().await
    }

    /// What is known of how a case went; none when it was never run.
    ///
    /// # Errors
    /// The store does not serve, or the record is damaged.
    pub async fn case_stat(&self, case: &CaseName) -> Result<Option<CaseStat>, StoreError> {
        self.0.case_stat(case).await
    }
}

impl<S: Store> Shelves for Held<S> {
    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<JobRecord>, StoreError>> {
        Box::pin(async move {
            match self.store.get(&records::ENDED.number(id.0)).await? {
                Some(entry) => read(&*self.store, &self.specs, &entry).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn after(&self, after: EndedKey, limit: usize) -> BoxFuture<'_, Result<Vec<JobRecord>, StoreError>> {
        Box::pin(async move {
            let (Reverse(at), id) = after;
            let after = records::ended_at(at, id);
            let page = self.store.scan_prefix(&records::ENDED_AT.prefix(), Some(&after), limit).await?;
            let mut jobs = Vec::with_capacity(page.entries.len());
            for (_, id) in page.entries.iter().filter_map(|entry| records::ended_job(&entry.key)) {
                jobs.extend(self.job(id).await?);
            }
            Ok(jobs)
        })
    }

    fn audit(&self, below: u64, limit: usize) -> BoxFuture<'_, Result<Vec<AuditEntry>, StoreError>> {
        Box::pin(async move {
            let after = records::AUDIT.number(!below);
            let page = self.store.scan_prefix(&records::AUDIT.prefix(), Some(&after), limit).await?;
            page.entries.iter().map(records::read).collect()
        })
    }

    fn report(&self, hash: BlobHash) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let entry = self.store.get(&records::report_key(&hash)?).await?;
            Ok(entry.map(|entry| entry.value.to_vec()))
        })
    }

    fn case_stats(&self) -> BoxFuture<'_, Result<Vec<CaseStat>, StoreError>> {
        Box::pin(
            async move { all(&*self.store, records::CASE_STAT).await?.iter().map(records::read).collect() },
        )
    }

    fn case_stat<'a>(&'a self, case: &'a CaseName) -> BoxFuture<'a, Result<Option<CaseStat>, StoreError>> {
        Box::pin(async move {
            let entry = self.store.get(&records::CASE_STAT.name(case.as_str())?).await?;
            entry.as_ref().map(records::read).transpose()
        })
    }
}

/// Reads a job that is over, with what it shares.
pub(crate) async fn read<S: Store>(store: &S, specs: &Specs, entry: &Entry) -> Result<JobRecord, StoreError> {
    let parts = match records::spec_of(entry)? {
        Some(name) => parts(store, specs, name).await?,
        None => None,
    };
    let mut job = records::read_job(entry, |_| parts)?;
    // A record of the first version has everything to itself.
    drop(specs.share(&mut job.spec));
    Ok(job)
}

/// What jobs share under a name, from memory or from the store.
pub(crate) async fn parts<S: Store>(
    store: &S,
    specs: &Specs,
    name: SpecName,
) -> Result<Option<Parts>, StoreError> {
    if let Some(known) = specs.get(name) {
        return Ok(Some(known));
    }
    let Some(entry) = store.get(&records::SPEC.name(&name.to_string())?).await? else { return Ok(None) };
    Ok(Some(specs.stored(name, records::read(&entry)?)))
}

/// Every record of a kind.
pub(crate) async fn all<S: Store>(store: &S, kind: Kind) -> Result<Vec<Entry>, StoreError> {
    let prefix = kind.prefix();
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.key.clone());
        let page = store.scan_prefix(&prefix, after.as_ref(), PAGE_ENTRIES).await?;
        let last = page.entries.len() < PAGE_ENTRIES;
        entries.extend(page.entries);
        if last {
            return Ok(entries);
        }
    }
}

/// What in the store is shared by no archived job. Jobs that wait or run are not looked at: [`Specs::end_sweep`]
/// knows what they share.
pub(crate) async fn unnamed<S: Store>(store: &S) -> Result<Vec<(SpecName, Key)>, StoreError> {
    let mut named = HashSet::new();
    let mut after: Option<Key> = None;
    loop {
        let page = store.scan_prefix(&records::ENDED.prefix(), after.as_ref(), PAGE_ENTRIES).await?;
        for entry in &page.entries {
            named.extend(records::spec_of(entry)?);
        }
        let Some(last) = page.entries.last() else { break };
        after = Some(last.key.clone());
        tokio::task::yield_now().await;
    }
    let kept = all(store, records::SPEC).await?;
    let names = kept.into_iter().filter_map(|entry| {
        let name = SpecName::try_from(records::SPEC.name_of(&entry.key)?.to_owned()).ok()?;
        (!named.contains(&name)).then_some((name, entry.key))
    });
    Ok(names.collect())
}

/// Where a job that is over stands among the others; none for one that is not.
pub(crate) fn ended_key(job: &JobRecord) -> Option<EndedKey> {
    match &job.state {
        JobState::Ended { at, .. } => Some((Reverse(*at), job.id)),
        JobState::Queued | JobState::Running { .. } => None,
    }
}

/// The ops that take a job out of the archive.
pub(crate) fn forget(job: &JobRecord) -> Vec<Op> {
    let mark = ended_key(job).map(|(Reverse(at), id)| Op::delete(records::ended_at(at, id)));
    mark.into_iter().chain([Op::delete(records::ENDED.number(job.id.0))]).collect()
}
