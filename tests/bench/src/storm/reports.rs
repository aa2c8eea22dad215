//! Crash files in any number: our own fixture of a Swift trap, with the stacks of some hundred defects and as many
//! threads and images as real reports have. Files of one defect differ in what real ones differ in.

use std::path::Path;

use anyhow::Context;
use holdfast_wire::id::BuildHash;
use holdfast_wire::time::Time;
use serde_json::{Value, json};

use super::builds::{APPS, app_of, uuid_of};
use crate::random::Random;

/// The smallest and the largest file, bytes: what phones write of apps, small and large.
const BYTES: (usize, usize) = (20_000, 150_000);

/// Frames of a thread, at least and at most.
const FRAMES: (usize, usize) = (8, 40);

/// Images of the smallest app, and bytes of a report for each further one.
const IMAGES: usize = 40;
const BYTES_PER_IMAGE: usize = 1_000;

/// Each defect happens at least once in so many files for each of them.
const EACH_EVERY: usize = 20;

/// Every so manieth file belongs to no attempt.
const FOUND_LATER_EVERY: usize = 4;

/// What differs from file to file stands in a template under these names.
const INCIDENT: &str = "@incident@";
const PID: &str = "@pid@";
const UUID: &str = "@uuid@";
const AT: &str = "@at@";

/// One crash file.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name on the phone.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Makes crash files.
#[derive(Debug)]
pub struct Reports {
    /// One for each defect, cut where files differ: what stands before a name, and the name.
    defects: Vec<Vec<(String, &'static str)>>,
    builds: usize,
    at: String,
}

impl Reports {
    /// Files of so many defects in so many builds, that happened now.
    ///
    /// # Errors
    /// The fixture is not there or is no report.
    pub fn new(defects: usize, builds: usize) -> anyhow::Result<Self> {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../daemon/crash/fixtures/swift_trap_in_launch.ips");
        let text = std::fs::read_to_string(&fixture)
            .with_context(|| format!("cannot read {}", fixture.display()))?;
        let (header, body) = text.split_once('\n').context("a report has two parts")?;
        let (header, body): (Value, Value) = (serde_json::from_str(header)?, serde_json::from_str(body)?);
        let defects = (0..defects).map(|defect| template(header.clone(), body.clone(), defect)).collect();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = Time::from_unix_ms(i64::try_from(now.as_millis())?).to_string();
        let (day, time) = now.split_once('T').context("a moment has a day and a time")?;
        let time: String = time.chars().take("19:55:00".len()).collect();
        Ok(Self { defects, builds, at: format!("{day} {time}.0000 +0000") })
    }

    /// The defect and the build of the file of this number, when so many defects happen: each of them now and then, some
    /// much more often.
    pub fn of(&self, number: usize, defects: usize) -> (usize, usize) {
        let mut random = Random::new(number as u64);
        let skewed = (random.unit().powi(2) * defects as f64) as usize;
        let defect = if number.is_multiple_of(EACH_EVERY) { number / EACH_EVERY } else { skewed } % defects;
        // A phone has one of the newest builds, or any older one.
        let newest = self.builds - 1 - random.place((self.builds / 10).max(1));
        let build = if random.below(3) > 0 { newest } else { random.place(self.builds) };
        (defect, (0..=build).rev().find(|build| app_of(*build) == app(defect)).unwrap_or(0))
    }

    /// The file of this number, and the build in whose attempt it happened; some were found later.
    pub fn file(&self, number: usize, defects: usize, hashes: &[BuildHash]) -> (File, Option<BuildHash>) {
        let (defect, build) = self.of(number, defects);
        let mut text = String::new();
        for (before, name) in &self.defects[defect] {
            text.push_str(before);
            match *name {
                INCIDENT => text.push_str(&format!("7A1F0C44-52D3-4E0B-9C1E-{number:012X}")),
                PID => text.push_str(&(300 + number % 30_000).to_string()),
                UUID => text.push_str(&uuid_of(build)),
                AT => text.push_str(&self.at),
                _ => {}
            }
        }
        let path = format!("{}-2026-11-21-{number:06}.ips", app(defect));
        let attempt = hashes.get(build).copied().filter(|_| !number.is_multiple_of(FOUND_LATER_EVERY));
        (File { path, bytes: text.into_bytes() }, attempt)
    }
}

fn app(defect: usize) -> &'static str {
    APPS[usize::from(defect % 3 == 1)]
}

