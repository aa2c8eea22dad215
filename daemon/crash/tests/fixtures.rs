//! Our own report files, and by hand what each of them must give.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use holdfast_crash::{Moment, Report, read, render_text, summary};
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn fixture(name: &str) -> Report {
    read(&fs::read(folder().join(name)).unwrap())
}

/// The word that an enum is written as.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value).unwrap() {
        serde_json::Value::Object(members) => members["class"].as_str().unwrap().to_owned(),
        other => other.as_str().unwrap().to_owned(),
    }
}

/// file | container | bug_type | kind | process | class of the end | phase | crashed thread | top frame of the app | faults
const TABLE: &str = "
objc_exception.ips|two_part_json|309|crash|Chat|objective_c_exception|running|0|Feed + 0x1000|0
watchdog_scene_update.ips|two_part_json|309|crash|Chat|watchdog|running|0|Chat -[ChatStore readAllSynchronously] + 44 (ChatStore.m:88)|0
watchdog_launch.ips|two_part_json|309|crash|Chat|watchdog|in_launch|0|Chat + 0x6000|0
swift_trap_in_launch.ips|two_part_json|309|crash|Chat|runtime_failure|in_launch|1|Chat closure #1 in Login.start() + 96 (Login.swift:42)|0
library_missing.ips|two_part_json|309|crash|Chat|library_missing|before_main|0|-|0
initializer.ips|two_part_json|309|crash|Chat|bad_access|before_main|0|Feed +[FeedCache load] + 20|0
file_lock.ips|two_part_json|309|crash|Chat|terminated|running|0|Chat + 0x2008|0
privacy_key.ips|two_part_json|309|crash|Chat|privacy_key_missing|running|0|Chat + 0xa000|0
jetsam.ips|two_part_json|298|jetsam|-|out_of_memory|unknown|-|-|0
panic.ips|two_part_json|210|panic|-|kernel_panic|unknown|-|-|0
stackshot.ips|two_part_json|288|stackshot|-|nothing_ended|unknown|-|-|0
resource_exception.ips|two_part_json|385|resource_exception|Chat|resource_limit|running|0|Chat ImageCache.decode(_:) + 24|0
user_fault.ips|two_part_json|308|user_fault|Chat|exception|running|0|Chat + 0xc000|0
hang.ips|two_part_json|228|hang|Chat|hang|running|-|Chat -[ChatStore readAllSynchronously] + 44|0
hang_sampled.ips|header_and_text|228|hang|Chat|hang|unknown|0|Chat -[ChatStore readAllSynchronously] + 44|0
crash_ios14.ips|header_and_text|109|crash|Chat|bad_access|running|0|Feed +[FeedCache warm] (FeedCache.m:31)|0
watchdog_ios13.crash|legacy_text|-|crash|Chat|watchdog|in_launch|0|Feed +[FeedCache warm] (FeedCache.m:31)|0
exception_addresses.crash|legacy_text|-|crash|Chat|objective_c_exception|running|0|Feed + 0x800|0
disk_writes.ips|header_and_text|145|disk_writes|Chat|resource_limit|unknown|0|Chat -[ChatStore flush] + 40|0
cpu_fatal.ips|header_and_text|206|cpu_resource|Chat|resource_limit|unknown|0|Chat main + 20|0
service_watchdog.ips|two_part_json|409|watchdog|SpringBoard|watchdog|unknown|-|-|0
wakeups.ips|header_and_text|142|wakeups|Chat|resource_limit|unknown|0|Chat -[ChatSocket poll] + 88|0
cpu_warning.ips|header_and_text|202|cpu_resource|Chat|resource_limit|unknown|0|Chat -[ChatStore compact] + 12|0
resource_ios12.ips|header_and_text|185|resource_exception|Chat|resource_limit|running|1|Chat -[ChatSocket poll] + 88|0
forced_reset.ips|two_part_json|151|force_reset|-|forced_reset|unknown|-|-|0
stackshot_ios8.ips|header_and_text|188|stackshot|-|nothing_ended|unknown|-|-|0
hang_short.ips|two_part_json|222|hang|Chat|hang|running|-|Chat -[ChatStore readAllSynchronously] + 44|0
pretty_header.ips|two_part_json|309|crash|Chat|exception|running|0|Chat + 0xa000|0
console_copy.txt|console_copy|309|crash|Chat|exception|running|0|Chat + 0xd000|0
truncated.ips|two_part_json|309|crash|Chat|objective_c_exception|running|0|Feed + 0x1000|6
head_missing.ips|fragment|-|crash|Chat|objective_c_exception|running|0|Feed + 0x1000|1
invalid_escape.ips|two_part_json|210|panic|-|kernel_panic|unknown|-|-|1
missing_brace.ips|two_part_json|298|jetsam|-|out_of_memory|unknown|-|-|2
header_only.ips|header_only|183|update|Update|nothing_ended|unknown|-|-|0
crash_without_body.ips|header_only|309|crash|Chat|unknown|unknown|-|-|1
analytics.ips|json_lines|211|analytics|-|nothing_ended|unknown|-|-|0
unknown_type.ips|two_part_json|777|unknown|-|unknown|unknown|-|-|0
no_report.ips|unreadable|-|unknown|-|unknown|unknown|-|-|1
empty.ips|unreadable|-|unknown|-|unknown|unknown|-|-|1
";

