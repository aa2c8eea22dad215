//! What AFC tells about a file, a folder or the phone: names and values as text, each ended by NUL.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::phone::Phone;

/// The answer to a file info request.
pub(super) fn of_file(path: &Path, metadata: &Metadata) -> Vec<u8> {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => "S_IFDIR",
        kind if kind.is_symlink() => "S_IFLNK",
        _ => "S_IFREG",
    };
    let modified = metadata.modified().map_or(0, nanoseconds);
    let born = metadata.created().map_or(modified, nanoseconds);
    let mut pairs = vec![
        ("st_size", metadata.len().to_string()),
        ("st_blocks", metadata.blocks().to_string()),
        ("st_nlink", metadata.nlink().to_string()),
        ("st_ifmt", kind.to_owned()),
        ("st_mtime", modified.to_string()),
        ("st_birthtime", born.to_string()),
    ];
    if let Ok(target) = std::fs::read_link(path) {
        pairs.push(("LinkTarget", target.to_string_lossy().into_owned()));
    }
    listed(&pairs)
}

/// The answer to a device info request.
pub(super) fn of_phone(phone: &Phone) -> Vec<u8> {
    listed(&[
        ("Model", phone.identity.model.product_type.to_owned()),
        ("FSTotalBytes", phone.disk.capacity_bytes().to_string()),
        ("FSFreeBytes", phone.disk.free_bytes().to_string()),
        ("FSBlockSize", "4096".to_owned()),
    ])
}

fn listed(pairs: &[(&str, String)]) -> Vec<u8> {
    pairs.iter().flat_map(|(name, value)| format!("{name}\0{value}\0").into_bytes()).collect()
}

fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}
