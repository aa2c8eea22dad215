//! An agent, played by the test, speaks with the daemon: orders, results, crashes, restarts. People's side of the
//! API is in `api.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use holdfast_store::{MemoryStore, StoreError};
use holdfast_wire::crash::{CRASH_LIMITS_MAX, CrashLimit};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::sync::{AttemptProgress, Order, OutboxItem, SyncReply};
use holdfastd::farm::FarmError;
use serde_json::json;
use support::{Agent, Daemon, End, Mortal, News, PATIENCE, ended, hash, post_sync, ready, taken};

const PHONE: &str = "00008110-000A2D8E3C41801E";
const CRASH: &[u8] = include_bytes!("../crash/fixtures/watchdog_launch.ips");

fn phones(udid: &str) -> News {
    News { phones: vec![ready(udid, "1-1.4")], ..News::default() }
}

fn entries(entries: Vec<holdfast_wire::sync::OutboxEntry>) -> News {
    News { entries, ..News::default() }
}

#[tokio::test]
async fn a_job_goes_all_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, phones(PHONE)).await;

    // The agent waits for news; the job wakes it.
    let waiting = agent.request(News { wait_ms: u64::MAX, ..News::default() });
    let (answer, job) = tokio::join!(post_sync(&daemon, &waiting), daemon.submit(&build, "custom"));
    let reply: SyncReply = serde_json::from_slice(&answer.bytes).unwrap();
    agent.hear(&reply);
    let (lease, work) = agent.begin(PHONE);
    assert_eq!(work.attempt.to_string(), format!("{job}.1"));
    assert_eq!(work.build.hash.to_string(), build);
    assert_eq!(work.cases[0].name.as_str(), "cold-launch");

    let progress = AttemptProgress {
        attempt: work.attempt,
        step: holdfast_wire::outcome::StepName::Run,
        percent: 40,
        note: "launch 2 of 5".to_owned(),
    };
    agent.say(&daemon, News { progress: vec![progress], ..News::default() }).await;
    let shown = daemon.job(&job).await;
    assert_eq!(shown["state"]["state"], "running");
    assert_eq!(shown["attempts"][0]["progress"]["percent"], 40);
    let phone = daemon.get(&format!("/api/v1/phones/{PHONE}")).await.json();
    assert_eq!(
        (&phone["state"]["state"], &phone["progress"]["note"]),
        (&json!("busy"), &json!("launch 2 of 5"))
    );

    let put = daemon.upload(Method::PUT, &format!("/agent/v1/blobs/{}", hash(CRASH)), CRASH.to_vec()).await;
    assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
    let said = [
        taken("e1", CRASH, PHONE, "r1", Some(work.attempt)),
        ended("e2", work.attempt, PHONE, lease, AttemptEnd::Passed),
    ];
    agent.held.clear();
    // Said twice: the answer to the first time was lost.
    for _ in 0..2 {
        let reply = agent.say(&daemon, entries(said.to_vec())).await;
        let confirmed: Vec<&str> = reply.confirmed.iter().map(|id| id.as_str()).collect();
        assert_eq!((confirmed, reply.refused.len()), (vec!["e1", "e2"], 0));
    }

    let done = daemon.job(&job).await;
    assert_eq!(done["state"]["outcome"]["outcome"], "passed");
    assert_eq!(done["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(done["attempts"][0]["crashes"], json!([hash(CRASH).to_string()]));
    assert_eq!(done["attempts"][0]["cases"][0]["launches"][0]["launch_ms"], 612);
    let crashes = daemon.get("/api/v1/crashes").await.json();
    assert_eq!(crashes["items"].as_array().unwrap().len(), 1);
    assert!(
        matches!(agent.orders.get(&PHONE.parse().unwrap()), Some(Order::Rest { through }) if *through == lease)
    );
}

#[tokio::test]
async fn a_restart_in_the_middle_keeps_the_lease_and_the_result_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, phones(PHONE)).await;
    let job = daemon.submit(&build, "custom").await;
    agent.say(&daemon, News::default()).await;
    let (lease, work) = agent.begin(PHONE);
    daemon.kill().await;
    agent.orders.clear();

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let reply = agent.say(&daemon, News::default()).await;
    assert_eq!(reply.daemon_start.as_str(), "d2");
    assert_eq!(reply.phones_seen.0, 0, "the new daemon asks for every phone anew");
    let (again, work_again) = agent.begin(PHONE);
    assert_eq!((again, work_again.attempt), (lease, work.attempt), "the same lease, not a new one");
    assert!(work_again.limit_ms <= work.limit_ms, "its time has gone on");
    agent.say(&daemon, phones(PHONE)).await;
    agent.held.clear();
    agent.say(&daemon, entries(vec![ended("e1", work.attempt, PHONE, lease, AttemptEnd::Passed)])).await;
    daemon.kill().await;

    let daemon = Daemon::on_disk(folder.path(), "d3").await;
    let reply =
        agent.say(&daemon, entries(vec![ended("e1", work.attempt, PHONE, lease, AttemptEnd::Passed)])).await;
    assert_eq!(reply.confirmed.len(), 1, "said again after a restart, it is confirmed again");
    let done = daemon.job(&job).await;
    assert_eq!(done["state"]["outcome"]["outcome"], "passed");
    assert_eq!(done["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(daemon.submit(&build, "idle").await, "J2", "numbers only grow");
    daemon.kill().await;
}

#[tokio::test]
async fn a_report_that_comes_after_the_job_was_taken_back_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, phones(PHONE)).await;
    let job = daemon.submit(&build, "custom").await;
    agent.say(&daemon, News::default()).await;
    let (lease, work) = agent.begin(PHONE);
    let cancelled = daemon.post(&format!("/api/v1/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json()["state"]["outcome"]["outcome"], "cancelled");

    // The phone is not given away before its rack has let go of it.
    let next = daemon.submit(&build, "custom").await;
    agent.say(&daemon, News::default()).await;
    assert!(
        matches!(agent.orders.get(&PHONE.parse().unwrap()), Some(Order::Rest { through }) if *through == lease)
    );
    assert_eq!(daemon.job(&next).await["state"]["state"], "queued");

    agent.held.clear();
    let reply =
        agent.say(&daemon, entries(vec![ended("e1", work.attempt, PHONE, lease, AttemptEnd::Passed)])).await;
    assert_eq!(reply.confirmed.len(), 1);
    assert_eq!(daemon.job(&job).await["state"]["outcome"]["outcome"], "cancelled");
    assert_eq!(daemon.job(&next).await["state"]["state"], "running");
}

#[tokio::test]
async fn what_cannot_be_taken_yet_does_not_hold_up_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let mut agent = Agent::new("r1");
    let unreadable = b"\xff\xfe nothing that a phone writes";
    daemon.upload(Method::PUT, &format!("/agent/v1/blobs/{}", hash(unreadable)), unreadable.to_vec()).await;
    let said = vec![taken("e1", CRASH, PHONE, "r1", None), taken("e2", unreadable, PHONE, "r1", None)];
    let reply = agent.say(&daemon, entries(said)).await;
    let confirmed: Vec<&str> = reply.confirmed.iter().map(|id| id.as_str()).collect();
    assert_eq!((confirmed, reply.refused.len()), (vec!["e2"], 0), "e1's bytes were never put");
    let crashes = daemon.get("/api/v1/crashes").await.json();
    assert_eq!(crashes["items"][0]["kind"], "unreadable");
    assert_eq!(daemon.get("/api/v1/racks").await.json()["items"][0]["online"], true);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let mut agent = Agent::new("r1");
    let first = agent.request(News::default());
    let mut newer = agent.request(News::default());
    assert_eq!(post_sync(&daemon, &newer).await.status, StatusCode::OK);
    let overtaken = post_sync(&daemon, &first).await;
    assert_eq!(
        (overtaken.status, &overtaken.json()["type"]),
        (StatusCode::CONFLICT, &json!("urn:holdfast:overtaken"))
    );

    newer.number += 1;
    newer.protocol += 1;
    let refused = post_sync(&daemon, &newer).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text().contains("protocol 3 and this daemon up to 2"), "{}", refused.text());

    let mut crowded = agent.request(News::default());
    crowded.phones = (0..257).map(|number| ready(&format!("P{number}"), "1-1")).collect();
    let refused = post_sync(&daemon, &crowded).await;
    assert_eq!(refused.json()["mistakes"][0]["place"], "phones");
    let other = daemon.upload(Method::PUT, &format!("/agent/v1/blobs/{}", hash(b"a")), b"b".to_vec()).await;
    assert_eq!(
        (other.status, &other.json()["type"]),
        (StatusCode::CONFLICT, &json!("urn:holdfast:other-bytes"))
    );
    let large = vec![0; (1 << 20) + 1];
    let large = daemon.upload(Method::PUT, &format!("/agent/v1/blobs/{}", hash(&large)), large.clone()).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", large.text());
}

