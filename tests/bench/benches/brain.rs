//! The brain under criterion, one kind of event at a time: what changed since the run before, with its confidence.
//! `scripts/bench criterion` runs it. Whole farms, and what is promised, are measured by the program `holdfast-bench`.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![expect(missing_docs, reason = "criterion makes public functions")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use holdfast_bench::measure::brain::Busy;

/// A farm as large as any.
const PHONES: usize = 10_000;
const JOBS: usize = 100_000;

/// Events of the usual mix between two that count.
const BETWEEN: usize = 4;

/// Time that counts, of each kind: what is not counted takes several times as long.
const COUNTED: Duration = Duration::from_secs(2);

/// Times one kind of event; what keeps the farm as it was is not counted.
fn kind(
    criterion: &mut Criterion,
    busy: &mut Busy,
    name: &str,
    mut counted: impl FnMut(&mut Busy) -> Duration,
    mut undo: impl FnMut(&mut Busy) -> Duration,
) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                (0..BETWEEN).for_each(|_| busy.go_on());
                took += counted(busy);
                let _uncounted = undo(busy);
            }
            took
        });
    });
}

fn brain(criterion: &mut Criterion) {
    let busy = &mut Busy::new(PHONES, JOBS).unwrap();
    kind(criterion, busy, "submit", Busy::submit, Busy::end);
    kind(criterion, busy, "end and next", Busy::end, Busy::submit);
    kind(criterion, busy, "report", Busy::report, |_| Duration::ZERO);
    kind(criterion, busy, "sync", Busy::sync, |_| Duration::ZERO);
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(COUNTED).warm_up_time(COUNTED / 4);
    targets = brain
}
criterion_main!(benches);
