//! 200 phones, 1,000 jobs of one second each: from the first submission until the daemon has the last end on disk. Five
//! seconds would be ideal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Setup;
use crate::agent::{Manner, Staging, What};
use crate::clients::{Until, submit_all};
use crate::farm::{Daemon, Rows, phones_ready};
use crate::figures::Figures;

/// How long a job runs.
const JOB: Duration = Duration::from_secs(1);

/// Measures it.
///
/// # Errors
/// The daemon fails.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let (agents, phones_each, jobs) = setup.depth.of((10, 20, 1_000), (2, 20, 80));
    let daemon = Daemon::start().await?;
    let mut rows = Rows::start(daemon.address, agents, phones_each, Manner::EndAfter(JOB), Staging::Obeyed);
    phones_ready(daemon.address, agents * phones_each).await?;
    let bodies = vec![daemon.job("custom", &json!({}))];
    let started = Instant::now();
    let clients = tokio::spawn(submit_all(daemon.address, Arc::new(bodies), Until::Jobs(jobs)));
    let (mut ended, mut last) = (0, started);
    while ended < jobs {
        let seen = rows.next().await?;
        if let What::Confirmed = seen.what {
            ended += 1;
            last = last.max(seen.at);
        }
    }
    clients.await??;
    let name = setup.depth.of("drain_200x1000_s", "drain_40x80_s");
    Ok(Figures::default().with(name, (last - started).as_secs_f64()))
}
