//! The symbols of a folder that was named once, ready to name the frames of reports. What a daemon keeps is `library`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast_crash::{Report, missing_symbols};
use symbolic_common::ByteView;
use symbolic_symcache::SymCache;

use crate::compile::symcache;
use crate::find::{Place, Trouble, damaged, search};
use crate::objects::About;
use crate::tables::{file_name, fits, keep, name_frames, read_kept};

/// Tables held at a time; a report has frames of a handful of the app's images.
const TABLES_MAX: usize = 64;

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
        name_frames(report, &tables);
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
        let kept =
            self.cache.as_ref().filter(|_| about.has_lines).map(|cache| cache.join(file_name(&about.uuid)));
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
