//! A phone goes on with the job that was staged on it while the daemon is dead: no round trip lies between the two. The
//! daemon that comes back takes in both ends, and nothing ran twice.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::time::Duration;

use holdfast_system::api::Api;
use holdfast_system::control::PhoneEvent;
use holdfast_system::farm::{Farm, Plan, sample};
use holdfast_wire::api::{JobRequest, JobView};
use holdfast_wire::build::Build;
use holdfast_wire::job::{JobClass, JobOutcome, JobState};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// How long a step of the farm may take on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at a condition: shorter than what is left of an attempt when the next one is staged.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long an app stays open: long enough that the farm is seen between two steps.
const STAY_MS: u64 = 4_000;

#[tokio::test]
async fn what_is_staged_begins_while_the_daemon_is_dead() {
    let mut farm = Farm::start(&Plan { crash_phones: 0, ..Plan::of(1) }).await.unwrap();
    let build = upload(&farm.api, "mooring-140").await;
    let other = upload(&farm.api, "mooring-141").await;
    // The first shows how long such jobs take.
    let first = submit(&farm.api, &build, "first").await;
    ended(&farm.api, &first).await;
    let second = submit(&farm.api, &build, "second").await;
    let third = submit(&farm.api, &other, "third").await;

    wait_for("the third job to be staged", async || {
        let job = farm.api.job(third.id).await.ok()?;
        job.waiting.is_some_and(|why| why.starts_with("next on phone")).then_some(())
    })
    .await;
    let staged_on = launches(&farm).await;
    assert!(!staged_on.contains(&third.id.to_string()), "it has not begun: {staged_on:?}");
    wait_for("its build to be on the rack", async || {
        (builds(&farm.folder().join("agent")) == 2).then_some(())
    })
    .await;
    farm.daemon.kill().await.unwrap();
    wait_for("the third job to begin with the daemon dead", async || {
        launches(&farm).await.contains(&third.id.to_string()).then_some(())
    })
    .await;
    assert!(!farm.daemon.is_running().unwrap(), "nobody ordered it to begin just then");

    farm.restart_daemon().await.unwrap();
    for job in [&second, &third] {
        let job = ended(&farm.api, job).await;
        assert_eq!(job.attempts.len(), 1, "{} was tried once: {:?}", job.id, job.attempts);
    }
    let all = [&first, &second, &third].map(|job| job.id.to_string());
    assert_eq!(launches(&farm).await, all, "each was launched once, in this order");
    farm.stop().await.unwrap();
}

async fn upload(api: &Api, name: &str) -> Build {
    let (archive, symbols) = (sample(&format!("{name}.ipa")), sample(&format!("{name}.dSYM.zip")));
    api.upload(&archive, &symbols, &[("branch", "trunk")]).await.unwrap()
}

/// Builds that the agent has fetched: it keeps each as an archive of its own.
fn builds(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let counts = entries.flatten().map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            builds(&path)
        } else {
            usize::from(path.extension().is_some_and(|end| end == "ipa"))
        }
    });
    counts.sum()
}

async fn submit(api: &Api, build: &Build, key: &str) -> JobView {
    let case = json!({
        "name": "one-launch",
        "owner": "farm",
        "run": { "kind": "launch", "launches": 1, "stay_ms": STAY_MS, "launch_timeout_ms": 20_000 },
    });
    let request = JobRequest {
        inline_cases: vec![serde_json::from_value(case).unwrap()],
        ..JobRequest::plain(JobClass::Custom, build.identity.hash)
    };
    api.submit(&request, key).await.unwrap()
}

async fn ended(api: &Api, job: &JobView) -> JobView {
    wait_for("the end of a job", async || {
        let job = api.job(job.id).await.ok()?;
        match &job.state {
            JobState::Ended { outcome, .. } => {
                assert_eq!(*outcome, JobOutcome::Passed, "{}", job.id);
                Some(job)
            }
            JobState::Queued | JobState::Running { .. } => None,
        }
    })
    .await
}

/// The jobs whose app was launched on the phone, in order.
async fn launches(farm: &Farm) -> Vec<String> {
    let udid = farm.control.udids().await.unwrap().remove(0);
    let entries = farm.control.events_after(&udid, 0).await.unwrap();
    let launched = entries.into_iter().filter_map(|entry| match entry.event {
        PhoneEvent::Launched { environment, .. } => environment.get("HOLDFAST_ATTEMPT").cloned(),
        _ => None,
    });
    launched.map(|attempt| attempt.split('.').next().unwrap_or_default().to_owned()).collect()
}

async fn wait_for<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let limit = Instant::now() + STEP_LIMIT;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < limit, "{what} did not come in time");
        sleep(LOOK_EVERY).await;
    }
}
