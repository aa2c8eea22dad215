//! A task that sends samples until it is dropped. What it samples is in [`sysmontap`](super::sysmontap) and
//! [`graphics`](super::graphics).

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use crate::archive::Object;
use crate::dtx::Events;

/// Clients ask for down to 0 ms; real phones do not send more often than about this.
pub(super) const INTERVAL_MS_MIN: u64 = 100;

/// An hour: a larger interval is a mistake in a unit.
pub(super) const INTERVAL_MS_MAX: u64 = 3_600_000;

/// A running sampler; ends when dropped.
pub(super) type Sampler = AbortOnDropHandle<()>;

/// Sends what `sample` gives, at once and then once every interval, until the client is gone. The argument counts
/// from 0.
pub(super) fn start(
    events: Events,
    interval_ms: u64,
    mut sample: impl FnMut(u64) -> Object + Send + 'static,
) -> Sampler {
    let interval = Duration::from_millis(interval_ms.clamp(INTERVAL_MS_MIN, INTERVAL_MS_MAX));
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for number in 0.. {
            ticks.tick().await;
            if !events.send(&sample(number)).await {
                return;
            }
        }
    }))
}
