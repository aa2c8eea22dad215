//! What agents say and fetch: sync by version, held back until there is news, and blobs by hash. Nothing is
//! confirmed that is not on disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body as RawBody;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use holdfast_scheduler::Event;
use holdfast_wire::api::{CrashView, Problem};
use holdfast_wire::crash::{CRASH_LIMITS_MAX, CrashOrigin};
use holdfast_wire::id::{BlobHash, EntryId, RackId, StartId};
use holdfast_wire::outcome::{AttemptEnd, AttemptReport};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{
    ENTRIES_PER_SYNC_MAX, OutboxEntry, OutboxItem, PHONES_PER_RACK_MAX, PROTOCOL, RefusedEntry, SyncReply,
    SyncRequest, Version,
};

use super::answer::Answer;
use super::problem::{Body, Path, Refusal};
use super::state::App;
use crate::blobs::Presence;
use crate::farm::{AgentSpoke, Ask, Verdict, Went};
use crate::records::REPORT_BYTES_MAX;

/// Longest text of an agent that a record keeps, in characters: a job's record has one for every attempt.
const TEXT_CHARS_MAX: usize = 300;

/// Most labels of one phone.
const LABELS_MAX: usize = 32;

/// Earlier starts of an agent that are remembered: a request that is older than that many deaths will not come.
const STARTS_REMEMBERED: usize = 8;

/// How long a request of an earlier start may be on its way: longer than any request may last. After that it comes from
/// an agent that lives, beside another for the same rack.
const LATE_FOR: Duration = Duration::from_secs(120);

/// What is known of each agent between its requests.
#[derive(Debug, Default)]
pub struct Agents {
    seats: Mutex<BTreeMap<RackId, Seat>>,
}

#[derive(Debug, Clone)]
struct Seat {
    start: StartId,
    /// Starts before that one, the latest last, and when each was followed by another: what they had to say is out of
    /// date.
    before: VecDeque<(StartId, Instant)>,
    /// The newest request of that start.
    newest: u64,
    /// The version of the phone reports that has been taken in from that start.
    phones: Version,
}

/// Whether a request is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Newest,
    Overtaken,
}

impl Agents {
    /// Notes a request. One that arrives behind a newer one of the same start, or behind a newer start, is not to be
    /// looked at: it may show a phone free that has work again by now.
    fn note(&self, request: &SyncRequest) -> Turn {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || request.agent_start.clone();
        let new = |before| Seat { start: start(), before, newest: 0, phones: Version::default() };
        let seat = seats.entry(request.rack.clone()).or_insert_with(|| new(VecDeque::new()));
        seat.before.retain(|(_, followed_at)| followed_at.elapsed() < LATE_FOR);
        if seat.before.iter().any(|(start, _)| *start == request.agent_start) {
            return Turn::Overtaken;
        }
        if seat.start != request.agent_start {
            let mut before = std::mem::take(&mut seat.before);
            before.push_back((seat.start.clone(), Instant::now()));
            if before.len() > STARTS_REMEMBERED {
                before.pop_front();
            }
            *seat = new(before);
        }
        if request.number <= seat.newest {
            return Turn::Overtaken;
        }
        seat.newest = request.number;
        Turn::Newest
    }

    /// The phone reports of the request are in the farm.
    fn took(&self, request: &SyncRequest) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats.get_mut(&request.rack).filter(|seat| seat.start == request.agent_start);
        if let Some(seat) = seat {
            seat.phones = seat.phones.max(request.phones_version);
        }
    }

    /// The version of phone reports that may be confirmed.
    fn phones_seen(&self, rack: &RackId) -> Version {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.get(rack).map_or(Version::default(), |seat| seat.phones)
    }
}

