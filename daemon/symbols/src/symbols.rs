//! The symbols of a folder, ready to name the frames of reports: the one public face.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use holdfast_crash::{Found, Function, Report, Wanted, missing_symbols};
use symbolic_common::{Arch, ByteView, Language, Name};
use symbolic_demangle::{Demangle, DemangleOptions};
use symbolic_symcache::{SYMCACHE_VERSION, SourceLocation, SymCache};

use crate::compile::{guarded, symcache};
use crate::find::{Place, Trouble, damaged, search};
use crate::objects::About;

/// Tables held at a time; a report has frames of a handful of the app's images.
const TABLES_MAX: usize = 64;
/// Functions looked at for one address: a damaged table could go on without end.
const INLINED_MAX: usize = 64;

/// Why a folder of symbols cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not there or closed to us.
    #[error("cannot search {path} for symbols; name a folder with dSYMs, or a zip of them")]
    Search {
        /// As it was named.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// Symbols of an image by name that are of another build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// File name of the image.
    pub image: String,
    /// UUID or architecture that the report needs.
    pub needed: String,
    /// Where the other symbols lie.
    pub file: String,
    /// Their UUID or architecture.
    pub found: String,
}

/// The symbols of a folder.
#[derive(Debug)]
pub struct Symbols {
    objects: BTreeMap<String, (Place, About)>,
    cache: Option<PathBuf>,
    tables: BTreeMap<String, Option<ByteView<'static>>>,
    troubles: Vec<Trouble>,
}

impl Symbols {
    /// Finds the symbols in a folder and in the zips in it. Their tables are kept in `cache` for the next time; without it
    /// they are made anew.
    ///
    /// # Errors
    /// When the folder cannot be read. Damaged files in it are [`Symbols::take_troubles`].
    pub fn search(folder: &Path, cache: Option<PathBuf>) -> Result<Symbols, Error> {
        let finds = search(folder).map_err(|cause| Error::Search { path: folder.to_owned(), cause })?;
        let mut objects: BTreeMap<String, (Place, About)> = BTreeMap::new();
        for (place, about) in finds.objects {
            // An executable and its dSYM have one UUID, and only one of them knows lines.
            let known =
                objects.get(&about.uuid).is_some_and(|(_, known)| known.has_lines || !about.has_lines);
            if !known {
                objects.insert(about.uuid.clone(), (place, about));
            }
        }
        Ok(Symbols { objects, cache, tables: BTreeMap::new(), troubles: finds.troubles })
    }

    /// Names the frames of a report whose images have symbols here.
    pub fn symbolicate(&mut self, report: &mut Report) {
        if self.tables.len() > TABLES_MAX {
            self.tables.clear();
        }
        let uuids: BTreeSet<String> =
            report.images.iter().filter_map(|image| image.uuid.as_deref().map(str::to_owned)).collect();
        for uuid in &uuids {
            self.load(uuid);
        }
        let tables: BTreeMap<&str, SymCache<'_>> =
            uuids.iter().filter_map(|uuid| Some((uuid.as_str(), self.table(uuid)?))).collect();
        holdfast_crash::symbolicate(report, |wanted| match tables.get(wanted.uuid) {
            Some(table) if fits(wanted.arch, table.arch()) => look_up(table, wanted),
            _ => Found::NoSymbols,
        });
    }

    /// For a report that was symbolicated: symbols here that bear the name of an image whose symbols are missing, and are
    /// of another build or architecture.
    pub fn refused(&self, report: &Report) -> Vec<Refused> {
        let mut refused = Vec::new();
        for missing in missing_symbols(report) {
            if let Some((place, about)) = self.objects.get(&missing.uuid) {
                let arch = report.images.iter().find(|image| image.uuid.as_deref() == Some(&missing.uuid));
                let arch = arch.and_then(|image| image.arch.as_deref());
                if !fits(arch, about.arch) {
                    refused.push(Refused {
                        image: missing.image,
                        needed: arch.unwrap_or_default().to_owned(),
                        file: place.words(),
                        found: about.arch.to_string(),
                    });
                }
                continue;
            }
            let of_name = self.objects.values().filter(|(place, _)| place.file_name() == missing.image);
            refused.extend(of_name.map(|(place, about)| Refused {
                image: missing.image.clone(),
                needed: missing.uuid.clone(),
                file: place.words(),
                found: about.uuid.clone(),
            }));
        }
        refused
    }

