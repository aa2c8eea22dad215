//! Racks: list.

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::{Page, RackView};

use super::state::App;

/// Lists racks; the list is whole.
#[utoipa::path(get, path = "/api/v1/racks", tag = "racks", responses((status = 200, body = Page<RackView>)))]
pub async fn list(State(app): State<App>) -> Json<Page<RackView>> {
    Json(Page { items: app.farm.snapshot().racks.values().cloned().collect(), next_cursor: None })
}
