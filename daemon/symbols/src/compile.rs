//! One object's debug information as a symcache: a table of addresses that is read in place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symbolic_debuginfo::Archive;
use symbolic_symcache::SymCacheConverter;

use crate::objects::words;

/// Bytes of a symcache: addresses in it have 32 bits.
const SYMCACHE_BYTES_MAX: usize = u32::MAX as usize;

/// Compiles the object at this place of a Mach-O file, which may be universal. Takes seconds for a large app.
///
/// # Errors
/// A sentence on what is wrong with the debug information.
pub fn symcache(bytes: &[u8], position: usize) -> Result<Vec<u8>, String> {
    guarded(|| {
        let archive = Archive::parse(bytes).map_err(|cause| words(&cause))?;
        let object = archive
            .object_by_index(position)
            .map_err(|cause| words(&cause))?
            .ok_or_else(|| "the file ends before the object".to_owned())?;
        let mut converter = SymCacheConverter::new();
        converter.process_object(&object).map_err(|cause| words(&cause))?;
        let mut table = Vec::new();
        converter.serialize(&mut table).map_err(|cause| words(&cause))?;
        if table.len() > SYMCACHE_BYTES_MAX {
            return Err("its symbols are more than a table can hold".to_owned());
        }
        Ok(table)
    })
}

/// Files of symbols are made by many compilers and damaged in many ways; a fault of the library on one of them must not
/// keep the report from being read.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("its debug information makes no sense".to_owned()))
}
