//! Unpacks an uploaded package into a folder: an archive or a folder of files, never outside of its target and never
//! more than the phone has room for. What is inside is judged by [`package`](super::package).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::refusal::Refusal;
use crate::disk::Disk;

/// More files than any app that was ever seen (large games stay below 60,000), few enough to be counted quickly.
pub(super) const FILES_MAX: u64 = 100_000;

/// How deep folders may be nested: iOS refuses paths over 1,024 bytes, which cannot hold more.
const DEPTH_MAX: usize = 128;

/// What was unpacked. The bytes are taken from the phone's storage until they are given back.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Unpacked {
    /// Bytes written.
    pub(super) bytes: u64,
    files: u64,
}

impl Unpacked {
    /// Counts one file, and takes its bytes from the storage.
    pub(super) fn take(&mut self, disk: &Disk, bytes: u64) -> Result<(), Refusal> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(Refusal::extraction(format!("more than {FILES_MAX} files")));
        }
        disk.reserve(bytes).map_err(|_full| Refusal::extraction("No space left on device"))?;
        self.bytes += bytes;
        Ok(())
    }
}

/// Unpacks `package`, an archive or a folder, into the new folder `target`. On an error whatever was taken from the
/// storage is given back; the caller removes `target`.
pub(super) fn unpack(disk: &Disk, package: &Path, target: &Path) -> Result<Unpacked, Refusal> {
    fs::create_dir_all(target).map_err(|error| Refusal::internal("making the staging folder", &error))?;
    let mut unpacked = Unpacked::default();
    let done = if package.is_dir() {
        let into = match package.extension() {
            Some(extension) if extension == "app" => {
                target.join("Payload").join(package.file_name().unwrap_or_default())
            }
            _ => target.to_owned(),
        };
        copy_folder(disk, package, &into, &mut unpacked, DEPTH_MAX)
    } else {
        extract(disk, package, target, &mut unpacked)
    };
    if done.is_err() {
        disk.release(unpacked.bytes);
    }
    done.map(|()| unpacked)
}

/// The place below `target` that an archive's entry names; refused when it would be elsewhere.
pub(super) fn place(target: &Path, name: &str) -> Result<PathBuf, Refusal> {
    let mut place = target.to_owned();
    let mut depth = 0;
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) if !part.as_encoded_bytes().contains(&0) => place.push(part),
            Component::CurDir => continue,
            Component::Normal(_) | Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Refusal::extraction(format!("the entry `{name}` leaves the package")));
            }
        }
        depth += 1;
    }
    if depth == 0 || depth > DEPTH_MAX {
        return Err(Refusal::extraction(format!("the entry `{name}` has no usable name")));
    }
    Ok(place)
}

fn extract(disk: &Disk, package: &Path, target: &Path, unpacked: &mut Unpacked) -> Result<(), Refusal> {
    let wrong = |error: zip::result::ZipError| Refusal::extraction(error.to_string());
    let file = File::open(package).map_err(|error| Refusal::internal("opening the package", &error))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(wrong)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(wrong)?;
        let name = entry.name().map_err(wrong)?.into_owned();
        let place = place(target, &name)?;
        if entry.is_symlink() {
            return Err(Refusal::extraction(format!("the entry `{name}` is a link")));
        }
        if entry.is_dir() {
            fs::create_dir_all(&place).map_err(|error| Refusal::extraction(format!("`{name}`: {error}")))?;
            continue;
        }
        let announced = entry.size();
        unpacked.take(disk, announced)?;
        // One byte more than announced shows an entry that lies about its size.
        let written = write_file(&place, &mut (&mut entry).take(announced + 1))
            .map_err(|error| Refusal::extraction(format!("`{name}`: {error}")))?;
        if written != announced {
            return Err(Refusal::extraction(format!("the entry `{name}` is not as long as it says")));
        }
    }
    Ok(())
}

fn copy_folder(
    disk: &Disk,
    from: &Path,
    to: &Path,
    unpacked: &mut Unpacked,
    depth_left: usize,
) -> Result<(), Refusal> {
    let wrong = |error: io::Error| Refusal::extraction(format!("`{}`: {error}", from.display()));
    if depth_left == 0 {
        return Err(Refusal::extraction("folders are nested too deeply"));
    }
    fs::create_dir_all(to).map_err(wrong)?;
    for entry in fs::read_dir(from).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let kind = entry.file_type().map_err(wrong)?;
        let place = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(disk, &entry.path(), &place, unpacked, depth_left - 1)?;
        } else if kind.is_file() {
            unpacked.take(disk, entry.metadata().map_err(wrong)?.len())?;
            fs::copy(entry.path(), &place).map_err(wrong)?;
        } else {
            return Err(Refusal::extraction(format!("`{}` is a link", entry.path().display())));
        }
    }
    Ok(())
}

fn write_file(place: &Path, from: &mut impl Read) -> io::Result<u64> {
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    io::copy(from, &mut File::create(place)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_inside() {
        for (name, inside) in [
            ("Payload/Mooring.app/Info.plist", true),
            ("./Payload/x", true),
            ("../outside", false),
            ("Payload/../../outside", false),
            ("/etc/passwd", false),
            ("", false),
            (".", false),
            ("a\0b", false),
        ] {
            let place = place(Path::new("/target"), name);
            assert_eq!(place.is_ok(), inside, "{name:?}");
            if let Ok(place) = place {
                assert!(place.starts_with("/target"), "{name:?}");
            }
        }
    }
}
