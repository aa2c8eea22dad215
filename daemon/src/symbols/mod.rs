//! The symbols of the farm's builds, and what they make of crashes. How dSYMs are read is `daemon/symbols`; which upload is
//! taken is `builds`.
//!
//! | module | does |
//! |---|---|
//! | [`shelf`] | keeps the tables, and names the frames of a report |
//! | [`links`] | turns a source line into a link to the repository |
//! | [`server`] | asks a symbol server for what nobody uploaded |
//! | [`late`] | names again the crashes that waited for symbols; the task that looks for new ones |

/// What to do about missing symbols.
pub const HOW_TO_UPLOAD: &str = "upload the dSYMs of these UUIDs: holdfast build symbols BUILD App.dSYM.zip";

pub mod late;
pub mod links;
pub mod server;
pub mod shelf;

pub use late::{Named, follow, name_waiting};
pub use links::{SourceLinks, SourceRoots};
pub use server::{Address, Layout, Server, ServerConfig};
pub use shelf::Symbols;
