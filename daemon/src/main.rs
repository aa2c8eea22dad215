//! The program `holdfastd`: arguments, configuration, wiring, exit code.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use axum::serve::ListenerExt;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use holdfast_crash::Rules;
use holdfast_store::SledStore;
use holdfast_wire::api::ReloadAsked;
use holdfast_wire::id::StartId;
use holdfastd::blobs::Blobs;
use holdfastd::clock::Clock;
use holdfastd::commits;
use holdfastd::config::schema::SchemaName;
use holdfastd::config::{self, Loaded};
use holdfastd::farm::{Farm, Loop, Who};
use holdfastd::groups;
use holdfastd::http::router::router;
use holdfastd::http::state::{App, Shared};
use holdfastd::notices::{Environment, carry};
use holdfastd::reasons::Reasons;
use holdfastd::reload::Reloader;
use holdfastd::retention::Keeping;
use holdfastd::symbols::{Symbols, follow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code when the configuration has mistakes: mend it, a restart alone does not help.
const BAD_CONFIGURATION: u8 = 78;

/// The Holdfast daemon: schedules jobs onto the phones of all racks, and serves API and pages.
#[derive(Debug, Parser)]
#[command(name = "holdfastd", version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only check the configuration and everything it names, and print every mistake.
    #[arg(long)]
    check_config: bool,
    /// Log as JSON, one object a line.
    #[arg(long)]
    log_json: bool,
    /// Something else than serving.
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The store, while no daemon runs.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the JSON Schema of a configuration file.
    Schema {
        /// Which file.
        name: SchemaName,
    },
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Writes everything in the store to a file: sorted, with a checksum.
    Export {
        /// Where to.
        file: PathBuf,
    },
    /// Fills an empty store from an export.
    Import {
        /// From where.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log(&arguments);
    match arguments.command {
        Some(Command::Openapi) => return ended(print_document()),
        Some(Command::Schema { name }) => return ended(print_schema(name)),
        Some(Command::Store(_)) | None => {}
    }
    let Some(file) = &arguments.config else {
        let words = "--config FILE is needed: the daemon's settings, like config/holdfastd.yaml";
        Arguments::command().error(ErrorKind::MissingRequiredArgument, words).exit();
    };
    if arguments.check_config {
        return match config::check(file, Clock::default().now()) {
            Ok(lines) => ended(print_lines(&lines)),
            Err(lines) => {
                complain(&lines);
                ExitCode::from(BAD_CONFIGURATION)
            }
        };
    }
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            complain(&mistakes);
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(error).context("cannot start the async runtime")),
    };
    ended(runtime.block_on(async {
        match arguments.command {
            Some(Command::Store(command)) => store(&loaded, command).await,
            Some(Command::Openapi | Command::Schema { .. }) | None => serve(loaded).await,
        }
    }))
}

