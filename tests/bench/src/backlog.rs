//! A data folder whose store holds any number of waiting jobs. A daemon takes in a few jobs of the mix over HTTP; its
//! export is then multiplied and imported again, so that the records are the daemon's own whatever their shape is.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use holdfast_system::process::program;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::{Until, submit_all};
use crate::farm::{Daemon, configure};
use crate::phones::requirements;
use crate::random::Random;

/// Jobs that the daemon takes in itself: enough that every kind of the mix is there.
const SAMPLES: usize = 512;

/// What the keys of batches of waiting jobs begin with.
const BATCH: &[u8] = b"waiting/";

/// A folder for daemons, and the build that jobs in it test.
#[derive(Debug)]
pub struct Backlog {
    /// The folder, with configuration and data.
    pub folder: TempDir,
    /// The build.
    pub build: String,
}

/// Makes a folder with so many jobs waiting.
///
/// # Errors
/// The daemon refuses, or its export has another shape than expected.
pub async fn make(jobs: u64) -> anyhow::Result<Backlog> {
    let daemon = Daemon::start().await?;
    let mut random = Random::new(1);
    let bodies = (0..SAMPLES).map(|_| daemon.job("custom", &requirements(&mut random))).collect();
    submit_all(daemon.address, Arc::new(bodies), Until::Jobs(SAMPLES)).await?;
    let (sampled, build) = daemon.stop().await?;
    let folder = sampled.path();
    let (small, large) = (folder.join("small.dump"), folder.join("large.dump"));
    command(folder, "export", &small).await?;
    multiply(&small, &large, jobs)?;
    let target = crate::farm::folder()?;
    configure(target.path(), 0)?;
    // Builds and reports lie beside the store.
    let blobs = std::process::Command::new("cp")
        .args(["-a", "--"])
        .arg(folder.join("daemon"))
        .arg(target.path().join("daemon"))
        .status()
        .context("cannot copy the data folder")?;
    ensure!(blobs.success(), "cannot copy the data folder");
    std::fs::remove_dir_all(target.path().join("daemon/store")).context("cannot empty the store")?;
    command(target.path(), "import", &large).await?;
    Ok(Backlog { folder: target, build })
}

