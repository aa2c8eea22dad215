//! What a crash report says of an executable: its UUID, its size, and where its functions are.
//! Reading the rest of a build is in [`install`](crate::install).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use object::macho;
use object::read::macho::{FatArch, LoadCommandVariant, MachOFatFile32, MachOFile64};
use object::{
    Endianness, Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache, ReadRef, SectionKind,
};

/// How many functions are remembered of one executable: more than enough to choose crash places from.
const FUNCTIONS_MAX: usize = 20_000;

/// How many executables one phone remembers.
const BINARIES_MAX: usize = 32;

/// Instructions of arm64 have four bytes.
const INSTRUCTION_BYTES: u64 = 4;

/// The arm64 slice of an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// `LC_UUID`.
    pub uuid: [u8; 16],
    /// The size of `__TEXT` in memory, in bytes.
    pub text_bytes: u64,
    /// The functions, in the order of their addresses.
    pub functions: Vec<Function>,
    /// Which of them is `main`.
    pub main: Option<usize>,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its C name without the leading underscore; `None` when the build is stripped.
    pub name: Option<String>,
    /// Its first byte, counted from the beginning of `__TEXT`: an image offset.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Why an executable cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The file cannot be opened.
    #[error("cannot open the executable")]
    Open(#[source] std::io::Error),
    /// It is no Mach-O for arm64.
    #[error("cannot read the executable as a Mach-O file")]
    Read(#[source] object::read::Error),
    /// A part is missing.
    #[error("the executable has no {0}")]
    Missing(&'static str),
}

impl Binary {
    /// Reads an executable.
    ///
    /// # Errors
    /// [`BinaryError`]; no file makes it panic.
    pub fn read(path: &Path) -> Result<Self, BinaryError> {
        let cache = ReadCache::new(File::open(path).map_err(BinaryError::Open)?);
        let whole = &cache;
        let Ok(fat) = MachOFatFile32::parse(whole) else { return Self::read_slice(whole) };
        let slice = fat.arches().iter().find(|arch| arch.cputype() == macho::CPU_TYPE_ARM64);
        let (offset, size) = slice.ok_or(BinaryError::Missing("arm64 slice"))?.file_range();
        Self::read_slice(cache.range(offset, size))
    }

    fn read_slice<'data, R: ReadRef<'data>>(data: R) -> Result<Self, BinaryError> {
        let file = MachOFile64::<Endianness, R>::parse(data).map_err(BinaryError::Read)?;
        let uuid = file.mach_uuid().map_err(BinaryError::Read)?.ok_or(BinaryError::Missing("LC_UUID"))?;
        let segment = file.segments().find(|segment| matches!(segment.name(), Ok(Some("__TEXT"))));
        let segment = segment.ok_or(BinaryError::Missing("__TEXT segment"))?;
        let code = file.sections().find(|section| section.kind() == SectionKind::Text);
        let code = code.ok_or(BinaryError::Missing("code"))?;
        let (starts, entry) = load_commands(&file, data, segment.address()).map_err(BinaryError::Read)?;
        let names: BTreeMap<u64, String> = file
            .symbols()
            .filter(|symbol| symbol.is_definition() && symbol.section_index() == Some(code.index()))
            .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?)))
            // Labels that the linker keeps for itself are no functions.
            .filter(|(_, name)| !name.starts_with("ltmp"))
            .map(|(at, name)| (at, name.strip_prefix('_').unwrap_or(name).to_owned()))
            .collect();
        let starts = if starts.is_empty() { names.keys().copied().collect() } else { starts };
        let end = code.address() + code.size();
        let functions = functions(&starts, &names, segment.address(), end);
        let main = entry.and_then(|entry| functions.iter().position(|function| function.start == entry));
        if functions.is_empty() {
            return Err(BinaryError::Missing("function"));
        }
        Ok(Self { uuid, text_bytes: segment.size(), functions, main })
    }

    /// An image offset inside a function: a return address or a faulting instruction, never the first one.
    /// `choice` decides where inside.
    #[must_use]
    pub fn offset_inside(&self, function: usize, choice: u64) -> u64 {
        let Some(function) = self.functions.get(function) else { return 0 };
        let instructions = (function.length / INSTRUCTION_BYTES).max(1);
        let nth = if instructions > 1 { 1 + choice % (instructions - 1) } else { 0 };
        function.start + nth * INSTRUCTION_BYTES
    }

    /// The function with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.functions.iter().position(|function| function.name.as_deref() == Some(name))
    }
}

