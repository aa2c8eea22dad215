//! From the bytes of a report file to what happened.
//!
//! iPhones leave a file for every crash, kill, hang, panic and memory shortage. [`read`] turns the bytes of one into a
//! [`Report`] and never fails; [`summary`] says it in one line, [`render_text`] on a terminal page, [`apple_text`] in the
//! form of Apple's own tools, and [`signature`] what it has in common with other reports of the same defect.
//! [`symbolicate`] names frames by symbols that the caller has.
//! Nothing here opens files or connections. Where symbols are found, and groups, are not here.

mod apple;
mod body;
mod bug_types;
mod codes;
mod container;
mod document;
mod ended;
mod images;
mod json;
mod kind;
mod lines;
mod microstackshot;
mod moment;
mod phase;
mod read;
mod render;
mod report;
mod signature;
mod summary;
mod symbols;
mod system;
mod tape;
mod text;

pub use apple::apple_text;
pub use bug_types::bug_type_name;
pub use container::{ByteRange, Container, FILE_BYTES_MAX, Malformed, Place};
pub use document::{Document, Fault, document};
pub use ended::{Cause, EndedBy};
pub use kind::Kind;
pub use moment::Moment;
pub use read::read;
pub use render::{Fate, fate, render_text};
pub use report::{
    ApplicationInfo, Exception, Frame, Image, Jetsam, JetsamProcess, LaunchPhase, Report, Resource,
    Termination, Thread, UncaughtException,
};
pub use signature::{Rules, SIGNATURE_VERSION, Signature, signature, similarity, stack};
pub use summary::{Summary, place, summary};
pub use symbols::{Found, Function, MissingSymbols, Wanted, missing_symbols, symbolicate};
