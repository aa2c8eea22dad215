//! What to do with firings that nobody was there for, because the daemon was down.

use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use crate::Schedule;

/// What becomes of the firings since the last one that was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out; the schedule goes on with its next firing.
    Skip,
    /// The latest of them is served, in the name of all.
    #[default]
    RunOnce,
    /// Each is served, the earliest first.
    RunAll,
}

impl Missed {
    /// The firings of `schedule` in (`after`, `until`] that are still to be served. `max` bounds
    /// [`Missed::RunAll`]; what lies beyond it is found again by asking after the last one returned.
    pub fn to_serve(self, schedule: &Schedule, after: Time, until: Time, max: usize) -> Vec<Time> {
        match self {
            Self::Skip => Vec::new(),
            Self::RunOnce => schedule.latest(after, until).into_iter().take(max).collect(),
            Self::RunAll => schedule.between(after, until, max),
        }
    }
}
