//! `holdfast config check`: every file is read by the program that will use it, so no second reader can differ.

use std::path::Path;

use serde::Serialize;

use super::programs::check_config;
use super::{Context, stdout_failed};
use crate::args::ConfigCommand;
use crate::exit::{Exit, Failure};

/// What was found in one file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    program: Option<&'static str>,
    good: bool,
    words: String,
}

pub(super) async fn run(context: &Context, command: ConfigCommand) -> Result<Exit, Failure> {
    let ConfigCommand::Check { files } = command;
    let mut checked = Vec::new();
    for file in &files {
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
