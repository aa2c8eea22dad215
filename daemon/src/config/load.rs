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
        (Ok(policy), Ok(catalogue)) => match poll_mistake(&daemon, &policy) {
            None => Ok(Loaded { daemon, policy, catalogue }),
            Some(mistake) => Err(vec![mistake]),
        },
        (policy, catalogue) => {
            let mut mistakes = policy.err().unwrap_or_default();
            mistakes.extend(catalogue.err().unwrap_or_default());
            Err(mistakes)
        }
    }
}

/// An agent whose request is held back does not speak; held too long, its rack would be taken to be gone.
fn poll_mistake(daemon: &DaemonConfig, policy: &Policy) -> Option<Mistake> {
    let (poll, silent) = (daemon.timeouts.long_poll, policy.rack_silent_after);
    (poll * 2 > silent).then(|| Mistake {
        file: daemon.pools.clone(),
        position: None,
        path: "rack_silent_after_s".to_owned(),
        what: format!(
            "{} s is less than twice timeouts.long_poll_s of holdfastd.yaml ({} s), so racks that are well would be \
             taken to be gone; raise the one or lower the other",
            silent.as_secs(),
            poll.as_secs()
        ),
    })
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
        assert_eq!(
            crash.serves,
            [holdfast_wire::job::JobClass::Crash],
            "crash jobs have a pool of their own"
        );
    }

    #[test]
    fn a_rack_may_be_silent_for_as_long_as_its_request_is_held_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfastd.yaml");
        let settings = "listen: 127.0.0.1:0\ndata: d\npools: p.yaml\ncases: c\ntimeouts:\n  long_poll_s: ";
        let pools = "pools:\n  - name: all\n    serves: [idle]\n    rest: true\nrack_silent_after_s: 5\n";
        std::fs::write(folder.path().join("p.yaml"), pools).unwrap();
        std::fs::create_dir(folder.path().join("c")).unwrap();
        for (poll, good) in [(2, true), (3, false)] {
            std::fs::write(&file, format!("{settings}{poll}\n")).unwrap();
            assert_eq!(check(&file).is_ok(), good, "{poll} s");
        }
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
