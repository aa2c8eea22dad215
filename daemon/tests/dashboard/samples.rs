//! A made-up farm for looking at pages without one: every state of phones and jobs, long and hostile texts, a crash
//! report that is really read. Used by the tests beside it and by the example that serves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use holdfast_wire::api::{
    AttemptView, ClassQueue, CrashView, Eta, Explanation, JobView, Obstacle, PhoneAnswer, PhoneView,
    ProgressView, QueueView, QueuedJob, RackView, Rule, RuleAnswer,
};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::crash::{CrashLimit, CrashSource, Fullness};
use holdfast_wire::group::{
    CommitSeen, CommitsBetween, DayCount, FirstBad, GroupState, GroupView, Seen, SeenInBuild, Suspect,
};
use holdfast_wire::id::{AttemptId, BuildHash, CrashId, GroupId, JobId, LeaseNumber, RackId, Udid};
use holdfast_wire::job::{JobClass, JobOutcome, JobSpec, JobState, Requirements};
use holdfast_wire::notice::{NoticeState, NoticeView, ReceiverLimit, ReceiverView};
use holdfast_wire::outcome::{AttemptEnd, Blame, CaseResult, LaunchEnd, LaunchResult, StepName};
use holdfast_wire::phone::{Battery, InstalledApp, Pairing, PhoneFacts, PhoneState, Storage};
use holdfast_wire::time::Time;
use holdfast_wire::views::{CaseFailure, CaseStats, LimitsFrom, OwnerView};
use holdfastd::dashboard::{
    CrashPage, CrashesPage, GroupPage, GroupsPage, JobPage, NoticesPage, PhonePage, Picture, Pictures,
    QueuePage, Span, Told, Unreadable,
};
use holdfastd::older::Older;
use tokio::sync::watch;

/// A report that the page of a crash shows.
pub(crate) const REPORT: &[u8] = include_bytes!("../../crash/fixtures/objc_exception.ips");

/// The moment at which the sample was made.
pub(crate) fn now() -> Time {
    Time::from_unix_ms(1_795_230_000_000)
}

fn before(seconds: u64) -> Time {
    Time::from_unix_ms(now().as_unix_ms() - i64::try_from(seconds * 1_000).unwrap())
}

/// The UDID of the sample phone of this number.
pub(crate) fn udid(number: usize) -> Udid {
    format!("00008110-000A2D8E3C41{number:04X}").parse().unwrap()
}

/// An attempt's id.
pub(crate) fn attempt_id(job: u64, number: u32) -> AttemptId {
    AttemptId { job: JobId(job), number }
}

/// The id of the sample crash of this number.
pub(crate) fn crash_id(number: u8) -> CrashId {
    CrashId::new([number; 32])
}

/// A free phone.
pub(crate) fn phone(number: usize) -> PhoneView {
    let models = [("iPhone14,5", "iPhone 13"), ("iPhone12,1", "iPhone 11"), ("iPhone10,4", "iPhone 8")];
    let (product_type, model) = models[number % models.len()];
    PhoneView {
        facts: PhoneFacts {
            udid: udid(number),
            name: format!("Sim phone {number:02}"),
            product_type: product_type.to_owned(),
            model: model.to_owned(),
            chip: Some("A15".to_owned()),
            region: Some("LL/A".to_owned()),
            os_version: "16.7.2".parse().unwrap(),
            os_build: "20H115".to_owned(),
            slot: format!("1-{number}").parse().unwrap(),
            labels: vec!["small-screen".parse().unwrap()],
            battery: Some(Battery {
                level_percent: u8::try_from(96 - number * 7 % 80).unwrap(),
                charging: number.is_multiple_of(3),
                temperature_celsius: Some(27.5 + number as f64 * 0.9),
                health_percent: Some(91),
                cycles: Some(312),
            }),
            storage: Some(Storage { free_bytes: 41_300_000_000, total_bytes: 128_000_000_000 }),
            pairing: Pairing::Paired,
            passcode_locked: false,
            developer_mode: Some(true),
            usb_speed_bps: Some(480_000_000),
            apps: vec![InstalledApp {
                bundle_id: "dev.holdfast.mooring".parse().unwrap(),
                version: "1.4.0".to_owned(),
                build_number: "212".to_owned(),
            }],
            crash_files_waiting: BTreeMap::from([("Mooring".to_owned(), 2)]),
            crash_limits: vec![CrashLimit {
                bug_type: "309".to_owned(),
                process: "Mooring".to_owned(),
                waiting: 16,
                limit: Some(25),
                fullness: Fullness::Near,
                swallowed: 3,
                refused: 1,
                last_lost_at: None,
            }],
            clock_offset_ms: Some(-1_240),
            simulated: true,
        },
        rack: "r1".parse().unwrap(),
        pool: Some("general".parse().unwrap()),
        state: PhoneState::Ready,
        reason: String::new(),
        since: before(140),
        progress: None,
        failures_in_a_row: 0,
    }
}

