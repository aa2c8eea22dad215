//! One file per noun; here the command line is handed to the right one.

mod audit;
mod build;
mod case;
mod config;
mod crash;
mod crash_import;
mod crash_read;
mod crash_symbols;
mod doctor;
mod group;
mod job;
mod manual;
mod notice;
mod owner;
mod phone;
mod pool;
mod programs;
mod queue;
mod rack;
mod schedule;
mod waiting;
mod watch;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::Format;

/// Entries that one page may carry; the daemon allows no more.
const PAGE_ENTRIES_MAX: usize = 200;

/// Does what was typed.
///
/// # Errors
/// Whatever kept it from being done, in words for people.
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    let format = if cli.json { Format::Json } else { Format::Text };
    let context = Context { client: Client::new(&cli.server)?, format };
    match cli.command {
        Command::Build(command) => build::run(&context, command).await,
        Command::Job(command) => job::run(&context, command).await,
        Command::Queue(queue) => queue::run(&context, &queue).await,
        Command::Phone(command) => phone::run(&context, command).await,
        Command::Rack(command) => rack::run(&context, command).await,
        Command::Pool(command) => pool::run(&context, command).await,
        Command::Schedule(command) => schedule::run(&context, command).await,
        Command::Owner(command) => owner::run(&context, command).await,
        Command::Crash(command) => crash::run(&context, command).await,
        Command::Group(command) => group::run(&context, command).await,
        Command::Notice(command) => notice::notices(&context, command).await,
        Command::Rules(command) => notice::rules(&context, command).await,
        Command::Case(command) => case::run(&context, command).await,
        Command::Config(command) => config::run(&context, command).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Store(command) => programs::store(&context, command).await,
        Command::Doctor => doctor::run(&context).await,
        Command::Manual { folder } => manual::run(&context, &folder),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "holdfast", &mut script);
            crate::output::write(&script).map_err(stdout_failed)?;
            Ok(Exit::Done)
        }
    }
}

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) format: Format,
}

impl Context {
    /// Prints a document and is done.
    pub(crate) fn show<T: serde::Serialize>(
        &self,
        document: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<Exit, Failure> {
        crate::output::print(self.format, document, text).map_err(stdout_failed)?;
        Ok(Exit::Done)
    }
}

/// What to say when standard output cannot be written.
pub(crate) fn stdout_failed(cause: std::io::Error) -> Failure {
    Failure::File { operation: "write", path: "standard output".to_owned(), cause }
}

/// The query of one page.
pub(crate) fn paging(paging: &crate::args::Paging) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", paging.limit.clamp(1, PAGE_ENTRIES_MAX).to_string())];
    query.extend(paging.cursor.clone().map(|cursor| ("cursor", cursor)));
    query
}

/// The query that says who changes something, and why.
pub(crate) fn asking(who: crate::args::Who) -> Vec<(&'static str, String)> {
    let by = who.by.by.map(|by| ("by", by.to_string()));
    by.into_iter().chain(who.reason.map(|reason| ("reason", reason))).collect()
}

/// The line below a page that is not the last.
pub(crate) fn more(next_cursor: Option<&String>) -> String {
    next_cursor.map_or_else(String::new, |cursor| format!("\n(there is more: --cursor {cursor})"))
}
