//! What operators did, newest first.

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::{AuditEntry, Page, Problem};

use super::lists::{Paging, limit};
use super::problem::{Query, Refusal};
use super::state::App;

/// Lists what operators did, newest first. Entries are only ever added, so a cursor is the number of the last one.
#[utoipa::path(get, path = "/api/v1/audit", tag = "health", params(Paging),
    responses((status = 200, body = Page<AuditEntry>), (status = 422, body = Problem)))]
pub async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<AuditEntry>>, Refusal> {
    let limit = limit(paging.limit)?;
    let below = match paging.cursor.as_deref().map(str::parse::<u64>) {
        None => u64::MAX,
        Some(Ok(below)) => below,
        Some(Err(_)) => {
            let what = "is none of this list; pass the `next_cursor` of a page as it is";
            return Err(Refusal::mistake("cursor", what));
        }
    };
    // One more than wanted says whether there is a next page.
    let mut items = app.farm.archive.audit(below, limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|entry| entry.number.to_string());
    Ok(Json(Page { items, next_cursor }))
}
