//! A small farm in the types of the API: one rack, two phones, a build, jobs in every state, a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_wire::api::{AttemptView, CrashView, Page, PhoneView, Problem, ProgressView, RackView};
use holdfast_wire::build::{Build, BuildIdentity, Origin};
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::crash::{CrashLimit, CrashSource, Fullness};
use holdfast_wire::id::{BuildHash, CrashId, JobId, LeaseNumber};
use holdfast_wire::job::{JobClass, JobOutcome, JobSpec, JobState, Requirements};
use holdfast_wire::outcome::{AttemptEnd, Blame, CaseResult, LaunchEnd, LaunchResult, StepName};
use holdfast_wire::phone::{Battery, InstalledApp, OsVersion, Pairing, PhoneFacts, PhoneState, Storage};
use holdfast_wire::time::Time;
use holdfast_wire::views::{CaseFailure, CaseStats, CaseView};

use super::StandIn;

pub(crate) use holdfast_wire::api::JobView;

/// The farm, seen from one instant.
pub(crate) struct Farm {
    now: Time,
}

pub(crate) const BUSY: &str = "00008110-000A2D8E3C41801E";
pub(crate) const HOT: &str = "00008030-001C1D2E3F40802E";

impl Farm {
    pub(crate) fn new() -> Self {
        Self { now: jiff::Timestamp::now().into() }
    }

    /// Everything that a command may ask of this farm.
    pub(crate) fn fill(&self, standin: &StandIn) {
        let build = self.build();
        standin.tell("GET /api/v1/builds", 200, &page(vec![build.clone()], Some("b2")));
        standin.tell("POST /api/v1/builds", 200, &build);
        standin.tell("GET /api/v1/builds/abab", 200, &build);
        let jobs = vec![
            self.running(),
            self.queued(),
            self.ended(3, JobOutcome::Failed { blame: Blame::Job, reason: "launch 2 crashed".to_owned() }),
        ];
        standin.tell("GET /api/v1/jobs/J3", 200, &jobs[2]);
        standin.tell("GET /api/v1/jobs/J17", 200, &jobs[0]);
        standin.tell("GET /api/v1/jobs/J18", 200, &jobs[1]);
        standin.tell("POST /api/v1/jobs", 200, &jobs[1]);
        let cancelled = self.ended(18, JobOutcome::Cancelled);
        standin.tell("POST /api/v1/jobs/J18/cancel", 200, &cancelled);
        standin.tell("GET /api/v1/jobs", 200, &page(jobs, None));
        super::rules::fill(self, standin);
        let phones = vec![self.busy(), self.hot()];
        for phone in &phones {
            standin.tell(&format!("GET /api/v1/phones/{}", phone.facts.udid), 200, phone);
        }
        standin.tell(&format!("POST /api/v1/phones/{HOT}/quarantine"), 200, &phones[1]);
        standin.tell(&format!("POST /api/v1/phones/{HOT}/release"), 200, &phones[1]);
        standin.tell(&format!("POST /api/v1/phones/{HOT}/take"), 200, &self.taken());
        standin.tell(&format!("POST /api/v1/phones/{BUSY}/force-release"), 200, &phones[0]);
        standin.tell("GET /api/v1/phones", 200, &page(phones, None));
        standin.tell("GET /api/v1/racks", 200, &page(vec![self.rack()], None));
        standin.tell("GET /api/v1/cases", 200, &page(self.cases(), None));
        standin.tell("GET /api/v1/crashes", 200, &page(vec![self.crash()], None));
        standin.tell("GET /api/v1/crashes/cdcd", 200, &serde_json::json!({ "kind": "crash" }));
        standin.tell_bytes(
            "GET /api/v1/crashes/cdcd/page",
            200,
            b"Mooring crashed: EXC_BREAKPOINT (SIGTRAP)\n",
        );
        standin.tell_bytes(
            "GET /api/v1/crashes/cdcd/text",
            200,
            b"Exception Type:  EXC_BREAKPOINT (SIGTRAP)\n",
        );
        standin.tell_bytes("GET /api/v1/crashes/cdcd/raw", 200, b"{\"app_name\":\"Mooring\"}\n{}");
        standin.tell_bytes("GET /readyz", 200, b"ready");
        standin.tell("GET /version", 200, &serde_json::json!({ "version": "0.1.0", "now": self.now }));
    }

