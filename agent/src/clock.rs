//! The time, for every task of the agent: wall time when the agent started, then only forwards.

use std::time::Duration;

use holdfast_wire::time::Time;
use tokio::time::Instant;

/// A clock that a step of the wall clock cannot turn back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Time,
    started: Instant,
}

impl Clock {
    /// Reads the wall clock, once.
    pub fn start() -> Self {
        Self { base: jiff::Timestamp::now().into(), started: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.base.after(self.started.elapsed())
    }

    /// The runtime's instant for `time`; now when it has passed.
    pub fn instant(&self, time: Time) -> Instant {
        self.started + time.since(self.base).min(Duration::from_secs(365 * 24 * 3600))
    }
}
