//! `holdfast audit list`.

use holdfast_wire::api::{AuditEntry, Page};

use super::{Context, more, paging};
use crate::args::AuditCommand;
use crate::exit::{Exit, Failure};
use crate::output::{ago, now, table};

pub(super) async fn run(context: &Context, command: AuditCommand) -> Result<Exit, Failure> {
    let AuditCommand::List(pages) = command;
    let page: Page<AuditEntry> = context.client.page("/api/v1/audit", &paging(&pages)).await?;
    context.show(&page, list)
}

fn list(page: &Page<AuditEntry>) -> String {
    if page.items.is_empty() {
        return "nothing yet: what operators do to phones, pools and limits is listed here".to_owned();
    }
    let now = now();
    let rows = page.items.iter().map(|entry| {
        let reason = entry.reason.as_ref().map(|reason| format!(": {}", reason)).unwrap_or_default();
        vec![
            entry.number.to_string(),
            ago(now, entry.at),
            entry.by.as_ref().map_or_else(|| "(unnamed)".to_owned(), ToString::to_string),
            format!("{}{reason}", entry.act),
        ]
    });
    let text = table(&["no", "when", "who", "what and why"], &["no"], rows);
    text + &more(page.next_cursor.as_ref())
}
