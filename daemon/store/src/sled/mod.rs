//! The engine on disk: sled 0.34.7 with the mends that it needs to keep its word.
//!
//! As shipped, `flush` is `sync_file_range` and loses acknowledged data in a power cut; a kill while
//! it opens leaves a database that it can't open; pages over 128 KiB go to blob files that are never
//! synced; and a new `conf` file is not synced either. So here: `folder` has the only lock, builds a
//! new database aside and moves it into place, and repairs what an interrupted open left; `records`
//! cuts values so that no page becomes a blob; `engine` syncs for real and counts every record on
//! open; `writer` is the one thread that commits. Reads come from memory and never touch sled.

mod engine;
mod folder;
mod records;
mod store;
mod transfer;
mod writer;

pub use self::store::{Limits, SledStore, Stats};
pub use self::transfer::{export, import};
