//! A small farm to try the brain on: phones, builds and jobs with good values, and decisions as text.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::policy::{Members, Policy, Pool, Quarantine, Retries};
use holdfast_scheduler::record::Record;
use holdfast_scheduler::{Decision, Event, Scheduler};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::id::{AttemptId, BlobHash, BuildHash, JobId, LeaseNumber, Owner, RackId, Udid};
use holdfast_wire::job::{JobClass, JobOutcome, JobSpec, JobState};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};
use holdfast_wire::phone::{PhoneFacts, PhoneReport, Readiness};
use holdfast_wire::sync::{HeldLease, Order, PhoneOrder, YieldWhen};
use holdfast_wire::time::Time;

/// Pool `crash` takes what is labelled so, pool `general` the rest; small budgets, so that a test reaches them.
pub(crate) fn policy() -> Policy {
    let mut classes = Policy::default_classes();
    classes.values_mut().filter(|class| !class.strict).for_each(|class| {
        class.lift_after = Some(Duration::from_secs(3_600));
    });
    Policy {
        classes,
        rack_silent_after: Duration::from_secs(30),
        attempt_overhead: Duration::from_secs(600),
        retries: Retries { job: 0, phone: 2, rack: 2, farm: 2 },
        quarantine: Quarantine { after_failures: 2, lasts: Duration::from_secs(900) },
        ..Policy::with_pools(vec![
            Pool {
                name: "crash".parse().unwrap(),
                serves: vec![JobClass::Crash],
                lends: vec![],
                only: vec![],
                members: Members::Listed {
                    phones: vec![],
                    racks: vec![],
                    slots: vec![],
                    labels: vec!["crash".parse().unwrap()],
                },
            },
            Pool {
                name: "general".parse().unwrap(),
                serves: vec![JobClass::Baseline, JobClass::Custom, JobClass::Special, JobClass::Idle],
                lends: vec![],
                only: vec![],
                members: Members::Rest,
            },
        ])
    }
}

/// A ready iPhone 13 with iOS 16.7 in slot `s-<udid>`.
pub(crate) fn phone(udid: &str) -> PhoneReport {
    PhoneReport {
        facts: PhoneFacts {
            udid: udid.parse().unwrap(),
            name: format!("phone {udid}"),
            product_type: "iPhone14,5".to_owned(),
            model: "iPhone 13".to_owned(),
            chip: Some("A15".to_owned()),
            region: Some("LL/A".to_owned()),
            os_version: "16.7".parse().unwrap(),
            os_build: "20H19".to_owned(),
            slot: format!("s-{udid}").parse().unwrap(),
            labels: vec![],
            battery: None,
            storage: None,
            pairing: holdfast_wire::phone::Pairing::Paired,
            passcode_locked: false,
            developer_mode: None,
            usb_speed_bps: None,
            apps: vec![],
            crash_files_waiting: BTreeMap::new(),
            clock_offset_ms: None,
            simulated: true,
        },
        readiness: Readiness::Ready,
        reason: String::new(),
        since: Time::default(),
    }
}

/// A job of one launch on build 140, which wants iOS 15.
pub(crate) fn spec(class: JobClass) -> JobSpec {
    JobSpec {
        class,
        build: Arc::new(BuildIdentity {
            hash: BuildHash::new([7; 32]),
            size_bytes: 1,
            bundle_id: "dev.holdfast.demo".parse().unwrap(),
            executable: "Demo".to_owned(),
            version: "1.4.0".to_owned(),
            build_number: "140".to_owned(),
            uuids: vec![],
            minimum_os: Some("15.0".to_owned()),
        }),
        cases: Arc::new(vec![Case {
            name: "cold-launch".parse().unwrap(),
            owner: "launch-team".parse().unwrap(),
            run: CaseRun::Launch { launches: 1, stay_ms: 1_000, launch_timeout_ms: 9_000, arguments: vec![] },
        }]),
        requirements: Arc::default(),
        priority: 0,
        owner: None,
        start_by: None,
        phones: 1,
        compare: None,
        content: None,
    }
}

