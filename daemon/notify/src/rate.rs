//! How often a receiver may be spoken to. Not a bucket that refills, which lets twice its size through in some window,
//! but the instants of the last sends: whatever window one looks at, there are never more in it than the limit.

use std::collections::VecDeque;
use std::time::Duration;

use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

/// At most so many messages in any window of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Messages.
    pub messages: u32,
    /// Milliseconds.
    pub window_ms: u64,
}

/// The most instants that are remembered of a receiver: the largest limit that may be configured.
pub const MESSAGES_MAX: u32 = 1_000;

/// What is remembered of a receiver: small enough to be stored with every send, so that a start doesn't burst.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sends {
    /// The instants of the last sends, oldest first.
    pub at: VecDeque<Time>,
    /// Until then it is left alone, because it said so.
    pub quiet_until: Option<Time>,
}

impl Sends {
    /// How many may be sent at `now`, and when the next may if none may.
    pub fn room(&self, limits: &[Limit], now: Time) -> Room {
        let mut wake = self.quiet_until.filter(|until| *until > now);
        let mut free = if wake.is_some() { 0 } else { u32::MAX };
        for limit in limits {
            let window = Duration::from_millis(limit.window_ms);
            let used = self.used(*limit, now);
            free = free.min(limit.messages.saturating_sub(used));
            if used >= limit.messages {
                // The window has room again when all but `messages - 1` of them have left it.
                let leaver = self.at.len().checked_sub(limit.messages.max(1) as usize);
                let leaves = leaver.and_then(|index| self.at.get(index)).map(|sent| sent.after(window));
                wake = wake.max(leaves);
            }
        }
        match wake {
            Some(at) if free == 0 => Room::NotBefore(at),
            Some(_) | None => Room::Messages(free),
        }
    }

    /// How many messages a limit counts at `now`.
    pub fn used(&self, limit: Limit, now: Time) -> u32 {
        let window = Duration::from_millis(limit.window_ms);
        let inside = self.at.iter().filter(|sent| sent.after(window) > now).count();
        u32::try_from(inside).unwrap_or(u32::MAX)
    }

    /// A message leaves at `now`. Instants that lie ahead, because the clock was set back, count as now.
    pub fn sent(&mut self, now: Time) {
        for at in &mut self.at {
            *at = (*at).min(now);
        }
        self.at.push_back(now);
        while self.at.len() > MESSAGES_MAX as usize {
            self.at.pop_front();
        }
    }

    /// The answer to the last send came at `now`: it reached its receiver somewhere in between, so it is counted as late
    /// as it can have come.
    pub fn arrived(&mut self, now: Time) {
        if let Some(last) = self.at.back_mut() {
            *last = (*last).max(now);
        }
    }

    /// The clock was set back: what lies ahead of it is taken to be now.
    pub fn turned_back(&mut self, now: Time, longest_quiet: Duration) {
        for at in &mut self.at {
            *at = (*at).min(now);
        }
        self.quiet_until = self.quiet_until.map(|until| until.min(now.after(longest_quiet)));
    }

    /// Forgets what no limit looks at any more.
    pub fn trim(&mut self, limits: &[Limit], now: Time) {
        let longest = limits.iter().map(|limit| limit.window_ms).max().unwrap_or(0);
        while self.at.front().is_some_and(|at| at.after(Duration::from_millis(longest)) <= now) {
            self.at.pop_front();
        }
        self.quiet_until = self.quiet_until.filter(|until| *until > now);
    }
}

/// How many messages may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many now.
    Messages(u32),
    /// None before then.
    NotBefore(Time),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_unix_ms(1_795_000_000_000 + ms)
    }

    #[test]
    fn a_full_window_has_room_when_its_oldest_leaves() {
        let limits = [Limit { messages: 2, window_ms: 1_000 }];
        let mut sends = Sends::default();
        assert_eq!(sends.room(&limits, at(0)), Room::Messages(2));
        sends.sent(at(0));
        sends.sent(at(300));
        assert_eq!(sends.room(&limits, at(400)), Room::NotBefore(at(1_000)));
        assert_eq!(sends.room(&limits, at(1_000)), Room::Messages(1));
        sends.quiet_until = Some(at(5_000));
        assert_eq!(sends.room(&limits, at(2_000)), Room::NotBefore(at(5_000)));
        assert_eq!(sends.room(&limits, at(5_000)), Room::Messages(2));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_silence_a_receiver() {
        let limits = [Limit { messages: 1, window_ms: 1_000 }];
        let mut sends = Sends::default();
        sends.sent(at(3_600_000));
        sends.quiet_until = Some(at(7_200_000));
        sends.turned_back(at(0), Duration::from_secs(60));
        assert_eq!(sends.room(&limits, at(60_000)), Room::Messages(1));
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_its_limit(
            steps in proptest::collection::vec((0_i64..2_000, 0_i64..500), 1..200),
            few in 1_u32..4,
            many in 4_u32..20,
        ) {
            let limits =
                [Limit { messages: few, window_ms: 1_000 }, Limit { messages: many, window_ms: 10_000 }];
            let mut sends = Sends::default();
            let mut now = 0;
            // Each message arrives anywhere between its send and its answer.
            let mut arrivals = Vec::new();
            for (wait, travel) in steps {
                now += wait;
                while let Room::NotBefore(wake) = sends.room(&limits, at(now)) {
                    prop_assert!(wake > at(now), "waiting helps");
                    now = wake.as_unix_ms() - at(0).as_unix_ms();
                }
                sends.sent(at(now));
                arrivals.push((now, now + travel));
                now += travel;
                sends.arrived(at(now));
                sends.trim(&limits, at(now));
            }
            for limit in limits {
                let size = limit.messages as usize;
                for run in arrivals.windows(size + 1) {
                    // The first came as late, the last as early as it can have.
                    let (first, last) = (run[0].1, run[size].0);
                    prop_assert!(last - first >= i64::try_from(limit.window_ms).unwrap_or(0), "{run:?}");
                }
            }
        }
    }
}
