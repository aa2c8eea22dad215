//! Clients that submit jobs at once, each over a connection of its own and one job after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::http::Http;

/// How many clients submit at once.
pub const CLIENTS: usize = 64;

/// When clients stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many jobs in all.
    Jobs(usize),
    /// At this moment.
    Moment(Instant),
}

/// One accepted job.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// Its number.
    pub job: u64,
    /// When its request left.
    pub sent: Instant,
    /// How long the answer took.
    pub took: Duration,
}

#[derive(Deserialize)]
struct Created<'a> {
    id: &'a str,
}

/// Submits one job.
///
/// # Errors
/// The daemon refuses or is away.
pub async fn submit(http: &mut Http, body: &[u8]) -> anyhow::Result<Accepted> {
    let sent = Instant::now();
    let answer = http.post("/api/v1/jobs", body).await?;
    let took = sent.elapsed();
    if answer.status != 201 {
        bail!("a job was answered with {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    let created: Created<'_> = serde_json::from_slice(&answer.body).context("a job is described in JSON")?;
    let id: holdfast_wire::id::JobId = created.id.parse().context("a job has a number")?;
    Ok(Accepted { job: id.0, sent, took })
}

/// Submits jobs with [`CLIENTS`] clients; they take their bodies in turn.
///
/// # Errors
/// The daemon refuses or is away.
pub async fn submit_all(
    address: SocketAddr,
    bodies: Arc<Vec<Vec<u8>>>,
    until: Until,
) -> anyhow::Result<Vec<Accepted>> {
    let taken = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (bodies, taken) = (Arc::clone(&bodies), Arc::clone(&taken));
        clients.spawn(async move {
            let mut http = Http::new(address);
            let mut accepted = Vec::new();
            loop {
                let number = taken.fetch_add(1, Ordering::Relaxed);
                let over = match until {
                    Until::Jobs(jobs) => number >= jobs,
                    Until::Moment(moment) => Instant::now() >= moment,
                };
                if over {
                    return anyhow::Ok(accepted);
                }
                accepted.push(submit(&mut http, &bodies[number % bodies.len()]).await?);
            }
        });
    }
    let mut all = Vec::new();
    while let Some(accepted) = clients.join_next().await {
        all.extend(accepted.context("a client stopped")??);
    }
    Ok(all)
}
