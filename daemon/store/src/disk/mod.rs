//! The engine on disk: a journal of what changed, one write and one sync for every group of transactions.
//!
//! Reads come from memory and never touch the file, so it needs no order and no index, only to be read whole when the
//! store is opened. `folder` has the only lock, builds a new database aside and moves it into place; `frame` says how
//! bytes lie in the file; `engine` appends, syncs, and tells a half-written end from damage; `writer` is the one thread
//! that commits, and rewrites the file when it holds mostly what is dead. Databases of earlier versions, which were
//! sled's, are taken over by `earlier`.

mod earlier;
mod engine;
mod folder;
mod frame;
mod store;
mod transfer;
mod writer;

pub use self::store::{DiskStore, Stats};
pub use self::transfer::{export, import};
