//! Cases: the catalogue.

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::Page;
use holdfast_wire::case::Case;

use super::state::App;

/// Lists the cases of the catalogue; the list is whole.
#[utoipa::path(get, path = "/api/v1/cases", tag = "cases", responses((status = 200, body = Page<Case>)))]
pub async fn list(State(app): State<App>) -> Json<Page<Case>> {
    Json(Page { items: app.cases().cases().cloned().collect(), next_cursor: None })
}
