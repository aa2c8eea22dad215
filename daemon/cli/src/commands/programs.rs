//! What only the daemon's and the agent's own programs can do: they are run from where this one lies.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Serialize;
use tokio::process::Command;

use super::Context;
use crate::args::StoreCommand;
use crate::exit::{Exit, Failure};

/// How holdfastd ends when its configuration has mistakes.
const DAEMON_BAD_CONFIGURATION: i32 = 78;

/// What a program did, in its own words.
#[derive(Debug, Serialize)]
struct Done {
    done: String,
}

/// `holdfast store …`: done by holdfastd, because the store is its alone.
pub(super) async fn store(context: &Context, command: StoreCommand) -> Result<Exit, Failure> {
    let (verb, config, file) = match command {
        StoreCommand::Export { config, file } => ("export", config, file),
        StoreCommand::Import { config, file } => ("import", config, file),
    };
    let mut daemon = Command::new(beside("holdfastd")?);
    daemon.arg("--config").arg(config).arg("store").arg(verb).arg(file);
    // Its complaints go straight to standard error; what it did is this command's data.
    let running = daemon.stdout(Stdio::piped()).spawn().map_err(|cause| cannot_run("holdfastd", cause))?;
    let output = running.wait_with_output().await.map_err(|cause| cannot_run("holdfastd", cause))?;
    match output.status.code() {
        Some(0) => {
            let done = Done { done: String::from_utf8_lossy(&output.stdout).trim_end().to_owned() };
            context.show(&done, |done| done.done.clone())
        }
        Some(DAEMON_BAD_CONFIGURATION) => Ok(Exit::Refused),
        Some(_) | None => Ok(Exit::Error),
    }
}

/// What a program says of its configuration file.
pub(super) async fn check_config(program: &str, file: &Path) -> Result<(Exit, String), Failure> {
    let output = Command::new(beside(program)?)
        .arg("--config")
        .arg(file)
        .arg("--check-config")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|cause| cannot_run(program, cause))?;
    let words =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let exit = if output.status.success() { Exit::Done } else { Exit::Refused };
    Ok((exit, words.trim_end().to_owned()))
}

/// A program of the same installation.
fn beside(program: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|cause| cannot_run(program, cause))?;
    let path = own.with_file_name(program);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::Missing { program: program.to_owned(), path: path.display().to_string() })
    }
}

fn cannot_run(program: &str, cause: std::io::Error) -> Failure {
    Failure::File { operation: "run", path: program.to_owned(), cause }
}
