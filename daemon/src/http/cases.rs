//! Cases: the catalogue, and how each has gone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::Page;
use holdfast_wire::id::CaseName;
use holdfast_wire::views::{CaseStats, CaseView};

use super::problem::Refusal;
use super::state::App;

/// Lists the cases of the catalogue with how they have gone; the list is whole.
#[utoipa::path(get, path = "/api/v1/cases", tag = "cases", responses((status = 200, body = Page<CaseView>)))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<CaseView>>, Refusal> {
    let stats = app.farm.archive.case_stats().await?;
    let mut stats: BTreeMap<CaseName, CaseStats> =
        stats.into_iter().map(|stat| (stat.case.clone(), stat.shown())).collect();
    let catalogue = app.cases();
    let views = catalogue.cases().map(|case| CaseView {
        name: case.name.clone(),
        owner: case.owner.clone(),
        run: case.run.clone(),
        stats: stats.remove(&case.name).unwrap_or_default(),
    });
    Ok(Json(Page { items: views.collect(), next_cursor: None }))
}
