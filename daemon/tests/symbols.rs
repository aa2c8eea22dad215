//! Symbols before, with and after the crash: what is refused, what is shown, what is named later and where it links to.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use holdfast_store::MemoryStore;
use holdfast_wire::api::CrashView;
use holdfastd::config::notify::parse;
use holdfastd::config::yaml::Source;
use holdfastd::config::{FarmConfig, SymbolsConfig};
use holdfastd::symbols::late::ask_server;
use holdfastd::symbols::{Address, Layout, ServerConfig, SourceLinks, SourceRoots, follow, name_waiting};
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
        ..SymbolsConfig::default()
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

/// A symbol server on this machine: what it gives by path, and what it was asked for.
#[derive(Clone, Default)]
struct SymbolServer {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    status: Arc<Mutex<Option<u16>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl SymbolServer {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(give).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn put(&self, path: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(path.to_owned(), bytes);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn give(State(server): State<SymbolServer>, uri: Uri) -> Response {
    server.asked.lock().unwrap().push(uri.path().to_owned());
    let status = *server.status.lock().unwrap();
    if let Some(status) = status {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    match server.files.lock().unwrap().get(uri.path()) {
        Some(bytes) => bytes.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The file with the debug information of build 141, as it lies in its zip.
fn dwarf(archive: &str) -> Vec<u8> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(sample(archive))).unwrap();
    let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    let name = names.iter().find(|name| name.contains("/DWARF/") && !name.ends_with('/')).unwrap();
    let mut bytes = Vec::new();
    zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

async fn with_server(folder: &std::path::Path, url: &str, layout: Layout, missing_for: Duration) -> Daemon {
    let address = Address::new(url, Some(layout)).unwrap();
    let symbols =
        SymbolsConfig { server: Some(ServerConfig { address, missing_for }), ..SymbolsConfig::default() };
    Daemon::with_symbols(MemoryStore::new(), folder, "d1", symbols).await
}

const AN_HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_symbol_server_is_asked_in_its_layout_and_what_comes_names_the_crash() {
    let id = MOORING_141.replace('-', "");
    let table = [
        (Layout::Unified, format!("/{}/{}/debuginfo", &id[..2], &id[2..]), dwarf("mooring-141.dSYM.zip")),
        (Layout::Native, "/4C4C/4408/5555/3144/A1FF/140FC6C6AB6F".to_owned(), sample("mooring-141.dSYM.zip")),
        (Layout::Debuginfod, format!("/buildid/{id}/debuginfo"), gzipped(&dwarf("mooring-141.dSYM.zip"))),
        (
            Layout::Ssqp,
            format!("/_.dwarf/mach-uuid-sym-{id}/_.dwarf"),
            gzipped(&sample("mooring-141.dSYM.zip")),
        ),
    ];
    for (layout, path, bytes) in table {
        let (folder, server) = (tempfile::tempdir().unwrap(), SymbolServer::default());
        let url = server.start().await;
        server.put(&path, bytes);
        let daemon = with_server(folder.path(), &url, layout, AN_HOUR).await;
        daemon.with_build().await;
        crash(&daemon).await;
        let (app, stopping) = (&daemon.app, CancellationToken::new());
        let (farm, blobs, symbols) = (app.farm.clone(), app.blobs.clone(), app.symbols.clone());
        let following = tokio::spawn(follow(farm, blobs, symbols, app.signing.clone(), stopping.clone()));
        assert_eq!(named(&daemon).await["missing_symbols"], json!([]), "{layout:?}");
        stopping.cancel();
        tokio::time::timeout(PATIENCE, following).await.unwrap().unwrap();
        assert_eq!(*server.asked.lock().unwrap(), [path]);
        let sources = daemon.get("/api/v1/sources").await.json();
        let expected = json!({ "server": url, "found": 1, "missing": 0, "trouble": null });
        assert_eq!(sources["symbol_server"], expected);
        let kept = std::fs::read_dir(folder.path().join("symbols")).unwrap().count();
        assert_eq!(kept, 1, "the table alone, and nothing of what was fetched");
    }
}

#[tokio::test]
async fn what_a_symbol_server_has_not_is_told_and_not_asked_for_again_for_a_while() {
    let (folder, server) = (tempfile::tempdir().unwrap(), SymbolServer::default());
    let url = server.start().await;
    let daemon = with_server(folder.path(), &url, Layout::Native, AN_HOUR).await;
    daemon.with_build().await;
    let id = crash(&daemon).await;
    let path = "/4C4C/4408/5555/3144/A1FF/140FC6C6AB6F";
    let ask = || async { ask_server(&daemon.app.symbols, &daemon.app.farm.snapshot()).await };
    assert_eq!((ask().await, ask().await, server.asked()), (0, 0, 1));
    let told = format!("asked {url}: 404, it has none");
    let whole = daemon.get(&format!("/api/v1/crashes/{id}")).await.json();
    assert_eq!(whole["crash"]["missing_symbols"][0]["asked"], told.as_str());
    for path in [format!("/api/v1/crashes/{id}/page"), format!("/crashes/{id}")] {
        let shown = daemon.get(&path).await.text();
        assert!(shown.contains(&told), "{shown}");
    }
    assert_eq!(daemon.get("/api/v1/sources").await.json()["symbol_server"]["missing"], 1);
    // Whoever wants it now has it asked for now.
    let forced =
        || async { daemon.post(&format!("/api/v1/crashes/{id}/symbolicate"), &json!({})).await.json() };
    for (bytes, expected) in [
        (sample("mooring-140.dSYM.zip"), "what it sent is the dSYM of "),
        (dwarf("mooring-140.dSYM.zip"), "what it sent is the dSYM of "),
        (b"<html>log in first</html>".to_vec(), "what it sent has no dSYM in it"),
        (gzipped(b"nothing")[..12].to_vec(), "what it sent cannot be unpacked"),
    ] {
        server.put(path, bytes);
        let still = forced().await;
        let asked = still["crash"]["missing_symbols"][0].clone();
        assert_eq!(asked["uuid"], MOORING_141, "{still}");
        let shown = daemon.get(&format!("/api/v1/crashes/{id}/page")).await.text();
        assert!(shown.contains(expected), "{shown}");
    }
    *server.status.lock().unwrap() = Some(503);
    forced().await;
    let trouble = daemon.get("/api/v1/sources").await.json()["symbol_server"]["trouble"].clone();
    assert_eq!(trouble, "503, try later");
    *server.status.lock().unwrap() = None;
    server.put(path, sample("mooring-141.dSYM.zip"));
    assert_eq!(forced().await["crash"]["top_frame"], NAMED);
    let sources = daemon.get("/api/v1/sources").await.json();
    assert_eq!(sources["symbol_server"], json!({ "server": url, "found": 1, "missing": 0, "trouble": null }));
}

#[tokio::test]
async fn a_symbol_server_is_asked_again_after_a_while_and_its_absence_is_a_trouble() {
    let (folder, server) = (tempfile::tempdir().unwrap(), SymbolServer::default());
    let url = server.start().await;
    let daemon = with_server(folder.path(), &url, Layout::Unified, Duration::ZERO).await;
    daemon.with_build().await;
    crash(&daemon).await;
    let ask = || async { ask_server(&daemon.app.symbols, &daemon.app.farm.snapshot()).await };
    assert_eq!((ask().await, ask().await, server.asked()), (0, 0, 2));
    drop(daemon);
    // A port on which nobody listens.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_server(folder.path(), &url, Layout::Unified, Duration::ZERO).await;
    daemon.with_build().await;
    crash(&daemon).await;
    assert_eq!(ask_server(&daemon.app.symbols, &daemon.app.farm.snapshot()).await, 0);
    let trouble = daemon.get("/api/v1/sources").await.json()["symbol_server"]["trouble"].clone();
    assert!(trouble.as_str().unwrap().contains("refused"), "{trouble}");
}

#[tokio::test]
async fn a_crash_goes_to_the_owner_of_the_folder_that_the_symbols_tell() {
    let rules = "
receivers:
- {name: tracker, kind: ticket_webhook, url: {env: TRACKER}, secret: {env: SECRET}}
tickets: {tracker: tracker}
default_owner: nobody@example.com
owners:
- {path: Sources/**, owner: wrong@example.com}
- {path: mooring/F*.c, owner: feed@example.com}
";
    let table = [
        // Below the root of everything, the folder of the sources is part of the path.
        (&["/"][..], "mooring/Feed.c", "feed@example.com"),
        (&[], "/mooring/Feed.c", "feed@example.com"),
        (&["/elsewhere"], "/mooring/Feed.c", "feed@example.com"),
        // Below the folder itself it is not, and rules are written for paths in the repository.
        (&["/mooring"], "Feed.c", "nobody@example.com"),
    ];
    for (roots, file, owner) in table {
        let folder = tempfile::tempdir().unwrap();
        let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        let symbols = SymbolsConfig { roots: SourceRoots::new(&roots), ..SymbolsConfig::default() };
        let notify = parse(&Source::of("notify.yaml", rules)).unwrap();
        let config = FarmConfig { notify, ..support::config() };
        let daemon = Daemon::with_both(MemoryStore::new(), folder.path(), "d1", (config, symbols)).await;
        let build = daemon.with_build().await;
        let id = crash(&daemon).await;
        let of = || async { daemon.post("/api/v1/notices/test", &json!({ "crash": id })).await.text() };
        let before = of().await;
        assert!(before.contains("nobody@example.com"), "without symbols nobody knows its file: {before}");
        assert_eq!(upload(&daemon, &build, sample("mooring-141.dSYM.zip")).await.status, StatusCode::OK);
        assert_eq!(named(&daemon).await["top_file"], file);
        let plan = of().await;
        assert!(plan.contains(owner), "{roots:?}: {plan}");
    }
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
