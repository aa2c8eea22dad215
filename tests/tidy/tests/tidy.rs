//! House rules as tests: who may know whom, how long a file may be, that every file says what lives in it,
//! what may lie at the top, and which words have no place here. What clippy can say is left to clippy.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file longer than this holds a second idea; inline tests do not count.
const LINES_MAX: usize = 900;

/// What may lie at the top. Dot-files are free.
const TOP: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "agent", "config", "daemon", "scripts", "tests"];

/// Which of our crates each crate may depend on in its normal dependencies. Every arrow points down.
const ARROWS: [(&str, &[&str]); 21] = [
    ("holdfast-wire", &[]),
    ("holdfast-calendar", &["holdfast-wire"]),
    ("holdfast-scheduler", &["holdfast-wire", "holdfast-calendar"]),
    ("holdfast-bisect", &[]),
    ("holdfast-crash", &["holdfast-wire"]),
    ("holdfast-symbols", &["holdfast-crash"]),
    ("holdfast-notify", &["holdfast-wire"]),
    ("holdfast-store", &["holdfast-wire", "holdfast-scheduler"]),
    (
        "holdfastd",
        &[
            "holdfast-wire",
            "holdfast-scheduler",
            "holdfast-calendar",
            "holdfast-bisect",
            "holdfast-crash",
            "holdfast-notify",
            "holdfast-symbols",
            "holdfast-store",
        ],
    ),
    ("holdfast-cli", &["holdfast-wire", "holdfast-crash", "holdfast-symbols"]),
    ("holdfast-attempt", &["holdfast-wire"]),
    ("holdfast-device", &["holdfast-wire"]),
    ("holdfast-usb", &["holdfast-wire", "holdfast-device"]),
    ("holdfast-agent", &["holdfast-wire", "holdfast-attempt", "holdfast-device", "holdfast-usb"]),
    ("holdfast-simphone", &[]),
    ("holdfast-powercut", &["holdfast-scheduler", "holdfast-store", "holdfast-wire", "holdfastd"]),
    ("holdfast-simfarm", &["holdfast-wire", "holdfast-calendar", "holdfast-scheduler", "holdfast-attempt"]),
    ("holdfast-leases", &["holdfast-wire", "holdfast-scheduler", "holdfast-attempt"]),
    ("holdfast-system", &["holdfast-wire"]),
    (
        "holdfast-bench",
        &["holdfast-wire", "holdfast-calendar", "holdfast-scheduler", "holdfast-store", "holdfast-system"],
    ),
    ("holdfast-tidy", &[]),
];

/// Crates that must be pure: no async runtime, no network, no files through a dependency.
const PURE: [(&str, &[&str]); 5] = [
    ("holdfast-scheduler", &["tokio", "serde", "reqwest", "sled", "getrandom", "jiff"]),
    ("holdfast-calendar", &["tokio", "reqwest", "sled", "getrandom"]),
    ("holdfast-attempt", &["tokio", "reqwest", "getrandom"]),
    ("holdfast-bisect", &["tokio", "serde", "reqwest", "sled", "getrandom"]),
    ("holdfast-crash", &["tokio", "reqwest", "sled"]),
];

/// The only crate that may name the device libraries.
const DEVICE_CRATE: &str = "holdfast-usb";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file that git tracks or would track.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git lists the files");
    let mut files: Vec<PathBuf> =
        String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    assert!(files.len() > 50, "the list of files is whole");
    files
}

fn read(file: &Path) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(file)).unwrap()).ok()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let rust = files().into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|file| (file.clone(), read(&file).unwrap())).collect()
}

fn report(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "{} mistakes:\n{}", mistakes.len(), mistakes.join("\n"));
}

#[test]
fn only_the_agreed_things_lie_at_the_top() {
    let top: BTreeSet<String> = files()
        .iter()
        .filter_map(|file| file.components().next())
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let allowed: BTreeSet<String> = TOP.iter().map(|name| (*name).to_owned()).collect();
    let strangers: Vec<String> = top.difference(&allowed).cloned().collect();
    report(&strangers);
}

