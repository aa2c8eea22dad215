//! All routes together, with limits, headers and the OpenAPI document that is made from them.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use super::state::App;
use super::{
    agents, audit, builds, cases, changes, config, crashes, groups, health, jobs, notices, owners, phones,
    plan, pools, queue, racks, schedules, sources,
};
use crate::dashboard;

/// JSON bodies of people and programs, bytes: the largest job is far below.
const JSON_BYTES_MAX: usize = 256 * 1024;

/// A sync request, bytes: a full rack with 64 entries of 1,000 launches each.
const SYNC_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "A farm of iPhones: builds and jobs in, outcomes and crashes out. Errors are RFC 9457 problems.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "builds", description = "What is tested"),
        (name = "jobs", description = "Run these cases on this build"),
        (name = "phones", description = "Where they are and how they do"),
        (name = "racks", description = "The computers that phones are plugged into"),
        (name = "crashes", description = "Report files taken from phones"),
        (name = "cases", description = "What can be run"),
        (name = "pools", description = "Which phones serve which classes"),
        (name = "schedules", description = "Jobs that the calendar submits"),
        (name = "owners", description = "Shares, limits and what is used of them"),
        (name = "config", description = "The configuration in force"),
        (name = "changes", description = "What changed, as it changes"),
        (name = "health", description = "Whether the daemon is well"),
        (name = "agents", description = "For agents alone"),
    )
)]
struct Document;

/// Everything that is served.
pub fn router(app: App) -> Router {
    let (api, document) = documented().split_for_parts();
    let document = Arc::new(document);
    let openapi = get(move || {
        let document = document.clone();
        async move { Json((*document).clone()) }
    });
    api.route("/api/openapi.json", openapi)
        .merge(dashboard::routes(Arc::new(app.clone()), app.stopping.clone()))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        // The first is the outermost. All in one: every layer of its own would cost each request a box.
        .layer((
            CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
                Refusal::trouble("the daemon made a mistake with this request; its log has more")
                    .into_response()
            }),
            middleware::from_fn_with_state(app.clone(), guarded),
        ))
        .with_state(app)
}

/// The OpenAPI document alone.
pub fn document() -> utoipa::openapi::OpenApi {
    documented().split_for_parts().1
}

fn documented() -> OpenApiRouter<App> {
    let uploads = OpenApiRouter::new()
        .routes(routes!(builds::upload, builds::list))
        .routes(routes!(builds::symbols))
        .routes(routes!(crashes::list, groups::import))
        .routes(routes!(agents::head_blob, agents::get_blob, agents::put_blob))
        .layer(DefaultBodyLimit::disable());
    let syncs =
        OpenApiRouter::new().routes(routes!(agents::sync)).layer(DefaultBodyLimit::max(SYNC_BYTES_MAX));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(builds::describe))
        .routes(routes!(jobs::submit, jobs::list))
        .routes(routes!(jobs::describe))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::explain))
        .routes(routes!(plan::plan))
        .routes(routes!(plan::eta))
        .routes(routes!(queue::show))
        .routes(routes!(phones::list))
        .routes(routes!(phones::describe))
        .routes(routes!(phones::quarantine))
        .routes(routes!(phones::release))
        .routes(routes!(phones::take))
        .routes(routes!(phones::force_release))
        .routes(routes!(audit::list))
        .routes(routes!(racks::list))
        .routes(routes!(cases::list))
        .routes(routes!(groups::list))
        .routes(routes!(groups::describe, groups::act))
        .routes(routes!(groups::crashes))
        .routes(routes!(groups::suggest))
        .routes(routes!(notices::list))
        .routes(routes!(notices::test))
        .routes(routes!(notices::receivers))
        .routes(routes!(crashes::describe))
        .routes(routes!(crashes::raw))
        .routes(routes!(crashes::page))
        .routes(routes!(crashes::text))
        .routes(routes!(crashes::symbolicate))
        .routes(routes!(changes::stream))
        .routes(routes!(pools::list))
        .routes(routes!(pools::choose, pools::go_back))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::run))
        .routes(routes!(owners::list))
        .routes(routes!(owners::limit, owners::go_back))
        .routes(routes!(config::show))
        .routes(routes!(config::reload))
        .routes(routes!(sources::show))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::version))
        .routes(routes!(health::metrics))
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .merge(uploads)
        .merge(syncs)
}

async fn unknown_path(request: Request) -> Refusal {
    Refusal::not_found(format!("path {}", request.uri().path()), "/api/openapi.json lists what there is")
}

async fn wrong_method(request: Request) -> Refusal {
    let detail = format!(
        "{} does not take {}; /api/openapi.json lists what it takes",
        request.uri().path(),
        request.method()
    );
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not taken", detail)
}

/// Every request has its deadline, and every answer the headers that make it safe.
async fn guarded(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = in_time(&app, request, next).await;
    make_safe(response.headers_mut());
    response
}

/// Requests have a deadline, but for those that take long by their nature: each of these has its own.
async fn in_time(app: &App, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let long = path.starts_with("/agent/") || path.ends_with("/changes") || path.ends_with("/events");
    let upload = path.starts_with("/api/v1/builds") && request.method() != axum::http::Method::GET;
    if long || upload {
        return next.run(request).await;
    }
    match tokio::time::timeout(app.timeouts.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail =
                format!("the request took more than {} s; send it again", app.timeouts.request.as_secs());
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too-slow", "It took too long", detail)
                .into_response()
        }
    }
}

/// Headers that keep what came from phones and uploaders from being run by a browser.
fn make_safe(headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
}
