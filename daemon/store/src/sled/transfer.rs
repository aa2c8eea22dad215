//! Export and import of a store on disk. The format of a dump is in [`crate::dump`].

use std::io::{BufRead, Write};
use std::path::Path;

use super::engine::{self, Engine};
use super::folder::Folder;
use super::store::SledStore;
use crate::dump::{self, Summary};
use crate::error::StoreError;

/// Writes a dump of an open store as of one revision. Commits go on meanwhile. Blocks on `to`.
///
/// # Errors
/// [`StoreError::DumpFile`] when `to` can't be written.
pub fn export(store: &SledStore, to: impl Write) -> Result<Summary, StoreError> {
    dump::write(&store.snapshot(), to)
}

/// Makes the store in `folder` from a dump, with the same revision and versions. Happens as a whole
/// or not at all, whenever the machine stops. Blocks; no daemon may have the folder open.
///
/// # Errors
/// [`StoreError::Dump`] names the line that is wrong; [`StoreError::NotEmpty`] when entries are there;
/// otherwise as [`SledStore::open`].
pub fn import(folder: impl AsRef<Path>, from: impl BufRead) -> Result<Summary, StoreError> {
    let (state, summary) = dump::read(from)?;
    let folder = Folder::lock(folder.as_ref())?;
    if engine::exists(&folder) {
        let (engine, present) = Engine::open(&folder)?;
        engine.close().map_err(|reason| StoreError::Stopped { reason })?;
        let entries = usize::try_from(present.fingerprint().entries).unwrap_or(usize::MAX);
        if entries > 0 {
            return Err(StoreError::NotEmpty { folder: folder.path().to_owned(), entries });
        }
    }
    Engine::build(&folder, &state)?;
    folder.adopt()?;
    Ok(summary)
}
