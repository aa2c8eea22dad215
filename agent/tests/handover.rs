//! From one lease to the next in the whole agent: yields, attempts staged behind others, and phones that rest. Above
//! is a stand-in for the daemon, below are simulated phones behind the `Phone` trait.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "some of it serves the other tests")]
mod common;

use common::farm::{Farm, blame};
use common::phones::{Behave, Pretend};
use common::until;
use holdfast_wire::id::LeaseNumber;
use holdfast_wire::outcome::{AttemptEnd, AttemptReport, Blame};
use holdfast_wire::phone::Readiness;
use holdfast_wire::sync::{Order, PhoneOrder, YieldWhen};

/// The build of attempts that run first.
const BUILD: &str = "an archive";

/// Another one.
const OTHER: &str = "other bytes";

/// A phone on which `J1.1` runs under lease 1, with an order for `J2.1` behind it.
async fn staged(farm: &Farm, bytes: &str) -> Pretend {
    let phone = farm.bus.plug("phone-1");
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger]);
    let next = farm.daemon.staged(2, "J2.1", bytes);
    farm.daemon.order_with_next("phone-1", farm.daemon.run_order(1, "J1.1", 1), next);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    phone
}

async fn hears_again(farm: &Farm) {
    let seen = farm.daemon.with(|heard| heard.requests);
    until("another word of the agent", || {
        farm.daemon.with(|heard| (heard.requests > seen + 1).then_some(()))
    })
    .await;
}

async fn rests_after(farm: &Farm, lease: u64) {
    let idle = || (farm.daemon.idle("phone-1") == Some(lease)).then_some(());
    until(&format!("the phone to rest after lease {lease}"), idle).await;
}

