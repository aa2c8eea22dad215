//! What is inside a build archive. Storing archives is not here (`blobs`), nor is serving them (`http`).
//!
//! | module | reads |
//! |---|---|
//! | [`archive`] | the `.ipa`: which entries it has, within limits, without unpacking it |
//! | [`symbols`] | a zip of dSYMs → whether they are those of a build |
//! | [`identity`] | `Info.plist` and the main executable → who the build is |

pub mod archive;
pub mod identity;
pub mod symbols;

pub use archive::ArchiveError;
pub use identity::identify;
pub use symbols::{check_symbols, damaged};
