//! Instants and spans in whole milliseconds; RFC 3339 in UTC on the wire.
//!
//! Nobody here reads a clock: brains get the time as an argument, bodies ask the system.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01 00:00 UTC, written as RFC 3339 (`2026-11-21T03:30:46.120Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
pub struct Time(i64);

/// The last instant, milliseconds since 1970: the last that jiff takes. What it names as its own end lies later by most
/// of a second, and is refused when it is given in milliseconds.
const LAST_MS: i64 = 253_402_207_200_000;

impl Time {
    /// From milliseconds since 1970-01-01 00:00 UTC; held inside the years that can be written and read back.
    pub fn from_unix_ms(ms: i64) -> Self {
        Self(ms.clamp(jiff::Timestamp::MIN.as_millisecond(), LAST_MS))
    }

    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub fn as_unix_ms(self) -> i64 {
        self.0
    }

    /// The instant `span` later; the last one that can be written when it would lie beyond.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; nothing when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(instant: jiff::Timestamp) -> Self {
        Self::from_unix_ms(instant.as_millisecond())
    }
}

impl TryFrom<String> for Time {
    type Error = jiff::Error;
    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(Self::from)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> String {
        time.to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms after 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc_with_milliseconds() {
        let time = Time::from_unix_ms(1_700_000_000_120);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.120Z");
        assert_eq!(Time::try_from(String::from(time)).ok(), Some(time));
    }

    proptest::proptest! {
        #[test]
        fn every_instant_is_written_and_read_back(ms in proptest::num::i64::ANY, after in proptest::num::u64::ANY) {
            for ms in [ms, ms >> 16, i64::MAX, i64::MIN, LAST_MS - 1, LAST_MS, LAST_MS + 1, LAST_MS + 999] {
                let time = Time::from_unix_ms(ms).after(Duration::from_millis(after));
                proptest::prop_assert_eq!(Time::try_from(String::from(time)).ok(), Some(time), "{} ms", ms);
            }
            let last = Time::from(jiff::Timestamp::MAX);
            proptest::prop_assert_eq!(Time::try_from(String::from(last)).ok(), Some(last));
        }
    }

    #[test]
    fn spans_never_run_backwards() {
        let (early, late) = (Time::from_unix_ms(1_000), Time::from_unix_ms(3_500));
        assert_eq!(late.since(early), Duration::from_millis(2_500));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Time::from_unix_ms(i64::MAX).after(Duration::from_secs(1)), Time::from_unix_ms(i64::MAX));
    }
}
