//! Durable truth of the farm: ordered byte keys, guarded transactions, prefix scans and watches.
//!
//! The contract is [`Store`]; [`SledStore`] keeps it on disk and [`MemoryStore`] in memory, as the
//! model and for tests of others. Nobody is answered before their transaction is durable. What a
//! record means is its owner's business and not known here; [`codec`] only helps to name and
//! version records.

mod api;
pub mod codec;
pub mod dump;
mod error;
mod key;
pub mod memory;
mod plan;
pub mod sled;
mod state;
mod watch;

pub use crate::api::{Condition, Entry, Guard, Op, Page, Revision, Store};
pub use crate::error::StoreError;
pub use crate::key::{KEY_BYTES_MAX, Key, show};
pub use crate::memory::MemoryStore;
pub use crate::plan::{OPS_MAX, TRANSACTION_BYTES_MAX, VALUE_BYTES_MAX};
pub use crate::sled::{Limits, SledStore};
pub use crate::watch::{Change, Event, Watch};
