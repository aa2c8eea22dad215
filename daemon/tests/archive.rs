//! Jobs that are over leave the records that are read at the start, and are found all the same: after a restart and
//! after an upgrade.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::path::Path;

use holdfast_store::codec::{Kind, encode};
use holdfast_store::{Key, MemoryStore, Op, SledStore, Store};
use holdfast_wire::outcome::AttemptEnd;
use serde_json::json;
use support::{Agent, Daemon, News, ended, ready};

const PHONE: &str = "P1";

async fn keys(store: &impl Store, kind: &'static str) -> Vec<Key> {
    let page = store.scan_prefix(&Kind::new(kind).prefix(), None, 1_000).await.unwrap();
    page.entries.into_iter().map(|entry| entry.key).collect()
}

/// The store of a daemon that is about to let go of it.
async fn opened(folder: &Path) -> SledStore {
    loop {
        match SledStore::open(folder.join("store")).await {
            Ok(store) => break store,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_job_that_is_over_is_found_after_a_restart_and_its_number_is_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready(PHONE, "1-1")], ..News::default() }).await;
    let job = daemon.submit(&build, "custom").await;
    agent.say(&daemon, News::default()).await;
    let (lease, work) = agent.begin(PHONE);
    agent.held.clear();
    let entry = ended("e1", work.attempt, PHONE, lease, AttemptEnd::Passed);
    agent.say(&daemon, News { entries: vec![entry], ..News::default() }).await;
    let before = daemon.job(&job).await;
    assert_eq!(before["state"]["outcome"]["outcome"], "passed", "{before}");
    daemon.kill().await;

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    assert_eq!(daemon.job(&job).await, before, "with what its cases showed");
    let listed = daemon.get("/api/v1/jobs?state=ended").await.json();
    assert_eq!(listed["items"][0]["id"], json!(job));
    assert_eq!(daemon.submit(&build, "custom").await, "J2");
    daemon.kill().await;
    let store = opened(folder.path()).await;
    let number = |kind, number| Kind::new(kind).number(number);
    assert_eq!(
        (keys(&store, "job").await, keys(&store, "waiting").await),
        (vec![], vec![number("waiting", 0)])
    );
    assert_eq!(keys(&store, "ended").await, [number("ended", 1)]);
    assert_eq!(keys(&store, "ended-at").await.len(), 1);
    assert_eq!(keys(&store, "spec").await.len(), 1, "both share what they ask for");
}

#[tokio::test]
async fn jobs_of_the_first_version_move_into_the_archive_or_go_on() {
    let spec = json!({
        "class": "idle", "cases": [], "requirements": {}, "priority": 0, "owner": "team-a", "start_by": null,
        "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": "1",
            "build_number": "1", "uuids": [], "minimum_os": null },
    });
    let record = |id: &str, state: serde_json::Value| {
        let job = json!({ "id": id, "spec": spec, "submitted_at": "2026-11-21T03:30:46.120Z", "state": state,
            "attempts": [] });
        encode(1, &job).unwrap()
    };
    let over =
        json!({ "state": "ended", "outcome": { "outcome": "cancelled" }, "at": "2026-11-21T03:31:00.000Z" });
    let store = MemoryStore::new();
    let ops = vec![
        Op::put(Kind::new("job").number(1), record("J1", json!({ "state": "queued" }))),
        Op::put(Kind::new("job").number(2), record("J2", over)),
    ];
    store.commit(Vec::new(), ops).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::over(store, folder.path(), "d1").await;
    let listed = daemon.get("/api/v1/jobs?owner=team-a").await.json();
    let states: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|job| (&job["id"], &job["state"]["state"])).collect();
    assert_eq!(states, [(&json!("J1"), &json!("queued")), (&json!("J2"), &json!("ended"))]);
    assert_eq!(daemon.get("/api/v1/jobs?owner=team-b").await.json()["items"], json!([]));
    let build = daemon.with_build().await;
    assert_eq!(daemon.submit(&build, "custom").await, "J3");
}

