//! People's and programs' side of the API, through the router: shapes of answers, refusals, lists that do not shift,
//! the change stream. What agents say is in `agents.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures_util::StreamExt;
use serde_json::{Value, json};
use support::{Agent, Answer, Daemon, News, PATIENCE, ready, sample};

/// A refusal must be a problem of its status, and is read by a person in its snapshot.
fn problem(answer: &Answer, status: StatusCode) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], status.as_u16());
    problem
}

#[tokio::test]
async fn a_build_is_uploaded_once_and_found_by_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let hash = daemon.with_build().await;
    let again = daemon.upload(Method::POST, "/api/v1/builds?commit=other", sample("mooring-141.ipa")).await;
    assert_eq!((again.status, again.json()["origin"]["commit"].as_str()), (StatusCode::OK, Some("4f2a9c1")));
    let symbols = sample("mooring-141.dSYM.zip");
    let symbols = daemon.upload(Method::PUT, &format!("/api/v1/builds/{hash}/symbols"), symbols).await;
    assert_eq!(symbols.status, StatusCode::OK, "{}", symbols.text());
    let found = daemon.get(&format!("/api/v1/builds/{}", &hash[..12])).await;
    insta::assert_json_snapshot!("build", found.json(), { ".uploaded_at" => "[time]" });
    assert_eq!(daemon.get("/api/v1/builds").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_build_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let hash = daemon.with_build().await;
    let text = daemon.upload(Method::POST, "/api/v1/builds", b"not an archive".to_vec()).await;
    let announced = format!("/api/v1/builds?hash={}", "00".repeat(32));
    let other = daemon.upload(Method::POST, &announced, sample("mooring-140.ipa")).await;
    let symbols = sample("mooring-140.dSYM.zip");
    let symbols = daemon.upload(Method::PUT, &format!("/api/v1/builds/{hash}/symbols"), symbols).await;
    let query = daemon.upload(Method::POST, "/api/v1/builds?comit=1", Vec::new()).await;
    insta::assert_json_snapshot!(
        "build_refusals",
        [
            problem(&text, StatusCode::UNPROCESSABLE_ENTITY),
            problem(&other, StatusCode::CONFLICT),
            problem(&symbols, StatusCode::UNPROCESSABLE_ENTITY),
            problem(&query, StatusCode::UNPROCESSABLE_ENTITY),
            problem(&daemon.get("/api/v1/builds/0000000000").await, StatusCode::NOT_FOUND),
            problem(&daemon.get("/api/v1/builds/00").await, StatusCode::UNPROCESSABLE_ENTITY),
        ]
    );
    assert_eq!(daemon.get("/api/v1/builds").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_submission_that_is_sent_twice_is_one_job() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    let body = |class: &str| json!({ "class": class, "build": build, "cases": ["cold-launch"] }).to_string();
    let key = [("idempotency-key", "ci-7781")];
    let first = daemon.post_with("/api/v1/jobs", &key, body("baseline")).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    insta::assert_json_snapshot!("job", first.json(), { ".submitted_at" => "[time]" });
    daemon.kill().await;

    // The key outlives the process.
    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let second = daemon.post_with("/api/v1/jobs", &key, body("baseline")).await;
    assert_eq!((second.status, &second.json()["id"]), (StatusCode::OK, &first.json()["id"]));
    let other = daemon.post_with("/api/v1/jobs", &key, body("idle")).await;
    insta::assert_json_snapshot!("key_reused", problem(&other, StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(daemon.get("/api/v1/jobs").await.json()["items"].as_array().unwrap().len(), 1);
    daemon.kill().await;
}

#[tokio::test]
async fn every_mistake_of_a_job_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let many = json!({
        "class": "custom", "build": "00".repeat(32), "cases": ["cold-lunch"],
        "inline_cases": [{ "name": "mine", "owner": "me", "run": { "kind": "launch", "launches": 0 } }],
        "requirements": { "os_min": "17", "os_max": "16", "fallbacks": [{ "after_s": 60, "expression": "any" }] },
        "start_by": "2020-01-01T00:00:00Z"
    });
    let table = [
        many.to_string(),
        "{\n  \"class\": \"custom\",\n".to_owned(),
        "{\n  \"class\": \"urgent\"\n}".to_owned(),
        json!({ "class": "idle", "build": "00".repeat(32), "requirements": { "os_min": "new" } }).to_string(),
        json!({ "class": "idle", "build": "00".repeat(32), "requirements": { "expression": "model = iPhone 13" } })
            .to_string(),
        json!({ "class": 7, "build": "00", "prio": 1, "priority": "high" }).to_string(),
        json!({ "class": "idle" }).to_string(),
        "[]".to_owned(),
    ];
    let mut told = Vec::new();
    for body in table {
        let answer = daemon.post_with("/api/v1/jobs", &[], body).await;
        told.push(problem(&answer, StatusCode::UNPROCESSABLE_ENTITY)["mistakes"].clone());
    }
    insta::assert_json_snapshot!("job_mistakes", told, { "[][].what" => insta::dynamic_redaction(|what, _| {
        // The daemon's clock is in the words.
        let text = what.as_str().unwrap_or_default().to_owned();
        text.split_once("; it is 2").map_or(text.clone(), |(before, _)| format!("{before}; it is [now]"))
    }) });
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let large = format!("\"{}\"", "x".repeat(300 * 1024));
    let delete = Request::delete("/api/v1/jobs").body(Body::empty()).unwrap();
    insta::assert_json_snapshot!(
        "refusals",
        [
            problem(&daemon.get("/api/v1/job").await, StatusCode::NOT_FOUND),
            problem(&daemon.get("/api/v1/jobs/J7").await, StatusCode::NOT_FOUND),
            problem(&daemon.get("/api/v1/jobs/7").await, StatusCode::UNPROCESSABLE_ENTITY),
            problem(&daemon.get("/api/v1/jobs?cursor=x").await, StatusCode::UNPROCESSABLE_ENTITY),
            problem(&daemon.get("/api/v1/jobs?limit=0").await, StatusCode::UNPROCESSABLE_ENTITY),
            problem(&daemon.send(delete).await, StatusCode::METHOD_NOT_ALLOWED),
            problem(&daemon.post_with("/api/v1/jobs", &[], large).await, StatusCode::PAYLOAD_TOO_LARGE),
            problem(&daemon.get("/api/v1/jobs/J7/explain").await, StatusCode::NOT_FOUND),
            problem(&daemon.get("/api/v1/phones/none").await, StatusCode::NOT_FOUND),
            problem(&daemon.get("/api/v1/crashes/0000/page").await, StatusCode::NOT_FOUND),
        ]
    );
}

#[tokio::test]
async fn a_list_does_not_shift_while_jobs_come_and_change() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let mut submitted = BTreeSet::new();
    for class in ["idle", "custom", "baseline", "idle", "crash"] {
        submitted.insert(daemon.submit(&build, class).await);
    }
    let first = daemon.get("/api/v1/jobs?limit=2").await.json();
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ["J5", "J3"], "crash before baseline");
    // One goes to the front, one that is still to be listed moves to the end.
    daemon.submit(&build, "crash").await;
    daemon.post("/api/v1/jobs/J2/cancel", &json!({})).await;
    let (mut seen, mut page) = (ids(&first), first);
    while let Some(cursor) = page["next_cursor"].as_str() {
        page = daemon.get(&format!("/api/v1/jobs?limit=2&cursor={cursor}")).await.json();
        seen.extend(ids(&page));
    }
    assert_eq!(seen.len(), submitted.len(), "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), submitted);
    let ended = daemon.get("/api/v1/jobs?state=ended").await.json();
    assert_eq!(ids(&ended), ["J2"]);
    let idle = daemon.get("/api/v1/jobs?class=idle&state=queued").await.json();
    assert_eq!(ids(&idle), ["J1", "J4"], "the older goes first");
}

#[tokio::test]
async fn a_waiting_job_says_why_phone_by_phone() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent
        .say(&daemon, News { phones: vec![ready("P1", "1-1"), ready("P2", "1-2")], ..News::default() })
        .await;
    let request = json!({ "class": "custom", "build": build, "cases": ["cold-launch"],
        "requirements": { "os_min": "17" } });
    let job = daemon.post("/api/v1/jobs", &request).await.json();
    let explained = daemon.get(&format!("/api/v1/jobs/{}/explain", job["id"].as_str().unwrap())).await;
    insta::assert_json_snapshot!("explanation", explained.json(), { ".rules[].until" => "[time]" });
    assert_eq!(job["waiting"], explained.json()["summary"]);
    let phone = daemon.get("/api/v1/phones/P1").await.json();
    insta::assert_json_snapshot!("phone", phone, { ".since" => "[time]" });
    let racks = daemon.get("/api/v1/racks").await.json();
    insta::assert_json_snapshot!("racks", racks, { ".items[].last_heard" => "[time]" });
}

