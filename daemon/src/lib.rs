//! The daemon as a library; the program around it is `main.rs`.

pub mod blobs;
pub mod builds;
pub mod changes;
pub mod clock;
pub mod config;
pub mod crashes;
pub mod dashboard;
pub mod farm;
pub mod http;
pub mod metrics;
pub mod orders;
pub mod records;
pub mod reload;
pub mod retention;
pub mod rules;
pub mod schedules;
pub mod snapshot;
