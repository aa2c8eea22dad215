//! Symbols before, with and after the crash: what is refused, what is shown, what is named later and where it links to.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use holdfast_store::MemoryStore;
use holdfast_wire::api::CrashView;
use holdfastd::config::SymbolsConfig;
use holdfastd::symbols::{SourceLinks, follow, name_waiting};
use serde_json::{Value, json};
use support::{Agent, Daemon, News, PATIENCE, sample};
use tokio_util::sync::CancellationToken;

/// UUID of the build, as `llvm-dwarfdump --uuid` tells it.
const MOORING_141: &str = "4c4c4408-5555-3144-a1ff-140fc6c6ab6f";
/// The crash that build 141 brought, in Feed.c, line 23; who called it was at line 48.
const NAMED: &str = "Mooring Feed_decodeCell + 116 (Feed.c:23)";

fn report() -> Vec<u8> {
    let path = "/var/containers/Bundle/Application/A/Mooring.app/Mooring";
    let header = json!({ "bug_type": "309", "app_name": "Mooring", "timestamp": "2026-03-02 09:15:31.00 +0800",
        "slice_uuid": MOORING_141 });
    let body = json!({ "procName": "Mooring", "procPath": path, "faultingThread": 0,
        "exception": { "type": "EXC_BAD_ACCESS", "signal": "SIGSEGV" },
        "usedImages": [{ "source": "P", "arch": "arm64", "base": 4_294_967_296_u64, "size": 65_536,
            "uuid": MOORING_141, "path": path, "name": "Mooring" }],
        "threads": [{ "triggered": true, "frames": [{ "imageIndex": 0, "imageOffset": 0x45e8 },
            { "imageIndex": 0, "imageOffset": 0x46d4 }] }] });
    format!("{header}\n{body}").into_bytes()
}

/// Has an agent bring the crash, and says its id.
async fn crash(daemon: &Daemon) -> String {
    let bytes = report();
    let id = support::hash(&bytes);
    daemon.upload(Method::PUT, &format!("/agent/v1/blobs/{id}"), bytes.clone()).await;
    let entry = support::taken("e1", &bytes, "P1", "r1", None);
    Agent::new("r1").say(daemon, News { entries: vec![entry], ..News::default() }).await;
    id.to_string()
}

async fn listed(daemon: &Daemon) -> Value {
    daemon.get("/api/v1/crashes").await.json()["items"][0].clone()
}

async fn upload(daemon: &Daemon, build: &str, bytes: Vec<u8>) -> support::Answer {
    daemon.upload(Method::PUT, &format!("/api/v1/builds/{build}/symbols"), bytes).await
}

/// Waits until lists show the name.
async fn named(daemon: &Daemon) -> Value {
    let mut pictures = daemon.app.farm.follow();
    let waiting = pictures.wait_for(|snapshot| {
        snapshot.crashes.values().any(|crash| crash.top_frame.as_deref() == Some(NAMED))
    });
    drop(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap());
    listed(daemon).await
}

