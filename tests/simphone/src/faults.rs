//! What can be wrong with one phone and its cable, as switches. Carrying them out is the work of whoever moves the
//! bytes or serves the request; beginning them is the work of the control socket and of scenarios.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The faults of one phone.
#[derive(Debug, Default)]
pub struct Faults {
    inner: Mutex<Switches>,
}

#[derive(Debug, Default, Clone)]
struct Switches {
    latency: Duration,
    link_bytes_per_second: Option<u64>,
    refuse_install: Option<String>,
}

impl Faults {
    /// What every request of a service takes in addition; services wait this long before they answer.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.lock().latency
    }

    /// Sets [`Self::latency`].
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// The speed of the cable that all connections of the phone share; `None` is as fast as the host.
    #[must_use]
    pub fn link_bytes_per_second(&self) -> Option<u64> {
        self.lock().link_bytes_per_second
    }

    /// Sets [`Self::link_bytes_per_second`].
    pub fn set_link_bytes_per_second(&self, speed: Option<u64>) {
        self.lock().link_bytes_per_second = speed;
    }

    /// Why every installation is refused, in the client's words; `None` when installations are allowed.
    #[must_use]
    pub fn refuse_install(&self) -> Option<String> {
        self.lock().refuse_install.clone()
    }

    /// Sets [`Self::refuse_install`].
    pub fn set_refuse_install(&self, reason: Option<String>) {
        self.lock().refuse_install = reason;
    }

    fn lock(&self) -> MutexGuard<'_, Switches> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
