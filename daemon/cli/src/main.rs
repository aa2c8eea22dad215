//! Entry point: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use holdfast_cli::args::Cli;
use holdfast_cli::commands;
use holdfast_cli::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider was installed before ring");
        return Exit::Error.into();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return Exit::Error.into();
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = commands::run(cli) => ended,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
        }
    });
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            complain(&failure);
            failure.exit().into()
        }
    }
}

/// Prints the whole chain, each layer once.
fn complain(failure: &Failure) {
    eprintln!("error: {failure}");
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