    /// What was wrong with files since this was asked last.
    pub fn take_troubles(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.troubles)
    }

    fn table(&self, uuid: &str) -> Option<SymCache<'_>> {
        SymCache::parse(self.tables.get(uuid)?.as_deref()?).ok()
    }

    /// Takes the table of an object from disk, or makes it.
    fn load(&mut self, uuid: &str) {
        let Some((place, about)) = self.objects.get(uuid).filter(|_| !self.tables.contains_key(uuid)) else {
            return;
        };
        let kept = self.cache.as_ref().filter(|_| about.has_lines).map(|cache| cache.join(file_name(about)));
        let made = match kept.as_ref().and_then(|path| read_kept(path, uuid)) {
            Some(table) => Ok(table),
            None => place.read().and_then(|bytes| {
                let table = symcache(&bytes, about.position).map_err(|what| damaged(&what))?;
                if let Some(path) = &kept
                    && let Err(cause) = keep(path, &table)
                {
                    let what = format!("its table cannot be kept in {}: {cause}", path.display());
                    self.troubles.push(Trouble { file: place.words(), what });
                }
                Ok(ByteView::from_vec(table))
            }),
        };
        if let Err(what) = &made {
            self.troubles.push(Trouble { file: place.words(), what: what.clone() });
        }
        self.tables.insert(uuid.to_owned(), made.ok());
    }
}

impl Place {
    fn file_name(&self) -> &str {
        let last = self.entries.last().map(String::as_str).or_else(|| self.file.to_str()).unwrap_or_default();
        last.rsplit('/').next().unwrap_or(last)
    }
}

/// `7e1c….v9.symcache`: a later version of the format does not read what an earlier one kept.
fn file_name(about: &About) -> String {
    format!("{}.v{SYMCACHE_VERSION}.symcache", about.uuid)
}

/// A kept table, if it is whole and of this object. It stays on disk and is read in place: files are put there whole under
/// a new name and never written again.
fn read_kept(path: &Path, uuid: &str) -> Option<ByteView<'static>> {
    let table = ByteView::open(path).ok()?;
    let is_ours = SymCache::parse(&table)
        .is_ok_and(|parsed| parsed.is_latest() && parsed.debug_id().uuid().to_string() == uuid);
    is_ours.then_some(table)
}

/// Whole or not at all, also when two programs keep the same table at once.
fn keep(path: &Path, table: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(table)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|refused| refused.error)?;
    Ok(())
}

/// Whether symbols of this architecture are those of the image; a report may not tell, or use a word of its own.
fn fits(image: Option<&str>, symbols: Arch) -> bool {
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
        name: demangled(&function.name_for_demangling()),
        begins,
        file: location.file().map(|file| file.full_path()).filter(|path| !path.is_empty()),
        line: Some(location.line()).filter(|line| *line > 0),
    }
}

/// As people write it; names of C and Objective-C are already so. Swift's come without the modules of every type in them,
/// as Xcode shows them.
fn demangled(name: &Name<'_>) -> String {
    let options = match name.detect_language() {
        Language::Swift => DemangleOptions::complete().return_type(false),
        _ => DemangleOptions::complete(),
    };
    name.demangle(options).unwrap_or_else(|| name.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolic_common::NameMangling;

    #[test]
    fn names_are_as_people_write_them() {
        let table = [
            ("$s4Chat8RoomViewV4open2idySi_tF", "RoomView.open(id: Int)"),
            ("_ZN4chat4Room4openEi", "chat::Room::open(int)"),
            ("-[ChatRoom open:]", "-[ChatRoom open:]"),
            ("Feed_decodeCell", "Feed_decodeCell"),
        ];
        for (written, expected) in table {
            let name = Name::new(written, NameMangling::Unknown, Language::Unknown);
            assert_eq!(demangled(&name), expected, "{written}");
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
