//! The agent's brain: one attempt's life, as events in and steps out.
//!
//! ```text
//! check → list crashes → fetch → install → (launch → watch → kill → look)* → collect → upload → delete → clean
//! and between launches, or in the middle of a watch, aside: what the phone's log told of
//! ```
//!
//! No clock, no disk, no phone: those are the body's, in `agent/src/phone.rs`.
//!
//! | module | holds |
//! |---|---|
//! | [`attempt`] | [`Attempt`]: the phases and how events lead from one to the next |
//! | [`step`] | what goes in and out: [`Brief`], [`Event`], [`Step`] |
//! | [`plan`] | which crash files to take, which to delete, whose each one is |
//! | [`launches`] | what the launches of the cases showed |
//! | [`health`] | whether a phone is fit for work |
//! | [`shelves`] | how near the phone's limits the waiting crash files are |
//! | [`settings`] | deadlines and thresholds |

pub mod attempt;
pub mod health;
pub mod launches;
pub mod plan;
pub mod settings;
pub mod shelves;
pub mod step;

pub use attempt::{Attempt, Progress};
pub use health::{Thresholds, judge};
pub use plan::{Begun, Current, Launched, Peek, SweepStep, Taken};
pub use settings::Settings;
pub use shelves::{CrashLimits, LogNote, Shelves};
pub use step::{Brief, Event, Failure, FailureKind, Finished, PhoneLeft, Step, Told};
