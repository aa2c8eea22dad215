//! What would happen to a job that is not submitted, and when one that waits is expected to start.

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::{JobEta, JobRequest, Plan, Problem};
use holdfast_wire::id::JobId;

use super::jobs::{not_waiting, spec_of};
use super::problem::{Body, Path, Refusal};
use super::state::App;
use crate::farm::Ask;

/// Says what would happen if this job were submitted now. Nothing is kept.
#[utoipa::path(post, path = "/api/v1/plan", tag = "jobs", request_body = JobRequest,
    responses((status = 200, body = Plan), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn plan(State(app): State<App>, body: Body<JobRequest>) -> Result<Json<Plan>, Refusal> {
    let spec = Box::new(spec_of(&app, &app.farm.snapshot(), body.value)?);
    Ok(Json(app.farm.ask(|answer| Ask::Plan { spec, answer }).await?))
}

/// Says when a waiting job is expected to start.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/eta", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobEta), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn eta(State(app): State<App>, Path(id): Path<JobId>) -> Result<Json<JobEta>, Refusal> {
    let foretold = app.farm.ask(|answer| Ask::Eta { jobs: vec![id], answer }).await?;
    match foretold.into_iter().next() {
        Some(foretold) => Ok(Json(foretold)),
        None => Err(not_waiting(&app, id).await),
    }
}
