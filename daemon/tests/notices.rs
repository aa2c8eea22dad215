//! Telling people, from the crash file to the message: once, in words, on record, and over restarts. The receivers are
//! real servers on this machine.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::routing::post;
use holdfast_store::{MemoryStore, SledStore, Store, StoreError};
use holdfastd::clock::Clock;
use holdfastd::config::FarmConfig;
use holdfastd::config::notify::parse;
use holdfastd::config::yaml::Source;
use holdfastd::notices::{Environment, carry};
use serde_json::{Value, json};
use support::{Daemon, PATIENCE};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const RULES: &str = "
receivers:
- {name: chat, kind: webhook, url: {env: CHAT}, secret: {env: SECRET}}
- {name: tracker, kind: ticket_webhook, url: {env: TRACKER}, secret: {env: SECRET}}
urgent: {to: [chat]}
tickets: {tracker: tracker}
default_owner: ada@example.com
farm_url: https://farm.example.com/
hold_back:
- {match: {signature: Debug}, reason: the debug menu}
";

/// A receiver that notes what it is told, and refuses while it is down.
#[derive(Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<Value>>>,
    down: Arc<Mutex<bool>>,
    rang: Arc<Notify>,
}

impl Receiver {
    async fn start(&self) -> String {
        let router = Router::new().route("/", post(take)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/")
    }

    fn came(&self) -> Vec<Value> {
        self.came.lock().unwrap().clone()
    }

    /// Waits until it was told so often.
    async fn told(&self, times: usize) -> Vec<Value> {
        let wait = async {
            while self.came().len() < times {
                self.rang.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("told {:?}", self.came()));
        self.came()
    }
}

async fn take(State(receiver): State<Receiver>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let down = *receiver.down.lock().unwrap();
    if !down {
        receiver.came.lock().unwrap().push(body);
    }
    receiver.rang.notify_one();
    let status = if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(json!({ "ticket": "T-1" })))
}

/// A daemon with its post.
struct Post {
    daemon: Daemon,
    stopping: CancellationToken,
    carrying: JoinHandle<()>,
}

impl Post {
    async fn over<S: Store>(store: S, folder: &Path, start: &str, chat: &str, tracker: &str) -> Self {
        let rules = parse(&Source::of("notify.yaml", RULES)).unwrap();
        let config = FarmConfig { notify: rules, ..support::config() };
        let daemon = Daemon::with(store, folder, start, config).await;
        let (chat, tracker) = (chat.to_owned(), tracker.to_owned());
        let environment: Environment = Arc::new(move |name| match name {
            "CHAT" => Some(chat.clone()),
            "TRACKER" => Some(tracker.clone()),
            "SECRET" => Some("a secret".to_owned()),
            _ => None,
        });
        let stopping = CancellationToken::new();
        let farm = daemon.app.farm.clone();
        let carrying = tokio::spawn(carry(farm, Arc::new(Clock::default()), environment, stopping.clone()));
        Self { daemon, stopping, carrying }
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.carrying.await.unwrap();
        self.daemon.kill().await;
    }

    async fn import(&self, number: u32, lived_s: u32, function: &str) -> Value {
        let answer = self
            .daemon
            .upload(Method::POST, "/api/v1/crashes?name=a.ips", report(number, lived_s, function))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()
    }