/// The brain, a clock, and what has been recorded so far.
pub(crate) struct World {
    pub(crate) brain: Scheduler,
    pub(crate) now: Time,
    pub(crate) jobs: BTreeMap<JobId, holdfast_scheduler::JobRecord>,
    pub(crate) phones: BTreeMap<Udid, holdfast_scheduler::PhoneRecord>,
    /// What each phone has to obey, from the last order.
    pub(crate) orders: BTreeMap<Udid, Order>,
    pub(crate) owners: BTreeMap<Owner, holdfast_scheduler::OwnerRecord>,
    wake: Option<Time>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Time::from_unix_ms(1_000_000);
        let (brain, _) = Scheduler::restore(policy(), now, []).unwrap();
        Self {
            brain,
            now,
            jobs: BTreeMap::new(),
            phones: BTreeMap::new(),
            orders: BTreeMap::new(),
            owners: BTreeMap::new(),
            wake: None,
        }
    }

    pub(crate) fn apply(&mut self, event: Event) -> Vec<Decision> {
        let decisions = self.brain.apply(self.now, event);
        self.record(&decisions);
        decisions
    }

    fn record(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::SaveJob(job) => {
                    self.jobs.insert(job.id, (**job).clone());
                }
                Decision::SavePhone(phone) => {
                    self.phones.insert(phone.facts.udid.clone(), (**phone).clone());
                }
                Decision::Order { order, .. } => {
                    self.orders.insert(order.phone.clone(), order.order.clone());
                }
                Decision::WakeAt(at) => self.wake = Some(*at),
                Decision::SaveOwner(owner) => {
                    self.owners.insert(owner.owner.clone(), (**owner).clone());
                }
                Decision::KeepLateReport { .. }
                | Decision::JobMoved(_)
                | Decision::PhoneChanged(_)
                | Decision::RackChanged(_) => {}
            }
        }
    }

    /// Lets time pass, waking the brain whenever it asked to be.
    pub(crate) fn pass(&mut self, span: Duration) -> Vec<Decision> {
        let target = self.now.after(span);
        let mut all = Vec::new();
        while let Some(at) = self.wake.filter(|at| *at <= target) {
            self.now = self.now.max(at);
            self.wake = None;
            all.extend(self.apply(Event::TimeReached));
        }
        self.now = target;
        all
    }

    /// The daemon dies and comes back with what was recorded.
    pub(crate) fn restart(&mut self) -> Vec<Decision> {
        let jobs = self.jobs.values().cloned().map(Record::Job);
        let phones = self.phones.values().cloned().map(Record::Phone);
        let (brain, decisions) = Scheduler::restore(policy(), self.now, jobs.chain(phones)).unwrap();
        self.brain = brain;
        self.wake = None;
        self.record(&decisions);
        decisions
    }
}

/// A decision as a line of text; none for those that only tell readers to look.
pub(crate) fn line(decision: &Decision) -> Option<String> {
    match decision {
        Decision::SaveJob(job) => Some(match &job.state {
            JobState::Queued => format!("{} queued", job.id),
            JobState::Running { attempt, phone, others } => {
                let others = others.iter().map(|other| format!(", {}", other.phone));
                format!("{}.{attempt} on {phone}{}", job.id, others.collect::<String>())
            }
            JobState::Ended { outcome: JobOutcome::Failed { blame, reason }, .. } => {
                format!("{} failed, {blame}: {reason}", job.id)
            }
            JobState::Ended { outcome, .. } => format!("{} {}", job.id, outcome.as_str()),
        }),
        Decision::Order { order: PhoneOrder { phone, order, .. }, .. } => Some(match order {
            Order::Run { lease, work } => format!("{phone} runs {} by lease {lease}", work.attempt),
            Order::Yield { attempt, when: YieldWhen::AtOnce, .. } => {
                format!("{phone} gives up {attempt} at once")
            }
            Order::Yield { attempt, when: YieldWhen::CaseDone, .. } => {
                format!("{phone} gives up {attempt} after its case")
            }
            Order::Rest { through } => format!("{phone} rests after {through}"),
        }),
        Decision::KeepLateReport { attempt, .. } => Some(format!("{attempt} late")),
        Decision::SavePhone(phone) => {
            phone.quarantine.as_ref().map(|why| format!("{} quarantined: {}", phone.facts.udid, why.reason))
        }
        Decision::SaveOwner(_)
        | Decision::JobMoved(_)
        | Decision::PhoneChanged(_)
        | Decision::RackChanged(_)
        | Decision::WakeAt(_) => None,
    }
}

