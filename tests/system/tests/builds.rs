//! The committed sample builds are what `scripts/make-builds` makes from the sources beside them:
//! same symbols, same UUIDs, and each build agrees with its own dSYM. What the builds are used for
//! lives with the tests that install them.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a stranger would compare: the identity of a Mach-O and where its functions begin.
#[derive(Debug, PartialEq, Eq)]
struct MachO {
    uuid: [u8; 16],
    functions: BTreeSet<(u64, String)>,
}

const IN_APP: &str = "Payload/Mooring.app/Mooring";
const IN_DSYM: &str = "Mooring.app.dSYM/Contents/Resources/DWARF/Mooring";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn member(archive: &Path, name: &str) -> Vec<u8> {
    let file = std::fs::File::open(archive)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", archive.display()));
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn read(archive: &Path, name: &str) -> MachO {
    let bytes = member(archive, name);
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let functions = file
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_definition())
        .map(|symbol| (symbol.address(), symbol.name().unwrap().to_owned()))
        .collect();
    MachO { uuid: file.mach_uuid().unwrap().expect("a Mach-O with LC_UUID"), functions }
}

fn names(build: &MachO) -> BTreeSet<&str> {
    build.functions.iter().map(|(_, name)| name.as_str()).collect()
}

#[test]
fn committed_builds_are_what_the_script_makes() {
    let rebuilt = tempfile::tempdir().unwrap();
    let output = Command::new(repository().join("scripts/make-builds"))
        .arg(rebuilt.path())
        .output()
        .expect("scripts/make-builds starts");
    assert!(
        output.status.success(),
        "scripts/make-builds failed; scripts/install-clients installs LLVM 14, zip and python3: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (archive, inside) in [
        ("mooring-140.ipa", IN_APP),
        ("mooring-140.dSYM.zip", IN_DSYM),
        ("mooring-141.ipa", IN_APP),
        ("mooring-141.dSYM.zip", IN_DSYM),
    ] {
        let committed = read(&repository().join("tests/builds").join(archive), inside);
        let fresh = read(&rebuilt.path().join(archive), inside);
        assert_eq!(
            committed, fresh,
            "{archive} differs from what scripts/make-builds makes (UUIDs hold for LLVM 14); run it and commit the result"
        );
    }
}

#[test]
fn every_build_agrees_with_its_own_symbols_only() {
    let folder = repository().join("tests/builds");
    let mut uuids = BTreeSet::new();
    for build in ["140", "141"] {
        let app = read(&folder.join(format!("mooring-{build}.ipa")), IN_APP);
        let symbols = read(&folder.join(format!("mooring-{build}.dSYM.zip")), IN_DSYM);
        assert_eq!(app.uuid, symbols.uuid, "build {build} and its dSYM");
        let functions: BTreeSet<_> =
            app.functions.iter().filter(|(_, name)| name != "__mh_execute_header").cloned().collect();
        assert!(functions.len() >= 12, "build {build} has {} functions", functions.len());
        assert!(
            functions.is_subset(&symbols.functions),
            "build {build}: {functions:?} not within {:?}",
            symbols.functions
        );
        uuids.insert(app.uuid);
    }
    assert_eq!(uuids.len(), 2, "two builds, two UUIDs");
}

#[test]
fn the_branch_has_one_function_more_than_trunk() {
    let folder = repository().join("tests/builds");
    let trunk = read(&folder.join("mooring-140.ipa"), IN_APP);
    let branch = read(&folder.join("mooring-141.ipa"), IN_APP);
    let added: Vec<_> = names(&branch).difference(&names(&trunk)).copied().map(str::to_owned).collect();
    assert_eq!(added, ["_Feed_prefetchNext"]);
    assert!(names(&trunk).is_subset(&names(&branch)));
}
