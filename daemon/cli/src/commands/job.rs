//! `holdfast job …`: submit, plan, list, describe, explain, eta, cancel. Following jobs is in `watch`, what is said of
//! waiting in `waiting`.

use std::time::Duration;

use holdfast_wire::api::{Explanation, IDEMPOTENCY_KEY, JobEta, JobRequest, JobView, Page, Plan};
use holdfast_wire::build::Build;
use holdfast_wire::job::{JobOutcome, JobState, Requirements};
use holdfast_wire::outcome::{AttemptEnd, LaunchEnd, LaunchResult};
use holdfast_wire::requirement::{Expression, Fallback};
use serde_json::json;

use super::{Context, more, paging, waiting, watch};
use crate::args::{JobCommand, Submit, Wanted};
use crate::exit::{Exit, Failure};
use crate::output::{ago, fields, now, printable, span, table};

pub(super) async fn run(context: &Context, command: JobCommand) -> Result<Exit, Failure> {
    match command {
        JobCommand::Submit(submit) => submit_job(context, *submit).await,
        JobCommand::List { class, state, paging: page } => {
            let mut query = paging(&page);
            query.extend(class.map(|class| ("class", holdfast_wire::job::JobClass::from(class).to_string())));
            query.extend(state.map(|state| ("state", state)));
            let page: Page<JobView> = context.client.page("/api/v1/jobs", &query).await?;
            context.show(&page, |page| jobs_table(&page.items) + &more(page.next_cursor.as_ref()))
        }
        JobCommand::Describe { job } => {
            let job: JobView = context.client.get(&format!("/api/v1/jobs/{job}"), &[]).await?;
            context.show(&job, describe)
        }
        JobCommand::Watch { jobs, timeout } => watch::run(context, &jobs, timeout).await,
        JobCommand::Explain { job } => {
            let answer: Explanation = context.client.get(&format!("/api/v1/jobs/{job}/explain"), &[]).await?;
            context.show(&answer, waiting::explanation)
        }
        JobCommand::Plan(wanted) => {
            let request = request_of(context, *wanted).await?;
            let plan: Plan = context.client.post("/api/v1/plan", &request, &[]).await?;
            context.show(&plan, waiting::plan)
        }
        JobCommand::Eta { job } => {
            let eta: JobEta = context.client.get(&format!("/api/v1/jobs/{job}/eta"), &[]).await?;
            context.show(&eta, waiting::job_eta)
        }
        JobCommand::Cancel { job } => {
            let job: JobView =
                context.client.post(&format!("/api/v1/jobs/{job}/cancel"), &json!({}), &[]).await?;
            context.show(&job, describe)
        }
    }
}

async fn submit_job(context: &Context, submit: Submit) -> Result<Exit, Failure> {
    let request = request_of(context, submit.wanted).await?;
    let headers: Vec<(&str, &str)> =
        submit.idempotency_key.iter().map(|key| (IDEMPOTENCY_KEY, key.as_str())).collect();
    let job: JobView = context.client.post("/api/v1/jobs", &request, &headers).await?;
    if submit.watch {
        eprintln!("submitted {}", job.id);
        if let Some(warning) = &job.warning {
            eprintln!("warning: {}", printable(warning));
        }
        return watch::run(context, &[job.id], None).await;
    }
    context.show(&job, submitted)
}

fn submitted(job: &JobView) -> String {
    let waits = job.waiting.as_ref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
    let mut text = format!("{} is {}{waits}\n", job.id, state_words(job));
    if let Some(eta) = &job.eta {
        text.push_str(&format!("it is expected to start {}\n", waiting::in_short(now(), eta)));
    }
    match &job.warning {
        Some(warning) => text.push_str(&format!(
            "warning: {}\nsee why, phone by phone: holdfast job explain {}; take it back: holdfast job cancel {}",
            printable(warning),
            job.id,
            job.id
        )),
        None => text.push_str(&format!("follow it: holdfast job watch {}", job.id)),
    }
    text
}

