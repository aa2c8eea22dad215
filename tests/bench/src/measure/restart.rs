//! A daemon is started on a store with a million waiting jobs: from the start of its process until the first order is
//! at a light agent that has been trying all the while.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Instant;

use anyhow::Context;

use super::Setup;
use crate::agent::{Manner, Staging, What};
use crate::backlog;
use crate::farm::{Rows, configure, spawn};
use crate::figures::Figures;

/// Measures it.
///
/// # Errors
/// The store cannot be made, or the daemon does not start on it.
pub async fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let (jobs, name) = setup.depth.of((1_000_000, "restart_1m_s"), (10_000, "restart_10k_s"));
    let backlog = backlog::make(jobs).await?;
    let folder = backlog.folder.path();
    // The agent has to know the port before the daemon is there.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    let address = free.local_addr()?;
    drop(free);
    configure(folder, address.port())?;
    let mut rows = Rows::start(address, 1, 50, Manner::WhenTold, Staging::Ignored);
    let started = Instant::now();
    let mut daemon = spawn(folder, &[])?;
    let first = loop {
        let seen = rows.next().await?;
        if let What::Run { .. } = seen.what {
            break seen.at;
        }
    };
    daemon.kill().await?;
    Ok(Figures::default().with(name, (first - started).as_secs_f64()))
}
