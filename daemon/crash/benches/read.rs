//! How fast reports are read and signed, on one thread, held against a bare typed `serde_json` parse of the same files
//! in the same run, and against pycrashreport where `HOLDFAST_PYCRASHREPORT` names a Python that has it.
//! `scripts/bench crash` runs it.
//!
//! The strict reader borrows, passes registers over and keeps the members that ours keeps; it makes nothing of them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may fail loudly and prints its figures"
)]

use std::borrow::Cow;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use holdfast_crash::{Rules, read, signature};
use serde::Deserialize;

/// The daemon's own, so that figures hold for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a strict reader would declare for a crash: the same members that ours reads, borrowed where possible.
#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are there to be parsed")]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    #[serde(borrow, rename = "app_name")]
    app_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "app_version")]
    app_version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "build_version")]
    build_version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "bundleID")]
    bundle_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "bug_type")]
    bug_type: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "os_version")]
    os_version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "incident_id")]
    incident_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "slice_uuid")]
    slice_uuid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are there to be parsed")]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    capture_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    proc_launch: Option<Cow<'a, str>>,
    #[serde(borrow)]
    proc_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    proc_path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    proc_role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model_code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    incident: Option<Cow<'a, str>>,
    pid: Option<u64>,
    #[serde(borrow)]
    exception: Option<Exception<'a>>,
    #[serde(borrow)]
    termination: Option<Termination<'a>>,
    #[serde(borrow)]
    asi: Option<std::collections::BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>>>,
    faulting_thread: Option<u32>,
    #[serde(borrow)]
    last_exception_backtrace: Option<Vec<Frame<'a>>>,
    #[serde(borrow)]
    threads: Option<Vec<Thread<'a>>>,
    #[serde(borrow)]
    used_images: Option<Vec<Image<'a>>>,
    #[serde(borrow)]
    vm_region_info: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are there to be parsed")]
#[serde(rename_all = "camelCase")]
struct Exception<'a> {
    #[serde(borrow)]
    codes: Option<Cow<'a, str>>,
    raw_codes: Option<Vec<u64>>,
    #[serde(borrow, rename = "type")]
    exception_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    signal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subtype: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are there to be parsed")]
#[serde(rename_all = "camelCase")]
struct Termination<'a> {
    flags: Option<u64>,
    code: Option<u64>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    indicator: Option<Cow<'a, str>>,
    #[serde(borrow)]
    by_proc: Option<Cow<'a, str>>,
    by_pid: Option<u64>,
    #[serde(borrow)]
    reasons: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    details: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are there to be parsed")]
#[serde(rename_all = "camelCase")]
struct Thread<'a> {
    id: Option<u64>,
    triggered: Option<bool>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    queue: Option<Cow<'a, str>>,
    #[serde(borrow)]
    frames: Vec<Frame<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are there to be parsed")]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    image_index: Option<u64>,
    image_offset: Option<u64>,
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    symbol_location: Option<u64>,
    #[serde(borrow)]
    source_file: Option<Cow<'a, str>>,
    source_line: Option<u32>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are there to be parsed")]
struct Image<'a> {
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arch: Option<Cow<'a, str>>,
    base: Option<u64>,
    size: Option<u64>,
    #[serde(borrow)]
    uuid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// Reading and signing may take this much longer than a strict reader that stops at the first fault.
const RATIO_MAX: f64 = 1.5;
/// Reading and signing is at least so many times as fast as pycrashreport.
const PEER_RATIO_MIN: f64 = 4.0;
/// Rounds: the fastest of them counts, because whatever else runs on the machine only slows a round down.
const ROUNDS: u32 = 400;
/// Bytes that one round reads at least: a few milliseconds, so that many rounds are left alone by other programs.
const ROUND_BYTES: usize = 1_000_000;

fn bare(bytes: &[u8]) -> Option<(Header<'_>, Body<'_>)> {
    let mut stream = serde_json::Deserializer::from_slice(bytes);
    let header = Header::deserialize(&mut stream).ok()?;
    let body = Body::deserialize(&mut stream).ok()?;
    Some((header, body))
}

