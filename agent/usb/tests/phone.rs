//! What the crate does with one simulated phone on the real wire when all is well, or when the phone says no.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    dead_code,
    reason = "shared by several tests"
)]
mod rack;

use std::sync::Mutex;
use std::time::Duration;

use holdfast_device::{AskForTrust, FaultKind, InstallProgress, Launch, Phone, Watched};
use holdfast_simphone::behave::{Behaviour, CrashSignal, Ending};
use holdfast_simphone::phone::{Passcode, Trust};
use holdfast_simphone::rack::{Pairedness, RackConfig};
use holdfast_usb::UsbPhone;
use holdfast_wire::phone::{Battery, Pairing};

use rack::{Farm, app, build, quietly};

fn launch() -> Launch {
    Launch {
        bundle_id: app(),
        arguments: vec!["-seed".to_owned(), "7".to_owned()],
        environment: [("HOLDFAST_LEASE".to_owned(), "9".to_owned())].into(),
        timeout: rack::PATIENCE,
    }
}

async fn installed(farm: &mut Farm) -> (UsbPhone, std::sync::Arc<holdfast_simphone::phone::Phone>) {
    let (phone, simulated) = farm.phone().await;
    phone.install(&build(140), &quietly).await.unwrap();
    (phone, simulated)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_those_of_the_phone() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = installed(&mut farm).await;
    simulated.change(|state| {
        state.battery.percent = 41;
        state.battery.temperature_centidegrees = 3575;
        state.name = "Slot seven".to_owned();
    });
    let facts = phone.facts().await.unwrap();
    assert_eq!(facts.udid.as_str(), simulated.identity.udid);
    assert_eq!(facts.name, "Slot seven");
    assert_eq!(facts.product_type, simulated.identity.model.product_type);
    assert_eq!(facts.model, simulated.identity.model.marketing_name);
    assert_eq!(facts.chip.as_deref(), Some("A15"));
    assert_eq!(facts.region.as_deref(), Some("LL/A"));
    assert_eq!(facts.os_version.to_string(), "16.7.2");
    assert_eq!(facts.os_build, simulated.identity.ios_build);
    let expected = Battery {
        level_percent: 41,
        charging: true,
        temperature_celsius: Some(35.75),
        health_percent: Some(93),
        cycles: Some(214),
    };
    assert_eq!(facts.battery, Some(expected));
    let storage = facts.storage.unwrap();
    assert!(storage.free_bytes > 0 && storage.free_bytes <= storage.total_bytes, "{storage:?}");
    assert_eq!(facts.pairing, Pairing::Paired);
    assert_eq!(facts.developer_mode, Some(true));
    assert!(!facts.passcode_locked);
    assert_eq!(facts.usb_speed_bps, Some(480_000_000));
    let apps: Vec<_> = facts.apps.iter().map(|app| (app.bundle_id.as_str(), app.version.as_str())).collect();
    assert_eq!(apps, [(rack::APP, "1.4.0")]);
    assert!(facts.clock_offset_ms.unwrap().abs() < 5_000, "{:?}", facts.clock_offset_ms);
    assert!(facts.simulated, "nobody may take it for a real phone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_install_tells_its_progress_and_leaves_nothing_behind() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = farm.phone().await;
    let left_over = simulated.disk.media().join("PublicStaging");
    std::fs::create_dir_all(&left_over).unwrap();
    std::fs::write(left_over.join("holdfast-00.ipa"), "half").unwrap();
    std::fs::write(left_over.join("other.ipa"), "somebody else's").unwrap();

    assert_eq!(phone.installed(&app()).await.unwrap(), None);
    for number in [140, 141] {
        let seen = Mutex::new(Vec::new());
        phone.install(&build(number), &|progress| seen.lock().unwrap().push(progress)).await.unwrap();
        let seen = seen.into_inner().unwrap();
        let total = std::fs::metadata(build(number).archive).unwrap().len();
        assert_eq!(seen.first(), Some(&InstallProgress::Uploading { sent: 0, total }));
        assert!(seen.contains(&InstallProgress::Uploading { sent: total, total }), "{seen:?}");
        assert!(matches!(seen.last(), Some(InstallProgress::Installing { percent: 1..=100 })), "{seen:?}");
        let found = phone.installed(&app()).await.unwrap().unwrap();
        assert_eq!((found.version.as_str(), found.build_number), ("1.4.0", number.to_string()));
    }
    let names: Vec<_> =
        std::fs::read_dir(&left_over).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["other.ipa"], "our own uploads go, nobody else's do");

    phone.uninstall(&app()).await.unwrap();
    assert_eq!(phone.installed(&app()).await.unwrap(), None);
    phone.uninstall(&app()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_app_keeps_the_words_of_the_phone() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = farm.phone().await;
    simulated.faults.set_refuse_install(Some("ApplicationVerificationFailed".to_owned()));
    let fault = phone.install(&build(140), &quietly).await.unwrap_err();
    let FaultKind::AppRefused { words } = &fault.kind else { panic!("{fault:?}") };
    assert!(words.starts_with("ApplicationVerificationFailed: ") && words.contains("0xe8008015"), "{words}");
    assert_eq!(fault.operation, "install Mooring 140");
    let staged = std::fs::read_dir(simulated.disk.media().join("PublicStaging")).unwrap().count();
    assert_eq!(staged, 0, "the upload is removed after a refusal too");

    simulated.faults.set_refuse_install(None);
    phone.install(&build(140), &quietly).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_phone_says_so() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = farm.phone().await;
    simulated.disk.set_free_bytes(10);
    let fault = phone.install(&build(140), &quietly).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NoRoom, "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_launched_watched_and_ended() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = installed(&mut farm).await;
    let first = phone.launch(&launch()).await.unwrap();
    assert_eq!(first.name, "Mooring");
    assert_eq!(phone.processes(&app()).await.unwrap(), std::slice::from_ref(&first));
    let watched = phone.watch(first.pid, Duration::from_millis(300)).await.unwrap();
    assert_eq!(watched, Watched::Alive);

    let second = phone.launch(&launch()).await.unwrap();
    assert!(second.pid > first.pid, "a launch starts the app anew");
    assert_eq!(phone.processes(&app()).await.unwrap(), std::slice::from_ref(&second));
    phone.kill(second.pid).await.unwrap();
    assert_eq!(phone.processes(&app()).await.unwrap(), []);
    phone.kill(second.pid).await.unwrap();

    simulated.processes.set_behaviour(rack::APP, Behaviour::always(Ending::Exit { after_ms: 400, code: 0 }));
    let third = phone.launch(&launch()).await.unwrap();
    let Watched::Ended { alive } = phone.watch(third.pid, rack::PATIENCE).await.unwrap() else {
        panic!("it ends by itself")
    };
    assert!(alive < Duration::from_secs(30), "{alive:?}");

    let launched = simulated.events.after(0).into_iter().find_map(|entry| match entry.event {
        holdfast_simphone::events::Event::Launched { arguments, environment, .. } => {
            Some((arguments, environment))
        }
        _ => None,
    });
    let (arguments, environment) = launched.unwrap();
    assert_eq!(arguments, ["-seed", "7"]);
    assert_eq!(environment, launch().environment);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_that_cannot_be_says_why() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = farm.phone().await;
    assert_eq!(phone.launch(&launch()).await.unwrap_err().kind, FaultKind::AppMissing);
    assert_eq!(phone.processes(&app()).await.unwrap(), []);

    phone.install(&build(140), &quietly).await.unwrap();
    simulated.change(|state| state.developer_mode = false);
    let kind = phone.launch(&launch()).await.unwrap_err().kind;
    assert!(matches!(kind, FaultKind::ServiceMissing { .. }), "{kind:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_files_are_listed_copied_and_deleted() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = installed(&mut farm).await;
    let ending = Ending::Signal { after_ms: 50, signal: CrashSignal::Segv, function: None };
    simulated.processes.set_behaviour(rack::APP, Behaviour::always(ending));
    let before = phone.crash_files().await.unwrap();
    let process = phone.launch(&launch()).await.unwrap();
    phone.watch(process.pid, rack::PATIENCE).await.unwrap();
    let retired = simulated.disk.crashes().join("Retired");
    std::fs::create_dir_all(&retired).unwrap();
    std::fs::write(retired.join("Mooring-2026-11-20-010203.ips"), "an older one").unwrap();
    std::fs::write(retired.join(".Mooring-2026-11-20-010204.ips"), "still being writt").unwrap();

    let files = phone.crash_files().await.unwrap();
    let new: Vec<_> = files.iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(new.len(), 2, "{files:?}");
    assert!(files.is_sorted());
    assert!(new[1].path == "Retired/Mooring-2026-11-20-010203.ips", "{new:?}");
    assert_eq!(new[1].size_bytes, 12);
    assert!(new.iter().all(|file| file.modified_ns > 0));
    let of_app = files.iter().filter(|file| file.kind_and_process() == Some(("309", "Mooring")));
    assert_eq!(of_app.count(), 2);

    let folder = tempfile::tempdir().unwrap();
    for file in &new {
        let target = folder.path().join("copy.ips");
        phone.pull_crash(file, &target).await.unwrap();
        let there = std::fs::read(simulated.disk.crashes().join(&file.path)).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), there);
    }
    let mut grown = new[1].clone();
    grown.size_bytes += 1;
    let target = folder.path().join("grown.ips");
    let fault = phone.pull_crash(&grown, &target).await.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Protocol { .. }), "{fault:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a bad copy is not left behind");

    // Another file of its name came after it was listed: nobody has that one.
    let path = simulated.disk.crashes().join(&new[0].path);
    std::fs::write(&path, "another").unwrap();
    phone.delete_crash(new[0]).await.unwrap();
    assert!(path.exists(), "a file that was never copied was deleted");

    phone.delete_crash(new[1]).await.unwrap();
    phone.delete_crash(new[1]).await.unwrap();
    assert_eq!(phone.pull_crash(new[1], &target).await.unwrap_err().kind, FaultKind::FileMissing);
    assert_eq!(phone.crash_files().await.unwrap().len(), files.len() - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_of_crash_files_and_of_limits_and_of_nothing_else() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = installed(&mut farm).await;
    simulated.reports.set_limit("309", 1);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let phone = std::sync::Arc::new(phone);
    let ears = std::sync::Arc::clone(&phone);
    let listening = tokio::spawn(async move {
        let heard = move |message: &str| tell.send(message.to_owned()).unwrap();
        ears.crash_log(&heard).await
    });
    let app = simulated.apps.get(rack::APP).unwrap();
    // Whoever begins to listen hears only what is said from then on.
    let first = loop {
        let wait = tokio::time::timeout(Duration::from_millis(100), told.recv());
        holdfast_simphone::reports::storm(&simulated, &app, 2);
        if let Ok(message) = wait.await {
            break message.unwrap();
        }
        for file in phone.crash_files().await.unwrap() {
            phone.delete_crash(&file).await.unwrap();
        }
    };
    let saved = "Saved type '309(309_Mooring)' report (1 of max 1) at /var/mobile/Library/Logs/CrashReporter/Mooring-";
    let refused = "Report of type '309(309_Mooring)' not saved because the limit of 1 logs has been reached";
    assert!(first.starts_with(saved) || first == refused, "{first}");
    let second = if first == refused { first } else { told.recv().await.unwrap() };
    assert_eq!(second, refused);
    assert!(farm.rack.rack.detach(0));
    let ended = tokio::time::timeout(rack::PATIENCE, listening).await.unwrap().unwrap();
    assert!(ended.is_ok() || ended.is_err_and(|fault| fault.kind == FaultKind::Gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_brings_the_phone_back_under_another_number() {
    let mut farm = Farm::of(1).await;
    let attachment = farm.attachment().await;
    let phone = holdfast_device::Finder::open(&farm.finder, &attachment).unwrap();
    let simulated = farm.rack.phones().next().unwrap().clone();
    simulated.faults.set_restart_takes(Duration::from_millis(50));
    phone.restart().await.unwrap();
    let again = farm.attachment().await;
    assert_eq!(again.udid, attachment.udid);
    assert_ne!(again.number, attachment.number);
    assert_eq!(again.slot, attachment.slot, "the slot stays");
    assert!(holdfast_device::Finder::open(&farm.finder, &attachment).is_err(), "the old number is gone");
    assert_eq!(phone.facts().await.unwrap_err().kind, FaultKind::Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_is_asked_for_and_answered_by_a_finger() {
    let mut config = RackConfig::of(1, "16.7.2".parse().unwrap());
    config.phones[0].pairedness = Pairedness::Unpaired;
    let mut farm = Farm::with(config, |settings| {
        settings.deadlines.pairing = Duration::from_secs(2);
    })
    .await;
    let (phone, simulated) = farm.phone().await;
    assert_eq!(phone.pairing(AskForTrust::No).await.unwrap(), Pairing::Unpaired);
    let facts = phone.facts().await.unwrap();
    assert_eq!((facts.pairing, facts.os_version.to_string()), (Pairing::Unpaired, "16.7.2".to_owned()));
    assert!(facts.simulated);
    assert_eq!(phone.installed(&app()).await.unwrap_err().kind, FaultKind::NotPaired);

    simulated.change(|state| state.trust = Trust::Pending);
    assert_eq!(phone.pairing(AskForTrust::Yes).await.unwrap(), Pairing::DialogPending);
    assert_eq!(phone.pairing(AskForTrust::No).await.unwrap(), Pairing::DialogPending);
    simulated.change(|state| state.trust = Trust::Denied);
    assert_eq!(eventually(&phone).await, Pairing::Denied);
    simulated.change(|state| state.trust = Trust::Granted);
    assert_eq!(eventually(&phone).await, Pairing::Paired);
    assert_eq!(phone.pairing(AskForTrust::No).await.unwrap(), Pairing::Paired);
    assert_eq!(phone.installed(&app()).await.unwrap(), None);
}

/// The answer to the question that is open now.
async fn eventually(phone: &UsbPhone) -> Pairing {
    let asking = async {
        loop {
            match phone.pairing(AskForTrust::Yes).await.unwrap() {
                Pairing::DialogPending => {}
                answer => return answer,
            }
        }
    };
    tokio::time::timeout(rack::PATIENCE, asking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_phone_tells_what_it_can() {
    let mut farm = Farm::of(1).await;
    let (phone, simulated) = farm.phone().await;
    phone.facts().await.unwrap();
    simulated.change(|state| state.passcode = Passcode::Locked);
    let facts = phone.facts().await.unwrap();
    assert!(facts.passcode_locked);
    assert_eq!(facts.pairing, Pairing::Paired);
    phone.install(&build(140), &quietly).await.unwrap();
    assert_eq!(phone.launch(&launch()).await.unwrap_err().kind, FaultKind::Locked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instruments_behind_the_tunnel_are_told_as_missing() {
    let config = RackConfig::of(1, "17.5".parse().unwrap());
    let mut farm = Farm::with(config, |_settings| {}).await;
    let (phone, _simulated) = installed(&mut farm).await;
    let kind = phone.launch(&launch()).await.unwrap_err().kind;
    assert!(matches!(kind, FaultKind::ServiceMissing { .. }), "{kind:?}");
}