fn in_state(number: usize, state: PhoneState, reason: &str) -> PhoneView {
    PhoneView { state, reason: reason.to_owned(), ..phone(number) }
}

fn busy(number: usize, job: u64, step: StepName, percent: u8, note: &str) -> PhoneView {
    let state = PhoneState::Busy { attempt: attempt_id(job, 1) };
    let progress = Some(ProgressView { step, percent, note: note.to_owned() });
    PhoneView { progress, ..in_state(number, state, "") }
}

/// A rack that is heard.
pub(crate) fn rack(id: &str, phones: usize) -> RackView {
    RackView {
        id: id.parse().unwrap(),
        online: true,
        last_heard: before(2),
        agent_version: "0.1.0".to_owned(),
        phones,
        phones_working: phones - 3,
    }
}

/// A job that waits.
pub(crate) fn job(number: u64, class: JobClass) -> JobView {
    JobView {
        id: JobId(number),
        spec: JobSpec {
            class,
            build: Arc::new(BuildIdentity {
                hash: BuildHash::new([0x5a; 32]),
                size_bytes: 64_200_000,
                bundle_id: "dev.holdfast.mooring".parse().unwrap(),
                executable: "Mooring".to_owned(),
                version: "1.4.0".to_owned(),
                build_number: "212".to_owned(),
                uuids: vec!["0a0a0a0a-0000-3000-8000-000000000001".to_owned()],
                minimum_os: Some("15.0".to_owned()),
            }),
            cases: Arc::new(vec![Case {
                name: "cold-launch".parse().unwrap(),
                owner: "launch-team".parse().unwrap(),
                run: CaseRun::Launch {
                    launches: 5,
                    stay_ms: 3_000,
                    launch_timeout_ms: 30_000,
                    arguments: vec!["-scene".to_owned(), "feed".to_owned()],
                },
            }]),
            requirements: Arc::new(Requirements {
                os_min: Some("16".parse().unwrap()),
                ..Requirements::default()
            }),
            priority: 0,
            owner: Some("mira".parse().unwrap()),
            start_by: None,
            phones: 1,
            compare: None,
            content: None,
        },
        state: JobState::Queued,
        submitted_at: before(60 * number),
        waiting: Some("all 4 phones that would do are busy; 2 jobs are before it".to_owned()),
        eta: None,
        warning: None,
        cases_done: 0,
        yielded: 0,
        attempts: vec![],
    }
}

/// An attempt that runs.
pub(crate) fn attempt(job: u64, number: u32, phone: usize) -> AttemptView {
    AttemptView {
        id: attempt_id(job, number),
        phone: udid(phone),
        rack: "r1".parse().unwrap(),
        lease: LeaseNumber(40 + u64::from(number)),
        leased_at: before(48),
        progress: None,
        end: None,
        ended_at: None,
        cases: vec![],
        crashes: vec![],
    }
}

fn running(number: u64, class: JobClass, phone: &PhoneView, index: usize) -> JobView {
    let progress = phone.progress.clone();
    JobView {
        state: JobState::Running { attempt: 1, phone: udid(index), others: vec![] },
        waiting: None,
        attempts: vec![AttemptView { progress, ..attempt(number, 1, index) }],
        ..job(number, class)
    }
}

/// A case that fails now and then.
pub(crate) fn stats() -> CaseStats {
    let attempt = Some("J7.2".parse().unwrap());
    let last = CaseFailure {
        at: Time::from_unix_ms(now().as_unix_ms() - 1_200_000),
        build: BuildHash::new([7; 32]),
        attempt,
    };
    CaseStats {
        runs: 50,
        passed: 47,
        failed: 3,
        flaky: 2,
        passed_percent: Some(94),
        failed_percent: Some(6),
        flaky_percent: Some(4),
        recent_runs: 50,
        recent_failed: 3,
        last_failures: vec![last],
    }
}

