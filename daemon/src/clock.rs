//! The one place that reads a clock. Everything else gets the time as an argument.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use holdfast_wire::time::Time;

/// The farm's clock: follows the system's, but never runs backwards, because leases and ages are counted in it.
/// When the system's clock is set back, this one runs at half speed until both agree again.
#[derive(Debug)]
pub struct Clock {
    last: Mutex<Reading>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    shown: Time,
    taken: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { last: Mutex::new(Reading { shown: wall(), taken: Instant::now() }) }
    }
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Time {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = Instant::now();
        let shown = next(last.shown, wall(), taken.saturating_duration_since(last.taken));
        // A reading that did not move keeps its moment, so that many quick readings still add up.
        if shown > last.shown {
            *last = Reading { shown, taken };
        }
        shown
    }
}

fn wall() -> Time {
    Time::from(jiff::Timestamp::now())
}

fn next(last: Time, wall: Time, passed: std::time::Duration) -> Time {
    if wall >= last { wall } else { last.after(passed / 2).min(last.after(last.since(wall))) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_slows_this_one_and_never_turns_it_back() {
        let at = Time::from_unix_ms;
        let table = [
            (at(1_000), at(1_500), 500, at(1_500)),
            (at(1_000), at(9_000), 10, at(9_000)),
            (at(10_000), at(5_000), 400, at(10_200)),
            (at(10_000), at(10_000), 0, at(10_000)),
        ];
        for (last, wall, passed, expected) in table {
            assert_eq!(next(last, wall, Duration::from_millis(passed)), expected, "{last} {wall}");
        }
    }
}
