//! What the farm looks up outside itself, and whether that works: mirrors of repositories, and the symbol server.

use axum::Json;
use axum::extract::State;
use holdfast_wire::id::BundleId;
use holdfast_wire::views::{MirrorView, SourcesView};

use super::state::App;
use crate::commits::{History, Standing};

/// Missing commits that a view names.
const MISSING_MAX: usize = 20;

/// What the farm looks up outside itself, and whether that works.
#[utoipa::path(get, path = "/api/v1/sources", tag = "health", responses((status = 200, body = SourcesView)))]
pub async fn show(State(app): State<App>) -> Json<SourcesView> {
    let snapshot = app.farm.snapshot();
    let mirrors = snapshot.histories.iter().map(|(app, history)| mirror(app, history)).collect();
    let symbol_server = app.symbols.server.as_ref().map(|server| server.view());
    Json(SourcesView { mirrors, symbol_server })
}

fn mirror(app: &BundleId, history: &History) -> MirrorView {
    let missing = history.named.iter().filter(|(_, standing)| **standing == Standing::Missing);
    MirrorView {
        app: app.clone(),
        mirror: history.mirror.clone(),
        read_at: history.read_at,
        commits: history.commits.len() as u64,
        missing: missing.map(|(said, _)| said.clone()).take(MISSING_MAX).collect(),
        trouble: history.trouble.clone(),
    }
}