/// A job that failed with a crash on the second launch, after a phone's cable was pulled in the first attempt.
pub(crate) fn failed_job(number: u64) -> JobView {
    let launch =
        |number, end| LaunchResult { number, pid: Some(400 + number), launch_ms: 840, alive_ms: 3_010, end };
    let lost = AttemptEnd::Failed {
        blame: Blame::Phone,
        step: StepName::Install,
        reason: "the phone left the bus while the build went onto it".to_owned(),
    };
    let crashed = AttemptEnd::Failed {
        blame: Blame::Job,
        step: StepName::Run,
        reason: "cold-launch: launch 2 of 5 crashed".to_owned(),
    };
    let first = AttemptView { end: Some(lost), ended_at: Some(before(30)), ..attempt(number, 1, 2) };
    let second = AttemptView {
        end: Some(crashed),
        ended_at: Some(before(12)),
        leased_at: before(29),
        cases: vec![CaseResult {
            case: "cold-launch".parse().unwrap(),
            failure: Some("launch 2 of 5 crashed".to_owned()),
            launches: vec![
                launch(1, LaunchEnd::Stayed),
                launch(2, LaunchEnd::Crashed { crash: crash_id(1) }),
            ],
        }],
        crashes: vec![crash_id(1)],
        ..attempt(number, 2, 1)
    };
    let reason = "cold-launch: launch 2 of 5 crashed".to_owned();
    JobView {
        state: JobState::Ended { outcome: JobOutcome::Failed { blame: Blame::Job, reason }, at: before(12) },
        submitted_at: before(95),
        waiting: None,
        attempts: vec![first, second],
        ..job(number, JobClass::Crash)
    }
}

fn ended(number: u64, class: JobClass, outcome: JobOutcome, seconds: u64) -> JobView {
    let at = before(seconds);
    let done = AttemptView { end: Some(AttemptEnd::Passed), ended_at: Some(at), ..attempt(number, 1, 4) };
    JobView {
        state: JobState::Ended { outcome, at },
        submitted_at: before(seconds + 71),
        waiting: None,
        attempts: vec![done],
        ..job(number, class)
    }
}

/// A crash whose report can be read.
pub(crate) fn crash(number: u8) -> CrashView {
    CrashView {
        origin: CrashSource {
            id: crash_id(number),
            phone: Some(udid(1)),
            rack: Some("r1".parse().unwrap()),
            path: "Mooring-2026-11-21-033046.ips".to_owned(),
            size_bytes: u64::try_from(REPORT.len()).unwrap(),
            collected_at: before(14 * u64::from(number)),
            attempt: Some(attempt_id(11, 2)),
        },
        kind: "crash".to_owned(),
        process: Some("Mooring".to_owned()),
        bundle_id: Some("dev.holdfast.mooring".to_owned()),
        ended_by: Some(
            "NSInvalidArgumentException: -[Rope tie:]: unrecognized selector sent to instance".to_owned(),
        ),
        top_frame: Some("Mooring -[Harbour open:] + 32".to_owned()),
        captured_at: Some("2026-11-21T06:30:46+03:00".to_owned()),
        malformed: vec![],
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
        missing_symbols: Some(vec![]),
        top_file: None,
    }
}

