//! All of the configuration together, and the check that lists every mistake in it.

use std::path::{Path, PathBuf};

use holdfast_notify::Rules;
use holdfast_scheduler::Policy;
use holdfast_wire::time::Time;
use holdfast_wire::views::ConfigFile;

use super::cases::{self, Catalogue};
use super::daemon::DaemonConfig;
use super::notify;
use super::pools;
use super::schedules::{self, Plan};
use super::yaml::Mistake;

/// Next firings that are shown of each schedule.
pub const FIRINGS_SHOWN: usize = 5;

/// Everything an operator wrote, checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// `holdfastd.yaml`: read once, at the start.
    pub daemon: DaemonConfig,
    /// What may be read again while the daemon runs.
    pub farm: FarmConfig,
}

/// What may be read again while the daemon runs: the pools file, the schedules file, the cases folder
/// and the file of who is told what.
#[derive(Debug, Clone)]
pub struct FarmConfig {
    /// The pools file.
    pub policy: Policy,
    /// The cases folder.
    pub catalogue: Catalogue,
    /// The schedules file.
    pub schedules: Vec<Plan>,
    /// Who is told what.
    pub notify: Rules,
    /// What it was read from.
    pub files: Vec<ConfigFile>,
    /// What is legal but odd in it.
    pub warnings: Vec<String>,
}

impl From<Policy> for FarmConfig {
    /// Rules alone: without cases, schedules or files.
    fn from(policy: Policy) -> Self {
        let (catalogue, schedules) = (Catalogue::default(), Vec::new());
        let notify = Rules::default();
        Self { policy, catalogue, schedules, notify, files: Vec::new(), warnings: Vec::new() }
    }
}

/// Reads `holdfastd.yaml` and what it names.
///
/// # Errors
/// Every mistake in every file, so that one round of mending is enough.
pub fn load(file: &Path) -> Result<Loaded, Vec<Mistake>> {
    let daemon = DaemonConfig::read(file)?;
    let farm = FarmConfig::read(&daemon)?;
    Ok(Loaded { daemon, farm })
}

impl FarmConfig {
    /// Reads the files that `holdfastd.yaml` names.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub fn read(daemon: &DaemonConfig) -> Result<Self, Vec<Mistake>> {
        let pools = pools::read(&daemon.pools).and_then(|pools| match poll_mistake(daemon, &pools.policy) {
            None => Ok(pools),
            Some(mistake) => Err(vec![mistake]),
        });
        let catalogue = cases::read(&daemon.cases);
        let schedules = match &daemon.schedules {
            Some(file) => schedules::read(file, catalogue.as_ref().ok()),
            None => Ok(Vec::new()),
        };
        let notify = daemon.notify.as_deref().map_or_else(|| Ok(Rules::default()), notify::read);
        match (pools, catalogue, schedules, notify) {
            (Ok(pools), Ok(catalogue), Ok(schedules), Ok(notify)) => {
                let pools::Pools { policy, mut warnings } = pools;
                warnings.extend(unserved(&policy, &schedules));
                warnings.extend(daemon.mirror_warnings());
                Ok(Self { policy, catalogue, schedules, notify, files: files(daemon), warnings })
            }
            (pools, catalogue, schedules, notify) => {
                let mut mistakes = pools.err().unwrap_or_default();
                mistakes.extend(schedules.err().unwrap_or_default());
                mistakes.extend(notify.err().unwrap_or_default());
                mistakes.extend(catalogue.err().unwrap_or_default());
                Err(mistakes)
            }
        }
    }

    /// The windows and the next firings at `now`, one line each.
    pub fn times(&self, now: Time) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, window) in &self.policy.windows {
            let (state, then) = if window.is_open(now) { ("open", "shuts") } else { ("shut", "opens") };
            lines.push(match window.next_change(now) {
                Some(at) => format!("window {name} is {state}; it {then} at {at}"),
                None => format!("window {name} is {state} for good"),
            });
        }
        for plan in &self.schedules {
            let next: Vec<String> = plan.when.next(now, FIRINGS_SHOWN).iter().map(Time::to_string).collect();
            let next = if next.is_empty() { "never again".to_owned() } else { next.join(", ") };
            lines.push(format!("schedule {} fires next: {next}", plan.name));
        }
        lines
    }
}

fn files(daemon: &DaemonConfig) -> Vec<ConfigFile> {
    let file = |path: &PathBuf, kind: &str| ConfigFile {
        path: path.display().to_string(),
        kind: kind.to_owned(),
        reloaded: kind != "daemon",
    };
    let mut files =
        vec![file(&daemon.file, "daemon"), file(&daemon.pools, "pools"), file(&daemon.cases, "cases")];
    files.extend(daemon.schedules.as_ref().map(|path| file(path, "schedules")));
    files.extend(daemon.notify.as_ref().map(|path| file(path, "notify")));
    files
}

/// Schedules whose jobs no phone may take.
fn unserved(policy: &Policy, schedules: &[Plan]) -> Vec<String> {
    let served = |plan: &&Plan| {
        let class = &plan.job.class;
        policy.pools.iter().any(|pool| match &plan.job.requirements.pool {
            Some(wanted) => pool.name == *wanted,
            None => pool.serves.contains(class) || pool.lends.contains(class),
        })
    };
    let unserved = schedules.iter().filter(|plan| !served(plan));
    unserved
        .map(|plan| format!("schedule {}: no pool serves its jobs, so they wait until one does", plan.name))
        .collect()
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

/// What `--check-config` prints: one line per mistake; or one per warning, window and schedule, and one that all is
/// well.
///
/// # Errors
/// The lines of the mistakes.
pub fn check(file: &Path, now: Time) -> Result<Vec<String>, Vec<String>> {
    let loaded = load(file).map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let farm = &loaded.farm;
    let warnings = loaded.daemon.warnings.iter().chain(&farm.warnings);
    let mut lines: Vec<String> = warnings.map(|warning| format!("warning: {warning}")).collect();
    lines.extend(loaded.farm.times(now));
    let mut counts = format!("{} pools, {} cases", farm.policy.pools.len(), farm.catalogue.cases().count());
    if !farm.schedules.is_empty() {
        counts.push_str(&format!(", {} schedules", farm.schedules.len()));
    }
    if !farm.notify.receivers.is_empty() {
        counts.push_str(&format!(", {} receivers", farm.notify.receivers.len()));
    }
    lines.push(format!("{} is good: {counts}", file.display()));
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
        assert!(loaded.farm.catalogue.get(&"cold-launch".parse().unwrap()).is_some());
        let crash = &loaded.farm.policy.pools[0];
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
            assert_eq!(check(&file, Time::from_unix_ms(1_795_000_000_000)).is_ok(), good, "{poll} s");
        }
    }

    #[test]
    fn mistakes_of_pools_and_cases_come_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfastd.yaml");
        std::fs::write(&file, "listen: 127.0.0.1:0\ndata: d\npools: p.yaml\ncases: c\n").unwrap();
        std::fs::write(folder.path().join("p.yaml"), "pools: []\n").unwrap();
        let told = check(&file, Time::from_unix_ms(1_795_000_000_000)).unwrap_err();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("p.yaml:1:8: pools: there is no pool"), "{told:?}");
        assert!(told[1].contains("create the folder"), "{told:?}");
    }
}
