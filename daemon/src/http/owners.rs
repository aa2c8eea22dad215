//! Owners: list with what they use, and the limits that an operator says beside the files.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::{Mistake, Page, Problem};
use holdfast_wire::id::Owner;
use holdfast_wire::views::{LimitsFrom, OwnerLimits, OwnerView};

use super::problem::{Body, Path, Query, Refusal};
use super::state::App;
use super::who::Asking;
use crate::config::owners::limit_mistakes;
use crate::farm::{Ask, Stopping, Who};
use crate::rules::{RulesChange, Shown};
use crate::snapshot::JobCounts;

/// Milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;

/// Lists owners that have limits or jobs, by name; jobs without an owner come first, together. The list is whole.
#[utoipa::path(get, path = "/api/v1/owners", tag = "owners", responses((status = 200, body = Page<OwnerView>)))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<OwnerView>>, Refusal> {
    Ok(Json(Page { items: views(&app).await?, next_cursor: None }))
}

/// Says an owner's share and limits, whatever the pools file says, until somebody takes it back.
#[utoipa::path(put, path = "/api/v1/owners/{owner}/limits", tag = "owners", params(("owner" = String, Path), Asking),
    request_body = OwnerLimits,
    responses((status = 200, body = OwnerView), (status = 422, body = Problem)))]
pub async fn limit(
    State(app): State<App>,
    Path(owner): Path<Owner>,
    Query(asking): Query<Asking>,
    body: Body<OwnerLimits>,
) -> Result<Json<OwnerView>, Refusal> {
    let who = asking.who()?;
    let mistakes = limit_mistakes(&body.value);
    if !mistakes.is_empty() {
        let told = mistakes.into_iter().map(|(field, what)| Mistake { place: field.to_owned(), what });
        return Err(Refusal::mistakes(told.collect()));
    }
    change(&app, owner, Some(body.value), who).await
}

/// Lets the pools file decide again.
#[utoipa::path(delete, path = "/api/v1/owners/{owner}/limits", tag = "owners", params(("owner" = String, Path), Asking),
    responses((status = 200, body = OwnerView), (status = 422, body = Problem)))]
pub async fn go_back(
    State(app): State<App>,
    Path(owner): Path<Owner>,
    Query(asking): Query<Asking>,
) -> Result<Json<OwnerView>, Refusal> {
    change(&app, owner, None, asking.who()?).await
}

async fn change(
    app: &App,
    owner: Owner,
    limits: Option<OwnerLimits>,
    who: Who,
) -> Result<Json<OwnerView>, Refusal> {
    let change = RulesChange::Owner { owner: owner.clone(), limits };
    app.farm.ask(|answer| Ask::Rules { change, who, answer }).await?;
    let known = views(app).await?.into_iter().find(|view| view.owner.as_ref() == Some(&owner));
    let rules = app.farm.snapshot().rules.clone();
    Ok(Json(known.unwrap_or_else(|| view(&rules, Some(owner), JobCounts::default(), 0))))
}

/// Owners that have limits or jobs, with what they use.
pub(crate) async fn views(app: &App) -> Result<Vec<OwnerView>, Stopping> {
    let used: BTreeMap<Owner, u64> =
        app.farm.ask(|answer| Ask::Usage { answer }).await?.into_iter().collect();
    let snapshot = app.farm.snapshot();
    let rules = &snapshot.rules;
    let known = rules.policy.owners.keys().chain(used.keys()).map(|owner| Some(owner.clone()));
    let known: BTreeSet<Option<Owner>> = snapshot.by_owner.keys().cloned().chain(known).collect();
    let views = known.into_iter().map(|owner| {
        let counts = snapshot.by_owner.get(&owner).copied().unwrap_or_default();
        let used_ms = owner.as_ref().and_then(|owner| used.get(owner)).copied();
        view(rules, owner, counts, used_ms.unwrap_or(0))
    });
    Ok(views.collect())
}

fn view(rules: &Shown, owner: Option<Owner>, counts: JobCounts, used_ms: u64) -> OwnerView {
    let (limits, limits_from) = limits_of(rules, owner.as_ref());
    let minutes_used = limits.minutes_per_day.map(|_| used_ms / MINUTE_MS);
    let quota = limits.minutes_per_day.zip(minutes_used);
    OwnerView {
        owner,
        weight: limits.weight,
        running_max: limits.running_max,
        minutes_per_day: limits.minutes_per_day,
        limits_from,
        minutes_used_today: minutes_used,
        over_quota: quota.is_some_and(|(most, used)| used >= u64::from(most)),
        running: counts.running,
        waiting: counts.waiting,
    }
}

fn limits_of(rules: &Shown, owner: Option<&Owner>) -> (holdfast_scheduler::policy::OwnerPolicy, LimitsFrom) {
    let Some(owner) = owner else { return (rules.policy.default_owner, LimitsFrom::Default) };
    let from = if rules.overrides.owners.contains_key(owner) {
        LimitsFrom::Hand
    } else if rules.config.policy.owners.contains_key(owner) {
        LimitsFrom::File
    } else {
        LimitsFrom::Default
    };
    (rules.policy.owner(owner), from)
}
