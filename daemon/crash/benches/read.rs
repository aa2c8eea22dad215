//! How fast reports are read and signed, on one thread, held against a bare typed `serde_json` parse of the same files
//! in the same run. `scripts/bench crash` runs it.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may fail loudly and prints its figures"
)]

use std::borrow::Cow;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;

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

/// Rounds: the fastest of them counts, because whatever else runs on the machine only slows a round down.
const ROUNDS: u32 = 15;
/// Bytes that one round reads at least.
const ROUND_BYTES: usize = 20_000_000;

fn bare(bytes: &[u8]) -> Option<(Header<'_>, Body<'_>)> {
    let mut stream = serde_json::Deserializer::from_slice(bytes);
    let header = Header::deserialize(&mut stream).ok()?;
    let body = Body::deserialize(&mut stream).ok()?;
    Some((header, body))
}

fn files(folder: &PathBuf, found: &mut Vec<(String, Vec<u8>)>) {
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

fn best(files: &[(String, Vec<u8>)], times: usize, mut work: impl FnMut(&[u8])) -> f64 {
    let started = Instant::now();
    for _ in 0..times {
        for (_, bytes) in files {
            work(bytes);
        }
    }
    started.elapsed().as_secs_f64()
}

fn main() {
    let extra = std::env::var_os("HOLDFAST_EXTRA_FIXTURES").map(|folder| PathBuf::from(folder).join("ips"));
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folder = std::env::args_os()
        .skip(1)
        .find(|word| word != "--bench")
        .map(PathBuf::from)
        .or(extra)
        .unwrap_or(own);
    let mut crashes = Vec::new();
    files(&folder, &mut crashes);
    crashes.sort();
    let bytes: usize = crashes.iter().map(|(_, bytes)| bytes.len()).sum();
    let times = (ROUND_BYTES / bytes.max(1)).max(1);
    let rules = holdfast_crash::Rules::default();
    let (mut typed, mut ours) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        typed = typed.min(best(&crashes, times, |bytes| {
            black_box(bare(black_box(bytes)));
        }));
        ours = ours.min(best(&crashes, times, |bytes| {
            let report = holdfast_crash::read(black_box(bytes));
            black_box(holdfast_crash::signature(&report, &rules));
            black_box(report);
        }));
    }
    let megabytes = (bytes * times) as f64 / 1e6;
    let count = (crashes.len() * times) as f64;
    println!("{} files of 309 in {}, {} bytes", crashes.len(), folder.display(), bytes);
    println!("bare typed serde_json  {:>8.0} files/s {:>8.1} MB/s", count / typed, megabytes / typed);
    println!("read and sign          {:>8.0} files/s {:>8.1} MB/s", count / ours, megabytes / ours);
    println!("ratio {:.2} (at most 1.5)", ours / typed);
}
