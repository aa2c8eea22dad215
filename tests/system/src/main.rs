//! The program `holdfast-demo`: the main job on pretend phones, with a page to look at.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use holdfast_system::demo::board::Board;
use holdfast_system::demo::story;
use holdfast_system::demo::summary::Summary;

/// Shows Holdfast's main job on eight simulated iPhones: builds in, jobs run, a crash found and read.
#[derive(Debug, Parser)]
#[command(name = "holdfast-demo")]
struct Arguments {
    /// End after the table instead of staying up.
    #[arg(long)]
    once: bool,
    /// Print the result as JSON to standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&arguments)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    tokio::select! {
        code = show(arguments) => code,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot listen for Ctrl-C")?;
            eprintln!("\ninterrupted; every process of the demo ends with it");
            Ok(ExitCode::from(130))
        }
    }
}

async fn show(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let farm = story::start().await?;
    eprintln!("Holdfast on 8 simulated iPhones — the page: {}/", farm.url);
    let shown = story::tell(&farm, &mut Board::default()).await?;
    let summary = Summary::of(&shown);
    eprintln!("\n{}\n", summary.table());
    eprintln!(
        "one of {} crashes, as `holdfast crash show` prints it:\n\n{}",
        summary.crashes, shown.crash_text
    );
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&summary).context("cannot write the summary")?);
    }
    if !arguments.once {
        eprintln!("The farm stays up until Ctrl-C. Try in another terminal:");
        let holdfast = holdfast_system::process::program("holdfast")?;
        for words in ["phone list", "job list", "crash list", "doctor"] {
            eprintln!("  HOLDFAST_SERVER={} {} {words}", farm.url, holdfast.display());
        }
        eprintln!("  or look at {}/", farm.url);
        tokio::signal::ctrl_c().await.context("cannot listen for Ctrl-C")?;
        eprintln!("\nending the farm");
    }
    farm.stop().await?;
    Ok(if summary.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
