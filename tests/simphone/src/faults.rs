//! What can be wrong with one phone and its cable, as switches. Carrying them out is the work of whoever moves the
//! bytes or serves the request; beginning them is the work of the control socket and of scenarios.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The faults of one phone.
#[derive(Debug, Default)]
pub struct Faults {
    inner: Mutex<Switches>,
}

#[derive(Debug, Clone)]
struct Switches {
    latency: Duration,
    link_bytes_per_second: Option<u64>,
    refuse_install: Option<String>,
    back_after_upload_cut: Option<Duration>,
    restart_takes: Duration,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            link_bytes_per_second: None,
            refuse_install: None,
            back_after_upload_cut: None,
            restart_takes: RESTART_TAKES,
        }
    }
}

/// How long a restart that a client asked for keeps a phone away. A real one takes most of a minute; nobody wants to
/// wait for that in a test.
pub const RESTART_TAKES: Duration = Duration::from_secs(3);

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

    /// After how long a phone comes back that left in mid-upload; `None` when it stays away.
    #[must_use]
    pub fn back_after_upload_cut(&self) -> Option<Duration> {
        self.lock().back_after_upload_cut
    }

    /// Sets [`Self::back_after_upload_cut`].
    pub fn set_back_after_upload_cut(&self, back_after: Option<Duration>) {
        self.lock().back_after_upload_cut = back_after;
    }

    /// How long a restart that a client asks for keeps the phone away.
    #[must_use]
    pub fn restart_takes(&self) -> Duration {
        self.lock().restart_takes
    }

    /// Sets [`Self::restart_takes`].
    pub fn set_restart_takes(&self, takes: Duration) {
        self.lock().restart_takes = takes;
    }

    fn lock(&self) -> MutexGuard<'_, Switches> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
