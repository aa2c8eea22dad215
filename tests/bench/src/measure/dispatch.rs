//! From the moment a phone is free until its next order is at its agent: 1,000 phones over 20 agents, 100 attempts a
//! second come to their end, 10,000 jobs wait. Once with agents that wait for the order, and once with agents that
//! begin what was staged ahead; these work on each attempt about as long as on the one before, which is how it is known
//! when a phone is soon to be free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Setup;
use crate::agent::{Manner, Staging, What};
use crate::clients::{Until, submit_all};
use crate::farm::{Daemon, Rows};
use crate::figures::Figures;
use crate::phones::requirements;
use crate::random::Random;

/// Between two ends: 100 a second.
const EVERY: Duration = Duration::from_millis(10);

/// How long the jobs run for which the share of time at work is told, seconds.
const JOB_S: f64 = 60.0;

/// Measures it.
///
/// # Errors
/// The daemon fails.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let asked = gaps(setup, Staging::Ignored).await?;
    let staged = gaps(setup, Staging::Obeyed).await?;
    let ahead = staged.iter().filter(|(_, staged)| *staged).count();
    let share = 100.0 * ahead as f64 / staged.len().max(1) as f64;
    let only = |gaps: Vec<(Duration, bool)>| gaps.into_iter().map(|(gap, _)| gap).collect::<Vec<_>>();
    let asked = only(asked);
    let gaps: f64 = asked.iter().map(Duration::as_secs_f64).sum();
    let gap = gaps / asked.len().max(1) as f64;
    Ok(Figures::default()
        .with("utilisation_percent", 100.0 * JOB_S / (JOB_S + gap))
        .remark("utilisation_percent: jobs of 60 s with the mean gap between two of them, as measured at 100 ends a second")
        .with_times("dispatch", &asked)
        .with_times("dispatch_staged", &only(staged))
        .with("dispatch_staged_percent", share))
}

async fn gaps(setup: &Setup, staging: Staging) -> anyhow::Result<Vec<(Duration, bool)>> {
    let (agents, phones_each, backlog, ends) = setup.depth.of((20, 50, 10_000, 2_000), (4, 25, 500, 100));
    let phones = agents * phones_each;
    let daemon = Daemon::start().await?;
    let mut random = Random::new(4);
    let bodies = (0..backlog).map(|_| daemon.job("custom", &requirements(&mut random))).collect();
    submit_all(daemon.address, Arc::new(bodies), Until::Jobs(backlog + phones)).await?;
    let mut rows = Rows::start(daemon.address, agents, phones_each, Manner::WhenTold, staging);
    rows.all_busy(phones).await?;
    // Orders that the farm gives while it settles are not the answer to an end.
    while tokio::time::timeout(Duration::from_millis(300), rows.next()).await.is_ok() {}
    let mut gaps = Vec::with_capacity(ends);
    let mut idle: Vec<bool> = vec![false; phones];
    // The first attempt of each phone only shows how long they take.
    let warm_up = if staging == Staging::Obeyed { phones } else { 0 };
    let started = Instant::now();
    let (mut next, mut seen_gaps) = (0_usize, 0_usize);
    while gaps.len() < ends {
        let due = started + EVERY * u32::try_from(next)?;
        tokio::select! {
            () = tokio::time::sleep_until(due.into()), if next < warm_up + ends => {
                // A phone that still waits for work cannot come free once more.
                let choice = match staging {
                    Staging::Ignored => (0..8).map(|_| random.place(phones)).find(|phone| !idle[*phone]),
                    Staging::Obeyed => Some(next % phones).filter(|phone| !idle[*phone]),
                };
                if let Some(phone) = choice {
                    idle[phone] = true;
                    rows.end(phone).await?;
                    next += 1;
                }
            }
            seen = rows.next() => {
                let seen = seen?;
                if let What::Run { gap: Some(gap), staged, .. } = seen.what {
                    idle[seen.phone] = false;
                    seen_gaps += 1;
                    if seen_gaps > warm_up {
                        gaps.push((gap, staged));
                    }
                }
            }
        }
    }
    Ok(gaps)
}
