//! `holdfast rack list`.

use holdfast_wire::api::{Page, RackView};

use super::Context;
use crate::args::RackCommand;
use crate::exit::{Exit, Failure};
use crate::output::{ago, now, table};

pub(super) async fn run(context: &Context, command: RackCommand) -> Result<Exit, Failure> {
    match command {
        RackCommand::List => {
            let page: Page<RackView> = context.client.page("/api/v1/racks", &[]).await?;
            context.show(&page, list)
        }
    }
}

fn list(page: &Page<RackView>) -> String {
    if page.items.is_empty() {
        return "no racks yet: start holdfast-agent on the computer that the phones are plugged into"
            .to_owned();
    }
    let now = now();
    let rows = page.items.iter().map(|rack| {
        vec![
            rack.id.to_string(),
            if rack.online { "online" } else { "silent" }.to_owned(),
            format!("{} of {}", rack.phones_working, rack.phones),
            rack.agent_version.clone(),
            ago(now, rack.last_heard),
        ]
    });
    table(&["rack", "agent", "phones working", "version", "heard"], &[], rows)
}
