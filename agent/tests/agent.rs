//! The whole agent in one process: simulated phones behind the `Phone` trait below, a stand-in for the daemon
//! above, real HTTP and a real disk between.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "some of it serves the other tests")]
mod common;

use common::farm::{Farm, blame};
use common::phones::Behave;
use common::{Agent, until};
use holdfast_wire::id::LeaseNumber;
use holdfast_wire::outcome::{AttemptEnd, AttemptReport, Blame, LaunchEnd};
use holdfast_wire::phone::{Pairing, Readiness};
use holdfast_wire::sync::Order;

fn ends(report: &AttemptReport) -> String {
    let launches = report.cases.iter().flat_map(|case| &case.launches);
    let word = |end: &LaunchEnd| match end {
        LaunchEnd::Stayed => "stayed",
        LaunchEnd::Exited => "exited",
        LaunchEnd::Crashed { .. } => "crashed",
        LaunchEnd::Hung => "hung",
    };
    launches.map(|launch| word(&launch.end)).collect::<Vec<&str>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_and_its_crash_is_kept_before_it_is_deleted() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    phone.write_report("old.ips", 7);
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Stay, Behave::Crash("App-1.ips"), Behave::Exit, Behave::Hang]);
    farm.daemon.run("phone-1", 1, "J1.1", 4);
    let report = farm.report("J1.1").await;
    assert_eq!(ends(&report), "stayed crashed exited hung");
    assert_eq!((blame(&report), report.crashes.len()), (Some(Blame::Job), 1));
    until("an empty phone", || phone.files().is_empty().then_some(())).await;
    until("an empty outbox", || (farm.outbox_files() == 0).then_some(())).await;
    let (crashes, without_bytes) = farm.daemon.with(|heard| (heard.crashes.clone(), heard.without_bytes));
    let owners: Vec<(String, bool)> =
        crashes.iter().map(|crash| (crash.path.clone(), crash.attempt.is_some())).collect();
    assert_eq!(owners, [("old.ips".to_owned(), false), ("App-1.ips".to_owned(), true)]);
    assert_eq!(without_bytes, 0, "bytes are put before they are named");
    assert_eq!(phone.running(), 0);
    until("no lease to be held", || farm.daemon.with(|heard| heard.held.is_empty().then_some(()))).await;
    assert!(farm.daemon.with(|heard| heard.notes.iter().any(|note| note.starts_with("launch "))));
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_order_is_harmless_and_an_older_one_is_refused() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    farm.daemon.run("phone-1", 5, "J1.1", 1);
    farm.report("J1.1").await;
    farm.daemon.run("phone-1", 5, "J1.1", 1);
    farm.daemon.run("phone-1", 4, "J0.9", 1);
    farm.daemon.run("phone-1", 6, "J2.1", 1);
    farm.report("J2.1").await;
    assert_eq!(phone.count("launch"), 2);
    assert_eq!(phone.count("install"), 1, "the build was there already");
    assert!(farm.daemon.report("J0.9").is_none());
    assert_eq!(farm.daemon.with(|heard| heard.gets), 1);
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_taken_back_stops_the_run_and_cleans_the_phone() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger]);
    farm.daemon.run("phone-1", 1, "J1.1", 9);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    farm.daemon.order("phone-1", Order::Rest { through: LeaseNumber(1) });
    assert_eq!(farm.report("J1.1").await.end, AttemptEnd::Revoked);
    assert_eq!((phone.running(), phone.count("launch")), (0, 1));
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_leaves_costs_its_attempt_and_is_cleaned_when_it_returns() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger]);
    farm.daemon.run("phone-1", 1, "J1.1", 9);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    farm.bus.unplug(&phone);
    assert_eq!(blame(&farm.report("J1.1").await), Some(Blame::Phone));
    farm.is("phone-1", Readiness::Offline).await;
    phone.write_report("App-late.ips", 101);
    farm.bus.plug("phone-1");
    farm.is("phone-1", Readiness::Ready).await;
    assert_eq!(phone.running(), 0, "the app that was left running was ended");
    let crash = until("the late report", || farm.daemon.with(|heard| heard.crashes.first().cloned())).await;
    assert_eq!(crash.attempt, Some("J1.1".parse().unwrap()), "by its process it belongs to the attempt");
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_killed_cleans_up_before_it_says_so() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger]);
    farm.daemon.run("phone-1", 1, "J1.1", 9);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    agent.kill().await;
    phone.write_report("App-1.ips", 101);
    farm.daemon.with(|heard| heard.ever_held.clear());
    let agent = farm.agent();
    let report = farm.report("J1.1").await;
    assert_eq!((blame(&report), report.lease), (Some(Blame::Rack), LeaseNumber(1)));
    assert_eq!(phone.running(), 0);
    assert!(farm.daemon.with(|heard| heard.ever_held.iter().any(|held| held.lease == LeaseNumber(1))));
    let crash = until("the crash file", || farm.daemon.with(|heard| heard.crashes.first().cloned())).await;
    assert_eq!(crash.attempt, Some("J1.1".parse().unwrap()), "its process had been recorded");
    farm.daemon.run("phone-1", 2, "J1.2", 1);
    assert_eq!(farm.report("J1.2").await.end, AttemptEnd::Passed);
    assert_eq!(farm.daemon.with(|heard| heard.reports.len()), 2, "one outcome for each attempt");
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_away_loses_nothing() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger, Behave::Stay]);
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    farm.daemon.with(|heard| heard.away = true);
    phone.write_report("other.ips", 9);
    farm.bus.unplug(&phone);
    farm.bus.plug("phone-1");
    // Both entries, and not the bytes of a file that is only on its way to be one.
    until("report and crash on disk", || (farm.outbox_entries() == 2).then_some(())).await;
    assert_eq!(phone.files(), ["other.ips"], "unconfirmed, it stays on the phone");
    agent.kill().await;
    let agent = farm.agent();
    farm.daemon.with(|heard| heard.away = false);
    farm.daemon.restart("d2");
    assert_eq!(blame(&farm.report("J1.1").await), Some(Blame::Phone));
    until("an empty phone", || phone.files().is_empty().then_some(())).await;
    until("an empty outbox", || (farm.outbox_files() == 0).then_some(())).await;
    assert_eq!(phone.count("pull other.ips"), 1, "it was known from the outbox: {:?}", phone.log());
    farm.is("phone-1", Readiness::Ready).await;
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_one_phone_its_attempt_and_nobody_else() {
    let farm = Farm::new().await;
    let (bad, good) = (farm.bus.plug("phone-1"), farm.bus.plug("phone-2"));
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    farm.is("phone-2", Readiness::Ready).await;
    bad.script(&[Behave::Panic]);
    good.script(&[Behave::Linger]);
    farm.daemon.run("phone-2", 1, "J2.1", 1);
    until("the launch", || (good.running() == 1).then_some(())).await;
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    assert_eq!(blame(&farm.report("J1.1").await), Some(Blame::Rack));
    assert_eq!(good.running(), 1, "the other phone goes on");
    farm.daemon.run("phone-1", 2, "J1.2", 1);
    assert_eq!(farm.report("J1.2").await.end, AttemptEnd::Passed);
    farm.daemon.order("phone-2", Order::Rest { through: LeaseNumber(1) });
    farm.report("J2.1").await;
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_runs_and_takes_no_more() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger]);
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    agent.phase.send_replace(holdfast_agent::rack::Phase::Draining);
    farm.is("phone-1", Readiness::Preparing).await;
    farm.daemon.run("phone-1", 2, "J2.1", 1);
    agent.drain().await;
    assert_eq!(farm.report("J1.1").await.end, AttemptEnd::Revoked, "the newer lease ended it");
    assert_eq!(blame(&farm.report("J2.1").await), Some(Blame::Rack));
    assert_eq!((phone.count("launch"), farm.outbox_files()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_does_not_trust_the_rack_waits_for_hands() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    phone.state.lock().unwrap().pairing = Pairing::Unpaired;
    let agent = farm.agent();
    farm.is("phone-1", Readiness::NeedsHands).await;
    phone.state.lock().unwrap().pairing = Pairing::Paired;
    farm.is("phone-1", Readiness::Ready).await;
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_crash_is_set_aside_and_stays_on_the_phone() {
    let farm = Farm::new().await;
    farm.daemon.with(|heard| heard.refuses_crashes = true);
    let phone = farm.bus.plug("phone-1");
    phone.write_report("odd.ips", 7);
    let agent = farm.agent();
    let refused = farm.data.path().join("outbox/refused");
    until("the refused entry", || std::fs::read_dir(&refused).ok()?.next().map(drop)).await;
    let looks = farm.daemon.with(|heard| heard.requests);
    until("some more talk", || farm.daemon.with(|heard| (heard.requests > looks).then_some(()))).await;
    assert_eq!((phone.files(), phone.count("pull")), (vec!["odd.ips".to_owned()], 1));
    agent.drain().await;
}

/// A daemon that confirms nothing: each phone may fill its own part of the rack's disk, and no attempt is held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_that_nobody_confirms_stays_on_the_phone_and_the_rack_goes_on() {
    let farm = Farm::new().await;
    farm.daemon.with(|heard| heard.keeps_crashes = true);
    let (stormy, calm) = (farm.bus.plug("phone-1"), farm.bus.plug("phone-2"));
    for number in 0..60 {
        stormy.write_report(&format!("App-2026-11-21-0330{number:02}.ips"), 7);
    }
    let daemons = std::slice::from_ref(&farm.daemon.address);
    // Each has some 130 bytes.
    let agent = Agent::start_with(farm.data.path(), daemons, farm.bus.finder(), "spool_bytes_max: 1000");
    farm.is("phone-1", Readiness::Ready).await;
    let kept = until("a full spool", || Some(farm.outbox_entries()).filter(|kept| *kept > 5)).await;
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    assert_eq!(farm.report("J1.1").await.end, AttemptEnd::Passed, "a full spool is nobody's failure");
    calm.write_report("App-2026-11-21-033100.ips", 9);
    until("the other phone's file", || (calm.count("pull") == 1).then_some(())).await;
    let looks = stormy.count("pull");
    farm.daemon.run("phone-1", 2, "J1.2", 1);
    farm.report("J1.2").await;
    assert_eq!((looks, stormy.count("pull"), stormy.files().len()), (looks, looks, 60));
    assert!((6..=9).contains(&kept) && looks <= 9, "{kept} entries, {looks} pulls");
    farm.daemon.with(|heard| heard.keeps_crashes = false);
    until("an empty phone", || stormy.files().is_empty().then_some(())).await;
    assert_eq!(farm.daemon.with(|heard| (heard.crashes.len(), heard.without_bytes)), (61, 0));
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_addresses_the_one_that_answers_is_found() {
    let farm = Farm::new().await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [format!("http://{}", dead.local_addr().unwrap()), farm.daemon.address.clone()];
    farm.bus.plug("phone-1");
    let agent = Agent::start(farm.data.path(), &addresses, &farm.bus);
    farm.is("phone-1", Readiness::Ready).await;
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_damaged_on_the_way_is_blamed_on_the_farm() {
    let farm = Farm::new().await;
    farm.bus.plug("phone-1");
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    farm.report("J1.1").await;
    agent.drain().await;
    std::fs::remove_dir_all(farm.data.path().join("cache")).unwrap();
    farm.daemon.with(|heard| heard.blobs.values_mut().for_each(|bytes| bytes[5] ^= 1));
    let phone = farm.bus.plug("phone-2");
    let agent = farm.agent();
    farm.is("phone-2", Readiness::Ready).await;
    let work = farm.daemon.with(|heard| heard.blobs.clone());
    farm.daemon.run("phone-2", 1, "J2.1", 1);
    farm.daemon.with(|heard| heard.blobs = work);
    assert_eq!(blame(&farm.report("J2.1").await), Some(Blame::Farm));
    assert_eq!(phone.count("install"), 0);
    agent.drain().await;
}
