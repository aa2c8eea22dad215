//! 1,000 phones come free at once while 10,000 jobs wait: how fast is every one of them at work again? Over HTTP, with
//! real syncs; the brain's own share at a million waiting jobs is the brain's measurement.

use std::sync::Arc;
use std::time::Instant;

use super::Setup;
use crate::agent::{Manner, Staging, What};
use crate::clients::{Until, submit_all};
use crate::farm::{Daemon, Rows};
use crate::figures::{Figures, rate};
use crate::phones::requirements;
use crate::random::Random;

/// Measures it.
///
/// # Errors
/// The daemon fails.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let (agents, phones_each, backlog) = setup.depth.of((20, 50, 10_000), (4, 25, 1_000));
    let phones = agents * phones_each;
    let daemon = Daemon::start().await?;
    let mut random = Random::new(3);
    let bodies = (0..backlog).map(|_| daemon.job("custom", &requirements(&mut random))).collect();
    submit_all(daemon.address, Arc::new(bodies), Until::Jobs(backlog + phones)).await?;
    let mut rows = Rows::start(daemon.address, agents, phones_each, Manner::WhenTold, Staging::Ignored);
    rows.all_busy(phones).await?;
    let started = Instant::now();
    for phone in 0..phones {
        rows.end(phone).await?;
    }
    let (mut refilled, mut last) = (0_usize, started);
    while refilled < phones {
        let seen = rows.next().await?;
        if let What::Run { .. } = seen.what {
            refilled += 1;
            last = last.max(seen.at);
        }
    }
    Ok(Figures::default().with("refill_http_per_s", rate(refilled, last - started)))
}
