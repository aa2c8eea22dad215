//! The program itself: its first line, its end, its exit codes, export and import. What it serves is in `api.rs` and
//! `agents.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Longest that one answer may take; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a good configuration of its own.
fn configured(folder: &Path) -> PathBuf {
    let file = folder.join("holdfastd.yaml");
    std::fs::write(&file, "listen: 127.0.0.1:0\ndata: data\npools: pools.yaml\ncases: cases\n").unwrap();
    std::fs::write(
        folder.join("pools.yaml"),
        "pools:\n  - name: all\n    serves: [crash, custom]\n    rest: true\n",
    )
    .unwrap();
    std::fs::create_dir(folder.join("cases")).unwrap();
    file
}

fn holdfastd(config: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfastd"));
    command.arg("--config").arg(config).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(config: &Path, more: &[&str]) -> Output {
    holdfastd(config, more).output().unwrap()
}

/// A daemon that is ended with the test, whatever happens.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(config: &Path) -> Self {
        let mut child = holdfastd(config, &[]).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready http://").unwrap_or(&line).to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address).unwrap();
        stream
    }

    /// Sends a request without a body; the status and the document of the answer.
    fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (host, close) = (&self.address, "connection: close\r\ncontent-length: 0");
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{close}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// Asks for the configuration in force until it is as wanted.
    fn config_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let (_, config) = self.ask("GET", "/api/v1/config");
            if wanted(&config) {
                return config;
            }
            assert!(std::time::Instant::now() < deadline, "{config}");
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone when the test went well.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_daemon_that_is_told_to_stop_closes_its_streams_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let mut daemon = Running::start(&config);
    let mut ready = String::new();
    daemon.get("/readyz").read_to_string(&mut ready).unwrap();
    assert!(ready.starts_with("HTTP/1.1 200") && ready.ends_with("ready\n"), "{ready}");

    let mut follower = BufReader::new(daemon.get("/api/v1/changes"));
    let mut head = String::new();
    follower.read_line(&mut head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    daemon.terminate();
    let mut rest = String::new();
    follower.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("text/event-stream"), "{rest}");
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let _first = Running::start(&config);
    let second = run(&config, &[]);
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains("has it open; stop that process"), "{words}");
}

#[test]
fn mistakes_in_the_configuration_have_an_exit_code_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let good = run(&config, &["--check-config"]);
    assert!(good.status.success());
    assert!(String::from_utf8_lossy(&good.stdout).contains("is good: 1 pools, 0 cases"));
    std::fs::write(folder.path().join("pools.yaml"), "pools: []\n").unwrap();
    std::fs::write(folder.path().join("cases/mine.yaml"), "name: mine\n").unwrap();
    for arguments in [&["--check-config"][..], &[]] {
        let bad = run(&config, arguments);
        assert_eq!(bad.status.code(), Some(78), "{arguments:?}");
        let words = String::from_utf8_lossy(&bad.stderr).into_owned();
        assert!(words.contains("pools.yaml:1:8: pools: there is no pool"), "{words}");
        assert!(words.contains("mine.yaml:1:1: missing field `owner`"), "{words}");
    }
}