    /// A text with this farm's instants made equal in every run.
    pub(crate) fn settled(&self, text: &str) -> String {
        // A character that turns the direction of text must not lie in a snapshot as it is.
        let mut text = text.replace('\u{202e}', "<U+202E>");
        for minutes in MINUTES {
            let instant = self.ago(minutes).to_string();
            let mut settled = format!("<{minutes} minutes ago>");
            while settled.len() < instant.len() {
                settled.insert(settled.len() - 1, '.');
            }
            text = text.replace(&instant, &settled);
        }
        text = text.replace(&self.now.to_string(), "<now...................>");
        for minutes in MINUTES_AHEAD {
            let instant = self.ahead(minutes).to_string();
            let words = format!("<in {minutes} minutes");
            text = text.replace(&instant, &format!("{words:.<width$}>", width = instant.len() - 1));
        }
        text
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn ahead(&self, minutes: u32) -> Time {
        assert!(MINUTES_AHEAD.contains(&minutes), "only these are settled");
        // Half a minute more: the program looks at its clock a moment later.
        Time::from_unix_ms(self.now.as_unix_ms() + i64::from(minutes) * 60_000 + 30_000)
    }

    pub(crate) fn ago(&self, minutes: u32) -> Time {
        assert!(MINUTES.contains(&minutes), "only these are settled");
        // A second more: a little of a clock set back must not change the number of minutes.
        Time::from_unix_ms(self.now.as_unix_ms() - i64::from(minutes) * 60_000 - 1_000)
    }

    fn cases(&self) -> Vec<CaseView> {
        let Case { name, owner, run } = case();
        let failure = |minutes, attempt: &str| CaseFailure {
            at: self.ago(minutes),
            build: identity().hash,
            attempt: Some(attempt.parse().unwrap()),
        };
        let stats = CaseStats {
            runs: 120,
            passed: 113,
            failed: 7,
            flaky: 4,
            passed_percent: Some(94),
            failed_percent: Some(6),
            flaky_percent: Some(4),
            recent_runs: 50,
            recent_failed: 2,
            last_failures: vec![failure(10, "J17.1"), failure(90, "J3.2")],
        };
        let new = CaseView {
            name: "warm".parse().unwrap(),
            owner: owner.clone(),
            run: run.clone(),
            stats: CaseStats::default(),
        };
        vec![CaseView { name, owner, run, stats }, new]
    }

    pub(crate) fn build(&self) -> Build {
        Build {
            identity: identity(),
            origin: Origin {
                commit: Some("3f2c1abd0912ffee".to_owned()),
                branch: Some("feature/chat".to_owned()),
                author: None,
                parents: Vec::new(),
            },
            uploaded_at: self.ago(90),
            symbols: None,
        }
    }

    pub(crate) fn queued(&self) -> JobView {
        JobView {
            id: JobId(18),
            state: JobState::Queued,
            submitted_at: self.ago(5),
            spec: JobSpec {
                requirements: Arc::new(Requirements {
                    models: vec!["iPhone14,5".to_owned(), "iPhone 12".to_owned()],
                    os_min: Some("16".parse().unwrap()),
                    labels: vec!["lab-a".parse().unwrap()],
                    ..Requirements::default()
                }),
                ..spec()
            },
            waiting: Some("every phone that would do is busy".to_owned()),
            eta: None,
            warning: None,
            cases_done: 0,
            yielded: 0,
            attempts: Vec::new(),
        }
    }

    pub(crate) fn running(&self) -> JobView {
        let note = "launch 2 of 3".to_owned();
        let attempt = AttemptView {
            id: "J17.1".parse().unwrap(),
            phone: BUSY.parse().unwrap(),
            rack: "rack-1".parse().unwrap(),
            lease: LeaseNumber(4),
            leased_at: self.ago(5),
            progress: Some(ProgressView { step: StepName::Run, percent: 60, note }),
            end: None,
            ended_at: None,
            cases: Vec::new(),
            crashes: Vec::new(),
        };
        JobView {
            id: JobId(17),
            spec: spec(),
            state: JobState::Running { attempt: 1, phone: BUSY.parse().unwrap(), others: vec![] },
            submitted_at: self.ago(10),
            waiting: None,
            eta: None,
            warning: None,
            cases_done: 0,
            yielded: 0,
            attempts: vec![attempt],
        }
    }

    pub(crate) fn ended(&self, number: u64, outcome: JobOutcome) -> JobView {
        let crash = CrashId::new([0xcd; 32]);
        let launch = |number, end| LaunchResult {
            number,
            pid: Some(700 + number),
            launch_ms: 412,
            alive_ms: 3_000,
            end,
        };
        let (end, failure, crashes) = match &outcome {
            JobOutcome::Failed { blame, reason } => (
                AttemptEnd::Failed { blame: *blame, step: StepName::Run, reason: reason.clone() },
                Some(reason.clone()),
                vec![crash],
            ),
            JobOutcome::Passed => (AttemptEnd::Passed, None, Vec::new()),
            JobOutcome::Cancelled | JobOutcome::Expired => (AttemptEnd::Revoked, None, Vec::new()),
        };
        let mut launches = vec![launch(1, LaunchEnd::Stayed)];
        launches.extend(crashes.iter().map(|crash| launch(2, LaunchEnd::Crashed { crash: *crash })));
        let attempt = AttemptView {
            id: format!("J{number}.1").parse().unwrap(),
            leased_at: self.ago(10),
            progress: None,
            end: Some(end),
            ended_at: Some(self.ago(5)),
            cases: vec![CaseResult { case: case().name, failure, launches }],
            crashes,
            ..self.running().attempts.remove(0)
        };
        JobView {
            id: JobId(number),
            state: JobState::Ended { outcome, at: self.ago(5) },
            submitted_at: self.ago(90),
            attempts: vec![attempt],
            ..self.running()
        }
    }

    pub(crate) fn busy(&self) -> PhoneView {
        let attempt = "J17.1".parse().unwrap();
        PhoneView {
            facts: facts(BUSY),
            rack: "rack-1".parse().unwrap(),
            pool: Some("main".parse().unwrap()),
            state: PhoneState::Busy { attempt },
            reason: "runs J17.1".to_owned(),
            since: self.ago(5),
            progress: self.running().attempts[0].progress.clone(),
            failures_in_a_row: 0,
        }
    }

    /// The second phone, borrowed.
    pub(crate) fn taken(&self) -> PhoneView {
        let until = Some(self.ahead(240));
        PhoneView {
            state: PhoneState::Taken { by: "mira".parse().unwrap(), until },
            reason: "taken by mira: looks at a hang".to_owned(),
            ..self.hot()
        }
    }

    pub(crate) fn hot(&self) -> PhoneView {
        let mut facts = facts(HOT);
        facts.name = "evil\u{1b}[2J\u{202e}name".to_owned();
        facts.slot = "1-2.4".parse().unwrap();
        facts.labels = Vec::new();
        facts.apps = Vec::new();
        facts.storage = None;
        facts.developer_mode = None;
        facts.battery =
            Some(Battery { temperature_celsius: Some(41.3), level_percent: 8, ..Battery::default() });
        PhoneView {
            facts,
            pool: None,
            state: PhoneState::Cooling,
            reason: "41 °C is too hot for work".to_owned(),
            progress: None,
            failures_in_a_row: 2,
            ..self.busy()
        }
    }

    pub(crate) fn rack(&self) -> RackView {
        RackView {
            id: "rack-1".parse().unwrap(),
            online: true,
            last_heard: self.ago(5),
            agent_version: "0.1.0".to_owned(),
            phones: 2,
            phones_working: 1,
        }
    }

    pub(crate) fn crash(&self) -> CrashView {
        CrashView {
            origin: CrashSource {
                id: CrashId::new([0xcd; 32]),
                phone: Some(BUSY.parse().unwrap()),
                rack: Some("rack-1".parse().unwrap()),
                path: "Mooring-2026-11-21-033046.ips".to_owned(),
                size_bytes: 48_213,
                collected_at: self.ago(5),
                attempt: Some("J3.1".parse().unwrap()),
            },
            kind: "crash".to_owned(),
            process: Some("Mooring".to_owned()),
            bundle_id: Some("org.example.mooring".to_owned()),
            ended_by: Some("EXC_BREAKPOINT (SIGTRAP)".to_owned()),
            top_frame: Some("Mooring + 18432".to_owned()),
            captured_at: Some("2026-11-21 03:30:46.12 +0000".to_owned()),
            malformed: Vec::new(),
            launch_phase: Some("running".to_owned()),
            os_version: Some("iPhone OS 17.2 (21C62)".to_owned()),
            app_version: Some("1.4.1 (141)".to_owned()),
            device_model: Some("iPhone13,2".to_owned()),
            slice_uuid: None,
            happened_at: None,
            build: None,
            case: None,
            signature: None,
            group: None,
            placed_by_hand: false,
            incident: None,
            twin_of: None,
            missing_symbols: None,
            top_file: None,
        }
    }
}

/// The instants that the farm speaks of.
const MINUTES: [u32; 3] = [5, 10, 90];

/// The instants to come that the farm speaks of.
const MINUTES_AHEAD: [u32; 6] = [3, 5, 9, 240, 600, 4320];

pub(crate) fn page<T>(items: Vec<T>, next_cursor: Option<&str>) -> Page<T> {
    Page { items, next_cursor: next_cursor.map(str::to_owned) }
}

pub(crate) fn problem(status: u16, kind: &str, detail: &str) -> Problem {
    Problem {
        kind: format!("urn:holdfast:{kind}"),
        title: kind.to_owned(),
        status,
        detail: detail.to_owned(),
        mistakes: Vec::new(),
    }
}

fn identity() -> BuildIdentity {
    BuildIdentity {
        hash: BuildHash::new([0xab; 32]),
        size_bytes: 2_500_000,
        bundle_id: "org.example.mooring".parse().unwrap(),
        executable: "Mooring".to_owned(),
        version: "1.4".to_owned(),
        build_number: "207".to_owned(),
        uuids: vec!["5a0d7f2c-7d36-3f0e-9b1c-3c62a1f0d9ee".to_owned()],
        minimum_os: Some("15.0".to_owned()),
    }
}

fn case() -> Case {
    let run =
        CaseRun::Launch { launches: 3, stay_ms: 3_000, launch_timeout_ms: 30_000, arguments: Vec::new() };
    Case { name: "cold-launch".parse().unwrap(), owner: "team-chat".parse().unwrap(), run }
}

fn spec() -> JobSpec {
    JobSpec {
        class: JobClass::Baseline,
        build: Arc::new(identity()),
        cases: Arc::new(vec![case()]),
        requirements: Arc::default(),
        priority: 0,
        owner: Some("chat-team".parse().unwrap()),
        start_by: None,
        phones: 1,
        compare: None,
        content: None,
    }
}

fn facts(udid: &str) -> PhoneFacts {
    let app = InstalledApp {
        bundle_id: "org.example.mooring".parse().unwrap(),
        version: "1.4".to_owned(),
        build_number: "207".to_owned(),
    };
    PhoneFacts {
        udid: udid.parse().unwrap(),
        name: "Lab 7".to_owned(),
        product_type: "iPhone14,5".to_owned(),
        model: "iPhone 13".to_owned(),
        chip: Some("A15".to_owned()),
        region: Some("LL/A".to_owned()),
        os_version: "16.7.2".parse::<OsVersion>().unwrap(),
        os_build: "20H115".to_owned(),
        slot: "1-2.3".parse().unwrap(),
        labels: vec!["lab-a".parse().unwrap()],
        battery: Some(Battery {
            level_percent: 82,
            charging: true,
            temperature_celsius: Some(31.4),
            health_percent: Some(93),
            cycles: Some(212),
        }),
        storage: Some(Storage { free_bytes: 41_000_000_000, total_bytes: 128_000_000_000 }),
        pairing: Pairing::Paired,
        passcode_locked: false,
        developer_mode: Some(true),
        usb_speed_bps: Some(480_000_000),
        apps: vec![app],
        crash_files_waiting: BTreeMap::from([("Mooring".to_owned(), 2)]),
        crash_limits: vec![CrashLimit {
            bug_type: "309".to_owned(),
            process: "Mooring".to_owned(),
            waiting: 16,
            limit: Some(25),
            fullness: Fullness::Near,
            swallowed: 3,
            refused: 0,
            last_lost_at: None,
        }],
        clock_offset_ms: Some(-120),
        simulated: true,
    }
}