/// One request of an agent: everything it has to say, answered with what changed for it.
#[utoipa::path(post, path = "/agent/v1/sync", tag = "agents", request_body = SyncRequest,
    responses((status = 200, body = SyncReply), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn sync(State(app): State<App>, body: Body<SyncRequest>) -> Result<Answer<SyncReply>, Refusal> {
    let mut request = body.value;
    check(&request)?;
    if app.agents.note(&request) == Turn::Overtaken {
        let detail =
            format!("request {} came behind a newer one of this agent; it is not looked at", request.number);
        return Err(Refusal::new(StatusCode::CONFLICT, "overtaken", "The request was overtaken", detail));
    }
    // Versions of another start of the daemon mean nothing here: everything is said again.
    let same_start = request.daemon_start.as_ref() == Some(&app.start);
    let seen = if same_start { request.orders_seen } else { Version::default() };
    // An agent that knows another start sends only what changed since then, so its reports are not all there are.
    let (confirmed, refused) = take_in(&app, &mut request).await?;
    if same_start || request.daemon_start.is_none() {
        app.agents.took(&request);
    }
    let news = !confirmed.is_empty() || !refused.is_empty() || !request.phones.is_empty() || !same_start;
    let mut orders = app.farm.orders.follow(&request.rack);
    if !news {
        let wait = Duration::from_millis(request.wait_ms).min(app.timeouts.long_poll);
        tokio::select! {
            _changed = orders.wait_for(|orders| orders.version() > seen) => {}
            () = tokio::time::sleep(wait) => {}
            () = app.stopping.cancelled() => {}
        }
    }
    let orders = orders.borrow();
    Ok(Answer(SyncReply {
        daemon_start: app.start.clone(),
        now: app.clock.now(),
        orders_version: orders.version(),
        orders: orders.since(seen, request.protocol),
        phones_seen: app.agents.phones_seen(&request.rack),
        confirmed,
        refused,
    }))
}

fn check(request: &SyncRequest) -> Result<(), Refusal> {
    if request.protocol > PROTOCOL {
        let detail = format!(
            "the agent speaks protocol {} and this daemon up to {PROTOCOL}; upgrade the daemon first",
            request.protocol
        );
        return Err(Refusal::new(StatusCode::CONFLICT, "newer-protocol", "The agent is newer", detail));
    }
    if request.phones.len() > PHONES_PER_RACK_MAX {
        return Err(Refusal::mistake("phones", format!("a rack has at most {PHONES_PER_RACK_MAX} phones")));
    }
    if request.entries.len() > ENTRIES_PER_SYNC_MAX {
        let what = format!("at most {ENTRIES_PER_SYNC_MAX} at once; send the rest with the next request");
        return Err(Refusal::mistake("entries", what));
    }
    Ok(())
}

/// Takes in what an agent says, and answers once all of it is on disk. What it holds and what is idle is taken out.
async fn take_in(app: &App, request: &mut SyncRequest) -> Result<(Vec<EntryId>, Vec<RefusedEntry>), Refusal> {
    let rack = request.rack.clone();
    let mut events: Vec<Event> = Vec::new();
    let report = |report: &PhoneReport| Event::PhoneReported {
        rack: rack.clone(),
        report: Box::new(bounded(report.clone())),
    };
    events.extend(request.phones.iter().map(report));
    let (mut crashes, mut results) = (Vec::new(), Vec::new());
    let (mut confirmed, mut refused, mut reports) = (Vec::new(), Vec::new(), Vec::new());
    let known = app.farm.snapshot();
    for OutboxEntry { id, what } in &request.entries {
        let taken = match what {
            OutboxItem::AttemptEnded { report } => keep_report(app, report, &mut reports).await.map(|kept| {
                results.extend(verdicts(report));
                events.push(ended(&rack, report, kept));
            }),
            // What readers see is on disk. Said again, because a confirmation was lost, it need not be read again.
            OutboxItem::CrashTaken { origin } if known.crashes.contains_key(&origin.id) => Ok(()),
            OutboxItem::CrashTaken { origin } => {
                read_crash(app, origin).await.map(|crash| crashes.push(crash))
            }
        };
        match taken {
            Ok(()) => confirmed.push(id.clone()),
            // The daemon's own trouble passes, and the agent may yet put the bytes: this entry is said again, and the
            // rest of the request counts, or one entry could make a whole rack fall silent.
            Err(refusal) if refusal.0.status >= 500 => {
                tracing::warn!(rack = %request.rack, entry = %id, reason = refusal.0.detail, "cannot take an entry yet");
            }
            Err(refusal) => refused.push(RefusedEntry { id: id.clone(), reason: refusal.0.detail }),
        }
    }
    events.push(Event::RackSynced {
        rack: rack.clone(),
        held: std::mem::take(&mut request.held),
        idle: std::mem::take(&mut request.idle),
    });
    let agent_version = request.agent_version.clone();
    let spoke = AgentSpoke { rack, agent_version, events, crashes, results, reports };
    app.farm.ask(|answer| Ask::Agent { spoke: Box::new(spoke), answer }).await?;
    app.farm.show_progress(std::mem::take(&mut request.progress));
    Ok((confirmed, refused))
}

fn ended(rack: &RackId, report: &AttemptReport, kept: BlobHash) -> Event {
    Event::AttemptEnded {
        rack: rack.clone(),
        attempt: report.attempt,
        phone: report.phone.clone(),
        lease: report.lease,
        end: shortened(report.end.clone()),
        report: kept,
    }
}

/// What the cases of an attempt showed, a word for each.
fn verdicts(report: &AttemptReport) -> impl Iterator<Item = Verdict> {
    report.cases.iter().map(|case| Verdict {
        attempt: report.attempt,
        case: case.case.clone(),
        went: if case.failure.is_none() { Went::Well } else { Went::Badly },
    })
}

/// A phone's report whose texts are short enough for its record, whatever the phone is called.
fn bounded(mut report: PhoneReport) -> PhoneReport {
    let facts = &mut report.facts;
    for text in
        [&mut facts.name, &mut facts.product_type, &mut facts.model, &mut facts.os_build, &mut report.reason]
    {
        *text = cut(std::mem::take(text));
    }
    for text in [&mut facts.chip, &mut facts.region].into_iter().flatten() {
        *text = cut(std::mem::take(text));
    }
    facts.labels.truncate(LABELS_MAX);
    facts.crash_limits.truncate(CRASH_LIMITS_MAX);
    for text in facts.crash_limits.iter_mut().flat_map(|one| [&mut one.bug_type, &mut one.process]) {
        *text = cut(std::mem::take(text));
    }
    report
}

fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The end of an attempt with a reason that fits the job's record; the report has the whole of it.
fn shortened(end: AttemptEnd) -> AttemptEnd {
    match end {
        AttemptEnd::Failed { blame, step, reason } => AttemptEnd::Failed { blame, step, reason: cut(reason) },
        AttemptEnd::Yielded { cases_done, failure } => {
            AttemptEnd::Yielded { cases_done, failure: failure.map(cut) }
        }
        AttemptEnd::Passed | AttemptEnd::Revoked => end,
    }
}

/// Keeps a whole report under its hash: the brain needs only its end. A small one is recorded in the turn that takes
/// its end in, a larger one is a blob from now on.
async fn keep_report(
    app: &App,
    report: &AttemptReport,
    small: &mut Vec<(BlobHash, Vec<u8>)>,
) -> Result<BlobHash, Refusal> {
    let bytes = serde_json::to_vec(report).map_err(|error| Refusal::trouble(error.to_string()))?;
    if bytes.len() <= REPORT_BYTES_MAX {
        let hash = BlobHash::new(*blake3::hash(&bytes).as_bytes());
        small.push((hash, bytes));
        return Ok(hash);
    }
    let blobs = app.blobs.clone();
    off_the_runtime(move || Ok(blobs.keep(&bytes)?.hash)).await
}

/// Reads a crash file that is on disk. One that cannot be read is kept and listed as such.
async fn read_crash(app: &App, origin: &CrashOrigin) -> Result<CrashView, Refusal> {
    let read = crate::crashes::read(&app.blobs, &app.symbols, origin.id).await?.ok_or_else(|| {
        // Not the agent's mistake for good: it puts the bytes and says the entry again.
        let detail = format!("crash {} is not here; put its bytes under /agent/v1/blobs first", origin.id);
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "blob-missing", "The bytes are not here", detail)
    })?;
    let (size_bytes, roots) = (read.bytes.len() as u64, &app.symbols.roots);
    let view = crate::crashes::view(origin.clone().into(), size_bytes, &read.report, &app.signing, roots);
    Ok(CrashView { case: origin.case.clone(), ..view })
}

