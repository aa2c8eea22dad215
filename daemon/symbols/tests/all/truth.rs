//! Frames of our own builds get the functions and lines that stand in the source: every expectation here was read off
//! `tests/builds/src` and `fixtures/kedge.cpp` by a person, every address off the instructions of the executable.

use std::fs;
use std::path::Path;

use crate::support::{KEDGE, MOORING_140, MOORING_141, build, dwarf, fixture, report, told, zipped};
use holdfast_crash::{Report, Rules, missing_symbols, signature};
use holdfast_symbols::Symbols;

/// Every call in build 141 outside of loops: where it returns to, who calls, in which file and line.
const CALLS_141: &[(u64, &str, &str, u32)] = &[
    (0x4018, "main", "main.c", 36),
    (0x402c, "main", "main.c", 40),
    (0x4034, "main", "main.c", 41),
    (0x4044, "App_didFinishLaunching", "main.c", 29),
    (0x4054, "App_didFinishLaunching", "main.c", 32),
    // The last instruction of the function: abort does not return, and the next address is another function's.
    (0x4060, "App_didFinishLaunching", "main.c", 30),
    (0x4098, "App_runMainFlow", "main.c", 10),
    (0x40a0, "App_runMainFlow", "main.c", 11),
    (0x40b0, "App_runMainFlow", "main.c", 12),
    (0x40c0, "App_runMainFlow", "main.c", 13),
    (0x40c4, "App_runMainFlow", "main.c", 14),
    (0x40d4, "App_runMainFlow", "main.c", 15),
    (0x40f0, "App_runMainFlow", "main.c", 17),
    (0x4104, "App_runMainFlow", "main.c", 20),
    (0x4110, "App_runMainFlow", "main.c", 22),
    (0x4124, "App_runMainFlow", "main.c", 23),
    (0x412c, "App_runMainFlow", "main.c", 24),
    (0x4130, "App_runMainFlow", "main.c", 25),
    (0x4168, "Login_refreshToken", "Login.c", 7),
    (0x419c, "Login_refreshToken", "Login.c", 10),
    (0x41e8, "Login_refreshToken", "Login.c", 14),
    (0x4218, "Login_start", "Login.c", 19),
    (0x4228, "Login_start", "Login.c", 22),
    (0x4254, "Login_start", "Login.c", 25),
    (0x42b4, "Chat_openSession", "Chat.c", 17),
    (0x42c4, "Chat_openSession", "Chat.c", 18),
    (0x42d0, "Chat_openSession", "Chat.c", 19),
    (0x42e4, "Chat_openSession", "Chat.c", 20),
    (0x4330, "Chat_sendMessage", "Chat.c", 24),
    (0x4348, "Chat_sendMessage", "Chat.c", 28),
    (0x435c, "Chat_sendMessage", "Chat.c", 32),
    (0x4370, "Chat_sendMessage", "Chat.c", 33),
    (0x4380, "Chat_sendMessage", "Chat.c", 34),
    (0x4390, "Chat_sendMessage", "Chat.c", 35),
    (0x43a0, "Chat_sendMessage", "Chat.c", 36),
    (0x43b8, "Chat_sendMessage", "Chat.c", 37),
    (0x43c4, "Chat_sendMessage", "Chat.c", 38),
    (0x4420, "Chat_receiveMessage", "Chat.c", 46),
    (0x4430, "Chat_receiveMessage", "Chat.c", 47),
    (0x4444, "Chat_receiveMessage", "Chat.c", 49),
    (0x4454, "Chat_receiveMessage", "Chat.c", 50),
    (0x4468, "Chat_receiveMessage", "Chat.c", 53),
    (0x4500, "+[MORChannelList reloadWithCount:]", "Channel.m", 18),
    (0x4514, "+[MORChannelList reloadWithCount:]", "Channel.m", 18),
    (0x456c, "Channel_showList", "Channel.m", 28),
    (0x45a8, "Feed_decodeCell", "Feed.c", 11),
    (0x45b8, "Feed_decodeCell", "Feed.c", 12),
    (0x45c8, "Feed_decodeCell", "Feed.c", 13),
    (0x45d8, "Feed_decodeCell", "Feed.c", 14),
    (0x469c, "Feed_loadPage", "Feed.c", 41),
    (0x46b0, "Feed_loadPage", "Feed.c", 45),
    (0x46d4, "Feed_loadPage", "Feed.c", 48),
    (0x4708, "Feed_loadPage", "Feed.c", 52),
    (0x4748, "Feed_prefetchNext", "Feed.c", 59),
    (0x4758, "Feed_prefetchNext", "Feed.c", 60),
    (0x477c, "Feed_prefetchNext", "Feed.c", 63),
    (0x47a4, "Feed_prefetchNext", "Feed.c", 65),
    (0x499c, "Store_put", "Store.c", 28),
    (0x49b8, "Store_put", "Store.c", 33),
    (0x49cc, "Store_put", "Store.c", 37),
];