/// What the API is asked for. It wants the whole hash of the build; people type its beginning.
async fn request_of(context: &Context, wanted: Wanted) -> Result<JobRequest, Failure> {
    let build: Build = context.client.get(&format!("/api/v1/builds/{}", wanted.build), &[]).await?;
    Ok(JobRequest {
        class: wanted.class.into(),
        build: build.identity.hash,
        cases: wanted.cases,
        inline_cases: Vec::new(),
        requirements: Requirements {
            models: wanted.models,
            os_min: wanted.os_min,
            os_max: wanted.os_max,
            labels: wanted.labels,
            pool: wanted.pool,
            rack: wanted.rack,
            phone: wanted.phone,
            expression: wanted.expression,
            fallbacks: wanted.fallbacks,
        },
        priority: wanted.priority,
        owner: wanted.owner,
        start_by: wanted.start_within.map(|within| now().after(within)),
        phones: wanted.phones,
        compare: wanted.compare,
        once: wanted.once,
    })
}

/// Jobs, one a line.
pub(super) fn jobs_table(jobs: &[JobView]) -> String {
    if jobs.is_empty() {
        return "no jobs: holdfast job submit --help shows how to submit one".to_owned();
    }
    let now = now();
    let rows = jobs.iter().map(|job| {
        let build = &job.spec.build;
        let phone = job.attempts.last().map(|attempt| attempt.phone.to_string()).unwrap_or_default();
        let crashes: usize = job.attempts.iter().map(|attempt| attempt.crashes.len()).sum();
        vec![
            job.id.to_string(),
            job.spec.class.to_string(),
            format!("{} {} ({})", build.executable, build.version, build.build_number),
            state_words(job),
            phone,
            job.attempts.len().to_string(),
            crashes.to_string(),
            ago(now, job.submitted_at),
            note(job),
        ]
    });
    table(
        &["job", "class", "build", "state", "phone", "attempts", "crashes", "submitted", ""],
        &["attempts", "submitted", "crashes", "build"],
        rows,
    )
}

/// The one word for a job's state or outcome.
pub(super) fn state_words(job: &JobView) -> String {
    match &job.state {
        JobState::Queued => "queued".to_owned(),
        JobState::Running { .. } => "running".to_owned(),
        JobState::Ended { outcome, .. } => outcome.as_str().to_owned(),
    }
}

/// What else is to be said of a job: why it waits, where it is, why it failed.
pub(super) fn note(job: &JobView) -> String {
    match &job.state {
        JobState::Queued => job.waiting.clone().unwrap_or_default(),
        JobState::Running { .. } => {
            let progress = job.attempts.last().and_then(|attempt| attempt.progress.as_ref());
            progress.map(crate::output::progress).unwrap_or_else(|| "starting".to_owned())
        }
        JobState::Ended { outcome: JobOutcome::Failed { blame, reason }, .. } => {
            format!("blames the {blame}: {reason}")
        }
        JobState::Ended { .. } => String::new(),
    }
}

fn what_note_says(job: &JobView) -> &'static str {
    match &job.state {
        JobState::Queued => "waits",
        JobState::Running { .. } => "progress",
        JobState::Ended { .. } => "verdict",
    }
}

