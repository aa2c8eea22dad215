//! Finds Mach-O files in a folder, in the zips in it and in the zips in those. What they are called does not matter.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::compile::guarded;
use crate::objects::{About, is_mach_o, objects};

/// Folders below the one that was named; links are not followed, so more is no folder of builds.
const FOLDERS_DEEP_MAX: usize = 32;
/// Zips in zips: an archive of a build holds a zip of dSYMs at most.
const ZIPS_DEEP_MAX: usize = 3;
/// Files and entries of zips looked at; a build has some hundreds, a folder of years of builds some hundred thousand.
const FILES_MAX: usize = 500_000;
/// One file of symbols or one zip in a zip: the largest apps have dSYMs of about a gigabyte.
const FILE_BYTES_MAX: u64 = 3 * 1024 * 1024 * 1024;
/// What is unpacked in one search, against zips that are small and hold what fills a memory.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Unpacked against packed: debug information shrinks to a quarter, text to a twentieth; more is a bomb.
const RATIO_MAX: u64 = 200;
/// Ratios of small entries say nothing: a page of zeros is no bomb.
const RATIO_MATTERS_FROM_BYTES: u64 = 64 * 1024 * 1024;
/// How every zip that holds something begins.
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// A file of symbols that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The file; after ` » ` what lies in it.
    pub file: String,
    /// What is wrong and what to do about it.
    pub what: String,
}

/// Where an object lies: a file, in which entries of zips name the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) entries: Vec<String>,
}

impl Place {
    /// The way for people.
    pub(crate) fn words(&self) -> String {
        let file = self.file.display().to_string();
        self.entries.iter().fold(file, |way, entry| format!("{way} » {entry}"))
    }

    fn inside(&self, entry: &str) -> Place {
        let mut place = self.clone();
        place.entries.push(entry.to_owned());
        place
    }

    /// The bytes of the file at this place.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn read(&self) -> Result<Vec<u8>, String> {
        let mut file = File::open(&self.file).map_err(|cause| cause.to_string())?;
        let Some((first, rest)) = self.entries.split_first() else {
            return bounded(&mut file);
        };
        let mut bytes = entry_of(BufReader::new(file), first)?;
        for entry in rest {
            bytes = entry_of(Cursor::new(bytes), entry)?;
        }
        Ok(bytes)
    }
}

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Finds {
    pub(crate) objects: Vec<(Place, About)>,
    pub(crate) troubles: Vec<Trouble>,
    files: usize,
    unpacked: u64,
}

/// Searches a folder, or a file as if it lay in one.
///
/// # Errors
/// When it is not there or cannot be listed.
pub(crate) fn search(named: &Path) -> std::io::Result<Finds> {
    let mut finds = Finds::default();
    if std::fs::metadata(named)?.is_dir() {
        // A folder that was named must be readable; one below it is a trouble among others.
        std::fs::read_dir(named)?;
        finds.folder(named, 0);
    } else {
        File::open(named)?;
        finds.file(named);
    }
    if finds.files > FILES_MAX {
        let what = format!("only the first {FILES_MAX} files were searched; name a folder with fewer");
        finds.troubles.push(Trouble { file: named.display().to_string(), what });
    }
    Ok(finds)
}