fn log(arguments: &Arguments) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let logger =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    if arguments.log_json {
        logger.json().init();
    } else {
        logger.init();
    }
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    for warning in loaded.daemon.warnings.iter().chain(&loaded.farm.warnings) {
        tracing::warn!("{warning}");
    }
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let data = &loaded.daemon.data;
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot make the data folder {}", data.display()))?;
    let blobs = Blobs::open(&data.join("blobs"))?;
    let symbols = Symbols::open(&data.join("symbols"), loaded.daemon.symbols.clone())
        .with_context(|| format!("cannot open the tables of symbols below {}", data.display()))?;
    let store = SledStore::open(data.join("store")).await?;
    let clock = Arc::new(Clock::default());
    let (farm_loop, farm) = Loop::restore(store, loaded.farm, clock.clone()).await?;
    let farm_loop = farm_loop.keeping(Keeping { retention: loaded.daemon.retention, blobs: blobs.clone() });
    let reloader = Arc::new(Reloader::new(loaded.daemon.clone(), farm.clone()));
    let stopping = CancellationToken::new();
    let named = follow(
        farm.clone(),
        blobs.clone(),
        symbols.clone(),
        loaded.daemon.signatures.clone(),
        stopping.clone(),
    );
    let environment: Environment = Arc::new(|name| std::env::var(name).ok());
    let post = tokio::spawn(carry(farm.clone(), clock.clone(), environment, stopping.clone()));
    let mirrors = loaded.daemon.mirrors.clone();
    let mirrors = tokio::spawn(commits::follow(farm.clone(), mirrors, clock.clone(), stopping.clone()));
    let (signed, searching) = (farm.clone(), (farm.clone(), clock.clone()));
    let app = App::from(Shared {
        farm,
        blobs: blobs.clone(),
        symbols: symbols.clone(),
        signing: loaded.daemon.signatures.clone(),
        hunt: loaded.daemon.first_bad.clone(),
        clock,
        reloader: reloader.clone(),
        limits: loaded.daemon.limits,
        timeouts: loaded.daemon.timeouts,
        start: start_id()?,
        agents: Default::default(),
        listings: Default::default(),
        reasons: Reasons::default(),
        stopping: stopping.clone(),
    });
    let listen = loaded.daemon.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr().context("cannot tell the own address")?;
    let mut running = tokio::spawn(farm_loop.run());
    let stopped = stopping.clone();
    // An answer is written whole: waiting for more of it would only keep it back.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's delay");
        }
    });
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(stopped.cancelled_owned());
    let mut server = tokio::spawn(server.into_future());
    let signing = tokio::spawn(sign_anew(signed, blobs, symbols, loaded.daemon.signatures));
    let searching = tokio::spawn(groups::search(searching.0, searching.1, loaded.daemon.first_bad));
    tracing::info!(%address, "serving");
    writeln!(std::io::stdout(), "ready http://{address}").context("cannot tell that the daemon is ready")?;
    let naming = tokio::spawn(named);
    // Ends with the reloader's way to the loop, or with the process. What it did is in the log.
    let reloads = tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            let _told = reloader.reload(ReloadAsked::Signal, Who::default()).await;
        }
    });
    tokio::select! {
        _ = terminate.recv() => tracing::info!("asked to stop"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
        // The loop ends by itself only when the store no longer serves: then nothing may be answered any more.
        ended = &mut running => {
            return ended.context("the loop stopped")?.context("the daemon stops; look at its disk and start it again");
        }
        ended = &mut server => return ended.context("the server stopped")?.context("the server stopped"),
    }
    // A way to the loop that stays open would keep it from ending.
    reloads.abort();
    signing.abort();
    naming.abort();
    searching.abort();
    mirrors.abort();
    stopping.cancel();
    if tokio::time::timeout(loaded.daemon.timeouts.shutdown, server).await.is_err() {
        tracing::warn!("some requests were still open and have been cut");
    }
    if tokio::time::timeout(loaded.daemon.timeouts.shutdown, post).await.is_err() {
        tracing::warn!("messages were still on their way; they are sent again at the next start");
    }
    // With the server gone, nobody asks the loop any more, and it ends after its last turn.
    match tokio::time::timeout(loaded.daemon.timeouts.shutdown, running).await {
        Ok(ended) => ended.context("the loop stopped")?.context("the last turn was not recorded"),
        Err(_) => Ok(()),
    }
}

async fn store(loaded: &Loaded, command: StoreCommand) -> anyhow::Result<()> {
    let folder = loaded.daemon.data.join("store");
    let (done, summary) = match command {
        StoreCommand::Export { file } => {
            let store = SledStore::open(&folder).await?;
            let writing =
                std::fs::File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
            let summary = holdfast_store::sled::export(&store, std::io::BufWriter::new(&writing))?;
            writing.sync_all().with_context(|| format!("cannot sync {}", file.display()))?;
            store.close().await?;
            (format!("exported the store to {}", file.display()), summary)
        }
        StoreCommand::Import { file } => {
            let reading =
                std::fs::File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let summary = holdfast_store::sled::import(&folder, std::io::BufReader::new(reading))?;
            (format!("imported {} into {}", file.display(), folder.display()), summary)
        }
    };
    let (revision, entries, blake3) = (summary.revision.0, summary.entries, summary.blake3);
    print_lines(&[format!("{done}: {entries} entries at revision {revision}, BLAKE3 {blake3}")])
}

fn start_id() -> anyhow::Result<StartId> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("cannot draw a start id: {error}"))?;
    format!("{:016x}", u64::from_be_bytes(bytes)).parse().context("a start id is a good name")
}

fn print_document() -> anyhow::Result<()> {
    let document = holdfastd::http::router::document();
    let text = document.to_pretty_json().context("cannot write the OpenAPI document")?;
    print_lines(&[text])
}

fn print_schema(name: SchemaName) -> anyhow::Result<()> {
    let text = name.text().context("cannot write the schema")?;
    print_lines(&[text.trim_end().to_owned()])
}

fn print_lines(lines: &[String]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).context("cannot write to standard output")
}

fn complain(lines: &[impl ToString]) {
    for line in lines {
        eprintln!("{}", line.to_string());
    }
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What was signed by other rules or an earlier version before, is signed anew while the daemon serves.
async fn sign_anew(farm: Farm, blobs: Blobs, symbols: Symbols, rules: Rules) {
    if groups::sign_anew(&farm, &blobs, &symbols, &rules).await.is_err() {
        tracing::info!("crashes will be signed anew at the next start");
    }
}
