//! The table of processes of one phone. How an app behaves once launched is told elsewhere in this module.

/// The processes that run on one phone now.
#[derive(Debug, Default)]
pub struct Processes {}