fn describe(job: &JobView) -> String {
    let spec = &job.spec;
    let cases: Vec<String> = spec.cases.iter().map(|case| case.name.to_string()).collect();
    let mut text = fields(&[
        ("job", job.id.to_string()),
        ("state", state_words(job)),
        (what_note_says(job), note(job)),
        ("starts", job.eta.as_ref().map(|eta| waiting::in_short(now(), eta)).unwrap_or_default()),
        ("class", spec.class.to_string()),
        (
            "build",
            format!(
                "{} {} ({}), {}",
                spec.build.executable,
                spec.build.version,
                spec.build.build_number,
                spec.build.hash.short()
            ),
        ),
        ("cases", cases.join(", ")),
        ("done so far", done_so_far(job)),
        ("requires", requirement_words(&spec.requirements)),
        ("phones", if spec.phones == 1 { String::new() } else { format!("{} at once", spec.phones) }),
        ("compared in", spec.compare.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("priority", spec.priority.to_string()),
        ("owner", spec.owner.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("submitted", format!("{} ({})", job.submitted_at, ago(now(), job.submitted_at))),
        ("start by", spec.start_by.map(|time| time.to_string()).unwrap_or_default()),
    ]);
    for attempt in &job.attempts {
        let how = match &attempt.end {
            None => "runs".to_owned(),
            Some(AttemptEnd::Passed) => "passed".to_owned(),
            Some(AttemptEnd::Failed { blame, step, reason }) => {
                format!("failed in {step}, blames the {blame}: {reason}")
            }
            Some(AttemptEnd::Revoked) => "was revoked".to_owned(),
            Some(AttemptEnd::Yielded { cases_done, .. }) => {
                format!("gave its phone up to more urgent work after {cases_done} cases")
            }
        };
        let took = attempt.ended_at.map_or_else(
            || format!("for {} so far", span(now().since(attempt.leased_at))),
            |end| span(end.since(attempt.leased_at)),
        );
        text.push_str(&format!("\n{} on {} ({}), {took}: {how}\n", attempt.id, attempt.phone, attempt.rack));
        for case in &attempt.cases {
            let verdict = case.failure.clone().unwrap_or_else(|| "passed".to_owned());
            text.push_str(&format!("  case {}: {verdict}\n", case.case));
            for launch in &case.launches {
                text.push_str(&format!("    {}\n", launch_words(launch)));
            }
        }
        for crash in &attempt.crashes {
            text.push_str(&format!("  crash {}: holdfast crash show {}\n", crash.short(), crash.short()));
        }
    }
    text
}

/// What attempts that gave their phone up have done for good; empty when none did.
fn done_so_far(job: &JobView) -> String {
    let cases = job.spec.cases.len();
    match job.yielded {
        0 => String::new(),
        1 => format!("{} of {cases} cases; gave its phone up once", job.cases_done),
        times => format!("{} of {cases} cases; gave its phone up {times} times", job.cases_done),
    }
}

/// What a job demands of a phone; empty when any will do.
fn requirement_words(requirements: &Requirements) -> String {
    let Requirements { models, os_min, os_max, labels, pool, rack, phone, expression, fallbacks } =
        requirements;
    let words = [
        (!models.is_empty()).then(|| models.join(" or ")),
        os_min.as_ref().map(|version| format!("iOS {version} or newer")),
        os_max.as_ref().map(|version| format!("iOS {version} or older")),
        pool.as_ref().map(|pool| format!("pool {pool}")),
        rack.as_ref().map(|rack| format!("rack {rack}")),
        phone.as_ref().map(|phone| format!("phone {phone}")),
    ];
    let labels = labels.iter().map(|label| format!("label {label}"));
    let expression = expression.iter().map(Expression::to_string);
    let fallbacks = fallbacks.iter().map(|Fallback { after_s, expression }| {
        format!("after {} also {expression}", span(Duration::from_secs(*after_s)))
    });
    let words = words.into_iter().flatten().chain(labels).chain(expression).chain(fallbacks);
    words.collect::<Vec<_>>().join(", ")
}

fn launch_words(launch: &LaunchResult) -> String {
    let pid = launch.pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
    let end = match &launch.end {
        LaunchEnd::Stayed => "stayed alive".to_owned(),
        LaunchEnd::Exited => "exited by itself, no report".to_owned(),
        LaunchEnd::Crashed { crash } => format!("crashed, report {}", crash.short()),
        LaunchEnd::Hung => "hung: the phone named no process in time".to_owned(),
    };
    format!(
        "launch {}: started in {} ms{pid}, alive for {} ms, {end}",
        launch.number, launch.launch_ms, launch.alive_ms
    )
}
