//! The rules while the daemon runs: the calendar's jobs, each exactly once whatever dies in between; phones and limits
//! that operators set beside the files. Reading the files again is in `program.rs`, mistakes in them are in `config.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use holdfast_scheduler::Policy;
use holdfast_store::codec::{Kind, Record};
use holdfast_store::{MemoryStore, Store};
use holdfast_wire::build::{Build, BuildIdentity, Origin};
use holdfast_wire::id::BuildHash;
use holdfast_wire::time::Time;
use holdfastd::clock::Clock;
use holdfastd::config::yaml::Source;
use holdfastd::config::{FarmConfig, cases, schedules};
use holdfastd::farm::{Ask, Farm, FarmError, Loop};
use serde_json::{Value, json};
use support::{Agent, Answer, Daemon, End, Mortal, News, PATIENCE, live_jobs, ready};
use tokio::task::JoinHandle;

const PHONE: &str = "00008110-000A2D8E3C41801E";

/// A farm whose calendar submits a job every second.
fn every_second(folder: &Path) -> FarmConfig {
    let case = "name: c\nowner: perf\nrun:\n  kind: launch\n  launches: 5\n";
    std::fs::write(folder.join("c.yaml"), case).unwrap();
    let catalogue = cases::read(folder).unwrap();
    let text = "schedules:\n  - name: tick\n    cron: \"* * * * * *\"\n    missed: run_all\n    job: {class: idle, build: \
                {branch: trunk}, cases: [c]}\n";
    let schedules = schedules::parse(&Source::of("s.yaml", text), Some(&catalogue)).unwrap();
    FarmConfig { catalogue, schedules, ..FarmConfig::from(Policy::with_pools(Vec::new())) }
}

async fn live(store: Mortal<MemoryStore>, config: FarmConfig) -> (Farm, JoinHandle<Result<(), FarmError>>) {
    let (farm_loop, farm) = Loop::restore(store, config, Arc::new(Clock::default())).await.unwrap();
    (farm, tokio::spawn(farm_loop.run()))
}

fn build() -> Build {
    let identity = BuildIdentity {
        hash: BuildHash::new([1; 32]),
        size_bytes: 1,
        bundle_id: "a.b".parse().unwrap(),
        executable: "A".to_owned(),
        version: "1".to_owned(),
        build_number: "1".to_owned(),
        uuids: Vec::new(),
        minimum_os: None,
    };
    let origin = Origin { branch: Some("trunk".to_owned()), ..Origin::default() };
    Build { identity, origin, uploaded_at: Time::from_unix_ms(1), symbols: None }
}

async fn entries(store: &MemoryStore, kind: &'static str) -> Vec<Value> {
    let page = store.scan_prefix(&Kind::new(kind).prefix(), None, 1_000).await.unwrap();
    page.entries
        .iter()
        .map(|entry| Record::open(&entry.key, &entry.value, u32::MAX).unwrap().read(&entry.key).unwrap())
        .collect()
}

/// A time of a record, whole seconds.
fn seconds(record: &Value, field: &str) -> i64 {
    let time = Time::try_from(record[field].as_str().unwrap().to_owned()).unwrap();
    time.as_unix_ms().div_euclid(1_000)
}

#[tokio::test]
async fn each_firing_submits_one_job_whatever_dies_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Arc::new(MemoryStore::new());
    let life = |commits, end| Mortal::new(kept.clone(), commits, end);
    // The first life only learns of the schedule and the build.
    let (farm, running) = live(life(usize::MAX, End::AfterCommit), every_second(folder.path())).await;
    let begun = seconds(&entries(&kept, "schedule").await[0], "served_until");
    let build = Box::new(build());
    farm.ask(|answer| Ask::Build { build, answer }).await.unwrap();
    running.abort();
    let _aborted = running.await;

    for (commits, end) in
        [(1, End::AfterCommit), (1, End::BeforeCommit), (2, End::AfterCommit), (2, End::BeforeCommit)]
    {
        let (farm, running) = live(life(commits, end), every_second(folder.path())).await;
        let died = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
        assert!(matches!(died, Err(FarmError::Store(_))), "{died:?}");
        drop(farm);
    }
    let (farm, running) = live(life(usize::MAX, End::AfterCommit), every_second(folder.path())).await;
    let before = live_jobs(&*kept).await.len();
    let mut follow = farm.follow();
    let more = follow.wait_for(|snapshot| snapshot.jobs.len() > before);
    drop(tokio::time::timeout(PATIENCE, more).await.unwrap().unwrap());
    running.abort();
    let _aborted = running.await;

    let record = &entries(&kept, "schedule").await[0];
    let firings = seconds(record, "last_fired") - begun;
    let jobs = live_jobs(&*kept).await;
    assert!(firings >= 4, "four lives and one more each served a firing: {record}");
    assert_eq!(i64::try_from(jobs.len()).unwrap(), firings, "one job for every second: {record}");
    assert_eq!(record["last_job"], json!(format!("J{}", jobs.last().unwrap())));
}

