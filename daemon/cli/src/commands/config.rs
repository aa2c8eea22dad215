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
    program: &'static str,
    good: bool,
    words: String,
}

pub(super) async fn run(context: &Context, command: ConfigCommand) -> Result<Exit, Failure> {
    let ConfigCommand::Check { files } = command;
    let mut checked = Vec::new();
    for file in &files {
        let program = reader_of(file)?;
        let (exit, words) = check_config(program, file).await?;
        checked.push(Checked { file: file.display().to_string(), program, good: exit == Exit::Done, words });
    }
    crate::output::print(context.format, &checked, |checked| {
        let lines = checked.iter().map(|one| match (one.good, one.words.as_str()) {
            (true, "") => format!("{}: good", one.file),
            (true, words) => format!("{}: good ({words})", one.file),
            (false, words) => words.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    })
    .map_err(stdout_failed)?;
    Ok(if checked.iter().all(|one| one.good) { Exit::Done } else { Exit::Refused })
}

/// Which program reads a file, by a key that only its configuration has.
fn reader_of(file: &Path) -> Result<&'static str, Failure> {
    let text = std::fs::read_to_string(file).map_err(|cause| Failure::File {
        operation: "read",
        path: file.display().to_string(),
        cause,
    })?;
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if has("rack:") || has("usbmuxd:") || has("daemons:") {
        return Ok("holdfast-agent");
    }
    if has("listen:") || has("pools:") || has("cases:") {
        return Ok("holdfastd");
    }
    Err(Failure::Request(format!(
        "{} is neither a holdfastd.yaml (it has `listen:`) nor an agent.yaml (it has `rack:`)",
        file.display()
    )))
}
