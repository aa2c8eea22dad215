//! When a planned fault comes: after a while, or when something has happened on its phone often enough.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::inflict::{Fault, inflict};
use crate::rack::Rack;

/// What a fault waits for. Without a bundle id, any app counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// Time since the rack began to serve.
    Start {
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// An app was launched.
    Launched {
        /// Which.
        #[serde(default)]
        bundle_id: Option<String>,
        /// How often.
        #[serde(default = "once")]
        times: u64,
    },
    /// An app was installed or upgraded.
    Installed {
        /// Which.
        #[serde(default)]
        bundle_id: Option<String>,
        /// How often.
        #[serde(default = "once")]
        times: u64,
    },
    /// A process ended.
    Ended {
        /// Of which app.
        #[serde(default)]
        bundle_id: Option<String>,
        /// How often.
        #[serde(default = "once")]
        times: u64,
    },
    /// A crash report was written.
    CrashFileWritten {
        /// How often.
        #[serde(default = "once")]
        times: u64,
    },
    /// A service was started.
    ServiceStarted {
        /// Its name, such as `com.apple.afc`.
        service: String,
        /// How often.
        #[serde(default = "once")]
        times: u64,
    },
}

impl Trigger {
    /// Whether this event is one of those that are counted.
    fn counts(&self, event: &Event) -> bool {
        let same = |wanted: &Option<String>, got: &String| wanted.as_ref().is_none_or(|wanted| wanted == got);
        match (self, event) {
            (Self::Launched { bundle_id: wanted, .. }, Event::Launched { bundle_id, .. })
            | (Self::Installed { bundle_id: wanted, .. }, Event::Installed { bundle_id, .. })
            | (Self::Ended { bundle_id: wanted, .. }, Event::Ended { bundle_id, .. }) => {
                same(wanted, bundle_id)
            }
            (Self::CrashFileWritten { .. }, Event::CrashFileWritten { .. }) => true,
            (Self::ServiceStarted { service: wanted, .. }, Event::ServiceStarted { service }) => {
                wanted == service
            }
            _ => false,
        }
    }

    fn times(&self) -> u64 {
        match self {
            Self::Start { .. } => 0,
            Self::Launched { times, .. }
            | Self::Installed { times, .. }
            | Self::Ended { times, .. }
            | Self::CrashFileWritten { times }
            | Self::ServiceStarted { times, .. } => *times,
        }
    }
}

fn once() -> u64 {
    1
}

/// Waits for the trigger on the phone at this position, then does the fault to it, once.
pub async fn run(rack: Arc<Rack>, position: usize, trigger: Trigger, fault: Fault) {
    let closing = rack.closing().clone();
    let Some(seat) = rack.seats().get(position) else {
        tracing::warn!(position, "a planned fault names a place that this rack does not have");
        return;
    };
    let coming = async {
        if let Trigger::Start { after_ms } = trigger {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            return;
        }
        let events = &seat.phone().events;
        let mut newest = events.newest();
        let (mut seen, mut counted) = (0, 0);
        loop {
            for entry in events.after(seen) {
                seen = entry.number;
                counted += u64::from(trigger.counts(&entry.event));
            }
            // The sender is in the phone, which this borrows.
            if counted >= trigger.times() || newest.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = closing.cancelled() => return,
        () = coming => {}
    }
    if let Err(error) = inflict(&rack, seat, &fault).await {
        tracing::warn!(%error, udid = seat.phone().identity.udid, "a planned fault could not be done");
    }
}
