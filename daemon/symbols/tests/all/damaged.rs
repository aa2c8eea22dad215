//! Damaged dSYMs and zips: a sentence that names the file, never a panic, and the rest is still used.

use std::fs;
use std::path::Path;

use crate::support::{KEDGE, MOORING_141, build, dwarf, fixture, report, told};
use holdfast_symbols::{Symbols, symcache};

/// Damaged copies of each kind; enough to reach every part of a small file, in a few seconds.
const COPIES: u64 = 150;

/// Numbers that look drawn, the same on every run (xorshift).
fn drawn(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 16).unwrap()
}

fn damaged(whole: &[u8], seed: u64) -> Vec<u8> {
    let mut seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = whole.to_vec();
    if drawn(&mut seed).is_multiple_of(3) {
        bytes.truncate(drawn(&mut seed) % whole.len());
    }
    if !bytes.is_empty() {
        for _ in 0..1 + drawn(&mut seed) % 8 {
            // Headers decide more than what follows, so half of the damage is there.
            let reach = if drawn(&mut seed).is_multiple_of(2) { bytes.len().min(2048) } else { bytes.len() };
            let at = drawn(&mut seed) % reach;
            bytes[at] ^= 1 << (drawn(&mut seed) % 8);
        }
    }
    bytes
}

/// Reads a report with these symbols; every sentence about them must name the file.
fn read_with(folder: &Path, uuid: &str, cache: Option<&Path>) -> Vec<String> {
    let mut symbols = Symbols::search(folder, cache.map(Path::to_owned)).unwrap();
    let mut report = report("Kedge", uuid, "arm64", &[0x400c, 0x4060, 0xffff_ffff_ffff, 0]);
    symbols.symbolicate(&mut report);
    symbols.refused(&report);
    for trouble in symbols.take_troubles() {
        assert!(trouble.file.starts_with(folder.to_str().unwrap()), "{trouble:?}");
        assert!(!trouble.what.is_empty());
    }
    told(&report)
}

#[test]
fn no_damage_ends_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("symbols");
    let zip = fs::read(fixture("kedge.dSYM.zip")).unwrap();
    let bare = dwarf(&fixture("kedge.dSYM.zip"));
    for whole in [&zip, &bare] {
        for seed in 1..=COPIES {
            fs::write(&file, damaged(whole, seed)).unwrap();
            assert!(read_with(folder.path(), KEDGE, None).len() >= 4);
        }
    }
}

#[test]
fn no_damage_of_a_kept_table_ends_the_reading() {
    let cache = tempfile::tempdir().unwrap();
    let symbols = fixture("kedge.dSYM.zip");
    read_with(&symbols, KEDGE, Some(cache.path()));
    let kept = cache.path().join(format!("{KEDGE}.v9.1.symcache"));
    let table = fs::read(&kept).unwrap();
    for seed in 1..=COPIES {
        fs::write(&kept, damaged(&table, seed)).unwrap();
        assert!(read_with(&symbols, KEDGE, Some(cache.path())).len() >= 4);
    }
}

/// A dSYM whose functions lie in each other so deep (`mach-o/loader.h`, DWARF 4 section 7.5).
fn nested(levels: usize) -> Vec<u8> {
    const SUBPROGRAM: u8 = 0x2e;
    const COMPILE_UNIT: u8 = 0x11;
    const HAS_CHILDREN: u8 = 1;
    // A unit that says no address would be passed over: its one attribute is that, 8 bytes.
    let abbreviations = [1, COMPILE_UNIT, HAS_CHILDREN, 0x11, 1, 0, 0, 2, SUBPROGRAM, HAS_CHILDREN, 0, 0, 0];
    let mut info = u32::try_from(2 * levels + 17).unwrap().to_le_bytes().to_vec();
    info.extend([4, 0, 0, 0, 0, 0, 8, 1]);
    info.extend(0x4000_u64.to_le_bytes());
    info.resize(info.len() + levels, 2);
    // The end of each list of children.
    info.resize(info.len() + levels + 1, 0);

    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let name = |name: &str| name.bytes().chain(std::iter::repeat(0)).take(16).collect::<Vec<u8>>();
    let mut file = words(&[0xfeed_facf, 0x0100_000c, 0, 10, 2, 24 + 232, 0, 0]);
    file.extend(words(&[0x1b, 24, 1, 2, 3, 4]));
    file.extend(words(&[0x19, 232]));
    file.extend(name("__DWARF"));
    file.extend(words(&[0, 0, 0, 0, 288, 0, u32::try_from(info.len() + 13).unwrap(), 0, 0, 0, 2, 0]));
    for (section, from, length) in [("__debug_abbrev", 288, 13), ("__debug_info", 301, info.len())] {
        file.extend(name(section));
        file.extend(name("__DWARF"));
        file.extend(words(&[from - 288, 0, u32::try_from(length).unwrap(), 0, from, 0, 0, 0, 0, 0, 0, 0]));
    }
    assert_eq!(file.len(), 288, "the sections begin behind the commands");
    file.extend(abbreviations);
    file.extend(info);
    file
}

#[test]
fn functions_that_lie_in_each_other_without_end_are_refused_and_many_are_not() {
    assert_eq!(symcache(&nested(1_500), 0).err(), None);
    let refused = symcache(&nested(3_000_000), 0).unwrap_err();
    assert!(refused.contains("in each other"), "{refused}");
}

#[test]
fn a_damaged_file_is_named_with_its_mend_and_the_others_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let zip = fs::read(build("mooring-141.dSYM.zip")).unwrap();
    let bare = dwarf(&build("mooring-140.dSYM.zip"));
    fs::write(folder.path().join("a.zip"), &zip[..zip.len() / 2]).unwrap();
    fs::write(folder.path().join("b"), &bare[..40]).unwrap();
    fs::write(folder.path().join("c.zip"), &zip).unwrap();
    fs::write(folder.path().join("d.txt"), "no symbols").unwrap();
    let mut symbols = Symbols::search(folder.path(), None).unwrap();
    let troubles = symbols.take_troubles();
    let named: Vec<&str> = troubles.iter().filter_map(|it| it.file.rsplit('/').next()).collect();
    assert_eq!(named, ["a.zip", "b"]);
    assert!(troubles.iter().all(|trouble| trouble.what.contains("copy it again")), "{troubles:?}");
    let mut report = report("Mooring", MOORING_141, "arm64", &[0x45e8]);
    symbols.symbolicate(&mut report);
    assert_eq!(told(&report), ["Feed_decodeCell /mooring/Feed.c:23"]);
    assert!(Symbols::search(&folder.path().join("absent"), None).is_err());
}
