//! What each kind of death leaves behind, and what happens at the limit of waiting files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use plist::Dictionary;
use serde_json::Value;

use super::binary::Binary;
use super::leave::{Death, leave, render, storm};
use super::store::{COUNT_LIMIT, Outcome};
use crate::behave::{self, CrashSignal, Ending};
use crate::disk::StorageFault;
use crate::events::Event;
use crate::identity::{Identity, IosVersion, MODELS};
use crate::install::{AppKind, InstalledApp};
use crate::phone::Phone;

/// A phone with iOS 16.7.2 whose clock shows UTC+9, and the app whose executable it has.
struct Scene {
    folder: tempfile::TempDir,
    phone: Arc<Phone>,
    app: Arc<InstalledApp>,
}

impl Scene {
    fn new() -> Self {
        Self::with_ios(IosVersion { major: 16, minor: 7, patch: 2 })
    }

    fn with_ios(ios: IosVersion) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::at_position(0, &MODELS[0], ios);
        let (phone, _power) = Phone::new(identity, folder.path().join("phone")).unwrap();
        phone.clock.set_zone_seconds(9 * 3600);
        let executable = super::binary::tests::mooring(folder.path());
        let app = Arc::new(installed(&executable));
        Self { folder, phone: Arc::new(phone), app }
    }

    fn death(&self, ending: Ending, launch_number: u64) -> Death {
        let died: Timestamp = "2025-12-31T15:18:47.345Z".parse().unwrap();
        let launched = died - Duration::from_secs(12);
        Death { app: Arc::clone(&self.app), pid: 455, launched, died, launch_number, ending }
    }

    fn report(&self, ending: Ending) -> (super::Report, Value, Value) {
        let report = render(&self.phone, &self.death(ending, 3), Timestamp::MIN).unwrap();
        let (header, body) = report.text.split_once('\n').unwrap();
        let (header, body) = (serde_json::from_str(header).unwrap(), serde_json::from_str(body).unwrap());
        (report, header, body)
    }

    fn save(&self, launch_number: u64) -> Outcome {
        let death = self.death(segv(), launch_number);
        self.phone.reports.save(&self.phone, &render(&self.phone, &death, Timestamp::MIN).unwrap())
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.phone.disk.crashes()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn last_line(&self) -> String {
        self.phone
            .log
            .recent()
            .last()
            .map(|line| format!("{}: {}", line.process(), line.message))
            .unwrap_or_default()
    }
}

fn installed(executable: &Path) -> InstalledApp {
    InstalledApp {
        bundle_id: "dev.holdfast.demo.mooring".to_owned(),
        name: "Mooring".to_owned(),
        version: "1.4.0".to_owned(),
        build: "140".to_owned(),
        executable_name: "Mooring".to_owned(),
        executable: Some(executable.to_owned()),
        bundle_folder: None,
        container: PathBuf::new(),
        slice_uuid: Some(Binary::read(executable).unwrap().uuid),
        path: "/private/var/containers/Bundle/Application/11111111-2222-4333-8444-555555555555/Mooring.app"
            .to_owned(),
        container_path: String::new(),
        kind: AppKind::User,
        bundle_bytes: 0,
        info: Dictionary::new(),
        entitlements: Dictionary::new(),
    }
}

fn segv() -> Ending {
    Ending::Signal { after_ms: 0, signal: CrashSignal::Segv, function: None }
}

fn signal(signal: CrashSignal) -> Ending {
    Ending::Signal { after_ms: 0, signal, function: None }
}

fn exception() -> Ending {
    Ending::Exception {
        after_ms: 0,
        name: "NSRangeException".into(),
        reason: "beyond".into(),
        function: None,
    }
}

