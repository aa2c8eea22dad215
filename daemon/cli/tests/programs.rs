//! What is done by the programs beside this one: they are stood in for by scripts.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "no daemon is needed here")]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::Ran;
use tempfile::TempDir;

/// One at a time: a program that is being written cannot be run, and a child that another test starts meanwhile
/// holds it open for writing until it runs its own.
static ALONE: Mutex<()> = Mutex::new(());

/// A folder with the program and scripts beside it, which becomes the working folder.
struct Installed {
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Installed {
    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn installed(scripts: &[(&str, &str)]) -> Installed {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_holdfast"), folder.path().join("holdfast")).unwrap();
    for (name, script) in scripts {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(folder.path().join("holdfastd.yaml"), "listen: 127.0.0.1:0\n").unwrap();
    std::fs::write(folder.path().join("agent.yaml"), "rack: rack-1\n").unwrap();
    std::fs::write(folder.path().join("else.yaml"), "colour: red\n").unwrap();
    Installed { folder, _alone: alone }
}

fn holdfast(folder: &Path, words: &[&str]) -> Ran {
    let mut command = support::program(&folder.join("holdfast"), words);
    command.current_dir(folder);
    support::run(command)
}

#[test]
fn every_file_is_checked_by_the_program_that_reads_it() {
    let folder = installed(&[("holdfastd", "echo daemon: $*"), ("holdfast-agent", "echo agent: $*")]);
    let ran = holdfast(folder.path(), &["config", "check", "holdfastd.yaml", "agent.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        ran.stdout,
        "daemon: --config holdfastd.yaml --check-config\nagent: --config agent.yaml --check-config\n"
    );
}

#[test]
fn every_mistake_of_every_file_is_shown() {
    let daemon = "echo 'holdfastd.yaml:1:9: listen: no address' >&2; echo 'holdfastd.yaml:2:1: x: unknown' >&2; exit 78";
    let folder = installed(&[("holdfastd", daemon), ("holdfast-agent", "echo agent.yaml is good")]);
    let words = ["config", "check", "holdfastd.yaml", "else.yaml", "agent.yaml"];
    let ran = holdfast(folder.path(), &words);
    assert_eq!((ran.code, ran.stderr.as_str()), (6, ""));
    assert_eq!(
        ran.stdout,
        "holdfastd.yaml:1:9: listen: no address\nholdfastd.yaml:2:1: x: unknown\nelse.yaml is neither a holdfastd.yaml \
         (it has `listen:`) nor an agent.yaml (it has `rack:`)\nagent.yaml is good\n"
    );
    let ran = holdfast(folder.path(), &[&words[..], &["--json"]].concat());
    let checked: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let good: Vec<_> = checked.as_array().unwrap().iter().map(|one| one["good"].as_bool().unwrap()).collect();
    assert_eq!((ran.code, good), (6, vec![false, false, true]));
}

#[test]
fn the_store_is_asked_for_through_its_owner() {
    let folder = installed(&[("holdfastd", "echo log >&2; echo \"done: $*\"")]);
    let ran = holdfast(folder.path(), &["store", "export", "--config", "holdfastd.yaml", "out"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "done: --config holdfastd.yaml store export out\n"));
    assert_eq!(ran.stderr, "log\n");
    let ran = holdfast(folder.path(), &["store", "import", "--config", "holdfastd.yaml", "in", "--json"]);
    let done: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(done, serde_json::json!({ "done": "done: --config holdfastd.yaml store import in" }));
}

#[test]
fn a_daemon_that_fails_gives_the_code() {
    for (script, code) in [("exit 78", 6), ("exit 1", 1), ("kill -9 $$", 1)] {
        let folder = installed(&[("holdfastd", script)]);
        let ran = holdfast(folder.path(), &["store", "export", "--config", "holdfastd.yaml", "out"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{script}");
    }
}

#[test]
fn a_program_that_is_not_installed_is_named() {
    let folder = installed(&[]);
    let ran = holdfast(folder.path(), &["config", "check", "agent.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("install holdfast-agent beside holdfast"), "{}", ran.stderr);
}