/// The files of a folder and of those below it, in order.
///
/// # Errors
/// When it is not there or cannot be listed.
pub(crate) fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::read_dir(folder)?;
    let (mut found, mut folders) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        // A folder below that cannot be read is passed over.
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            match path.symlink_metadata() {
                Ok(about) if about.is_dir() && depth < FOLDERS_DEEP_MAX => folders.push((path, depth + 1)),
                Ok(about) if about.is_file() && found.len() < FILES_MAX => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

impl Finds {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let entries = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        let mut entries: Vec<PathBuf> = match entries {
            Ok(entries) => entries,
            Err(cause) => {
                self.trouble(&Place { file: folder.to_owned(), entries: Vec::new() }, cause.to_string());
                return;
            }
        };
        entries.sort();
        for path in entries {
            match path.symlink_metadata() {
                Ok(about) if about.is_dir() && depth < FOLDERS_DEEP_MAX => self.folder(&path, depth + 1),
                Ok(about) if about.is_file() => self.file(&path),
                _ => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let place = Place { file: path.to_owned(), entries: Vec::new() };
        if let Err(what) = self.open_file(&place) {
            self.trouble(&place, what);
        }
    }

    fn open_file(&mut self, place: &Place) -> Result<(), String> {
        if !self.another() {
            return Ok(());
        }
        let mut file = File::open(&place.file).map_err(|cause| cause.to_string())?;
        let beginning = beginning(&mut file)?;
        file.seek(SeekFrom::Start(0)).map_err(|cause| cause.to_string())?;
        match beginning {
            Some(ZIP) => self.zip(place, BufReader::new(file)),
            Some(beginning) if is_mach_o(beginning) => {
                let bytes = bounded(&mut file)?;
                self.mach_o(place, &bytes)
            }
            _ => Ok(()),
        }
    }

    fn zip(&mut self, place: &Place, source: impl Read + Seek) -> Result<(), String> {
        let mut archive = ZipArchive::new(source).map_err(|cause| zip_words(&cause))?;
        for index in 0..archive.len() {
            if !self.another() {
                break;
            }
            let name = archive.name_for_index(index).and_then(Result::ok).map(std::borrow::Cow::into_owned);
            let inside = place.inside(name.as_deref().unwrap_or("an entry whose name is damaged"));
            if let Err(what) = self.entry(&inside, &mut archive, index) {
                self.trouble(&inside, what);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        place: &Place,
        archive: &mut ZipArchive<impl Read + Seek>,
        index: usize,
    ) -> Result<(), String> {
        let mut entry = archive.by_index(index).map_err(|cause| zip_words(&cause))?;
        // Most of what an archive holds is told by its first bytes to be nothing of ours, and is not unpacked.
        let beginning = beginning(&mut entry)?.filter(|_| place.entries.len() <= ZIPS_DEEP_MAX);
        let Some(beginning) = beginning.filter(|it| *it == ZIP || is_mach_o(*it)) else { return Ok(()) };
        if entry.size() > RATIO_MATTERS_FROM_BYTES
            && entry.size() / entry.compressed_size().max(1) > RATIO_MAX
        {
            return Err(format!(
                "it unpacks to more than {RATIO_MAX} times its size, like a bomb; zip the dSYM anew"
            ));
        }
        let mut bytes = beginning.to_vec();
        let room = FILE_BYTES_MAX.min(UNPACKED_BYTES_MAX.saturating_sub(self.unpacked));
        entry.by_ref().take(room).read_to_end(&mut bytes).map_err(|cause| damaged(&cause.to_string()))?;
        drop(entry);
        self.unpacked = self.unpacked.saturating_add(bytes.len() as u64);
        if bytes.len() as u64 > room {
            return Err(format!("it is larger than {FILE_BYTES_MAX} bytes, or the zip unpacks to too much"));
        }
        if beginning == ZIP { self.zip(place, Cursor::new(bytes)) } else { self.mach_o(place, &bytes) }
    }

    fn mach_o(&mut self, place: &Place, bytes: &[u8]) -> Result<(), String> {
        let found = guarded(|| objects(bytes)).map_err(|what| damaged(&what))?;
        self.objects.extend(found.into_iter().map(|about| (place.clone(), about)));
        Ok(())
    }

    fn another(&mut self) -> bool {
        self.files += 1;
        self.files <= FILES_MAX
    }

    fn trouble(&mut self, place: &Place, what: String) {
        self.troubles.push(Trouble { file: place.words(), what });
    }
}

/// What to do about a damaged file.
pub(crate) fn damaged(what: &str) -> String {
    format!("{what}; the file is damaged or cut off: copy it again from where the build was made")
}

fn zip_words(cause: &zip::result::ZipError) -> String {
    damaged(&cause.to_string())
}

/// The first four bytes, if there are so many.
fn beginning(source: &mut impl Read) -> Result<Option<[u8; 4]>, String> {
    let mut beginning = Vec::new();
    source.take(4).read_to_end(&mut beginning).map_err(|cause| damaged(&cause.to_string()))?;
    Ok(<[u8; 4]>::try_from(beginning).ok())
}

fn bounded(source: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|cause| damaged(&cause.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes, which no file of symbols is"));
    }
    Ok(bytes)
}

fn entry_of(source: impl Read + Seek, name: &str) -> Result<Vec<u8>, String> {
    let mut archive = ZipArchive::new(source).map_err(|cause| zip_words(&cause))?;
    let mut entry = archive.by_name(name).map_err(|cause| zip_words(&cause))?;
    bounded(&mut entry)
}
