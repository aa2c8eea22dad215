//! The crash test of the archive: a daemon that takes jobs in, moves those that are over into the archive and lets go of
//! old ones is recorded, and the disk is left as a kill, a power cut or a torn power cut would leave it on the way. Every
//! job must be in exactly one place, none may be lost or come back, and a daemon must start on what is there.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use holdfast_powercut::disk::{Crash, Disk};
use holdfast_powercut::jobs::{Found, JobBook};
use holdfast_powercut::log;
use holdfast_powercut::recorder::Recorder;
use holdfast_powercut::replay::{History, points};
use holdfast_powercut::workload::Wrong;
use holdfast_scheduler::Policy;
use holdfast_store::{Op, SledStore, Store};
use holdfast_wire::id::JobId;
use holdfastd::clock::Clock;
use holdfastd::config::FarmConfig;
use holdfastd::farm::Loop;
use holdfastd::records;

/// A life of the daemon under the recorder.
fn live(recorder: &Recorder, first: u64, jobs: u64, end: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_powercut-archive"));
    command.arg(recorder.root().join("store")).arg(recorder.marks());
    // Reports larger than a record lie there: there are none, so it is not watched.
    command.arg(recorder.marks().with_file_name("blobs"));
    command.args([&first.to_string(), &jobs.to_string(), end]);
    recorder.watch(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{end}: {}", String::from_utf8_lossy(&output.stderr));
}

fn crashes(point: usize) -> Vec<Crash> {
    vec![Crash::Kill, Crash::PowerCut, Crash::Torn(point as u64)]
}

fn check(folder: &Path, book: &JobBook) -> Result<(), Wrong> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let unusable = |error: &dyn std::fmt::Display| Wrong::Unusable(error.to_string());
        let store = SledStore::open(folder.join("store")).await.map_err(|error| unusable(&error))?;
        let found = Found::of(&store).await?;
        book.judge(&found)?;
        let config = FarmConfig::from(Policy::with_pools(Vec::new()));
        let (_loop, farm) = Loop::restore(store, config, Arc::new(Clock::default()))
            .await
            .map_err(|error| Wrong::Unusable(format!("no daemon starts on it: {error}")))?;
        for number in &found.ended {
            let job = farm.archive.job(JobId(*number)).await;
            job.map_err(|error| Wrong::Job(format!("J{number} cannot be read: {error}")))?;
        }
        let shown = farm.snapshot().jobs.len();
        let expected = found.live.len() + found.ended.len();
        if shown != expected {
            return Err(Wrong::Job(format!("{shown} jobs are shown, and {expected} are there")));
        }
        Ok(())
    })
}

#[test]
fn no_job_is_lost_or_comes_back_when_the_archive_is_written_and_trimmed() {
    let work = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let recorder = Recorder::new(work.path()).unwrap();
    let base = Disk::holding(recorder.root(), recorder.root()).unwrap();
    for (first, jobs, end) in [(1, 30, "close"), (31, 30, "exit"), (61, 15, "trim"), (76, 0, "trim")] {
        live(&recorder, first, jobs, end);
    }
    let records = log::read(recorder.log()).unwrap();
    let history = History { disk: &base, ledger: JobBook::default(), records: &records };
    let chosen = points(&records, 4);
    let failures = history.check(&chosen, work.path(), crashes, check);
    let lines: Vec<String> = failures.iter().take(20).map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} failures, the first:\n{}", failures.len(), lines.join("\n"));
    let disks = chosen.len() * 3;
    let (_, book) = history.at(records.len());
    println!("{} records, {disks} crashed disks, {} answers", records.len(), book.answers());
    assert!(disks > 300 && book.answers() > 100, "{disks} disks, {} answers", book.answers());
}

/// The judge sees a daemon that would move a job in two transactions.
#[tokio::test]
async fn a_job_between_its_places_is_seen() {
    let work = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(work.path()).unwrap();
    live(&recorder, 1, 10, "close");
    let records = log::read(recorder.log()).unwrap();
    let disk = Disk::holding(recorder.root(), recorder.root()).unwrap();
    let (_, book) = History { disk: &disk, ledger: JobBook::default(), records: &records }.at(records.len());
    let folder = recorder.root().join("store");
    let open = async || SledStore::open(&folder).await.unwrap();
    let store = open().await;
    book.judge(&Found::of(&store).await.unwrap()).unwrap();
    let ended = records::ENDED.number(1);
    let entry = store.get(&ended).await.unwrap().unwrap();
    for ops in [
        vec![Op::put(records::JOB.number(1), entry.value.to_vec())],
        vec![Op::delete(records::JOB.number(1)), Op::delete(ended.clone())],
    ] {
        store.commit(Vec::new(), ops).await.unwrap();
        let wrong = book.judge(&Found::of(&store).await.unwrap());
        assert!(matches!(wrong, Err(Wrong::Job(_))), "{wrong:?}");
    }
}