/// A chat that is left alone and has one of each state, and what nobody was told.
pub(crate) fn notices() -> NoticesPage {
    let at = |seconds: i64| Time::from_unix_ms(now().as_unix_ms() + seconds * 1_000);
    let notice = |id: u64, state: NoticeState, title: &str, reason: &str| NoticeView {
        id,
        at: at(-90),
        receiver: "stability-chat".to_owned(),
        group: "4fd0386906271a2b".to_owned(),
        phone: None,
        key: format!("chat/stability-chat/4fd0386906271a2b/{id}"),
        title: title.to_owned(),
        state,
        reason: reason.to_owned(),
        tries: 3,
        next_try: None,
        ended_at: None,
        last_answer: None,
    };
    let waiting = NoticeView {
        next_try: Some(at(40)),
        last_answer: Some("the signature does not fit; mend `secret` (status 200: <b>)".to_owned()),
        ..notice(9, NoticeState::Waiting, "new crash: Chat <script>", "urgent, because it is at launch")
    };
    let of_phone = NoticeView {
        group: String::new(),
        phone: Some(picture().phones[0].facts.udid.clone()),
        ended_at: Some(at(-30)),
        ..notice(8, NoticeState::Sent, "lab-7 is near its limit of crash files: 18 of 25 of Chat", "`phones`")
    };
    let failed = notice(7, NoticeState::Failed, "new crash: Feed", "given up after 20 tries: status 503");
    let receiver = ReceiverView {
        name: "stability-chat".to_owned(),
        kind: "feishu".to_owned(),
        waiting: 1,
        limits: vec![
            ReceiverLimit { messages: 90, window_ms: 60_000, used: 90 },
            ReceiverLimit { messages: 4, window_ms: 1_000, used: 0 },
        ],
        not_before: Some(at(10)),
        wants_quiet: true,
        last_sent: Some(at(-2)),
    };
    let chat = Told {
        name: receiver.name.clone(),
        receiver: Some(receiver),
        notices: vec![waiting, of_phone, failed],
        total: 30,
    };
    let held = notice(3, NoticeState::Held, "new crash: DebugMenu", "held back: the debug menu");
    let nobody = Told { name: "-".to_owned(), receiver: None, notices: vec![held], total: 1 };
    NoticesPage { told: vec![chat, nobody], group: None, simulated: true }
}

/// A crash group that was fixed and came back.
pub(crate) fn group() -> GroupView {
    let seen = |what: &str, count| Seen { what: what.to_owned(), count };
    let bad = SeenInBuild {
        build: BuildHash::new([0x3f; 32]),
        commit: Some("3f2c1ab90d44e5".to_owned()),
        branch: Some("trunk".to_owned()),
        author: Some("ada@example.org".to_owned()),
        uploaded_at: Some(before(9_000)),
        count: 7,
        attempts_run: 12,
    };
    let good = SeenInBuild {
        build: BuildHash::new([0x11; 32]),
        commit: None,
        author: None,
        count: 0,
        ..bad.clone()
    };
    GroupView {
        id: "4fd0386906271a2b".parse().unwrap(),
        title: "Mooring | uncaught NSInvalidArgumentException | -[Harbour open:]".to_owned(),
        name: None,
        signature: "Mooring | uncaught NSInvalidArgumentException | -[Harbour open:]".to_owned(),
        state: GroupState::Regressed { build: bad.build, at: before(60) },
        ended_by: Some("NSInvalidArgumentException: -[Rope tie:]: <b>unrecognized</b> selector".to_owned()),
        process: Some("Mooring".to_owned()),
        bundle_id: Some("dev.holdfast.mooring".to_owned()),
        count: 7,
        first_seen: Some(before(8_000)),
        last_seen: Some(before(60)),
        builds: vec![bad.clone()],
        odds: Some(FirstBad {
            is_certain: false,
            builds: 4,
            suspects: vec![
                Suspect { build: bad.clone(), percent: 71 },
                Suspect { build: good.clone(), percent: 28 },
            ],
        }),
        first_bad: Some(bad),
        last_good: Some(good),
        between: Some(CommitsBetween {
            count: 3,
            without_build: 2,
            commits: vec![
                commit("7c1d2e3f4a5b6c", "Rooms <b>open</b> twice", Some(BuildHash::new([7; 32]))),
                commit("51b0aa9c3e0011", "Rooms are kept", None),
            ],
        }),
        doubts: vec!["commit 9f00 is not in the mirror /srv/chat.git; fetch it".to_owned()],
        phones: vec![seen("00008110-000A2D8E3C41801E", 7)],
        models: vec![seen("iPhone13,2", 7)],
        app_versions: vec![seen("1.4.1 (141)", 7)],
        os_versions: vec![seen("iPhone OS 17.2 (21C62)", 6), seen("iPhone OS 16.7 (20H19)", 1)],
        cases: vec![seen("cold-launch", 7)],
        launch_phases: vec![seen("in launch", 7)],
        attempts: 5,
        attempts_run: 12,
        trend: (1..=30)
            .map(|day| DayCount { day: format!("2026-11-{day:02}"), count: u64::from(day % 5 == 0) * day })
            .collect(),
        samples: vec![crash_id(1)],
        absorbed: vec!["77aa0912cd34ef56".parse().unwrap()],
    }
}