/// Whether the bytes of a hash are here.
#[utoipa::path(head, path = "/agent/v1/blobs/{hash}", tag = "agents", params(("hash" = String, Path)),
    responses((status = 200), (status = 404)))]
pub async fn head_blob(State(app): State<App>, Path(hash): Path<BlobHash>) -> Result<Response, Refusal> {
    match app.blobs.size(&hash)? {
        Some(size) => Ok(([(header::CONTENT_LENGTH, size.to_string())], RawBody::empty()).into_response()),
        None => Err(missing(&hash)),
    }
}

/// The bytes of a hash.
#[utoipa::path(get, path = "/agent/v1/blobs/{hash}", tag = "agents", params(("hash" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 404, body = Problem)))]
pub async fn get_blob(State(app): State<App>, Path(hash): Path<BlobHash>) -> Result<Response, Refusal> {
    stream_blob(&app, &hash).await
}

/// A blob as a streamed answer that no browser will ever run.
pub(crate) async fn stream_blob(app: &App, hash: &BlobHash) -> Result<Response, Refusal> {
    let path = app.blobs.path(hash);
    let file = match tokio::fs::File::open(&path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing(hash)),
        Err(error) => return Err(Refusal::trouble(format!("cannot open blob {}: {error}", hash.short()))),
    };
    let size = file.metadata().await.map_err(|error| Refusal::trouble(error.to_string()))?.len();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "sandbox".to_owned()),
    ];
    Ok((headers, RawBody::from_stream(tokio_util::io::ReaderStream::new(file))).into_response())
}

