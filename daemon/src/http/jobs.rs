//! Jobs: submit, list, describe, cancel, explain. A request becomes a job that cannot be wrong, or a list of every
//! mistake in it; nobody checks again afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use holdfast_scheduler::{AttemptRecord, Event, JobRecord};
use holdfast_wire::api::{Explanation, IDEMPOTENCY_KEY, JobRequest, JobView, Mistake, Page, Problem};
use holdfast_wire::case::Case;
use holdfast_wire::id::{BlobHash, JobId, Owner, PoolName};
use holdfast_wire::job::{JobClass, JobSpec, JobState, PHONES_PER_JOB_MAX};
use holdfast_wire::outcome::{AttemptReport, CaseResult};
use serde::Deserialize;

use super::agents::off_the_runtime;
use super::answer::Answer;
use super::job_list::{Cursor, Listing, Order, Position, Section};
use super::problem::{Body, Path, Query, Refusal};
use super::state::App;
use crate::farm::{Ask, Submitted};
use crate::snapshot::{EndedKey, Snapshot};

/// Longest idempotency key, bytes.
const KEY_BYTES_MAX: usize = 128;

/// Cases of one job, at most: the job's record, which repeats them, must stay small.
pub(crate) const CASES_MAX: usize = 50;

/// Bytes of a job's description, at most: with its attempts it must fit a record of the store.
pub(crate) const SPEC_BYTES_MAX: usize = 16 * 1024;

/// Times that the store is asked for one page of a list.
const ARCHIVE_PAGES_MAX: usize = 20;

/// Submits a job. With an `Idempotency-Key`, sending it again gives the same job.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = JobRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "up to 128 printable characters")),
    responses((status = 201, body = JobView), (status = 200, body = JobView), (status = 422, body = Problem),
        (status = 429, body = Problem), (status = 503, body = Problem)))]
pub async fn submit(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body<JobRequest>,
) -> Result<(StatusCode, Answer<JobView>), Refusal> {
    let key = idempotency_key(&headers)?;
    let snapshot = app.farm.snapshot();
    let spec = Box::new(spec_of(&app, &snapshot, body.value)?);
    if snapshot.queue_len() >= app.limits.jobs_waiting_max {
        let detail = format!("{} jobs wait already; send this one later", snapshot.queue_len());
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "queue-full", "Too many jobs wait", detail));
    }
    // What is held while it waits for the disk cannot be let go of by the turns that replace it.
    drop(snapshot);
    let body_hash = BlobHash::new(*blake3::hash(&body.bytes).as_bytes());
    let key = key.map(|key| (key, body_hash));
    let submitted = app.farm.ask(|answer| Ask::Submit { spec, key, answer }).await?;
    let (job, waiting, never) = match submitted {
        Submitted::New { job, waiting, never } => (job, waiting, never),
        Submitted::Before(job) => {
            return Ok((StatusCode::OK, Answer(view(&app, job, Detail::Short).await?)));
        }
        Submitted::OtherBody(job) => {
            let what =
                format!("was used for another request, which became {job}; take a new key for a new job");
            return Err(Refusal::mistake("Idempotency-Key", what));
        }
    };
    let warning = never.map(|why| format!("nothing here can ever match: {why}"));
    match app.farm.snapshot().job(job, |_| Vec::new()) {
        Some(view) => {
            let waiting = waiting.filter(|_| view.state == JobState::Queued);
            Ok((StatusCode::CREATED, Answer(JobView { waiting, warning, ..view })))
        }
        None => {
            let view = view(&app, job, Detail::Short).await?;
            Ok((StatusCode::CREATED, Answer(JobView { warning, ..view })))
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let good = value.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    match good {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            Err(Refusal::mistake("Idempotency-Key", format!("has 1 to {KEY_BYTES_MAX} printable characters")))
        }
    }
}

