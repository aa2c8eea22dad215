//! Who a build is: its `Info.plist` (XML or binary) and the UUIDs of its main executable (thin or fat).

use std::io::{Read, Seek};

use holdfast_wire::build::BuildIdentity;
use holdfast_wire::id::{BuildHash, BundleId};
use holdfast_wire::phone::OsVersion;
use object::read::macho::{FatArch, MachHeader, MachOFatFile32, MachOFatFile64};
use object::{Endianness, FileKind};
use plist::{Dictionary, Value};

use super::archive::{Archive, ArchiveError};

/// `Info.plist` of the largest applications is some hundred kilobytes.
const PLIST_BYTES_MAX: u64 = 8 << 20;

/// The main executable: the largest known is under 500 MB; it is read whole to find its load commands.
const EXECUTABLE_BYTES_MAX: u64 = 1 << 30;

/// What to do when there is no app inside.
const NO_APP: &str =
    "an .ipa holds Payload/<Name>.app; export the archive from Xcode as Ad Hoc or Development";

/// What to do when the app lies one folder too deep.
const NESTED_APP: &str =
    "Payload lies inside another folder, where no phone looks; zip the Payload folder itself";

/// Reads who a build is from its archive of so many bytes, whose hash is already known.
///
/// # Errors
/// Everything that keeps the archive from being a build, with its place and mend.
pub fn identify<R: Read + Seek>(
    reader: R,
    size_bytes: u64,
    hash: BuildHash,
) -> Result<BuildIdentity, ArchiveError> {
    let mut archive = Archive::open(reader, size_bytes)?;
    let folder = app_folder(&archive)?;
    let plist_name = format!("{folder}Info.plist");
    let info = read_plist(&mut archive, &plist_name)?;
    let text = |key: &'static str| required(&info, key, &plist_name);
    let bundle_id: BundleId = text("CFBundleIdentifier")?.parse().map_err(|error| ArchiveError::Plist {
        entry: plist_name.clone(),
        key: "CFBundleIdentifier",
        what: format!("{error}"),
    })?;
    let executable = text("CFBundleExecutable")?;
    if executable.contains(['/', '\\']) {
        return Err(ArchiveError::Plist {
            entry: plist_name,
            key: "CFBundleExecutable",
            what: format!("{executable:?} is a path; it must be the name of a file beside Info.plist"),
        });
    }
    let minimum_os = info.get("MinimumOSVersion").and_then(Value::as_string).map(str::to_owned);
    if let Some(minimum) = &minimum_os
        && let Err(error) = minimum.parse::<OsVersion>()
    {
        return Err(ArchiveError::Plist {
            entry: plist_name,
            key: "MinimumOSVersion",
            what: error.to_string(),
        });
    }
    let (version, build_number) = (text("CFBundleShortVersionString")?, text("CFBundleVersion")?);
    let program_name = format!("{folder}{executable}");
    let program = archive.read(
        &program_name,
        EXECUTABLE_BYTES_MAX,
        "CFBundleExecutable names a file that is not there",
    )?;
    let uuids = uuids_of(&program, &program_name)?;
    Ok(BuildIdentity { hash, size_bytes, bundle_id, executable, version, build_number, uuids, minimum_os })
}

/// `Payload/<Name>.app/` with its last slash; a zipped `.app` without `Payload` will do.
fn app_folder<R: Read + Seek>(archive: &Archive<R>) -> Result<String, ArchiveError> {
    let mut folders: Vec<String> = archive.names().filter_map(app_of).map(str::to_owned).collect();
    folders.sort();
    folders.dedup();
    match folders.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            let nested = archive.names().any(|name| {
                name.find("/Payload/").is_some_and(|at| at > 0 && app_of(&name[at + 1..]).is_some())
            });
            let mend = if nested { NESTED_APP } else { NO_APP };
            Err(ArchiveError::Missing { wanted: "Payload/<Name>.app/Info.plist".to_owned(), mend })
        }
        several => Err(ArchiveError::Executable {
            entry: several.join(", "),
            what: "the archive has several apps; leave only the one to test".to_owned(),
        }),
    }
}

