//! The language in which the attempt's tests are written: events and steps as words. No test lives here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use holdfast_attempt::{
    Attempt, Brief, Event, Failure, FailureKind, Finished, Peek, PhoneLeft, Settings, Step, Taken,
    Thresholds, Told,
};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{BuildHash, CrashId, LeaseNumber};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::{AttemptEnd, Blame, LaunchEnd};
use holdfast_wire::phone::{Battery, InstalledApp, Pairing, PhoneFacts, Storage};
use holdfast_wire::sync::{Work, YieldWhen};
use holdfast_wire::time::Time;

/// What a scenario starts from.
pub(crate) struct Play {
    pub(crate) brief: Brief,
}

impl Play {
    pub(crate) fn new(launches: u32) -> Self {
        let build = BuildIdentity {
            hash: BuildHash::new([7; 32]),
            size_bytes: 1_000,
            bundle_id: "org.example.app".parse().unwrap(),
            executable: "App".to_owned(),
            version: "1.0".to_owned(),
            build_number: "1".to_owned(),
            uuids: Vec::new(),
            minimum_os: None,
        };
        let run =
            CaseRun::Launch { launches, stay_ms: 3_000, launch_timeout_ms: 30_000, arguments: Vec::new() };
        let case = Case { name: "cold".parse().unwrap(), owner: "team".parse().unwrap(), run };
        let work = Work {
            attempt: "J7.1".parse().unwrap(),
            class: JobClass::Crash,
            build: Arc::new(build),
            cases: Arc::new(vec![case]),
            limit_ms: 3_600_000,
            with: Vec::new(),
        };
        Self {
            brief: Brief {
                rack: "rack".parse().unwrap(),
                phone: "phone".parse().unwrap(),
                lease: LeaseNumber(3),
                work,
                installed: None,
                taken: Vec::new(),
                earlier: Vec::new(),
                settings: Settings::default(),
                thresholds: Thresholds::default(),
            },
        }
    }

    pub(crate) fn with_build_on_phone(mut self) -> Self {
        self.brief.installed = Some(self.brief.work.build.hash);
        self
    }

    /// The same case `cases` times, named `case-1`, `case-2` and so on.
    pub(crate) fn with_cases(mut self, cases: usize) -> Self {
        let case = self.brief.work.cases.first().unwrap().clone();
        let named = |number: usize| Case { name: format!("case-{number}").parse().unwrap(), ..case.clone() };
        self.brief.work.cases = Arc::new((1..=cases).map(named).collect());
        self
    }

    /// Each launch is to live this long.
    pub(crate) fn with_stay(mut self, lives_ms: u64) -> Self {
        let mut case = self.brief.work.cases.first().unwrap().clone();
        let CaseRun::Launch { stay_ms, .. } = &mut case.run;
        *stay_ms = lives_ms;
        self.brief.work.cases = Arc::new(vec![case]);
        self
    }

    pub(crate) fn with_limit(mut self, limit_ms: u64) -> Self {
        self.brief.work.limit_ms = limit_ms;
        self
    }

    pub(crate) fn with_confirmed(mut self, path: &str, byte: u8) -> Self {
        self.brief.taken.push(Taken { file: file(path), crash: crash(byte), confirmed: true });
        self
    }

    pub(crate) fn with_waiting(mut self, path: &str, byte: u8) -> Self {
        self.brief.taken.push(Taken { file: file(path), crash: crash(byte), confirmed: false });
        self
    }
}

/// Plays a scenario, one `event -> steps` a line, and compares the steps.
pub(crate) fn check(play: Play, scenario: &str) {
    let mut now = Time::from_unix_ms(1_000_000);
    let mut attempt = None;
    for line in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("->").unwrap_or_else(|| panic!("no arrow in {line:?}"));
        let steps = match (event.trim(), &mut attempt) {
            ("begin", _) => {
                let (begun, steps) = Attempt::begin(now, play.brief.clone());
                attempt = Some(begun);
                steps
            }
            (text, Some(attempt)) => {
                if let Some(later) = text.strip_prefix('+') {
                    now = now.after(Duration::from_millis(later.parse().unwrap()));
                }
                attempt.apply(now, event_of(text))
            }
            (_, None) => panic!("{line:?} comes before begin"),
        };
        let words: Vec<String> = steps.iter().map(step_words).collect();
        assert_eq!(words.join(" & "), expected.trim(), "after {event:?} in {scenario}");
    }
}

pub(crate) fn file(path: &str) -> CrashFile {
    CrashFile { path: path.to_owned(), size_bytes: 100, modified_ns: 1 }
}

pub(crate) fn crash(byte: u8) -> CrashId {
    CrashId::new([byte; 32])
}

