//! Addresses of the pages, their headers, and what a page says when there is nothing to show.

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use holdfast_wire::id::{CrashId, GroupId, JobId, Udid};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::assets::{self, Asset, version};
use super::events::{View, stream};
use super::picture::{Pictures, Unreadable};
use super::shell::{Frame, still};
use super::words::shown;
use super::{
    crash_list_page, crash_page, farm_page, group_page, job_page, notices_page, phone_page, queue_page,
};
use crate::older::Older;

/// Pages that may be open at once: every wall and every desk of a large team.
const READERS_MAX: usize = 256;

/// What pages may load: our own files and nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Shared<P> {
    pictures: Arc<P>,
    readers: Arc<Semaphore>,
    stop: CancellationToken,
}

impl<P> Clone for Shared<P> {
    fn clone(&self) -> Self {
        Self { pictures: self.pictures.clone(), readers: self.readers.clone(), stop: self.stop.clone() }
    }
}

/// All pages, to be merged into the router of a server with whatever state. Streams end when `stop` is cancelled.
pub fn routes<P: Pictures, S>(pictures: Arc<P>, stop: CancellationToken) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let shared = Shared { pictures, readers: Arc::new(Semaphore::new(READERS_MAX)), stop };
    let files = assets::ALL.into_iter().fold(Router::new(), |router, asset| {
        router.route(
            asset.path,
            get(async move |query: Query<Version>, headers: HeaderMap| file(asset, &query, &headers)),
        )
    });
    files
        .route("/", get(farm::<P>))
        .route("/queue", get(queue::<P>))
        .route("/jobs/{id}", get(job::<P>))
        .route("/phones/{udid}", get(phone::<P>))
        .route("/crashes", get(crashes::<P>))
        .route("/crashes/{id}", get(crash::<P>))
        .route("/groups", get(groups::<P>))
        .route("/groups/{id}", get(group::<P>))
        .route("/notices", get(notices::<P>))
        .route(farm_page::EVENTS, get(events::<P>))
        .with_state(shared)
        .layer(map_response(with_policy))
}

async fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Debug, Deserialize)]
struct Version {
    v: Option<String>,
}

/// A file. Under the address with its version it may be kept for ever, else it has to be asked for each time.
fn file(asset: Asset, asked: &Version, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", version());
    let keep = if asked.v.as_deref() == Some(version()) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let named = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, keep)];
    let has = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if has.is_some_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
        return (StatusCode::NOT_MODIFIED, named).into_response();
    }
    (named, [(header::CONTENT_TYPE, asset.media)], asset.text).into_response()
}

async fn farm<P: Pictures>(State(shared): State<Shared<P>>) -> Markup {
    farm_page::render_page(&shared.pictures.picture().await)
}

async fn queue<P: Pictures>(State(shared): State<Shared<P>>) -> Response {
    match shared.pictures.queue().await {
        Ok(page) => queue_page::render(&page).into_response(),
        Err(error) => unreadable(&*shared.pictures, &error).await,
    }
}

async fn job<P: Pictures>(State(shared): State<Shared<P>>, Path(id): Path<String>) -> Response {
    let pictures = &*shared.pictures;
    let Ok(parsed) = id.parse::<JobId>() else { return nothing(pictures, "job", &id).await };
    match pictures.job(parsed).await {
        Ok(Some(page)) => job_page::render(&page, pictures.now()).into_response(),
        Ok(None) => nothing(pictures, "job", &id).await,
        Err(error) => unreadable(pictures, &error).await,
    }
}

async fn phone<P: Pictures>(State(shared): State<Shared<P>>, Path(udid): Path<String>) -> Response {
    let pictures = &*shared.pictures;
    let Ok(parsed) = udid.parse::<Udid>() else { return nothing(pictures, "phone", &udid).await };
    match pictures.phone(&parsed).await {
        Ok(Some(page)) => phone_page::render(&page, pictures.now()).into_response(),
        Ok(None) => nothing(pictures, "phone", &udid).await,
        Err(error) => unreadable(pictures, &error).await,
    }
}

async fn crash<P: Pictures>(State(shared): State<Shared<P>>, Path(id): Path<String>) -> Response {
    let pictures = &*shared.pictures;
    let Ok(parsed) = id.parse::<CrashId>() else { return nothing(pictures, "crash", &id).await };
    match pictures.crash(parsed).await {
        Ok(Some(page)) => crash_page::render(&page, pictures.now()).into_response(),
        Ok(None) => nothing(pictures, "crash", &id).await,
        Err(error) => unreadable(pictures, &error).await,
    }
}

