//! The crash test: the store's workload is recorded, and at well over a thousand points of it the
//! disk is left as a kill, a power cut or a torn power cut would leave it. Every acknowledged
//! transaction must be whole there, none half there, and the store usable. The same test run on sled
//! without our mends must fail.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::{check_mended, run, shm};
use holdfast_powercut::disk::{Crash, Disk};
use holdfast_powercut::log::{self, Record};
use holdfast_powercut::plain::{Mends, PlainStore};
use holdfast_powercut::recorder::Recorder;
use holdfast_powercut::replay::{Failure, History, points};
use holdfast_powercut::workload::{Contents, Ledger, Wrong};

/// Three crashes of each point, torn in two ways; the seeds differ from point to point.
fn crashes(point: usize) -> Vec<Crash> {
    let seed = point as u64 * 2;
    vec![Crash::Kill, Crash::PowerCut, Crash::Torn(seed), Crash::Torn(seed + 1)]
}

fn summary(failures: &[Failure]) -> String {
    let lines: Vec<String> = failures.iter().take(20).map(ToString::to_string).collect();
    format!("{} failures, the first:\n{}", failures.len(), lines.join("\n"))
}

/// The replayed files are byte for byte those on the real disk: the recorder missed nothing.
fn assert_complete(history: &History<'_>, root: &Path) {
    let (disk, _) = history.at(history.records.len());
    let real = Disk::holding(root, root).unwrap();
    let (real, replayed) = (real.present(), disk.present());
    assert_eq!(real.keys().collect::<Vec<_>>(), replayed.keys().collect::<Vec<_>>());
    for (path, bytes) in real {
        assert!(replayed[&path] == bytes, "{} differs from the recording", path.display());
    }
}

#[test]
fn no_acknowledged_transaction_is_lost_at_any_point() {
    let work = shm();
    let recorder = Recorder::new(work.path()).unwrap();
    let base = Disk::holding(recorder.root(), recorder.root()).unwrap();
    // Created and closed; opened and killed in the middle; opened after that, and compacted.
    for (transactions, end) in [(40, "close"), (40, "exit"), (40, "compact")] {
        assert_eq!(run(&recorder, "mended", transactions, end, None), Some(0), "{end}");
    }
    let records = log::read(recorder.log()).unwrap();
    let history = History { disk: &base, ledger: Ledger::default(), records: &records };
    assert_complete(&history, recorder.root());
    let blobs = records.iter().filter(|record| {
        matches!(record, Record::Open { path, create: true, .. } if path.parent().unwrap().ends_with("blobs"))
    });
    assert_eq!(blobs.count(), 0, "sled never syncs what it writes there");

    let chosen = points(&records, 4);
    let failures = history.check(&chosen, work.path(), crashes, check_mended);
    let images = chosen.len() * 4;
    println!("{} records, {} points, {images} crashed disks", records.len(), chosen.len());
    assert!(failures.is_empty(), "{}", summary(&failures));
    assert!(images >= 1000, "only {images} disks were tried");
    let (_, ledger) = history.at(records.len());
    assert!(ledger.acknowledged() > 300, "only {} acknowledgements", ledger.acknowledged());

    crash_again(&history, &chosen);
}

/// Opens disks that had already crashed, under the recorder, and crashes them again on the way.
fn crash_again(history: &History<'_>, chosen: &[usize]) {
    const DISKS: usize = 8;
    let mut again = 0;
    for number in 0..DISKS {
        let point = chosen[(number * 2 + 1) * chosen.len() / (DISKS * 2)];
        let (disk, ledger) = history.at(point);
        let work = shm();
        let recorder = Recorder::new(work.path()).unwrap();
        disk.write_after(Crash::Torn(point as u64 * 2), recorder.root()).unwrap();
        let base = Disk::holding(recorder.root(), recorder.root()).unwrap();
        assert_eq!(run(&recorder, "mended", 1, "close", None), Some(0), "after record {point}");
        let records = log::read(recorder.log()).unwrap();
        let history = History { disk: &base, ledger, records: &records };
        assert_complete(&history, recorder.root());
        let chosen = points(&records, 1);
        again += chosen.len() * 4;
        let failures = history.check(&chosen, work.path(), crashes, check_mended);
        assert!(failures.is_empty(), "the second crash after record {point}: {}", summary(&failures));
    }
    println!("{again} disks crashed twice");
}

