//! What becomes of the crash files of phones that speak the true wire, write their log and obey their limits: the agent
//! and simulated phones whole, a stand-in for the daemon.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "some of it serves the other tests")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::daemon::Daemon;
use common::{Agent, until_long};
use holdfast_simphone::behave::{Behaviour, CrashSignal, Ending, Launch, Report};
use holdfast_simphone::phone::Phone;
use holdfast_simphone::rack::{Rack, RackConfig, RunningRack};
use holdfast_simphone::reports::storm;
use holdfast_usb::{MuxerAddress, UsbFinder, UsbSettings};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::crash::{CrashLimit, CrashOrigin, Fullness};
use holdfast_wire::id::LeaseNumber;
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::{AttemptEnd, AttemptReport};
use holdfast_wire::phone::Readiness;
use holdfast_wire::sync::{Order, Work};
use tempfile::TempDir;

const APP: &str = "dev.holdfast.demo.mooring";

struct Farm {
    rack: RunningRack,
    data: TempDir,
    daemon: Daemon,
}

impl Farm {
    async fn of(phones: usize) -> Self {
        let rack = Rack::start(RackConfig::of(phones, "16.7.2".parse().unwrap())).await.unwrap();
        Self { rack, data: folder(), daemon: Daemon::start().await }
    }

    fn agent(&self) -> Agent {
        let settings = UsbSettings {
            usbmuxd: MuxerAddress::Tcp(self.rack.address.unwrap().to_string()),
            ..UsbSettings::default()
        };
        let daemons = std::slice::from_ref(&self.daemon.address);
        Agent::start_with(self.data.path(), daemons, UsbFinder::start(settings), "")
    }

    fn phone(&self, position: usize) -> Arc<Phone> {
        self.rack.phones().nth(position).unwrap().clone()
    }

    async fn ready(&self, phone: &Phone) {
        until_long("a phone to be ready", || self.daemon.is(&phone.identity.udid, &Readiness::Ready)).await;
    }

    /// Runs the sample app, each launch living so long.
    fn run(&self, phone: &Phone, lease: u64, attempt: &str, launches: u32, stay_ms: u64) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/builds/mooring-140.ipa");
        let archive = std::fs::read(path).unwrap();
        let size_bytes = archive.len() as u64;
        let build = BuildIdentity {
            hash: self.daemon.keep_archive(archive),
            size_bytes,
            bundle_id: APP.parse().unwrap(),
            executable: "Mooring".to_owned(),
            version: "1.4.0".to_owned(),
            build_number: "140".to_owned(),
            uuids: Vec::new(),
            minimum_os: None,
        };
        let run = CaseRun::Launch { launches, stay_ms, launch_timeout_ms: 30_000, arguments: Vec::new() };
        let case = Case { name: "cold".parse().unwrap(), owner: "team".parse().unwrap(), run };
        let work = Work {
            attempt: attempt.parse().unwrap(),
            class: JobClass::Crash,
            build: Arc::new(build),
            cases: Arc::new(vec![case]),
            limit_ms: 300_000,
            with: Vec::new(),
        };
        let order = Order::Run { lease: LeaseNumber(lease), work: Box::new(work) };
        self.daemon.order(&phone.identity.udid, order);
    }

    async fn report(&self, attempt: &str) -> AttemptReport {
        until_long(&format!("the report of {attempt}"), || self.daemon.report(attempt)).await
    }

    fn crashes(&self) -> Vec<CrashOrigin> {
        self.daemon.with(|heard| heard.crashes.clone())
    }

    /// What the daemon was told of a phone's limits.
    fn limits(&self, phone: &Phone) -> Vec<CrashLimit> {
        let udid = phone.identity.udid.parse().unwrap();
        self.daemon.with(|heard| {
            heard.phones.get(&udid).map(|report| report.facts.crash_limits.clone()).unwrap_or_default()
        })
    }

    /// Files that wait on the rack, with those that are on their way.
    fn spooled(&self) -> usize {
        std::fs::read_dir(self.data.path().join("spool")).map_or(0, Iterator::count)
    }
}

/// In memory where there is such a place: thousands of files that are each made safe would test the disk alone.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Reports on the phone, by path.
fn files(phone: &Phone) -> BTreeSet<String> {
    fn walk(folder: &Path, under: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{under}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&phone.disk.crashes(), "", &mut found);
    found
}

