//! A folder as a zip, for uploads.

use std::fs::File;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Folders below the one that was named; links are not followed, so more is no folder of a build.
const FOLDERS_DEEP_MAX: usize = 32;

/// Zips what is in a folder, under the folder's own name, into a file that is removed when it is dropped.
pub(crate) fn zip_folder(folder: &Path) -> Result<NamedTempFile> {
    let folder = folder.canonicalize()?;
    let root = folder.parent().unwrap_or(Path::new("/")).to_owned();
    let mut zip = ZipWriter::new(NamedTempFile::new()?);
    let mut folders: Vec<(PathBuf, usize)> = vec![(folder, 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let about = path.symlink_metadata()?;
            if about.is_dir() && depth < FOLDERS_DEEP_MAX {
                folders.push((path, depth + 1));
            } else if about.is_file() {
                let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
                // The size is told because entries of more than 4 GB have another form.
                let options = SimpleFileOptions::default().large_file(about.len() > u64::from(u32::MAX));
                zip.start_file(name, options)?;
                std::io::copy(&mut File::open(&path)?, &mut zip)?;
            }
        }
    }
    let mut file = zip.finish()?;
    file.flush()?;
    Ok(file)
}
