//! The configuration in force: show it, and read the files again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use holdfast_wire::api::{Problem, ReloadAsked};
use holdfast_wire::time::Time;
use holdfast_wire::views::{ClassView, ConfigView, Reloaded, WindowView};

use super::problem::{Query, Refusal};
use super::state::App;
use super::who::Asking;
use crate::reload::ReloadError;
use crate::rules::Shown;

/// Shows the configuration in force, and the last reload that was refused since.
#[utoipa::path(get, path = "/api/v1/config", tag = "config", responses((status = 200, body = ConfigView)))]
pub async fn show(State(app): State<App>) -> Json<ConfigView> {
    Json(view(&app.farm.snapshot().rules, app.clock.now()))
}

fn view(rules: &Shown, now: Time) -> ConfigView {
    let mut classes: Vec<ClassView> = rules
        .policy
        .classes
        .iter()
        .map(|(class, served)| ClassView {
            class: *class,
            rank: served.rank,
            strict: served.strict,
            lift_after_s: served.lift_after.map(|after| after.as_secs()),
            preemptible: served.preemptible,
            takes: served.takes,
            window: served.window.clone(),
        })
        .collect();
    classes.sort_by_key(|class| (class.rank, class.class));
    let windows = rules.policy.windows.iter().map(|(name, window)| WindowView {
        name: name.clone(),
        open: window.is_open(now),
        changes_at: window.next_change(now),
    });
    ConfigView {
        loaded_at: rules.loaded_at,
        files: rules.config.files.clone(),
        warnings: rules.config.warnings.clone(),
        classes,
        windows: windows.collect(),
        refused: rules.refused.as_deref().cloned(),
    }
}

/// Reads pools, cases and schedules again. A bad set of files is refused whole, with every mistake in it.
#[utoipa::path(post, path = "/api/v1/config/reload", tag = "config", params(Asking),
    responses((status = 200, body = Reloaded), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn reload(State(app): State<App>, Query(asking): Query<Asking>) -> Result<Json<Reloaded>, Refusal> {
    app.reloader.reload(ReloadAsked::Request, asking.who()?).await.map(Json).map_err(|error| {
        let detail = error.to_string();
        match error {
            ReloadError::Refused(mistakes) => {
                let mut refusal = Refusal::mistakes(mistakes);
                refusal.0.detail = detail;
                refusal
            }
            ReloadError::NoFiles => {
                Refusal::new(StatusCode::CONFLICT, "no-files", "There are no files to read", detail)
            }
            ReloadError::Stopping(stopping) => stopping.into(),
        }
    })
}
