//! Report files of this machine, read without a daemon: every form, every way to name files, every exit code.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crash/fixtures")
}

/// Exit code, standard output, standard error.
fn read(words: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let ran = command
        .args(["crash", "read"])
        .args(words)
        // No daemon is there, and none is asked.
        .env("HOLDFAST_SERVER", "http://127.0.0.1:1")
        .current_dir(fixtures())
        .write_stdin(stdin)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_object_a_line_has_every_member_that_was_promised() {
    let files = ["objc_exception.ips", "jetsam.ips", "truncated.ips", "header_only.ips"];
    let (code, out, err) = read(&[&["--json"], &files[..]].concat(), b"");
    assert_eq!((code, err.as_str()), (0, ""));
    let found = objects(&out);
    let promised = [
        "file",
        "container",
        "bug_type",
        "kind",
        "process",
        "bundle_id",
        "os_version",
        "incident_id",
        "captured_at",
        "launch_phase",
        "ended_by",
        "thread_count",
        "crashed_thread",
        "frames",
        "signature",
        "signature_version",
        "malformed",
    ];
    for (object, file) in found.iter().zip(files) {
        assert_eq!(object["file"], file);
        for member in promised {
            assert!(object.get(member).is_some(), "{file} has {member}");
        }
    }
    let [crash, jetsam, truncated, header] = found.as_slice() else { unreachable!("four files") };
    assert_eq!(crash["container"], "two_part_json");
    assert_eq!((&crash["kind"], &crash["bug_type_name"]), (&"crash".into(), &"Crash".into()));
    assert_eq!(crash["captured_at"], "2026-03-02T09:15:30.25+08:00");
    assert_eq!(crash["launch_phase"], "running");
    assert_eq!((&crash["thread_count"], &crash["crashed_thread"]), (&2.into(), &0.into()));
    assert_eq!(crash["frames"][3]["symbol"], "-[ChatRoomList tableView:didSelectRowAtIndexPath:]");
    assert_eq!(crash["frames"][3]["in_app"], true);
    assert_eq!(crash["signature"], "Chat | uncaught NSInvalidArgumentException | Feed 6e1d804b+0x1000");
    assert_eq!(crash["signature_version"], holdfast_crash::SIGNATURE_VERSION);
    assert_eq!(crash["malformed"], Value::Null);
    for member in ["process", "bundle_id", "launch_phase", "thread_count", "crashed_thread", "frames"] {
        assert_eq!(jetsam[member], Value::Null, "a memory report has no {member}");
    }
    assert_eq!(jetsam["jetsam"]["victims"][0]["name"], "HoldfastChatWithAVeryLongProcess");
    assert_eq!(truncated["signature"], crash["signature"], "what was cut off is not what tells");
    assert!(truncated["malformed"][0]["line"].as_u64().unwrap() > 1);
    assert!(truncated["malformed"][0]["what"].as_str().unwrap().contains("ends inside"));
    assert_eq!(
        (&header["ended_by"], &header["signature"]),
        (&"system update report: OTAUpdate, error 78".into(), &Value::Null)
    );
}

#[test]
fn folders_and_standard_input_are_read() {
    let (code, out, err) = read(&["--json", "."], b"");
    let files = fs::read_dir(fixtures()).unwrap().count();
    // What no phone writes has no name of a report here; the empty file has one and is told of.
    assert_eq!(objects(&out).len(), files);
    assert_eq!(code, 6, "{err}");
    let unreadable: Vec<Value> =
        objects(&out).into_iter().filter(|it| it["container"] == "unreadable").collect();
    let names: Vec<&str> = unreadable.iter().map(|it| it["file"].as_str().unwrap()).collect();
    assert_eq!(names, ["./empty.ips", "./no_report.ips"]);

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("Retired")).unwrap();
    let put = |name: &str, from: &Path| assert!(fs::copy(from, folder.path().join(name)).unwrap() > 0);
    put("b.ips", &fixtures().join("hang.ips"));
    put("Retired/a.ips.synced", &fixtures().join("panic.ips"));
    put(".c.ips", &fixtures().join("panic.ips"));
    fs::write(folder.path().join("README.md"), "words\n").unwrap();
    std::os::unix::fs::symlink("..", folder.path().join("loop")).unwrap();
    let (code, out, err) = read(&["--json", folder.path().to_str().unwrap()], b"");
    let kinds: Vec<String> = objects(&out).iter().map(|it| it["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!((code, kinds), (0, vec!["panic".to_owned(), "hang".to_owned()]));
    assert_eq!(err, "left out 2 files that are no reports\n");

    let bytes = fs::read(fixtures().join("panic.ips")).unwrap();
    let (code, out, _) = read(&["--json", "-"], &bytes);
    assert_eq!((code, &objects(&out)[0]["file"]), (0, &"-".into()));
}

#[test]
fn people_get_a_page_and_tools_get_apples_text() {
    let (code, page, _) = read(&["watchdog_launch.ips"], b"");
    assert_eq!(code, 0);
    assert!(
        page.starts_with("Chat: watchdog: launching took too long, 20.00 s were allowed (process-launch)\n"),
        "{page}"
    );
    assert!(page.contains("\nsignature Chat | watchdog process-launch | Chat 5d0c7f3a+0x6000 ("), "{page}");
    let (code, text, _) = read(&["--text", "watchdog_launch.ips"], b"");
    assert_eq!(code, 0);
    assert!(text.starts_with("Incident Identifier: "), "{text}");
    assert!(text.ends_with("\nEOF\n"), "{text}");
    let (_, several, _) = read(&["hang.ips", "panic.ips"], b"");
    assert!(
        several.starts_with("==> hang.ips <==\n") && several.contains("\n\n==> panic.ips <==\n"),
        "{several}"
    );
}

#[test]
fn one_bad_file_does_not_keep_the_others_from_being_read() {
    let table: [(&[&str], i32, usize, &str); 5] = [
        (&["--json", "gone.ips", "panic.ips"], 3, 1, "cannot read gone.ips"),
        (&["--json", "no_report.ips", "panic.ips"], 6, 2, ""),
        (&["--json", "truncated.ips"], 0, 1, ""),
        (&["--json", "--text", "panic.ips"], 2, 0, "say one"),
        (&[], 2, 0, "<FILES>"),
    ];
    for (words, expected, lines, complaint) in table {
        let (code, out, err) = read(words, b"");
        assert_eq!((code, out.lines().count()), (expected, lines), "{words:?}: {err}");
        assert!(err.contains(complaint), "{words:?}: {err}");
    }
}

#[test]
fn a_report_cannot_move_the_cursor_of_who_reads_it() {
    let report = b"Incident Identifier: \x1b[2Jx\nProcess: Ch\x1b]0;at [7]\nException Type:  EXC_CRASH (SIGABRT)\n\nThread 0 Crashed:\n0   Chat\t0x1 evil\x9b + 1\n";
    for words in [&["-"][..], &["--text", "-"]] {
        let (_, out, _) = read(words, report);
        assert!(
            !out.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t'),
            "{words:?} {out:?}"
        );
    }
}

/// UUID of the build that the page of the feed crashes, as `llvm-dwarfdump --uuid` tells it.
const MOORING_141: &str = "4c4c4408-5555-3144-a1ff-140fc6c6ab6f";

/// Reads a crash of build 141 with these symbols of `tests/builds`.
fn read_mooring(form: &[&str], symbols: &str) -> (i32, String, String) {
    let builds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/builds").join(symbols);
    let cache = tempfile::tempdir().unwrap();
    let path = "/var/containers/Bundle/Application/A/Mooring.app/Mooring";
    let report = format!(
        r#"{{"bug_type":"309","app_name":"Mooring","timestamp":"2026-03-02 09:15:31.00 +0800"}}
{{"procName":"Mooring","procPath":"{path}","faultingThread":0,
"exception":{{"type":"EXC_BAD_ACCESS","signal":"SIGSEGV"}},"usedImages":[{{"source":"P","arch":"arm64",
"base":4294967296,"size":65536,"uuid":"{MOORING_141}","path":"{path}","name":"Mooring"}}],
"threads":[{{"triggered":true,"frames":[{{"imageIndex":0,"imageOffset":17896}},
{{"imageIndex":0,"imageOffset":18132}}]}}]}}"#
    );
    let places =
        ["--symbols", builds.to_str().unwrap(), "--symbol-cache", cache.path().to_str().unwrap(), "-"];
    read(&[form, &places].concat(), report.as_bytes())
}

#[test]
fn symbols_of_a_folder_name_the_frames_in_every_form() {
    // The folder holds the symbols of two builds, and their archives.
    let (code, out, err) = read_mooring(&["--json"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    let object = &objects(&out)[0];
    let frame = &object["frames"][0];
    assert_eq!(frame["symbol"], "Feed_decodeCell");
    assert_eq!((&frame["file"], &frame["line"]), (&"/mooring/Feed.c".into(), &23.into()));
    // The second frame is a caller: the line is that of the call, not of what comes after it.
    assert_eq!(
        (&object["frames"][1]["symbol"], &object["frames"][1]["line"]),
        (&"Feed_loadPage".into(), &48.into())
    );
    assert_eq!(object["missing_symbols"], Value::Array(Vec::new()));
    assert_eq!(object["signature"], "Mooring | bad access | Feed_decodeCell");
    for (form, expected) in
        [(&[][..], "Feed_decodeCell + 116 (Feed.c:23)"), (&["--text"], "Feed_decodeCell + 116 (Feed.c:23)")]
    {
        let (code, out, _) = read_mooring(form, "mooring-141.dSYM.zip");
        assert!(code == 0 && out.contains(expected) && !out.contains("missing"), "{form:?}: {out}");
    }
}

#[test]
fn symbols_of_another_build_are_refused_and_the_right_ones_asked_for() {
    let (code, out, err) = read_mooring(&["--json"], "mooring-140.dSYM.zip");
    assert_eq!(code, 0, "the report itself was read");
    let object = &objects(&out)[0];
    assert_eq!(object["frames"][0]["symbol"], Value::Null);
    assert_eq!(object["missing_symbols"], serde_json::json!([{"image": "Mooring", "uuid": MOORING_141}]));
    let refused = format!("warning: Mooring of - needs symbols of {MOORING_141}; refused those in ");
    assert!(err.contains(&refused), "{err}");
    let (_, page, _) = read_mooring(&[], "mooring-140.dSYM.zip");
    assert!(page.contains("symbols are missing") && page.contains("holdfast build symbols BUILD"), "{page}");
    let (code, _, err) = read_mooring(&[], "no such folder");
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("no such folder"), "{err}");
}
