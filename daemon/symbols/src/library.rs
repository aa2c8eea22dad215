//! The symbols of a farm: tables in one folder, made of uploads and of dSYMs in a folder that is searched now and then.
//! What may be uploaded, and which crashes wait for what, is the daemon's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use holdfast_crash::Report;
use symbolic_common::ByteView;
use symbolic_symcache::SymCache;

use crate::compile::symcache;
use crate::find::{Finds, Place, Trouble, damaged, files, search};
use crate::objects::About;
use crate::symbols::Error;
use crate::tables::{OfName, file_name, keep, name_frames, of_name, read_kept};

/// Tables open at a time: each is a file mapped into memory, and a farm tests a handful of builds a day.
const OPEN_MAX: usize = 256;

/// What lies in a zip, a folder or a file.
#[derive(Debug)]
pub struct Contents(Finds);

impl Contents {
    /// Looks into a zip or a folder, and into the zips in it.
    ///
    /// # Errors
    /// It cannot be read. Damaged files in it are [`Contents::troubles`].
    pub fn of(path: &Path) -> Result<Self, Error> {
        let finds = search(path).map_err(|cause| Error::Search { path: path.to_owned(), cause })?;
        Ok(Self(finds))
    }

    /// The UUIDs of the objects that know source lines, lower case with dashes.
    pub fn uuids(&self) -> BTreeSet<String> {
        self.objects().map(|(_, about)| about.uuid.clone()).collect()
    }

    /// Where each of them lies, after the name of what was looked into, and its UUID.
    pub fn places(&self) -> impl Iterator<Item = (String, &str)> {
        self.objects().map(|(place, about)| (place.words(), about.uuid.as_str()))
    }

    /// Leaves out everything but the object of this UUID.
    pub fn keep(&mut self, uuid: &str) {
        self.0.objects.retain(|(_, about)| about.uuid == uuid);
    }

    /// Files in it that cannot be used.
    pub fn troubles(&self) -> &[Trouble] {
        &self.0.troubles
    }

    fn objects(&self) -> impl Iterator<Item = &(Place, About)> {
        self.0.objects.iter().filter(|(_, about)| about.has_lines)
    }
}

/// The symbols of a farm. Every method may take a while, and none keeps the others from their work.
#[derive(Debug)]
pub struct Library {
    folder: PathBuf,
    known: Mutex<BTreeMap<String, Known>>,
    open: Mutex<BTreeMap<String, Arc<ByteView<'static>>>>,
    /// One table is made at a time: a large one takes gigabytes.
    making: Mutex<()>,
    /// Files of searched folders that were looked into, as they were.
    seen: Mutex<BTreeMap<PathBuf, (u64, Option<SystemTime>)>>,
}

/// Where the symbols of a UUID are.
#[derive(Debug, Clone)]
enum Known {
    /// Their table is in the folder.
    Kept,
    /// It can be made of this.
    Found(Box<(Place, About)>),
    /// It could not.
    Unusable,
}

