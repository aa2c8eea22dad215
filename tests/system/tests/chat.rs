//! A crash at launch whose report the phone writes late is in the chat as soon as the report is there: one message,
//! with everything that its author needs. How long that takes when reports are as late as on real phones is measured by
//! `scripts/bench chat`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::time::Duration;

use holdfast_system::chat::delay::{AUTHOR_ID, CASE, COMMIT, Stage, measure};
use holdfast_system::control::PhoneEvent;
use serde_json::json;

/// Late enough that the next launch is over before, and that nothing waits for the report any more.
const LATE: Duration = Duration::from_secs(7);

/// How late a message may be on a machine on which all other tests run too.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_crash_whose_report_comes_late_is_told_once_with_all_that_its_author_needs() {
    let stage = Stage::start(1).await.unwrap();
    let ends = json!({ "how": "signal", "after_ms": 400, "signal": "segv", "function": "Feed_decodeCell" });
    // Three deaths of one cause: three reports, one message.
    stage.crash(&[vec![ends; 3]], LATE).await.unwrap();
    let heard = stage.robot.told(1, LIMIT).await.unwrap().remove(0);
    for part in [
        "Mooring: Feed_decodeCell",
        &stage.build.identity.hash.to_string()[..12],
        &COMMIT[..12],
        &format!("<at id={AUTHOR_ID}></at>"),
        CASE,
        "1 crash, 1 build, 1 phone",
        "Feed.c:",
    ] {
        assert!(heard.text.contains(part), "{part} is missing: {heard:?}");
    }
    assert!(heard.title.starts_with("[simulated] new crash: "), "{heard:?}");
    // The others are of the same group and build, and their reports come after.
    let written = |event: &PhoneEvent| matches!(event, PhoneEvent::CrashFileWritten { .. });
    let limit = tokio::time::Instant::now() + LIMIT;
    loop {
        let events = stage.events().await.unwrap().remove(0);
        let crashes = stage.farm.api.crashes().await.unwrap();
        if crashes.len() == 3 {
            assert_eq!(events.iter().filter(|entry| written(&entry.event)).count(), 3);
            break;
        }
        assert!(tokio::time::Instant::now() < limit, "{} of 3 reports came", crashes.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let held = stage.farm.api.notices("held").await.unwrap();
    assert_eq!(held.len(), 1, "once per group and build is on record: {held:?}");
    assert_eq!(stage.robot.heard().len(), 1);
    assert!(stage.robot.refused().is_empty(), "{:?}", stage.robot.refused());
    stage.farm.stop().await.unwrap();
}

#[tokio::test]
async fn every_cause_on_every_phone_is_told() {
    let delays = measure(2, 2, Duration::from_millis(500)).await.unwrap();
    assert_eq!(delays.len(), 4);
    assert!(delays.iter().all(|delay| delay.since_file < LIMIT && delay.since_death > delay.since_file));
}
