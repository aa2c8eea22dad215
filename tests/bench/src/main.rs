//! The program `holdfast-bench`: arguments, the order of measurements, exit code.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use holdfast_bench::figures::Figures;
use holdfast_bench::measure::storm::{Coming, Size};
use holdfast_bench::measure::{self, Depth, Setup};
use holdfast_bench::report;

#[global_allocator]
static ALLOCATOR: holdfast_bench::allocated::Counting = holdfast_bench::allocated::Counting;

/// How often the scheduler is measured.
const RUNS: u32 = 5;

/// Crash files of a storm, and those that a chat is told of, unless said; more than so many of these are none of it.
const STORM_FILES: u32 = 10_000;
const CHAT_FILES: u32 = 20;
const CHAT_FILES_MAX: u32 = 200;

/// Measures the scheduler (the brain alone, real daemons under light agents and clients, and a peer's queue), how long it
/// takes until a chat is told of a crash, or a storm of crash files: what is lost, and who waits meanwhile.
#[derive(Debug, Parser)]
#[command(name = "holdfast-bench", version)]
struct Arguments {
    /// What is measured.
    subject: Subject,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// How often each measurement is made, 5 times unless said, a storm once; the median counts.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: Option<u32>,
    /// Small and once: shows that everything still works, and nothing else.
    #[arg(long)]
    quick: bool,
    /// Only these measurements.
    #[arg(long, value_name = "NAME")]
    only: Vec<Measurement>,
    /// A recorded workload in the Standard Workload Format, gzipped or not, instead of the synthetic one.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Events through the brain, instead of a million.
    #[arg(long, value_name = "N")]
    events: Option<usize>,
    /// Crash files: 10,000 of a storm, or 20 that pretend phones write until a chat is told, unless said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    files: Option<u32>,
    /// storm: builds of the farm over which it comes.
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    builds: u32,
    /// storm: defects that the files show; 1 is a crash that everything meets.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    defects: u32,
    /// storm: all of it comes at once instead of within a minute.
    #[arg(long)]
    at_once: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Subject {
    Scheduler,
    Chat,
    Storm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    Brain,
    Quality,
    Submit,
    Refill,
    Dispatch,
    Preempt,
    Drain,
    IdleBehindBusy,
    Restart,
    SkipLocked,
}

/// One worker for everything: clients and agents stand for other machines, and what they cost here is taken from what is
/// measured. More threads would wake each other for every answer.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> ExitCode {
    // The program's first task would stand beside the worker, on a thread of its own.
    match tokio::spawn(run(Arguments::parse())).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: the measurements stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> ExitCode {
    match arguments.subject {
        Subject::Scheduler => scheduler(&arguments).await,
        Subject::Chat => chat(&arguments).await,
        Subject::Storm => storm(&arguments).await,
    }
}

async fn chat(arguments: &Arguments) -> ExitCode {
    let files = arguments.files.unwrap_or(CHAT_FILES);
    if files > CHAT_FILES_MAX {
        eprintln!("error: --files of a chat is at most {CHAT_FILES_MAX}");
        return ExitCode::FAILURE;
    }
    match measure::chat::measure(files as usize).await {
        Ok(figures) => judge(&report::CHAT, &figures, arguments),
        Err(error) => ended(Err(error), true),
    }
}

/// Nothing of a storm may get lost, nor keep people waiting.
async fn storm(arguments: &Arguments) -> ExitCode {
    let coming = if arguments.at_once { Coming::AtOnce } else { Coming::Evenly };
    let files = arguments.files.unwrap_or(STORM_FILES) as usize;
    let size = Size { files, builds: arguments.builds as usize, defects: arguments.defects as usize, coming };
    let mut found = Vec::new();
    for _ in 0..arguments.runs.unwrap_or(1) {
        match measure::storm::measure(size).await {
            Ok(figures) => found.push(figures),
            Err(error) => return ended(Err(error), true),
        }
    }
    judge(&report::STORM, &Figures::medians(&found), arguments)
}

/// Prints figures, and fails when one of them misses its target.
fn judge(lines: &[report::Line], figures: &Figures, arguments: &Arguments) -> ExitCode {
    let missed = report::missed(lines, figures);
    if !missed.is_empty() {
        eprintln!("error: missed: {}", missed.join(", "));
    }
    ended(print(lines, figures, arguments), !missed.is_empty())
}

fn ended(printed: anyhow::Result<()>, failed: bool) -> ExitCode {
    if let Err(error) = &printed {
        eprintln!("error: {error:#}");
    }
    if failed || printed.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn scheduler(arguments: &Arguments) -> ExitCode {
    let depth = if arguments.quick { Depth::Quick } else { Depth::Full };
    let setup = Setup { depth, trace: arguments.trace.clone(), events: arguments.events };
    let runs = if arguments.quick { 1 } else { arguments.runs.unwrap_or(RUNS) };
    let all = Measurement::value_variants();
    let wanted: Vec<Measurement> =
        if arguments.only.is_empty() { all.to_vec() } else { arguments.only.clone() };
    let mut figures = Figures::default();
    let mut failed = false;
    for measurement in wanted {
        match several(measurement, &setup, runs).await {
            Ok(found) => figures.extend(found),
            Err(error) => {
                failed = true;
                figures = figures.remark(format!("{measurement:?} failed: {error:#}"));
            }
        }
    }
    ended(print(&report::SCHEDULER, &figures, arguments), failed)
}

async fn several(measurement: Measurement, setup: &Setup, runs: u32) -> anyhow::Result<Figures> {
    let mut found = Vec::new();
    for run in 1..=runs {
        eprintln!("{measurement:?}, run {run} of {runs}");
        found.push(once(measurement, setup).await?);
    }
    Ok(Figures::medians(&found))
}

async fn once(measurement: Measurement, setup: &Setup) -> anyhow::Result<Figures> {
    match measurement {
        Measurement::Brain => tokio::task::block_in_place(|| measure::brain::measure(setup)),
        Measurement::Quality => tokio::task::block_in_place(|| measure::quality::measure(setup)),
        Measurement::Submit => measure::submit::measure(setup).await,
        Measurement::Refill => measure::refill::measure(setup).await,
        Measurement::Dispatch => measure::dispatch::measure(setup).await,
        Measurement::Preempt => measure::preempt::measure(setup).await,
        Measurement::Drain => measure::drain::measure(setup).await,
        Measurement::IdleBehindBusy => measure::idle_behind_busy::measure(setup).await,
        Measurement::Restart => measure::restart::measure(setup).await,
        Measurement::SkipLocked => measure::skip_locked::measure(setup).await,
    }
}

fn print(lines: &[report::Line], figures: &Figures, arguments: &Arguments) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = if arguments.json {
        format!("{}\n", report::object(lines, figures))
    } else {
        report::table(lines, figures)
    };
    out.write_all(text.as_bytes()).context("cannot write to standard output")
}