fn commit(hash: &str, subject: &str, build: Option<BuildHash>) -> CommitSeen {
    let author = "Ada <ada@example.com>".to_owned();
    CommitSeen { commit: hash.to_owned(), author, subject: subject.to_owned(), build }
}

/// Everything at once, as on a busy afternoon.
pub(crate) fn picture() -> Picture {
    let mut phones = vec![
        busy(1, 21, StepName::Run, 62, "launch 3 of 5"),
        busy(2, 22, StepName::Install, 18, "uploading 11.4 of 64.2 MB"),
        phone(3),
        in_state(4, PhoneState::Releasing { attempt: attempt_id(20, 1) }, ""),
        in_state(5, PhoneState::Cooling, "its cell has 41.5 °C, and it is used again below 37 °C"),
        in_state(6, PhoneState::Charging, "12 % charge, and it is used again from 30 %"),
        in_state(7, PhoneState::NeedsHands, "the trust dialog is on its screen: tap Trust"),
        in_state(
            8,
            PhoneState::Quarantined { until: Some(now().after(Duration::from_secs(1_500))) },
            "3 failures in a row were blamed on it, last: no answer from lockdown within 10 s",
        ),
        in_state(9, PhoneState::Preparing, "facts are read"),
        in_state(10, PhoneState::Recovering, "its services are started again"),
    ];
    let mut away = in_state(11, PhoneState::Offline, "its rack is silent");
    away.rack = "r2".parse().unwrap();
    away.facts.battery = None;
    phones.push(away);
    let running_jobs = [(21, JobClass::Crash, 0), (22, JobClass::Baseline, 1)];
    let mut jobs: Vec<JobView> =
        running_jobs.iter().map(|(job, class, at)| running(*job, *class, &phones[*at], at + 1)).collect();
    jobs.push(JobView { submitted_at: before(312), ..job(3, JobClass::Baseline) });
    let told = "no phone has iOS 18 or newer; the newest is 16.7.2";
    jobs.push(JobView { waiting: Some(told.to_owned()), ..job(4, JobClass::Custom) });
    jobs.push(JobView { waiting: Some("waits for an idle window".to_owned()), ..job(5, JobClass::Idle) });
    jobs.push(failed_job(11));
    jobs.push(ended(12, JobClass::Baseline, JobOutcome::Passed, 130));
    jobs.push(ended(13, JobClass::Custom, JobOutcome::Cancelled, 340));
    jobs.push(ended(14, JobClass::Idle, JobOutcome::Expired, 4_000));
    let unreadable = CrashView {
        process: None,
        bundle_id: None,
        kind: "unreadable".to_owned(),
        ended_by: None,
        top_frame: None,
        captured_at: None,
        malformed: vec!["line 1, column 1: the file is empty".to_owned()],
        ..crash(2)
    };
    let shortage = CrashView {
        kind: "jetsam".to_owned(),
        ended_by: Some("killed for memory: per-process-limit, 1.4 GB".to_owned()),
        top_frame: None,
        ..crash(3)
    };
    let silent = RackView { online: false, last_heard: before(200), phones_working: 0, ..rack("r2", 3) };
    Picture {
        now: now(),
        racks: vec![rack("r1", 10), RackView { phones: 1, ..silent }],
        phones,
        jobs,
        crashes: vec![crash(1), unreadable, shortage],
        jobs_waiting: 3,
        simulated: true,
    }
}

/// Why the sample job waits.
pub(crate) fn explanation(job: JobId) -> Explanation {
    let rack: RackId = "r1".parse().unwrap();
    let answer = |number: usize, obstacle, words: &str| PhoneAnswer {
        phone: udid(number),
        rack: rack.clone(),
        obstacle,
        words: words.to_owned(),
    };
    Explanation {
        job,
        summary: "all 4 phones that would do are busy; 2 jobs are before it".to_owned(),
        ahead: 2,
        rules: vec![
            RuleAnswer {
                rule: Rule::Window { name: "nights".to_owned() },
                words: "window nights is shut".to_owned(),
                until: Some(now().after(Duration::from_secs(7_200))),
            },
            RuleAnswer {
                rule: Rule::Order { class: JobClass::Baseline, ahead: 2 },
                words: "2 jobs go before it".to_owned(),
                until: None,
            },
        ],
        phones: vec![
            answer(1, Obstacle::Busy { attempt: attempt_id(21, 1) }, "runs J21.1"),
            answer(3, Obstacle::FailedHereBefore, "the job failed here before"),
        ],
    }
}

