//! What a signature keeps and what it leaves out, on our own reports and on reports changed at random.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use holdfast_crash::{Frame, Report, Rules, Thread, read, signature};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

fn signed(report: &Report) -> String {
    signature(report, &Rules::default()).map_or_else(|| "-".to_owned(), |signature| signature.to_string())
}

#[test]
fn every_sort_of_end_has_its_signature() {
    let table = [
        ("objc_exception.ips", "Chat | uncaught NSInvalidArgumentException | Feed 6e1d804b+0x1000"),
        ("truncated.ips", "Chat | uncaught NSInvalidArgumentException | Feed 6e1d804b+0x1000"),
        ("watchdog_scene_update.ips", "Chat | watchdog scene-update | -[ChatStore readAllSynchronously]"),
        ("watchdog_launch.ips", "Chat | watchdog process-launch | Chat 5d0c7f3a+0x6000"),
        ("watchdog_ios13.crash", "Chat | watchdog scene-create | +[FeedCache warm]"),
        ("swift_trap_in_launch.ips", "Chat | trap | Login.start"),
        ("library_missing.ips", "Chat | library missing Feed"),
        ("initializer.ips", "Chat | bad access | +[FeedCache load]"),
        ("file_lock.ips", "Chat | RUNNINGBOARD 0xdead10cc"),
        ("privacy_key.ips", "Chat | privacy key missing NSCameraUsageDescription"),
        ("jetsam.ips", "HoldfastChatWithAVeryLongProcess | jetsam per-process-limit"),
        (
            "panic.ips",
            "kernel | panic userspace watchdog timeout: no successful checkins from backboardd in # seconds",
        ),
        (
            "invalid_escape.ips",
            "kernel | panic userspace watchdog timeout: no successful checkins from backboardd in # seconds",
        ),
        ("resource_exception.ips", "Chat | too much of MEMORY | ImageCache.decode"),
        ("user_fault.ips", "Chat | fault: EXC_GUARD | Chat 5d0c7f3a+0xc000"),
        ("hang.ips", "Chat | hang | -[ChatStore readAllSynchronously]"),
        ("hang_sampled.ips", "Chat | hang | -[ChatStore readAllSynchronously]"),
        ("disk_writes.ips", "Chat | too much of disk writes | -[ChatStore flush]"),
        ("cpu_fatal.ips", "Chat | too much of cpu usage | main"),
        ("service_watchdog.ips", "SpringBoard | watchdog service-checkin"),
        ("wakeups.ips", "Chat | too much of wakeups | -[ChatSocket poll]"),
        ("forced_reset.ips", "kernel | forced reset btn_rst"),
        ("crash_ios14.ips", "Chat | bad access | +[FeedCache warm]"),
        ("stackshot.ips", "-"),
        ("analytics.ips", "-"),
        ("unknown_type.ips", "-"),
        ("no_report.ips", "-"),
    ];
    for (file, expected) in table {
        assert_eq!(signed(&read(&fixture(file))), expected, "{file}");
    }
}

fn frame(image: &str, symbol: &str, address: u64) -> Frame {
    Frame {
        image: Some(image.into()),
        symbol: Some(symbol.to_owned()),
        symbol_offset: Some(address % 97),
        address: Some(address),
        offset: Some(address % 4096),
        in_app: image == "Chat",
        ..Frame::default()
    }
}

/// A crash whose faulting thread has these frames.
fn crash(frames: &[(&str, &str)]) -> Report {
    let mut report = read(&fixture("initializer.ips"));
    let frames = frames.iter().zip(0x1000..).map(|((image, symbol), at)| frame(image, symbol, at)).collect();
    report.threads = vec![Thread { index: 0, triggered: true, frames, ..Thread::default() }];
    report.crashed_thread = Some(0);
    report.last_exception_backtrace.clear();
    report
}

#[test]
fn the_stack_tells_by_the_function_that_is_to_blame() {
    let stacks: [(&[(&str, &str)], &str); 8] = [
        (&[("Chat", "-[Room open:]"), ("Chat", "main")], "-[Room open:]"),
        (&[("libobjc.A.dylib", "objc_msgSend"), ("Chat", "-[Room open:]")], "-[Room open:]"),
        // The app's own assertion is not the defect.
        (&[("Chat", "ChatAssertFail(char const*)"), ("Chat", "Room::open(int)")], "Room::open"),
        (&[("Chat", "thunk for @escaping () -> ()"), ("Chat", "closure #1 in Room.open()")], "Room.open"),
        // The app has started it and was never asked again.
        (
            &[
                ("CoreFoundation", "CFRelease"),
                ("UIKitCore", "-[UIView dealloc]"),
                ("Chat", "main"),
                ("dyld", "start"),
            ],
            "CFRelease | -[UIView dealloc] | main",
        ),
        (&[("Chat", "main"), ("dyld", "start")], "main | start"),
        (
            &[("libsystem_kernel.dylib", "__pthread_kill"), ("libsystem_c.dylib", "abort"), ("Chat", "main")],
            "main",
        ),
        (&[("Chat", "__assert_rtn")], ""),
    ];
    for (frames, expected) in stacks {
        let found = signature(&crash(frames), &Rules::default()).unwrap();
        assert_eq!(found.frames.join(" | "), expected, "{frames:?}");
    }
}

