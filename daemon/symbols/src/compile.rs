//! One object's debug information as a symcache: a table of addresses that is read in place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symbolic_debuginfo::Archive;
use symbolic_symcache::SymCacheConverter;

use crate::names::Readable;
use crate::nesting::check_nesting;
use crate::objects::words;

/// The converter calls itself for each function inside a function, with some kilobytes a level; what it may be given is
/// bounded in `nesting`, and this is several times what that takes without optimisation.
const STACK_BYTES: usize = 64 << 20;

/// Bytes of a symcache: addresses in it have 32 bits.
const SYMCACHE_BYTES_MAX: usize = u32::MAX as usize;

const NO_SENSE: &str = "its debug information makes no sense";

/// Compiles the object at this place of a Mach-O file, which may be universal. Takes seconds for a large app.
///
/// # Errors
/// A sentence on what is wrong with the debug information.
pub fn symcache(bytes: &[u8], position: usize) -> Result<Vec<u8>, String> {
    std::thread::scope(|scope| {
        let work = || guarded(|| compile(bytes, position));
        let thread = std::thread::Builder::new().name("symbols".to_owned()).stack_size(STACK_BYTES);
        let running =
            thread.spawn_scoped(scope, work).map_err(|cause| format!("no thread for it: {cause}"))?;
        running.join().unwrap_or_else(|_| Err(NO_SENSE.to_owned()))
    })
}

fn compile(bytes: &[u8], position: usize) -> Result<Vec<u8>, String> {
    let archive = Archive::parse(bytes).map_err(|cause| words(&cause))?;
    let object = archive
        .object_by_index(position)
        .map_err(|cause| words(&cause))?
        .ok_or_else(|| "the file ends before the object".to_owned())?;
    check_nesting(&object)?;
    let mut converter = SymCacheConverter::new();
    converter.add_transformer(Readable);
    converter.process_object(&object).map_err(|cause| words(&cause))?;
    let mut table = Vec::new();
    converter.serialize(&mut table).map_err(|cause| words(&cause))?;
    if table.len() > SYMCACHE_BYTES_MAX {
        return Err("its symbols are more than a table can hold".to_owned());
    }
    Ok(table)
}

/// Files of symbols are made by many compilers and damaged in many ways; a fault of the library on one of them must not
/// keep the report from being read.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(NO_SENSE.to_owned()))
}
