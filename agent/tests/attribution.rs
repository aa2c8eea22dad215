//! Whose a crash file is: the attempt in which it happened, whenever it comes and whatever runs by then.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "some of it serves the other tests")]
mod common;

use std::collections::BTreeMap;

use common::farm::Farm;
use common::phones::Behave;
use common::until;
use holdfast_wire::outcome::AttemptReport;
use holdfast_wire::phone::Readiness;
use holdfast_wire::sync::Order;
use holdfast_wire::time::Time;

/// The phone's clock is this far ahead.
const AHEAD_MS: i64 = 3_600_000;

/// An instant of the rack's clock as the phone writes it.
fn in_phone(at: Time) -> Time {
    Time::from_unix_ms(at.as_unix_ms() + AHEAD_MS)
}

fn middle(report: &AttemptReport) -> Time {
    Time::from_unix_ms((report.started_at.as_unix_ms() + report.ended_at.as_unix_ms()) / 2)
}

/// Two attempts are over, the agent starts anew, a third runs: reports of all of them come only now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_report_belongs_to_the_attempt_in_which_it_happened() {
    let farm = Farm::new().await;
    let phone = farm.bus.plug("phone-1");
    phone.state.lock().unwrap().clock_offset_ms = Some(AHEAD_MS);
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    let born = Time::from(jiff::Timestamp::now());
    farm.daemon.run("phone-1", 1, "J1.1", 1);
    let first = farm.report("J1.1").await;
    farm.daemon.run("phone-1", 2, "J2.1", 1);
    let second = farm.report("J2.1").await;
    agent.kill().await;
    let agent = farm.agent();
    farm.is("phone-1", Readiness::Ready).await;
    phone.script(&[Behave::Linger]);
    farm.daemon.run("phone-1", 3, "J3.1", 1);
    until("the launch", || (phone.running() == 1).then_some(())).await;
    let long_ago = Time::from_unix_ms(born.as_unix_ms() - 600_000);
    phone.write_report_of("long-ago.ips", "SpringBoard", in_phone(long_ago));
    phone.write_report_of("first.ips", "SpringBoard", in_phone(middle(&first)));
    phone.write_report_of("second.ips", "SpringBoard", in_phone(middle(&second)));
    phone.write_report("App-first.ips", 101);
    phone.write_report("App-second.ips", 102);
    phone.write_report_of("now.ips", "SpringBoard", in_phone(Time::from(jiff::Timestamp::now())));
    farm.daemon.order("phone-1", Order::Rest { through: holdfast_wire::id::LeaseNumber(3) });
    let third = farm.report("J3.1").await;
    let owners = until("all crash files", || {
        farm.daemon.with(|heard| (heard.crashes.len() == 6).then(|| heard.crashes.clone()))
    })
    .await;
    let owners: BTreeMap<String, String> = owners
        .into_iter()
        .map(|one| (one.path, one.attempt.map_or_else(|| "nobody".to_owned(), |id| id.to_string())))
        .collect();
    let expected = [
        ("App-first.ips", "J1.1"),
        ("App-second.ips", "J2.1"),
        ("first.ips", "J1.1"),
        ("long-ago.ips", "nobody"),
        ("now.ips", "J3.1"),
        ("second.ips", "J2.1"),
    ];
    let expected = expected.map(|(path, owner)| (path.to_owned(), owner.to_owned()));
    assert_eq!(owners, BTreeMap::from(expected));
    assert_eq!(third.crashes.len(), 1, "only what happened in it is told with its end");
    agent.drain().await;
}