#[tokio::test]
async fn waiting_jobs_share_records_and_leave_them_when_they_begin_or_are_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    for number in 1..=40 {
        assert_eq!(daemon.submit(&build, "custom").await, format!("J{number}"));
    }
    daemon.post("/api/v1/jobs/J40/cancel", &json!({})).await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready(PHONE, "1-1")], ..News::default() }).await;
    let before = daemon.get("/api/v1/jobs?limit=200").await.json();
    daemon.kill().await;

    let store = opened(folder.path()).await;
    let number = |kind, number| Kind::new(kind).number(number);
    assert_eq!(keys(&store, "waiting").await, [number("waiting", 0), number("waiting", 1)]);
    let (key, in_batch) = (number("job", 1), store.get(&number("waiting", 0)).await.unwrap().unwrap());
    assert_eq!(keys(&store, "job").await, [key], "the one that runs");
    assert_eq!(String::from_utf8_lossy(&in_batch.value).matches("\"n\":").count(), 30, "2 to 31");
    store.close().await.unwrap();

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let states = |page: &serde_json::Value| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let jobs = page["items"].as_array().unwrap().iter();
        jobs.map(|job| (text(&job["id"]), text(&job["state"]["state"]))).collect()
    };
    let after = daemon.get("/api/v1/jobs?limit=200").await.json();
    assert_eq!((states(&after).len(), states(&after)), (40, states(&before)));
}

#[tokio::test]
async fn waiting_jobs_of_earlier_versions_move_into_shared_records() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    assert_eq!(daemon.submit(&build, "custom").await, "J1");
    daemon.kill().await;
    let store = opened(folder.path()).await;
    let spec = keys(&store, "spec").await.remove(0);
    let spec = Kind::new("spec").name_of(&spec).unwrap();
    let queued = json!({ "spec": spec, "class": "custom", "at": 1_795_000_000_000_i64, "priority": 3 });
    let old = |number| Op::put(Kind::new("job").number(number), encode(2, &queued).unwrap());
    let mut ops: Vec<Op> = (1..=1_200).map(old).collect();
    ops.push(Op::delete(Kind::new("waiting").number(0)));
    store.commit(Vec::new(), ops).await.unwrap();
    store.close().await.unwrap();

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let described = daemon.job("J1200").await;
    assert_eq!((&described["spec"]["priority"], &described["state"]["state"]), (&json!(3), &json!("queued")));
    assert_eq!(daemon.submit(&build, "custom").await, "J1201");
    daemon.kill().await;
    let store = opened(folder.path()).await;
    assert_eq!(keys(&store, "job").await, []);
    assert_eq!(keys(&store, "waiting").await.len(), 1_201 / 32 + 1);
}

#[tokio::test]
async fn the_same_work_is_done_once_when_that_is_wanted_and_operators_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let request = |once: bool, priority: i32| json!({ "class": "custom", "build": build, "cases": ["cold-launch"], "priority": priority, "once": once });
    let ask = async |once, priority| {
        daemon.post("/api/v1/jobs", &request(once, priority)).await.json()["id"].clone()
    };
    assert_eq!(ask(true, 0).await, "J1");
    assert_eq!(ask(true, 5).await, "J1", "how urgent it is does not make it other work");
    assert_eq!(ask(false, 0).await, "J2");
    daemon.post("/api/v1/jobs/J1/cancel", &json!({})).await;
    assert_eq!(ask(true, 0).await, "J3", "a cancelled job answers for nobody");

    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready(PHONE, "1-1")], ..News::default() }).await;
    let path = |act| format!("/api/v1/phones/{PHONE}/{act}");
    let taken = daemon
        .post(&path("take"), &json!({ "by": "ada", "reason": "to look", "for_s": 60, "now": true }))
        .await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    let released = daemon.post(&path("release"), &json!({ "by": "ada" })).await;
    assert_eq!(released.status, 200, "{}", released.text());
    let first = daemon.get("/api/v1/audit?limit=1").await.json();
    assert_eq!(
        (&first["items"][0]["act"]["act"], &first["items"][0]["by"]),
        (&json!("phone_released"), &json!("ada"))
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = daemon.get(&format!("/api/v1/audit?cursor={cursor}")).await.json();
    assert_eq!(
        (&second["items"][0]["act"]["act"], &second["next_cursor"]),
        (&json!("phone_taken"), &json!(null))
    );
}
