//! Whether the daemon is well, what it is, and its metrics.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use holdfast_wire::time::Time;
use serde::Serialize;

use super::problem::Refusal;
use super::state::App;

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, content_type = "text/plain")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The daemon takes requests: the loop answers.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, content_type = "text/plain"), (status = 503)))]
pub async fn readyz(State(app): State<App>) -> Result<&'static str, Refusal> {
    app.farm.tell(Vec::new()).await?;
    Ok("ready\n")
}

/// What this daemon is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Version {
    name: &'static str,
    version: &'static str,
    /// The newest agents' protocol that is spoken.
    protocol: u32,
    /// The daemon's clock.
    now: Time,
}

/// What this daemon is, and its clock.
#[utoipa::path(get, path = "/version", tag = "health", responses((status = 200, body = Version)))]
pub async fn version(State(app): State<App>) -> Json<Version> {
    Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        protocol: holdfast_wire::sync::PROTOCOL,
        now: app.clock.now(),
    })
}

/// Metrics for Prometheus, worked out from the picture at the moment of asking.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let text = crate::metrics::text(&app.farm.snapshot(), &app.farm.meters)
        .map_err(|error| Refusal::trouble(format!("cannot write metrics: {error}")))?;
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    Ok((kind, text).into_response())
}
