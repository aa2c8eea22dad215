//! Pools: list, and the phones that an operator moves between them without an edit of the files.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use holdfast_scheduler::Policy;
use holdfast_wire::api::{Page, PhoneView, Problem};
use holdfast_wire::id::{PoolName, Udid};
use holdfast_wire::views::{PoolChoice, PoolChoiceView, PoolView, PooledPhone};

use super::phones::unknown;
use super::problem::{Body, Path, Query, Refusal};
use super::state::App;
use super::who::Asking;
use crate::farm::{Ask, Who};
use crate::rules::RulesChange;

/// Lists pools in the order in which they take phones, each with its phones by rack and slot; the list is whole.
#[utoipa::path(get, path = "/api/v1/pools", tag = "pools", responses((status = 200, body = Page<PoolView>)))]
pub async fn list(State(app): State<App>) -> Json<Page<PoolView>> {
    let snapshot = app.farm.snapshot();
    let rules = snapshot.rules.clone();
    let mut phones: BTreeMap<PoolName, Vec<PooledPhone>> = BTreeMap::new();
    for phone in snapshot.phones() {
        let Some(pool) = phone.pool else { continue };
        phones.entry(pool).or_default().push(PooledPhone {
            by_hand: rules.overrides.pools.contains_key(&phone.facts.udid),
            udid: phone.facts.udid.clone(),
            rack: phone.rack,
            slot: phone.facts.slot.clone(),
        });
    }
    let pools = rules.policy.pools.iter().map(|pool| PoolView {
        name: pool.name.clone(),
        serves: pool.serves.clone(),
        lends: pool.lends.clone(),
        only: pool.only.clone(),
        phones: phones.remove(&pool.name).unwrap_or_default(),
    });
    Json(Page { items: pools.collect(), next_cursor: None })
}

/// Puts a phone into a pool, whatever the pools file says, until somebody takes it back. What it runs goes on.
#[utoipa::path(put, path = "/api/v1/phones/{udid}/pool", tag = "pools", params(("udid" = String, Path), Asking),
    request_body = PoolChoice,
    responses((status = 200, body = PoolChoiceView), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn choose(
    State(app): State<App>,
    Path(udid): Path<Udid>,
    Query(asking): Query<Asking>,
    body: Body<PoolChoice>,
) -> Result<Json<PoolChoiceView>, Refusal> {
    let who = asking.who()?;
    let pool = body.value.pool;
    let pools = &app.farm.snapshot().rules.policy.pools;
    if !pools.iter().any(|known| known.name == pool) {
        let known: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
        return Err(Refusal::mistake(
            "pool",
            format!("there is no pool {pool}; there are: {}", known.join(", ")),
        ));
    }
    put(&app, udid, Some(pool), who).await
}

/// Lets the pools file decide again.
#[utoipa::path(delete, path = "/api/v1/phones/{udid}/pool", tag = "pools", params(("udid" = String, Path), Asking),
    responses((status = 200, body = PoolChoiceView), (status = 404, body = Problem)))]
pub async fn go_back(
    State(app): State<App>,
    Path(udid): Path<Udid>,
    Query(asking): Query<Asking>,
) -> Result<Json<PoolChoiceView>, Refusal> {
    put(&app, udid, None, asking.who()?).await
}

async fn put(
    app: &App,
    udid: Udid,
    pool: Option<PoolName>,
    who: Who,
) -> Result<Json<PoolChoiceView>, Refusal> {
    let phone = app.farm.snapshot().phone(&udid).ok_or_else(|| unknown(&udid))?;
    let change = RulesChange::Pool { phone: udid, pool };
    app.farm.ask(|answer| Ask::Rules { change, who, answer }).await?;
    let rules = app.farm.snapshot().rules.clone();
    Ok(Json(view(&rules.policy, &phone)))
}

fn view(policy: &Policy, phone: &PhoneView) -> PoolChoiceView {
    let name = |pool: Option<&holdfast_scheduler::policy::Pool>| pool.map(|pool| pool.name.clone());
    PoolChoiceView {
        phone: phone.facts.udid.clone(),
        pool: name(policy.pool_of(&phone.rack, &phone.facts)),
        by_hand: policy.overrides.get(&phone.facts.udid).cloned(),
        by_file: name(policy.pool_by_lists(&phone.rack, &phone.facts)),
    }
}
