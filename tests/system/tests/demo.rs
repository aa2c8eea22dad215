//! The demo is the first thing that anybody runs: with `--once --json` it ends well, shows every class, finds a
//! crash, and leaves standard output to the JSON alone.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use holdfast_system::process::program;
use serde_json::Value;
use tokio::process::Command;

/// The demo gives its jobs four minutes; starting and ending take less than one.
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_demo_ends_well_and_says_so_in_json() {
    let child = Command::new(program("holdfast-demo").unwrap())
        .args(["--once", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");

    // Anything else on standard output would not be JSON.
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["simulated"], true);
    let jobs = summary["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 8, "{summary:#}");
    let shown =
        |field: &str| -> BTreeSet<&str> { jobs.iter().map(|job| job[field].as_str().unwrap()).collect() };
    assert_eq!(shown("class"), ["baseline", "crash", "custom", "idle"].into());
    assert_eq!(shown("build"), ["140", "141"].into());
    // The bug came with the branch's build: whoever blames trunk has mixed the builds up.
    for job in jobs {
        let (crashes, outcome) = (job["crashes"].as_u64().unwrap(), job["outcome"].as_str().unwrap());
        match job["build"].as_str().unwrap() {
            "140" => assert_eq!((outcome, crashes), ("passed", 0), "{job:#}"),
            _ => assert!(outcome == "failed" && crashes > 0, "{job:#}"),
        }
    }
    let found: u64 = jobs.iter().map(|job| job["crashes"].as_u64().unwrap()).sum();
    assert_eq!(summary["crashes"].as_u64(), Some(found));

    let told = told.into_owned();
    for words in ["Holdfast on 8 simulated iPhones", "EXC_BAD_ACCESS", "(com.apple.main-thread) crashed"] {
        assert!(told.contains(words), "{words} is not in:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "colours or a moving picture off a terminal");
}