/// The checked job, or every mistake in the request.
pub(crate) fn spec_of(app: &App, snapshot: &Snapshot, request: JobRequest) -> Result<JobSpec, Refusal> {
    let mut mistakes = Vec::new();
    let mut wrong = |place: String, what: String| mistakes.push(Mistake { place, what });
    let build = snapshot.builds.get(&request.build);
    if build.is_none() {
        let what = format!("the farm has no build {}; upload it first", request.build.short());
        wrong("build".to_owned(), what);
    }
    let catalogue = &snapshot.rules.config.catalogue;
    let mut cases: Vec<Case> = Vec::new();
    for (place, name) in request.cases.iter().enumerate() {
        match catalogue.get(name) {
            Some(case) => cases.push(case.clone()),
            None => {
                let known: Vec<&str> = catalogue.cases().map(|case| case.name.as_str()).collect();
                wrong(
                    format!("cases[{place}]"),
                    format!("there is no case {name}; there are: {}", known.join(", ")),
                );
            }
        }
    }
    for (place, case) in request.inline_cases.iter().enumerate() {
        for mistake in case.mistakes() {
            match mistake.split_once(": ") {
                Some((path, what)) => wrong(format!("inline_cases[{place}].{path}"), what.to_owned()),
                None => wrong(format!("inline_cases[{place}]"), mistake),
            }
        }
    }
    let asked = request.cases.len() + request.inline_cases.len();
    cases.extend(request.inline_cases);
    if !(1..=CASES_MAX).contains(&asked) {
        wrong("cases".to_owned(), format!("a job runs 1 to {CASES_MAX} cases, not {asked}"));
    }
    for (place, what) in request.requirements.mistakes() {
        wrong(format!("requirements.{place}"), what);
    }
    if !(1..=PHONES_PER_JOB_MAX).contains(&request.phones) {
        let what = format!("a job runs on 1 to {PHONES_PER_JOB_MAX} phones at once, not {}", request.phones);
        wrong("phones".to_owned(), what);
    }
    let now = app.clock.now();
    if let Some(start_by) = request.start_by.filter(|start_by| *start_by <= now) {
        wrong("start_by".to_owned(), format!("{start_by} is over already; it is {now}"));
    }
    let (Some(build), true) = (build, mistakes.is_empty()) else { return Err(Refusal::mistakes(mistakes)) };
    let mut spec = JobSpec {
        class: request.class,
        build: Arc::new(build.identity.clone()),
        cases: Arc::new(cases),
        requirements: Arc::new(request.requirements),
        priority: request.priority,
        owner: request.owner,
        start_by: request.start_by,
        phones: request.phones,
        compare: request.compare,
        content: None,
    };
    let unwritten = |error: serde_json::Error| Refusal::trouble(error.to_string());
    let size = app.farm.specs.share(&mut spec).map_err(unwritten)?;
    if size > SPEC_BYTES_MAX {
        let what =
            format!("describes itself in {size} bytes, and at most {SPEC_BYTES_MAX} are kept; split the job");
        return Err(Refusal::mistake("(the whole request)", what));
    }
    if request.once {
        spec.content = Some(Box::new(content(&spec).map_err(unwritten)?));
    }
    Ok(spec)
}

/// The hash of the work that is asked for. Who asks, how urgently and until when is no part of the work.
fn content(spec: &JobSpec) -> Result<BlobHash, serde_json::Error> {
    let JobSpec { class, build, cases, requirements, phones, compare, .. } = spec;
    let bytes = serde_json::to_vec(&(class, build, cases, requirements, phones, compare))?;
    Ok(BlobHash::new(*blake3::hash(&bytes).as_bytes()))
}

/// Which jobs a list shows.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only this class.
    class: Option<JobClass>,
    /// Only jobs in this state.
    state: Option<StateFilter>,
    /// Only jobs of this owner.
    owner: Option<Owner>,
    /// Only jobs that ask for this pool, or whose last phone is in it.
    pool: Option<PoolName>,
    /// Entries of this page, 1 to 200; 50 unless said.
    limit: Option<usize>,
    /// The `next_cursor` of the page before; it remembers which jobs were asked for.
    cursor: Option<String>,
}

/// A state to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateFilter {
    /// Waiting.
    Queued,
    /// Holding a phone.
    Running,
    /// Over.
    Ended,
}

/// What a list goes on looking for, beside what its order has been chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFilter {
    class: Option<JobClass>,
    owner: Option<Owner>,
    pool: Option<PoolName>,
}

impl JobFilter {
    fn wants(&self, snapshot: &Snapshot, job: &JobRecord) -> bool {
        let in_pool = |pool: &PoolName| match &job.spec.requirements.pool {
            Some(wanted) => wanted == pool,
            None => {
                let phone = job.attempts.last().and_then(|attempt| snapshot.phone_at_rest(&attempt.phone));
                phone.is_some_and(|phone| phone.pool.as_ref() == Some(pool))
            }
        };
        self.class.is_none_or(|class| class == job.spec.class)
            && self.owner.as_ref().is_none_or(|owner| job.spec.owner.as_ref() == Some(owner))
            && self.pool.as_ref().is_none_or(in_pool)
    }
}