/// Keeps bytes under their hash.
#[utoipa::path(put, path = "/agent/v1/blobs/{hash}", tag = "agents", params(("hash" = String, Path)),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200), (status = 201), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 507, body = Problem)))]
pub async fn put_blob(
    State(app): State<App>,
    Path(hash): Path<BlobHash>,
    body: RawBody,
) -> Result<StatusCode, Refusal> {
    let stream = super::builds::patient(body, app.timeouts.upload_idle);
    let kept = app.blobs.keep_stream(stream, app.limits.blob_bytes_max, Some(hash)).await?;
    Ok(match kept.presence {
        Presence::New => StatusCode::CREATED,
        Presence::Known => StatusCode::OK,
    })
}

fn missing(hash: &BlobHash) -> Refusal {
    Refusal::not_found(format!("blob {}", hash.short()), "it was never put, or has been trimmed")
}

/// Runs what blocks on the disk or takes its time outside of the async threads.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::trouble(format!("the work stopped: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    fn request(start: &str, number: u64) -> SyncRequest {
        SyncRequest {
            protocol: PROTOCOL,
            rack: "rack-1".parse().unwrap(),
            agent_start: start.parse().unwrap(),
            number,
            agent_version: String::new(),
            daemon_start: None,
            orders_seen: Version::default(),
            phones_version: Version::default(),
            phones: vec![],
            held: vec![],
            idle: vec![],
            entries: vec![],
            progress: vec![],
            wait_ms: 0,
        }
    }

    #[test]
    fn what_comes_late_is_not_looked_at() {
        let agents = Agents::default();
        let turns = [
            ("one", 1, Turn::Newest),
            ("one", 3, Turn::Newest),
            ("one", 2, Turn::Overtaken),
            ("one", 3, Turn::Overtaken),
            ("two", 1, Turn::Newest),
            ("one", 4, Turn::Overtaken),
            ("two", 2, Turn::Newest),
        ];
        for (start, number, turn) in turns {
            assert_eq!(agents.note(&request(start, number)), turn, "request {number} of start {start}");
        }
    }
}
