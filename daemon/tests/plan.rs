//! What is foretold: plans, expected starts, the queue by class, and the warning that nothing can ever match.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use axum::http::StatusCode;
use serde_json::{Value, json};
use support::{Agent, Daemon, News, ready};

const LEFT: &str = "00008110-000A2D8E3C41801E";
const RIGHT: &str = "00008110-000A2D8E3C41802E";

/// A daemon with a build and two free phones on a rack.
async fn farm(folder: &std::path::Path) -> (Daemon, Agent, String) {
    let daemon = Daemon::in_memory(folder).await;
    let build = daemon.with_build().await;
    let mut agent = Agent::new("rack-1");
    let phones = vec![ready(LEFT, "1-1"), ready(RIGHT, "1-2")];
    agent.say(&daemon, News { phones, ..News::default() }).await;
    (daemon, agent, build)
}

fn request(build: &str, class: &str, more: &Value) -> Value {
    let mut request = json!({ "class": class, "build": build, "cases": ["cold-launch"] });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

async fn plan(daemon: &Daemon, request: &Value) -> Value {
    let answer = daemon.post("/api/v1/plan", request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_plan_says_what_would_happen_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _agent, build) = farm(folder.path()).await;
    let baseline = request(&build, "baseline", &json!({}));
    let now = plan(&daemon, &baseline).await;
    assert_eq!(now["would"]["answer"], "starts_now", "{now}");
    let phone = now["would"]["phones"][0].as_str().unwrap().to_owned();
    assert!([LEFT, RIGHT].contains(&phone.as_str()));
    // What was planned holds no phone: the same answer again, and then the truth is the plan.
    assert_eq!(plan(&daemon, &baseline).await["would"], now["would"]);
    assert_eq!(daemon.get("/api/v1/jobs").await.json()["items"], json!([]));
    let both = plan(&daemon, &request(&build, "baseline", &json!({ "phones": 2 }))).await;
    assert_eq!(both["would"]["phones"].as_array().unwrap().len(), 2, "{both}");

    let job = daemon.submit(&build, "baseline").await;
    assert_eq!(job, "J1", "plans take no numbers");
    assert_eq!(daemon.job(&job).await["attempts"][0]["phone"], phone);
    daemon.submit(&build, "baseline").await;
    let waits = plan(&daemon, &baseline).await;
    assert_eq!(
        (&waits["would"]["answer"], &waits["would"]["ahead"]),
        (&json!("waits"), &json!(0)),
        "{waits}"
    );
    assert_eq!(waits["phones"].as_array().unwrap().len(), 2, "{waits}");
    let eta = &waits["would"]["eta"];
    let at = |field: &str| eta[field].as_str().unwrap().to_owned();
    assert!(at("earliest") <= at("likely") && at("likely") <= at("latest"), "{eta}");
}

#[tokio::test]
async fn a_plan_names_the_work_that_would_give_way() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _agent, build) = farm(folder.path()).await;
    for _phone in [LEFT, RIGHT] {
        daemon.submit(&build, "idle").await;
    }
    let waits = plan(&daemon, &request(&build, "baseline", &json!({}))).await;
    assert_eq!(waits["would"]["answer"], "waits", "{waits}");
    let preempted = &waits["preempts"][0];
    assert_eq!((&preempted["class"], &preempted["when"]), (&json!("idle"), &json!("case_done")), "{waits}");
    for id in ["J1", "J2"] {
        assert_eq!(daemon.job(id).await["state"]["state"], "running", "nothing has given way yet");
    }
}

#[tokio::test]
async fn what_can_never_match_is_said_at_submission_and_in_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _agent, build) = farm(folder.path()).await;
    let later = json!([{ "after_s": 60, "expression": "os >= 18" }]);
    let hopeless = [
        (json!({ "requirements": { "models": ["iPhone 12"] } }), "the job wants model iPhone 12"),
        (json!({ "requirements": { "expression": "os >= 17" } }), "no phone of the farm fits"),
        (json!({ "phones": 3 }), "it needs 3 phones at once, and 2 fit"),
        (
            json!({ "requirements": { "expression": "os >= 17", "fallbacks": later } }),
            "no phone of the farm fits",
        ),
    ];
    for (wants, why) in hopeless {
        let request = request(&build, "baseline", &wants);
        let planned = plan(&daemon, &request).await;
        assert_eq!(planned["would"]["answer"], "never", "{request} {planned}");
        assert!(planned["would"]["why"].as_str().unwrap().contains(why), "{planned}");
        let job = daemon.post("/api/v1/jobs", &request).await;
        assert_eq!(job.status, StatusCode::CREATED, "it is taken all the same: a phone may come");
        let warning = job.json()["warning"].as_str().unwrap().to_owned();
        assert!(warning.starts_with("nothing here can ever match: ") && warning.contains(why), "{warning}");
        let id = job.json()["id"].as_str().unwrap().to_owned();
        let explained = daemon.get(&format!("/api/v1/jobs/{id}/explain")).await.json();
        assert_eq!(explained["rules"][0]["rule"]["rule"], "never_fits", "{explained}");
        assert_eq!(daemon.job(&id).await.get("warning"), None, "it is told once");
    }
}

