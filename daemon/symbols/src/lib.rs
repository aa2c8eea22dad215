//! From dSYMs in a folder to functions and lines in a report.
//!
//! [`Symbols`] finds the dSYMs in folders and zips by their UUIDs, compiles those that a report needs once into tables on
//! disk, and names a report's frames by them. [`Library`] is the same for a daemon: it learns of new ones as it runs, and
//! many ask it at once. Which address of a frame is looked up is `holdfast-crash`'s.

mod compile;
mod find;
mod library;
mod names;
mod nesting;
mod objects;
mod symbols;
mod tables;

pub use compile::symcache;
pub use find::Trouble;
pub use library::{Contents, Library};
pub use symbols::{Error, Refused, Symbols};