#[test]
fn every_fixture_gives_what_stands_in_it() {
    let mut seen = Vec::new();
    for row in TABLE.lines().filter(|row| !row.is_empty()) {
        let file = row.split('|').next().unwrap();
        let report = fixture(file);
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let found = [
            file.to_owned(),
            word(report.container),
            or_dash(report.bug_type.clone()),
            word(report.kind),
            or_dash(report.process.clone()),
            word(&report.ended_by.cause),
            word(report.launch_phase),
            or_dash(report.crashed_thread.map(|index| index.to_string())),
            or_dash(summary(&report).top_in_app),
            report.malformed.len().to_string(),
        ];
        assert_eq!(found.join("|"), row, "{:#?}", report.malformed);
        seen.push(file.to_owned());
    }
    let mut files: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    seen.sort();
    assert_eq!(seen, files, "every fixture has its row");
}

#[test]
fn the_end_is_told_in_words() {
    let table = [
        (
            "objc_exception.ips",
            "uncaught NSInvalidArgumentException: -[ChatRoom open:]: unrecognized selector sent to instance 0x2801f4000",
        ),
        (
            "watchdog_scene_update.ips",
            "watchdog: updating its scene took too long, 10.00 s were allowed (scene-update)",
        ),
        ("watchdog_launch.ips", "watchdog: launching took too long, 20.00 s were allowed (process-launch)"),
        ("watchdog_ios13.crash", "watchdog: launching took too long, 19.93 s were allowed (scene-create)"),
        (
            "swift_trap_in_launch.ips",
            "Chat/Login.swift:42: Fatal error: Unexpectedly found nil while unwrapping an Optional value, EXC_BREAKPOINT (SIGTRAP)",
        ),
        ("library_missing.ips", "a library is missing: @rpath/Feed.framework/Feed"),
        ("initializer.ips", "bad memory access at 0x8 (null pointer), EXC_BAD_ACCESS (SIGSEGV)"),
        ("crash_ios14.ips", "bad memory access at 0x16d0fbff0 (stack overflow), EXC_BAD_ACCESS (SIGBUS)"),
        ("file_lock.ips", "it held a file or database lock while it was suspended (RUNNINGBOARD 0xdead10cc)"),
        ("privacy_key.ips", "private data was used, but Info.plist lacks NSCameraUsageDescription"),
        (
            "jetsam.ips",
            "HoldfastChatWithAVeryLongProcess was killed for memory: it passed its own memory limit (per-process-limit), at 2048 MiB (and 1 more)",
        ),
        (
            "panic.ips",
            "kernel panic: userspace watchdog timeout: no successful checkins from backboardd in 180 seconds",
        ),
        (
            "invalid_escape.ips",
            "kernel panic: userspace watchdog timeout: no \\ successful checkins from backboardd in 180 seconds",
        ),
        (
            "stackshot.ips",
            "stacks of all processes, asked for: sysdiagnose (stackshot only) trigger: buttons",
        ),
        ("resource_exception.ips", "too much of MEMORY: (Limit 2098 MB) Crossed High Water Mark"),
        ("hang.ips", "the main thread did not answer"),
        ("hang_sampled.ips", "the main thread did not answer for 3.30s"),
        ("user_fault.ips", "EXC_GUARD: violations: INVALID_RIGHT"),
        ("exception_addresses.crash", "uncaught Objective-C exception without a name"),
        (
            "cpu_fatal.ips",
            "too much of cpu usage: 48 seconds cpu time over 52 seconds (92% cpu average), exceeding limit of 80% cpu over 60 seconds; killed for it",
        ),
        (
            "service_watchdog.ips",
            "watchdog: the service SpringBoard did not check in (monitoring timed out for service)",
        ),
        (
            "wakeups.ips",
            "too much of wakeups: 45001 wakeups over the last 136 seconds (331 wakeups per second average), exceeding limit of 150 wakeups per second over 300 seconds; a warning, it went on",
        ),
        ("resource_ios12.ips", "too much of WAKEUPS: (Limit 150/sec) Observed 212/sec over 300 secs"),
        ("forced_reset.ips", "the phone was reset: btn_rst"),
        (
            "stackshot_ios8.ips",
            "stacks of all processes, asked for: Manually triggered stackshot via backboardd",
        ),
        ("header_only.ips", "system update report: OTAUpdate, error 78"),
        ("empty.ips", "the report does not tell"),
    ];
    for (file, words) in table {
        assert_eq!(fixture(file).ended_by.words, words, "{file}");
    }
}

