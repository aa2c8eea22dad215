//! Crash reports: what a dying process leaves in the crash folder, and how many of them may wait there.
//! How an app comes to die is told in [`behave`](crate::behave).

mod binary;
mod crash;
mod jetsam;
mod leave;
mod report;
mod stack;
mod store;
mod system;

pub use binary::{Binary, BinaryError, Function};
pub use leave::{Death, STORM_MAX, leave, storm};
pub use report::{Report, file_time, header_time};
pub use store::{COUNT_LIMIT, Outcome, Reports};

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
mod tests;
