//! `holdfast schedule …`: list, next, run.

use holdfast_wire::api::Page;
use holdfast_wire::id::ScheduleName;
use holdfast_wire::views::{ScheduleRun, ScheduleView};
use reqwest::Method;

use super::{Context, asking};
use crate::args::ScheduleCommand;
use crate::exit::{Exit, Failure};
use crate::output::{ago, ahead, now, table};

pub(super) async fn run(context: &Context, command: ScheduleCommand) -> Result<Exit, Failure> {
    match command {
        ScheduleCommand::List => {
            let page: Page<ScheduleView> = context.client.page("/api/v1/schedules", &[]).await?;
            context.show(&page, list)
        }
        ScheduleCommand::Next { name } => {
            let mut page: Page<ScheduleView> = context.client.page("/api/v1/schedules", &[]).await?;
            if let Some(name) = &name {
                page.items.retain(|schedule| schedule.name == *name);
                if page.items.is_empty() {
                    return Err(unknown(name));
                }
            }
            context.show(&page, next)
        }
        ScheduleCommand::Run { name, who } => {
            let path = format!("/api/v1/schedules/{name}/run");
            let run: ScheduleRun = context.client.order(Method::POST, &path, &asking(who)).await?;
            context.show(&run, |run| {
                format!(
                    "{} is submitted by {}\nfollow it: holdfast job watch {}",
                    run.job, run.schedule, run.job
                )
            })
        }
    }
}

fn unknown(name: &ScheduleName) -> Failure {
    let words = format!("there is no schedule {name}; `holdfast schedule list` shows what there is");
    Failure::Problem { status: 404, words }
}

const NONE: &str = "no schedules: write them in the file that `schedules` names in holdfastd.yaml, then holdfast config reload";

fn list(page: &Page<ScheduleView>) -> String {
    if page.items.is_empty() {
        return NONE.to_owned();
    }
    let now = now();
    let rows = page.items.iter().map(|schedule| {
        vec![
            schedule.name.to_string(),
            schedule.class.to_string(),
            format!("{} {}", schedule.cron, schedule.zone),
            schedule.next.first().map_or_else(|| "never".to_owned(), |next| ahead(now, *next)),
            last(now, schedule),
        ]
    });
    table(&["schedule", "class", "when", "next", "last"], &["class"], rows)
}

fn last(now: holdfast_wire::time::Time, schedule: &ScheduleView) -> String {
    let Some(fired) = schedule.last_fired else { return "never fired".to_owned() };
    let became = match (&schedule.problem, schedule.last_job) {
        (Some(problem), _) => format!(", submitted nothing: {}", problem),
        (None, Some(job)) => format!(" as {job}"),
        (None, None) => String::new(),
    };
    format!("{}{became}", ago(now, fired))
}

fn next(page: &Page<ScheduleView>) -> String {
    if page.items.is_empty() {
        return NONE.to_owned();
    }
    let now = now();
    let rows = page.items.iter().flat_map(|schedule| {
        let mut rows: Vec<Vec<String>> = schedule
            .next
            .iter()
            .map(|next| vec![schedule.name.to_string(), ahead(now, *next), next.to_string()])
            .collect();
        if rows.is_empty() {
            rows.push(vec![schedule.name.to_string(), "never".to_owned(), String::new()]);
        }
        rows
    });
    table(&["schedule", "fires", "at (UTC)"], &[], rows)
}
