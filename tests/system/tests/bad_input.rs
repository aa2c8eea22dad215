//! What is wrong is refused in words that say where, and the farm works on as if nothing had come: over the real
//! programs, with a good job at the end. Each refusal in all its kinds is the daemon's own tests'.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use holdfast_system::farm::{Farm, Plan, sample};
use holdfast_system::process::program;
use holdfast_wire::id::CrashId;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Every wait of this test: a whole attempt on a busy machine fits.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn bad_input_is_refused_with_its_place_and_the_farm_works_on() {
    let farm = Farm::start(&Plan::of(1)).await.unwrap();
    let http = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();

    a_torn_upload_leaves_nothing(&farm).await;
    let archive = std::fs::read(sample("mooring-140.ipa")).unwrap();
    let half = archive[..archive.len() / 2].to_vec();
    for (body, words) in [(leading_out(), "leads out of the archive"), (half, "zip")] {
        let refused = send(&http, &farm, Method::POST, "/api/v1/builds", body).await;
        assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{:#}", refused.1);
        let told = refused.1.to_string().to_lowercase();
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    let escaped =
        [farm.folder(), farm.folder().parent().unwrap()].map(|folder| folder.join("escaped").exists());
    assert_eq!(escaped, [false; 2], "the archive wrote beside its folder");
    let builds = send(&http, &farm, Method::GET, "/api/v1/builds", Vec::new()).await.1;
    assert_eq!(builds["items"], json!([]), "what was refused is not kept");
    let blobs = farm.folder().join("daemon/blobs");
    assert_eq!(files(&blobs), 0, "bytes of refused builds");

    five_mistakes_are_five(&http, &farm).await;
    a_report_that_nobody_can_read_is_kept(&http, &farm).await;
    configuration_mistakes_have_their_place(&farm).await;

    a_good_job_runs(&farm).await;
    assert!(files(&blobs) > 0, "blobs lie elsewhere, so nothing was seen above");
    farm.stop().await.unwrap();
}

/// An upload that ends before its announced length.
async fn a_torn_upload_leaves_nothing(farm: &Farm) {
    let address = farm.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("POST /api/v1/builds HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&[b'P'; 10_000]).await.unwrap();
    socket.shutdown().await.unwrap();
    // Whether it still gets an answer or is only hung up on, it ends soon.
    let mut answer = Vec::new();
    let _hung_up = timeout(LIMIT, socket.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

async fn five_mistakes_are_five(http: &Client, farm: &Farm) {
    let job = json!({
        "class": "custom", "build": "00".repeat(32), "cases": ["cold-lunch"],
        "inline_cases": [{ "name": "mine", "owner": "me", "run": { "kind": "launch", "launches": 0 } }],
        "requirements": { "os_min": "17", "os_max": "16" }, "start_by": "2020-01-01T00:00:00Z"
    });
    let refused = send(http, farm, Method::POST, "/api/v1/jobs", job.to_string().into_bytes()).await;
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY);
    let mistakes = refused.1["mistakes"].as_array().unwrap();
    let places: Vec<&str> = mistakes.iter().map(|mistake| mistake["place"].as_str().unwrap()).collect();
    let expected = ["build", "cases[0]", "inline_cases[0].run.launches", "requirements.os_min", "start_by"];
    assert_eq!(places, expected);
}

/// As an agent would bring it; the words of the request are the wire's.
async fn a_report_that_nobody_can_read_is_kept(http: &Client, farm: &Farm) {
    let bytes = b"\xff\xfe{ nothing that a phone writes".to_vec();
    let id = CrashId::new(*blake3::hash(&bytes).as_bytes());
    let put = send(http, farm, Method::PUT, &format!("/agent/v1/blobs/{id}"), bytes.clone()).await;
    assert_eq!(put.0, StatusCode::CREATED, "{:#}", put.1);
    let origin = json!({
        "id": id, "phone": "00008110-000A2D8E3C41801E", "rack": "rack-9", "path": "Broken.ips",
        "size_bytes": bytes.len(), "collected_at": "2026-01-01T00:00:00Z", "attempt": null
    });
    let said = json!({
        "protocol": 1, "rack": "rack-9", "agent_start": "s1", "number": 1, "agent_version": "0.1.0",
        "daemon_start": null, "orders_seen": 0, "phones_version": 0, "phones": [], "held": [],
        "entries": [{ "id": "e1", "what": { "item": "crash_taken", "origin": origin } }],
        "progress": [], "wait_ms": 0
    });
    let told = send(http, farm, Method::POST, "/agent/v1/sync", said.to_string().into_bytes()).await;
    assert_eq!((told.0, &told.1["confirmed"]), (StatusCode::OK, &json!(["e1"])), "{:#}", told.1);
    let crashes = farm.api.crashes().await.unwrap();
    let kinds: Vec<&str> = crashes.iter().map(|crash| crash.kind.as_str()).collect();
    assert_eq!(kinds, ["unreadable"]);
    let raw = http.get(format!("{}/api/v1/crashes/{id}/raw", farm.url)).send().await.unwrap();
    assert_eq!(raw.bytes().await.unwrap(), bytes, "the bytes are kept as they came");
}

async fn configuration_mistakes_have_their_place(farm: &Farm) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("holdfastd.yaml");
    std::fs::copy(farm.folder().join("holdfastd.yaml"), &config).unwrap();
    std::fs::create_dir(folder.path().join("cases")).unwrap();
    let pools = "pools:\n  - name: general\n    serves: [urgent]\n    rest: true\n";
    std::fs::write(folder.path().join("pools.yaml"), pools).unwrap();
    let child = Command::new(program("holdfastd").unwrap())
        .arg("--config")
        .arg(&config)
        .arg("--check-config")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(LIMIT, child).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(output.stdout.is_empty(), "mistakes belong to standard error");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("pools.yaml:3:14: pools[0].serves[0]: "), "{words}");
}

async fn a_good_job_runs(farm: &Farm) {
    let (archive, symbols) = (sample("mooring-140.ipa"), sample("mooring-140.dSYM.zip"));
    let build = farm.api.upload(&archive, &symbols, &[]).await.unwrap();
    let request = json!({
        "class": "crash", "build": build.identity.hash,
        "inline_cases": [{ "name": "once", "owner": "me", "run": { "kind": "launch", "launches": 1, "stay_ms": 200 } }]
    });
    let job = farm.api.submit(&serde_json::from_value(request).unwrap(), "good").await.unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        let state = serde_json::to_value(farm.api.job(job.id).await.unwrap().state).unwrap();
        if state["state"] == "ended" {
            assert_eq!(state["outcome"]["outcome"], "passed", "{state:#}");
            return;
        }
        assert!(Instant::now() < deadline, "{state:#}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn send(http: &Client, farm: &Farm, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let request = http.request(method, format!("{}{path}", farm.url));
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    let status = answer.status();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
}

/// A good build with one more entry, whose name climbs out of the folder of whoever unpacks it.
fn leading_out() -> Vec<u8> {
    let archive = std::fs::File::open(sample("mooring-140.ipa")).unwrap();
    let mut archive = zip::ZipArchive::new(archive).unwrap();
    let mut bad = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        bad.raw_copy_file(archive.by_index_raw(index).unwrap()).unwrap();
    }
    bad.start_file("../../../escaped", zip::write::SimpleFileOptions::default()).unwrap();
    bad.write_all(b"out").unwrap();
    bad.finish().unwrap().into_inner()
}

fn files(folder: &Path) -> usize {
    let Ok(list) = std::fs::read_dir(folder) else { return 0 };
    list.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}