#[test]
fn every_death_leaves_the_report_of_its_kind() {
    let scene = Scene::new();
    let crash = "Mooring-2026-01-01-001847";
    // What dies how; kind and name of the file; exception, signal, namespace and code of the termination.
    let table = [
        (segv(), "EXC_BAD_ACCESS", "SIGSEGV", "SIGNAL", 11_u64),
        (signal(CrashSignal::Bus), "EXC_BAD_ACCESS", "SIGBUS", "SIGNAL", 10),
        (signal(CrashSignal::Trap), "EXC_BREAKPOINT", "SIGTRAP", "SIGNAL", 5),
        (signal(CrashSignal::Abort), "EXC_CRASH", "SIGABRT", "SIGNAL", 6),
        (signal(CrashSignal::Illegal), "EXC_BAD_INSTRUCTION", "SIGILL", "SIGNAL", 4),
        (exception(), "EXC_CRASH", "SIGABRT", "SIGNAL", 6),
        (Ending::DiskFull { after_ms: 0 }, "EXC_CRASH", "SIGABRT", "SIGNAL", 6),
        (
            Ending::Watchdog { after_ms: 0, event: "process-launch".into() },
            "EXC_CRASH",
            "SIGKILL",
            "FRONTBOARD",
            2_343_432_205,
        ),
        (Ending::BeforeMain { library: "@rpath/A.framework/A".into() }, "EXC_CRASH", "SIGABRT", "DYLD", 1),
    ];
    for (ending, kind, signal, namespace, code) in table {
        let (report, header, body) = scene.report(ending.clone());
        assert_eq!(
            (report.bug_type, report.stem.as_str(), report.process.as_str()),
            ("309", crash, "Mooring")
        );
        assert_eq!(header["bug_type"], "309", "{ending:?}");
        assert_eq!([&body["exception"]["type"], &body["exception"]["signal"]], [kind, signal], "{ending:?}");
        assert_eq!(body["termination"]["namespace"], namespace, "{ending:?}");
        assert_eq!(body["termination"]["code"], code, "{ending:?}");
        let thrown = matches!(ending, Ending::Exception { .. } | Ending::DiskFull { .. });
        assert_eq!(body.get("lastExceptionBacktrace").is_some(), thrown, "{ending:?}");
    }
    for ending in [Ending::Never, Ending::Exit { after_ms: 0, code: 3 }] {
        assert_eq!(render(&scene.phone, &scene.death(ending, 0), Timestamp::MIN), None);
    }
}

#[test]
fn a_crash_says_whose_it_is_and_when_in_the_phones_zone() {
    let scene = Scene::new();
    let (report, header, body) = scene.report(segv());
    let (first, _) = report.text.split_once('\n').unwrap();
    assert!(first.len() <= 1024, "Apple's own reader takes 1024 bytes of header");
    let uuid = super::report::dashed(&scene.app.slice_uuid.unwrap());
    assert_eq!(header["slice_uuid"], uuid.as_str());
    assert_eq!(header["bundleID"], "dev.holdfast.demo.mooring");
    assert_eq!(header["os_version"], "iPhone OS 16.7.2 (20H115)");
    assert_eq!(header["timestamp"], "2026-01-01 00:18:47.00 +0900");
    assert_eq!(header["roots_installed"], 0);
    assert_eq!(header["incident_id"], body["incident"]);
    assert_eq!(body["captureTime"], "2026-01-01 00:18:47.3450 +0900");
    assert_eq!(body["procLaunch"], "2026-01-01 00:18:35.3450 +0900");
    assert_eq!(body["pid"], 455);
    let app = body["usedImages"].as_array().unwrap().iter().find(|image| image["name"] == "Mooring").unwrap();
    assert_eq!(app["uuid"], uuid.as_str());
    assert_eq!(app["path"], body["procPath"]);
    assert_eq!(app["size"], Binary::read(scene.app.executable.as_ref().unwrap()).unwrap().text_bytes);
    let registers = body["threads"][0]["threadState"]["x"].as_array().unwrap();
    assert!(registers.iter().any(|register| register["value"].as_u64().unwrap() > i64::MAX as u64));
}

#[test]
fn header_keys_follow_the_version_of_ios() {
    for (major, roots, beta) in [(15, false, false), (16, true, false), (26, true, true)] {
        let scene = Scene::with_ios(IosVersion { major, minor: 0, patch: 0 });
        let (_, header, _) = scene.report(segv());
        assert_eq!(header.get("roots_installed").is_some(), roots, "iOS {major}");
        assert_eq!(header.get("is_beta").is_some(), beta, "iOS {major}");
        let (_, header, _) = scene.report(Ending::Jetsam { after_ms: 0, reason: "highwater".into() });
        assert_eq!(header.get("bundleID"), None, "jetsam reports name no app");
    }
}

