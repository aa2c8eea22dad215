//! Arguments, logs, signals and exit codes of `holdfast-agent`. Everything else is in the library.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use holdfast_agent::rack::Phase;
use holdfast_agent::{AgentError, Config, run};
use holdfast_usb::UsbFinder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// The agent of one rack: finds its phones, runs what the daemon asks for, keeps results until they are confirmed.
///
/// SIGTERM or Ctrl-C finishes the attempts that run and ends; a second one ends at once. Exit codes: 0 ended as
/// asked, 1 failed, 2 wrong arguments or configuration, 3 another agent has the data folder, 130 ended at once.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration; config/agent.yaml is a complete sample.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only read the configuration, and say whether it is good.
    #[arg(long)]
    check_config: bool,
    /// What is logged, in the words of tracing's filters.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "HOLDFAST_LOG")]
    log: EnvFilter,
}

/// The configuration is wrong: mend it, a restart alone does not help.
const BAD_CONFIGURATION: u8 = 2;

/// Ended at once, after a second signal.
const STOPPED: u8 = 130;

fn main() -> ExitCode {
    // Before anything may speak TLS: one provider for the whole process.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("holdfast-agent: another TLS provider is in place; this is a mistake in the program");
        return ExitCode::FAILURE;
    }
    let Arguments { config, check_config, log } = Arguments::parse();
    if check_config {
        return check(&config);
    }
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match start(&config) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            match error.downcast_ref::<AgentError>() {
                Some(AgentError::Config { .. }) => ExitCode::from(BAD_CONFIGURATION),
                Some(AgentError::InUse { .. }) => ExitCode::from(3),
                Some(_) | None => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints one line: that the file is good, or what is wrong in it.
fn check(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok(config) => {
            let said = writeln!(
                std::io::stdout(),
                "{} is good: rack {}, daemon {}, usbmuxd {}",
                path.display(),
                config.rack,
                config.daemons.join(" or "),
                config.usbmuxd
            );
            if said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::from(error));
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn start(config: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(config)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let code = runtime.block_on(work(config));
    // What still blocks is a file operation; it must not keep a stopped agent alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}

async fn work(config: Config) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let (phase, phases) = watch::channel(Phase::Working);
    let finder = UsbFinder::start(config.usb());
    tracing::info!(rack = %config.rack, daemons = ?config.daemons, usbmuxd = %config.usbmuxd, "starts");
    let agent = run::run(config, finder, phases);
    tokio::pin!(agent);
    tokio::select! {
        done = &mut agent => return Ok(done.map(|()| ExitCode::SUCCESS)?),
        () = either(&mut terminate, &mut interrupt) => {
            tracing::info!("finishes what runs, then ends; a second signal ends it at once");
            phase.send_replace(Phase::Draining);
        }
    }
    tokio::select! {
        done = &mut agent => Ok(done.map(|()| ExitCode::SUCCESS)?),
        () = either(&mut terminate, &mut interrupt) => Ok(ExitCode::from(STOPPED)),
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