#[tokio::test]
async fn symbols_that_come_late_name_what_waited_and_what_is_no_symbols_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let build = daemon.with_build().await;
    let id = crash(&daemon).await;
    let waits = listed(&daemon).await;
    assert_eq!(waits["missing_symbols"], json!([{ "image": "Mooring", "uuid": MOORING_141 }]));
    assert_eq!(waits["top_frame"], "Mooring + 0x45e8");
    assert_eq!(waits["signature"]["words"], "Mooring | bad access | Mooring 4c4c4408+0x45e8");
    for path in [format!("/api/v1/crashes/{id}/page"), format!("/crashes/{id}")] {
        let shown = daemon.get(&path).await.text();
        assert!(shown.contains(MOORING_141) && shown.contains("holdfast build symbols BUILD"), "{shown}");
    }

    for (bytes, expected) in [
        (sample("mooring-140.dSYM.zip"), "upload the dSYM of the same build"),
        (sample("mooring-141.ipa"), "has no dSYM"),
        (b"PK\x03\x04 and no more".to_vec(), "zip the .dSYM folder"),
    ] {
        let refused = upload(&daemon, &build, bytes).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text().contains(expected), "{}", refused.text());
    }
    let archive = daemon.get(&format!("/agent/v1/blobs/{build}")).await;
    assert_eq!(
        archive.status,
        StatusCode::OK,
        "the build that was sent as symbols by mistake is still there"
    );

    let taken = upload(&daemon, &build, sample("mooring-141.dSYM.zip")).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text());
    let shown = named(&daemon).await;
    assert_eq!(shown["missing_symbols"], json!([]));
    assert_eq!(shown["signature"]["words"], "Mooring | bad access | Feed_decodeCell");
    assert_eq!(shown["group"], waits["group"], "links to the group stay good");
    let group = daemon.get(&format!("/api/v1/groups/{}", shown["group"].as_str().unwrap())).await.json();
    assert_eq!(group["signature"], "Mooring | bad access | Feed_decodeCell");
    let whole = daemon.get(&format!("/api/v1/crashes/{id}")).await.json();
    let frames = &whole["report"]["threads"][0]["frames"];
    assert_eq!((&frames[0]["file"], &frames[0]["line"]), (&json!("/mooring/Feed.c"), &json!(23)));
    assert_eq!((&frames[1]["symbol"], &frames[1]["line"]), (&json!("Feed_loadPage"), &json!(48)));
    for path in [format!("/api/v1/crashes/{id}/page"), format!("/crashes/{id}")] {
        let shown = daemon.get(&path).await.text();
        assert!(shown.contains("Feed.c:23") && !shown.contains("ymbols are missing"), "{shown}");
    }

    daemon.kill().await;
    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    assert_eq!(listed(&daemon).await["top_frame"], NAMED, "the list was recorded");
    assert!(daemon.app.symbols.library.knows(MOORING_141), "the table was kept");

    daemon.kill().await;
    std::fs::remove_dir_all(folder.path().join("symbols")).unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d3").await;
    let (app, stopping) = (&daemon.app, CancellationToken::new());
    let (farm, blobs, symbols) = (app.farm.clone(), app.blobs.clone(), app.symbols.clone());
    assert!(!symbols.library.knows(MOORING_141));
    let following = tokio::spawn(follow(farm, blobs, symbols, app.signing.clone(), stopping.clone()));
    let made = async {
        while !app.symbols.library.knows(MOORING_141) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.unwrap();
    stopping.cancel();
    tokio::time::timeout(PATIENCE, following).await.unwrap().unwrap();
}

#[tokio::test]
async fn symbols_that_came_before_name_a_crash_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    assert_eq!(upload(&daemon, &build, sample("mooring-141.dSYM.zip")).await.status, StatusCode::OK);
    crash(&daemon).await;
    assert_eq!(listed(&daemon).await["top_frame"], NAMED);
}

#[tokio::test]
async fn a_searched_folder_serves_and_lines_link_to_the_commit_of_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let others = folder.path().join("others");
    std::fs::create_dir(&others).unwrap();
    let template = "https://git.example/mooring/blob/{commit}/{file}#L{line}";
    let symbols = SymbolsConfig {
        folder: Some(others.clone()),
        links: Some(SourceLinks::new(template, &["/mooring".to_owned()]).unwrap()),
    };
    let daemon = Daemon::with_symbols(MemoryStore::new(), folder.path(), "d1", symbols).await;
    daemon.with_build().await;
    let id = crash(&daemon).await;
    let forced = || async { daemon.post(&format!("/api/v1/crashes/{id}/symbolicate"), &json!({})).await };
    let still = forced().await.json();
    assert_eq!(still["crash"]["missing_symbols"][0]["uuid"], MOORING_141);
    std::fs::write(others.join("any name"), sample("mooring-141.dSYM.zip")).unwrap();
    let now = forced().await.json();
    assert_eq!((&now["crash"]["top_frame"], &now["crash"]["missing_symbols"]), (&json!(NAMED), &json!([])));
    assert_eq!(listed(&daemon).await, now["crash"]);
    let link = "https://git.example/mooring/blob/4f2a9c1/Feed.c#L23";
    assert_eq!(now["report"]["threads"][0]["frames"][0]["source_url"], link);
    assert!(daemon.get(&format!("/api/v1/crashes/{id}/page")).await.text().contains(link));
    let page = daemon.get(&format!("/crashes/{id}")).await.text();
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
    let unknown = daemon.post("/api/v1/crashes/0000/symbolicate", &json!({})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_crash_of_an_older_store_is_looked_at_when_symbols_are_here() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let build = daemon.with_build().await;
    crash(&daemon).await;
    let mut older = listed(&daemon).await;
    older.as_object_mut().unwrap().remove("missing_symbols");
    let read: CrashView = serde_json::from_value(older.clone()).unwrap();
    assert_eq!(read.missing_symbols, None);
    assert_eq!(serde_json::to_value(&read).unwrap(), older, "what was not looked for is not told as found");
    assert_eq!(upload(&daemon, &build, sample("mooring-141.dSYM.zip")).await.status, StatusCode::OK);
    named(&daemon).await;
    let app = &daemon.app;
    assert_eq!(
        name_waiting(&app.farm, &app.blobs, &app.symbols, &app.signing).await,
        Ok(0),
        "nothing is named twice"
    );
}
