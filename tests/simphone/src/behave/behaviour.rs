//! What the launches of an app do, as a scenario writes it. Carrying it out is in [`launch`](super::launch()).

use serde::{Deserialize, Serialize};

/// How long a launch takes when nothing else is said: a small app on a recent phone.
const LAUNCH_MS: u64 = 250;

/// What the launches of one app do, one after the other. After the last, the first comes again.
///
/// ```yaml
/// launches:
///   - ends: { how: never }
///   - takes_ms: 900
///     ends: { how: signal, after_ms: 1500, signal: segv }
///     report: { when: late, after_ms: 2000 }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// The launches. With none, every launch runs until it is killed.
    pub launches: Vec<Launch>,
    /// When given, each launch is drawn from the list by its weight instead; the same number draws the same launches.
    #[serde(default)]
    pub random_seed: Option<u64>,
}

/// What one launch does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// How long until the app runs, in milliseconds.
    #[serde(default = "launch_ms")]
    pub takes_ms: u64,
    /// How it ends.
    #[serde(default)]
    pub ends: Ending,
    /// When its crash report appears, if it leaves one.
    #[serde(default)]
    pub report: Report,
    /// How often it is drawn, against the other launches of the list.
    #[serde(default = "weight")]
    pub weight: u32,
    /// Only this build of the app does it (`CFBundleVersion`); any other runs until it is killed. So a rack can show a
    /// bug that came with one commit.
    #[serde(default)]
    pub only_build: Option<String>,
}

/// How an app ends. Times are in milliseconds after the launch is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ending {
    /// It runs until somebody kills it.
    #[default]
    Never,
    /// It calls `exit`. No report.
    Exit {
        /// When.
        after_ms: u64,
        /// With which code.
        #[serde(default)]
        code: i32,
    },
    /// The kernel or the app itself sends it a signal.
    Signal {
        /// When.
        after_ms: u64,
        /// Which.
        signal: CrashSignal,
        /// In which function of the build; one is chosen by the number of the launch when it is not said or not there.
        #[serde(default)]
        function: Option<String>,
    },
    /// An Objective-C exception that nobody catches.
    Exception {
        /// When.
        after_ms: u64,
        /// Such as `NSInvalidArgumentException`.
        #[serde(default = "exception_name")]
        name: String,
        /// Why, in words.
        #[serde(default = "exception_reason")]
        reason: String,
        /// As for a signal.
        #[serde(default)]
        function: Option<String>,
    },
    /// The system's watchdog kills it with 0x8badf00d.
    Watchdog {
        /// When.
        after_ms: u64,
        /// `process-launch`, `scene-create`, `scene-update` or `process-exit`.
        #[serde(default = "watchdog_event")]
        event: String,
    },
    /// The kernel kills it for its memory.
    Jetsam {
        /// When.
        after_ms: u64,
        /// `per-process-limit`, `vm-pageshortage`, `highwater` or another of the kernel's words.
        #[serde(default = "jetsam_reason")]
        reason: String,
    },
    /// dyld does not find a library: the app dies before `main`.
    BeforeMain {
        /// The library, such as `@rpath/Chat.framework/Chat`.
        #[serde(default = "library")]
        library: String,
    },
    /// It cannot write a file, because the storage is full, and dies of the exception. Without room for the report
    /// there is none.
    DiskFull {
        /// When.
        after_ms: u64,
    },
}

/// A signal that leaves a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashSignal {
    /// SIGSEGV of an `EXC_BAD_ACCESS`.
    Segv,
    /// SIGBUS of an `EXC_BAD_ACCESS`.
    Bus,
    /// SIGTRAP of an `EXC_BREAKPOINT`: how Swift stops on a broken assumption.
    Trap,
    /// SIGABRT: the app called `abort`.
    Abort,
    /// SIGILL of an `EXC_BAD_INSTRUCTION`.
    Illegal,
}

/// When the report of a crash appears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "when", rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// At once.
    #[default]
    AtOnce,
    /// Some milliseconds after the death; until then it stands under its name with a dot in front, half written.
    Late {
        /// How many.
        after_ms: u64,
    },
    /// When a client asks for it through `com.apple.crashreportmover`.
    OnFlush,
    /// Never.
    Never,
}

impl Default for Launch {
    fn default() -> Self {
        Self { takes_ms: LAUNCH_MS, ends: Ending::Never, report: Report::AtOnce, weight: 1, only_build: None }
    }
}

impl Behaviour {
    /// An app that always does the same.
    #[must_use]
    pub fn always(ends: Ending) -> Self {
        Self { launches: vec![Launch { ends, ..Launch::default() }], random_seed: None }
    }

    /// What the launch of this number (from 0) does.
    #[must_use]
    pub fn launch(&self, number: u64) -> Launch {
        let chosen = match self.random_seed {
            None => self.launches.get(in_turn(number, self.launches.len())),
            Some(seed) => self.draw(seed, number),
        };
        chosen.cloned().unwrap_or_default()
    }

