//! Uploads of symbols: what is taken as those of a build. What is done with them is `symbols`.

use std::path::Path;

use holdfast_symbols::{Contents, Trouble};
use holdfast_wire::build::BuildIdentity;

use super::archive::{Archive, ArchiveError};

/// Files in an upload that a refusal names.
const NAMED_MAX: usize = 5;

/// Checks that a zip of symbols belongs to a build: one of its dSYMs has one of the build's UUIDs. Their names do not
/// matter, and zips in the zip are looked into.
///
/// # Errors
/// No archive, a bomb, no dSYM in it, or none of this build.
pub fn check_symbols(zip: &Path, size_bytes: u64, build: &BuildIdentity) -> Result<Contents, ArchiveError> {
    let unreadable = |what: String| ArchiveError::NoSymbolsArchive { what };
    let file = std::fs::File::open(zip).map_err(|error| unreadable(error.to_string()))?;
    Archive::open(std::io::BufReader::new(file), size_bytes).map_err(|error| match error {
        ArchiveError::NoArchive { what } => unreadable(what),
        other => other,
    })?;
    let contents = Contents::of(zip).map_err(|error| unreadable(error.to_string()))?;
    let found = contents.uuids();
    if found.is_empty() {
        return Err(match contents.troubles() {
            [] => ArchiveError::Missing {
                wanted: "dSYM".to_owned(),
                mend: "zip the .dSYM folder that Xcode or dsymutil made; an app or its .ipa has no source lines",
            },
            troubles => damaged(troubles, zip),
        });
    }
    if build.uuids.iter().any(|uuid| found.contains(uuid)) {
        return Ok(contents);
    }
    let found =
        contents.places().take(NAMED_MAX).map(|(place, uuid)| format!("{} ({uuid})", inside(&place, zip)));
    let found = found.collect::<Vec<_>>().join(", ");
    Err(ArchiveError::OtherSymbols { found, wanted: build.uuids.join(", ") })
}

/// Says which files in an upload cannot be used. The archive itself has no name there.
pub fn damaged(troubles: &[Trouble], zip: &Path) -> ArchiveError {
    let named = |trouble: &Trouble| format!("{}: {}", inside(&trouble.file, zip), trouble.what);
    let what: Vec<String> = troubles.iter().take(NAMED_MAX).map(named).collect();
    ArchiveError::DamagedSymbols { what: what.join("; ") }
}

fn inside<'p>(place: &'p str, zip: &Path) -> &'p str {
    let inside = place.strip_prefix(&*zip.to_string_lossy()).unwrap_or(place).trim_start_matches([' ', '»']);
    if inside.is_empty() { "the archive" } else { inside }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use std::io::{Cursor, Write};
    use std::path::PathBuf;

    use holdfast_wire::id::BuildHash;

    use super::*;
    use crate::builds::identify;

    fn sample(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/builds").join(name)
    }

    fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn symbols_belong_to_their_own_build_and_what_are_none_is_told_with_its_mend() {
        let ipa = std::fs::read(sample("mooring-140.ipa")).unwrap();
        let build = identify(Cursor::new(&ipa), ipa.len() as u64, BuildHash::new([1; 32])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let check = |bytes: &[u8]| {
            let path = folder.path().join("upload");
            std::fs::write(&path, bytes).unwrap();
            check_symbols(&path, bytes.len() as u64, &build).map(|_| ()).map_err(|error| error.to_string())
        };
        let own = std::fs::read(sample("mooring-140.dSYM.zip")).unwrap();
        let other = std::fs::read(sample("mooring-141.dSYM.zip")).unwrap();
        assert_eq!(check(&own), Ok(()));
        assert_eq!(check(&zipped(&[("a/141.zip", &other), ("b/140.zip", &own)])), Ok(()), "zips in a zip");
        let mach_o = [0xcf, 0xfa, 0xed, 0xfe, 0, 0, 0, 0, 0];
        let table: [(Vec<u8>, &[&str]); 6] = [
            (
                other.clone(),
                &[
                    "the symbols are of Mooring.app.dSYM/Contents/Resources/DWARF/Mooring (4c4c4408",
                    "upload the dSYM of the same build",
                ],
            ),
            (ipa.clone(), &["has no dSYM", "zip the .dSYM folder"]),
            (b"no zip".to_vec(), &["is no readable zip archive", "zip the .dSYM folder"]),
            (own[..own.len() / 2].to_vec(), &["is no readable zip archive"]),
            (
                zipped(&[("A.dSYM/Contents/Resources/DWARF/A", &mach_o)]),
                &["A.dSYM/Contents/Resources/DWARF/A: ", "copy it again"],
            ),
            (zipped(&[("a", &vec![0; 80 << 20])]), &["it looks like a bomb"]),
        ];
        for (bytes, expected) in table {
            let refused = check(&bytes).unwrap_err();
            assert!(expected.iter().all(|words| refused.contains(words)), "{expected:?} in {refused}");
        }
    }
}
