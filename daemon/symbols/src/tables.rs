//! Tables of one object each: their names and files on disk, and what is read from them. Who finds the objects is `symbols`
//! and `library`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use holdfast_crash::{Found, Function, Report, Wanted};
use symbolic_common::{Arch, ByteView};
use symbolic_symcache::{SYMCACHE_VERSION, SourceLocation, SymCache};

use crate::compile::guarded;

/// Functions looked at for one address: a damaged table could go on without end.
const INLINED_MAX: usize = 64;
/// How names are written in a table; see `names`.
const NAMES_VERSION: u32 = 1;
/// `4c4c4408-5555-3144-a1ff-140fc6c6ab6f`.
const UUID_LETTERS: usize = 36;

/// Names the frames of a report by the tables of its images.
pub(crate) fn name_frames(report: &mut Report, tables: &BTreeMap<&str, SymCache<'_>>) {
    holdfast_crash::symbolicate(report, |wanted| match tables.get(wanted.uuid) {
        Some(table) if fits(wanted.arch, table.arch()) => look_up(table, wanted),
        _ => Found::NoSymbols,
    });
}

/// `7e1c….v9.1.symcache`: a later version of the format, or of how names are written in it, does not read what an earlier
/// one kept.
pub(crate) fn file_name(uuid: &str) -> String {
    format!("{uuid}.v{SYMCACHE_VERSION}.{NAMES_VERSION}.symcache")
}

/// What a file of the folder of tables is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfName<'a> {
    /// The table of this UUID.
    Table(&'a str),
    /// A table of a version that is not read here.
    Outdated,
    /// None of ours.
    Other,
}

/// What a file of this name is.
pub(crate) fn of_name(name: &str) -> OfName<'_> {
    let Some((uuid, version)) = name.strip_suffix(".symcache").and_then(|name| name.split_once(".v")) else {
        return OfName::Other;
    };
    let is_version = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if uuid.len() != UUID_LETTERS || !is_version {
        OfName::Other
    } else if name == file_name(uuid) {
        OfName::Table(uuid)
    } else {
        OfName::Outdated
    }
}

/// A kept table, if it is whole and of this object. It stays on disk and is read in place: files are put there whole under
/// a new name and never written again.
pub(crate) fn read_kept(path: &Path, uuid: &str) -> Option<ByteView<'static>> {
    let table = ByteView::open(path).ok()?;
    let is_ours = SymCache::parse(&table)
        .is_ok_and(|parsed| parsed.is_latest() && parsed.debug_id().uuid().to_string() == uuid);
    is_ours.then_some(table)
}

/// Whole or not at all, also when two programs keep the same table at once.
pub(crate) fn keep(path: &Path, table: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(table)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|refused| refused.error)?;
    Ok(())
}

/// Whether symbols of this architecture are those of the image; a report may not tell, or use a word of its own.
pub(crate) fn fits(image: Option<&str>, symbols: Arch) -> bool {
    match image.map(Arch::from_str) {
        Some(Ok(image)) if image != Arch::Unknown && symbols != Arch::Unknown => image == symbols,
        _ => true,
    }
}

fn look_up(table: &SymCache<'_>, wanted: Wanted<'_>) -> Found {
    let functions = guarded(|| {
        let locations = table.lookup(wanted.offset).take(INLINED_MAX);
        Ok(locations.map(|location| function(&location)).collect::<Vec<_>>())
    });
    match functions {
        Ok(functions) if !functions.is_empty() => Found::Functions(functions),
        _ => Found::Nothing,
    }
}

fn function(location: &SourceLocation<'_, '_>) -> Function {
    let function = location.function();
    let begins = (function.entry_pc() != u32::MAX).then(|| u64::from(function.entry_pc()));
    Function {
        name: function.name().to_owned(),
        begins,
        file: location.file().map(|file| file.full_path()).filter(|path| !path.is_empty()),
        line: Some(location.line()).filter(|line| *line > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_other_versions_are_told_from_ours_and_from_what_is_none() {
        let uuid = "4c4c4408-5555-3144-a1ff-140fc6c6ab6f";
        let ours = file_name(uuid);
        let table = [
            (ours.as_str(), OfName::Table(uuid)),
            ("4c4c4408-5555-3144-a1ff-140fc6c6ab6f.v1.1.symcache", OfName::Outdated),
            ("4c4c4408-5555-3144-a1ff-140fc6c6ab6f.v99.1.symcache", OfName::Outdated),
            ("4c4c4408-5555-3144-a1ff-140fc6c6ab6f.vx.symcache", OfName::Other),
            ("short.v1.1.symcache", OfName::Other),
            (".tmpA1b2C3", OfName::Other),
        ];
        for (name, expected) in table {
            assert_eq!(of_name(name), expected, "{name}");
        }
    }

    #[test]
    fn an_architecture_is_compared_when_both_are_known() {
        let table = [
            (Some("arm64"), Arch::Arm64, true),
            (Some("arm64e"), Arch::Arm64e, true),
            (Some("arm64e"), Arch::Arm64, false),
            (Some("x86_64"), Arch::Arm64, false),
            (Some("a word of its own"), Arch::Arm64, true),
            (None, Arch::Arm64, true),
        ];
        for (image, symbols, expected) in table {
            assert_eq!(fits(image, symbols), expected, "{image:?} {symbols:?}");
        }
    }
}