    /// What the launch of this number does when this build of the app is installed.
    #[must_use]
    pub fn launch_of(&self, number: u64, build: &str) -> Launch {
        let launch = self.launch(number);
        match &launch.only_build {
            Some(only) if only != build => Launch { takes_ms: launch.takes_ms, ..Launch::default() },
            Some(_) | None => launch,
        }
    }

    fn draw(&self, seed: u64, number: u64) -> Option<&Launch> {
        let total: u64 = self.launches.iter().map(|launch| u64::from(launch.weight)).sum();
        let mut left = mixed(seed ^ mixed(number)).checked_rem(total)?;
        self.launches.iter().find(|launch| match left.checked_sub(launch.weight.into()) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }
}

impl Ending {
    /// How long after the launch it comes, in milliseconds; `None` when it never does.
    #[must_use]
    pub fn after_ms(&self) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::BeforeMain { .. } => Some(0),
            Self::Exit { after_ms, .. }
            | Self::Signal { after_ms, .. }
            | Self::Exception { after_ms, .. }
            | Self::Watchdog { after_ms, .. }
            | Self::Jetsam { after_ms, .. }
            | Self::DiskFull { after_ms } => Some(*after_ms),
        }
    }
}

impl CrashSignal {
    /// Its number on iOS.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Illegal => 4,
            Self::Trap => 5,
            Self::Abort => 6,
            Self::Bus => 10,
            Self::Segv => 11,
        }
    }
}

fn in_turn(number: u64, length: usize) -> usize {
    usize::try_from(number.checked_rem(length as u64).unwrap_or_default()).unwrap_or_default()
}

/// Spreads a number over all 64 bits (the finalizer of SplitMix64): equal numbers in, equal numbers out.
pub(crate) fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

fn launch_ms() -> u64 {
    LAUNCH_MS
}

fn weight() -> u32 {
    1
}

fn exception_name() -> String {
    "NSInvalidArgumentException".to_owned()
}

fn exception_reason() -> String {
    "-[__NSCFNumber length]: unrecognized selector sent to instance 0x8a3f2b1c4d5e6f70".to_owned()
}

fn watchdog_event() -> String {
    "scene-update".to_owned()
}

fn jetsam_reason() -> String {
    "per-process-limit".to_owned()
}

fn library() -> String {
    "@rpath/Chat.framework/Chat".to_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    const YAML: &str = "
launches:
  - {}
  - takes_ms: 900
    ends: { how: signal, after_ms: 1500, signal: segv, function: chat_send }
    report: { when: late, after_ms: 2000 }
  - ends: { how: jetsam, after_ms: 10 }
    report: { when: never }
    weight: 8
";

    #[test]
    fn launches_come_in_turn_and_then_again() {
        let behaviour: Behaviour = serde_yaml::from_str(YAML).unwrap();
        let signal = CrashSignal::Segv;
        let function = Some("chat_send".to_owned());
        assert_eq!(behaviour.launch(0), Launch::default());
        assert_eq!(behaviour.launch(1).ends, Ending::Signal { after_ms: 1500, signal, function });
        assert_eq!(behaviour.launch(1).report, Report::Late { after_ms: 2000 });
        assert_eq!(behaviour.launch(2).report, Report::Never);
        assert_eq!(behaviour.launch(3), behaviour.launch(0));
    }

    #[test]
    fn a_seed_draws_by_weight_and_always_the_same() {
        let mut behaviour: Behaviour = serde_yaml::from_str(YAML).unwrap();
        behaviour.random_seed = Some(7);
        let drawn: Vec<Launch> = (0..1000).map(|number| behaviour.launch(number)).collect();
        assert_eq!(drawn, (0..1000).map(|number| behaviour.launch(number)).collect::<Vec<_>>());
        let heavy = drawn.iter().filter(|launch| launch.weight == 8).count();
        assert!((700..900).contains(&heavy), "{heavy} of 1000 should be near 800");
    }

    #[test]
    fn a_key_that_is_not_known_is_refused() {
        for wrong in
            ["launches: [{ ends: { how: signal, after_ms: 1, signal: segv, pid: 3 } }]", "launch: []"]
        {
            assert!(serde_yaml::from_str::<Behaviour>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bug_of_one_build_shows_in_that_build_alone() {
        let dies = Ending::Exit { after_ms: 5, code: 1 };
        let launch = Launch { ends: dies.clone(), only_build: Some("141".to_owned()), ..Launch::default() };
        let behaviour = Behaviour { launches: vec![launch], random_seed: None };
        assert_eq!(behaviour.launch_of(0, "141").ends, dies);
        assert_eq!(behaviour.launch_of(0, "140").ends, Ending::Never);
    }
}
