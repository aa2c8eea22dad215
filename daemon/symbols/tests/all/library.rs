//! What a daemon keeps: uploads and a searched folder, tables that outlive it, and what is told of bad files.

use std::fs;
use std::path::Path;

use holdfast_symbols::{Contents, Library};

use crate::support::{KEDGE, MOORING_140, MOORING_141, build, dwarf, fixture, report, told, zipped};

fn named(library: &Library) -> Vec<String> {
    let mut report = report("Mooring", MOORING_141, "arm64", &[0x45e8]);
    library.symbolicate(&mut report);
    told(&report)
}

const NAMED: [&str; 1] = ["Feed_decodeCell /mooring/Feed.c:23"];

#[test]
fn an_upload_is_used_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Library::open(folder.path().join("tables")).unwrap();
    let library = open();
    assert_eq!(named(&library), ["?"]);
    let upload = Contents::of(&build("mooring-141.dSYM.zip")).unwrap();
    assert_eq!(upload.uuids().into_iter().collect::<Vec<_>>(), [MOORING_141]);
    assert_eq!(library.add(&upload), []);
    assert!(library.knows(MOORING_141) && !library.knows(MOORING_140));
    assert_eq!(named(&library), NAMED);
    assert_eq!(named(&open()), NAMED, "the table outlives the program");
}

#[test]
fn a_searched_folder_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (tables, dsyms) = (folder.path().join("tables"), folder.path().join("dsyms"));
    let library = Library::open(tables).unwrap();
    assert!(library.search(&dsyms).is_err(), "a folder that is not there is told");
    fs::create_dir_all(dsyms.join("builds")).unwrap();
    let search = || library.search(&dsyms).unwrap();
    assert!(search().0.is_empty());
    fs::copy(build("mooring-141.dSYM.zip"), dsyms.join("builds/141.zip")).unwrap();
    fs::write(dsyms.join("broken"), &dwarf(&build("mooring-140.dSYM.zip"))[..40]).unwrap();
    let (fresh, troubles) = search();
    assert_eq!(fresh.into_iter().collect::<Vec<_>>(), [MOORING_141]);
    assert!(troubles.len() == 1 && troubles[0].file.ends_with("broken"), "{troubles:?}");
    assert_eq!(named(&library), NAMED);
    let (fresh, troubles) = search();
    assert!(fresh.is_empty() && troubles.is_empty(), "what was looked into is not looked into again");
}

#[test]
fn a_damaged_table_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(folder.path().to_owned()).unwrap();
    library.add(&Contents::of(&build("mooring-141.dSYM.zip")).unwrap());
    let table = folder.path().join(format!("{MOORING_141}.v9.1.symcache"));
    fs::write(&table, "no table").unwrap();
    assert_eq!(named(&library), ["?"]);
    assert!(!library.knows(MOORING_141), "so that it is asked for again");
    assert!(!Library::open(folder.path().to_owned()).unwrap().knows(MOORING_141), "after a restart too");
    library.add(&Contents::of(&build("mooring-141.dSYM.zip")).unwrap());
    assert_eq!(named(&library), NAMED);
}

#[test]
fn an_executable_is_no_upload_of_symbols_and_zips_in_zips_are() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Contents::of(&build("mooring-141.ipa")).unwrap().uuids().is_empty());
    let zip = |name: &str| fs::read(build(name)).unwrap();
    let all = folder.path().join("all.zip");
    let inner = zipped(&[("b/140.zip", &zip("mooring-140.dSYM.zip"))]);
    let kedge = dwarf(&fixture("kedge.dSYM.zip"));
    fs::write(
        &all,
        zipped(&[("141.zip", &zip("mooring-141.dSYM.zip")), ("more.zip", &inner), ("K", &kedge)]),
    )
    .unwrap();
    let mut expected = [MOORING_140, MOORING_141, KEDGE];
    expected.sort_unstable();
    assert_eq!(Contents::of(&all).unwrap().uuids().into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_bomb_is_refused_at_every_depth() {
    let folder = tempfile::tempdir().unwrap();
    let mut zeros = dwarf(&build("mooring-141.dSYM.zip"));
    zeros.resize(80 << 20, 0);
    let bomb = zipped(&[("bomb", &zeros)]);
    let check = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let contents = Contents::of(Path::new(&path)).unwrap();
        let troubles = contents.troubles();
        assert!(contents.uuids().is_empty() && troubles.len() == 1, "{troubles:?}");
        assert!(troubles[0].what.contains("like a bomb"), "{troubles:?}");
        assert!(troubles[0].file.ends_with("» bomb"), "{troubles:?}");
    };
    check("plain.zip", &bomb);
    check("inside.zip", &zipped(&[("inner.zip", &bomb)]));
}
