//! Which commit brought a crash, when the crash may be flaky.
//!
//! Commits stand in a row, oldest first. From one of them on, attempts crash, each by a chance that nobody knows; before it,
//! next to none do. From what was seen so far [`odds`] gives each commit its chance to be the one, and [`next`] says which
//! commit tells most by one more attempt, or that the odds are good enough to name one. Nothing here knows builds, jobs or
//! clocks.

mod odds;
mod step;

pub use odds::{COMMITS_MAX, Odds, Seen, odds};
pub use step::{Demands, Step, next};
