//! Measures the loop without HTTP: how many submissions a second become durable, what a turn costs when few and when
//! many jobs wait, and how long a restart takes until the first answer.
//! `cargo run --release -p holdfastd --example turns -- FOLDER [JOBS]`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may fail loudly")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use holdfast_scheduler::Policy;
use holdfast_store::SledStore;
use holdfast_wire::job::{JobClass, JobSpec};
use holdfastd::clock::Clock;
use holdfastd::farm::{Ask, Farm, Loop, Submitted};

/// Submissions under way at once: clients of a busy farm.
const CLIENTS: usize = 256;

/// Different builds and requirements.
const SHAPES: usize = 500;

fn spec(number: usize) -> Box<JobSpec> {
    let shape = number % SHAPES;
    let json = serde_json::json!({
        "class": JobClass::ALL[number % 5].as_str(), "priority": 0, "owner": format!("team-{}", number % 20),
        "start_by": null,
        "cases": [{ "name": "cold-launch", "owner": "stability",
            "run": { "kind": "launch", "launches": 5, "stay_ms": 3000, "launch_timeout_ms": 30000, "arguments": [] } }],
        "requirements": { "labels": [format!("label-{shape}")] },
        "build": { "hash": format!("{:064x}", shape % 50), "size_bytes": 1, "bundle_id": "a.b", "executable": "A",
            "version": "1", "build_number": "1", "uuids": [], "minimum_os": null }
    });
    Box::new(serde_json::from_value(json).unwrap())
}

async fn submit(farm: &Farm, number: usize) {
    let spec = spec(number);
    let submitted = farm.ask(|answer| Ask::Submit { spec, key: None, answer }).await.unwrap();
    assert!(matches!(submitted, Submitted::New { .. }), "{submitted:?}");
}

async fn fill(farm: &Farm, from: usize, to: usize) -> Duration {
    let begun = Instant::now();
    let mut running = FuturesUnordered::new();
    for number in from..to {
        if running.len() == CLIENTS {
            running.next().await;
        }
        running.push(submit(farm, number));
    }
    while running.next().await.is_some() {}
    begun.elapsed()
}

async fn live(folder: &Path) -> (Farm, tokio::task::JoinHandle<()>, [Duration; 2]) {
    let begun = Instant::now();
    let store = SledStore::open(folder).await.unwrap();
    let opened = begun.elapsed();
    let clock = Arc::new(Clock::default());
    let (farm_loop, farm) = Loop::restore(store, Policy::with_pools(Vec::new()), clock).await.unwrap();
    let running = tokio::spawn(async move { farm_loop.run().await.unwrap() });
    farm.tell(Vec::new()).await.unwrap();
    (farm, running, [opened, begun.elapsed()])
}

async fn turn_cost(farm: &Farm, what: &str) {
    let mut took = Vec::new();
    for _ in 0..2_000 {
        let begun = Instant::now();
        farm.ask(|answer| Ask::Reasons { jobs: Vec::new(), answer }).await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    println!("{what}: an empty turn {:?} (median)", took[took.len() / 2]);
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap();
    let jobs: usize = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let (farm, running, _) = live(folder.as_ref()).await;
    for (from, to) in [(0, 1_000), (1_000, 11_000), (11_000, jobs - 20_000), (jobs - 20_000, jobs)] {
        let took = fill(&farm, from, to).await;
        let rate = (to - from) as f64 / took.as_secs_f64();
        println!("{from} to {to} waiting: {rate:.0} durable submissions/s, {:.1} µs each", 1e6 / rate);
        turn_cost(&farm, &format!("{to} waiting")).await;
    }
    drop(farm);
    running.await.unwrap();
    let (farm, _running, [opened, ready]) = live(folder.as_ref()).await;
    println!(
        "restart with {} waiting: store open {opened:.2?}, first answer {ready:.2?}",
        farm.snapshot().queue_len()
    );
}
