//! Which objects a file of symbols holds, and what each is called.

use symbolic_common::Arch;
use symbolic_debuginfo::{Archive, Object};

/// Objects looked at in one file: a universal file has a handful.
const OBJECTS_MAX: usize = 64;

/// How each sort of Mach-O file begins, read as a big-endian number: 32 and 64 bits in both byte orders, and the
/// universal files that hold several (`mach-o/loader.h`, `mach-o/fat.h`).
const MACH_O: [u32; 7] =
    [0xfeed_face, 0xcefa_edfe, 0xfeed_facf, 0xcffa_edfe, 0xcafe_babe, 0xbeba_feca, 0xcafe_babf];

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Lower case with dashes.
    pub(crate) uuid: String,
    pub(crate) arch: Arch,
    /// Whether it knows source lines; an executable knows the names of its functions alone.
    pub(crate) has_lines: bool,
    /// Its place in the file.
    pub(crate) position: usize,
}

/// Whether a file that begins like this is worth reading.
pub(crate) fn is_mach_o(beginning: [u8; 4]) -> bool {
    MACH_O.contains(&u32::from_be_bytes(beginning))
}

/// All objects of a file that have a UUID and symbols.
///
/// # Errors
/// A sentence on what is wrong with the file.
pub(crate) fn objects(bytes: &[u8]) -> Result<Vec<About>, String> {
    let archive = Archive::parse(bytes).map_err(|cause| words(&cause))?;
    let count = archive.object_count().min(OBJECTS_MAX);
    let mut found = Vec::new();
    for position in 0..count {
        if let Some(object) = archive.object_by_index(position).map_err(|cause| words(&cause))? {
            found.extend(about(&object, position));
        }
    }
    Ok(found)
}

fn about(object: &Object<'_>, position: usize) -> Option<About> {
    let uuid = object.debug_id().uuid();
    let has_lines = object.has_debug_info();
    let tells = !uuid.is_nil() && (has_lines || object.has_symbols());
    tells.then(|| About { uuid: uuid.to_string(), arch: object.arch(), has_lines, position })
}

/// An error of the library with what lies beneath.
pub(crate) fn words(cause: &dyn std::error::Error) -> String {
    let mut words = cause.to_string();
    let mut beneath = cause.source();
    while let Some(cause) = beneath {
        let more = cause.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        beneath = cause.source();
    }
    words
}
