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
use holdfast_wire::api::CrashView;
use holdfast_wire::build::{Build, BuildIdentity, Origin};
use holdfast_wire::crash::CrashSource;
use holdfast_wire::group::CrashSignature;
use holdfast_wire::id::{BuildHash, CrashId};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::time::Time;
use holdfastd::clock::Clock;
use holdfastd::config::FarmConfig;
use holdfastd::config::notify::parse;
use holdfastd::config::yaml::Source;
use holdfastd::farm::Ask;
use holdfastd::notices::{Environment, NoticeAsk, carry};
use serde_json::{Value, json};
use support::{Agent, Daemon, News, PATIENCE, ended, ready};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PHONE: &str = "00008110-000000000000001E";

/// Runs without a crash that are enough to name the commit after them.
const GOOD_RUNS: usize = 20;

const RULES: &str = "
receivers:
- {name: chat, kind: webhook, url: {env: CHAT}, secret: {env: SECRET}}
- {name: tracker, kind: ticket_webhook, url: {env: TRACKER}, secret: {env: SECRET}}
urgent: {to: [chat]}
tickets: {tracker: tracker}
default_owner: ada@example.com
farm_url: https://farm.example.com/
phones: {to: [chat]}
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
        self.import_of(1, number, lived_s, function).await
    }

    /// Imports a report of a build by its number.
    async fn import_of(&self, build: u8, number: u32, lived_s: u32, function: &str) -> Value {
        let answer = self
            .daemon
            .upload(Method::POST, "/api/v1/crashes?name=a.ips", report(build, number, lived_s, function))
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

fn hash_of(number: u8) -> BuildHash {
    BuildHash::new([number; 32])
}

/// A build of trunk, whose commit is called by its number.
fn build(number: u8) -> Build {
    let identity = BuildIdentity {
        hash: hash_of(number),
        size_bytes: 1,
        bundle_id: "example.chat".parse().unwrap(),
        executable: "Chat".to_owned(),
        version: "1.0".to_owned(),
        build_number: number.to_string(),
        uuids: vec![uuid(number)],
        minimum_os: None,
    };
    let origin = Origin {
        commit: Some(format!("c{number}")),
        branch: Some("trunk".to_owned()),
        author: Some("ada@example.com".to_owned()),
        parents: Vec::new(),
    };
    let uploaded_at = Time::from_unix_ms(i64::from(number) * 1_000);
    Build { identity, origin, uploaded_at, symbols: None }
}

fn uuid(build: u8) -> String {
    format!("4a1e0000-0000-3000-8000-{build:012}")
}

/// A report of an app that lived so long.
fn report(build: u8, number: u32, lived_s: u32, function: &str) -> Vec<u8> {
    let header = json!({ "app_name": "Chat", "bug_type": "309", "os_version": "iPhone OS 17.2 (21C62)",
        "incident_id": format!("7E1C0000-0000-4000-8000-{number:012}"), "bundleID": "example.chat", "slice_uuid": uuid(build) });
    let body = json!({
        "procName": "Chat", "procPath": "/private/var/containers/Bundle/Application/A/Chat.app/Chat",
        "pid": 400 + number, "modelCode": "iPhone13,2",
        "procLaunch": "2026-11-20 10:00:00.0000 +0000",
        "captureTime": format!("2026-11-20 10:00:{lived_s:02}.0000 +0000"),
        "exception": { "type": "EXC_BAD_ACCESS", "signal": "SIGSEGV" }, "faultingThread": 0,
        "threads": [{ "triggered": true,
            "frames": [{ "imageIndex": 0, "imageOffset": 64, "symbol": function, "symbolLocation": 4 }] }],
        "usedImages": [{ "source": "P", "name": "Chat", "base": 4_294_967_296_u64, "size": 65_536,
            "uuid": uuid(build),
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

#[tokio::test]
async fn a_merged_group_is_not_told_again_and_its_ticket_says_where_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(MemoryStore::new(), folder.path(), "d1", &to_chat, &to_tracker).await;
    // Two groups that were told to the chat, and one that was not: it crashed later in its life.
    let told = post.import(1, 1, "Room.open(id:)").await;
    chat.told(1).await;
    let other = post.import(2, 40, "Feed.decode()").await;
    tracker.told(1).await;
    let third = post.import(3, 40, "Login.start()").await;
    tracker.told(2).await;
    post.wait_for("sent", 3).await;
    let [told, other, third] = [told, other, third].map(|crash| crash["group"].as_str().unwrap().to_owned());
    let merge = async |from: &str, into: &str| {
        let deed = json!({ "do": "merge", "into": into }).to_string();
        let answer = post.daemon.post_with(&format!("/api/v1/groups/{from}?by=ada"), &[], deed).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    };
    // Both have a ticket: the one whose crashes went is closed.
    merge(&other, &third).await;
    let came = tracker.told(3).await;
    assert_eq!((&came[2]["data"]["action"], &came[2]["data"]["ticket"]), (&json!("close"), &json!("T-1")));
    let message = &came[2]["data"]["message"];
    assert!(message["title"].as_str().unwrap().starts_with("counted with another group from now on: "));
    assert_eq!(message["facts"][0], json!(["Went to", format!("crash group {third}")]));
    assert_eq!(
        message["links"][0]["url"],
        format!("https://farm.example.com/groups/{third}"),
        "where they went is a link away"
    );
    // The chat knows of what is now in the third group, and hears no more of it.
    merge(&told, &third).await;
    post.import(4, 1, "Room.open(id:)").await;
    let held = post.wait_for("held", 2).await;
    let reasons: Vec<&str> = held.iter().map(|notice| notice["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"chat was told of this group in this build before"), "{reasons:?}");
    assert_eq!(chat.came().len(), 1);
    post.stop().await;
}

#[tokio::test]
async fn crashes_that_late_symbols_move_are_not_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(MemoryStore::new(), folder.path(), "d1", &to_chat, &to_tracker).await;
    let first = post.import(1, 1, "Room.open(id:)").await;
    chat.told(1).await;
    post.wait_for("sent", 1).await;
    let second = post.import(2, 1, "Room.open(id:)").await;
    let before = first["group"].as_str().unwrap();
    assert_eq!(second["group"], first["group"]);
    // Symbols name another function in one of the two crashes.
    let id: CrashId = second["origin"]["id"].as_str().unwrap().parse().unwrap();
    let farm = post.daemon.app.farm.clone();
    let known = farm.snapshot().crashes.get(&id).unwrap().signature.clone().unwrap();
    let signature = CrashSignature {
        id: "00000000000000bb".parse().unwrap(),
        words: "Chat | bad access | Room.join".to_owned(),
        ..known
    };
    let signed = [(id, Some(signature.clone()))].into_iter().collect();
    assert_eq!(farm.ask(|answer| Ask::Regroup { signed, answer }).await.unwrap(), 1);
    let moved = farm.snapshot().crashes.get(&id).unwrap().group.clone().unwrap();
    assert_ne!(moved.as_str(), before);
    // The next crash of the new group, in the build in which people were told of it under its old name.
    let view = farm.snapshot().crashes.get(&id).unwrap().clone();
    let origin = CrashSource { id: CrashId::new([9; 32]), ..view.origin.clone() };
    let crash = CrashView { origin, group: None, incident: None, ..(*view).clone() };
    let crash = Box::new(CrashView { signature: Some(signature), ..crash });
    farm.ask(|answer| Ask::Crash { crash, answer }).await.unwrap();
    let held = post.notices(&format!("state=held&group={moved}")).await;
    assert_eq!(held[0]["reason"], "chat was told of this group in this build before", "{held:?}");
    assert_eq!(chat.came().len(), 1);
    drop(farm);
    post.stop().await;
}

#[tokio::test]
async fn when_the_commit_is_found_those_who_were_told_hear_of_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(MemoryStore::new(), folder.path(), "d1", &to_chat, &to_tracker).await;
    let farm = post.daemon.app.farm.clone();
    for number in 2..=3 {
        let build = Box::new(build(number));
        farm.ask(|answer| Ask::Build { build, answer }).await.unwrap();
    }
    let mut group = String::new();
    for number in 1..=4 {
        let crash = post.import_of(3, number, 1, "Room.open(id:)").await;
        group = crash["group"].as_str().unwrap().to_owned();
    }
    chat.told(1).await;
    let ask = async || {
        let group = group.parse().unwrap();
        farm.ask(|answer| Ask::Notice(NoticeAsk::FirstBad { group, answer })).await.unwrap();
    };
    // No build is known to be good: nobody is blamed.
    ask().await;
    let mut agent = Agent::new("r1");
    agent.say(&post.daemon, News { phones: vec![ready(PHONE, "1-1.4")], ..News::default() }).await;
    for run in 0..GOOD_RUNS {
        post.daemon.submit(&hash_of(2).to_string(), "custom").await;
        agent.say(&post.daemon, News::default()).await;
        let (lease, work) = agent.begin(PHONE);
        let entry = ended(&format!("e{run}"), work.attempt, PHONE, lease, AttemptEnd::Passed);
        agent.held.clear();
        agent.say(&post.daemon, News { entries: vec![entry], ..News::default() }).await;
    }
    ask().await;
    let came = chat.told(2).await;
    let message = &came[1]["data"]["message"];
    assert!(
        message["title"].as_str().unwrap().starts_with("the commit that brought it is found: "),
        "{message}"
    );
    let bad = message["facts"].as_array().unwrap().iter().find(|fact| fact[0] == "First bad commit");
    let bad = bad.unwrap()[1].as_str().unwrap();
    assert!(bad.starts_with("c3 by ada@example.com, 9"), "{bad}");
    // The search may find it again after a restart.
    ask().await;
    post.wait_for("sent", 2).await;
    let held = post.notices(&format!("state=held&group={group}")).await;
    assert!(
        held.iter().any(|one| one["reason"] == "nobody was told of the group, or all know c3 already"),
        "{held:?}"
    );
    assert_eq!(chat.came().len(), 2);
    drop(farm);
    post.stop().await;
}

#[tokio::test]
async fn a_phone_near_its_limit_and_one_that_lost_crashes_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, tracker) = (Receiver::default(), Receiver::default());
    let (to_chat, to_tracker) = (chat.start().await, tracker.start().await);
    let post = Post::over(MemoryStore::new(), folder.path(), "d1", &to_chat, &to_tracker).await;
    let now = post.daemon.app.clock.now();
    let limit = |waiting: u32, lost_at: Option<Time>| {
        let fullness = if waiting > 15 { "near" } else { "room" };
        json!({ "bug_type": "309", "process": "Mooring", "waiting": waiting, "limit": 25, "fullness": fullness,
            "swallowed": u32::from(lost_at.is_some()), "refused": 0, "last_lost_at": lost_at })
    };
    let mut agent = Agent::new("r1");
    let mut say = async |waiting: u32, lost_at: Option<Time>| {
        let mut report = ready(PHONE, "1-1.4");
        report.facts.crash_limits = vec![serde_json::from_value(limit(waiting, lost_at)).unwrap()];
        agent.say(&post.daemon, News { phones: vec![report], ..News::default() }).await;
    };
    // Room, then less and less of it, and what was lost long ago is no news.
    let long_ago = Time::from_unix_ms(now.as_unix_ms() - 3 * 86_400_000);
    say(3, Some(long_ago)).await;
    assert!(post.notices("").await.is_empty());
    say(16, None).await;
    say(17, None).await;
    let came = chat.told(1).await;
    let message = &came[0]["data"]["message"];
    assert_eq!(
        message["title"],
        "[simulated] Rack 1 left is near its limit of crash files: 16 of 25 of Mooring"
    );
    assert_eq!(message["facts"][1], json!(["Place", "rack r1, slot 1-1.4"]));
    say(18, Some(now)).await;
    say(19, Some(now)).await;
    let came = chat.told(2).await;
    let title = &came[1]["data"]["message"]["title"];
    assert_eq!(title, "[simulated] Rack 1 left lost crashes of Mooring: 1 were not written");
    let sent = post.wait_for("sent", 2).await;
    assert_eq!((&sent[0]["phone"], &sent[0]["group"]), (&json!(PHONE), &json!("")));
    assert_eq!(chat.came().len(), 2);
    let receivers = post.daemon.get("/api/v1/receivers").await.json();
    let shown = &receivers["items"][0];
    assert_eq!(
        (&shown["name"], &shown["kind"], &shown["waiting"]),
        (&json!("chat"), &json!("webhook"), &json!(0))
    );
    assert_eq!(shown["limits"], json!([{ "messages": 120, "window_ms": 60_000, "used": 2 }]));
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