#[test]
fn rules_add_to_what_is_skipped_and_how_much_is_kept() {
    let report = crash(&[("Chat", "Log.fatal(_:)"), ("Chat", "Room.open()"), ("Chat", "List.tap()")]);
    let rules = Rules { frames: 2, skip: vec!["Log.*".to_owned()] };
    assert_eq!(signature(&report, &rules).unwrap().frames, ["Room.open", "List.tap"]);
    let rules = Rules { frames: 0, ..Rules::default() };
    assert_eq!(signature(&report, &rules).unwrap().frames, ["Log.fatal"], "one frame is the least");
}

#[test]
fn endless_recursion_has_one_signature_wherever_it_ran_out_of_stack() {
    let circle = ["-[Node parent]", "-[Node root]", "-[Cache lookUp:]"];
    let from = |start: usize| {
        let frames: Vec<_> =
            (0..400).map(|at| ("Chat", circle[(start + at) % 3])).chain([("Chat", "main")]).collect();
        signed(&crash(&frames))
    };
    assert_eq!(from(0), "Chat | bad access | -[Cache lookUp:]");
    assert_eq!(from(1), from(0));
    assert_eq!(from(2), from(0));
}

#[test]
fn ids_are_the_same_for_ever() {
    let signature = signature(&read(&fixture("file_lock.ips")), &Rules::default()).unwrap();
    assert_eq!(signature.to_string(), "Chat | RUNNINGBOARD 0xdead10cc");
    // FNV-1a of "3|Chat | RUNNINGBOARD 0xdead10cc", worked out apart from this program.
    assert_eq!(signature.id(), "fd06eb910fa7305e");
}

/// Functions that a person may have written.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "-\\[[A-Z][a-z]{1,6} [a-z]{2,8}:\\]",
        "[A-Z][a-z]{2,6}\\.[a-z]{3,8}\\(\\)",
        "[a-z]{3,8}_[a-z]{3,8}"
    ]
    .prop_filter("a root of stacks or skipped by design", |name| name != "main" && !name.contains("assert"))
}

proptest! {
    #[test]
    fn slides_thread_order_and_numbers_change_nothing(
        names in prop::collection::vec(name(), 1..12),
        slide in 0..0x1000_0000_u64,
        others in 0..5_u32,
        closure in 1..9_u32,
        block in 2..99_u32,
    ) {
        let frames: Vec<(&str, &str)> = names.iter().map(|name| ("Chat", name.as_str())).collect();
        let report = crash(&frames);
        let mut moved = report.clone();
        for frame in moved.threads.iter_mut().flat_map(|thread| &mut thread.frames) {
            frame.address = frame.address.map(|address| address + slide * 4096);
            frame.symbol_offset = frame.symbol_offset.map(|offset| offset + 8);
            frame.line = Some(block);
            let symbol = frame.symbol.take().unwrap();
            frame.symbol = Some(if symbol.starts_with("-[") {
                format!("__{}{symbol}_block_invoke_{block}.{closure}", symbol.len())
            } else if symbol.ends_with("()") {
                format!("specialized closure #{closure} in {symbol}")
            } else {
                format!("{symbol}.cold.{closure}")
            });
        }
        // The crashed thread stands elsewhere in the list and has another number.
        moved.crashed_thread = Some(others);
        for thread in &mut moved.threads {
            thread.index = others;
        }
        for index in 0..others {
            let frames = vec![frame("Chat", "-[Other work]", 7)];
            moved.threads.insert(0, Thread { index, frames, ..Thread::default() });
        }
        prop_assert_eq!(signed(&moved), signed(&report));
    }

    #[test]
    fn another_function_of_the_app_is_another_signature(first in name(), second in name()) {
        prop_assume!(first != second);
        let stack = |top: &str| signed(&crash(&[("libsystem_c.dylib", "strlen"), ("Chat", top), ("Chat", "-[List tap:]")]));
        prop_assert_ne!(stack(&first), stack(&second));
    }

    #[test]
    fn unnamed_frames_stay_within_one_build(offset in 0..0x10_0000_u64, slide in 0..0x1000_u64) {
        let unnamed = |uuid: &str, base: u64| {
            let mut report = crash(&[("Chat", "x")]);
            let frame = &mut report.threads[0].frames[0];
            frame.symbol = None;
            frame.offset = Some(offset);
            frame.address = Some(base + offset);
            frame.image_uuid = Some(uuid.into());
            signed(&report)
        };
        let build = "5d0c7f3a-1b2c-3d4e-8f90-a1b2c3d4e5f6";
        prop_assert_eq!(unnamed(build, 0x1_0000_0000), unnamed(build, 0x1_0000_0000 + slide * 16384));
        prop_assert_ne!(unnamed(build, 0), unnamed("6e1d804b-1b2c-3d4e-8f90-a1b2c3d4e5f6", 0));
    }
}