async fn command(folder: &Path, verb: &str, file: &Path) -> anyhow::Result<()> {
    let file = file.display().to_string();
    let done = tokio::process::Command::new(program("holdfastd")?)
        .arg("--config")
        .arg(folder.join("holdfastd.yaml"))
        .args(["store", verb, &file])
        .output()
        .await
        .context("cannot run the daemon's program")?;
    ensure!(done.status.success(), "`store {verb}` failed: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Writes a dump that holds what the small one does, but with at least so many jobs, in batches numbered from 1. What a
/// batch says of its jobs does not depend on its number.
fn multiply(small: &Path, large: &Path, jobs: u64) -> anyhow::Result<()> {
    let read = std::fs::File::open(small).with_context(|| format!("cannot read {}", small.display()))?;
    let mut lines = BufReader::new(read).lines();
    let head = lines.next().context("a dump has a first line")??;
    let (mut before, mut samples, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let line = line?;
        let entry: Value = serde_json::from_str(&line).context("a dump has JSON lines")?;
        let Some(key) = entry.get("key") else { continue };
        let key = bytes(key)?;
        if key.starts_with(BATCH) {
            samples.push(Sample::of(&entry)?);
        } else if key.as_slice() < BATCH {
            before.push(line);
        } else {
            after.push(line);
        }
    }
    // The first batch and the last are not full.
    let each = samples.iter().map(|sample| sample.jobs).max().context("the dump holds no batch of jobs")?;
    samples.retain(|sample| sample.jobs == each);
    let write = std::fs::File::create(large).with_context(|| format!("cannot write {}", large.display()))?;
    let mut out = Dump { to: BufWriter::new(write), hasher: blake3::Hasher::new(), entries: 0 };
    out.line(&head)?;
    before.iter().try_for_each(|line| out.entry(line))?;
    for number in 1..=jobs.div_ceil(each) {
        let sample = &samples[usize::try_from(number)? % samples.len()];
        out.entry(&sample.line(number))?;
    }
    after.iter().try_for_each(|line| out.entry(line))?;
    out.end()
}

/// A batch of the dump.
struct Sample {
    version: u64,
    value: String,
    jobs: u64,
}

impl Sample {
    fn of(entry: &Value) -> anyhow::Result<Self> {
        let version = entry.get("version").and_then(Value::as_u64).context("an entry has a version")?;
        let value = String::from_utf8(bytes(entry.get("value").context("an entry has a value")?)?)?;
        let record: Value = serde_json::from_str(&value).context("a record is JSON")?;
        let jobs = record.pointer("/data/jobs").and_then(Value::as_array).context("a batch has jobs")?;
        Ok(Self { version, jobs: jobs.len() as u64, value })
    }

    /// Its line under another number.
    fn line(&self, number: u64) -> String {
        let Self { version, value, .. } = self;
        let key = [BATCH, &number.to_be_bytes()].concat();
        // The check of the dump's format: the first 16 bytes of BLAKE3 over key, version and value.
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(key.len() as u64).to_be_bytes()).update(&key);
        hasher.update(&version.to_be_bytes()).update(value.as_bytes());
        let check = hasher.finalize().to_hex();
        let key = match String::from_utf8(key) {
            Ok(text) => json!({ "text": text }),
            Err(error) => {
                json!({ "hex": error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
            }
        };
        json!({ "key": key, "version": version, "value": { "text": value }, "check": check[..32] })
            .to_string()
    }
}

fn bytes(value: &Value) -> anyhow::Result<Vec<u8>> {
    if let Some(text) = value.get("text").and_then(Value::as_str) {
        return Ok(text.as_bytes().to_vec());
    }
    let digits = value.get("hex").and_then(Value::as_str).context("bytes are text or hex")?;
    let byte = |place: usize| {
        digits
            .get(place..place + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .context("bytes in hex")
    };
    (0..digits.len()).step_by(2).map(byte).collect()
}

struct Dump<W: Write> {
    to: W,
    hasher: blake3::Hasher,
    entries: u64,
}

impl<W: Write> Dump<W> {
    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.hasher.update(line.as_bytes()).update(b"\n");
        self.to.write_all(line.as_bytes())?;
        Ok(self.to.write_all(b"\n")?)
    }

    fn entry(&mut self, line: &str) -> anyhow::Result<()> {
        self.entries += 1;
        self.line(line)
    }

    fn end(mut self) -> anyhow::Result<()> {
        let checksum = self.hasher.finalize().to_hex().to_string();
        // The last line is told by how it begins.
        writeln!(self.to, "{{\"entries\":{},\"blake3\":\"{checksum}\"}}", self.entries)?;
        Ok(self.to.flush()?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_store::codec::Kind;
    use holdfast_store::{MemoryStore, Store};

    use super::*;

    #[tokio::test]
    async fn a_multiplied_dump_is_one_that_the_store_takes() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (folder.path().join("small"), folder.path().join("large"));
        let sample = |number: u8, jobs: usize| {
            // In the order of a record: that of a tree of values hangs on what else is built.
            let value = format!(r#"{{"v":3,"data":{{"jobs":[{}]}}}}"#, vec!["{}"; jobs].join(","));
            let key = format!("waiting/\0\0\0\0\0\0\0{}", char::from(number));
            json!({ "key": { "text": key }, "version": 2, "value": { "text": value }, "check": "" })
        };
        let (first, full, last) = (sample(0, 1), sample(1, 2), sample(2, 1));
        let dump =
            format!("{{\"holdfast_dump\":1,\"revision\":7}}\n{first}\n{full}\n{last}\n{{\"entries\":3}}\n");
        std::fs::write(&small, dump).unwrap();
        multiply(&small, &large, 600).unwrap();
        let read = BufReader::new(std::fs::File::open(&large).unwrap());
        let store = MemoryStore::from_dump(read).unwrap();
        let page = store.scan_prefix(BATCH, None, 1_000).await.unwrap();
        assert!(page.entries.iter().all(|entry| entry.value.ends_with(b"[{},{}]}}")), "only full ones");
        let kind = Kind::new("waiting");
        let numbers = page.entries.iter().map(|entry| kind.number_of(&entry.key).unwrap());
        assert!(numbers.eq(1..=300));
    }
}