async fn send(daemon: &Daemon, method: Method, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    daemon.send(request.body(Body::from(body.to_string())).unwrap()).await
}

fn pools_of(pools: &Value) -> Vec<(String, Vec<bool>)> {
    let by_hand = |pool: &Value| {
        let phones = pool["phones"].as_array().unwrap().iter();
        phones.map(|phone| phone["by_hand"].as_bool().unwrap()).collect()
    };
    let pools = pools["items"].as_array().unwrap().iter();
    pools.map(|pool| (pool["name"].as_str().unwrap().to_owned(), by_hand(pool))).collect()
}

#[tokio::test]
async fn a_phone_stays_where_an_operator_put_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready(PHONE, "1-1.4")], ..News::default() }).await;
    let listed = pools_of(&daemon.get("/api/v1/pools").await.json());
    assert_eq!(listed, [("crash".to_owned(), vec![]), ("general".to_owned(), vec![false])]);

    let path = format!("/api/v1/phones/{PHONE}/pool");
    let put = send(&daemon, Method::PUT, &path, &json!({ "pool": "crash" })).await;
    let expected = json!({ "phone": PHONE, "pool": "crash", "by_hand": "crash", "by_file": "general" });
    assert_eq!((put.status, put.json()), (StatusCode::OK, expected));
    daemon.kill().await;

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let listed = pools_of(&daemon.get("/api/v1/pools").await.json());
    assert_eq!(listed, [("crash".to_owned(), vec![true]), ("general".to_owned(), vec![])], "after a restart");
    let phone = daemon.get(&format!("/api/v1/phones/{PHONE}")).await.json();
    assert_eq!(phone["pool"], "crash");
    let unknown = send(&daemon, Method::PUT, &path, &json!({ "pool": "lab" })).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        unknown.json()["mistakes"],
        json!([{ "place": "pool", "what": "there is no pool lab; there are: crash, general" }])
    );
    let nobody = send(&daemon, Method::PUT, "/api/v1/phones/none/pool", &json!({ "pool": "crash" })).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);

    let back = send(&daemon, Method::DELETE, &path, &Value::Null).await;
    let expected = json!({ "phone": PHONE, "pool": "general", "by_hand": null, "by_file": "general" });
    assert_eq!((back.status, back.json()), (StatusCode::OK, expected));
    daemon.kill().await;
    let daemon = Daemon::on_disk(folder.path(), "d3").await;
    assert_eq!(pools_of(&daemon.get("/api/v1/pools").await.json())[1].1, [false], "back for good");
    daemon.kill().await;
}

