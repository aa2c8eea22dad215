//! The processes of a farm: a rack of pretend phones, its agent, the daemon. Each has its own folder below one
//! temporary folder, and listens on a free port of the loopback.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::api::Api;
use crate::control::Control;
use crate::process::Process;

/// The app of the sample builds.
pub const APP: &str = "dev.holdfast.demo.mooring";

/// The rack's name.
pub const RACK: &str = "rack-1";

/// What a farm is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Phones on the rack.
    pub phones: usize,
    /// Of these, so many are in the crash pool.
    pub crash_phones: usize,
    /// Their scenario (YAML), when it is not just good phones.
    pub scenario: Option<String>,
    /// More lines for `holdfastd.yaml`.
    pub daemon_more: String,
    /// More lines for `pools.yaml`.
    pub pools_more: String,
    /// More lines for `agent.yaml`.
    pub agent_more: String,
    /// Who is told of crashes (`notify.yaml`), when anybody is.
    pub notify: Option<String>,
}

impl Plan {
    /// A farm of so many good phones, two of them for crash jobs.
    pub fn of(phones: usize) -> Self {
        Self {
            phones,
            crash_phones: 2.min(phones),
            scenario: None,
            daemon_more: String::new(),
            pools_more: String::new(),
            agent_more: String::new(),
            notify: None,
        }
    }
}

/// A running farm. Dropping it kills its processes and removes its folder.
#[derive(Debug)]
pub struct Farm {
    /// The rack of pretend phones.
    pub rack: Process,
    /// The agent.
    pub agent: Process,
    /// The daemon.
    pub daemon: Process,
    /// The rack's control socket.
    pub control: Control,
    /// The daemon's API.
    pub api: Api,
    /// The daemon's address.
    pub url: String,
    folder: TempDir,
}

impl Farm {
    /// Starts all of it, and waits until each process is ready.
    ///
    /// # Errors
    /// A process has not been built, does not start, or is not ready in time; the end of its log is in the error.
    pub async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("holdfast-").tempdir().context("cannot make a folder")?;
        let path = folder.path();
        let mut rack = start_rack(plan, path)?;
        let usbmuxd = rack.ready().await?.into_iter().next().context("the rack tells its address")?;
        let control = Control::new(&path.join("control"));
        write_daemon_files(plan, path)?;
        let mut daemon = start_daemon(path)?;
        let url = address(&mut daemon).await?;
        // From now on the port stays the same, so that agents find a daemon that was started again.
        let port = url.rsplit(':').next().context("the daemon tells its port")?.to_owned();
        write(&path.join("holdfastd.yaml"), &daemon_file(plan, &port))?;
        let udids = control.udids().await?;
        write(&path.join("agent.yaml"), &agent_file(plan, &usbmuxd, &url, &udids))?;
        let agent = start_agent(path)?;
        Ok(Self { rack, agent, daemon, control, api: Api::new(&url)?, url, folder })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the daemon again, on what the last one left.
    ///
    /// # Errors
    /// It is not ready in time.
    pub async fn restart_daemon(&mut self) -> anyhow::Result<()> {
        self.daemon = start_daemon(self.folder.path())?;
        address(&mut self.daemon).await.map(drop)
    }

    /// Starts the agent again, on what the last one left.
    ///
    /// # Errors
    /// It has not been built.
    pub fn restart_agent(&mut self) -> anyhow::Result<()> {
        self.agent = start_agent(self.folder.path())?;
        Ok(())
    }

    /// Ends all of it in good order.
    ///
    /// # Errors
    /// A process does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.agent.stop().await?;
        self.daemon.stop().await?;
        self.rack.stop().await?;
        Ok(())
    }
}

/// A file of the sample builds.
pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../builds").join(name)
}

fn start_rack(plan: &Plan, folder: &Path) -> anyhow::Result<Process> {
    let mut arguments = words(&["--phones", &plan.phones.to_string(), "--listen", "127.0.0.1:0"]);
    arguments.extend(words(&["--control", &folder.join("control").display().to_string()]));
    if let Some(scenario) = &plan.scenario {
        let file = folder.join("scenario.yaml");
        write(&file, scenario)?;
        arguments.extend(words(&["--scenario", &file.display().to_string()]));
    }
    Process::start("holdfast-simphone", &arguments, &folder.join("rack.log"))
}

fn start_daemon(folder: &Path) -> anyhow::Result<Process> {
    let config = folder.join("holdfastd.yaml").display().to_string();
    Process::start("holdfastd", &words(&["--config", &config]), &folder.join("daemon.log"))
}

fn start_agent(folder: &Path) -> anyhow::Result<Process> {
    let config = folder.join("agent.yaml").display().to_string();
    Process::start("holdfast-agent", &words(&["--config", &config]), &folder.join("agent.log"))
}

async fn address(daemon: &mut Process) -> anyhow::Result<String> {
    daemon.ready().await?.into_iter().next().context("the daemon tells its address")
}

fn write_daemon_files(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    write(&folder.join("holdfastd.yaml"), &daemon_file(plan, "0"))?;
    let pools = format!(
        "pools:\n  - {{ name: crash, serves: [crash], labels: [crash] }}\n  \
         - {{ name: general, serves: [baseline, custom, special, idle], rest: true }}\n{}",
        plan.pools_more
    );
    write(&folder.join("pools.yaml"), &pools)?;
    if let Some(rules) = &plan.notify {
        write(&folder.join("notify.yaml"), rules)?;
    }
    let cases = folder.join("cases");
    std::fs::create_dir_all(&cases).context("cannot make the folder of cases")?;
    // The sample case of the configuration, as an operator would take it over.
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/cases/cold-launch.yaml");
    std::fs::copy(&sample, cases.join("cold-launch.yaml"))
        .with_context(|| format!("cannot copy {}", sample.display()))?;
    Ok(())
}

fn daemon_file(plan: &Plan, port: &str) -> String {
    let more = &plan.daemon_more;
    let notify = if plan.notify.is_some() { "notify: notify.yaml\n" } else { "" };
    format!("listen: 127.0.0.1:{port}\ndata: daemon\npools: pools.yaml\ncases: cases\n{notify}{more}")
}

fn agent_file(plan: &Plan, usbmuxd: &str, url: &str, udids: &[String]) -> String {
    let mut text = format!("rack: {RACK}\ndaemons: [\"{url}\"]\nusbmuxd: {usbmuxd}\ndata: agent\n");
    if plan.crash_phones > 0 {
        text.push_str("labels:\n");
        for udid in udids.iter().take(plan.crash_phones) {
            text.push_str(&format!("  {udid}: [crash]\n"));
        }
    }
    text.push_str(&plan.agent_more);
    text
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
