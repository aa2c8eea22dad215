//! One child process: started, awaited until it says that it is ready, ended by its id. Everything it writes to
//! stderr goes to a file.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// How long a process may take to say `ready`: a debug build on a busy machine opens its store in it.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long a process may take to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How much of a log is shown with an error.
const LOG_TAIL_LINES: usize = 30;

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Kept open, because a child that writes to a closed pipe would die of it.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program of this workspace. Its stderr is appended to `log`.
    ///
    /// # Errors
    /// The program has not been built, or the log cannot be written.
    pub fn start(name: &str, arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        let program = program(name)?;
        let log_file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), _stdout: None })
    }

    /// Waits for the line that begins with `ready`, and gives the words after it.
    ///
    /// # Errors
    /// The process ended, or did not say so in time; the end of its log is in the error.
    pub async fn ready(&mut self) -> anyhow::Result<Vec<String>> {
        let Some(stdout) = self.child.stdout.take() else { bail!("{} was awaited twice", self.name) };
        let mut stdout = BufReader::new(stdout);
        let words = tokio::time::timeout(READY_LIMIT, async {
            let mut line = String::new();
            loop {
                line.clear();
                if stdout.read_line(&mut line).await? == 0 {
                    bail!("it ended before it was ready");
                }
                if let Some(rest) = line.strip_prefix("ready") {
                    return Ok(rest.split_whitespace().map(str::to_owned).collect());
                }
            }
        });
        let words = match words.await {
            Ok(words) => words,
            Err(_) => Err(anyhow::anyhow!("it was not ready within {} s", READY_LIMIT.as_secs())),
        };
        self._stdout = Some(stdout);
        words.with_context(|| format!("{}: the end of its log:\n{}", self.name, self.log_tail()))
    }

    /// The process id; none once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to end (SIGTERM), and waits until it is gone.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal("TERM").await?;
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(status) => status.with_context(|| format!("cannot await {}", self.name)),
            Err(_) => bail!("{} did not end within {} s of SIGTERM", self.name, STOP_LIMIT.as_secs()),
        }
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`). One that has ended needs none.
    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let Some(id) = self.id() else { return Ok(()) };
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status().await;
        sent.with_context(|| format!("cannot signal {}", self.name)).map(drop)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait().with_context(|| format!("cannot look at {}", self.name))?.is_none())
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

/// Where a program of this workspace lies: beside this one, as cargo builds them.
///
/// # Errors
/// It is not there.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut folder = own.parent();
    while let Some(candidate) = folder {
        let program = candidate.join(name);
        if program.is_file() {
            return Ok(program);
        }
        // Test programs lie one folder deeper than the others.
        folder = if candidate.ends_with("deps") { candidate.parent() } else { None };
    }
    bail!("{name} is not built; run `cargo build --workspace` first")
}
