//! Phones: list, describe, keep from work, let work again.

use axum::Json;
use axum::extract::State;
use holdfast_scheduler::Event;
use holdfast_wire::api::{Page, PhoneView, Problem};
use holdfast_wire::id::Udid;
use holdfast_wire::time::Time;
use serde::Deserialize;

use super::problem::{Body, Path, Refusal};
use super::state::App;
use crate::farm::Ask;

/// Longest reason for a quarantine, bytes: it stands on every page.
const REASON_BYTES_MAX: usize = 300;

/// Lists phones by rack and slot; the list is whole.
#[utoipa::path(get, path = "/api/v1/phones", tag = "phones", responses((status = 200, body = Page<PhoneView>)))]
pub async fn list(State(app): State<App>) -> Json<Page<PhoneView>> {
    Json(Page { items: app.farm.snapshot().phones().collect(), next_cursor: None })
}

/// Describes a phone.
#[utoipa::path(get, path = "/api/v1/phones/{udid}", tag = "phones", params(("udid" = String, Path)),
    responses((status = 200, body = PhoneView), (status = 404, body = Problem)))]
pub async fn describe(State(app): State<App>, Path(udid): Path<Udid>) -> Result<Json<PhoneView>, Refusal> {
    app.farm.snapshot().phone(&udid).map(Json).ok_or_else(|| unknown(&udid))
}

/// Why a phone is kept from work.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// Why, for people; up to 300 bytes.
    reason: String,
    /// Until when; until somebody releases it when left out.
    #[serde(default)]
    until: Option<Time>,
}

/// Keeps a phone from work. What it runs goes on to its end.
#[utoipa::path(post, path = "/api/v1/phones/{udid}/quarantine", tag = "phones", params(("udid" = String, Path)),
    request_body = Quarantine,
    responses((status = 200, body = PhoneView), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn quarantine(
    State(app): State<App>,
    Path(udid): Path<Udid>,
    body: Body<Quarantine>,
) -> Result<Json<PhoneView>, Refusal> {
    let Quarantine { reason, until } = body.value;
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Refusal::mistake("reason", format!("say why in 1 to {REASON_BYTES_MAX} bytes")));
    }
    let now = app.clock.now();
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(Refusal::mistake("until", format!("{until} is over already; it is {now}")));
    }
    tell(&app, udid.clone(), Event::PhoneQuarantined { phone: udid, reason, until }).await
}

/// Lets a phone work again.
#[utoipa::path(post, path = "/api/v1/phones/{udid}/release", tag = "phones", params(("udid" = String, Path)),
    responses((status = 200, body = PhoneView), (status = 404, body = Problem)))]
pub async fn release(State(app): State<App>, Path(udid): Path<Udid>) -> Result<Json<PhoneView>, Refusal> {
    tell(&app, udid.clone(), Event::PhoneReleased { phone: udid }).await
}

async fn tell(app: &App, udid: Udid, event: Event) -> Result<Json<PhoneView>, Refusal> {
    if app.farm.snapshot().phone(&udid).is_none() {
        return Err(unknown(&udid));
    }
    app.farm.ask(|answer| Ask::Tell { events: vec![event], answer }).await?;
    app.farm.snapshot().phone(&udid).map(Json).ok_or_else(|| unknown(&udid))
}

pub(crate) fn unknown(udid: &Udid) -> Refusal {
    Refusal::not_found(format!("phone {udid}"), "`holdfast phone list` shows what there is")
}
