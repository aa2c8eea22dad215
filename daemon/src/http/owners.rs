//! Owners: list with what they use, and the limits that an operator says beside the files.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::{Mistake, Page, Problem};
use holdfast_wire::id::Owner;
use holdfast_wire::job::JobState;
use holdfast_wire::views::{LimitsFrom, OwnerLimits, OwnerView};

use super::agents::off_the_runtime;
use super::problem::{Body, Path, Query, Refusal};
use super::state::App;
use super::who::Asking;
use crate::config::owners::limit_mistakes;
use crate::farm::{Ask, Stopping, Who};
use crate::rules::RulesChange;

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
    Ok(Json(known.unwrap_or_else(|| {
        let (limits, from) = limits_of(&rules, Some(&owner));
        OwnerView {
            owner: Some(owner),
            weight: limits.weight,
            running_max: limits.running_max,
            minutes_per_day: limits.minutes_per_day,
            limits_from: from,
            minutes_used_today: limits.minutes_per_day.map(|_| 0),
            over_quota: false,
            running: 0,
            waiting: 0,
        }
    })))
}

#[derive(Default)]
struct Use {
    running: usize,
    waiting: usize,
    used_ms: Option<u64>,
}

async fn views(app: &App) -> Result<Vec<OwnerView>, Refusal> {
    let used = app.farm.ask(|answer| Ask::Usage { answer }).await?;
    let snapshot = app.farm.snapshot();
    // Every job is looked at: a walk that other requests should not wait for.
    off_the_runtime(move || {
        let mut uses: BTreeMap<Option<Owner>, Use> = BTreeMap::new();
        for job in snapshot.jobs.values() {
            match &job.state {
                JobState::Queued => uses.entry(job.spec.owner.clone()).or_default().waiting += 1,
                JobState::Running { .. } => uses.entry(job.spec.owner.clone()).or_default().running += 1,
                JobState::Ended { .. } => {}
            }
        }
        Ok(of_uses(&snapshot.rules, uses, used))
    })
    .await
}

/// Owners that run something or have limits, with what they use; what waits is not counted, which takes a walk over all
/// jobs.
pub(crate) async fn at_work(app: &App) -> Result<Vec<OwnerView>, Stopping> {
    let used = app.farm.ask(|answer| Ask::Usage { answer }).await?;
    let snapshot = app.farm.snapshot();
    let mut uses: BTreeMap<Option<Owner>, Use> = BTreeMap::new();
    for job in snapshot.running.iter().filter_map(|id| snapshot.jobs.get(id)) {
        uses.entry(job.spec.owner.clone()).or_default().running += 1;
    }
    Ok(of_uses(&snapshot.rules, uses, used))
}

fn of_uses(
    rules: &crate::rules::Shown,
    mut uses: BTreeMap<Option<Owner>, Use>,
    used: Vec<(Owner, u64)>,
) -> Vec<OwnerView> {
    for owner in rules.policy.owners.keys() {
        uses.entry(Some(owner.clone())).or_default();
    }
    for (owner, used_ms) in used {
        uses.entry(Some(owner)).or_default().used_ms = Some(used_ms);
    }
    let views = uses.into_iter().map(|(owner, usage)| {
        let (limits, limits_from) = limits_of(rules, owner.as_ref());
        let used_ms = limits.minutes_per_day.map(|_| usage.used_ms.unwrap_or(0));
        let minutes_used = used_ms.map(|ms| ms / MINUTE_MS);
        OwnerView {
            owner,
            weight: limits.weight,
            running_max: limits.running_max,
            minutes_per_day: limits.minutes_per_day,
            limits_from,
            minutes_used_today: minutes_used,
            over_quota: limits
                .minutes_per_day
                .zip(minutes_used)
                .is_some_and(|(most, used)| used >= u64::from(most)),
            running: usage.running,
            waiting: usage.waiting,
        }
    });
    views.collect()
}

fn limits_of(
    rules: &crate::rules::Shown,
    owner: Option<&Owner>,
) -> (holdfast_scheduler::policy::OwnerPolicy, LimitsFrom) {
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
