//! Apple's text form: what it says is what the JSON said, and public pairs of both agree line by line.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail loudly and says what it left out"
)]

use holdfast_crash::{Container, Frame, apple_text, read};
use std::fs;
use std::path::PathBuf;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

#[test]
fn the_text_says_what_the_json_said() {
    let files = [
        "objc_exception.ips",
        "watchdog_scene_update.ips",
        "swift_trap_in_launch.ips",
        "library_missing.ips",
        "initializer.ips",
        "file_lock.ips",
        "privacy_key.ips",
        "console_copy.txt",
    ];
    for file in files {
        let bytes = fixture(file);
        let json = read(&bytes);
        let text = apple_text(&bytes, &json).unwrap();
        let again = read(text.as_bytes());
        assert_eq!(again.container, Container::LegacyText, "{file}");
        assert_eq!(again.ended_by, json.ended_by, "{file}\n{text}");
        assert_eq!(again.launch_phase, json.launch_phase, "{file}");
        assert_eq!(again.crashed_thread, json.crashed_thread, "{file}");
        assert_eq!((&again.process, again.pid), (&json.process, json.pid), "{file}");
        assert_eq!((&again.app_version, &again.app_build), (&json.app_version, &json.app_build), "{file}");
        assert_eq!((again.captured_at, again.launched_at), (json.captured_at, json.launched_at), "{file}");
        assert_eq!(again.incident_id, json.incident_id, "{file}");
        let frames = |frames: &[Frame]| -> Vec<_> {
            let shown =
                |frame: &Frame| (frame.image.clone(), frame.address, frame.symbol.clone(), frame.line);
            frames.iter().map(shown).collect()
        };
        assert_eq!(again.threads.len(), json.threads.len(), "{file}");
        for (again, json) in again.threads.iter().zip(&json.threads) {
            assert_eq!((&again.name, &again.queue), (&json.name, &json.queue), "{file}");
            assert_eq!(frames(&again.frames), frames(&json.frames), "{file}");
        }
        assert_eq!(frames(&again.last_exception_backtrace), frames(&json.last_exception_backtrace), "{file}");
        assert_eq!(again.images.len(), json.images.len(), "{file}");
        for (again, json) in again.images.iter().zip(&json.images) {
            assert_eq!((&again.uuid, again.base), (&json.uuid, json.base), "{file}");
        }
    }
}

#[test]
fn symbols_found_since_stand_in_the_text() {
    let bytes = fixture("objc_exception.ips");
    let mut report = read(&bytes);
    let frame = &mut report.last_exception_backtrace[2];
    frame.symbol = Some("-[Feed load]".to_owned());
    frame.file = Some("Feed.m".to_owned());
    frame.line = Some(12);
    frame.inlined = true;
    let text = apple_text(&bytes, &report).unwrap();
    assert!(text.contains(" -[Feed load] [inlined] (Feed.m:12)\n"), "{text}");
}

#[test]
fn what_is_text_stays_as_it_is_and_what_has_none_gets_none() {
    for file in ["crash_ios14.ips", "disk_writes.ips", "watchdog_ios13.crash"] {
        let bytes = fixture(file);
        let text = apple_text(&bytes, &read(&bytes)).unwrap();
        assert!(String::from_utf8(bytes).unwrap().ends_with(&text) && !text.starts_with("{\""), "{file}");
    }
    for file in [
        "jetsam.ips",
        "panic.ips",
        "stackshot.ips",
        "analytics.ips",
        "header_only.ips",
        "no_report.ips",
        "empty.ips",
    ] {
        let bytes = fixture(file);
        assert_eq!(apple_text(&bytes, &read(&bytes)), None, "{file}");
    }
}

/// Reports and what Apple's tools made of them, of the extra fixtures.
const PAIRS: [(&str, &str); 5] = [
    ("Crashes__ios-crash.ips", "Crashes__ios-crash.crash"),
    ("Other__ios-crash-in-ips-format.ips", "Other__ios-crash-with-json-header.crash"),
    ("Other__ios-crash-in-ips-format.ips", "Other__ios-crash-without-json-header.crash"),
    ("Crashes__multi-target-crash.ips", "Crashes__multi-target-crash.crash"),
    ("Crashes__single-target-crash.ips", "Crashes__single-target-crash.crash"),
];

#[test]
fn public_pairs_agree_line_by_line() {
    let Some(folder) = std::env::var_os("HOLDFAST_EXTRA_FIXTURES") else {
        println!("HOLDFAST_EXTRA_FIXTURES is not set: no pairs were compared");
        return;
    };
    let folder = PathBuf::from(folder).join("ips/inket__MacSymbolicator");
    let name = |file: &str| folder.join(format!("MacSymbolicatorTests__Resources__{file}"));
    // Space at line ends and the header of the one that has it are no part of the form.
    let lines = |text: &str| -> Vec<String> {
        let lines =
            text.lines().filter(|line| !line.starts_with("{\"")).map(|line| line.trim_end().to_owned());
        let lines: Vec<String> = lines.collect();
        let first = lines.iter().position(|line| !line.is_empty()).unwrap();
        let last = lines.iter().rposition(|line| !line.is_empty()).unwrap();
        lines[first..=last].to_vec()
    };
    for (json, text) in PAIRS {
        let bytes = fs::read(name(json)).unwrap();
        let ours = lines(&apple_text(&bytes, &read(&bytes)).unwrap());
        let theirs = lines(&fs::read_to_string(name(text)).unwrap());
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "line {} of {text}", at + 1);
        }
        assert_eq!(ours.len(), theirs.len(), "lines of {text}");
    }
}
