//! The phone's own clock, which may be off, and its time zone. The host's clock is read here and nowhere else.

use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

/// The clock of one phone.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: AtomicI64,
    zone_seconds: AtomicI32,
}

impl Clock {
    /// The time that the phone believes it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let host = Timestamp::now();
        host.checked_add(SignedDuration::from_millis(self.ahead_ms())).unwrap_or(host)
    }

    /// The same in the phone's time zone, as its reports and log lines show it.
    #[must_use]
    pub fn now_zoned(&self) -> Zoned {
        self.now().to_zoned(self.zone())
    }

    /// The phone's time zone, always a fixed offset.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        let seconds = self.zone_seconds.load(Ordering::Relaxed);
        Offset::from_seconds(seconds).map_or(TimeZone::UTC, TimeZone::fixed)
    }

    /// The zone's name as lockdown tells it.
    #[must_use]
    pub fn zone_name(&self) -> String {
        match self.zone_seconds.load(Ordering::Relaxed) / 3600 {
            0 => "Etc/UTC".to_owned(),
            // The names of this family count westwards.
            hours => format!("Etc/GMT{:+}", -hours),
        }
    }

    /// How far the phone is ahead of the host, in milliseconds; negative when it is behind.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Sets the phone's clock to the host's clock plus this many milliseconds.
    pub fn set_ahead_ms(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// Sets the phone's time zone as seconds east of Greenwich.
    pub fn set_zone_seconds(&self, seconds: i32) {
        self.zone_seconds.store(seconds, Ordering::Relaxed);
    }
}
