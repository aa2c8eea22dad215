//! The queue by class: what waits, what runs, which jobs are next, why they wait and when they are expected to start.
//! The order itself is the scheduler's.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::{ClassQueue, JobEta, Problem, QueueView, QueuedJob};
use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;
use serde::Deserialize;

use super::problem::{Query, Refusal};
use super::state::App;
use crate::farm::{Ask, Stopping};
use crate::snapshot::Snapshot;

/// Waiting jobs shown of each class: what a screen shows of all five.
const NEXT_MAX: usize = 10;

/// Which part of the queue is shown.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only this class.
    class: Option<JobClass>,
}

/// Shows what waits and what runs, by class, with the jobs that are next.
#[utoipa::path(get, path = "/api/v1/queue", tag = "jobs", params(Wanted),
    responses((status = 200, body = QueueView), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn show(State(app): State<App>, Query(wanted): Query<Wanted>) -> Result<Json<QueueView>, Refusal> {
    let classes: Vec<JobClass> = match wanted.class {
        Some(class) => vec![class],
        None => JobClass::ALL.to_vec(),
    };
    Ok(Json(view(&app, &classes).await?))
}

/// The queue of these classes, in this order, each with the jobs that are next and their expected starts.
pub(crate) async fn view(app: &App, classes: &[JobClass]) -> Result<QueueView, Stopping> {
    let mut view = of_snapshot(&app.farm.snapshot(), app.clock.now(), classes);
    let jobs = view.classes.iter().flat_map(|class| class.next.iter().map(|job| job.job)).collect();
    let foretold = app.farm.ask(|answer| Ask::Eta { jobs, answer }).await?;
    let mut foretold: BTreeMap<JobId, JobEta> = foretold.into_iter().map(|one| (one.job, one)).collect();
    for job in view.classes.iter_mut().flat_map(|class| &mut class.next) {
        if let Some(JobEta { eta, waiting, .. }) = foretold.remove(&job.job) {
            (job.eta, job.waiting) = (eta, waiting);
        }
    }
    Ok(view)
}

fn of_snapshot(snapshot: &Snapshot, now: Time, classes: &[JobClass]) -> QueueView {
    let mut view = QueueView { at: now, classes: classes.iter().map(|class| empty(*class)).collect() };
    for job in snapshot.running.iter().filter_map(|id| snapshot.jobs.get(id)) {
        if let Some(queue) = view.classes.iter_mut().find(|queue| queue.class == job.spec.class) {
            queue.running += 1;
        }
    }
    for queue in &mut view.classes {
        let waiting = snapshot.waiting_of(queue.class);
        queue.waiting = waiting.by_age.len();
        let oldest = waiting.by_age.get_min().and_then(|(id, _)| snapshot.jobs.get(id));
        queue.oldest = oldest.map(|job| job.submitted_at);
        let next = waiting.queue.iter().take(NEXT_MAX).filter_map(|place| snapshot.jobs.get(&place.job()));
        queue.next.extend(next.map(|job| QueuedJob {
            job: job.id,
            owner: job.spec.owner.clone(),
            priority: job.spec.priority,
            submitted_at: job.submitted_at,
            start_by: job.spec.start_by,
            phones: job.spec.phones,
            waiting: None,
            eta: None,
        }));
    }
    view
}

fn empty(class: JobClass) -> ClassQueue {
    ClassQueue { class, waiting: 0, running: 0, oldest: None, next: Vec::new() }
}
