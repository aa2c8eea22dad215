//! The program itself: its first line, its end, its exit codes, export and import. What it serves is in `api.rs` and
//! `agents.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

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

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
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