#[tokio::test]
async fn a_phone_with_endless_lists_and_names_is_shown_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let mut agent = Agent::new("r1");
    let mut report = ready(PHONE, "1-1.4");
    report.facts.name = "é".repeat(100_000);
    report.facts.apps = (0..2_000)
        .map(|number| {
            let app = json!({ "bundle_id": format!("org.example.app-number-{number}"), "version": "1.0",
                "build_number": "1" });
            serde_json::from_value(app).unwrap()
        })
        .collect();
    let near = json!({ "bug_type": "309", "process": "Mooring", "waiting": 20, "limit": 25, "fullness": "urgent",
        "swallowed": 3, "refused": 1, "last_lost_at": "2026-11-21T03:30:00.000Z" });
    let endless = |number: usize| {
        let mut limit: CrashLimit = serde_json::from_value(near.clone()).unwrap();
        if number > 0 {
            limit.process = "é".repeat(10_000);
        }
        limit
    };
    report.facts.crash_limits = (0..500).map(endless).collect();
    agent.say(&daemon, News { phones: vec![report], ..News::default() }).await;
    let shown = daemon.get(&format!("/api/v1/phones/{PHONE}")).await.json();
    assert_eq!(shown["facts"]["apps"].as_array().unwrap().len(), 2_000);
    assert_eq!(shown["facts"]["crash_limits"].as_array().unwrap().len(), CRASH_LIMITS_MAX);
    daemon.kill().await;
    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let shown = daemon.get(&format!("/api/v1/phones/{PHONE}")).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(
        shown.json()["facts"]["crash_limits"][0],
        near,
        "what a phone lost is known while its rack is away"
    );
    daemon.kill().await;
}