/// Plays a scenario, a command a line, and compares what is decided. Lines of the scenario:
///
/// `phone A on r1 [ios 16.7] [model iPhone15,2] [label crash] [state offline]` · `sync r1 [A:1 J1.1]…`
/// · `submit crash [prio 5] [ios-min 17] [label x] [model m] [phone A] [by 60]
/// [build N] [owner o] [phones N] [compare c] [cases N] [when 'EXPRESSION'] [then SECONDS 'EXPRESSION']` · `cancel J1` · `wait SECONDS`
/// · `keep r1 SECONDS [A:1 J1.1]…` (the rack speaks every second)
/// · `end J1.1 on A lease 1 passed|revoked|job|phone|rack|farm` · `explain J1` · `restart`
/// · `quarantine A` · `release A`
pub(crate) fn check(scenario: &str, expected: &str) {
    let mut world = World::new();
    let mut told = String::new();
    for command in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
        for line in play(&mut world, command) {
            told.push_str(&line);
            told.push('\n');
        }
    }
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(told == expected, "scenario:\n{scenario}\ndecided:\n{told}\nexpected:\n{expected}");
}

fn play(world: &mut World, command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let decisions = match words.as_slice() {
        ["phone", udid, "on", rack, more @ ..] => {
            let report = phone_with(udid, more);
            world.apply(Event::PhoneReported { rack: rack.parse().unwrap(), report: Box::new(report) })
        }
        ["sync", rack, held @ ..] => {
            let held = held.chunks(2).map(held_lease).collect();
            world.apply(Event::RackSynced { rack: rack.parse().unwrap(), held, idle: vec![] })
        }
        ["submit", class, more @ ..] => {
            let job = world.brain.next_job();
            let spec = spec_with(class, more, world.now);
            world.apply(Event::JobSubmitted { job, spec: Box::new(spec) })
        }
        ["cancel", job] => world.apply(Event::JobCancelled { job: job.parse().unwrap() }),
        ["end", attempt, "on", udid, "lease", lease, end] => world.apply(ended(
            attempt.parse().unwrap(),
            udid.parse().unwrap(),
            LeaseNumber(lease.parse().unwrap()),
            end_of(end),
        )),
        ["wait", seconds] => world.pass(Duration::from_secs(seconds.parse().unwrap())),
        ["keep", rack, seconds, held @ ..] => {
            let held: Vec<HeldLease> = held.chunks(2).map(held_lease).collect();
            let mut all = Vec::new();
            for _ in 0..seconds.parse::<u64>().unwrap() {
                all.extend(world.pass(Duration::from_secs(1)));
                all.extend(world.apply(Event::RackSynced {
                    rack: rack.parse().unwrap(),
                    held: held.clone(),
                    idle: vec![],
                }));
            }
            all
        }
        ["restart"] => world.restart(),
        ["quarantine", udid] => world.apply(Event::PhoneQuarantined {
            phone: udid.parse().unwrap(),
            reason: "by hand".to_owned(),
            until: None,
        }),
        ["release", udid] => world.apply(Event::PhoneReleased { phone: udid.parse().unwrap() }),
        ["explain", job] => {
            let job: JobId = job.parse().unwrap();
            return vec![match world.brain.explain(job) {
                Some(explanation) => format!("{job} waits: {}", explanation.summary),
                None => format!("{job} does not wait"),
            }];
        }
        _ => panic!("no such command: {command}"),
    };
    decisions.iter().filter_map(line).collect()
}