/// Every crash report with a JSON body in a folder and those below it.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let is_crash = bare(&bytes).is_some_and(|(header, body)| {
                header.bug_type.as_deref() == Some("309") && body.threads.is_some()
            });
            if is_crash {
                found.push((path.display().to_string(), bytes));
            }
        }
    }
}

/// How long all files take so many times.
fn seconds(files: &[(String, Vec<u8>)], times: usize, mut work: impl FnMut(&[u8])) -> f64 {
    let started = Instant::now();
    for _ in 0..times {
        for (_, bytes) in files {
            work(bytes);
        }
    }
    started.elapsed().as_secs_f64()
}

/// Of how many files pycrashreport reads every field, and its files a second; `None` where it is not installed.
fn pycrashreport(files: &[(String, Vec<u8>)]) -> Option<(usize, f64)> {
    let python = std::env::var_os("HOLDFAST_PYCRASHREPORT")?;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peer.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut paths = child.stdin.take().unwrap();
    for (path, _) in files {
        writeln!(paths, "{path}").unwrap();
    }
    drop(paths);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (count, seconds) = said.trim().split_once(' ').unwrap();
    Some((count.parse().unwrap(), files.len() as f64 / seconds.parse::<f64>().unwrap()))
}

fn main() -> ExitCode {
    let extra = std::env::var_os("HOLDFAST_EXTRA_FIXTURES").map(|folder| PathBuf::from(folder).join("ips"));
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let named = std::env::args_os().skip(1).find(|word| word != "--bench").map(PathBuf::from);
    let folder = named.or(extra).unwrap_or(own);
    let mut crashes = Vec::new();
    files(&folder, &mut crashes);
    crashes.sort();
    if crashes.is_empty() {
        println!("{} holds no crash report of iOS 15 or later", folder.display());
        return ExitCode::FAILURE;
    }
    let bytes: usize = crashes.iter().map(|(_, bytes)| bytes.len()).sum();
    let times = (ROUND_BYTES / bytes).max(1);
    let rules = Rules::default();
    let (mut typed, mut ours, mut ratios) = (f64::MAX, f64::MAX, Vec::new());
    for _ in 0..ROUNDS {
        let bare_took = seconds(&crashes, times, |bytes| {
            black_box(bare(black_box(bytes)));
        });
        let our_took = seconds(&crashes, times, |bytes| {
            let report = read(black_box(bytes));
            black_box(signature(&report, &rules));
            black_box(report);
        });
        typed = typed.min(bare_took);
        ours = ours.min(our_took);
        ratios.push(our_took / bare_took);
    }
    ratios.sort_by(f64::total_cmp);
    let megabytes = (bytes * times) as f64 / 1e6;
    let count = (crashes.len() * times) as f64;
    println!("{} reports in {}, {bytes} bytes, one thread", crashes.len(), folder.display());
    println!("bare typed parse  {:>8.0} files/s {:>8.1} MB/s", count / typed, megabytes / typed);
    println!("read and sign     {:>8.0} files/s {:>8.1} MB/s", count / ours, megabytes / ours);
    let ratio = ours / typed;
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or(ratio);
    println!(
        "ratio {ratio:.2} of the fastest rounds, {median:.2} in the median round; target at most {RATIO_MAX}"
    );
    let mut is_met = ratio <= RATIO_MAX;
    if let Some((read_count, peer_rate)) = pycrashreport(&crashes) {
        let peer_ratio = count / ours / peer_rate;
        println!(
            "pycrashreport     {peer_rate:>8.0} files/s, every field of {read_count} of the {}",
            crashes.len()
        );
        println!("{peer_ratio:.1} times pycrashreport; target at least {PEER_RATIO_MIN}");
        is_met &= peer_ratio >= PEER_RATIO_MIN;
    } else {
        println!("pycrashreport is left out: HOLDFAST_PYCRASHREPORT names no Python that has it");
    }
    if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