#[test]
fn identity_times_and_images_are_those_of_the_file() {
    let moment = |text: &str| Moment::parse(text);
    for file in ["objc_exception.ips", "crash_ios14.ips", "watchdog_scene_update.ips", "console_copy.txt"] {
        let report = fixture(file);
        assert_eq!(report.bundle_id.as_deref(), Some("example.holdfast.chat"), "{file}");
        assert_eq!(report.app_version.as_deref(), Some("8.0.1"), "{file}");
        assert_eq!(report.app_build.as_deref(), Some("4127"), "{file}");
        assert_eq!(report.pid, Some(1730), "{file}");
        assert_eq!(report.slice_uuid.as_deref(), Some("5d0c7f3a-1b2c-3d4e-8f90-a1b2c3d4e5f6"), "{file}");
        assert_eq!(report.captured_at, moment("2026-03-02 09:15:30.25 +0800"), "{file}");
        assert_eq!(report.written_at, moment("2026-03-02 09:15:31 +0800"), "{file}");
        assert_eq!(report.launched_at, moment("2026-03-02 09:14:10 +0800"), "{file}");
        let app = &report.images[report.app_image.unwrap()];
        assert_eq!((app.name.as_deref(), app.size), (Some("Chat"), Some(1_048_576)), "{file}");
        assert_eq!(app.uuid.as_deref(), report.slice_uuid.as_deref(), "{file}");
    }
    let report = fixture("objc_exception.ips");
    assert_eq!(report.os_version.as_deref(), Some("iPhone OS 18.5 (22F76)"));
    assert_eq!(report.app_image, Some(2), "the first image is the kernel's library");
    let thrown = &report.last_exception_backtrace[3];
    assert_eq!(thrown.address, Some(4_300_210_176 + 16_384));
    assert_eq!(thrown.image_uuid.as_deref(), report.slice_uuid.as_deref());
    assert_eq!(report.threads[0].queue.as_deref(), Some("com.apple.main-thread"));
    assert_eq!(report.threads[1].name.as_deref(), Some("com.apple.uikit.eventfetch-thread"));
    assert_eq!(report.termination.unwrap().indicator.as_deref(), Some("Abort trap: 6"));
}

#[test]
fn the_accused_of_a_stackshot_is_found_one_level_deeper_and_by_name() {
    let report = fixture("service_watchdog.ips");
    assert_eq!(report.pid, None, "-1 is no process");
    assert_eq!(report.threads.len(), 1, "those of launchd are not asked for");
    let thread = &report.threads[0];
    assert_eq!(
        (thread.name.as_deref(), thread.queue.as_deref()),
        (Some("main"), Some("com.apple.main-thread"))
    );
    let places: Vec<_> = thread.frames.iter().map(|frame| frame.address.unwrap()).collect();
    assert_eq!(places, [6_900_008_192, 6_900_012_288]);
    assert_eq!(report.notes, ["resampled 12 of 900 threads with truncated backtraces"]);
}

