//! Whether crashes of one defect are told as one, and those of two as two: two dozen defects of our own app, five builds
//! of it, with and without inlining, each reached from two screens. `tests/builds/make-defects` writes the app and, with
//! it, the stacks; from there on it is as in life: a report with addresses alone, a dSYM, a signature.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use holdfast_crash::{Report, Rules, signature};
use holdfast_symbols::Symbols;
use object::{Object, ObjectSection, ObjectSegment};
use serde_json::{Value, json};

/// What is demanded of the grouping.
const F1_MIN: f64 = 0.95;
/// A caller's frame is the address to which its call returns: behind the place.
const INSTRUCTION_BYTES: u64 = 4;
/// The functions of other people's libraries on the way to `main`.
const BELOW: [&str; 5] = [
    "-[UIControl sendAction:to:forEvent:]",
    "__CFRunLoopRun",
    "CFRunLoopRunSpecific",
    "UIApplicationMain",
    "start",
];

/// A crash that was told: which defect it is, and what is made of it.
struct Crash {
    defect: u32,
    signature: String,
    top: String,
}

fn crashes(build: u32, inlining: &str, rules: &Rules) -> Vec<Crash> {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/builds/make-defects");
    let ran = Command::new(script).arg(folder.path()).args([&build.to_string(), inlining]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let app = fs::read(folder.path().join("Fleet")).unwrap();
    let app = object::File::parse(app.as_slice()).unwrap();
    let base = app.segments().find(|it| it.name() == Ok(Some("__TEXT"))).unwrap().address();
    let mut places: BTreeMap<u32, u64> = BTreeMap::new();
    for site in app.section_by_name("__sites").unwrap().data().unwrap().chunks_exact(16) {
        let number = u32::from_le_bytes(site[8..12].try_into().unwrap());
        let address = u64::from_le_bytes(site[..8].try_into().unwrap());
        assert_eq!(places.insert(number, address - base), None, "place {number} is in the app once");
    }
    let uuid: String = app.mach_uuid().unwrap().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]].join("-");
    let mut symbols = Symbols::search(&folder.path().join("Fleet.dSYM"), None).unwrap();
    let stacks = fs::read_to_string(folder.path().join("stacks.tsv")).unwrap();
    let crashes = stacks.lines().map(|line| {
        let mut words = line.split('\t');
        let (defect, end) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
        let offsets: Vec<u64> = words.map(|number| places[&number.parse().unwrap()]).collect();
        let mut report = report(&uuid, end, &offsets);
        symbols.symbolicate(&mut report);
        let top = report.top_in_app().unwrap().symbol.clone().unwrap();
        Crash { defect, signature: signature(&report, rules).unwrap().to_string(), top }
    });
    let crashes = crashes.collect();
    assert_eq!(symbols.take_troubles(), []);
    crashes
}

