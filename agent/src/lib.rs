//! One per rack: finds phones, obeys leases, keeps results until confirmed.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the typed configuration, read once |
//! | [`run`] | the wiring: every task, and how they end |
//! | [`rack`] | the one owner: which phones are here, which lease each obeys |
//! | [`phone`] | one task per phone: asks the brain, performs the step, reports back |
//! | [`memory`] | what a phone's task must still know after a restart |
//! | [`link`] | the connection: sync by version, several addresses |
//! | [`client`] | HTTP to the daemon, with its deadlines |
//! | [`outbox`] | results wait on disk until the daemon has confirmed them |
//! | [`cache`] | builds by hash on the rack |
//! | [`peek`] | a first look into a crash file |
//! | [`disk`] | durable writes and the lock of the data folder |
//! | [`clock`] | the time, which never runs backwards |
//! | [`error`] | how the agent fails |

pub mod cache;
pub mod client;
pub mod clock;
pub mod config;
pub mod disk;
pub mod error;
pub mod link;
pub mod memory;
pub mod outbox;
pub mod peek;
pub mod phone;
pub mod rack;
pub mod run;

pub use config::Config;
pub use error::AgentError;