#[test]
fn what_was_exported_is_imported_whole() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (config, elsewhere) = (configured(folder.path()), configured(other.path()));
    let mut daemon = Running::start(&config);
    daemon.terminate();
    assert!(daemon.child.wait().unwrap().success());
    let dump = folder.path().join("dump.jsonl");
    let dump = dump.to_str().unwrap();
    let exported = run(&config, &["store", "export", dump]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let imported = run(&elsewhere, &["store", "import", dump]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let again = other.path().join("again.jsonl");
    assert!(run(&elsewhere, &["store", "export", again.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read(dump).unwrap(), std::fs::read(again).unwrap());
}

/// A chat on this machine that takes one message and says what it was.
fn chat(listener: &std::net::TcpListener) -> Value {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut came, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let size = stream.read(&mut piece).unwrap();
        came.extend_from_slice(&piece[..size]);
        let text = String::from_utf8_lossy(&came).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(usize::MAX) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").unwrap();
            return serde_json::from_str(body).unwrap();
        }
    }
}

#[test]
fn a_crash_at_launch_reaches_the_chat() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let settings = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{settings}notify: notify.yaml\n")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let secret = folder.path().join("chat-url");
    std::fs::write(&secret, format!("http://{}/\n", listener.local_addr().unwrap())).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let rules = format!(
        "receivers:\n- {{name: chat, kind: slack, url: {{file: {}}}}}\nurgent: {{to: [chat]}}\n",
        secret.display()
    );
    std::fs::write(folder.path().join("notify.yaml"), rules).unwrap();
    let daemon = Running::start(&config);
    let report = concat!(
        r#"{"app_name":"Chat","bug_type":"309","os_version":"iPhone OS 17.2 (21C62)","bundleID":"example.chat"}"#,
        "\n",
        r#"{"procName":"Chat","procLaunch":"2026-11-20 10:00:00.0000 +0000","#,
        r#""captureTime":"2026-11-20 10:00:01.0000 +0000","#,
        r#""exception":{"type":"EXC_BAD_ACCESS","signal":"SIGSEGV"},"faultingThread":0,"#,
        r#""threads":[{"triggered":true,"frames":[{"imageIndex":0,"imageOffset":64,"symbol":"Room.open"}]}],"#,
        r#""usedImages":[{"source":"P","name":"Chat","base":4294967296,"size":65536,"#,
        r#""uuid":"4a1e0000-0000-3000-8000-000000000001","path":"/private/var/containers/Bundle/A/Chat.app/Chat"}]}"#,
    );
    let mut stream = TcpStream::connect(&daemon.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("host: {}\r\nconnection: close\r\ncontent-length: {}", daemon.address, report.len());
    write!(stream, "POST /api/v1/crashes?name=a.ips HTTP/1.1\r\n{head}\r\n\r\n{report}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let told = chat(&listener);
    let title = told["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(title.starts_with("new crash: Chat | bad access"), "{told}");
    let mut daemon = daemon;
    daemon.terminate();
    assert!(daemon.child.wait().unwrap().success());
}

const POOLS: &str = "pools:\n  - name: all\n    serves: [crash, custom]\n    rest: true\n";

/// A farm with one case and a schedule that no build serves.
fn scheduled(folder: &Path) -> PathBuf {
    let config = configured(folder);
    let settings = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{settings}schedules: schedules.yaml\n")).unwrap();
    let case = "name: c\nowner: perf\nrun:\n  kind: launch\n  launches: 5\n";
    std::fs::write(folder.join("cases/c.yaml"), case).unwrap();
    let schedules = "schedules:\n  - name: nightly\n    cron: 0 3 * * *\n    job: {class: custom, build: {branch: trunk}, \
                     cases: [c]}\n";
    std::fs::write(folder.join("schedules.yaml"), schedules).unwrap();
    config
}

#[test]
fn good_files_are_taken_into_force_while_the_daemon_runs() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Running::start(&scheduled(folder.path()));
    let (status, nothing) = daemon.ask("POST", "/api/v1/config/reload");
    assert_eq!((status, &nothing["changes"]), (200, &json!([])));

    let more = "classes:\n  custom: {rank: 5}\nowners:\n  video: {weight: 2}\nbatch_max: 0\n";
    std::fs::write(folder.path().join("pools.yaml"), format!("{POOLS}{more}")).unwrap();
    let warm = "name: warm\nowner: perf\nrun:\n  kind: launch\n  launches: 1\n";
    std::fs::write(folder.path().join("cases/warm.yaml"), warm).unwrap();
    let (status, reloaded) = daemon.ask("POST", "/api/v1/config/reload?by=ada&reason=new+lab");
    let changes = ["class custom: changed", "owner video: new", "batch_max: changed", "case warm: new"];
    assert_eq!((status, &reloaded["changes"]), (200, &json!(changes)));
    let (_, audit) = daemon.ask("GET", "/api/v1/audit");
    let told = json!([audit["items"][0]["by"], audit["items"][0]["reason"], audit["items"][0]["act"]]);
    let act = json!({ "act": "config_reloaded", "asked": "request", "changes": changes });
    assert_eq!(told, json!(["ada", "new lab", act]));
    assert_eq!(audit["items"][1]["act"]["changes"], json!([]), "the first changed nothing");
    let unserved = reloaded["warnings"].as_array().unwrap();
    assert!(unserved[0].as_str().unwrap().contains("no pool serves baseline"), "{unserved:?}");

    let (_, cases) = daemon.ask("GET", "/api/v1/cases");
    assert_eq!(cases["items"].as_array().unwrap().len(), 2);
    let (_, config) = daemon.ask("GET", "/api/v1/config");
    assert_eq!(config["loaded_at"], reloaded["loaded_at"]);
    assert_eq!(config["classes"][4]["class"], "custom", "the last of five now: {config}");
    let kinds: Vec<&Value> = config["files"].as_array().unwrap().iter().map(|file| &file["kind"]).collect();
    assert_eq!(kinds, ["daemon", "pools", "cases", "schedules"]);

    let (_, schedules) = daemon.ask("GET", "/api/v1/schedules");
    assert_eq!(schedules["items"][0]["next"].as_array().unwrap().len(), 5);
    assert_eq!(schedules["items"][0]["build"], "the newest build of branch trunk");
    let (status, refused) = daemon.ask("POST", "/api/v1/schedules/nightly/run");
    assert_eq!((status, refused["type"].as_str()), (409, Some("urn:holdfast:not-runnable")));
    let words = refused["detail"].as_str().unwrap();
    assert!(words.starts_with("nightly: there is no build of branch trunk"), "{words}");
}

#[test]
fn bad_files_are_refused_whole_and_what_was_in_force_stays() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Running::start(&scheduled(folder.path()));
    let (_, before) = daemon.ask("GET", "/api/v1/config");
    // A good file beside two bad ones: nothing of it counts.
    std::fs::write(folder.path().join("pools.yaml"), format!("{POOLS}batch_max: 2000\nrank: 1\n")).unwrap();
    std::fs::write(folder.path().join("schedules.yaml"), "schedules: [{name: a, cron: 0 3 * *}]\n").unwrap();
    let warm = "name: warm\nowner: perf\nrun:\n  kind: launch\n  launches: 1\n";
    std::fs::write(folder.path().join("cases/warm.yaml"), warm).unwrap();
    let (status, refused) = daemon.ask("POST", "/api/v1/config/reload");
    assert_eq!((status, refused["type"].as_str()), (422, Some("urn:holdfast:mistakes")), "{refused}");
    let places: Vec<String> = refused["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| {
            mistake["place"].as_str().unwrap().replace(&format!("{}/", folder.path().display()), "")
        })
        .collect();
    assert_eq!(places, ["pools.yaml:6:1: rank", "schedules.yaml:1:13: schedules[0]"]);

    let (_, config) = daemon.ask("GET", "/api/v1/config");
    assert_eq!(config["loaded_at"], before["loaded_at"]);
    assert_eq!(config["refused"]["mistakes"], refused["mistakes"]);
    let (_, cases) = daemon.ask("GET", "/api/v1/cases");
    assert_eq!(cases["items"].as_array().unwrap().len(), 1);
    let (_, schedules) = daemon.ask("GET", "/api/v1/schedules");
    assert_eq!(schedules["items"][0]["name"], "nightly");

    // Mended, a signal is enough.
    std::fs::write(folder.path().join("pools.yaml"), POOLS).unwrap();
    std::fs::write(folder.path().join("schedules.yaml"), "schedules: []\n").unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    let config = daemon.config_when(|config| config["refused"].is_null());
    assert_ne!(config["loaded_at"], before["loaded_at"]);
    let (_, schedules) = daemon.ask("GET", "/api/v1/schedules");
    assert_eq!(schedules["items"], json!([]));

    // And a signal at bad files ends nothing.
    std::fs::write(folder.path().join("pools.yaml"), "pools: []\n").unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    let config = daemon.config_when(|config| !config["refused"].is_null());
    let what = config["refused"]["mistakes"][0]["what"].as_str().unwrap();
    assert!(what.starts_with("there is no pool"), "{what}");
    let (_, audit) = daemon.ask("GET", "/api/v1/audit");
    let acts: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| &entry["act"]).collect();
    let told: Vec<_> =
        acts.iter().map(|act| (act["act"].as_str().unwrap(), act["asked"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [("reload_refused", "signal"), ("config_reloaded", "signal"), ("reload_refused", "request")]
    );
    assert!(acts[2]["mistakes"][0].as_str().unwrap().contains("pools.yaml:6:1: rank"), "{audit}");
}

#[test]
fn a_schema_is_printed_without_a_configuration() {
    let printed = Command::new(env!("CARGO_BIN_EXE_holdfastd")).args(["schema", "pools"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let without = Command::new(env!("CARGO_BIN_EXE_holdfastd")).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("--config FILE is needed"));
}
