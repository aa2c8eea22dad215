//! A real daemon in a folder of its own, on a free port, with light agents that share its phones. What they are asked
//! to do is the measurements' business.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use holdfast_system::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::agent::{Agent, Manner, Plan, SEEN_MAX, Seen, Staging, What};
use crate::http::Http;
use crate::phones::phone;

/// How long anything that a measurement waits for may take before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// One pool that serves every class: what a pool is for is not what is measured.
const POOLS: &str =
    "pools:\n  - { name: all, serves: [crash, baseline, custom, special, idle], rest: true }\n";

/// A running daemon. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Daemon {
    /// Where it serves.
    pub address: SocketAddr,
    /// The build that jobs test.
    pub build: String,
    process: Process,
    folder: TempDir,
}

impl Daemon {
    /// Starts a daemon with an empty store and uploads a build.
    ///
    /// # Errors
    /// It is not built, does not start, or refuses the build.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = folder()?;
        configure(folder.path(), 0)?;
        let (process, address) = launch(folder.path()).await?;
        let mut this = Self { address, build: String::new(), process, folder };
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builds/mooring-140.ipa");
        let bytes = std::fs::read(&sample).with_context(|| format!("cannot read {}", sample.display()))?;
        let answer =
            Http::new(address).send("POST", "/api/v1/builds", "application/octet-stream", &bytes).await?;
        let build: Value = serde_json::from_slice(&answer.body).context("a build is described in JSON")?;
        let hash = build.pointer("/identity/hash").and_then(Value::as_str).context("a build has a hash")?;
        this.build = hash.to_owned();
        Ok(this)
    }

    /// A job's request as clients send it.
    pub fn job(&self, class: &str, requirements: &Value) -> Vec<u8> {
        json!({ "class": class, "build": self.build, "cases": ["cold-launch"], "requirements": requirements })
            .to_string()
            .into_bytes()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it in good order and leaves its folder to the caller.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<(TempDir, String)> {
        self.process.stop().await?;
        Ok((self.folder, self.build))
    }
}

/// An empty folder for a daemon.
///
/// # Errors
/// It cannot be made.
pub fn folder() -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix("holdfast-bench-").tempdir().context("cannot make a folder")
}

/// Writes what a daemon on this port (0 takes a free one) is to be.
///
/// # Errors
/// The disk refuses.
pub fn configure(folder: &Path, port: u16) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| {
        let path: PathBuf = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let limits = "limits:\n  jobs_waiting_max: 1000000\n";
    let daemon = format!("listen: 127.0.0.1:{port}\ndata: daemon\npools: pools.yaml\ncases: cases\n{limits}");
    write("holdfastd.yaml", &daemon)?;
    write("pools.yaml", POOLS)?;
    std::fs::create_dir_all(folder.join("cases")).context("cannot make the folder of cases")?;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/cases/cold-launch.yaml");
    let case =
        std::fs::read_to_string(&sample).with_context(|| format!("cannot read {}", sample.display()))?;
    write("cases/cold-launch.yaml", &case)
}

/// Starts the daemon of a folder, and waits until it serves.
///
/// # Errors
/// It is not built, or not ready in time.
pub async fn launch(folder: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    let mut process = spawn(folder, &[])?;
    let url = process.ready().await?.into_iter().next().context("the daemon tells its address")?;
    let address = url.strip_prefix("http://").context("the daemon tells its address")?.parse()?;
    Ok((process, address))
}

/// Starts the daemon's program on a folder, with more words on its command line.
///
/// # Errors
/// It is not built.
pub fn spawn(folder: &Path, more: &[&str]) -> anyhow::Result<Process> {
    let mut arguments = vec!["--config".to_owned(), folder.join("holdfastd.yaml").display().to_string()];
    arguments.extend(more.iter().map(|word| (*word).to_owned()));
    Process::start("holdfastd", &arguments, &folder.join("daemon.log"))
}

/// Light agents that share some phones.
#[derive(Debug)]
pub struct Rows {
    agents: Vec<Agent>,
    phones_each: usize,
    /// What they see.
    pub seen: mpsc::Receiver<Seen>,
}

impl Rows {
    /// Starts agents with so many phones each.
    pub fn start(
        address: SocketAddr,
        agents: usize,
        phones_each: usize,
        manner: Manner,
        staging: Staging,
    ) -> Self {
        let (see, seen) = mpsc::channel(SEEN_MAX);
        let start = |number: usize| {
            let first = number * phones_each;
            let phones = (first..first + phones_each).map(phone).collect();
            let plan = Plan { rack: format!("rack-{number}"), phones, first, manner, staging };
            Agent::start(address, plan, see.clone())
        };
        Self { agents: (0..agents).map(start).collect(), phones_each, seen }
    }

    /// Ends what runs on a phone.
    ///
    /// # Errors
    /// Its agent has ended.
    pub async fn end(&self, phone: usize) -> anyhow::Result<()> {
        self.agents[phone / self.phones_each].end(phone).await
    }

    /// The next thing that is seen.
    ///
    /// # Errors
    /// Nothing is seen in time, or an agent is in trouble.
    pub async fn next(&mut self) -> anyhow::Result<Seen> {
        if let Ok(seen) = self.seen.try_recv() {
            return Ok(seen);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout(Duration::from_secs(5), self.seen.recv()).await {
                Ok(Some(seen)) => return Ok(seen),
                Ok(None) => bail!("every light agent has ended"),
                Err(_quiet) => self.check().await?,
            }
            if Instant::now() > deadline {
                bail!("nothing happened for {} s", PATIENCE.as_secs());
            }
        }
    }

    /// Fails when an agent is in trouble.
    ///
    /// # Errors
    /// The trouble.
    pub async fn check(&mut self) -> anyhow::Result<()> {
        for agent in &mut self.agents {
            if let Some(trouble) = agent.trouble().await {
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Waits until so many phones have begun an attempt.
    ///
    /// # Errors
    /// As [`Rows::next`].
    pub async fn all_busy(&mut self, phones: usize) -> anyhow::Result<()> {
        let mut busy = HashSet::new();
        while busy.len() < phones {
            if let Seen { phone, what: What::Run { .. }, .. } = self.next().await? {
                busy.insert(phone);
            }
        }
        Ok(())
    }
}

/// Waits until the daemon shows so many phones that may be given work.
///
/// # Errors
/// It does not in time.
pub async fn phones_ready(address: SocketAddr, phones: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut http = Http::new(address);
    loop {
        let answer = http.send("GET", "/api/v1/racks", "application/json", b"").await?;
        let racks: Value = serde_json::from_slice(&answer.body)?;
        let racks = racks.get("items").unwrap_or(&racks).as_array().cloned().unwrap_or_default();
        let known: u64 = racks.iter().filter_map(|rack| rack.get("phones")).filter_map(Value::as_u64).sum();
        if known >= phones as u64 {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the daemon knows {known} of {phones} phones");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
