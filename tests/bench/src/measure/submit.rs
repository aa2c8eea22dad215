//! Jobs submitted and placed over HTTP, each durable before its answer, against the bare store's grouped commit in the
//! same run. 64 clients, 1,000 phones over 20 agents, jobs that end at once: so every job is also ended and recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use holdfast_store::{Key, Op, SledStore, Store};
use tokio::task::JoinSet;

use super::Setup;
use crate::agent::{Manner, Staging, What};
use crate::clients::{CLIENTS, Until, submit_all};
use crate::farm::{Daemon, Rows, folder, phones_ready};
use crate::figures::{Figures, rate};
use crate::phones::requirements;
use crate::random::Random;

/// Bodies that clients take in turn: enough that every kind of the mix is there.
const BODIES: usize = 1_024;

/// Entries written by one transaction of the bare store, as a placement writes them.
const OPS: u64 = 4;

/// Bytes of one such entry.
const VALUE_BYTES: usize = 300;

/// How long clients submit.
const RUN_FULL: Duration = Duration::from_secs(5);

/// Measures both.
///
/// # Errors
/// The daemon or the store fails.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let span = setup.depth.of(RUN_FULL, Duration::from_secs(1));
    let commits = store_commits(span).await?;
    let (agents, phones_each) = setup.depth.of((20, 50), (4, 25));
    let daemon = Daemon::start().await?;
    let mut rows = Rows::start(daemon.address, agents, phones_each, Manner::EndAtOnce, Staging::Obeyed);
    phones_ready(daemon.address, agents * phones_each).await?;
    let mut random = Random::new(2);
    let bodies = (0..BODIES).map(|_| daemon.job("custom", &requirements(&mut random))).collect();
    let started = Instant::now();
    let end = started + span;
    let clients = tokio::spawn(submit_all(daemon.address, Arc::new(bodies), Until::Moment(end)));
    let (mut placed, mut ended) = (0_usize, 0_usize);
    while Instant::now() < end {
        let Ok(seen) = tokio::time::timeout_at(end.into(), rows.next()).await else { break };
        // What is there already needs no timer of its own.
        let more = std::iter::from_fn(|| rows.seen.try_recv().ok());
        for seen in std::iter::once(seen?).chain(more) {
            match seen.what {
                What::Run { .. } => placed += 1,
                What::Confirmed => ended += 1,
                What::Yield => {}
            }
        }
    }
    let accepted = clients.await.context("the clients stopped")??;
    let took: Vec<Duration> = accepted.iter().map(|job| job.took).collect();
    let in_span = accepted.iter().filter(|job| job.sent + job.took <= end).count();
    // A job counts once it is both accepted and at its agent.
    let both = rate(placed.min(in_span), span);
    Ok(Figures::default()
        .with("http_submits_per_s", both)
        .with("http_accepted_per_s", rate(in_span, span))
        .with("http_placed_per_s", rate(placed, span))
        .with("http_ended_per_s", rate(ended, span))
        .with("store_commits_per_s", commits)
        .with("http_to_store_ratio", both / commits.max(f64::MIN_POSITIVE))
        .with_times("http_submit", &took))
}

/// Transactions a second of the bare store, from as many tasks as there are clients.
async fn store_commits(span: Duration) -> anyhow::Result<f64> {
    let folder = folder()?;
    let store = Arc::new(SledStore::open(folder.path().join("store")).await?);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..CLIENTS as u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut commits = 0_usize;
            while started.elapsed() < span {
                let op = |op: u64| {
                    // Jobs are new, phones and counters are written over.
                    let name = if op < 2 { commits as u64 } else { 0 };
                    let key = format!("entry/{task:02}/{op}/{name:012}").into_bytes();
                    anyhow::Ok(Op::put(Key::new(key)?, vec![b'x'; VALUE_BYTES]))
                };
                let ops = (0..OPS).map(op).collect::<anyhow::Result<Vec<Op>>>()?;
                store.commit(Vec::new(), ops).await?;
                commits += 1;
            }
            anyhow::Ok(commits)
        });
    }
    let mut commits = 0;
    while let Some(done) = tasks.join_next().await {
        commits += done.context("a task stopped")??;
    }
    Ok(rate(commits, started.elapsed()))
}