/// The report that a phone writes of such an end: the app by address, the system by name.
fn report(uuid: &str, end: &str, offsets: &[u64]) -> Report {
    let system =
        |name: &&str| json!({ "imageIndex": 1, "imageOffset": 64, "symbol": name, "symbolLocation": 8 });
    let app = |above: bool| {
        // Only the innermost frame of a stack is where the thread was.
        let behind = |at: usize| if above || at > 0 { INSTRUCTION_BYTES } else { 0 };
        let frame =
            move |(at, offset): (usize, &u64)| json!({ "imageIndex": 0, "imageOffset": offset + behind(at) });
        offsets.iter().enumerate().map(frame).chain(BELOW.iter().map(system)).collect::<Vec<Value>>()
    };
    let under = |names: &[&str]| {
        let above = names.iter().map(system);
        above.chain(app(!names.is_empty())).collect::<Vec<Value>>()
    };
    let aborted = ["__pthread_kill", "pthread_kill", "abort"];
    let (exception, signal, frames) = match end {
        "bad access" => ("EXC_BAD_ACCESS", "SIGSEGV", under(&[])),
        "trap" => ("EXC_BREAKPOINT", "SIGTRAP", under(&[])),
        "abort" | "exception" => ("EXC_CRASH", "SIGABRT", under(&aborted)),
        "watchdog" => ("EXC_CRASH", "SIGKILL", under(&["mach_msg2_trap", "mach_msg"])),
        other => panic!("no such end: {other}"),
    };
    let path = "/var/containers/Bundle/Application/A/Fleet.app/Fleet";
    let mut body = json!({
        "procName": "Fleet", "procPath": path, "faultingThread": 0,
        "captureTime": "2026-03-02 09:15:30.0000 +0800", "procLaunch": "2026-03-02 09:05:30.0000 +0800",
        "exception": { "type": exception, "signal": signal },
        "usedImages": [
            { "source": "P", "arch": "arm64", "base": 4_294_967_296_u64, "size": 1_048_576, "uuid": uuid,
                "path": path, "name": "Fleet" },
            { "source": "P", "arch": "arm64e", "base": 6_442_450_944_u64, "size": 1_048_576,
                "uuid": "0d1c0000-0000-3000-8000-000000000001",
                "path": "/System/Library/PrivateFrameworks/UIKitCore.framework/UIKitCore", "name": "UIKitCore" },
        ],
        "threads": [{ "triggered": true, "frames": frames }],
    });
    if end == "exception" {
        body["lastExceptionBacktrace"] = json!(under(&["__exceptionPreprocess", "objc_exception_throw"]));
        body["threads"][0]["frames"] = json!(aborted.iter().map(system).collect::<Vec<_>>());
        let words = "*** Terminating app due to uncaught exception 'NSRangeException', reason: 'index 9 beyond bounds'";
        body["asi"] = json!({ "CoreFoundation": [words] });
    }
    if end == "watchdog" {
        let words = "explanation:scene-update watchdog transgression: application<example.fleet>:410 exhausted real \
                     (wall clock) time allowance of 10.00 seconds";
        body["termination"] = json!({ "namespace": "FRONTBOARD", "code": 2_343_432_205_u64, "flags": 6,
            "reasons": [words, "WatchdogEvent: scene-update"] });
    }
    let header =
        json!({ "bug_type": "309", "app_name": "Fleet", "timestamp": "2026-03-02 09:15:31.00 +0800" });
    let report = holdfast_crash::read(format!("{header}\n{body}").as_bytes());
    assert_eq!(report.malformed, []);
    report
}

/// Pairwise precision and recall of groups, as one figure: of all pairs of crashes that are put together, how many are one
/// defect, and of all pairs that are one defect, how many are put together.
fn f1<'c>(crashes: &'c [Crash], group: impl Fn(&'c Crash) -> &'c str) -> f64 {
    let (mut together, mut alike, mut both) = (0_u32, 0_u32, 0_u32);
    for (place, one) in crashes.iter().enumerate() {
        for other in &crashes[place + 1..] {
            let (is_one, is_together) = (one.defect == other.defect, group(one) == group(other));
            alike += u32::from(is_one);
            together += u32::from(is_together);
            both += u32::from(is_one && is_together);
        }
    }
    2.0 * f64::from(both) / f64::from(alike + together)
}

#[test]
fn crashes_of_one_defect_are_one_group_across_builds_and_inlining() {
    let rules = Rules { skip: vec!["fleet::mustHold".to_owned()], ..Rules::default() };
    let mut all = Vec::new();
    for build in 1..=5 {
        for inlining in ["on", "off"] {
            all.extend(crashes(build, inlining, &rules));
        }
    }
    let defects: std::collections::BTreeSet<u32> = all.iter().map(|crash| crash.defect).collect();
    assert_eq!((defects.len(), all.len()), (24, 24 * 5 * 2 * 2));
    let mut told: BTreeMap<u32, BTreeMap<&str, usize>> = BTreeMap::new();
    for crash in &all {
        *told.entry(crash.defect).or_default().entry(&crash.signature).or_default() += 1;
    }
    for (defect, signatures) in &told {
        eprintln!("{defect}: {signatures:?}");
    }
    let (ours, top) = (f1(&all, |crash| &crash.signature), f1(&all, |crash| &crash.top));
    eprintln!("F1 {ours:.3}; by the app's top function alone {top:.3}");
    assert!(ours >= F1_MIN, "F1 is {ours:.3}");
}
