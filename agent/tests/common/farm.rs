//! A whole farm for one test: a stand-in for the daemon, a simulated bus, a data folder. No test lives here.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use holdfast_wire::outcome::{AttemptEnd, AttemptReport, Blame};
use holdfast_wire::phone::Readiness;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::phones::Bus;
use super::{Agent, until};

/// What a test starts from.
pub(crate) struct Farm {
    pub(crate) data: TempDir,
    pub(crate) daemon: Daemon,
    pub(crate) bus: Bus,
}

impl Farm {
    pub(crate) async fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), daemon: Daemon::start().await, bus: Bus::new() }
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::start(self.data.path(), std::slice::from_ref(&self.daemon.address), &self.bus)
    }

    pub(crate) async fn is(&self, phone: &str, readiness: Readiness) {
        until(&format!("{phone} to be {readiness:?}"), || self.daemon.is(phone, &readiness)).await;
    }

    pub(crate) async fn report(&self, attempt: &str) -> AttemptReport {
        until(&format!("the report of {attempt}"), || self.daemon.report(attempt)).await
    }

    /// Whole entries that wait.
    pub(crate) fn outbox_entries(&self) -> usize {
        let folder = std::fs::read_dir(self.data.path().join("outbox")).unwrap();
        let is_entry = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "json");
        folder.filter(|entry| entry.as_ref().is_ok_and(|entry| is_entry(&entry.path()))).count()
    }

    pub(crate) fn outbox_files(&self) -> usize {
        let count = |folder: &str| {
            let entries = std::fs::read_dir(self.data.path().join(folder)).unwrap();
            entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
        };
        count("outbox") + count("spool")
    }
}

/// A law of every test.
impl Drop for Farm {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.daemon.with(|heard| assert_eq!(heard.idle_too_early, [], "idle before all was reported"));
        }
    }
}

/// Whom a report blames.
pub(crate) fn blame(report: &AttemptReport) -> Option<Blame> {
    match &report.end {
        AttemptEnd::Failed { blame, .. } => Some(*blame),
        AttemptEnd::Passed | AttemptEnd::Revoked | AttemptEnd::Yielded { .. } => None,
    }
}
