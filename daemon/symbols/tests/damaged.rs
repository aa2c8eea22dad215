//! Damaged dSYMs and zips: a sentence that names the file, never a panic, and the rest is still used.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::fs;
use std::path::Path;

use holdfast_symbols::Symbols;
use support::{KEDGE, MOORING_141, build, dwarf, fixture, report, told};

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
    let kept = cache.path().join(format!("{KEDGE}.v9.symcache"));
    let table = fs::read(&kept).unwrap();
    for seed in 1..=COPIES {
        fs::write(&kept, damaged(&table, seed)).unwrap();
        assert!(read_with(&symbols, KEDGE, Some(cache.path())).len() >= 4);
    }
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
