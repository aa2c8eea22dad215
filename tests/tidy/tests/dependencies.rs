//! What may come into the build from outside: licences that fit Apache-2.0, one TLS provider, one registry, and no
//! dependency that nobody uses. Known advisories are a matter of the day and are not looked up here.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Licences that may be linked into an Apache-2.0 program. MPL-2.0 binds its own files only.
const LICENCES: [&str; 15] = [
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "Unicode-3.0",
    "BSL-1.0",
    "MPL-2.0",
    "MPL-2.0+",
    "CDLA-Permissive-2.0",
];

/// Crates that must not come in, with the reason.
const BANNED: [(&str, &str); 5] = [
    ("aws-lc-rs", "ring is the one TLS provider; two of them panic at the first connection"),
    ("openssl-sys", "ring is the one TLS provider, and needs no system library"),
    ("native-tls", "ring is the one TLS provider"),
    ("serde_yml", "flagged unsound; serde_yaml is what we use"),
    ("atty", "unmaintained; std tells whether a stream is a terminal"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether an SPDX expression can be satisfied with our list: one side of an OR, every side of an AND.
fn fits(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    plain.split(" OR ").any(|choice| {
        choice.split(" AND ").all(|part| {
            let name = part.split(" WITH ").next().unwrap_or("").trim();
            LICENCES.contains(&name)
        })
    })
}

#[test]
fn every_licence_fits_ours() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "the graph is whole");
    let strangers: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(fits))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(strangers.is_empty(), "licences that do not fit:\n{}", strangers.join("\n"));
}

#[test]
fn nothing_banned_comes_in() {
    let metadata = metadata();
    let names: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|node| node["id"].as_str()?.rsplit('#').next()?.split('@').next())
        .collect();
    let found: Vec<String> = BANNED
        .iter()
        .filter(|(name, _)| names.contains(name))
        .map(|(name, reason)| format!("{name}: {reason}"))
        .collect();
    assert!(found.is_empty(), "banned crates in the graph:\n{}", found.join("\n"));
}

#[test]
fn every_shared_dependency_has_a_user() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let shared = section.lines().filter_map(|line| {
        let (name, _) = line.split_once(" = ")?;
        name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).then_some(name)
    });
    let metadata = metadata();
    let members: Vec<String> = metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|id| {
            let package = metadata["packages"].as_array()?.iter().find(|package| package["id"] == *id)?;
            std::fs::read_to_string(package["manifest_path"].as_str()?).ok()
        })
        .collect();
    let unused: Vec<&str> = shared
        .filter(|name| {
            let plain = format!("\n{name}.workspace");
            let table = format!("\n{name} = {{ workspace");
            !members.iter().any(|member| member.contains(&plain) || member.contains(&table))
        })
        .collect();
    assert!(unused.is_empty(), "nobody uses {}; take them out of the root manifest", unused.join(", "));
}

#[test]
fn licence_expressions_are_read_as_they_are_written() {
    let table = [
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0-only", false),
        ("MIT AND GPL-3.0-only", false),
    ];
    for (expression, expected) in table {
        assert_eq!(fits(expression), expected, "{expression}");
    }
}
