//! A storm of crash files, small: every file is offered over two connections at once, confirmations get lost, and the
//! daemon dies in the middle, more than once. All of them are there once, each in its group. How fast a large one is
//! taken in is `scripts/bench storm`'s.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use holdfast_store::MemoryStore;
use holdfast_wire::sync::{OutboxEntry, SyncReply};
use serde_json::{Value, json};
use support::{Agent, Daemon, End, Mortal, News, hash, post_sync, taken};

/// Files, and the defects that they show in turn.
const FILES: usize = 300;
const DEFECTS: usize = 30;

/// Entries that a rack says at once.
const TOGETHER: usize = 10;

const PHONE: &str = "00008110-000A2D8E3C41801E";

/// The defects' functions have names without digits, which may be a compiler's.
fn report(number: usize) -> Vec<u8> {
    let letter = |place: usize| char::from(b'a' + u8::try_from(place).unwrap());
    let function = format!("open_{}_{}", letter(number % DEFECTS / 6), letter(number % 6));
    let header = json!({ "app_name": "Chat", "bug_type": "309", "os_version": "iPhone OS 17.2 (21C62)",
        "incident_id": format!("7E1C0000-0000-4000-8000-{number:012}"), "bundleID": "example.chat" });
    let body = json!({
        "procName": "Chat", "pid": 400 + number, "captureTime": "2026-11-20 10:00:00.0000 +0000",
        "exception": { "type": "EXC_BAD_ACCESS", "signal": "SIGSEGV" }, "faultingThread": 0,
        "threads": [{ "triggered": true, "frames": [
            { "imageIndex": 0, "imageOffset": 64, "symbol": function, "symbolLocation": 4 }] }],
        "usedImages": [{ "source": "P", "name": "Chat", "base": 4_294_967_296_u64, "size": 65_536,
            "uuid": "4a1e0000-0000-3000-8000-000000000001",
            "path": "/private/var/containers/Bundle/Application/A/Chat.app/Chat" }],
    });
    format!("{header}\n{body}").into_bytes()
}

/// A rack with what it has yet to get confirmed, first things first.
struct Rack {
    agent: Agent,
    left: Vec<(OutboxEntry, Vec<u8>)>,
    /// How many of these came through already, without the rack's having heard of it.
    lost: usize,
}

impl Rack {
    fn new(name: &str, reports: impl Iterator<Item = Vec<u8>>) -> Self {
        let entry = |(number, bytes): (usize, Vec<u8>)| {
            (taken(&format!("{name}-{number}"), &bytes, PHONE, name, None), bytes)
        };
        Self { agent: Agent::new(name), left: reports.enumerate().map(entry).collect(), lost: 0 }
    }

    /// Says what is left until all of it is confirmed or the daemon is dead. Of two answers one gets lost.
    async fn carry(&mut self, daemon: &Daemon) {
        while !self.left.is_empty() {
            let few = &self.left[..self.left.len().min(TOGETHER)];
            let puts = few.iter().map(async |(_, bytes)| {
                let path = format!("/agent/v1/blobs/{}", hash(bytes));
                let put = daemon.upload(Method::PUT, &path, bytes.clone()).await;
                assert!(put.status.is_success(), "{}", put.text());
            });
            futures_util::future::join_all(puts).await;
            let entries: Vec<OutboxEntry> = few.iter().map(|(entry, _)| entry.clone()).collect();
            let request = self.agent.request(News { entries, ..News::default() });
            let answer = post_sync(daemon, &request).await;
            if answer.status != StatusCode::OK {
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
                return;
            }
            let reply: SyncReply = serde_json::from_slice(&answer.bytes).unwrap();
            assert_eq!(reply.refused, []);
            self.agent.hear(&reply);
            if self.lost == 0 {
                self.lost = reply.confirmed.len();
            } else {
                self.lost = 0;
                self.left.retain(|(entry, _)| !reply.confirmed.contains(&entry.id));
            }
        }
    }
}