fn put(phone: &Phone, path: &str, bytes: &str) {
    let path = phone.disk.crashes().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn crash_in(after_ms: u64, report: Report) -> Launch {
    let ends = Ending::Signal { after_ms, signal: CrashSignal::Segv, function: None };
    Launch { ends, report, ..Launch::default() }
}

/// Deaths of the app at once, each a file while there is room.
fn deaths(phone: &Phone, count: u32) -> u32 {
    storm(phone, &phone.apps.get(APP).unwrap(), count)
}

/// The report comes when the attempt is long over and another runs, on a phone whose clock is hours off. The phone's own
/// log tells of it, so that it is there before that other one has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_written_late_is_taken_at_once_and_belongs_to_the_attempt_before() {
    let farm = Farm::of(1).await;
    let phone = farm.phone(0);
    phone.clock.set_ahead_ms(-7_200_000);
    phone.clock.set_zone_seconds(9 * 3_600);
    let launches = vec![crash_in(50, Report::Late { after_ms: 4_000 }), Launch::default()];
    let behaviour = Behaviour { launches, ..Behaviour::always(Ending::Never) };
    phone.processes.set_behaviour(APP, behaviour);
    let agent = farm.agent();
    farm.ready(&phone).await;
    farm.run(&phone, 1, "J1.1", 1, 3_000);
    let first = farm.report("J1.1").await;
    assert!(matches!(first.end, AttemptEnd::Failed { .. }) && first.crashes.is_empty(), "{first:?}");
    farm.run(&phone, 2, "J2.1", 1, 60_000);
    let crash = until_long("the late report", || farm.crashes().first().cloned()).await;
    assert_eq!(crash.attempt, Some("J1.1".parse().unwrap()));
    assert_eq!(farm.daemon.report("J2.1"), None, "it was taken in the middle of the other attempt");
    farm.daemon.order(&phone.identity.udid, Order::Rest { through: LeaseNumber(2) });
    let second = farm.report("J2.1").await;
    assert!(second.crashes.is_empty(), "{second:?}");
    until_long("an empty phone", || files(&phone).is_empty().then_some(())).await;
    agent.drain().await;
}

/// The phone's log is believed before the settings, which say 25; what it drops and refuses is counted, and remembered
/// by an agent that starts anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_near_its_limit_is_told_and_what_it_loses_is_counted() {
    let farm = Farm::of(1).await;
    let phone = farm.phone(0);
    phone.reports.set_limit("309", 5);
    let agent = farm.agent();
    farm.ready(&phone).await;
    farm.run(&phone, 1, "J1.1", 1, 10);
    farm.report("J1.1").await;
    farm.daemon.with(|heard| heard.keeps_crashes = true);
    let told = |waiting: u32, fullness: Fullness, swallowed: u32, refused: u32| {
        let wanted = (waiting, fullness, swallowed, refused);
        let is_so = move |one: &CrashLimit| {
            (one.bug_type.as_str(), one.process.as_str()) == ("309", "Mooring")
                && (one.waiting, one.fullness, one.swallowed, one.refused) == wanted
        };
        let (farm, phone) = (&farm, &phone);
        async move {
            let what = format!("{wanted:?} to be told");
            until_long(&what, || farm.limits(phone).first().filter(|one| is_so(one)).cloned()).await
        }
    };
    assert_eq!(deaths(&phone, 3), 3);
    assert_eq!(told(3, Fullness::Near, 0, 0).await.limit, Some(5));
    until_long("the first three", || (farm.spooled() == 3).then_some(())).await;
    // Two that look like the first two, one that is swallowed because it looks like the third, and one that is new and
    // has the phone delete the older two of those that look alike.
    assert_eq!(deaths(&phone, 4), 3);
    told(4, Fullness::Urgent, 1, 0).await;
    until_long("six in all", || (farm.spooled() == 6).then_some(())).await;
    // One with room, three swallowed, one for which a double goes, two refused.
    assert_eq!(deaths(&phone, 7), 2);
    assert!(told(5, Fullness::Urgent, 4, 2).await.last_lost_at.is_some());
    assert_eq!(files(&phone).len(), 5, "what is not confirmed stays on the phone");

    farm.daemon.with(|heard| heard.keeps_crashes = false);
    until_long("an empty phone", || files(&phone).is_empty().then_some(())).await;
    assert_eq!(told(0, Fullness::Room, 4, 2).await.limit, Some(5));
    let taken: BTreeSet<_> = farm.crashes().into_iter().map(|crash| crash.id).collect();
    assert_eq!(taken.len(), 8, "every report that the phone wrote");
    agent.drain().await;
    farm.daemon.with(|heard| heard.phones.clear());
    let agent = farm.agent();
    told(0, Fullness::Room, 4, 2).await;
    agent.drain().await;
}