impl Library {
    /// The tables of a folder, which is made when it is not there. Those of other versions are removed.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(folder: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut known = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_name().to_str().map(of_name) {
                Some(OfName::Table(uuid)) => drop(known.insert(uuid.to_owned(), Known::Kept)),
                // Nobody reads it again, and its dSYM makes a new one.
                Some(OfName::Outdated) => std::fs::remove_file(entry.path())?,
                Some(OfName::Other) | None => {}
            }
        }
        let (open, making, seen) = Default::default();
        Ok(Self { folder, known: Mutex::new(known), open, making, seen })
    }

    /// Whether there are symbols of this UUID.
    pub fn knows(&self, uuid: &str) -> bool {
        matches!(locked(&self.known).get(uuid), Some(Known::Kept | Known::Found(_)))
    }

    /// Makes the tables of everything in an upload. What cannot be made is told; the rest is used.
    pub fn add(&self, contents: &Contents) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        for (place, about) in contents.objects() {
            if matches!(locked(&self.known).get(&about.uuid), Some(Known::Kept)) {
                continue;
            }
            if let Err(what) = self.make(place, about) {
                troubles.push(Trouble { file: place.words(), what });
            }
        }
        troubles
    }

    /// Looks for new dSYMs in a folder. Their tables are made when a report needs them. Returns the UUIDs that were not
    /// known before, and files that cannot be used.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn search(&self, folder: &Path) -> Result<(BTreeSet<String>, Vec<Trouble>), Error> {
        let error = |cause| Error::Search { path: folder.to_owned(), cause };
        let (mut fresh, mut troubles) = (BTreeSet::new(), Vec::new());
        for file in files(folder).map_err(error)? {
            let Ok(about) = file.metadata() else { continue };
            let now = (about.len(), about.modified().ok());
            if locked(&self.seen).insert(file.clone(), now) == Some(now) {
                continue;
            }
            // A file that went away in the meantime is no trouble.
            let Ok(finds) = search(&file) else { continue };
            troubles.extend(finds.troubles);
            let mut known = locked(&self.known);
            for (place, about) in finds.objects.into_iter().filter(|(_, about)| about.has_lines) {
                if !matches!(known.get(&about.uuid), Some(Known::Kept | Known::Found(_))) {
                    fresh.insert(about.uuid.clone());
                    known.insert(about.uuid.clone(), Known::Found(Box::new((place, about))));
                }
            }
        }
        Ok((fresh, troubles))
    }

    /// Names the frames of a report whose images have symbols here.
    pub fn symbolicate(&self, report: &mut Report) {
        let uuids: BTreeSet<String> =
            report.images.iter().filter_map(|image| image.uuid.as_deref().map(str::to_owned)).collect();
        let tables: Vec<(String, Arc<ByteView<'static>>)> =
            uuids.into_iter().filter_map(|uuid| self.table(&uuid).map(|table| (uuid, table))).collect();
        let tables: BTreeMap<&str, SymCache<'_>> = tables
            .iter()
            .filter_map(|(uuid, table)| Some((uuid.as_str(), SymCache::parse(table).ok()?)))
            .collect();
        name_frames(report, &tables);
    }

    fn table(&self, uuid: &str) -> Option<Arc<ByteView<'static>>> {
        if let Some(table) = locked(&self.open).get(uuid) {
            return Some(table.clone());
        }
        let known = locked(&self.known).get(uuid).cloned()?;
        match known {
            Known::Kept => {}
            Known::Found(object) => self.make(&object.0, &object.1).ok()?,
            Known::Unusable => return None,
        }
        let path = self.folder.join(file_name(uuid));
        let Some(table) = read_kept(&path, uuid) else {
            // A damaged table is made again when its dSYM comes by again, at the next start or upload. Until then nothing
            // may look like one.
            let _removed = std::fs::remove_file(path);
            locked(&self.known).remove(uuid);
            locked(&self.seen).clear();
            return None;
        };
        let table = Arc::new(table);
        let mut open = locked(&self.open);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(uuid.to_owned(), table.clone());
        Some(table)
    }

    /// Makes the table of an object and keeps it.
    fn make(&self, place: &Place, about: &About) -> Result<(), String> {
        let _one = locked(&self.making);
        let path = self.folder.join(file_name(&about.uuid));
        let made = match read_kept(&path, &about.uuid) {
            Some(_) => Ok(()),
            None => place.read().and_then(|bytes| {
                let table = symcache(&bytes, about.position).map_err(|what| damaged(&what))?;
                keep(&path, &table)
                    .map_err(|cause| format!("its table cannot be kept in {}: {cause}", path.display()))
            }),
        };
        let now = if made.is_ok() { Known::Kept } else { Known::Unusable };
        locked(&self.known).insert(about.uuid.clone(), now);
        made
    }
}

/// Nothing is left half done under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