#[tokio::test]
async fn a_fallback_that_will_do_is_hope() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _agent, build) = farm(folder.path()).await;
    let fallbacks = json!([{ "after_s": 60, "expression": "any" }]);
    let wants = json!({ "requirements": { "expression": "os >= 17", "fallbacks": fallbacks } });
    let request = request(&build, "baseline", &wants);
    assert_eq!(plan(&daemon, &request).await["would"]["answer"], "waits");
    let job = daemon.post("/api/v1/jobs", &request).await.json();
    assert_eq!((job.get("warning"), &job["state"]["state"]), (None, &json!("queued")));
    let id = job["id"].as_str().unwrap();
    let explained = daemon.get(&format!("/api/v1/jobs/{id}/explain")).await.json();
    let rules: Vec<_> =
        explained["rules"].as_array().unwrap().iter().map(|rule| &rule["rule"]["rule"]).collect();
    assert!(rules.contains(&&json!("fallback")) && !rules.contains(&&json!("never_fits")), "{explained}");
}

#[tokio::test]
async fn an_expected_start_is_told_while_a_job_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _agent, build) = farm(folder.path()).await;
    for _phone in [LEFT, RIGHT] {
        daemon.submit(&build, "baseline").await;
    }
    let waiting = daemon.submit(&build, "baseline").await;
    let told = daemon.get(&format!("/api/v1/jobs/{waiting}/eta")).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text());
    let (told, described) = (told.json(), daemon.job(&waiting).await);
    assert_eq!((&told["job"], told["waiting"].is_string()), (&json!(waiting), true));
    assert!(
        told["eta"]["likely"].is_string() && described["eta"]["likely"].is_string(),
        "{told} {described}"
    );
    assert_eq!(daemon.get("/api/v1/jobs").await.json()["items"][2].get("eta"), None, "lists tell none");

    let running = daemon.get("/api/v1/jobs/J1/eta").await;
    assert_eq!(running.status, StatusCode::CONFLICT);
    assert!(running.json()["detail"].as_str().unwrap().starts_with("J1 does not wait: it runs on phone "));
    assert_eq!(daemon.get("/api/v1/jobs/J9/eta").await.status, StatusCode::NOT_FOUND);
    let unknown = json!({ "class": "baseline", "build": build, "cases": ["no"] });
    let mistaken = daemon.post("/api/v1/plan", &unknown).await;
    assert_eq!(mistaken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(mistaken.json()["mistakes"][0]["place"], "cases[0]");
}

#[tokio::test]
async fn the_queue_is_shown_by_class_with_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _agent, build) = farm(folder.path()).await;
    for class in ["baseline", "baseline", "idle", "custom", "baseline"] {
        daemon.submit(&build, class).await;
    }
    let queue = daemon.get("/api/v1/queue").await;
    assert_eq!(queue.status, StatusCode::OK, "{}", queue.text());
    let queue = queue.json();
    let shown: Vec<Value> = queue["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|class| {
            let jobs: Vec<&Value> = class["next"].as_array().unwrap().iter().map(|job| &job["job"]).collect();
            json!([class["class"], class["waiting"], class["running"], jobs])
        })
        .collect();
    let expected = [
        json!(["crash", 0, 0, []]),
        json!(["baseline", 1, 2, ["J5"]]),
        json!(["custom", 1, 0, ["J4"]]),
        json!(["special", 0, 0, []]),
        json!(["idle", 1, 0, ["J3"]]),
    ];
    assert_eq!(shown, expected);
    let idle = &queue["classes"][4];
    assert_eq!(idle["oldest"], idle["next"][0]["submitted_at"]);
    assert!(idle["next"][0]["waiting"].is_string() && idle["next"][0]["eta"]["latest"].is_string(), "{idle}");
    let one = daemon.get("/api/v1/queue?class=custom").await.json();
    assert_eq!(one["classes"].as_array().unwrap().len(), 1);
    assert_eq!(one["classes"][0]["next"][0]["job"], "J4");
    assert_eq!(daemon.get("/api/v1/queue?class=bad").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}