/// Lists jobs: running first, then waiting in the order of service, then ended, newest first. The first page fixes the
/// list. A page may be short, even empty, and still have a next one: what is wanted was rare among what it looked at.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(Filter),
    responses((status = 200, body = Page<JobView>), (status = 410, body = Problem), (status = 422, body = Problem)))]
pub async fn list(
    State(app): State<App>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<JobView>>, Refusal> {
    let limit = super::lists::limit(filter.limit)?;
    let (snapshot, now) = (app.farm.snapshot(), app.clock.now());
    let cursor: Option<Cursor> = filter.cursor.as_deref().map(str::parse).transpose()?;
    let (listing, from) = match cursor {
        Some(cursor) => app.listings.jobs.find(cursor, now)?,
        None => {
            let section = filter.state.map(|state| match state {
                StateFilter::Queued => Section::Waiting,
                StateFilter::Running => Section::Running,
                StateFilter::Ended => Section::Ended,
            });
            let order = Order::of(&snapshot, filter.class, section);
            let filter = JobFilter { class: filter.class, owner: filter.owner, pool: filter.pool };
            (Listing { order, filter }, Position::Running(None))
        }
    };
    // Jobs that have left the picture meanwhile are in the store, where it is found out whether they are wanted.
    let wanted = |id| snapshot.jobs.get(&id).is_none_or(|job| listing.filter.wants(&snapshot, job));
    let (ids, mut at) = listing.order.page(from, limit, wanted);
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        match snapshot.job(id, |_| Vec::new()) {
            Some(view) => items.push(view),
            None => {
                let job = archived(&app, id).await?.filter(|job| listing.filter.wants(&snapshot, job));
                items.extend(job.map(|job| snapshot.view(&job, |_| Vec::new())));
            }
        }
    }
    if let Position::Archive(after) = at {
        at = from_archive(&app, &snapshot, &listing.filter, after, limit, &mut items).await?;
    }
    with_reasons(&app, &mut items).await?;
    let next_cursor = (at != Position::Over).then(|| match cursor {
        Some(cursor) => app.listings.jobs.go_on(cursor, at),
        None => app.listings.jobs.keep(listing, at, now),
    });
    Ok(Json(Page { items, next_cursor: next_cursor.map(|cursor| cursor.to_string()) }))
}

/// Fills a page with jobs that are in the store alone; says where it ended.
async fn from_archive(
    app: &App,
    snapshot: &Snapshot,
    filter: &JobFilter,
    mut after: EndedKey,
    limit: usize,
    items: &mut Vec<JobView>,
) -> Result<Position, Refusal> {
    for _ in 0..ARCHIVE_PAGES_MAX {
        let missing = limit - items.len().min(limit);
        if missing == 0 {
            return Ok(Position::Archive(after));
        }
        let jobs = app.farm.archive.after(after, missing).await?;
        let last = jobs.len() < missing;
        for job in jobs {
            after = crate::archive::ended_key(&job).unwrap_or(after);
            items.extend(filter.wants(snapshot, &job).then(|| snapshot.view(&job, |_| Vec::new())));
        }
        if last {
            return Ok(Position::Over);
        }
    }
    Ok(Position::Archive(after))
}

/// Asks the loop why these jobs wait.
async fn with_reasons(app: &App, items: &mut [JobView]) -> Result<(), Refusal> {
    let waits = |job: &JobView| job.state == JobState::Queued;
    let jobs: Vec<JobId> = items.iter().filter(|job| waits(job)).map(|job| job.id).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    let reasons = app.farm.ask(|answer| Ask::Reasons { jobs, answer }).await?;
    for (job, reason) in items.iter_mut().filter(|job| waits(job)).zip(reasons) {
        job.waiting = reason;
    }
    Ok(())
}

/// Describes a job with its attempts and what their cases showed.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView), (status = 404, body = Problem)))]
pub async fn describe(State(app): State<App>, Path(id): Path<JobId>) -> Result<Json<JobView>, Refusal> {
    let mut job = view(&app, id, Detail::Whole).await?;
    if job.state == JobState::Queued {
        let foretold = app.farm.ask(|answer| Ask::Eta { jobs: vec![id], answer }).await?.pop();
        (job.waiting, job.eta) = foretold.map_or((job.waiting, None), |one| (one.waiting, one.eta));
    }
    Ok(Json(job))
}

