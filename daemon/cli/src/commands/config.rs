//! `holdfast config …`: what the daemon goes by, and having it read again. `check` has every file read by the program
//! that will use it, so no second reader can differ.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_wire::sync::YieldWhen;
use holdfast_wire::views::{ConfigView, Reloaded};
use reqwest::Method;
use serde::Serialize;

use super::programs::check_config;
use super::{Context, asking, stdout_failed};
use crate::args::ConfigCommand;
use crate::exit::{Exit, Failure};
use crate::output::{ago, ahead, now, printable, span, table};

/// What was found in one file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    program: Option<&'static str>,
    good: bool,
    words: String,
}

pub(super) async fn run(context: &Context, command: ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check { files } => check(context, &files).await,
        ConfigCommand::Show => {
            let config: ConfigView = context.client.get("/api/v1/config", &[]).await?;
            context.show(&config, show)
        }
        ConfigCommand::Reload(who) => {
            let reloaded: Reloaded =
                context.client.order(Method::POST, "/api/v1/config/reload", &asking(who)).await?;
            context.show(&reloaded, reload)
        }
    }
}

async fn check(context: &Context, files: &[PathBuf]) -> Result<Exit, Failure> {
    let mut checked = Vec::new();
    for file in files {
        let (program, exit, words) = match reader_of(file)? {
            Some(program) => {
                let (exit, words) = check_config(program, file).await?;
                (Some(program), exit, words)
            }
            None => {
                let words = format!(
                    "{} is neither a holdfastd.yaml (it has `listen:`) nor an agent.yaml (it has `rack:`)",
                    file.display()
                );
                (None, Exit::Refused, words)
            }
        };
        checked.push(Checked { file: file.display().to_string(), program, good: exit == Exit::Done, words });
    }
    crate::output::print(context.format, &checked, |checked| {
        let lines = checked.iter().map(|one| match (one.good, one.words.as_str()) {
            (true, "") => format!("{} is good", one.file),
            (true | false, words) => words.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    })
    .map_err(stdout_failed)?;
    Ok(if checked.iter().all(|one| one.good) { Exit::Done } else { Exit::Refused })
}

fn reload(reloaded: &Reloaded) -> String {
    let mut lines = match reloaded.changes.as_slice() {
        [] => vec!["read again; nothing has changed".to_owned()],
        changes => {
            let changes = changes.iter().map(|change| format!("  {}", printable(change)));
            std::iter::once("read again; in force now:".to_owned()).chain(changes).collect()
        }
    };
    lines.extend(reloaded.warnings.iter().map(|warning| format!("warning: {}", printable(warning))));
    lines.join("\n")
}

fn show(config: &ConfigView) -> String {
    let now = now();
    let files = config.files.iter().map(|file| {
        let when = if file.reloaded { "read again by a reload" } else { "read at the start only" };
        vec![file.kind.clone(), when.to_owned(), file.path.clone()]
    });
    let classes = config.classes.iter().map(|class| {
        vec![
            class.class.to_string(),
            format!("{}{}", class.rank, if class.strict { ", strict" } else { "" }),
            class
                .lift_after_s
                .map_or_else(|| "never".to_owned(), |s| format!("after {}", span(Duration::from_secs(s)))),
            match class.takes {
                None => "waits".to_owned(),
                Some(YieldWhen::CaseDone) => "when the case is done".to_owned(),
                Some(YieldWhen::AtOnce) => "at once".to_owned(),
            },
            if class.preemptible { "to all above" } else { "never" }.to_owned(),
            class.window.clone().unwrap_or_else(|| "always".to_owned()),
        ]
    });
    let mut text = format!("in force since {} ({})\n\n", config.loaded_at, ago(now, config.loaded_at));
    text.push_str(&table(&["file of", "when", "path"], &["when"], files));
    text.push_str("\n\n");
    let columns = ["class", "rank", "lifted", "takes idle phones", "gives its own up", "window"];
    text.push_str(&table(&columns, &["gives its own up"], classes));
    if !config.windows.is_empty() {
        let windows = config.windows.iter().map(|window| {
            let state = if window.open { "open" } else { "shut" };
            let until = window
                .changes_at
                .map_or_else(|| "for ever".to_owned(), |at| format!("until {at} ({})", ahead(now, at)));
            vec![window.name.clone(), state.to_owned(), until]
        });
        text.push_str("\n\n");
        text.push_str(&table(&["window", "now", ""], &[], windows));
    }
    if !config.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &config.warnings {
        text.push_str(&format!("\nwarning: {}", printable(warning)));
    }
    if let Some(refused) = &config.refused {
        text.push_str(&format!("\n\na reload was refused {}:", ago(now, refused.at)));
        for mistake in &refused.mistakes {
            text.push_str(&format!("\n  {}: {}", printable(&mistake.place), printable(&mistake.what)));
        }
    }
    text
}

/// Which program reads a file, by a key that only its configuration has; none when it has no such key.
fn reader_of(file: &Path) -> Result<Option<&'static str>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|cause| Failure::File {
        operation: "read",
        path: file.display().to_string(),
        cause,
    })?;
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if has("rack:") || has("usbmuxd:") || has("daemons:") {
        return Ok(Some("holdfast-agent"));
    }
    if has("listen:") || has("pools:") || has("cases:") {
        return Ok(Some("holdfastd"));
    }
    Ok(None)
}
