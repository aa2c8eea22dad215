//! Small archives that the daemon takes for builds: an `Info.plist` and a program of nothing but a UUID. Whether phones
//! would run them is not asked here.

use std::io::{Cursor, Write};
use std::net::SocketAddr;

use anyhow::{Context, bail};
use holdfast_wire::build::Build;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::http::Http;

/// Feature branches that are worked on at the same time.
const BRANCHES: usize = 20;

/// Builds of a branch after which another begins.
const OF_A_BRANCH: usize = 5;

/// Every so manieth build is a feature branch's, the others are trunk's.
const FEATURE_EVERY: usize = 3;

/// The apps of the farm: two of three builds are the first one's.
pub const APPS: [&str; 2] = ["Mooring", "Harbour"];

/// The app of the build of this number.
pub fn app_of(number: usize) -> &'static str {
    APPS[usize::from(number % FEATURE_EVERY == 1)]
}

/// The UUID of its program, lower case with dashes.
pub fn uuid_of(number: usize) -> String {
    let digits: String = uuid(number).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// Uploads so many builds, each with its commit, branch, author and parent.
///
/// # Errors
/// The daemon refuses one.
pub async fn upload(address: SocketAddr, count: usize) -> anyhow::Result<Vec<Build>> {
    let mut http = Http::new(address);
    let mut builds = Vec::with_capacity(count);
    // The last commit of each app and branch: the next one follows it.
    let mut tips = std::collections::HashMap::new();
    for number in 0..count {
        let branch = match number % FEATURE_EVERY {
            2 => format!("feature-{}", number / OF_A_BRANCH % BRANCHES),
            _ => "trunk".to_owned(),
        };
        let commit = format!("{:040x}", number + 1);
        let author = format!("author-{}", number % 40);
        let mut path = format!("/api/v1/builds?commit={commit}&branch={branch}&author={author}");
        if let Some(parent) = tips.insert((app_of(number), branch), commit) {
            path.push_str(&format!("&parents={parent}"));
        }
        let answer = http.send("POST", &path, "application/octet-stream", &archive(number)?).await?;
        if answer.status != 201 {
            bail!("a build was answered with {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        builds.push(serde_json::from_slice(&answer.body).context("a build is described in JSON")?);
    }
    Ok(builds)
}

fn archive(number: usize) -> anyhow::Result<Vec<u8>> {
    let app = app_of(number);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("Info.plist", info(number).into_bytes()), (app, program(number))] {
        zip.start_file(format!("Payload/{app}.app/{name}"), SimpleFileOptions::default())
            .context("cannot begin an entry of an archive")?;
        zip.write_all(&bytes).context("cannot write an entry of an archive")?;
    }
    Ok(zip.finish().context("cannot finish an archive")?.into_inner())
}

fn info(number: usize) -> String {
    let app = app_of(number);
    let pairs = [
        ("CFBundleIdentifier", format!("example.{}", app.to_lowercase())),
        ("CFBundleExecutable", app.to_owned()),
        ("CFBundleShortVersionString", "8.0.1".to_owned()),
        ("CFBundleVersion", (number + 1).to_string()),
    ];
    let pairs: String =
        pairs.iter().map(|(key, value)| format!("<key>{key}</key><string>{value}</string>")).collect();
    format!("<?xml version=\"1.0\"?><plist version=\"1.0\"><dict>{pairs}</dict></plist>")
}

/// A 64-bit Mach-O header (`mach_header_64` of `<mach-o/loader.h>`) with `LC_UUID` as its only load command.
fn program(number: usize) -> Vec<u8> {
    const MAGIC_64: u32 = 0xfeed_facf;
    const ARM64: u32 = 0x0100_000c;
    const EXECUTE: u32 = 2;
    const LC_UUID: u32 = 0x1b;
    const COMMAND_BYTES: u32 = 24;
    let words = [MAGIC_64, ARM64, 0, EXECUTE, 1, COMMAND_BYTES, 0, 0, LC_UUID, COMMAND_BYTES];
    let mut program: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    program.extend(uuid(number));
    program
}

fn uuid(number: usize) -> [u8; 16] {
    let hash = blake3::hash(&number.to_le_bytes());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.as_bytes()[..16]);
    uuid
}