fn yielded(report: &AttemptReport) -> Option<(u32, bool)> {
    match &report.end {
        AttemptEnd::Yielded { cases_done, failure } => Some((*cases_done, failure.is_some())),
        AttemptEnd::Passed | AttemptEnd::Failed { .. } | AttemptEnd::Revoked => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_staged_begins_without_a_word_from_the_daemon() {
    let farm = Farm::new().await;
    let agent = farm.agent();
    let phone = staged(&farm, OTHER).await;
    until("the other build", || farm.daemon.with(|heard| (heard.gets == 2).then_some(()))).await;
    assert_eq!(phone.count("install"), 1, "it is fetched ahead, and no more");
    let mut builds = 0;
    let folder = farm.data.path().join("cache");
    until("both builds on the rack", || {
        builds =
            std::fs::read_dir(&folder).unwrap().filter(|entry| is_build(entry.as_ref().unwrap())).count();
        (builds == 2).then_some(())
    })
    .await;
    farm.daemon.with(|heard| heard.away = true);
    phone.go_on();
    until("both reports on disk", || (farm.outbox_entries() == 2).then_some(())).await;
    assert_eq!((phone.count("launch"), phone.count("install")), (2, 2));
    farm.daemon.with(|heard| heard.away = false);
    for (attempt, lease) in [("J1.1", 1), ("J2.1", 2)] {
        let report = farm.report(attempt).await;
        assert_eq!((report.end, report.lease), (AttemptEnd::Passed, LeaseNumber(lease)));
    }
    rests_after(&farm, 2).await;
    farm.daemon.run("phone-1", 2, "J2.1", 1);
    hears_again(&farm).await;
    assert_eq!(phone.count("launch"), 2, "the daemon's own order for it comes late and changes nothing");
    agent.drain().await;
}

fn is_build(entry: &std::fs::DirEntry) -> bool {
    entry.path().extension().is_some_and(|extension| extension == "ipa")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_staged_can_be_taken_back_until_it_begins() {
    let farm = Farm::new().await;
    let agent = farm.agent();
    let phone = staged(&farm, BUILD).await;
    assert_eq!(farm.daemon.withdrawn("phone-1"), None);
    let order = farm.daemon.run_order(1, "J1.1", 1);
    let phone_1 = "phone-1".parse().unwrap();
    let withdrawn = Some(LeaseNumber(2));
    farm.daemon.order_whole(PhoneOrder { phone: phone_1, order, next: None, withdrawn });
    // Only once the phone's own task has heard of it is it said that it will not begin.
    until("it is said back", || farm.daemon.withdrawn("phone-1")).await;
    phone.go_on();
    assert_eq!(farm.report("J1.1").await.end, AttemptEnd::Passed);
    rests_after(&farm, 1).await;
    assert_eq!((phone.count("launch"), farm.daemon.report("J2.1")), (1, None));
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_staged_and_has_begun_is_ended_as_any_other() {
    let farm = Farm::new().await;
    let agent = farm.agent();
    let phone = staged(&farm, BUILD).await;
    phone.script(&[Behave::Linger]);
    phone.go_on();
    until("the second launch", || (phone.count("launch") == 2).then_some(())).await;
    // Too late: by lease 1 it is over.
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    hears_again(&farm).await;
    farm.daemon.order("phone-1", Order::Rest { through: LeaseNumber(1) });
    hears_again(&farm).await;
    assert_eq!(phone.running(), 1, "the attempt under lease 2 goes on");
    farm.daemon.yields("phone-1", 2, "J2.1", YieldWhen::AtOnce);
    assert_eq!(yielded(&farm.report("J2.1").await), Some((0, false)));
    assert_eq!(farm.report("J1.1").await.end, AttemptEnd::Passed);
    assert_eq!((phone.running(), phone.count("launch")), (0, 2));
    rests_after(&farm, 2).await;
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_staged_is_forgotten_with_the_agent_and_asked_for_after_trouble() {
    let farm = Farm::new().await;
    let agent = farm.agent();
    let phone = staged(&farm, BUILD).await;
    agent.kill().await;
    // The daemon says all of it again, and the attempt that was cut off ends by the rule for that.
    let agent = farm.agent();
    assert_eq!(blame(&farm.report("J1.1").await), Some(Blame::Rack));
    rests_after(&farm, 1).await;
    assert_eq!((phone.count("launch"), farm.daemon.report("J2.1")), (1, None));
    farm.daemon.run("phone-1", 2, "J2.1", 1);
    assert_eq!(farm.report("J2.1").await.end, AttemptEnd::Passed);
    rests_after(&farm, 2).await;
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_left_begins_nothing_that_was_staged() {
    let farm = Farm::new().await;
    let agent = farm.agent();
    let phone = staged(&farm, BUILD).await;
    farm.bus.unplug(&phone);
    assert_eq!(blame(&farm.report("J1.1").await), Some(Blame::Phone));
    rests_after(&farm, 1).await;
    farm.bus.plug("phone-1");
    farm.is("phone-1", Readiness::Ready).await;
    assert_eq!((phone.count("launch"), farm.daemon.report("J2.1")), (1, None));
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_or_a_panic_begins_nothing_that_was_staged() {
    let farm = Farm::new().await;
    let agent = farm.agent();
    let phone = farm.bus.plug("phone-1");
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Panic]);
    let next = farm.daemon.staged(2, "J2.1", BUILD);
    farm.daemon.order_with_next("phone-1", farm.daemon.run_order(1, "J1.1", 1), next);
    assert_eq!(blame(&farm.report("J1.1").await), Some(Blame::Rack));
    rests_after(&farm, 1).await;
    assert_eq!(phone.count("launch"), 1, "the order that the task heard again was obeyed before");
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger]);
    let next = farm.daemon.staged(4, "J4.1", BUILD);
    farm.daemon.order_with_next("phone-1", farm.daemon.run_order(3, "J3.1", 1), next);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    agent.phase.send_replace(holdfast_agent::rack::Phase::Draining);
    farm.is("phone-1", Readiness::Preparing).await;
    phone.go_on();
    agent.drain().await;
    assert_eq!(farm.report("J3.1").await.end, AttemptEnd::Passed);
    assert_eq!((phone.count("launch"), farm.daemon.report("J4.1")), (2, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_yields_makes_way_for_what_is_staged_at_once() {
    for when in [YieldWhen::AtOnce, YieldWhen::CaseDone] {
        let farm = Farm::new().await;
        let agent = farm.agent();
        let phone = farm.bus.plug("phone-1");
        farm.is("phone-1", Readiness::Ready).await;
        phone.script(&[Behave::Exit, Behave::Linger]);
        farm.daemon.order("phone-1", farm.daemon.run_order_of_cases(1, "J1.1", 3));
        until("the second launch", || (phone.count("launch") == 2 && phone.running() == 1).then_some(()))
            .await;
        let order = Order::Yield { lease: LeaseNumber(1), attempt: "J1.1".parse().unwrap(), when };
        farm.daemon.order_with_next("phone-1", order, farm.daemon.staged(2, "J2.1", BUILD));
        hears_again(&farm).await;
        phone.go_on();
        let done = if when == YieldWhen::CaseDone { 2 } else { 1 };
        let report = farm.report("J1.1").await;
        assert_eq!(yielded(&report), Some((done, true)), "the first case had failed");
        assert_eq!(report.cases.len(), done as usize, "nothing whole is left out");
        assert_eq!(farm.report("J2.1").await.end, AttemptEnd::Passed);
        assert_eq!((phone.count("launch"), phone.running()), (3, 0));
        rests_after(&farm, 2).await;
        agent.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_given_up_before_it_began_never_touches_the_phone() {
    let farm = Farm::new().await;
    let agent = farm.agent();
    let phone = farm.bus.plug("phone-1");
    farm.is("phone-1", Readiness::Ready).await;
    farm.daemon.yields("phone-1", 4, "J4.1", YieldWhen::CaseDone);
    let report = farm.report("J4.1").await;
    assert_eq!((yielded(&report), report.lease), (Some((0, false)), LeaseNumber(4)));
    rests_after(&farm, 4).await;
    farm.daemon.run("phone-1", 4, "J4.1", 1);
    hears_again(&farm).await;
    assert_eq!((phone.count("launch"), phone.count("install")), (0, 0));
    // What is recorded outlives the agent.
    agent.kill().await;
    let agent = farm.agent();
    rests_after(&farm, 4).await;
    assert_eq!(farm.daemon.with(|heard| heard.reports.len()), 1);
    // One that was over is left at that.
    farm.daemon.yields("phone-1", 3, "J3.1", YieldWhen::AtOnce);
    hears_again(&farm).await;
    assert_eq!(farm.daemon.report("J3.1"), None);
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_rests_only_when_the_daemon_has_confirmed_its_report() {
    let farm = Farm::new().await;
    farm.daemon.with(|heard| heard.keeps_quiet = true);
    let agent = farm.agent();
    let phone = farm.bus.plug("phone-1");
    farm.is("phone-1", Readiness::Ready).await;
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    until("the report on disk", || (farm.outbox_entries() == 1).then_some(())).await;
    until("the word that the lease is over", || {
        farm.daemon.with(|heard| (heard.held.is_empty() && !heard.ever_held.is_empty()).then_some(()))
    })
    .await;
    assert_eq!((farm.daemon.idle("phone-1"), phone.running()), (None, 0));
    // Nor does it after a restart, from its very first word.
    agent.kill().await;
    let agent = farm.agent();
    hears_again(&farm).await;
    assert_eq!(farm.daemon.idle("phone-1"), None);
    farm.daemon.with(|heard| heard.keeps_quiet = false);
    farm.daemon.restart("d2");
    assert_eq!(farm.report("J1.1").await.end, AttemptEnd::Passed);
    rests_after(&farm, 1).await;
    agent.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_may_be_said_again_with_every_answer() {
    let farm = Farm::new().await;
    farm.daemon.with(|heard| heard.says_all_again = true);
    let agent = farm.agent();
    let phone = staged(&farm, OTHER).await;
    phone.script(&[Behave::Linger]);
    phone.go_on();
    assert_eq!(farm.report("J1.1").await.end, AttemptEnd::Passed);
    until("the second launch", || (phone.count("launch") == 2).then_some(())).await;
    hears_again(&farm).await;
    farm.daemon.yields("phone-1", 2, "J2.1", YieldWhen::AtOnce);
    assert_eq!(yielded(&farm.report("J2.1").await), Some((0, false)));
    rests_after(&farm, 2).await;
    farm.daemon.yields("phone-1", 3, "J3.1", YieldWhen::CaseDone);
    assert_eq!(yielded(&farm.report("J3.1").await), Some((0, false)));
    rests_after(&farm, 3).await;
    farm.daemon.order("phone-1", Order::Rest { through: LeaseNumber(5) });
    rests_after(&farm, 5).await;
    farm.daemon.run("phone-1", 5, "J5.1", 1);
    hears_again(&farm).await;
    farm.daemon.run("phone-1", 6, "J6.1", 1);
    assert_eq!(farm.report("J6.1").await.end, AttemptEnd::Passed);
    rests_after(&farm, 6).await;
    assert_eq!((phone.count("launch"), farm.daemon.report("J5.1")), (3, None));
    let mut reports = farm.daemon.with(|heard| heard.reports.iter().map(|r| r.lease.0).collect::<Vec<u64>>());
    reports.sort_unstable();
    assert_eq!(reports, [1, 2, 3, 6], "one report for each lease");
    agent.drain().await;
}
