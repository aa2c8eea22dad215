//! NSKeyedArchive: how the developer services write objects into binary property lists.
//! The messages that carry these archives are in [`dtx`](crate::dtx).

mod bplist;
mod decode;
mod encode;
mod object;

pub use bplist::{Unfit, check as check_binary_plist};
pub use decode::{ARCHIVE_BYTES_MAX, ArchiveError, DEPTH_MAX, OBJECTS_MAX, decode};
pub use encode::encode;
pub use object::{NsError, Object};