#[test]
fn frames_of_the_app_lie_inside_its_functions_and_those_of_the_system_have_names() {
    let scene = Scene::new();
    let binary = Binary::read(scene.app.executable.as_ref().unwrap()).unwrap();
    let mut blamed = std::collections::BTreeSet::new();
    for launch_number in 0..40 {
        let death = scene.death(segv(), launch_number);
        let text = render(&scene.phone, &death, Timestamp::MIN).unwrap().text;
        let body: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
        let images = body["usedImages"].as_array().unwrap();
        let app = images.iter().position(|image| image["name"] == "Mooring").unwrap() as u64;
        let frames = body["threads"][0]["frames"].as_array().unwrap();
        let of_app: Vec<u64> = frames
            .iter()
            .filter(|frame| frame["imageIndex"] == app)
            .map(|frame| frame["imageOffset"].as_u64().unwrap())
            .collect();
        assert_eq!(of_app.len(), 3, "the place, its caller and main");
        for offset in &of_app {
            let inside = |function: &super::Function| {
                (function.start..function.start + function.length).contains(offset)
            };
            assert!(binary.functions.iter().any(inside), "{offset:#x}");
        }
        for frame in frames.iter().filter(|frame| frame["imageIndex"] != app) {
            assert!(frame["symbol"].is_string(), "{frame}");
        }
        let again = render(&scene.phone, &death, Timestamp::MIN).unwrap();
        assert_eq!(again.signature, render(&scene.phone, &death, Timestamp::MIN).unwrap().signature);
        blamed.insert(of_app[0]);
    }
    assert!(blamed.len() > 5, "launches crash at different places: {blamed:?}");
}

#[test]
fn a_script_can_name_the_function_that_crashes() {
    let scene = Scene::new();
    let binary = Binary::read(scene.app.executable.as_ref().unwrap()).unwrap();
    let wanted = &binary.functions[binary.find("Chat_sendMessage").unwrap()];
    let function = Some("Chat_sendMessage".to_owned());
    let (_, _, body) = scene.report(Ending::Signal { after_ms: 0, signal: CrashSignal::Segv, function });
    let offset = body["threads"][0]["frames"][0]["imageOffset"].as_u64().unwrap();
    assert!((wanted.start..wanted.start + wanted.length).contains(&offset));
}

#[test]
fn a_death_for_memory_names_its_victim_by_a_reason() {
    let scene = Scene::new();
    let (report, header, body) =
        scene.report(Ending::Jetsam { after_ms: 0, reason: "per-process-limit".into() });
    assert_eq!((report.bug_type, report.stem.as_str()), ("298", "JetsamEvent-2026-01-01-001847"));
    assert_eq!(header["bug_type"], "298");
    let victims: Vec<&Value> =
        body["processes"].as_array().unwrap().iter().filter(|it| it.get("reason").is_some()).collect();
    assert_eq!(victims.len(), 1);
    assert_eq!((&victims[0]["name"], &victims[0]["pid"]), (&"Mooring".into(), &455.into()));
    assert_eq!(victims[0]["reason"], "per-process-limit");
    assert_ne!(body["largestProcess"], "Mooring");
}

#[test]
fn reports_of_one_second_get_names_of_their_own_and_are_announced() {
    let scene = Scene::new();
    assert_eq!(scene.save(0), Outcome::Written("Mooring-2026-01-01-001847.ips".into()));
    assert_eq!(
        scene.last_line(),
        "osanalyticshelper: Saved type '309(309_Mooring)' report (1 of max 25) at \
         /var/mobile/Library/Logs/CrashReporter/Mooring-2026-01-01-001847.ips"
    );
    assert_eq!(scene.save(1), Outcome::Written("Mooring-2026-01-01-001847.000.ips".into()));
    fs::remove_file(scene.phone.disk.crashes().join("Mooring-2026-01-01-001847.ips")).unwrap();
    assert_eq!(scene.save(2), Outcome::Written("Mooring-2026-01-01-001847.001.ips".into()));
    assert!(
        scene.last_line().contains("(2 of max 25)"),
        "a deleted file does not count: {}",
        scene.last_line()
    );
}

