//! All of the configuration together, and the check that lists every mistake in it.

use std::path::Path;

use holdfast_scheduler::Policy;

use super::cases::{self, Catalogue};
use super::daemon::DaemonConfig;
use super::pools;
use super::yaml::Mistake;

/// Everything an operator wrote, checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// `holdfastd.yaml`.
    pub daemon: DaemonConfig,
    /// The pools file.
    pub policy: Policy,
    /// The cases folder.
    pub catalogue: Catalogue,
}

/// Reads `holdfastd.yaml` and what it names.
///
/// # Errors
/// Every mistake in every file, so that one round of mending is enough.
pub fn load(file: &Path) -> Result<Loaded, Vec<Mistake>> {
    let daemon = DaemonConfig::read(file)?;
    let policy = pools::read(&daemon.pools);
    let catalogue = cases::read(&daemon.cases);
    match (policy, catalogue) {
        (Ok(policy), Ok(catalogue)) => Ok(Loaded { daemon, policy, catalogue }),
        (policy, catalogue) => {
            let mut mistakes = policy.err().unwrap_or_default();
            mistakes.extend(catalogue.err().unwrap_or_default());
            Err(mistakes)
        }
    }
}

/// What `--check-config` prints: one line per mistake or warning, or one line that all is well.
///
/// # Errors
/// The lines of the mistakes.
pub fn check(file: &Path) -> Result<Vec<String>, Vec<String>> {
    let loaded = load(file).map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let mut lines: Vec<String> =
        loaded.daemon.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    lines.push(format!(
        "{} is good: {} pools, {} cases",
        file.display(),
        loaded.policy.pools.len(),
        loaded.catalogue.cases().count()
    ));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn the_samples_of_the_repository_are_good() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/holdfastd.yaml");
        let loaded = load(&file).unwrap();
        assert!(loaded.catalogue.get(&"cold-launch".parse().unwrap()).is_some());
        let crash = &loaded.policy.pools[0];
        assert_eq!(crash.serves, [holdfast_wire::job::JobClass::Crash], "crash jobs have a pool of their own");
    }

    #[test]
    fn mistakes_of_pools_and_cases_come_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfastd.yaml");
        std::fs::write(&file, "listen: 127.0.0.1:0\ndata: d\npools: p.yaml\ncases: c\n").unwrap();
        std::fs::write(folder.path().join("p.yaml"), "pools: []\n").unwrap();
        let told = check(&file).unwrap_err();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("p.yaml:1:8: pools: there is no pool"), "{told:?}");
        assert!(told[1].contains("create the folder"), "{told:?}");
    }
}