fn event_of(text: &str) -> Event {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |place: usize| words.get(place).unwrap().parse::<u32>().unwrap();
    match *words.first().unwrap() {
        "checked" => Event::Checked(Box::new(facts(words.get(1).copied().unwrap_or("good")))),
        "listed" => match words.get(1).and_then(|word| word.strip_prefix("many:")) {
            Some(many) => {
                let many: u32 = many.parse().unwrap();
                Event::Listed((1..=many).map(|number| file(&format!("storm-{number:04}.ips"))).collect())
            }
            None => Event::Listed(words.iter().skip(1).map(|path| file(path)).collect()),
        },
        "fetched" => Event::Fetched,
        "installed" => Event::Installed,
        "launched" => Event::Launched { pid: number(1), took: Duration::from_millis(80) },
        "ended" => Event::Ended { alive: Duration::from_millis(number(1).into()) },
        "alive" => Event::StillAlive,
        "killed" => Event::Killed,
        "pulled" => {
            let mut peek = Peek::default();
            for part in words.iter().skip(2) {
                match part.split_once('=').unwrap() {
                    ("pid", pid) => {
                        peek.pids.insert(pid.parse().unwrap());
                        peek.process.get_or_insert_with(|| "App".to_owned());
                    }
                    ("process", name) => peek.process = Some(name.to_owned()),
                    other => panic!("{other:?} is nothing that a peek tells"),
                }
            }
            Event::Pulled { crash: crash(u8::try_from(number(1)).unwrap()), peek }
        }
        "stored" => Event::Stored,
        "deleted" => Event::Deleted,
        "failed" => {
            let kind = match *words.get(1).unwrap() {
                "silent" => FailureKind::Silent,
                "app-missing" => FailureKind::AppMissing,
                "file-missing" => FailureKind::FileMissing,
                "spool-full" => FailureKind::SpoolFull,
                _ => FailureKind::Other,
            };
            let blame = if kind == FailureKind::AppMissing { Blame::Job } else { Blame::Phone };
            Event::Failed(Failure { blame, kind, reason: "told so".to_owned() })
        }
        "confirmed" => Event::Confirmed(BTreeSet::from([crash(u8::try_from(number(1)).unwrap())])),
        "revoked" => Event::Revoked,
        "yield" => Event::ToldToYield(match *words.get(1).unwrap() {
            "case-done" => YieldWhen::CaseDone,
            "at-once" => YieldWhen::AtOnce,
            other => panic!("{other:?} is no time to yield"),
        }),
        "told" => Event::ToldOfCrashes(Told::Saved),
        "told-near" => Event::ToldOfCrashes(Told::NearLimit),
        "lost" => Event::PhoneLost,
        "returned" => Event::PhoneReturned,
        later if later.starts_with('+') => Event::Tick,
        other => panic!("{other:?} is no event"),
    }
}

fn step_words(step: &Step) -> String {
    match step {
        Step::Check => "check".to_owned(),
        Step::ListCrashes => "list".to_owned(),
        Step::Fetch => "fetch".to_owned(),
        Step::Install => "install".to_owned(),
        Step::Launch { timeout, .. } => format!("launch {}", timeout.as_millis()),
        Step::Watch { pid, limit } => format!("watch {pid} {}", limit.as_millis()),
        Step::Kill { pid } => format!("kill {pid}"),
        Step::KillApp => "kill-app".to_owned(),
        Step::Pull { file } => format!("pull {}", file.path),
        Step::Store { origin, .. } => {
            let owner = origin.attempt.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
            // Of the cases of `with_cases` only: elsewhere there is but one.
            let case = origin.case.iter().find(|case| case.as_str().starts_with("case-"));
            let case = case.map_or_else(String::new, |case| format!(" in {case}"));
            format!("store {} of {owner}{case}", origin.id.as_bytes()[0])
        }
        Step::Delete { file, .. } => format!("delete {}", file.path),
        Step::Rest => "rest".to_owned(),
        Step::Finish(finished) => finish_words(finished),
    }
}

fn finish_words(finished: &Finished) -> String {
    let end = match &finished.report.end {
        AttemptEnd::Passed => "passed".to_owned(),
        AttemptEnd::Failed { blame, step, .. } => format!("failed {blame} {step}"),
        AttemptEnd::Revoked => "revoked".to_owned(),
        AttemptEnd::Yielded { cases_done, failure } => {
            format!("yielded {cases_done}{}", if failure.is_some() { " failed" } else { "" })
        }
    };
    let left = match finished.phone {
        PhoneLeft::Clean => "clean",
        PhoneLeft::Dirty => "dirty",
    };
    let crashes: Vec<String> =
        finished.report.crashes.iter().map(|crash| crash.as_bytes()[0].to_string()).collect();
    let launches: Vec<&str> = finished
        .report
        .cases
        .iter()
        .flat_map(|case| &case.launches)
        .map(|launch| match launch.end {
            LaunchEnd::Stayed => "stayed",
            LaunchEnd::Exited => "exited",
            LaunchEnd::Crashed { .. } => "crashed",
            LaunchEnd::Hung => "hung",
        })
        .collect();
    format!("finish {end}, {left}, crashes={}, launches={}", crashes.join(" "), launches.join(" "))
}

/// Facts of a phone that is `good`, `hot` or `full`; the app of [`Play`] is on it.
pub(crate) fn facts(how: &str) -> PhoneFacts {
    PhoneFacts {
        udid: "phone".parse().unwrap(),
        name: "a phone".to_owned(),
        product_type: "iPhone14,5".to_owned(),
        model: "iPhone 13".to_owned(),
        chip: Some("A15".to_owned()),
        region: Some("LL/A".to_owned()),
        os_version: "16.7".parse().unwrap(),
        os_build: "20H19".to_owned(),
        slot: "1-1".parse().unwrap(),
        labels: Vec::new(),
        battery: Some(Battery {
            level_percent: 80,
            charging: true,
            temperature_celsius: Some(if how == "hot" { 44.0 } else { 30.0 }),
            health_percent: None,
            cycles: None,
        }),
        storage: Some(Storage {
            free_bytes: if how == "full" { 1_000 } else { 20_000_000_000 },
            total_bytes: 64_000_000_000,
        }),
        pairing: Pairing::Paired,
        passcode_locked: false,
        developer_mode: Some(true),
        usb_speed_bps: None,
        apps: vec![InstalledApp {
            bundle_id: "org.example.app".parse().unwrap(),
            version: "1.0".to_owned(),
            build_number: "1".to_owned(),
        }],
        crash_files_waiting: std::collections::BTreeMap::new(),
        crash_limits: Vec::new(),
        clock_offset_ms: None,
        simulated: true,
    }
}
