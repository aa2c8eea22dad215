//! The program that the crash test of the archive records: a daemon's loop on a real store that takes jobs in and moves
//! those that are over into the archive, or lets go of old ones, and marks what was begun and what was answered. What
//! must be found afterwards is in the library's `jobs`.
//!
//! `powercut-archive FOLDER MARKS BLOBS FIRST JOBS END`: jobs are numbered from FIRST, and END is `close`, `exit` (in the
//! middle of a batch of ends) or `trim` (everything that is over goes first).

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::{Event, Policy};
use holdfast_store::SledStore;
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::id::{BuildHash, JobId};
use holdfast_wire::job::{JobClass, JobSpec};
use holdfastd::blobs::Blobs;
use holdfastd::clock::Clock;
use holdfastd::config::{FarmConfig, Retention};
use holdfastd::farm::{Ask, Farm, Loop, Submitted};
use holdfastd::retention::Keeping;

/// Jobs that are cancelled with one request: they end in one transaction.
const BATCH: u64 = 5;

/// Builds that the jobs take turns with, so that the archive shares some and lets go of others.
const BUILDS: u64 = 3;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Marks(File);

impl Marks {
    /// One write is one mark.
    fn say(&self, text: &str) -> std::io::Result<()> {
        (&self.0).write_all(format!("{text}\n").as_bytes())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, marks, blobs, first, jobs, end] = arguments.as_slice() else {
        eprintln!("usage: powercut-archive FOLDER MARKS BLOBS FIRST JOBS END");
        return ExitCode::from(2);
    };
    let (Ok(first), Ok(jobs)) = (first.parse::<u64>(), jobs.parse::<u64>()) else {
        eprintln!("FIRST and JOBS are numbers");
        return ExitCode::from(2);
    };
    match run(Path::new(folder), Path::new(marks), Path::new(blobs), first..first + jobs, end).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    folder: &Path,
    marks: &Path,
    blobs: &Path,
    numbers: std::ops::Range<u64>,
    end: &str,
) -> Result<(), Failure> {
    let marks = Marks(File::create(marks)?);
    marks.say("open-begin")?;
    let store = SledStore::open(folder).await?;
    marks.say("open-end")?;
    let config = FarmConfig::from(Policy::with_pools(Vec::new()));
    let (mut farm_loop, farm) = Loop::restore(store, config, Arc::new(Clock::default())).await?;
    if end == "trim" {
        let retention = Retention { ended_jobs: Duration::ZERO, idempotency_keys: Duration::ZERO };
        farm_loop = farm_loop.keeping(Keeping { retention, blobs: Blobs::open(blobs)? });
        marks.say("begin trim")?;
    }
    let running = tokio::spawn(farm_loop.run());
    if end == "trim" {
        farm.follow().wait_for(|snapshot| snapshot.ended.len() <= 1).await?;
        marks.say("ack trim")?;
    }
    for number in numbers.clone() {
        submit(&farm, &marks, number).await?;
    }
    // The last batch stays as it is.
    let over: Vec<u64> = numbers.collect();
    for batch in over.chunks(BATCH as usize).rev().skip(1).rev() {
        for number in batch {
            marks.say(&format!("begin cancel {number}"))?;
        }
        let events = batch.iter().map(|number| Event::JobCancelled { job: JobId(*number) }).collect();
        let cancelled = farm.tell(events);
        if end == "exit" && batch.contains(&(over[over.len() / 2])) {
            tokio::select! {
                biased;
                _ = cancelled => {}
                () = tokio::task::yield_now() => {}
            }
            std::process::exit(0);
        }
        cancelled.await?;
        for number in batch {
            marks.say(&format!("ack cancel {number}"))?;
        }
    }
    drop(farm);
    Ok(running.await??)
}

async fn submit(farm: &Farm, marks: &Marks, number: u64) -> Result<(), Failure> {
    let identity = BuildIdentity {
        hash: BuildHash::new([u8::try_from(number % BUILDS)?; 32]),
        size_bytes: 1,
        bundle_id: "org.example.app".parse()?,
        executable: "App".to_owned(),
        version: "1".to_owned(),
        build_number: "1".to_owned(),
        uuids: Vec::new(),
        minimum_os: None,
    };
    let spec = JobSpec {
        class: JobClass::Idle,
        build: Arc::new(identity),
        cases: Arc::default(),
        requirements: Arc::default(),
        priority: 0,
        owner: None,
        start_by: None,
        phones: 1,
        compare: None,
        content: None,
    };
    marks.say(&format!("begin submit {number}"))?;
    let submitted = farm.ask(|answer| Ask::Submit { spec: Box::new(spec), key: None, answer }).await?;
    match submitted {
        Submitted::New { job, .. } if job == JobId(number) => Ok(marks.say(&format!("ack submit {number}"))?),
        other => Err(format!("J{number} was expected, not {other:?}").into()),
    }
}