/// The crash that build 141 brought: the title of a cell reads past the end of the page.
const FEED_CRASH: [u64; 4] = [0x45e8, 0x46d4, 0x40d4, 0x402c];

/// Its stack in the source.
const FEED_STACK: [&str; 4] = [
    "Feed_decodeCell /mooring/Feed.c:23",
    "Feed_loadPage /mooring/Feed.c:48",
    "App_runMainFlow /mooring/main.c:15",
    "main /mooring/main.c:40",
];

fn named(symbols: &Path, app: &str, uuid: &str, offsets: &[u64]) -> Report {
    let mut report = report(app, uuid, "arm64", offsets);
    let mut symbols = Symbols::search(symbols, None).unwrap();
    assert_eq!(symbols.take_troubles(), []);
    symbols.symbolicate(&mut report);
    assert_eq!(symbols.take_troubles(), []);
    report
}

#[test]
fn every_call_has_its_function_and_line() {
    // The first frame is where the thread was; the calls come after it.
    let offsets: Vec<u64> = [0x45e8].into_iter().chain(CALLS_141.iter().map(|call| call.0)).collect();
    let report = named(&build("mooring-141.dSYM.zip"), "Mooring", MOORING_141, &offsets);
    let told = told(&report);
    assert_eq!(told.len(), offsets.len(), "nothing was inlined");
    for ((offset, function, file, line), told) in CALLS_141.iter().zip(told.iter().skip(1)) {
        assert_eq!(told, &format!("{function} /mooring/{file}:{line}"), "0x{offset:x}");
    }
}

#[test]
fn a_crash_is_told_by_its_line_and_signed_by_its_function() {
    let report = named(&build("mooring-141.dSYM.zip"), "Mooring", MOORING_141, &FEED_CRASH);
    assert_eq!(told(&report), FEED_STACK);
    let top = report.crashed().unwrap().frames.first().unwrap().clone();
    // Feed_decodeCell begins at 0x4574.
    assert_eq!((top.symbol_offset, top.in_app), (Some(0x74), true));
    let signature = signature(&report, &Rules::default()).unwrap();
    assert_eq!(signature.to_string(), "Mooring | bad access | Feed_decodeCell");
    assert_eq!(missing_symbols(&report), []);
}

#[test]
fn functions_that_were_inlined_are_frames_of_their_own_and_names_of_cpp_are_readable() {
    let report = named(&fixture("kedge.dSYM.zip"), "Kedge", KEDGE, &[0x400c, 0x4060]);
    let expected = [
        "kedge::fathoms(int) /kedge/kedge.cpp:7 inlined",
        "kedge::Anchor::hold(int) /kedge/kedge.cpp:15 inlined",
        "kedge::Anchor::drop(int) /kedge/kedge.cpp:24",
        "main /kedge/kedge.cpp:31",
    ];
    assert_eq!(told(&report), expected);
    let frames = &report.crashed().unwrap().frames;
    assert!(frames.iter().take(3).all(|frame| frame.offset == Some(0x400c) && frame.in_app));
}

#[test]
fn symbols_are_found_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let bare = dwarf(&build("mooring-141.dSYM.zip"));
    let other = dwarf(&build("mooring-140.dSYM.zip"));
    let zip = fs::read(build("mooring-141.dSYM.zip")).unwrap();
    let other_zip = fs::read(build("mooring-140.dSYM.zip")).unwrap();
    let executable = fs::read(build("mooring-141.ipa")).unwrap();
    let table: [(&str, &str, Vec<u8>); 6] = [
        ("bare", "anything", bare.clone()),
        ("bundle", "Mooring.app.dSYM/Contents/Resources/DWARF/Mooring", bare.clone()),
        ("zip", "builds/141/symbols.zip", zip.clone()),
        ("zips in a zip", "dSYMs.zip", zipped(&[("140.zip", &other_zip), ("a/141.zip", &zip)])),
        ("universal", "Mooring", universal(&[&other, &bare])),
        (
            "beside its executable",
            "all.zip",
            zipped(&[("1.ipa", &executable), ("2", &bare), ("3.ipa", &executable)]),
        ),
    ];
    for (what, name, bytes) in table {
        let path = folder.path().join(what).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let report = named(&folder.path().join(what), "Mooring", MOORING_141, &FEED_CRASH);
        assert_eq!(told(&report), FEED_STACK, "{what}");
    }
}

