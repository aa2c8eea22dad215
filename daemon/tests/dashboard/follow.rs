//! What reaches a browser that follows a page.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt;
use holdfast_wire::time::Time;
use holdfastd::dashboard::{farm_page, part, routes};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::samples::{self, Sample, udid};

/// Far above the pause between turns and the heartbeat.
const LIMIT: Duration = Duration::from_secs(30);

/// One event as the browser sees it.
#[derive(Debug)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

struct Browser {
    body: BodyDataStream,
    buffer: String,
}

impl Browser {
    async fn open(sample: &Arc<Sample>, stop: &CancellationToken, address: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(address);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let router = routes::<_, ()>(sample.clone(), stop.clone());
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), buffer: String::new() }
    }

    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let line = |name: &str| {
                    let start = format!("{name}: ");
                    event.lines().find_map(|line| line.strip_prefix(start.as_str())).map(str::to_owned)
                };
                let event = Event {
                    name: line("event").unwrap(),
                    id: line("id"),
                    data: serde_json::from_str(&line("data").unwrap()).unwrap(),
                };
                self.buffer = rest.to_owned();
                return Some(event);
            }
            let chunk = timeout(LIMIT, self.body.next()).await.unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// The ids of the parts of the next turn, and the turn's own id.
    async fn turn(&mut self) -> (Vec<String>, String) {
        let mut parts = Vec::new();
        loop {
            let event = self.next().await.unwrap();
            match event.name.as_str() {
                "part" => parts.push(event.data["id"].as_str().unwrap().to_owned()),
                "turn" => return (parts, event.id.unwrap()),
                other => panic!("{other} came"),
            }
        }
    }
}

fn battery_empties(sample: &Sample, phone: usize, level: u8) {
    sample.change(|picture| picture.phones[phone].facts.battery.as_mut().unwrap().level_percent = level);
}

#[tokio::test]
async fn only_what_changed_is_sent() {
    let (sample, stop) = (Arc::new(Sample::new()), CancellationToken::new());
    let mut browser = Browser::open(&sample, &stop, "/dashboard/events", None).await;
    let (parts, _) = browser.turn().await;
    assert_eq!(parts, ["counts", "racks", "running", "waiting", "crashes", "ended"], "first everything");
    battery_empties(&sample, 2, 3);
    assert_eq!(browser.turn().await.0, [format!("phone-{}", udid(3))]);
    sample.change(|picture| drop(picture.crashes.remove(0)));
    assert_eq!(browser.turn().await.0, ["crashes"]);
    sample.change(|picture| drop(picture.phones.pop()));
    let (parts, _) = browser.turn().await;
    assert_eq!(parts, ["counts", "rack-r2"]);
}

#[tokio::test]
async fn a_reader_who_has_seen_everything_is_told_nothing_again() {
    let (sample, stop) = (Arc::new(Sample::new()), CancellationToken::new());
    let seen = part::digest(&farm_page::parts(&samples::picture(), Time::default()));
    let address = format!("/dashboard/events?seen={seen}");
    let mut fresh = Browser::open(&sample, &stop, &address, None).await;
    assert_eq!(fresh.turn().await, (vec![], seen.clone()), "the page was loaded a moment ago");
    battery_empties(&sample, 2, 3);
    let (_, newer) = fresh.turn().await;
    let mut back = Browser::open(&sample, &stop, &address, Some(&newer)).await;
    assert_eq!(back.turn().await, (vec![], newer), "the memory of the browser is newer than the address");
    let mut late = Browser::open(&sample, &stop, &address, Some("of another start")).await;
    assert_eq!(late.turn().await.0.len(), 6, "who comes with something unknown gets everything");
}

#[tokio::test]
async fn many_changes_at_once_are_few_turns() {
    let (sample, stop) = (Arc::new(Sample::new()), CancellationToken::new());
    let mut browser = Browser::open(&sample, &stop, "/dashboard/events", None).await;
    browser.turn().await;
    let changing = sample.clone();
    let burst = tokio::spawn(async move {
        for level in 1..=90 {
            battery_empties(&changing, 2, level);
            tokio::task::yield_now().await;
        }
    });
    let mut turns = 0;
    loop {
        let event = browser.next().await.unwrap();
        turns += usize::from(event.name == "turn");
        if event.name == "part" && event.data["html"].as_str().unwrap().contains(">90 %<") {
            break;
        }
    }
    burst.await.unwrap();
    assert!(turns < 9, "90 changes made {turns} turns");
}

#[tokio::test]
async fn every_page_has_its_own_stream() {
    let (sample, stop) = (Arc::new(Sample::new()), CancellationToken::new());
    let mut job = Browser::open(&sample, &stop, "/dashboard/events?job=J21", None).await;
    assert_eq!(job.turn().await.0, ["head", "why", "attempts", "crashes", "asked"]);
    let address = format!("/dashboard/events?phone={}", udid(3));
    let mut phone = Browser::open(&sample, &stop, &address, None).await;
    assert_eq!(phone.turn().await.0, ["head", "jobs", "crashes", "facts"]);
    battery_empties(&sample, 2, 3);
    assert_eq!(phone.turn().await.0, ["head"]);
    let mut gone = Browser::open(&sample, &stop, "/dashboard/events?job=J999", None).await;
    assert_eq!(gone.next().await.unwrap().name, "reload");
    assert!(gone.next().await.is_none(), "and nothing more");
}

#[tokio::test]
async fn something_is_heard_while_nothing_changes() {
    let (sample, stop) = (Arc::new(Sample::new()), CancellationToken::new());
    let mut browser = Browser::open(&sample, &stop, "/dashboard/events", None).await;
    let (_, first) = browser.turn().await;
    assert_eq!(browser.turn().await, (vec![], first), "a turn without parts is the heartbeat");
}

#[tokio::test]
async fn streams_end_when_the_daemon_stops() {
    let (sample, stop) = (Arc::new(Sample::new()), CancellationToken::new());
    let mut browser = Browser::open(&sample, &stop, "/dashboard/events", None).await;
    browser.turn().await;
    stop.cancel();
    assert!(browser.next().await.is_none());
}

#[tokio::test]
async fn one_page_too_many_is_sent_away() {
    let (sample, stop) = (Arc::new(Sample::new()), CancellationToken::new());
    let router = routes::<_, ()>(sample, stop);
    let ask = || Request::get("/dashboard/events").body(Body::empty()).unwrap();
    let mut open = Vec::new();
    let refused = loop {
        let response = router.clone().oneshot(ask()).await.unwrap();
        if !response.status().is_success() {
            break response;
        }
        open.push(response);
        assert!(open.len() < 1_000, "there is a limit");
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    open.pop();
    assert!(router.oneshot(ask()).await.unwrap().status().is_success(), "a closed page makes room");
}
