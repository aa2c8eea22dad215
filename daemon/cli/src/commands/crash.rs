//! `holdfast crash …`: list, show, text, raw, symbolicate. Files of this machine are read in [`super::crash_read`].

use holdfast_wire::api::{CrashView, Page};

use super::crash_read::{Texts, harmless};
use super::{Context, more, paging, stdout_failed};
use crate::args::CrashCommand;
use crate::exit::{Exit, Failure};
use crate::output::{Format, table};

pub(super) async fn run(context: &Context, command: CrashCommand) -> Result<Exit, Failure> {
    match command {
        CrashCommand::List(page) => {
            let page: Page<CrashView> = context.client.page("/api/v1/crashes", &paging(&page)).await?;
            context.show(&page, list)
        }
        CrashCommand::Show { id } => match context.format {
            Format::Json => {
                let report: serde_json::Value =
                    context.client.get(&format!("/api/v1/crashes/{id}"), &[]).await?;
                context.show(&report, |_| String::new())
            }
            Format::Text => write_out(&context.client.bytes(&format!("/api/v1/crashes/{id}/page")).await?),
        },
        CrashCommand::Symbolicate { id } => {
            let path = format!("/api/v1/crashes/{id}/symbolicate");
            let report: serde_json::Value = context.client.post(&path, &serde_json::json!({}), &[]).await?;
            match context.format {
                Format::Json => context.show(&report, |_| String::new()),
                Format::Text => {
                    write_out(&context.client.bytes(&format!("/api/v1/crashes/{id}/page")).await?)
                }
            }
        }
        CrashCommand::Text { id } => {
            let text = context.client.bytes(&format!("/api/v1/crashes/{id}/text")).await?;
            write_out(harmless(&String::from_utf8_lossy(&text)).as_bytes())
        }
        CrashCommand::Raw { id } => {
            write_out(&context.client.bytes(&format!("/api/v1/crashes/{id}/raw")).await?)
        }
        CrashCommand::Import { files } => super::crash_import::run(context, &files).await,
        CrashCommand::Read { files, text, symbols, symbol_cache } => {
            let wanted = if text { Texts::Apples } else { Texts::Ours };
            let symbols =
                symbols.map(|folder| super::crash_symbols::search(&folder, symbol_cache)).transpose()?;
            super::crash_read::run(context.format, wanted, symbols, &files)
        }
    }
}

fn write_out(bytes: &[u8]) -> Result<Exit, Failure> {
    crate::output::write(bytes).map_err(stdout_failed)?;
    Ok(Exit::Done)
}

pub(super) fn list(page: &Page<CrashView>) -> String {
    if page.items.is_empty() {
        return "no crashes".to_owned();
    }
    let rows = page.items.iter().map(|crash| {
        vec![
            crash.origin.id.short(),
            crash.kind.clone(),
            crash.process.clone().unwrap_or_default(),
            crash.captured_at.clone().unwrap_or_default(),
            crash.origin.phone.as_ref().map_or_else(|| "imported".to_owned(), ToString::to_string),
            crash.group.as_ref().map(ToString::to_string).unwrap_or_default(),
            crash.origin.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
            crash.ended_by.clone().unwrap_or_else(|| crash.malformed.first().cloned().unwrap_or_default()),
            crash.top_frame.clone().unwrap_or_default(),
        ]
    });
    let columns =
        ["crash", "kind", "process", "happened", "phone", "group", "attempt", "ended by", "top frame"];
    table(&columns, &["happened", "attempt", "kind", "phone", "group"], rows)
        + &more(page.next_cursor.as_ref())
}