#[tokio::test]
async fn a_waiting_agent_is_answered_when_the_daemon_stops() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News::default()).await;
    let waiting = agent.request(News { wait_ms: u64::MAX, ..News::default() });
    let stop = async {
        tokio::task::yield_now().await;
        daemon.app.stopping.cancel();
    };
    let answered =
        tokio::time::timeout(PATIENCE / 2, async { tokio::join!(post_sync(&daemon, &waiting), stop).0 });
    assert_eq!(answered.await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn how_a_case_has_gone_is_shown_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, phones(PHONE)).await;
    let never = daemon.get("/api/v1/cases").await.json();
    assert_eq!(never["items"][0]["stats"]["passed_percent"], json!(null), "never run");
    for failure in [None, Some("launch 1 of 5 crashed"), None] {
        daemon.submit(&build, "custom").await;
        agent.say(&daemon, News::default()).await;
        let (lease, work) = agent.begin(PHONE);
        agent.held.clear();
        let mut entry = ended("e1", work.attempt, PHONE, lease, AttemptEnd::Passed);
        entry.id = format!("e-{}", work.attempt.job).parse().unwrap();
        let OutboxItem::AttemptEnded { report } = &mut entry.what else { unreachable!() };
        report.cases[0].failure = failure.map(str::to_owned);
        // Said twice, it is counted once.
        let said = entries(vec![entry.clone()]);
        agent.say(&daemon, said).await;
        agent.say(&daemon, entries(vec![entry])).await;
    }
    let listed = daemon.get("/api/v1/cases").await.json();
    let case = &listed["items"][0];
    let mut stats = case["stats"].clone();
    let failures = stats["last_failures"].take();
    assert_eq!(
        (&case["name"], stats),
        (
            &json!("cold-launch"),
            json!({ "runs": 3, "passed": 2, "failed": 1, "flaky": 2, "passed_percent": 66, "failed_percent": 34,
                "flaky_percent": 67, "recent_runs": 3, "recent_failed": 1, "last_failures": null })
        )
    );
    assert_eq!(failures[0]["attempt"], "J2.1");
    assert_eq!(failures[0]["build"], json!(build));
    let page = daemon.get("/jobs/J3").await.text();
    assert!(page.contains("passed 66 % of 3 runs, flaky 67 %"), "{page}");
    daemon.kill().await;
    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    assert_eq!(daemon.get("/api/v1/cases").await.json(), listed);
    daemon.kill().await;
}

#[tokio::test]
async fn nobody_is_told_of_what_is_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Mortal::new(Arc::new(MemoryStore::new()), usize::MAX, End::BeforeCommit);
    let daemon = Daemon::over(store.clone(), folder.path(), "d1").await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, phones(PHONE)).await;
    let orders = daemon.app.farm.orders.follow(&agent.rack).borrow().version();
    let number = daemon.app.farm.snapshot().number;
    store.end_after(1);
    let request = json!({ "class": "custom", "build": build, "cases": ["cold-launch"] });
    let refused = daemon.post("/api/v1/jobs", &request).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    assert_eq!(daemon.app.farm.orders.follow(&agent.rack).borrow().version(), orders, "no order left");
    assert_eq!(daemon.app.farm.snapshot().number, number, "no picture shows it");
    let ended = tokio::time::timeout(PATIENCE, daemon.running).await.unwrap().unwrap();
    assert!(matches!(ended, Err(FarmError::Store(StoreError::Stopped { .. }))), "{ended:?}");
}