/// Takes a job back. One that is over stays as it is.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView), (status = 404, body = Problem)))]
pub async fn cancel(State(app): State<App>, Path(id): Path<JobId>) -> Result<Json<JobView>, Refusal> {
    if !app.farm.snapshot().jobs.contains_key(&id) && archived(&app, id).await?.is_none() {
        return Err(unknown(id));
    }
    app.farm.tell(vec![Event::JobCancelled { job: id }]).await?;
    Ok(Json(view(&app, id, Detail::Short).await?))
}

/// Says why a job waits, phone by phone.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/explain", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = Explanation), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn explain(State(app): State<App>, Path(id): Path<JobId>) -> Result<Json<Explanation>, Refusal> {
    let explanation = app.farm.ask(|answer| Ask::Explain { job: id, answer }).await?;
    match explanation {
        Some(explanation) => Ok(Json(explanation)),
        None => Err(not_waiting(&app, id).await),
    }
}

/// Why nothing is said of a job's waiting.
pub(crate) async fn not_waiting(app: &App, id: JobId) -> Refusal {
    let state = match view(app, id, Detail::Short).await {
        Ok(job) => job.state,
        Err(refusal) => return refusal,
    };
    let words = match &state {
        JobState::Queued => "has just begun to wait; ask again".to_owned(),
        JobState::Running { phone, .. } => format!("does not wait: it runs on phone {phone}"),
        JobState::Ended { outcome, .. } => format!("does not wait: it is {}", outcome.as_str()),
    };
    Refusal::new(StatusCode::CONFLICT, "not-waiting", "The job does not wait", format!("{id} {words}"))
}

/// How much of a job is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Without what the cases showed.
    Short,
    /// With it: the reports are read from disk.
    Whole,
}

/// A job for readers, with why it waits.
pub(crate) async fn view(app: &App, id: JobId, detail: Detail) -> Result<JobView, Refusal> {
    let (snapshot, blobs) = (app.farm.snapshot(), app.blobs.clone());
    let job = match snapshot.jobs.get(&id) {
        Some(job) => job.clone(),
        None => Arc::new(archived(app, id).await?.ok_or_else(|| unknown(id))?),
    };
    let mut view = match detail {
        Detail::Short => snapshot.view(&job, |_| Vec::new()),
        Detail::Whole => {
            let reports = small_reports(app, &job).await?;
            let view = move || snapshot.view(&job, |attempt| cases_of(&reports, &blobs, attempt));
            off_the_runtime(move || Ok(view())).await?
        }
    };
    with_reasons(app, std::slice::from_mut(&mut view)).await?;
    Ok(view)
}

/// A job that is over and no longer in the picture.
async fn archived(app: &App, id: JobId) -> Result<Option<JobRecord>, Refusal> {
    Ok(app.farm.archive.job(id).await?)
}

/// Those reports of a job's attempts that are in the store.
async fn small_reports(app: &App, job: &JobRecord) -> Result<BTreeMap<BlobHash, Vec<u8>>, Refusal> {
    let mut reports = BTreeMap::new();
    for hash in job.attempts.iter().filter_map(|attempt| attempt.ended.as_ref()?.report) {
        reports.extend(app.farm.archive.report(hash).await?.map(|bytes| (hash, bytes)));
    }
    Ok(reports)
}

/// What the cases of an attempt showed, from its report; nothing while there is none.
fn cases_of(
    reports: &BTreeMap<BlobHash, Vec<u8>>,
    blobs: &crate::blobs::Blobs,
    attempt: &AttemptRecord,
) -> Vec<CaseResult> {
    let report = attempt.ended.as_ref().and_then(|ended| ended.report);
    let small = report.and_then(|report| reports.get(&report).cloned());
    let bytes = small.or_else(|| report.and_then(|report| blobs.read(&report).ok().flatten()));
    let report: Option<AttemptReport> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    report.map(|report| report.cases).unwrap_or_default()
}

pub(crate) fn unknown(id: JobId) -> Refusal {
    Refusal::not_found(format!("job {id}"), "`holdfast job list` shows what there is")
}
