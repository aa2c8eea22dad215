//! How early jobs can start at all, for schedules that know every job from the beginning: lower bounds of the sum of
//! weighted start times, and a schedule that the best one is not worse than. How jobs are really served is not known
//! here.
//!
//! | module | holds |
//! |---|---|
//! | `demand` | a job as the bounds see it |
//! | `machine` | the bound of phones that work together like one fast machine |
//! | `prices` | the bound that any prices of the phones' time give |
//! | `climb` | the prices that make it large |
//! | `plan` | the schedule |

mod climb;
mod demand;
mod machine;
mod plan;
mod prices;

pub use climb::priced;
pub use demand::{Breaks, Demand};
pub use machine::fast_machines;
pub use plan::planned;
