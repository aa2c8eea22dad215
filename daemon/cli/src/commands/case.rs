//! `holdfast case list`.

use holdfast_wire::api::Page;
use holdfast_wire::case::CaseRun;
use holdfast_wire::views::{CaseStats, CaseView};

use super::Context;
use crate::args::CaseCommand;
use crate::exit::{Exit, Failure};
use crate::output::{ago, now, table};

pub(super) async fn run(context: &Context, command: CaseCommand) -> Result<Exit, Failure> {
    match command {
        CaseCommand::List => {
            let page: Page<CaseView> = context.client.page("/api/v1/cases", &[]).await?;
            context.show(&page, list)
        }
    }
}

fn list(page: &Page<CaseView>) -> String {
    if page.items.is_empty() {
        return "no cases: put files into the folder that `cases` names in holdfastd.yaml".to_owned();
    }
    let rows = page.items.iter().map(|case| {
        let CaseRun::Launch { launches, stay_ms, .. } = &case.run;
        let times = if *launches == 1 { "time" } else { "times" };
        vec![
            case.name.to_string(),
            case.owner.to_string(),
            format!("launch {launches} {times}, stay {stay_ms} ms"),
            case.stats.runs.to_string(),
            share(case.stats.passed, case.stats.passed_percent),
            share(case.stats.flaky, case.stats.flaky_percent),
            last_failure(&case.stats),
        ]
    });
    let columns = ["case", "owner", "run", "runs", "passed", "flaky", "last failure"];
    table(&columns, &["run", "owner"], rows)
}

fn share(count: u64, percent: Option<u8>) -> String {
    percent.map_or_else(String::new, |percent| format!("{count} ({percent} %)"))
}

fn last_failure(stats: &CaseStats) -> String {
    let Some(last) = stats.last_failures.first() else {
        return if stats.runs == 0 { "never run" } else { "" }.to_owned();
    };
    let attempt = last.attempt.map_or_else(String::new, |attempt| format!(" in {attempt}"));
    format!(
        "{}{attempt}; {} of the last {} failed",
        ago(now(), last.at),
        stats.recent_failed,
        stats.recent_runs
    )
}