/// Every function start, and the image offset of the entry point.
fn load_commands<'data, R: ReadRef<'data>>(
    file: &MachOFile64<'data, Endianness, R>,
    data: R,
    text_address: u64,
) -> Result<(Vec<u64>, Option<u64>), object::read::Error> {
    let endian = file.endian();
    let (mut starts, mut entry) = (Vec::new(), None);
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        match command.variant()? {
            LoadCommandVariant::LinkeditData(link) if link.cmd.get(endian) == macho::LC_FUNCTION_STARTS => {
                for start in link.function_starts(endian, data, text_address)?.take(FUNCTIONS_MAX) {
                    starts.push(start?);
                }
            }
            // The entry is given as an offset in the file, and `__TEXT` begins where the file does.
            LoadCommandVariant::EntryPoint(point) => entry = Some(point.entryoff.get(endian)),
            _ => {}
        }
    }
    Ok((starts, entry))
}

fn functions(starts: &[u64], names: &BTreeMap<u64, String>, text: u64, end: u64) -> Vec<Function> {
    let ends = starts.iter().skip(1).copied().chain([end]);
    starts
        .iter()
        .zip(ends)
        .take(FUNCTIONS_MAX)
        .filter(|(start, end)| **start >= text && end > start)
        .map(|(start, end)| Function {
            name: names.get(start).cloned(),
            start: start - text,
            length: end - start,
        })
        .collect()
}

/// The executables that one phone has read.
#[derive(Debug, Default)]
pub(super) struct Binaries {
    known: Mutex<BTreeMap<PathBuf, Known>>,
}

/// An executable, and the state of its file when it was read.
#[derive(Debug, Clone)]
struct Known {
    modified: SystemTime,
    length: u64,
    binary: Arc<Binary>,
}

impl Binaries {
    /// The executable at this path, read again when the file has changed.
    pub(super) fn get(&self, path: &Path) -> Result<Arc<Binary>, BinaryError> {
        let about = std::fs::metadata(path).map_err(BinaryError::Open)?;
        let modified = about.modified().map_err(BinaryError::Open)?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some(known) = known
            && (known.modified, known.length) == (modified, about.len())
        {
            return Ok(known.binary);
        }
        let binary = Arc::new(Binary::read(path)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= BINARIES_MAX {
            known.pop_first();
        }
        let read = Known { modified, length: about.len(), binary: Arc::clone(&binary) };
        known.insert(path.to_owned(), read);
        Ok(binary)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
pub(super) mod tests {
    use std::io::Read;

    use super::*;

    /// The executable of one of the committed builds.
    pub(in crate::reports) fn mooring(folder: &Path) -> PathBuf {
        let ipa = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builds/mooring-140.ipa");
        let mut archive = zip::ZipArchive::new(File::open(ipa).unwrap()).unwrap();
        let mut bytes = Vec::new();
        archive.by_name("Payload/Mooring.app/Mooring").unwrap().read_to_end(&mut bytes).unwrap();
        let path = folder.join("Mooring");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_real_build_tells_its_functions_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let binary = Binary::read(&mooring(folder.path())).unwrap();
        let main = binary.find("main").unwrap();
        assert_eq!(binary.main, Some(main));
        assert!(binary.functions.len() > 10, "{:?}", binary.functions);
        for pair in binary.functions.windows(2) {
            assert!(pair[0].start + pair[0].length <= pair[1].start, "{pair:?}");
        }
        let last = binary.functions.last().unwrap();
        assert!(last.start + last.length <= binary.text_bytes);
    }

    #[test]
    fn places_stay_inside_their_function() {
        let folder = tempfile::tempdir().unwrap();
        let binary = Binary::read(&mooring(folder.path())).unwrap();
        for (number, function) in binary.functions.iter().enumerate() {
            for choice in 0..50 {
                let offset = binary.offset_inside(number, choice);
                assert!((function.start..function.start + function.length).contains(&offset), "{function:?}");
                assert_eq!(offset % 4, 0);
            }
        }
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("empty", &b""[..]), ("text", b"not a Mach-O"), ("magic", b"\xCF\xFA\xED\xFE")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert!(Binary::read(&path).is_err(), "{name}");
        }
    }
}