#[test]
fn a_transaction_of_many_megabytes_is_whole_or_not_there() {
    let work = shm();
    let recorder = Recorder::new(work.path()).unwrap();
    let base = Disk::holding(recorder.root(), recorder.root()).unwrap();
    // Some of everything first, so that the large transactions meet space that is used again.
    for (transactions, end) in [(20, "close"), (4, "bulk")] {
        assert_eq!(run(&recorder, "mended", transactions, end, None), Some(0), "{end}");
    }
    let records = log::read(recorder.log()).unwrap();
    let history = History { disk: &base, ledger: Ledger::default(), records: &records };
    assert_complete(&history, recorder.root());
    let bulk =
        records.iter().position(|record| matches!(record, Record::Mark(mark) if mark.starts_with("begin 4")));
    let chosen: Vec<usize> = points(&records, 2).into_iter().filter(|point| *point > bulk.unwrap()).collect();
    println!("{} points during large transactions", chosen.len());
    assert!(chosen.len() > 20, "only {} points", chosen.len());
    let failures = history.check(&chosen, work.path(), crashes, check_mended);
    assert!(failures.is_empty(), "{}", summary(&failures));
}

/// Records an engine without some of the mends and answers what the test finds.
fn failures_of(engine: &str, mends: Mends) -> Vec<Failure> {
    let work = shm();
    let recorder = Recorder::new(work.path()).unwrap();
    let base = Disk::holding(recorder.root(), recorder.root()).unwrap();
    for end in ["close", "exit", "close"] {
        assert_eq!(run(&recorder, engine, 20, end, None), Some(0), "{end}");
    }
    let records = log::read(recorder.log()).unwrap();
    let history = History { disk: &base, ledger: Ledger::default(), records: &records };
    assert_complete(&history, recorder.root());
    let chosen = points(&records, 16);
    let failures = history.check(&chosen, work.path(), crashes, |folder, ledger| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let store = PlainStore::open(&folder.join("store"), mends).map_err(Wrong::Unusable)?;
            let contents: Contents = store.contents().map_err(Wrong::Unusable)?;
            ledger.judge(&contents)
        }));
        outcome.unwrap_or_else(|_| Err(Wrong::Unusable("sled panicked".to_owned())))
    });
    for kind in ["Kill", "PowerCut", "Torn"] {
        let of_kind = count(&failures, |failure| format!("{:?}", failure.crash).starts_with(kind));
        println!(
            "{engine}: {of_kind} of {} disks fail after {kind}",
            chosen.len() * if kind == "Torn" { 2 } else { 1 }
        );
    }
    failures
}

fn count(failures: &[Failure], of: impl Fn(&Failure) -> bool) -> usize {
    failures.iter().filter(|failure| of(failure)).count()
}

#[test]
fn the_test_finds_what_plain_sled_does_wrong() {
    let failures = failures_of("plain", Mends::Nothing);
    let lost = count(&failures, |f| f.crash == Crash::PowerCut && matches!(f.wrong, Wrong::Lost { .. }));
    assert!(lost > 0, "flush is no sync: {}", summary(&failures));
    let killed = count(&failures, |f| f.crash == Crash::Kill && matches!(f.wrong, Wrong::Lost { .. }));
    assert_eq!(
        killed,
        0,
        "nothing written is lost by a kill, or the test itself is wrong: {}",
        summary(&failures)
    );
    let unopenable = count(&failures, |f| f.crash == Crash::Kill && matches!(f.wrong, Wrong::Unusable(_)));
    assert!(unopenable > 0, "a kill while a snapshot is written: {}", summary(&failures));
}

#[test]
fn the_test_finds_that_large_values_side_by_side_are_not_synced() {
    let failures = failures_of("unchunked", Mends::AllButChunks);
    let lost = count(&failures, |f| f.crash == Crash::PowerCut);
    assert!(lost > 0, "blob files are never synced: {}", summary(&failures));
}
