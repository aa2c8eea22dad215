//! What an operator writes: `holdfastd.yaml`, the pools and the cases. Read once at the start and passed down.
//!
//! | module | holds |
//! |---|---|
//! | [`yaml`] | the only place that reads YAML; mistakes with file, line, column and path |
//! | [`daemon`] | `holdfastd.yaml` |
//! | [`pools`] | the pools file → [`holdfast_scheduler::Policy`] |
//! | [`cases`] | the cases folder → the catalogue |
//! | [`load`] | all of it together, and `--check-config` |

pub mod cases;
pub mod daemon;
pub mod load;
pub mod pools;
pub mod yaml;

pub use cases::Catalogue;
pub use daemon::{DaemonConfig, Limits, Retention, Timeouts};
pub use load::{Loaded, check, load};
pub use yaml::Mistake;
