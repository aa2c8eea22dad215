//! What becomes of a launched app, seen from outside: the table of processes, the events, the ends.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::events::Event;
use crate::identity::{Identity, IosVersion, MODELS};
use crate::phone::{Passcode, Phone};

const APP: &str = "com.apple.Preferences";

/// The longest that any test waits for an end.
const DEADLINE: Duration = Duration::from_secs(10);

fn phone() -> (tempfile::TempDir, Arc<Phone>) {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::at_position(0, &MODELS[0], IosVersion { major: 16, minor: 7, patch: 2 });
    let (phone, _power) = Phone::new(identity, folder.path().to_owned()).unwrap();
    (folder, Arc::new(phone))
}

fn quick(ends: Ending) -> Behaviour {
    Behaviour { launches: vec![Launch { takes_ms: 1, ends, ..Launch::default() }], random_seed: None }
}

fn request(on_running: OnRunning) -> LaunchRequest {
    LaunchRequest { bundle_id: APP.to_owned(), on_running, ..LaunchRequest::default() }
}

fn crash_files(phone: &Phone) -> Vec<String> {
    let entries = std::fs::read_dir(phone.disk.crashes()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn endings(phone: &Phone) -> Vec<String> {
    let entries = phone.events.after(0).into_iter();
    entries
        .filter_map(|entry| match entry.event {
            Event::Ended { how, .. } => Some(how),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn scripts_end_as_they_say() {
    let table = [
        (Ending::Exit { after_ms: 1, code: 3 }, How::Exited(3), "exit 3", 0),
        (
            Ending::Signal { after_ms: 1, signal: CrashSignal::Trap, function: None },
            How::Signalled(5),
            "signal 5",
            1,
        ),
        (
            Ending::Watchdog { after_ms: 1, event: "scene-create".into() },
            How::Signalled(9),
            "watchdog scene-create",
            1,
        ),
        (
            Ending::Jetsam { after_ms: 1, reason: "highwater".into() },
            How::Signalled(9),
            "jetsam highwater",
            1,
        ),
        (Ending::BeforeMain { library: "L".into() }, How::Signalled(6), "before main: no L", 1),
        (Ending::DiskFull { after_ms: 1 }, How::Signalled(6), "storage full", 1),
    ];
    for (ending, how, told, files) in table {
        let (_folder, phone) = phone();
        phone.processes.set_behaviour(APP, quick(ending));
        let mut ends = phone.processes.ends();
        let launched = launch(&phone, request(OnRunning::Activate)).await.unwrap();
        let ended = tokio::time::timeout(DEADLINE, ends.recv()).await.unwrap().unwrap();
        assert_eq!((ended.pid, ended.how), (launched.process.pid, how));
        assert_eq!(endings(&phone), [told]);
        assert!(find_app(&phone, APP).is_none(), "{told}");
        // The report follows the end; the process' own task writes it.
        let written = async {
            while crash_files(&phone).len() < files {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, written).await.unwrap();
        assert_eq!(crash_files(&phone).len(), files, "{told}");
    }
}

#[tokio::test]
async fn a_killed_app_is_gone_when_the_kill_returns_and_leaves_no_report() {
    let (_folder, phone) = phone();
    let first = launch(&phone, request(OnRunning::Activate)).await.unwrap().process.pid;
    assert_eq!(launch(&phone, request(OnRunning::Activate)).await.unwrap().process.pid, first);
    let second = launch(&phone, request(OnRunning::Kill)).await.unwrap().process.pid;
    assert!(second > first);
    assert!(kill(&phone, second, SIGKILL).await);
    assert!(process(&phone, second).is_none());
    assert!(!kill(&phone, second, SIGKILL).await, "it is gone");
    assert!(!kill(&phone, 1, SIGKILL).await, "launchd is nobody's to kill");
    assert_eq!(endings(&phone), ["killed by client with signal 9", "killed by client with signal 9"]);
    assert_eq!(crash_files(&phone), Vec::<String>::new());
}

#[tokio::test]
async fn a_restart_ends_every_app_and_begins_a_new_table() {
    let (_folder, phone) = phone();
    let mut ends = phone.processes.ends();
    let pid = launch(&phone, request(OnRunning::Activate)).await.unwrap().process.pid;
    let before = processes(&phone).len();
    phone.boot_again();
    let ended = tokio::time::timeout(DEADLINE, ends.recv()).await.unwrap().unwrap();
    assert_eq!((ended.pid, ended.how), (pid, How::PowerLost));
    assert_eq!(processes(&phone).len(), before - 1);
    assert!(processes(&phone).iter().all(|process| process.app().is_none()));
}

#[tokio::test]
async fn a_suspended_app_waits_until_it_is_resumed() {
    let (_folder, phone) = phone();
    phone.processes.set_behaviour(APP, quick(Ending::Exit { after_ms: 0, code: 0 }));
    let mut ends = phone.processes.ends();
    let start = StartState::Suspended;
    let suspended = LaunchRequest { start, ..request(OnRunning::Activate) };
    let pid = launch(&phone, suspended).await.unwrap().process.pid;
    assert!(tokio::time::timeout(Duration::from_millis(30), ends.recv()).await.is_err());
    assert!(resume(&phone, pid));
    assert_eq!(tokio::time::timeout(DEADLINE, ends.recv()).await.unwrap().unwrap().how, How::Exited(0));
}

#[tokio::test]
async fn launches_are_refused_with_a_reason() {
    let (_folder, phone) = phone();
    let absent = LaunchRequest { bundle_id: "absent".to_owned(), ..LaunchRequest::default() };
    assert_eq!(launch(&phone, absent).await.unwrap_err(), LaunchError::NotInstalled("absent".to_owned()));
    phone.change(|state| state.passcode = Passcode::Locked);
    assert_eq!(launch(&phone, request(OnRunning::Activate)).await.unwrap_err(), LaunchError::Locked);
    assert_eq!(endings(&phone), Vec::<String>::new());
}