    async fn notices(&self, query: &str) -> Vec<Value> {
        let page = self.daemon.get(&format!("/api/v1/notices?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        page.json()["items"].as_array().unwrap().clone()
    }

    /// Waits until so many notices stand so.
    async fn wait_for(&self, state: &str, count: usize) -> Vec<Value> {
        let mut shown = self.daemon.app.farm.follow();
        let wait = async {
            loop {
                let found = self.notices(&format!("state={state}")).await;
                if found.len() >= count {
                    return found;
                }
                shown.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap()
    }
}

/// A report of an app that lived so long.
fn report(number: u32, lived_s: u32, function: &str) -> Vec<u8> {
    let header = json!({ "app_name": "Chat", "bug_type": "309", "os_version": "iPhone OS 17.2 (21C62)",
        "incident_id": format!("7E1C0000-0000-4000-8000-{number:012}"), "bundleID": "example.chat" });
    let body = json!({
        "procName": "Chat", "procPath": "/private/var/containers/Bundle/Application/A/Chat.app/Chat",
        "pid": 400 + number, "modelCode": "iPhone13,2",
        "procLaunch": "2026-11-20 10:00:00.0000 +0000",
        "captureTime": format!("2026-11-20 10:00:{lived_s:02}.0000 +0000"),
        "exception": { "type": "EXC_BAD_ACCESS", "signal": "SIGSEGV" }, "faultingThread": 0,
        "threads": [{ "triggered": true,
            "frames": [{ "imageIndex": 0, "imageOffset": 64, "symbol": function, "symbolLocation": 4 }] }],
        "usedImages": [{ "source": "P", "name": "Chat", "base": 4_294_967_296_u64, "size": 65_536,
            "uuid": "4a1e0000-0000-3000-8000-000000000001",
            "path": "/private/var/containers/Bundle/Application/A/Chat.app/Chat" }],
    });
    format!("{header}\n{body}").into_bytes()
}

#[tokio::test]
async fn a_crash_at_launch_is_told_at_once_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(MemoryStore::new(), folder.path(), "d1", &to_chat, &to_tracker).await;
    let crash = post.import(1, 1, "Room.open(id:)").await;
    let told = chat.told(1).await;
    let message = &told[0]["data"]["message"];
    assert_eq!(message["title"], "new crash: Chat | bad access | Room.open");
    assert_eq!(message["severity"], "urgent");
    let group = crash["group"].as_str().unwrap();
    assert_eq!(message["links"][0]["url"], format!("https://farm.example.com/groups/{group}"));
    assert!(message["stack"].to_string().contains("Room.open"), "{message}");
    let sent = post.wait_for("sent", 1).await;
    assert_eq!((&sent[0]["receiver"], &sent[0]["tries"]), (&json!("chat"), &json!(1)));
    assert!(sent[0]["reason"].as_str().unwrap().starts_with("urgent, because it is at launch"), "{sent:?}");
    // Another crash of the same group and build says nothing new.
    post.import(2, 1, "Room.open(id:)").await;
    let held = post.wait_for("held", 1).await;
    assert_eq!(held[0]["reason"], "chat was told of this group in this build before");
    assert_eq!(chat.came().len(), 1);
    assert!(tracker.came().is_empty());
    post.stop().await;
}

#[tokio::test]
async fn any_other_crash_becomes_a_ticket_that_is_closed_with_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(MemoryStore::new(), folder.path(), "d1", &to_chat, &to_tracker).await;
    let crash = post.import(1, 40, "Feed.decode()").await;
    let told = tracker.told(1).await;
    assert_eq!((&told[0]["data"]["action"], &told[0]["data"]["ticket"]), (&json!("open"), &Value::Null));
    post.wait_for("sent", 1).await;
    let group = crash["group"].as_str().unwrap();
    let path = format!("/api/v1/groups/{group}?by=ada");
    let fixed = post.daemon.post_with(&path, &[], json!({ "do": "fix" }).to_string()).await;
    assert_eq!(fixed.status, StatusCode::OK, "{}", fixed.text());
    let told = tracker.told(2).await;
    assert_eq!((&told[1]["data"]["action"], &told[1]["data"]["ticket"]), (&json!("close"), &json!("T-1")));
    assert!(chat.came().is_empty());
    post.stop().await;
}

#[tokio::test]
async fn what_is_held_back_is_on_record_and_rules_can_be_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(MemoryStore::new(), folder.path(), "d1", &to_chat, &to_tracker).await;
    let crash = post.import(1, 1, "DebugMenu.crash()").await;
    let held = post.wait_for("held", 1).await;
    assert_eq!(
        (&held[0]["reason"], &held[0]["receiver"]),
        (&json!("held back: the debug menu"), &json!("-"))
    );
    let id = crash["origin"]["id"].as_str().unwrap();
    let plan = post.daemon.post("/api/v1/notices/test", &json!({ "crash": &id[..12] })).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text());
    assert_eq!((&plan.json()[0]["told"], &plan.json()[0]["reason"]), (&json!(false), &held[0]["reason"]));
    let unknown = post.daemon.post("/api/v1/notices/test", &json!({ "crash": "ffffffffffff" })).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let other = post.import(2, 40, "Feed.decode()").await;
    let id = other["origin"]["id"].as_str().unwrap();
    tracker.told(1).await;
    post.wait_for("sent", 1).await;
    let plan = post.daemon.post("/api/v1/notices/test", &json!({ "crash": id })).await.json();
    assert_eq!((&plan[0]["told"], &plan[0]["told_before"]), (&json!(true), &json!(true)), "{plan}");
    assert_eq!(tracker.came().len(), 1, "a try sends nothing");
    assert!(chat.came().is_empty());
    post.stop().await;
}

#[tokio::test]
async fn what_waits_survives_a_restart_and_what_was_told_is_not_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(open(folder.path()).await, folder.path(), "d1", &to_chat, &to_tracker).await;
    post.import(1, 1, "Room.open(id:)").await;
    chat.told(1).await;
    post.wait_for("sent", 1).await;
    *chat.down.lock().unwrap() = true;
    post.import(2, 1, "Feed.decode()").await;
    let waiting = async {
        loop {
            let waiting = post.wait_for("waiting", 1).await;
            if waiting[0]["last_answer"].as_str().is_some_and(|answer| answer.contains("503")) {
                return;
            }
            post.daemon.app.farm.follow().changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    post.stop().await;
    *chat.down.lock().unwrap() = false;
    let post = Post::over(open(folder.path()).await, folder.path(), "d2", &to_chat, &to_tracker).await;
    let told = chat.told(2).await;
    assert_eq!(told[1]["data"]["message"]["title"], "new crash: Chat | bad access | Feed.decode");
    assert_eq!(post.wait_for("sent", 2).await.len(), 2);
    assert_eq!(chat.came().len(), 2);
    post.stop().await;
}

async fn open(folder: &Path) -> SledStore {
    let opened = tokio::time::timeout(PATIENCE, async {
        loop {
            match SledStore::open(folder.join("store")).await {
                // The daemon before lets go of it in the background.
                Err(StoreError::Locked { .. }) => tokio::task::yield_now().await,
                opened => return opened,
            }
        }
    });
    opened.await.unwrap().unwrap()
}
