//! Measures the store alone: how fast groups of small records become durable, and how long a store with a million of
//! them takes to open. `cargo run --release -p holdfast-store --example million -- FOLDER [RECORDS]`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may fail loudly")]

use std::time::Instant;

use holdfast_store::codec::Kind;
use holdfast_store::{Op, SledStore, Store};

const JOB: Kind = Kind::new("job");
const RECORD_BYTES: usize = 220;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap();
    let records: u64 = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let store = SledStore::open(&folder).await.unwrap();
    let begun = Instant::now();
    for first in (0..records).step_by(4_000) {
        let ops = (first..records.min(first + 4_000)).map(|id| {
            let mut value = vec![b'x'; RECORD_BYTES];
            value[..8].copy_from_slice(&id.to_be_bytes());
            Op::put(JOB.number(id), value)
        });
        store.commit(Vec::new(), ops.collect()).await.unwrap();
    }
    println!("write_s {:.2}", begun.elapsed().as_secs_f64());
    for (puts, rounds) in [(1_u64, 300_u64), (64, 300), (256, 200)] {
        let begun = Instant::now();
        for round in 0..rounds {
            let ops = (0..puts).map(|put| {
                Op::put(JOB.number((round * 7_919 + put * 104_729) % records), vec![b'y'; RECORD_BYTES])
            });
            store.commit(Vec::new(), ops.collect()).await.unwrap();
        }
        let took = begun.elapsed().as_secs_f64();
        println!(
            "commit of {puts}: {:.0} µs, {:.0} puts/s",
            took * 1e6 / rounds as f64,
            (puts * rounds) as f64 / took
        );
    }
    store.close().await.unwrap();
    let begun = Instant::now();
    let store = SledStore::open(&folder).await.unwrap();
    println!("open_s {:.2}", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let mut after = None;
    let mut found = 0;
    loop {
        let page = store.scan_prefix(&JOB.prefix(), after.as_ref(), 4_096).await.unwrap();
        found += page.entries.len();
        let Some(last) = page.entries.last() else { break };
        after = Some(last.key.clone());
    }
    println!("scan_s {:.2} of {found}", begun.elapsed().as_secs_f64());
    println!("stats {:?}", store.stats().await.unwrap());
}
