//! A disk that fills up or fails: the store answers with an error, acknowledges nothing false, stays
//! stopped, and after a restart every acknowledged transaction is there.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::fs;

use common::{check_mended, run, shm};
use holdfast_powercut::disk::{Crash, Disk};
use holdfast_powercut::log::{self, Record};
use holdfast_powercut::recorder::{Call, DiskFault, Lasts, Recorder};
use holdfast_powercut::replay::History;
use holdfast_powercut::workload::Ledger;

/// Transactions of each writer: some hundred calls of each kind.
const TRANSACTIONS: u64 = 15;

/// How many calls of this kind an undisturbed run makes under the watched folder.
fn calls(call: Call) -> usize {
    let work = shm();
    let recorder = Recorder::new(work.path()).unwrap();
    assert_eq!(run(&recorder, "mended", TRANSACTIONS, "close", None), Some(0));
    let records = log::read(recorder.log()).unwrap();
    let of_call = records.iter().filter(|record| match record {
        Record::Write { .. } => call == Call::Write,
        Record::Sync { .. } => call == Call::Sync,
        Record::Range => call == Call::Range,
        _ => false,
    });
    of_call.count()
}

/// Injects one fault into a run, then looks at the disk as it is, as a kill and as a power cut left it.
fn survives(fault: DiskFault) -> Option<i32> {
    let work = shm();
    let recorder = Recorder::new(work.path()).unwrap();
    let base = Disk::holding(recorder.root(), recorder.root()).unwrap();
    let code = run(&recorder, "mended", TRANSACTIONS, "close", Some(fault));
    let records = log::read(recorder.log()).unwrap();
    let history = History { disk: &base, ledger: Ledger::default(), records: &records };
    let crashes = |_| vec![Crash::Kill, Crash::PowerCut, Crash::Torn(fault.nth as u64)];
    let failures = history.check(&[records.len()], work.path(), crashes, check_mended);
    assert!(failures.is_empty(), "{fault:?}: {}", failures[0]);
    let (_, ledger) = history.at(records.len());
    let moved = work.path().join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(recorder.root().join("store"), moved.join("store")).unwrap();
    check_mended(&moved, &ledger).unwrap_or_else(|wrong| unreachable!("{fault:?}: {wrong}"));
    code
}

fn check(call: Call, errno: i32, lasts: Lasts) {
    const POINTS: usize = 24;
    let all = calls(call);
    assert!(all > POINTS, "{call:?} happens only {all} times");
    let mut stopped = 0;
    for point in 0..POINTS {
        // Every one of the first, which belong to creating the store, and then some all over the run.
        let nth = if point < POINTS / 3 { point + 1 } else { all * point / POINTS };
        let fault = DiskFault { call, nth, errno, lasts };
        match survives(fault) {
            Some(3 | 4) => stopped += 1,
            // Groups form differently in every run: a late call may not happen at all, or after the last
            // acknowledgement, while the store closes.
            Some(0) => {}
            code => unreachable!("{fault:?}: exit code {code:?}; 5 means that a stopped store answered"),
        }
    }
    assert!(stopped > POINTS / 2, "only {stopped} of {POINTS} faults were noticed");
}

#[test]
fn a_full_disk_loses_nothing() {
    check(Call::Write, libc::ENOSPC, Lasts::On);
}

#[test]
fn a_write_error_loses_nothing() {
    check(Call::Write, libc::EIO, Lasts::Once);
}

#[test]
fn a_failed_sync_is_never_forgotten() {
    check(Call::Sync, libc::EIO, Lasts::Once);
}

#[test]
fn a_failed_write_out_loses_nothing() {
    check(Call::Range, libc::EIO, Lasts::Once);
}
