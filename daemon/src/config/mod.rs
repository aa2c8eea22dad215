//! What an operator writes: `holdfastd.yaml`, the pools and the cases. Read once at the start and passed down.
//!
//! | module | holds |
//! |---|---|
//! | [`yaml`] | the only place that reads YAML; mistakes with file, line, column and path |
//! | [`daemon`] | `holdfastd.yaml` |
//! | [`pools`] | the pools file → [`holdfast_scheduler::Policy`]; `classes` and `owners` are parts of it |
//! | [`schedules`] | the schedules file → what the calendar submits |
//! | [`notify`] | the file of who is told what → [`holdfast_notify::Rules`] |
//! | [`cases`] | the cases folder → the catalogue |
//! | `difference` | what a reload changed, in words |
//! | [`load`] | all of it together, and `--check-config` |
//! | [`schema`] | the JSON Schemas of all of them, for editors |

pub mod cases;
mod classes;
pub mod daemon;
mod difference;
pub mod load;
pub mod notify;
mod once;
pub(crate) mod owners;
pub mod pools;
pub mod schedules;
pub mod schema;
pub mod yaml;

pub use cases::Catalogue;
pub use daemon::{DaemonConfig, Limits, Retention, SymbolsConfig, Timeouts};
pub use difference::difference;
pub use load::{FarmConfig, Loaded, check, load};
pub use yaml::Mistake;