/// The app folder that an entry names, when the entry is the app's own `Info.plist`.
fn app_of(entry: &str) -> Option<&str> {
    let folder = entry.strip_suffix("Info.plist")?;
    let name = folder.strip_prefix("Payload/").unwrap_or(folder);
    let plain = name.strip_suffix(".app/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
    plain.then_some(folder)
}

fn read_plist<R: Read + Seek>(archive: &mut Archive<R>, name: &str) -> Result<Dictionary, ArchiveError> {
    let bytes = archive.read(name, PLIST_BYTES_MAX, NO_APP)?;
    let wrong = |what: String| ArchiveError::Broken { entry: name.to_owned(), what };
    match Value::from_reader(std::io::Cursor::new(bytes)) {
        Ok(Value::Dictionary(info)) => Ok(info),
        Ok(_) => Err(wrong("its top is no dictionary".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn required(info: &Dictionary, key: &'static str, entry: &str) -> Result<String, ArchiveError> {
    let wrong = |what: &str| ArchiveError::Plist { entry: entry.to_owned(), key, what: what.to_owned() };
    match info.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::String(_)) => Err(wrong("is empty; set it in the target's build settings")),
        Some(_) => Err(wrong("is no text; it must be a string")),
        None => Err(wrong("is not there; set it in the target's build settings")),
    }
}

/// The `LC_UUID` of every slice, lower case with dashes.
fn uuids_of(program: &[u8], entry: &str) -> Result<Vec<String>, ArchiveError> {
    let wrong = |what: String| ArchiveError::Executable { entry: entry.to_owned(), what };
    let broken = |error: object::read::Error| wrong(format!("is a broken Mach-O file: {error}"));
    let kind = FileKind::parse(program)
        .map_err(|_| wrong("is no Mach-O file; build the app for iOS devices".to_owned()))?;
    let slices: Vec<&[u8]> = match kind {
        FileKind::MachO32 | FileKind::MachO64 => vec![program],
        FileKind::MachOFat32 => {
            let fat = MachOFatFile32::parse(program).map_err(broken)?;
            fat.arches().iter().map(|arch| arch.data(program)).collect::<Result<_, _>>().map_err(broken)?
        }
        FileKind::MachOFat64 => {
            let fat = MachOFatFile64::parse(program).map_err(broken)?;
            fat.arches().iter().map(|arch| arch.data(program)).collect::<Result<_, _>>().map_err(broken)?
        }
        _ => return Err(wrong("is no Mach-O file; build the app for iOS devices".to_owned())),
    };
    let mut uuids = Vec::new();
    for slice in slices {
        let uuid = match FileKind::parse(slice) {
            Ok(FileKind::MachO32) => uuid_of::<object::macho::MachHeader32<Endianness>>(slice),
            Ok(FileKind::MachO64) => uuid_of::<object::macho::MachHeader64<Endianness>>(slice),
            Ok(_) | Err(_) => return Err(wrong("has a slice that is no Mach-O file".to_owned())),
        };
        uuids.extend(uuid.map_err(broken)?);
    }
    if uuids.is_empty() {
        return Err(wrong(
            "has no LC_UUID, so crashes could not be told to be of it; link without -no_uuid".to_owned(),
        ));
    }
    Ok(uuids)
}

fn uuid_of<H: MachHeader<Endian = Endianness>>(slice: &[u8]) -> object::read::Result<Option<String>> {
    let header = H::parse(slice, 0)?;
    let endian = header.endian()?;
    let uuid = header.uuid(endian, slice, 0)?;
    Ok(uuid.map(|uuid| {
        let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use std::io::{Cursor, Write};
    use std::path::Path;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn sample(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/builds").join(name)).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<BuildIdentity, String> {
        identify(Cursor::new(bytes), bytes.len() as u64, BuildHash::new([1; 32]))
            .map_err(|error| error.to_string())
    }

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn plist(pairs: &[(&str, &str)]) -> Vec<u8> {
        let dictionary: Dictionary = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::String((*value).to_owned())))
            .collect();
        let mut bytes = Vec::new();
        Value::Dictionary(dictionary).to_writer_xml(&mut bytes).unwrap();
        bytes
    }

    const GOOD: [(&str, &str); 4] = [
        ("CFBundleIdentifier", "a.b"),
        ("CFBundleExecutable", "A"),
        ("CFBundleShortVersionString", "1"),
        ("CFBundleVersion", "2"),
    ];

    #[test]
    fn a_build_says_who_it_is() {
        let (trunk, branch) =
            (read(&sample("mooring-140.ipa")).unwrap(), read(&sample("mooring-141.ipa")).unwrap());
        assert_eq!(trunk.bundle_id.as_str(), "dev.holdfast.demo.mooring");
        assert_eq!((trunk.executable.as_str(), trunk.version.as_str()), ("Mooring", "1.4.0"));
        assert_eq!((trunk.build_number.as_str(), branch.build_number.as_str()), ("140", "141"));
        assert_eq!((trunk.uuids.len(), branch.uuids.len()), (1, 1));
        assert_ne!(trunk.uuids, branch.uuids, "each build has a UUID of its own");
    }

    #[test]
    fn what_is_no_build_is_refused_with_its_place_and_mend() {
        let without =
            |key: &str| plist(&GOOD.into_iter().filter(|(name, _)| *name != key).collect::<Vec<_>>());
        let good = plist(&GOOD);
        let table: Vec<(Vec<u8>, &str)> = vec![
            (b"not a zip".to_vec(), "the file is no readable zip archive"),
            (
                archive(&[("readme", b"")]),
                "no Payload/<Name>.app/Info.plist; an .ipa holds Payload/<Name>.app",
            ),
            (
                archive(&[("Payload/A.app/Info.plist", b"<plist")]),
                "\"Payload/A.app/Info.plist\" cannot be unpacked",
            ),
            (
                archive(&[
                    ("Payload/A.app/Info.plist", &without("CFBundleVersion")),
                    ("Payload/A.app/A", b""),
                ]),
                "Payload/A.app/Info.plist: CFBundleVersion: is not there",
            ),
            (
                archive(&[("Payload/A.app/Info.plist", &good)]),
                "no Payload/A.app/A; CFBundleExecutable names a file",
            ),
            (
                archive(&[("Payload/A.app/Info.plist", &good), ("Payload/A.app/A", b"#!/bin/sh")]),
                "Payload/A.app/A: is no Mach-O file",
            ),
            (archive(&[("../out", b"")]), "\"../out\" leads out of the archive"),
            (
                archive(&[("Payload/A.app/Info.plist", &good), ("Payload/B.app/Info.plist", &good)]),
                "several apps",
            ),
        ];
        for (bytes, expected) in table {
            let refused = read(&bytes).unwrap_err();
            assert!(refused.contains(expected), "expected {expected:?} in {refused:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let zeros = vec![0; 80 << 20];
        let refused = read(&archive(&[("Payload/A.app/zeros", &zeros)])).unwrap_err();
        assert!(refused.contains("it looks like a bomb"), "{refused}");
    }

    #[test]
    fn a_link_is_refused() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        writer.add_symlink("Payload/A.app/link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        let refused = read(&writer.finish().unwrap().into_inner()).unwrap_err();
        assert!(refused.contains("\"Payload/A.app/link\" is a symbolic link"), "{refused}");
    }

    #[test]
    fn archives_of_others_are_read_too() {
        let Some(folder) = std::env::var_os("HOLDFAST_EXTRA_FIXTURES") else { return };
        let folder = Path::new(&folder).join("ipa");
        let outcome = |name: &str| read(&std::fs::read(folder.join(name)).unwrap());
        let capable = outcome("very-capable-app.ipa").unwrap();
        assert_eq!(capable.executable, "very-capable-app");
        assert!(!capable.uuids.is_empty());
        assert!(outcome("iOSAppOnly.ipa").unwrap_err().contains("Payload lies inside another folder"));
        assert!(outcome("no-app-bundle.ipa").unwrap_err().contains("Payload/<Name>.app"));
        assert!(outcome("not-an-ipa.ipa").unwrap_err().contains("no readable zip archive"));
    }
}