fn template(mut header: Value, mut body: Value, defect: usize) -> Vec<(String, &'static str)> {
    let mut random = Random::new(defect as u64);
    let app = app(defect);
    let bundle = format!("example.{}", app.to_lowercase());
    let path = format!("/private/var/containers/Bundle/Application/A/{app}.app/{app}");
    for (name, value) in [
        ("app_name", app),
        ("name", app),
        ("bundleID", &bundle),
        ("incident_id", INCIDENT),
        ("slice_uuid", UUID),
        ("timestamp", AT),
    ] {
        header[name] = json!(value);
    }
    for (name, value) in [
        ("procName", app),
        ("procPath", &path),
        ("coalitionName", &bundle),
        ("incident", INCIDENT),
        ("captureTime", AT),
        ("procLaunch", AT),
        ("pid", PID),
    ] {
        body[name] = json!(value);
    }
    body["bundleInfo"]["CFBundleIdentifier"] = json!(bundle);
    let bytes = BYTES.0 + random.place(BYTES.1 - BYTES.0);
    let mut images =
        vec![json!({ "source": "P", "arch": "arm64", "base": 4_300_210_176_u64, "size": 1_048_576,
        "uuid": UUID, "path": path, "name": app })];
    images.extend((1..IMAGES + bytes / BYTES_PER_IMAGE).map(|number| image(number, &mut random)));
    let mut threads = vec![json!({ "triggered": true, "id": 900, "queue": "com.apple.main-thread",
        "frames": crashed(defect, &mut random) })];
    body["faultingThread"] = json!(0);
    if let Some(body) = body.as_object_mut() {
        body.remove("asi");
    }
    let mut size = body.to_string().len() + Value::from(images.clone()).to_string().len();
    while size < bytes {
        let thread = thread(threads.len(), images.len(), &mut random);
        size += thread.to_string().len();
        threads.push(thread);
    }
    body["usedImages"] = images.into();
    body["threads"] = threads.into();
    // The process number stands in a report without quotes.
    let text = format!("{header}\n{body}").replace(&format!("\"{PID}\""), PID);
    cut(&text)
}

fn image(number: usize, random: &mut Random) -> Value {
    let uuid = format!("{:08x}-2222-3333-8444-{number:012x}", random.below(1 << 32));
    json!({ "source": "C", "arch": "arm64e", "base": 6_500_000_000 + number * 400_000, "size": 240_000,
        "uuid": uuid, "name": format!("Part{number}"),
        "path": format!("/System/Library/PrivateFrameworks/Part{number}.framework/Part{number}") })
}

/// The stack of a defect: the app's own functions on top, a few of the system below.
fn crashed(defect: usize, random: &mut Random) -> Vec<Value> {
    let own = |depth: usize| {
        let module = letters(defect * 31 + depth * 7);
        json!({ "imageIndex": 0, "imageOffset": 4_096 + defect * 640 + depth * 16,
            "symbol": format!("{module}.{}(_:)", letters(defect + 17 * depth).to_lowercase()), "symbolLocation": 96 })
    };
    let mut frames: Vec<Value> = (0..5 + random.place(8)).map(own).collect();
    frames.extend(calls(12, IMAGES, random));
    frames
}

fn thread(number: usize, images: usize, random: &mut Random) -> Value {
    let frames = FRAMES.0 + random.place(FRAMES.1 - FRAMES.0);
    let frames = calls(frames, images, random);
    json!({ "id": 900 + number, "queue": "com.apple.root.default-qos", "frames": frames })
}

/// So many frames of the system.
fn calls(frames: usize, images: usize, random: &mut Random) -> Vec<Value> {
    let mut calls = Vec::with_capacity(frames);
    for _ in 0..frames {
        let image = 1 + random.place(images - 1);
        let symbol = format!("_{}{}", letters(image * 13), letters(random.place(400)));
        calls.push(json!({ "imageIndex": image, "imageOffset": random.below(240_000), "symbol": symbol,
            "symbolLocation": random.below(900) }));
    }
    calls
}

/// A name for a number: digits at a name's end may be a compiler's, letters are people's.
fn letters(number: usize) -> String {
    const PARTS: [&str; 16] = [
        "Room", "Feed", "Send", "Open", "Draw", "List", "Load", "Sync", "Call", "Pay", "Scan", "Clip",
        "Note", "Push", "Find", "Join",
    ];
    let mut rest = number;
    let mut name = String::new();
    loop {
        name.push_str(PARTS[rest % PARTS.len()]);
        rest /= PARTS.len();
        if rest == 0 {
            return name;
        }
    }
}

fn cut(text: &str) -> Vec<(String, &'static str)> {
    let mut cut = Vec::new();
    let mut rest = text;
    let next = |rest: &str| {
        [INCIDENT, PID, UUID, AT].into_iter().filter_map(|name| Some((rest.find(name)?, name))).min()
    };
    while let Some((at, name)) = next(rest) {
        cut.push((rest[..at].to_owned(), name));
        rest = &rest[at + name.len()..];
    }
    cut.push((rest.to_owned(), ""));
    cut
}
