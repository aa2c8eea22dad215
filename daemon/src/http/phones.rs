//! Phones: list, describe, keep from work, borrow, take away, let work again.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use holdfast_scheduler::Event;
use holdfast_wire::api::{Act, Page, PhoneView, Problem};
use holdfast_wire::id::{Owner, Udid};
use holdfast_wire::phone::PhoneState;
use holdfast_wire::time::Time;
use serde::Deserialize;

use super::problem::{Body, Maybe, Path, Refusal};
use super::state::App;
use crate::farm::{Ask, Deed};

/// Longest reason, bytes: it stands on every page.
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
    /// Who does it.
    #[serde(default)]
    by: Option<Owner>,
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
    let Quarantine { reason, until, by } = body.value;
    check_reason(&reason)?;
    let now = app.clock.now();
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(Refusal::mistake("until", format!("{until} is over already; it is {now}")));
    }
    let act = Act::PhoneQuarantined { phone: udid.clone(), until };
    let deed = Deed { by, act, reason: Some(reason.clone()) };
    let event = Event::PhoneQuarantined { phone: udid.clone(), reason, until };
    tell(&app, udid, vec![event], deed).await
}

/// Who borrows a phone.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// Who.
    by: Owner,
    /// What for; up to 300 bytes.
    reason: String,
    /// For how long, seconds; until it is given back when left out.
    #[serde(default)]
    for_s: Option<u64>,
    /// Whether what runs on it is ended: its job then waits again.
    #[serde(default)]
    now: bool,
}

/// Borrows a phone: it gets no work until it is given back. What it runs goes on to its end, unless it is wanted now.
#[utoipa::path(post, path = "/api/v1/phones/{udid}/take", tag = "phones", params(("udid" = String, Path)),
    request_body = Take,
    responses((status = 200, body = PhoneView), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn take(
    State(app): State<App>,
    Path(udid): Path<Udid>,
    body: Body<Take>,
) -> Result<Json<PhoneView>, Refusal> {
    let Take { by, reason, for_s, now } = body.value;
    check_reason(&reason)?;
    if for_s == Some(0) {
        return Err(Refusal::mistake(
            "for_s",
            "is at least 1; leave it out to keep the phone until you give it back",
        ));
    }
    let until = for_s.map(|seconds| app.clock.now().after(Duration::from_secs(seconds)));
    let phone = udid.clone();
    let act = Act::PhoneTaken { phone: phone.clone(), until };
    let deed = Deed { by: Some(by.clone()), act, reason: Some(reason.clone()) };
    let mut events = Vec::new();
    events.push(Event::PhoneTaken { phone: phone.clone(), by, reason: reason.clone(), until });
    events.extend(now.then_some(Event::LeaseRevoked { phone, reason }));
    tell(&app, udid, events, deed).await
}

/// Who gives a phone back.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Who.
    #[serde(default)]
    by: Option<Owner>,
}

/// Lets a phone work again: out of quarantine, or given back by who took it.
#[utoipa::path(post, path = "/api/v1/phones/{udid}/release", tag = "phones", params(("udid" = String, Path)),
    request_body = Option<Release>,
    responses((status = 200, body = PhoneView), (status = 404, body = Problem)))]
pub async fn release(
    State(app): State<App>,
    Path(udid): Path<Udid>,
    body: Maybe<Release>,
) -> Result<Json<PhoneView>, Refusal> {
    let by = body.0.unwrap_or_default().by;
    let deed = Deed { by, act: Act::PhoneReleased { phone: udid.clone() }, reason: None };
    tell(&app, udid.clone(), vec![Event::PhoneReleased { phone: udid }], deed).await
}

/// Who takes a phone away from what runs on it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForceRelease {
    /// Who.
    by: Owner,
    /// Why; up to 300 bytes.
    reason: String,
}

/// Takes a phone away from what runs on it: the attempt is over, its job waits again, and nobody is blamed.
#[utoipa::path(post, path = "/api/v1/phones/{udid}/force-release", tag = "phones", params(("udid" = String, Path)),
    request_body = ForceRelease,
    responses((status = 200, body = PhoneView), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn force_release(
    State(app): State<App>,
    Path(udid): Path<Udid>,
    body: Body<ForceRelease>,
) -> Result<Json<PhoneView>, Refusal> {
    let ForceRelease { by, reason } = body.value;
    check_reason(&reason)?;
    let attempt = app.farm.snapshot().phone(&udid).and_then(|phone| match phone.state {
        PhoneState::Busy { attempt } | PhoneState::Releasing { attempt } => Some(attempt),
        _ => None,
    });
    let act = Act::LeaseRevoked { phone: udid.clone(), attempt };
    let deed = Deed { by: Some(by), act, reason: Some(reason.clone()) };
    tell(&app, udid.clone(), vec![Event::LeaseRevoked { phone: udid, reason }], deed).await
}

pub(crate) fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Refusal::mistake("reason", format!("say why in 1 to {REASON_BYTES_MAX} bytes")));
    }
    Ok(())
}

async fn tell(app: &App, udid: Udid, events: Vec<Event>, deed: Deed) -> Result<Json<PhoneView>, Refusal> {
    if app.farm.snapshot().phone(&udid).is_none() {
        return Err(unknown(&udid));
    }
    let audit = Some(deed);
    app.farm.ask(|answer| Ask::Tell { events, audit, answer }).await?;
    app.farm.snapshot().phone(&udid).map(Json).ok_or_else(|| unknown(&udid))
}

pub(crate) fn unknown(udid: &Udid) -> Refusal {
    Refusal::not_found(format!("phone {udid}"), "`holdfast phone list` shows what there is")
}
