//! How deep the entries of debug information lie in each other. The converter calls itself for every level, so a file that
//! nests without end would end the process; this walks the same entries in a loop.

use symbolic_debuginfo::Object;
use symbolic_debuginfo::dwarf::Dwarf;
use symbolic_debuginfo::dwarf::gimli::{DebugAbbrev, DebugInfo, EndianSlice, EntriesRaw, RunTimeEndian};

/// Levels taken. Functions inlined into functions in blocks of classes of namespaces reach about two hundred.
pub(crate) const LEVELS_MAX: isize = 2_000;

/// Refuses what nests too deep. What cannot be walked is left to the converter, which says what is wrong.
///
/// # Errors
/// A sentence.
pub(crate) fn check_nesting(object: &Object<'_>) -> Result<(), String> {
    let Object::MachO(object) = object else { return Ok(()) };
    let (Some(info), Some(abbrev)) = (object.section("debug_info"), object.section("debug_abbrev")) else {
        return Ok(());
    };
    let endian = object.endianity();
    let abbrev = DebugAbbrev::new(&abbrev.data, endian);
    let info = DebugInfo::new(&info.data, endian);
    let mut units = info.units();
    while let Ok(Some(unit)) = units.next() {
        let Ok(abbreviations) = unit.abbreviations(&abbrev) else { continue };
        let Ok(mut entries) = unit.entries_raw(&abbreviations, None) else { continue };
        if !is_shallow(&mut entries) {
            return Err(format!("its functions lie in each other more than {LEVELS_MAX} deep"));
        }
    }
    Ok(())
}

fn is_shallow(entries: &mut EntriesRaw<'_, EndianSlice<'_, RunTimeEndian>>) -> bool {
    while !entries.is_empty() {
        if entries.next_depth() > LEVELS_MAX {
            return false;
        }
        let skipped = entries.read_abbreviation().and_then(|abbreviation| match abbreviation {
            Some(abbreviation) => entries.skip_attributes(abbreviation.attributes()),
            None => Ok(()),
        });
        if skipped.is_err() {
            return true;
        }
    }
    true
}
