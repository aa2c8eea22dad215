//! Crash reports: what a dying process leaves in the crash folder, and how many of them may wait there.

mod store;

pub use store::Reports;
