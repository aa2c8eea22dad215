//! A pretend bus with pretend phones behind the `Phone` trait, and a stand-in for the daemon. No test lives here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

pub(crate) mod daemon;
pub(crate) mod farm;
pub(crate) mod phones;

use std::path::Path;
use std::time::Duration;

use holdfast_agent::rack::Phase;
use holdfast_agent::{AgentError, Config, run};
use holdfast_device::Finder;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a test waits for anything at most.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// How long a test with phones on the true wire waits: they do a hundred times more for each step.
pub(crate) const LONG_LIMIT: Duration = Duration::from_secs(180);

/// Waits until `found` gives something; fails with `what` when it does not in time.
pub(crate) async fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    until_in(LIMIT, what, found).await
}

/// The same with more patience.
pub(crate) async fn until_long<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    until_in(LONG_LIMIT, what, found).await
}

async fn until_in<T>(limit: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = tokio::time::Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < limit, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An agent that runs in this process.
pub(crate) struct Agent {
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) task: JoinHandle<Result<(), AgentError>>,
}

impl Agent {
    pub(crate) fn start(data: &Path, daemons: &[String], bus: &phones::Bus) -> Self {
        Self::start_with(data, daemons, bus.finder(), "")
    }

    /// With phones of any kind, and more lines of configuration.
    pub(crate) fn start_with<F: Finder>(data: &Path, daemons: &[String], finder: F, more: &str) -> Self {
        let _installed_by_an_earlier_test = rustls::crypto::ring::default_provider().install_default();
        let (phase, phases) = watch::channel(Phase::Working);
        let task = tokio::spawn(run::run(config(data, daemons, more), finder, phases));
        Self { phase, task }
    }

    /// As `kill -9` would end it: nothing is told, nothing finished.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }

    /// As SIGTERM would end it.
    pub(crate) async fn drain(self) {
        self.phase.send_replace(Phase::Draining);
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn config(data: &Path, daemons: &[String], more: &str) -> Config {
    let text = format!(
        "rack: rack-1
daemons: [{}]
data: {}
timeouts:
  crash_grace_ms: 300
  relist_ms: 20
  confirm_ms: 2000
  return_grace_ms: 300
  facts_every_ms: 100
  retry_every_ms: 50
  poll_ms: 2000
{more}",
        daemons.join(", "),
        data.display()
    );
    Config::parse(&text, Path::new("/agent.yaml")).unwrap_or_else(|error| panic!("{error}"))
}
