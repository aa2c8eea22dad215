//! A job for an idle phone, submitted behind one for a busy phone: from its submission until its order is at the agent.

use std::time::Instant;

use anyhow::bail;
use serde_json::json;

use super::Setup;
use crate::agent::{Manner, Staging, What};
use crate::clients::submit;
use crate::farm::{Daemon, Rows, phones_ready};
use crate::figures::{Figures, ms, percentile};
use crate::http::Http;
use crate::phones::phone;

/// Measures it.
///
/// # Errors
/// The daemon fails, or serves the wrong phone.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let tries = setup.depth.of(100, 5);
    let daemon = Daemon::start().await?;
    let mut rows = Rows::start(daemon.address, 1, 2, Manner::WhenTold, Staging::Ignored);
    phones_ready(daemon.address, 2).await?;
    let mut http = Http::new(daemon.address);
    let only = |number: usize| daemon.job("custom", &json!({ "phone": phone(number).udid }));
    let (busy, idle) = (only(0), only(1));
    submit(&mut http, &busy).await?;
    rows.all_busy(1).await?;
    let mut waits = Vec::with_capacity(tries);
    while waits.len() < tries {
        submit(&mut http, &busy).await?;
        let sent = Instant::now();
        submit(&mut http, &idle).await?;
        loop {
            let seen = rows.next().await?;
            match seen.what {
                What::Run { .. } if seen.phone == 1 => {
                    waits.push(seen.at.saturating_duration_since(sent));
                    rows.end(1).await?;
                }
                What::Run { .. } => bail!("the busy phone was given a second job"),
                What::Confirmed => break,
                What::Yield => {}
            }
        }
    }
    waits.sort_unstable();
    let half = percentile(&waits, 50.0).unwrap_or_default();
    Ok(Figures::default().with("idle_behind_busy_ms", ms(half)))
}