#[test]
fn hand_made_reports_are_taken_as_they_are_meant() {
    let report = read(
        br#"{"app_name":"Chat","exception":{"type":"EXC_BAD_ACCESS"},"threads":[{"frames":[{"imageIndex":0,"imageOffset":16,"symbol":"-[Room open:] + 32"}]}],
        "usedImages":[{"name":"Chat","base":4096,"uuid":"5D0C7F3A1B2C3D4E8F90A1B2C3D4E5F6","path":"/var/containers/Bundle/Application/1/Chat.app/Chat"}]}"#,
    );
    assert_eq!(report.crashed_thread, Some(0), "an only thread is to blame");
    let frame = report.top_in_app().unwrap();
    assert_eq!((frame.symbol.as_deref(), frame.symbol_offset), (Some("-[Room open:]"), Some(32)));
}

#[test]
fn texts_give_the_same_as_json() {
    let report = fixture("crash_ios14.ips");
    let frame = &report.threads[0].frames[1];
    assert_eq!(frame.image_uuid.as_deref(), Some("6e1d804b-2c3d-3e4f-8a01-b2c3d4e5f607"));
    assert_eq!((frame.offset, frame.address, frame.symbol_offset), (Some(0x800), Some(0x1_0100_0800), None));
    assert_eq!((report.threads.len(), report.images.len()), (2, 3));
    let resource = fixture("disk_writes.ips");
    assert_eq!(
        resource.captured_at,
        Moment::parse("2026-03-02 09:10:40.500 +0800"),
        "the end of the sampled time"
    );
    assert_eq!(resource.images.len(), 2, "the other process' images are not ours");
    assert_eq!(
        resource.threads[0].frames[0].image.as_deref(),
        Some("libsystem_kernel.dylib"),
        "innermost first"
    );
    assert_eq!(resource.slice_uuid.as_deref(), Some("5d0c7f3a-1b2c-3d4e-8f90-a1b2c3d4e5f6"));
}

#[test]
fn a_memory_victim_is_found_by_its_cut_name() {
    let jetsam = fixture("jetsam.ips").jetsam.unwrap();
    let victim = jetsam.victim(None, None, Some("HoldfastChatWithAVeryLongProcessName")).unwrap();
    assert_eq!((victim.pid, victim.memory_bytes), (Some(1730), Some(2 * 1024 * 1024 * 1024)));
    assert_eq!(jetsam.victim(None, None, Some("backboardd")), None, "the largest process is no victim");
    assert_eq!(jetsam.frontmost.len(), 1);
}

#[test]
fn faults_name_their_place() {
    let table = [
        // The escape stands in the panic's text, on the eighth line.
        ("invalid_escape.ips", 8, "does not exist in JSON"),
        ("truncated.ips", 0, "the file ends inside this string"),
        ("missing_brace.ips", 0, "not closed before this one"),
        ("crash_without_body.ips", 2, "the file ends after the header"),
        ("no_report.ips", 1, "neither JSON nor the text of a report"),
        ("empty.ips", 1, "the file is empty"),
    ];
    for (file, line, what) in table {
        let bytes = fs::read(folder().join(file)).unwrap();
        let fault = read(&bytes).malformed.into_iter().find(|fault| fault.what.contains(what)).unwrap();
        if line > 0 {
            assert_eq!(fault.place.line, line, "{file}");
        }
        let before = &bytes[..fault.place.offset];
        assert_eq!(fault.place.line, 1 + before.iter().filter(|byte| **byte == b'\n').count(), "{file}");
    }
}

#[test]
fn reports_survive_the_journey_through_the_api() {
    for row in TABLE.lines().filter(|row| !row.is_empty()) {
        let report = fixture(row.split('|').next().unwrap());
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report, "{row}");
    }
}

#[test]
fn pages_for_the_terminal() {
    for file in ["objc_exception.ips", "watchdog_ios13.crash", "jetsam.ips", "truncated.ips"] {
        insta::assert_snapshot!(file, render_text(&fixture(file)));
    }
}