#[tokio::test]
async fn a_phone_is_kept_from_work_and_let_back() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready("P1", "1-1")], ..News::default() }).await;
    let kept =
        daemon.post("/api/v1/phones/P1/quarantine", &json!({ "reason": "swollen battery" })).await.json();
    assert_eq!(
        (&kept["state"]["state"], &kept["reason"]),
        (&json!("quarantined"), &json!("swollen battery"))
    );
    let job = daemon.submit(&build, "custom").await;
    assert_eq!(daemon.job(&job).await["state"]["state"], "queued");
    daemon.post("/api/v1/phones/P1/release", &json!({})).await;
    assert_eq!(daemon.job(&job).await["state"]["state"], "running");
    let nameless = daemon.post("/api/v1/phones/P1/quarantine", &json!({ "reason": " " })).await;
    assert_eq!(problem(&nameless, StatusCode::UNPROCESSABLE_ENTITY)["mistakes"][0]["place"], "reason");
}

/// The first events of the stream, as text.
async fn stream(daemon: &Daemon, last: Option<&str>, events: usize) -> Vec<String> {
    let mut request = Request::get("/api/v1/changes");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = tower::ServiceExt::oneshot(daemon.router.clone(), request.body(Body::empty()).unwrap());
    let mut body = response.await.unwrap().into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("\n\n").count() < events {
        let chunk = tokio::time::timeout(PATIENCE, body.next()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text.split_terminator("\n\n").map(str::to_owned).collect()
}

#[tokio::test]
async fn a_reader_of_changes_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    let job = daemon.submit(&build, "custom").await;
    let replayed = stream(&daemon, Some("d1-0"), 2).await;
    assert!(
        replayed[0].contains(&format!("\"hash\":\"{build}\"")) && replayed[0].contains("id: d1-1"),
        "{replayed:?}"
    );
    assert!(
        replayed[1].contains(&format!("\"id\":\"{job}\"")) && replayed[1].contains("id: d1-2"),
        "{replayed:?}"
    );
    let (live, _) = tokio::join!(stream(&daemon, Some("d1-2"), 1), daemon.submit(&build, "idle"));
    assert!(live[0].contains("J2"), "{live:?}");
    for lost in ["d0-1", "d1-999", "nonsense"] {
        let told = stream(&daemon, Some(lost), 1).await;
        assert!(told[0].contains("event: reset"), "{lost}: {told:?}");
    }
}

#[tokio::test]
async fn the_document_lists_every_route_and_what_came_from_phones_cannot_run() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let document = daemon.get("/api/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let routes: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    insta::assert_json_snapshot!("routes", routes);

    let bytes = include_bytes!("../crash/fixtures/watchdog_launch.ips");
    let id = support::hash(bytes);
    daemon.upload(Method::PUT, &format!("/agent/v1/blobs/{id}"), bytes.to_vec()).await;
    let entry = support::taken("e1", bytes, "P1", "r1", None);
    Agent::new("r1").say(&daemon, News { entries: vec![entry], ..News::default() }).await;
    let raw = daemon.get(&format!("/api/v1/crashes/{}/raw", id.short())).await;
    assert_eq!(raw.bytes, bytes);
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
    assert_eq!(
        (raw.header("content-disposition"), raw.header("content-security-policy")),
        ("attachment", "sandbox")
    );
    let text = daemon.get(&format!("/api/v1/crashes/{id}/page")).await;
    assert!(text.text().contains("0x8badf00d"), "{}", text.text());
    let apples = daemon.get(&format!("/api/v1/crashes/{id}/text")).await.text();
    assert!(apples.contains("Triggered by Thread:  0\n\nThread 0 name:"), "{apples}");
    let whole = daemon.get(&format!("/api/v1/crashes/{id}")).await.json();
    insta::assert_json_snapshot!("crash", whole["crash"]);
    assert_eq!(whole["report"]["process"], "Chat");
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    daemon.submit(&build, "crash").await;
    let mut agent = Agent::new("r1");
    agent.say(&daemon, News { phones: vec![ready("P1", "1-1")], ..News::default() }).await;
    assert_eq!(daemon.get("/healthz").await.text(), "ok\n");
    assert_eq!(daemon.get("/readyz").await.text(), "ready\n");
    let text = daemon.get("/metrics").await.text();
    for line in [
        "holdfast_phones{state=\"ready\",pool=\"general\",rack=\"r1\"} 1",
        "holdfast_phone_battery_ratio{phone=\"P1\"} 0.8",
        "holdfast_queue_jobs{class=\"crash\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    daemon.running.abort();
    assert!(daemon.running.await.unwrap_err().is_cancelled());
    let stopped = Request::get("/readyz").body(Body::empty()).unwrap();
    let stopped = tower::ServiceExt::oneshot(daemon.router.clone(), stopped).await.unwrap();
    assert_eq!(stopped.status(), StatusCode::SERVICE_UNAVAILABLE);
}