/// What the page of the queue shows of this picture.
pub(crate) fn queue_page(picture: &Picture) -> QueuePage {
    let at = picture.now;
    let ahead = |seconds: u64| at.after(Duration::from_secs(seconds));
    let classes = JobClass::ALL.map(|class| {
        let of_class = |job: &&JobView| job.spec.class == class;
        let waits = |job: &&JobView| job.state == JobState::Queued;
        let next: Vec<QueuedJob> = picture
            .jobs
            .iter()
            .filter(|job| of_class(job) && waits(job))
            .map(|job| QueuedJob {
                job: job.id,
                owner: job.spec.owner.clone(),
                priority: job.spec.priority,
                submitted_at: job.submitted_at,
                start_by: (class == JobClass::Custom).then(|| ahead(7_200)),
                phones: if class == JobClass::Idle { 2 } else { 1 },
                waiting: job.waiting.clone(),
                eta: (class != JobClass::Custom).then(|| Eta {
                    earliest: ahead(40 + 60 * job.id.0),
                    likely: ahead(60 + 110 * job.id.0),
                    latest: ahead(90 + 300 * job.id.0),
                    confidence_percent: 90,
                    words: "2 jobs go before it on 4 phones".to_owned(),
                }),
            })
            .collect();
        let runs = |job: &&JobView| matches!(job.state, JobState::Running { .. });
        ClassQueue {
            class,
            waiting: next.len() + if class == JobClass::Idle { 1_240 } else { 0 },
            running: picture.jobs.iter().filter(|job| of_class(job) && runs(job)).count(),
            oldest: next.iter().map(|job| job.submitted_at).min(),
            next,
        }
    });
    QueuePage {
        queue: QueueView { at, classes: classes.into() },
        phones: picture.phones.clone(),
        spans: spans(picture),
        owners: owners(),
    }
}

/// What phones ran: the running jobs, and every hour something of another class.
fn spans(picture: &Picture) -> Vec<Span> {
    let running = picture.jobs.iter().filter_map(|job| match &job.state {
        JobState::Running { attempt, phone, .. } => Some(Span {
            phone: phone.clone(),
            attempt: AttemptId { job: job.id, number: *attempt },
            class: job.spec.class,
            from: job.attempts[0].leased_at,
            to: None,
            how: String::new(),
        }),
        JobState::Queued | JobState::Ended { .. } => None,
    });
    let past = (0..40_u64).map(|number| Span {
        phone: udid(usize::try_from(number).unwrap() % 9 + 1),
        attempt: attempt_id(100 + number, 1),
        class: JobClass::ALL[usize::try_from(number).unwrap() * 3 % 5],
        from: before(600 + number * 330),
        to: Some(before(number * 330 + 70 * (number % 8))),
        how: if number % 7 == 3 { "failed" } else { "passed" }.to_owned(),
    });
    running.chain(past).collect()
}

fn owners() -> Vec<OwnerView> {
    let mira = OwnerView {
        owner: Some("mira".parse().unwrap()),
        weight: 2,
        running_max: Some(8),
        minutes_per_day: Some(600),
        limits_from: LimitsFrom::File,
        minutes_used_today: Some(210),
        over_quota: false,
        running: 2,
        waiting: 3,
    };
    let over = OwnerView {
        owner: Some("team-video".parse().unwrap()),
        minutes_used_today: Some(612),
        over_quota: true,
        running: 0,
        ..mira.clone()
    };
    let nobody = OwnerView {
        owner: None,
        weight: 1,
        running_max: None,
        minutes_per_day: None,
        limits_from: LimitsFrom::Default,
        minutes_used_today: None,
        over_quota: false,
        running: 0,
        waiting: 0,
    };
    vec![nobody, over, mira]
}

