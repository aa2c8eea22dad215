//! The program `holdfast-simphone`: a rack of pretend phones behind a usbmuxd socket. All its parts are in the library.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use holdfast_simphone::identity::IosVersion;
use holdfast_simphone::rack::{Rack, RackConfig};
use holdfast_simphone::scenario::Scenario;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Runs a rack of simulated iPhones that speak the real protocols behind a usbmuxd socket.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many phones; of a scenario that lists phones, the first so many, then the first again
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=500))]
    phones: Option<u16>,
    /// Which iOS they run where the scenario says nothing else
    #[arg(long, default_value = "16.7.2")]
    ios: IosVersion,
    /// Where clients find the usbmuxd socket on TCP; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "socket")]
    listen: Option<SocketAddr>,
    /// Where clients find the usbmuxd socket as a path
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// What the phones are, how their apps behave, and what goes wrong (YAML)
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// A socket path for looking at the phones and for faults: one JSON object a line each way
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Where the phones' files are kept; without it they go with the program
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line with every cause; where in the program it came from helps nobody at the command line.
            eprintln!("holdfast-simphone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    // The only fallible part is a provider that is there already, which is as good.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let mut stop = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let scenario = arguments.scenario.as_deref().map_or_else(|| Ok(Scenario::default()), Scenario::load)?;
    let config = RackConfig {
        listen: arguments.listen,
        socket: arguments.socket.clone(),
        control: arguments.control,
        data: arguments.data,
        ..RackConfig::of_scenario(scenario, arguments.phones.map(usize::from), arguments.ios)
    };
    let phones = config.phones.len();
    let running = Rack::start(config).await?;
    let tcp = running.address.map(|address| address.to_string());
    let path = arguments.socket.map(|path| format!("UNIX:{}", path.display()));
    let places: Vec<String> = tcp.into_iter().chain(path).collect();
    let mut out = std::io::stdout();
    writeln!(out, "ready {} with {phones} simulated phones", places.join(" "))
        .and_then(|()| out.flush())
        .context("cannot tell that the rack is ready")?;

    tokio::select! {
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(())
}