#[test]
fn an_executable_names_functions_and_its_dsym_is_still_wanted_for_lines() {
    let report = named(&build("mooring-141.ipa"), "Mooring", MOORING_141, &FEED_CRASH);
    assert_eq!(told(&report), ["Feed_decodeCell", "Feed_loadPage", "App_runMainFlow", "main"]);
}

#[test]
fn symbols_of_another_build_or_architecture_are_refused() {
    let mut of_140 = Symbols::search(&build("mooring-140.dSYM.zip"), None).unwrap();
    let mut report_141 = report("Mooring", MOORING_141, "arm64", &FEED_CRASH);
    of_140.symbolicate(&mut report_141);
    assert_eq!(told(&report_141), ["?"; 4]);
    let missing = missing_symbols(&report_141);
    assert_eq!(
        missing.iter().map(|it| (&*it.image, &*it.uuid)).collect::<Vec<_>>(),
        [("Mooring", MOORING_141)]
    );
    let refused = of_140.refused(&report_141);
    let [refused] = refused.as_slice() else { panic!("one dSYM was refused: {refused:?}") };
    assert_eq!((&*refused.needed, &*refused.found), (MOORING_141, MOORING_140));
    assert!(
        refused.file.ends_with("mooring-140.dSYM.zip » Mooring.app.dSYM/Contents/Resources/DWARF/Mooring")
    );

    let mut of_arm64e = report("Mooring", MOORING_140, "arm64e", &FEED_CRASH);
    of_140.symbolicate(&mut of_arm64e);
    assert_eq!(told(&of_arm64e), ["?"; 4]);
    let refused = of_140.refused(&of_arm64e);
    assert_eq!(refused.iter().map(|it| (&*it.needed, &*it.found)).collect::<Vec<_>>(), [("arm64e", "arm64")]);
}

#[test]
fn a_table_is_made_once_and_a_damaged_one_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("not/yet/there");
    let read = || {
        let mut symbols = Symbols::search(&build("mooring-141.dSYM.zip"), Some(cache.clone())).unwrap();
        let mut report = report("Mooring", MOORING_141, "arm64", &FEED_CRASH);
        symbols.symbolicate(&mut report);
        assert_eq!(symbols.take_troubles(), []);
        told(&report)
    };
    assert_eq!(read(), FEED_STACK);
    let kept = cache.join(format!("{MOORING_141}.v9.1.symcache"));
    let table = fs::read(&kept).unwrap();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "nothing half written lies beside it");
    // The place of a line in it, changed: what is read then comes from the table and not from the dSYM.
    let other = String::from_utf8_lossy(&table).contains("Feed_loadPage");
    assert!(other, "the table holds the names");
    let mut changed = table.clone();
    let at = table.windows(13).position(|name| name == b"Feed_loadPage").unwrap();
    changed.splice(at..at + 13, *b"Feed_fromDisk");
    fs::write(&kept, &changed).unwrap();
    assert_eq!(read().get(1).unwrap(), "Feed_fromDisk /mooring/Feed.c:48");
    for damaged in [&table[..0], &table[..table.len() / 2], b"no table at all"] {
        fs::write(&kept, damaged).unwrap();
        assert_eq!(read(), FEED_STACK);
        assert_eq!(fs::read(&kept).unwrap(), table, "it was made again");
    }
}

/// A universal file (`mach-o/fat.h`): a big-endian header with the place of each object.
fn universal(objects: &[&[u8]]) -> Vec<u8> {
    const ARM64: [u32; 2] = [0x0100_000c, 0];
    const ALIGNED: usize = 1 << 14;
    let mut header = vec![0xcafe_babe, u32::try_from(objects.len()).unwrap()];
    let mut body = Vec::new();
    for object in objects {
        let place = ALIGNED + body.len();
        header.extend(ARM64);
        header.extend([place, object.len(), 14].map(|number| u32::try_from(number).unwrap()));
        body.extend_from_slice(object);
        body.resize(body.len().next_multiple_of(ALIGNED), 0);
    }
    let mut file: Vec<u8> = header.into_iter().flat_map(u32::to_be_bytes).collect();
    file.resize(ALIGNED, 0);
    file.extend(body);
    file
}