/// Where a page of a list begins.
#[derive(Debug, Deserialize)]
struct From {
    older: Option<String>,
}

impl From {
    /// The place; none at the beginning.
    ///
    /// # Errors
    /// The text that is none.
    fn place<K: FromStr>(&self) -> Result<Option<Older<K>>, &str> {
        let Some(text) = self.older.as_deref() else { return Ok(None) };
        text.parse().map(Some).map_err(|_| text)
    }
}

async fn crashes<P: Pictures>(State(shared): State<Shared<P>>, Query(from): Query<From>) -> Response {
    let pictures = &*shared.pictures;
    match from.place() {
        Ok(place) => crash_list_page::render(&pictures.crashes(place).await, pictures.now()).into_response(),
        Err(text) => nothing(pictures, "page of crashes", text).await,
    }
}

async fn groups<P: Pictures>(State(shared): State<Shared<P>>, Query(from): Query<From>) -> Response {
    let pictures = &*shared.pictures;
    match from.place() {
        Ok(place) => group_page::render_all(&pictures.groups(place).await, pictures.now()).into_response(),
        Err(text) => nothing(pictures, "page of crash groups", text).await,
    }
}

async fn group<P: Pictures>(State(shared): State<Shared<P>>, Path(id): Path<String>) -> Response {
    let pictures = &*shared.pictures;
    let Ok(parsed) = id.parse::<GroupId>() else { return nothing(pictures, "crash group", &id).await };
    match pictures.group(&parsed).await {
        Some(page) => group_page::render(&page, pictures.now()).into_response(),
        None => nothing(pictures, "crash group", &id).await,
    }
}

/// About which crash group alone.
#[derive(Debug, Deserialize)]
struct About {
    group: Option<String>,
}

async fn notices<P: Pictures>(State(shared): State<Shared<P>>, Query(about): Query<About>) -> Response {
    let pictures = &*shared.pictures;
    let group = match about.group.as_deref().map(str::parse::<GroupId>) {
        Some(Ok(group)) => Some(group),
        Some(Err(_)) => {
            return nothing(pictures, "crash group", &about.group.unwrap_or_default()).await;
        }
        None => None,
    };
    match pictures.notices(group).await {
        Ok(page) => notices_page::render(&page, pictures.picture().await.now).into_response(),
        Err(error) => unreadable(pictures, &error).await,
    }
}

async fn nothing<P: Pictures>(pictures: &P, what: &str, name: &str) -> Response {
    let text = format!("There is no {what} {} in this farm", shown(name));
    (StatusCode::NOT_FOUND, message(pictures, &text, "The first page shows what there is.").await)
        .into_response()
}

async fn unreadable<P: Pictures>(pictures: &P, error: &Unreadable) -> Response {
    tracing::warn!(error = error as &dyn std::error::Error, "a page cannot be made");
    let page = message(pictures, "This page cannot be shown now", &error.to_string()).await;
    (StatusCode::SERVICE_UNAVAILABLE, page).into_response()
}

async fn message<P: Pictures>(pictures: &P, title: &str, words: &str) -> Markup {
    let picture = pictures.picture().await;
    let frame = Frame { title, class: "one", now: picture.now, simulated: picture.simulated };
    still(
        frame,
        html! { section.head { h1 { (title) } p { (words) } p { a href="/" { "To the first page" } } } },
    )
}

/// A page that is about no one thing.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    Farm,
    Queue,
}

/// Which page asks, and what it has seen.
#[derive(Debug, Deserialize)]
struct Asked {
    job: Option<JobId>,
    phone: Option<Udid>,
    view: Option<Named>,
    seen: Option<String>,
}

async fn events<P: Pictures>(
    State(shared): State<Shared<P>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let view = match (asked.job, asked.phone, asked.view) {
        (Some(job), _, _) => View::Job(job),
        (None, Some(udid), _) => View::Phone(udid),
        (None, None, Some(Named::Queue)) => View::Queue,
        (None, None, Some(Named::Farm) | None) => View::Farm,
    };
    let Ok(place) = shared.readers.clone().try_acquire_owned() else {
        let words = "too many pages are open; close some, or wait: this one tries again by itself";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], words).into_response();
    };
    // The browser's own memory is newer than the address that the page was loaded with.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let seen = last.filter(|last| !last.is_empty()).map(str::to_owned).or(asked.seen);
    Sse::new(stream(shared.pictures, view, seen, shared.stop, place)).into_response()
}
