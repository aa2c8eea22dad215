//! The daemon as a library; the program around it is `main.rs`.

pub mod archive;
pub mod blobs;
pub mod builds;
pub mod changes;
pub mod clock;
pub mod config;
pub mod crashes;
pub mod dashboard;
pub mod farm;
pub mod groups;
pub mod http;
pub mod meters;
pub mod metrics;
pub mod notices;
pub mod orders;
mod parts;
pub mod reasons;
pub mod records;
pub mod reload;
mod restore;
pub mod retention;
pub mod rules;
pub mod schedules;
pub mod snapshot;
pub mod specs;
pub mod symbols;
pub mod turn;
