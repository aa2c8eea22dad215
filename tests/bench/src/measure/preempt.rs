//! Crash jobs that take phones from idle work: 200 of them, 20 a second, against 1,000 phones that all run idle jobs.
//! Measured are submission → the order to give the phone up, and submission → the crash job's own order. Light agents
//! stop at once, so the stop time of a real agent is apart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use super::Setup;
use crate::agent::{Manner, Staging, What};
use crate::clients::{Accepted, Until, submit, submit_all};
use crate::farm::{Daemon, Rows};
use crate::figures::Figures;
use crate::http::Http;
use crate::phones::requirements;
use crate::random::Random;

/// Between two crash jobs: 20 a second.
const EVERY: Duration = Duration::from_millis(50);

/// How long the farm may take until the last crash job runs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures it.
///
/// # Errors
/// The daemon fails, or lets crash jobs wait behind idle work.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let (agents, phones_each, crashes) = setup.depth.of((20, 50, 200_u32), (4, 25, 10));
    let phones = agents * phones_each;
    let daemon = Daemon::start().await?;
    let mut random = Random::new(5);
    let idle = vec![daemon.job("idle", &serde_json::json!({}))];
    submit_all(daemon.address, Arc::new(idle), Until::Jobs(phones)).await?;
    let mut rows = Rows::start(daemon.address, agents, phones_each, Manner::WhenTold, Staging::Ignored);
    rows.all_busy(phones).await?;
    let mut submissions = JoinSet::new();
    let started = Instant::now();
    let mut clients = (0..crashes).map(|_| daemon.job("crash", &requirements(&mut random))).zip(0..);
    let mut pending = clients.next();
    let mut yields: Vec<Instant> = Vec::new();
    let mut runs: HashMap<u64, Instant> = HashMap::new();
    while runs.len() < crashes as usize {
        let due = pending.as_ref().map_or(started, |(_, number)| started + EVERY * *number);
        tokio::select! {
            () = tokio::time::sleep_until(due.into()), if pending.is_some() => {
                if let Some((body, _)) = pending.take() {
                    let address = daemon.address;
                    submissions.spawn(async move { submit(&mut Http::new(address), &body).await });
                }
                pending = clients.next();
            }
            seen = rows.next() => {
                let seen = seen?;
                match seen.what {
                    What::Yield => yields.push(seen.at),
                    What::Run { job, .. } => { runs.insert(job, seen.at); }
                    What::Confirmed => {}
                }
            }
            () = tokio::time::sleep_until((started + EVERY * crashes + PATIENCE).into()) => {
                let (ran, yielded) = (runs.len(), yields.len());
                bail!("of {crashes} crash jobs {ran} ran, and {yielded} phones were to be given up");
            }
        }
    }
    let mut accepted = Vec::new();
    while let Some(done) = submissions.join_next().await {
        accepted.push(done.context("a client stopped")??);
    }
    accepted.sort_by_key(|job: &Accepted| job.sent);
    // An order to give up names the attempt that ends and not the job that takes over, so they are matched in order.
    let told = accepted.iter().zip(&yields).map(|(job, at)| at.saturating_duration_since(job.sent));
    let ran = accepted.iter().filter_map(|job| Some(runs.get(&job.job)?.saturating_duration_since(job.sent)));
    Ok(Figures::default()
        .with_times("preempt", &told.collect::<Vec<_>>())
        .with_times("preempt_run", &ran.collect::<Vec<_>>()))
}