fn phone_with(udid: &str, more: &[&str]) -> PhoneReport {
    let mut report = phone(udid);
    let mut more = more.iter();
    while let Some(word) = more.next() {
        let mut value = || *more.next().unwrap();
        match *word {
            "ios" => report.facts.os_version = value().parse().unwrap(),
            "model" => report.facts.product_type = value().to_owned(),
            "label" => report.facts.labels.push(value().parse().unwrap()),
            "state" => {
                report.readiness = match value() {
                    "offline" => Readiness::Offline,
                    "cooling" => Readiness::Cooling,
                    other => panic!("no such state: {other}"),
                };
                report.reason = "said the rack".to_owned();
            }
            other => panic!("no such word of a phone: {other}"),
        }
    }
    report
}

fn spec_with(class: &str, more: &[&str], now: Time) -> JobSpec {
    let class = JobClass::ALL.into_iter().find(|known| known.as_str() == class).unwrap();
    let mut spec = spec(class);
    for pair in more.chunks(2) {
        let wants = Arc::make_mut(&mut spec.requirements);
        match pair {
            ["build", value] => {
                Arc::make_mut(&mut spec.build).hash = BuildHash::new([value.parse().unwrap(); 32])
            }
            ["owner", value] => spec.owner = Some(value.parse().unwrap()),
            ["phones", value] => spec.phones = value.parse().unwrap(),
            ["compare", value] => spec.compare = Some(value.parse().unwrap()),
            ["cases", value] => {
                let case = spec.cases[0].clone();
                spec.cases = Arc::new(vec![case; value.parse().unwrap()]);
            }
            ["prio", value] => spec.priority = value.parse().unwrap(),
            ["ios-min", value] => wants.os_min = Some(value.parse().unwrap()),
            ["ios-max", value] => wants.os_max = Some(value.parse().unwrap()),
            ["label", value] => wants.labels.push(value.parse().unwrap()),
            ["model", value] => wants.models.push((*value).to_owned()),
            ["phone", value] => wants.phone = Some(value.parse().unwrap()),
            ["pool", value] => wants.pool = Some(value.parse().unwrap()),
            ["by", value] => spec.start_by = Some(now.after(Duration::from_secs(value.parse().unwrap()))),
            other => panic!("no such words of a job: {other:?}"),
        }
    }
    spec
}

fn held_lease(words: &[&str]) -> HeldLease {
    let (udid, lease) = words[0].split_once(':').unwrap();
    HeldLease {
        phone: udid.parse().unwrap(),
        lease: LeaseNumber(lease.parse().unwrap()),
        attempt: words[1].parse().unwrap(),
    }
}

pub(crate) fn ended(attempt: AttemptId, phone: Udid, lease: LeaseNumber, end: AttemptEnd) -> Event {
    let rack: RackId = "r1".parse().unwrap();
    Event::AttemptEnded { rack, attempt, phone, lease, end, report: BlobHash::new([1; 32]) }
}

pub(crate) fn end_of(word: &str) -> AttemptEnd {
    let blame = match word {
        "passed" => return AttemptEnd::Passed,
        "revoked" => return AttemptEnd::Revoked,
        "job" => Blame::Job,
        "phone" => Blame::Phone,
        "rack" => Blame::Rack,
        "farm" => Blame::Farm,
        other => panic!("no such end: {other}"),
    };
    AttemptEnd::Failed { blame, step: StepName::Run, reason: format!("the {word} failed") }
}