/// Every entry of a list of the API.
async fn list(daemon: &Daemon, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = daemon.get(&format!("{path}limit=200{cursor}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let page = page.json();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_storm_is_stored_once_whatever_dies_and_gets_lost_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Arc::new(MemoryStore::new());
    // One begins where the other ends, so they meet in the middle.
    let mut one = Rack::new("r1", (0..FILES).map(report));
    let mut other = Rack::new("r2", (0..FILES).rev().map(report));
    // A commit takes in one request of each rack at most, so the first lives cannot see the end of it.
    let lives = [
        (4, End::BeforeCommit),
        (5, End::AfterCommit),
        (1, End::AfterCommit),
        (usize::MAX, End::BeforeCommit),
    ];
    for (life, (commits, end)) in lives.into_iter().enumerate() {
        let store = Mortal::new(kept.clone(), commits, end);
        let daemon = Daemon::over(store, folder.path(), &format!("d{life}")).await;
        tokio::join!(one.carry(&daemon), other.carry(&daemon));
        let is_last = life + 1 == lives.len();
        assert_eq!(one.left.is_empty() && other.left.is_empty(), is_last, "life {life} ends where it should");
        daemon.kill().await;
    }
    let daemon = Daemon::over(Mortal::new(kept, usize::MAX, End::BeforeCommit), folder.path(), "last").await;
    let crashes = list(&daemon, "/api/v1/crashes?").await;
    let ids: BTreeSet<&str> = crashes.iter().map(|crash| crash["origin"]["id"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..FILES).map(|number| hash(&report(number)).to_string()).collect();
    assert_eq!(ids, expected.iter().map(String::as_str).collect());
    assert_eq!(crashes.len(), FILES, "each is listed once");
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    for group in list(&daemon, "/api/v1/groups?").await {
        *sizes.entry(group["count"].as_u64().unwrap()).or_default() += 1;
    }
    assert_eq!(sizes, BTreeMap::from([((FILES / DEFECTS) as u64, DEFECTS)]));
}

#[tokio::test]
async fn of_the_files_of_one_incident_the_first_is_the_crash() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let import = async |daemon: &Daemon, bytes: &[u8]| {
        let answer = daemon.upload(Method::POST, "/api/v1/crashes?name=a.ips", bytes.to_vec()).await;
        (answer.status, answer.json())
    };
    // A twin is the file that was marked as sent; here its end differs.
    let (first, twin) = (report(1), [report(1), b"\n".to_vec()].concat());
    let (status, crash) = import(&daemon, &first).await;
    assert_eq!((status, &crash["twin_of"]), (StatusCode::CREATED, &Value::Null));
    let (status, shown) = import(&daemon, &twin).await;
    assert_eq!((status, &shown["twin_of"]), (StatusCode::CREATED, &crash["origin"]["id"]), "{shown}");
    assert_eq!(shown["group"], Value::Null, "it counts nowhere");
    // The same name of what happened at another time is something else.
    let later = String::from_utf8(first.clone()).unwrap().replace("10:00:00.0000", "10:00:07.0000");
    let (_, other) = import(&daemon, later.as_bytes()).await;
    assert_eq!(other["twin_of"], Value::Null);

    daemon.kill().await;
    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    assert_eq!(import(&daemon, &twin).await, (StatusCode::OK, shown.clone()));
    assert_eq!(import(&daemon, &first).await.0, StatusCode::OK);
    let third = import(&daemon, &[twin.clone(), b" ".to_vec()].concat()).await.1;
    assert_eq!(third["twin_of"], crash["origin"]["id"], "also after a restart");
    assert_eq!(list(&daemon, "/api/v1/crashes?").await.len(), 2);
    let groups = list(&daemon, "/api/v1/groups?").await;
    assert_eq!(groups.iter().map(|group| group["count"].as_u64().unwrap()).sum::<u64>(), 2);
    let raw = daemon.get(&format!("/api/v1/crashes/{}/raw", hash(&twin))).await;
    assert_eq!(raw.bytes, twin, "it is kept all the same");
}