#[tokio::test]
async fn an_owners_limits_are_what_an_operator_said_last() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    for owner in [Some("video"), Some("video"), None] {
        let request = json!({ "class": "custom", "build": build, "cases": ["cold-launch"], "owner": owner });
        assert_eq!(daemon.post("/api/v1/jobs", &request).await.status, StatusCode::CREATED);
    }
    let path = "/api/v1/owners/video/limits";
    let wrong = send(&daemon, Method::PUT, path, &json!({ "weight": 0, "running_max": 0 })).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let places: Vec<Value> =
        wrong.json()["mistakes"].as_array().unwrap().iter().map(|mistake| mistake["place"].clone()).collect();
    assert_eq!(places, ["weight", "running_max"]);
    let put = send(&daemon, Method::PUT, path, &json!({ "weight": 3, "minutes_per_day": 600 })).await;
    let limited = json!({
        "owner": "video", "weight": 3, "running_max": null, "minutes_per_day": 600, "limits_from": "hand",
        "minutes_used_today": 0, "over_quota": false, "running": 0, "waiting": 2
    });
    assert_eq!((put.status, put.json()), (StatusCode::OK, limited.clone()));
    daemon.kill().await;

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let listed = daemon.get("/api/v1/owners").await.json();
    let nobody = json!({
        "owner": null, "weight": 1, "running_max": null, "minutes_per_day": null, "limits_from": "default",
        "minutes_used_today": null, "over_quota": false, "running": 0, "waiting": 1
    });
    assert_eq!(listed["items"], json!([nobody, limited]), "after a restart");
    let back = send(&daemon, Method::DELETE, path, &Value::Null).await.json();
    assert_eq!((&back["weight"], &back["limits_from"]), (&json!(1), &json!("default")));
    daemon.kill().await;
}

#[tokio::test]
async fn what_operators_change_is_noted_with_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready(PHONE, "1-1.4")], ..News::default() }).await;
    let pool = format!("/api/v1/phones/{PHONE}/pool");
    let limits = "/api/v1/owners/video/limits";
    let orders = [
        (Method::PUT, format!("{pool}?by=ada&reason=rush%20hour"), json!({ "pool": "crash" })),
        (Method::DELETE, format!("{pool}?by=bob"), Value::Null),
        (Method::PUT, format!("{limits}?by=ada"), json!({ "weight": 3 })),
        (Method::DELETE, limits.to_owned(), Value::Null),
    ];
    for (method, path, body) in orders {
        let done = send(&daemon, method, &path, &body).await;
        assert_eq!(done.status, StatusCode::OK, "{path}: {}", done.text());
    }
    let long =
        send(&daemon, Method::DELETE, &format!("{pool}?reason={}", "x".repeat(301)), &Value::Null).await;
    assert_eq!(long.status, StatusCode::UNPROCESSABLE_ENTITY, "and it is not done");
    daemon.kill().await;

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let audit = daemon.get("/api/v1/audit").await.json();
    let told: Vec<Value> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| json!([entry["number"], entry["by"], entry["reason"], entry["act"]]))
        .collect();
    let (weighty, usual) = (json!({ "weight": 3 }), json!({ "weight": 1 }));
    let expected = [
        json!([4, null, null, { "act": "limits_changed", "owner": "video", "limits": null, "before": weighty }]),
        json!([3, "ada", null, { "act": "limits_changed", "owner": "video", "limits": weighty, "before": usual }]),
        json!([2, "bob", null, { "act": "pool_chosen", "phone": PHONE, "pool": null, "before": "crash" }]),
        json!([1, "ada", "rush hour", { "act": "pool_chosen", "phone": PHONE, "pool": "crash", "before": null }]),
    ];
    assert_eq!(told, expected);
    daemon.kill().await;
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let run = send(&daemon, Method::POST, "/api/v1/schedules/nightly/run", &Value::Null).await;
    assert_eq!(run.status, StatusCode::NOT_FOUND);
    let reload = send(&daemon, Method::POST, "/api/v1/config/reload", &Value::Null).await;
    assert_eq!(
        (reload.status, reload.json()["type"].as_str()),
        (StatusCode::CONFLICT, Some("urn:holdfast:no-files"))
    );
    assert_eq!(daemon.get("/api/v1/schedules").await.json()["items"], json!([]));
    daemon.kill().await;
}

#[tokio::test]
async fn a_phone_that_is_moved_takes_the_work_of_its_new_pool() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready(PHONE, "1-1.4")], ..News::default() }).await;
    let job = daemon.submit(&build, "crash").await;
    assert_eq!(daemon.job(&job).await["state"]["state"], "queued", "the general pool serves no crash jobs");
    let path = format!("/api/v1/phones/{PHONE}/pool");
    let put = send(&daemon, Method::PUT, &path, &json!({ "pool": "crash" })).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.text());
    assert_eq!(daemon.job(&job).await["state"]["state"], "running");
    agent.say(&daemon, News::default()).await;
    let (_, work) = agent.begin(PHONE);
    assert_eq!(work.attempt.to_string(), format!("{job}.1"));
    daemon.kill().await;
}
