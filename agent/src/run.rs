//! The wiring: every task, and how they end. Arguments, signals and exit codes are `main`'s.

use std::sync::Arc;

use holdfast_device::Finder;
use holdfast_wire::id::StartId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::client::Client;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk::{self, FolderLock};
use crate::error::AgentError;
use crate::link::{Heard, Link, Voice};
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::phone::Shared;
use crate::rack::{Phase, Rack};

/// Answers that wait for the rack: there is one request in flight.
const HEARD_MAILBOX: usize = 1;

/// Runs an agent until it has drained. Dropping the future stops it at once, which loses nothing: what ran is
/// brought to its end at the next start.
///
/// # Errors
/// [`AgentError::InUse`], [`AgentError::Disk`], [`AgentError::Http`] at the start; [`AgentError::Ended`] when a
/// part stopped that cannot be started again alone.
pub async fn run<F: Finder>(
    config: Config,
    finder: F,
    phase: watch::Receiver<Phase>,
) -> Result<(), AgentError> {
    let mut lock = FolderLock::take(&config.data)?;
    lock.sign()?;
    let client = Client::new(&config.daemons)?;
    let memory_folder = config.data.join("phones");
    let memories = Memory::load_all(&memory_folder)?;
    let cache = Cache::open(&config.data.join("cache"), config.cache_bytes_max, client.clone())?;
    let mut tasks = JoinSet::new();
    let outbox = Outbox::open(&config.data, client.clone(), &mut tasks)?;
    let agent_start = start_id()?;
    let (voice, voices) = watch::channel(Arc::new(Voice::default()));
    let (heard_in, heard) = mpsc::channel::<Heard>(HEARD_MAILBOX);
    let link = Link {
        client,
        rack: config.rack.clone(),
        agent_start: agent_start.clone(),
        poll: config.poll,
        voice: voices,
        outbox: outbox.clone(),
        heard: heard_in,
    };
    let clock = Clock::start();
    let shared = Arc::new(Shared { config, agent_start, clock, outbox, cache, memory_folder });
    let rack = Rack::new(finder, shared, memories, heard, voice, phase);
    tasks.spawn(async move {
        link.run().await;
        "link"
    });
    tokio::select! {
        () = rack.run() => Ok(()),
        Some(ended) = tasks.join_next() => {
            Err(AgentError::Ended { part: ended.unwrap_or("a task that panicked") })
        }
    }
}

fn start_id() -> Result<StartId, AgentError> {
    disk::random_name().parse().map_err(|error| AgentError::Disk {
        operation: "name this start in",
        path: "data".into(),
        source: std::io::Error::other(error),
    })
}
