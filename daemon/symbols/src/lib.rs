//! From dSYMs in a folder to functions and lines in a report.
//!
//! [`Symbols`] finds the dSYMs in folders and zips by their UUIDs, compiles those that a report needs once into tables on
//! disk, and names a report's frames by them. Which address of a frame is looked up is `holdfast-crash`'s.

mod compile;
mod find;
mod nesting;
mod objects;
mod symbols;

pub use compile::symcache;
pub use find::Trouble;
pub use symbols::{Error, Refused, Symbols};
