//! Schedules: list with the next firings, and run one out of turn.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use holdfast_calendar::Missed;
use holdfast_wire::api::{Page, Problem};
use holdfast_wire::id::ScheduleName;
use holdfast_wire::time::Time;
use holdfast_wire::views::{ScheduleRun, ScheduleView};

use super::problem::{Path, Query, Refusal};
use super::state::App;
use super::who::Asking;
use crate::config::load::FIRINGS_SHOWN;
use crate::config::schedules::Plan;
use crate::farm::{Ask, RunRefused};
use crate::rules::Shown;

/// Lists schedules in the order of their file, each with its next five firings; the list is whole.
#[utoipa::path(get, path = "/api/v1/schedules", tag = "schedules",
    responses((status = 200, body = Page<ScheduleView>)))]
pub async fn list(State(app): State<App>) -> Json<Page<ScheduleView>> {
    let rules = app.farm.snapshot().rules.clone();
    let now = app.clock.now();
    let items = rules.config.schedules.iter().map(|plan| view(&rules, plan, now)).collect();
    Json(Page { items, next_cursor: None })
}

fn view(rules: &Shown, plan: &Plan, now: Time) -> ScheduleView {
    let fired = rules.fired.get(&plan.name);
    ScheduleView {
        name: plan.name.clone(),
        cron: plan.when.expression().to_owned(),
        zone: plan.when.zone().to_owned(),
        missed: match plan.missed {
            Missed::Skip => "skip",
            Missed::RunOnce => "run_once",
            Missed::RunAll => "run_all",
        }
        .to_owned(),
        class: plan.job.class,
        build: plan.job.build.to_string(),
        owner: plan.job.owner.clone(),
        next: plan.when.next(now, FIRINGS_SHOWN),
        last_fired: fired.and_then(|fired| fired.last_fired),
        last_job: fired.and_then(|fired| fired.last_job),
        problem: fired.and_then(|fired| fired.problem.clone()),
    }
}

/// Submits the job of a schedule now. The calendar goes on as before.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/run", tag = "schedules", params(("name" = String, Path), Asking),
    responses((status = 201, body = ScheduleRun), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn run(
    State(app): State<App>,
    Path(schedule): Path<ScheduleName>,
    Query(asking): Query<Asking>,
) -> Result<(StatusCode, Json<ScheduleRun>), Refusal> {
    let (name, who) = (schedule.clone(), asking.who()?);
    let run = app.farm.ask(|answer| Ask::RunSchedule { name, who, answer }).await?;
    match run {
        Ok(job) => Ok((StatusCode::CREATED, Json(ScheduleRun { schedule, job }))),
        Err(RunRefused::Unknown) => Err(Refusal::not_found(
            format!("schedule {schedule}"),
            "`holdfast schedule list` shows what there is",
        )),
        Err(RunRefused::Problem(problem)) => Err(Refusal::new(
            StatusCode::CONFLICT,
            "not-runnable",
            "The schedule cannot be run now",
            format!("{schedule}: {problem}"),
        )),
    }
}
