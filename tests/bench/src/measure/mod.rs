//! The measurements, each one function that returns numbers of one run.

use std::path::PathBuf;

pub mod brain;
pub mod chat;
pub mod dispatch;
pub mod drain;
pub mod idle_behind_busy;
pub mod preempt;
pub mod quality;
pub mod refill;
pub mod restart;
pub mod skip_locked;
pub mod storm;
pub mod submit;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What the figures are quoted from.
    Full,
    /// Just enough to see that it works.
    Quick,
}

impl Depth {
    /// One of two numbers.
    pub fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// What a measurement is told.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How much is measured.
    pub depth: Depth,
    /// A recorded trace, when there is one.
    pub trace: Option<PathBuf>,
    /// Events through the brain, when other than usual.
    pub events: Option<usize>,
}
