//! What is inside a build archive. Storing archives is not here (`blobs`), nor is serving them (`http`).
//!
//! | module | reads |
//! |---|---|
//! | [`archive`] | the `.ipa`: which entries it has, within limits, without unpacking it |
//! | [`identity`] | `Info.plist` and the main executable → who the build is |

pub mod archive;
pub mod identity;

pub use archive::ArchiveError;
pub use identity::{check_symbols, identify};