/// A farm that can be changed by hand.
#[derive(Debug)]
pub(crate) struct Sample {
    picture: Mutex<Picture>,
    number: watch::Sender<u64>,
}

impl Sample {
    /// The sample farm.
    pub(crate) fn new() -> Self {
        Self { picture: Mutex::new(picture()), number: watch::Sender::new(0) }
    }

    /// Changes the farm and tells everybody.
    pub(crate) fn change(&self, mend: impl FnOnce(&mut Picture)) {
        mend(&mut self.picture.lock().unwrap());
        self.number.send_modify(|number| *number += 1);
    }
}

/// A page of crashes with another one behind it.
pub(crate) fn crashes_page(
    crashes: Vec<CrashView>,
    phones: Vec<PhoneView>,
    begins: Option<Older<CrashId>>,
) -> CrashesPage {
    let goes_on = crashes.last().map(|last| Older { at: last.origin.collected_at, id: last.origin.id });
    CrashesPage { crashes, total: 70, begins, goes_on, phones, simulated: true }
}

/// A page of crash groups with another one behind it.
pub(crate) fn groups_page(begins: Option<Older<GroupId>>) -> GroupsPage {
    let goes_on = Some(Older { at: now(), id: group().id });
    GroupsPage { groups: vec![group()], total: 3, begins, goes_on, simulated: true }
}

impl Pictures for Sample {
    type Shown = u64;

    fn now(&self) -> Time {
        self.picture.lock().unwrap().now
    }

    async fn picture(&self) -> Picture {
        self.picture.lock().unwrap().clone()
    }

    fn follow(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    async fn queue(&self) -> Result<QueuePage, Unreadable> {
        Ok(queue_page(&self.picture().await))
    }

    async fn job(&self, id: JobId) -> Result<Option<JobPage>, Unreadable> {
        let Picture { jobs, crashes, phones, .. } = self.picture().await;
        let Some(job) = jobs.into_iter().find(|job| job.id == id) else { return Ok(None) };
        let explanation = (job.state == JobState::Queued).then(|| explanation(id));
        let crashes = crashes.into_iter().filter(|crash| crash.origin.attempt.is_some_and(|of| of.job == id));
        let stats = job.spec.cases.iter().map(|case| (case.name.clone(), stats())).collect();
        Ok(Some(JobPage { job, explanation, crashes: crashes.collect(), phones, stats }))
    }

    async fn phone(&self, udid: &Udid) -> Result<Option<PhonePage>, Unreadable> {
        let Picture { jobs, crashes, phones, .. } = self.picture().await;
        let Some(phone) = phones.into_iter().find(|phone| phone.facts.udid == *udid) else { return Ok(None) };
        let jobs = jobs.into_iter().filter(|job| job.attempts.iter().any(|one| one.phone == *udid)).collect();
        let crashes = crashes.into_iter().filter(|crash| crash.origin.phone.as_ref() == Some(udid)).collect();
        Ok(Some(PhonePage { phone, jobs, crashes }))
    }

    async fn crash(&self, id: CrashId) -> Result<Option<CrashPage>, Unreadable> {
        let Picture { crashes, phones, .. } = self.picture().await;
        let Some(view) = crashes.into_iter().find(|crash| crash.origin.id == id) else { return Ok(None) };
        let phone = phones.into_iter().find(|phone| Some(&phone.facts.udid) == view.origin.phone.as_ref());
        Ok(Some(CrashPage { view, report: holdfast_crash::read(REPORT), phone }))
    }

    async fn crashes(&self, from: Option<Older<CrashId>>) -> CrashesPage {
        let Picture { crashes, phones, .. } = self.picture().await;
        crashes_page(crashes, phones, from)
    }

    async fn groups(&self, from: Option<Older<GroupId>>) -> GroupsPage {
        groups_page(from)
    }

    async fn notices(&self, group: Option<GroupId>) -> Result<NoticesPage, Unreadable> {
        Ok(NoticesPage { group, ..notices() })
    }

    async fn group(&self, id: &GroupId) -> Option<GroupPage> {
        let Picture { crashes, phones, .. } = self.picture().await;
        let group = group();
        (group.id == *id).then_some(GroupPage { group, crashes, phones, simulated: true })
    }
}
