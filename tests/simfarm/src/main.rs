//! `holdfast-simulate`: runs seeds of the simulated farm in as many threads as there are cores.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use holdfast_simfarm::foretold::Tally;
use holdfast_simfarm::run;
use holdfast_simfarm::scenario::Scenario;
use holdfast_simfarm::world::Wish;

/// How many seeds there are between two lines of progress.
const PROGRESS_EVERY: u64 = 500;

/// Runs the simulated farm: seeds FIRST to FIRST+SEEDS-1. Ends non-zero when a law is broken.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Prints everything that happens; best with one seed.
    #[arg(long)]
    trace: bool,
    /// Plays jobs alone, and tells how often they started when the brain said they would.
    #[arg(long)]
    eta: bool,
    /// How many of the last lines of a failure's story are printed.
    #[arg(long, default_value_t = 40)]
    lines: usize,
    /// Goes on after a broken law, and tells each law's first seeds in a line.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.eta {
        return foretell(&arguments);
    }
    if arguments.trace {
        return trace(&arguments);
    }
    // A brain that stops is a law that is broken, and told as such.
    std::panic::set_hook(Box::new(|_| {}));
    simulate(&arguments)
}

fn foretell(arguments: &Arguments) -> ExitCode {
    let mut tally = Tally::default();
    let mut code = ExitCode::SUCCESS;
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        match run::foretell(seed) {
            Ok(seen) => tally.add(seen),
            Err(broken) => {
                println!("seed {seed}: {broken}");
                code = ExitCode::FAILURE;
            }
        }
    }
    println!("{}", tally.words());
    code
}

fn trace(arguments: &Arguments) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        let (result, story) =
            run::once(&Scenario::of(seed), Wish { story: true, hash: true, foretell: false });
        for line in story {
            println!("{line}");
        }
        match result {
            Ok(figures) => println!("seed {seed}: {figures:?}"),
            Err(broken) => {
                println!("seed {seed}: {broken}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn simulate(arguments: &Arguments) -> ExitCode {
    let (next, events, jobs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (staged, went_on) = (AtomicU64::new(0), AtomicU64::new(0));
    let (stop, failed) = (AtomicBool::new(false), AtomicU64::new(0));
    let output = Mutex::new(());
    let began = Instant::now();
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= arguments.seeds {
                return;
            }
            let seed = arguments.first + number;
            match run::seed(seed) {
                Ok(figures) => {
                    events.fetch_add(figures.events, Ordering::Relaxed);
                    jobs.fetch_add(figures.jobs as u64, Ordering::Relaxed);
                    staged.fetch_add(figures.staged, Ordering::Relaxed);
                    went_on.fetch_add(figures.went_on, Ordering::Relaxed);
                }
                Err(broken) => {
                    let _guard = output.lock();
                    failed.fetch_add(1, Ordering::Relaxed);
                    if arguments.keep_going {
                        println!("seed {seed}: {broken}");
                    } else if !stop.swap(true, Ordering::Relaxed) {
                        println!("{}", run::explain(seed, broken, arguments.lines));
                    }
                }
            }
            if (number + 1).is_multiple_of(PROGRESS_EVERY) {
                let rate = (number + 1) as f64 / began.elapsed().as_secs_f64();
                eprintln!("{} seeds, {rate:.1} a second", number + 1);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let seconds = began.elapsed().as_secs_f64();
    let run = next.load(Ordering::Relaxed).min(arguments.seeds);
    println!(
        "{run} seeds, {} jobs, {} times staged ahead, {} of them begun so, {} events in {seconds:.1} s: {:.1} seeds a second; {} broke a law",
        jobs.load(Ordering::Relaxed),
        staged.load(Ordering::Relaxed),
        went_on.load(Ordering::Relaxed),
        events.load(Ordering::Relaxed),
        run as f64 / seconds,
        failed.load(Ordering::Relaxed)
    );
    if failed.load(Ordering::Relaxed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
