//! `holdfast case list`.

use holdfast_wire::api::Page;
use holdfast_wire::case::{Case, CaseRun};

use super::Context;
use crate::args::CaseCommand;
use crate::exit::{Exit, Failure};
use crate::output::table;

pub(super) async fn run(context: &Context, command: CaseCommand) -> Result<Exit, Failure> {
    match command {
        CaseCommand::List => {
            let page: Page<Case> = context.client.page("/api/v1/cases", &[]).await?;
            context.show(&page, |page| {
                if page.items.is_empty() {
                    return "no cases: put files into the folder that `cases` names in holdfastd.yaml"
                        .to_owned();
                }
                let rows = page.items.iter().map(|case| {
                    let CaseRun::Launch { launches, stay_ms, .. } = &case.run;
                    let run = format!(
                        "launch {launches} {}, stay {stay_ms} ms",
                        if *launches == 1 { "time" } else { "times" }
                    );
                    vec![case.name.to_string(), case.owner.to_string(), run]
                });
                table(&["case", "owner", "run"], &[], rows)
            })
        }
    }
}