#[test]
fn every_arrow_points_down() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut dependencies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let normal = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect();
        dependencies.insert(package["name"].as_str().unwrap().to_owned(), names);
    }
    let mut mistakes = Vec::new();
    for (name, used) in &dependencies {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            mistakes.push(format!("{name} is not in the table of arrows; say whom it may know"));
            continue;
        };
        let ours = used.iter().filter(|used| dependencies.contains_key(*used));
        for stranger in ours.filter(|used| !allowed.contains(&used.as_str())) {
            mistakes.push(format!("{name} may not depend on {stranger}"));
        }
        for library in ["idevice", "rusb"].iter().filter(|library| used.contains(**library)) {
            if name != DEVICE_CRATE {
                mistakes.push(format!("{name} may not name {library}; {DEVICE_CRATE} alone does"));
            }
        }
        for (_, banned) in PURE.iter().filter(|(pure, _)| pure == name) {
            for library in banned.iter().filter(|library| used.contains(**library)) {
                mistakes.push(format!("{name} is pure and may not depend on {library}"));
            }
        }
    }
    for (name, _) in ARROWS.iter().filter(|(name, _)| !dependencies.contains_key(*name)) {
        mistakes.push(format!("the table of arrows names {name}, which is not there"));
    }
    report(&mistakes);
}

#[test]
fn every_rust_file_says_what_lives_in_it() {
    let silent = rust_files().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    report(
        &silent.map(|(file, _)| format!("{} does not begin with `//! `", file.display())).collect::<Vec<_>>(),
    );
}

#[test]
fn no_file_holds_two_ideas() {
    let mut mistakes = Vec::new();
    for (file, text) in rust_files() {
        let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        if lines > LINES_MAX {
            mistakes.push(format!("{} has {lines} lines; split it below {LINES_MAX}", file.display()));
        }
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let code = ["fn ", "pub fn ", "pub(crate) fn ", "async fn ", "impl "];
        if name == "lib.rs" && text.lines().any(|line| code.iter().any(|start| line.starts_with(start))) {
            mistakes.push(format!("{} holds logic; keep docs, modules and re-exports there", file.display()));
        }
    }
    report(&mistakes);
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    // Built from parts, so that this file does not find itself.
    let marks = ["TO", "FIX", "XX"].into_iter().zip(["DO", "ME", "X"]).map(|(a, b)| format!("{a}{b}"));
    let mut banned: Vec<String> = marks.collect();
    banned.extend([format!("#[{}", "ignore"), format!("#[{}(", "allow"), format!("#![{}(", "allow")]);
    let mut mistakes = Vec::new();
    for (file, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            for mark in banned.iter().filter(|mark| line.contains(mark.as_str())) {
                mistakes.push(format!("{}:{}: {mark}", file.display(), number + 1));
            }
        }
    }
    report(&mistakes);
}

#[test]
fn tests_do_not_sleep_through_their_waits() {
    let banned = format!("thread::{}(", "sleep");
    let sleepers = rust_files().into_iter().filter(|(file, text)| {
        file.components().any(|part| part.as_os_str() == "tests") && text.contains(&banned)
    });
    report(&sleepers.map(|(file, _)| format!("{} sleeps", file.display())).collect::<Vec<_>>());
}

#[test]
fn the_project_speaks_of_itself_alone() {
    // Built from parts, so that this file does not find itself.
    let words: Vec<String> = [("/wo", "rk/"), ("/home", "/"), ("/ro", "ot/"), ("crates", ".io-index")]
        .iter()
        .map(|(a, b)| format!("{a}{b}"))
        .collect();
    let mut mistakes = Vec::new();
    for file in files().into_iter().filter(|file| file != Path::new("Cargo.lock")) {
        let Some(text) = read(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                mistakes.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    report(&mistakes);
}
