//! The program `holdfast-bench`: arguments, the order of measurements, exit code.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use holdfast_bench::figures::Figures;
use holdfast_bench::measure::{self, Depth, Setup};
use holdfast_bench::report;

#[global_allocator]
static ALLOCATOR: holdfast_bench::allocated::Counting = holdfast_bench::allocated::Counting;

/// Measures the scheduler (the brain alone, real daemons under light agents and clients, and a peer's queue), or how long
/// it takes until a chat is told of a crash.
#[derive(Debug, Parser)]
#[command(name = "holdfast-bench", version)]
struct Arguments {
    /// What is measured.
    subject: Subject,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// How often each measurement is made; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
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
    /// chat: crash reports that pretend phones write.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    files: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Subject {
    Scheduler,
    Chat,
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
    }
}

async fn chat(arguments: &Arguments) -> ExitCode {
    let measured = measure::chat::measure(arguments.files as usize).await;
    let said = measured.and_then(|figures| {
        print(&report::CHAT, &figures, arguments)?;
        Ok(report::missed(&report::CHAT, &figures))
    });
    match said {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("error: missed: {}", missed.join(", "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn scheduler(arguments: &Arguments) -> ExitCode {
    let depth = if arguments.quick { Depth::Quick } else { Depth::Full };
    let setup = Setup { depth, trace: arguments.trace.clone(), events: arguments.events };
    let runs = if arguments.quick { 1 } else { arguments.runs };
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
    if let Err(error) = print(&report::SCHEDULER, &figures, arguments) {
        eprintln!("error: {error:#}");
        failed = true;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
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