/// Every folder; twins once; half-written and hidden ones never; empty ones when they are written; and a name that comes
/// again with other contents is another file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_folder_is_emptied_and_nothing_is_lost_or_taken_twice() {
    let farm = Farm::of(1).await;
    let phone = farm.phone(0);
    let report =
        |incident: &str| format!("{{\"bug_type\":\"309\",\"incident_id\":\"{incident}\"}}\n{{\"pid\":7}}\n");
    let paths = [
        "A-2026-11-21-033001.ips",
        "Retired/B-2026-11-21-033002.ips",
        "DiagnosticLogs/sysdiagnose/sysdiagnose_2026.tar.gz",
        "ProxiedDevice-1234/Retired/C-2026-11-21-033003.ips",
        "Panics/panic-full-2026-11-21-033004.000.ips",
        "Assistant/of a new kind.log",
        "com.apple.appstored/x.json",
    ];
    for path in paths {
        put(&phone, path, &report(path));
    }
    // What was sent has a twin of another name, and the same bytes.
    put(&phone, "Retired/A-2026-11-21-033001.ips.synced", &report(paths[0]));
    let left =
        [".D-2026-11-21-033005.ips", "Retired/.E-2026-11-21-033006.ips", "Empty-2026-11-21-033007.ips"];
    put(&phone, left[0], "half");
    put(&phone, left[1], "half");
    put(&phone, left[2], "");
    let agent = farm.agent();
    let only_left = || (files(&phone) == left.map(str::to_owned).into()).then_some(());
    until_long("all but the unfinished to be gone", only_left).await;
    put(&phone, left[2], &report("written at last"));
    put(&phone, paths[0], &report("the same name again"));
    let hidden = || (files(&phone) == [left[0], left[1]].map(str::to_owned).into()).then_some(());
    until_long("all but the hidden to be gone", hidden).await;
    let mut expected: Vec<String> = paths.iter().map(|path| report(path)).collect();
    expected.extend([report("written at last"), report("the same name again")]);
    let taken: BTreeSet<_> = farm.crashes().into_iter().map(|crash| crash.id).collect();
    let bytes: BTreeSet<String> = farm.daemon.with(|heard| {
        let bytes = |id: &holdfast_wire::id::CrashId| heard.blobs.get(&(*id).into()).unwrap().clone();
        taken.iter().map(|id| String::from_utf8(bytes(id)).unwrap()).collect()
    });
    assert_eq!(bytes, expected.into_iter().collect());
    agent.drain().await;
}

/// Thousands of files in the middle of an attempt: it ends as it would have, and so does that of another phone, while
/// most of the files still wait; each reaches the daemon once; the rack never keeps more of them than it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_files_stops_neither_its_attempt_nor_another_phone() {
    const FILES: usize = 2_000;
    let farm = Farm::of(2).await;
    let (stormy, calm) = (farm.phone(0), farm.phone(1));
    stormy.processes.set_behaviour(APP, Behaviour::always(Ending::Never));
    let agent = farm.agent();
    farm.ready(&stormy).await;
    farm.ready(&calm).await;
    farm.run(&stormy, 1, "J1.1", 2, 4_000);
    until_long("the launch", || (stormy.processes.launches() == 1).then_some(())).await;
    let now = holdfast_wire::time::Time::from(jiff::Timestamp::now());
    for number in 0..FILES - 1 {
        let report = format!("{{\"bug_type\":\"309\",\"n\":{number}}}\n{{\"captureTime\":\"{now}\"}}\n");
        put(&stormy, &format!("Other-2026-11-21-{number:06}.ips"), &report);
    }
    // The last one is told by the phone's log.
    assert_eq!(deaths(&stormy, 1), 1);
    calm.processes.set_behaviour(
        APP,
        Behaviour { launches: vec![crash_in(50, Report::AtOnce)], ..Behaviour::always(Ending::Never) },
    );
    farm.run(&calm, 1, "J2.1", 1, 4_000);
    let (first, second) = (farm.report("J1.1").await, farm.report("J2.1").await);
    let (of_stormy, waiting) = (farm.crashes().len(), files(&stormy).len());
    assert_eq!(first.end, AttemptEnd::Passed, "{of_stormy} taken");
    assert_eq!(second.crashes.len(), 1, "the other phone's own crash is found: {second:?}");
    assert!(waiting > 1_000, "the attempt waited for the storm: only {waiting} files wait");
    let most = holdfast_agent::outbox::FILES_PER_PHONE_MAX + 8;
    until_long("an empty phone", || {
        assert!(farm.spooled() <= most, "{} files in the spool", farm.spooled());
        files(&stormy).is_empty().then_some(())
    })
    .await;
    let taken = farm.crashes();
    let ids: BTreeSet<_> = taken.iter().map(|crash| crash.id).collect();
    assert_eq!(ids.len(), FILES + 1);
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    for crash in taken {
        *owners.entry(crash.attempt.map_or_else(|| "nobody".to_owned(), |id| id.to_string())).or_default() +=
            1;
    }
    assert_eq!(owners, [("J1.1".to_owned(), FILES), ("J2.1".to_owned(), 1)].into());
    agent.drain().await;
}