#[test]
fn at_the_limit_a_known_cause_is_dropped_in_silence_and_touches_the_first_file() {
    let scene = Scene::new();
    scene.phone.reports.set_limit("309", 2);
    scene.save(0);
    scene.save(1);
    let first = scene.phone.disk.crashes().join("Mooring-2026-01-01-001847.ips");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    fs::File::options().append(true).open(&first).unwrap().set_modified(long_ago).unwrap();
    let (files, lines) = (scene.files(), scene.phone.log.recent().len());
    assert_eq!(scene.save(0), Outcome::Duplicate("Mooring-2026-01-01-001847.ips".into()));
    assert_eq!(scene.files(), files);
    assert_eq!(scene.phone.log.recent().len(), lines, "nothing is said");
    assert!(fs::metadata(&first).unwrap().modified().unwrap() > long_ago);
    let lost = scene.phone.events.after(0).pop().unwrap().event;
    assert!(matches!(lost, Event::CrashFileLost { .. }), "{lost:?}");
}

#[test]
fn at_the_limit_a_new_cause_deletes_older_duplicates_or_is_refused() {
    let scene = Scene::new();
    scene.phone.reports.set_limit("309", 3);
    // The first and the last have one cause.
    for launch_number in [0, 1, 0] {
        assert!(scene.save(launch_number).is_written());
    }
    assert_eq!(scene.save(2), Outcome::Written("Mooring-2026-01-01-001847.002.ips".into()));
    assert!(!scene.files().contains(&"Mooring-2026-01-01-001847.ips".to_owned()), "{:?}", scene.files());
    assert_eq!(scene.files().len(), 3);
    assert_eq!(scene.save(4), Outcome::Refused);
    assert_eq!(
        scene.last_line(),
        "osanalyticshelper: Report of type '309(309_Mooring)' not saved because the limit of 3 logs has been reached"
    );
    scene.phone.reports.retire(&scene.phone, "Mooring-2026-01-01-001847.002.ips").unwrap();
    assert!(scene.save(4).is_written(), "a retired file does not count");
}

#[test]
fn a_storm_ends_at_the_limit() {
    let scene = Scene::new();
    assert_eq!(storm(&scene.phone, &scene.app, 200) as usize, COUNT_LIMIT);
    assert_eq!(scene.files().len(), COUNT_LIMIT);
    let lost = scene
        .phone
        .events
        .after(0)
        .iter()
        .filter(|entry| matches!(entry.event, Event::CrashFileLost { .. }))
        .count();
    assert_eq!(lost, 200 - COUNT_LIMIT);
}

#[test]
fn a_full_disk_loses_the_report_and_a_synced_one_still_counts() {
    let scene = Scene::new();
    scene.phone.disk.set_full(StorageFault::Full);
    assert_eq!(scene.save(0), Outcome::NoRoom);
    assert_eq!(scene.files(), Vec::<String>::new());
    scene.phone.disk.set_full(StorageFault::None);
    scene.phone.reports.set_limit("309", 1);
    let Outcome::Written(name) = scene.save(0) else { panic!("the disk has room again") };
    scene.phone.reports.mark_synced(&scene.phone, &name).unwrap();
    assert_eq!(scene.files(), vec![format!("{name}.synced")]);
    assert_eq!(scene.save(1), Outcome::Refused);
    assert!(scene.phone.reports.retire(&scene.phone, "../elsewhere").is_err());
}

#[tokio::test]
async fn reports_come_at_once_late_on_flush_or_never() {
    let scene = Scene::new();
    let die = |launch_number, when| leave(&scene.phone, scene.death(segv(), launch_number), when);
    die(0, behave::Report::Never).await;
    assert_eq!(scene.files(), Vec::<String>::new());
    die(0, behave::Report::OnFlush).await;
    assert_eq!(scene.files(), Vec::<String>::new());
    scene.phone.reports.flush(&scene.phone);
    assert_eq!(scene.files(), ["Mooring-2026-01-01-001847.ips"]);
    // Half a file under a name that clients must skip, then the whole one.
    let mut late = Box::pin(die(1, behave::Report::Late { after_ms: 20 }));
    tokio::select! {
        biased;
        () = &mut late => panic!("it cannot be done at once"),
        () = std::future::ready(()) => {}
    }
    assert!(scene.files().contains(&".Mooring-2026-01-01-001847.ips".to_owned()), "{:?}", scene.files());
    late.await;
    assert_eq!(scene.files(), ["Mooring-2026-01-01-001847.000.ips", "Mooring-2026-01-01-001847.ips"]);
    assert!(scene.folder.path().exists());
}
