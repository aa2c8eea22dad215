//! A rack of pretend phones over loopback, talked to one message at a time: what clients rely on and what the faults
//! do. What unmodified third-party clients make of the phones is in `conformance`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod client;
mod faults;
mod lockdown;
mod usbmux;

use std::time::Duration;

use holdfast_simphone::rack::{Rack, RackConfig, RunningRack};

/// The longest that anything here may take; only a broken rack needs it.
const PATIENCE: Duration = Duration::from_secs(20);

async fn rack(phones: usize) -> RunningRack {
    Rack::start(RackConfig::of(phones, "16.7.2".parse().unwrap())).await.unwrap()
}

/// Fails instead of hanging.
async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} took too long"))
}
