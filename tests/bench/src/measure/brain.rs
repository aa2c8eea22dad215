//! The brain alone, one thread, in virtual time: 10,000 phones, a million waiting jobs, 500 classes of requirements,
//! all rules on. The mix: submissions and ends in equal shares, 5 % phone reports, 5 % rack syncs, and whatever time
//! itself brings. Every event is timed on its own, the reading of the clock included.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::Context;
use holdfast_calendar::{Calendar, Window};
use holdfast_scheduler::Policy;
use holdfast_scheduler::policy::{Members, OwnerPolicy, Pool};
use holdfast_wire::job::{JobClass, JobSpec};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::time::Time;
use serde_json::json;

use super::{Depth, Setup};
use crate::allocated::growth;
use crate::figures::{Figures, percentile, rate};
use crate::phones::phone;
use crate::random::Random;
use crate::rig::{Rig, Seen, Stop};

/// Models and versions of iOS: 200 groups of phones.
const MODELS: u64 = 20;
const VERSIONS: u64 = 10;

/// Pairs of models with a version, which make 500 classes together with models alone and models with a version.
const PAIRS: u64 = 280;

/// Owners with a share each; a few of them have limits.
const OWNERS: u64 = 50;

/// Virtual time between two events: 10,000 phones with jobs of some minutes.
const STEP: Duration = Duration::from_millis(11);

/// Phones that come free at once for the refill.
const REFILL: usize = 1_000;

/// When the virtual time begins: 2026-01-05, a Monday.
const START_MS: i64 = 1_767_571_200_000;

/// How large a farm is.
#[derive(Debug, Clone, Copy)]
struct Size {
    phones: usize,
    jobs: usize,
    events: usize,
}

/// What one farm showed.
struct Shown {
    /// Nanoseconds of each event, sorted.
    events: Vec<u64>,
    /// The same apart for each kind of event, in no order.
    kinds: BTreeMap<&'static str, Vec<u64>>,
    bytes_per_job: f64,
    refill: Vec<Duration>,
}

/// Measures it.
///
/// # Errors
/// The brain refuses what it is told.
pub fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let quick = setup.depth == Depth::Quick;
    let events = setup.events.unwrap_or(setup.depth.of(1_000_000, 2_000));
    let size = |phones, jobs| {
        if quick {
            Size { phones: phones / 50, jobs: jobs / 500, events }
        } else {
            Size { phones, jobs, events }
        }
    };
    let large = run(size(10_000, 1_000_000))?;
    let few_phones = run(size(1_000, 1_000_000))?;
    let few_jobs = run(size(10_000, 10_000))?;
    let us = |percent| {
        percentile(&large.events, percent).map_or(0.0, |ns| Duration::from_nanos(ns).as_secs_f64() * 1e6)
    };
    let total = Duration::from_nanos(large.events.iter().sum());
    let refill: Duration = large.refill.iter().sum();
    let mut figures = Figures::default();
    for (kind, events) in &large.kinds {
        figures = figures.with(&format!("apply_{kind}_mean_us"), mean(events) / 1e3);
    }
    Ok(figures
        .with("apply_events_per_s", rate(large.events.len(), total))
        .with("apply_p50_us", us(50.0))
        .with("apply_p99_us", us(99.0))
        .with("apply_p999_us", us(99.9))
        .with("apply_max_us", us(100.0))
        .with("growth_phones", mean(&large.events) / mean(&few_phones.events))
        .with("growth_jobs", mean(&large.events) / mean(&few_jobs.events))
        .with("bytes_per_queued_job", large.bytes_per_job)
        .with("refill_per_s", rate(large.refill.len(), refill)))
}

fn mean(events: &[u64]) -> f64 {
    events.iter().sum::<u64>() as f64 / events.len().max(1) as f64
}

fn run(size: Size) -> anyhow::Result<Shown> {
    let (Busy { mut rig, mut work, mut stops, mut next_rack }, bytes_per_job) =
        Busy::filled(size.phones, size.jobs)?;
    let mut kinds: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    let mut done = 0;
    while done < size.events {
        let woken = rig.pass(STEP).map(|seen| ("time", seen));
        let took = rig.took;
        for (kind, seen, took) in woken.into_iter().map(|(kind, seen)| (kind, seen, took)).chain(
            event(&mut rig, &mut work, &mut stops, &mut next_rack).map(|(kind, seen)| (kind, seen, rig.took)),
        ) {
            note(seen, &mut stops);
            kinds.entry(kind).or_default().push(nanos(took));
            done += 1;
        }
    }
    let mut events: Vec<u64> = kinds.values().flatten().copied().collect();
    events.sort_unstable();
    let free: Vec<usize> = rig.busy().iter().copied().take(REFILL).collect();
    let mut refill = Vec::with_capacity(free.len());
    for phone in free {
        if rig.end(phone, AttemptEnd::Passed).is_some() {
            refill.push(rig.took);
        }
    }
    Ok(Shown { events, kinds, bytes_per_job, refill })
}

/// A farm in the middle of its work: every phone is busy, and so many jobs wait.
#[derive(Debug)]
pub struct Busy {
    rig: Rig,
    work: Work,
    stops: VecDeque<(usize, AttemptEnd)>,
    next_rack: usize,
}

impl Busy {
    /// A farm of so many phones and waiting jobs, all rules on.
    ///
    /// # Errors
    /// The brain refuses what it is told.
    pub fn new(phones: usize, jobs: usize) -> anyhow::Result<Self> {
        Self::filled(phones, jobs).map(|(busy, _)| busy)
    }

    /// With the bytes that a waiting job takes.
    fn filled(phones: usize, jobs: usize) -> anyhow::Result<(Self, f64)> {
        let mut work = Work::new()?;
        let mut rig = Rig::new(policy()?, Time::from_unix_ms(START_MS))?;
        rig.plug_in((0..phones).map(report).collect::<anyhow::Result<_>>()?)?;
        let mut stops: VecDeque<(usize, AttemptEnd)> = VecDeque::new();
        let (mut unserved, mut submitted) = (0, 0_usize);
        // Until every phone is busy jobs start at once; a demand that no free phone meets may stay behind.
        while rig.busy().len() < phones && unserved < 100 * phones {
            let before = rig.busy().len();
            submitted += 1;
            let spec = work.spec(rig.now);
            let (_job, seen) = rig.submit(spec);
            note(seen, &mut stops);
            unserved += usize::from(rig.busy().len() == before);
        }
        let before = submitted.saturating_sub(rig.busy().len());
        let fill = || {
            for _ in before..jobs {
                let spec = work.spec(rig.now);
                let (_job, seen) = rig.submit(spec);
                note(seen, &mut stops);
            }
        };
        let ((), bytes) = growth(fill);
        let bytes_per_job = bytes as f64 / jobs.saturating_sub(before).max(1) as f64;
        // Idle work that began while nothing else waited gives its phones up; that is no part of the steady mix.
        for _ in 0..2 * phones {
            let Some((phone, end)) = stops.pop_front() else { break };
            if let Some(seen) = rig.end(phone, end) {
                note(seen, &mut stops);
            }
        }
        Ok((Self { rig, work, stops, next_rack: 0 }, bytes_per_job))
    }

    /// Submits a job of the mix, and says how long that took.
    pub fn submit(&mut self) -> Duration {
        let spec = self.work.spec(self.rig.now);
        let (_job, seen) = self.rig.submit(spec);
        let took = self.rig.took;
        note(seen, &mut self.stops);
        took
    }

    /// Ends an attempt, after which its phone gets its next job, and says how long that took.
    pub fn end(&mut self) -> Duration {
        // A phone that was told to stop may have been given up meanwhile: then another one ends.
        for _ in 0..=self.stops.len() {
            let told = self.stops.pop_front();
            let (phone, end) = told.unwrap_or_else(|| {
                let busy = self.rig.busy();
                let place = self.work.random.place(busy.len().max(1));
                (busy.get(place).copied().unwrap_or(0), AttemptEnd::Passed)
            });
            if let Some(seen) = self.rig.end(phone, end) {
                let took = self.rig.took;
                note(seen, &mut self.stops);
                return took;
            }
        }
        Duration::ZERO
    }

    /// Has a phone report, and says how long that took.
    pub fn report(&mut self) -> Duration {
        let phone = self.work.random.place(self.rig.phones());
        let level = u8::try_from(50 + self.work.random.below(50)).unwrap_or(50);
        let seen = self.rig.report(phone, level);
        let took = self.rig.took;
        note(seen, &mut self.stops);
        took
    }

    /// Has a rack sync, and says how long that took.
    pub fn sync(&mut self) -> Duration {
        self.next_rack = (self.next_rack + 1) % self.rig.racks();
        let seen = self.rig.sync(self.next_rack);
        let took = self.rig.took;
        note(seen, &mut self.stops);
        took
    }

    /// Lets one event of the mix happen, and the time before it pass: a farm on which only one kind of event happens
    /// is soon none that there is.
    pub fn go_on(&mut self) {
        if let Some(seen) = self.rig.pass(STEP) {
            note(seen, &mut self.stops);
        }
        let Self { rig, work, stops, next_rack } = self;
        if let Some((_, seen)) = event(rig, work, stops, next_rack) {
            note(seen, stops);
        }
    }
}

fn note(seen: Seen, stops: &mut VecDeque<(usize, AttemptEnd)>) {
    stops.extend(seen.stopped.into_iter().map(|(phone, stop)| match stop {
        Stop::Revoke => (phone, AttemptEnd::Revoked),
        Stop::Yield(_) => (phone, AttemptEnd::Yielded { cases_done: 0, failure: None }),
    }));
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// One event of the mix; none when there was nothing to end.
fn event(
    rig: &mut Rig,
    work: &mut Work,
    stops: &mut VecDeque<(usize, AttemptEnd)>,
    next_rack: &mut usize,
) -> Option<(&'static str, Seen)> {
    match work.random.below(100) {
        0..5 => {
            let phone = work.random.place(rig.phones());
            let level = u8::try_from(50 + work.random.below(50)).unwrap_or(50);
            Some(("report", rig.report(phone, level)))
        }
        5..10 => {
            *next_rack = (*next_rack + 1) % rig.racks();
            Some(("sync", rig.sync(*next_rack)))
        }
        10..55 => {
            let spec = work.spec(rig.now);
            Some(("submit", rig.submit(spec).1))
        }
        _ => {
            if let Some((phone, end)) = stops.pop_front() {
                return Some(("yielded", rig.end(phone, end)?));
            }
            let busy = rig.busy().len();
            let phone = *rig.busy().get(work.random.place(busy.max(1)))?;
            let end = work.end();
            let kind = if end == AttemptEnd::Passed { "passed" } else { "failed" };
            Some((kind, rig.end(phone, end)?))
        }
    }
}

/// A phone of one of the 200 groups; every tenth belongs to the crash pool.
fn report(number: usize) -> anyhow::Result<PhoneReport> {
    let mut report = phone(number).report;
    let group = number as u64 % (MODELS * VERSIONS);
    report["facts"]["product_type"] = json!(format!("iPhone{},1", group / VERSIONS));
    report["facts"]["model"] = json!(model(group / VERSIONS));
    report["facts"]["os_version"] = json!(version(group % VERSIONS));
    // Every tenth of each group: a pool that takes whole groups would leave the others' work without a phone.
    if (number as u64 / (MODELS * VERSIONS) + group).is_multiple_of(10) {
        report["facts"]["labels"] = json!(["crash"]);
    }
    serde_json::from_value(report).context("a report is what the daemon reads")
}

fn model(number: u64) -> String {
    format!("iPhone model {number}")
}

fn version(number: u64) -> String {
    format!("{}.4", 12 + number)
}

/// All rules on: pools that lend, windows that are open, owners with shares, limits and quotas, staging.
fn policy() -> anyhow::Result<Policy> {
    let pool = |name: &str, serves: &[JobClass], lends: &[JobClass], members| {
        let name = name.parse().context("a pool has a good name")?;
        anyhow::Ok(Pool { name, serves: serves.to_vec(), lends: lends.to_vec(), only: Vec::new(), members })
    };
    let crash = Members::Listed {
        phones: Vec::new(),
        racks: Vec::new(),
        slots: Vec::new(),
        labels: vec!["crash".parse().context("a label is a good word")?],
    };
    let mut policy = Policy::with_pools(vec![
        pool("crash", &[JobClass::Crash], &[JobClass::Idle], crash)?,
        pool("general", &JobClass::ALL[1..], &[], Members::Rest)?,
    ]);
    let always = Window::by_clock("00:00-24:00", "UTC", [])?;
    policy.windows.insert("always".to_owned(), Calendar::new("UTC", vec![always], [], [])?);
    if let Some(idle) = policy.classes.get_mut(&JobClass::Idle) {
        idle.window = Some("always".to_owned());
    }
    for number in 0..OWNERS {
        let owner = OwnerPolicy {
            weight: 1 + u32::try_from(number % 4)?,
            running_max: (number % 10 == 0).then_some(400),
            minutes_per_day: (number % 10 == 1).then_some(100_000),
        };
        policy.owners.insert(format!("team-{number}").parse()?, owner);
    }
    Ok(policy)
}

/// Jobs of the mix, and how they end.
#[derive(Debug)]
struct Work {
    random: Random,
    classes: Vec<JobSpec>,
}

impl Work {
    fn new() -> anyhow::Result<Self> {
        let one = (0..MODELS).map(|one| json!({ "models": [model(one)] }));
        let exact = (0..MODELS * VERSIONS).map(|group| wanted(&[group / VERSIONS], group % VERSIONS));
        let pairs = (0..PAIRS).map(|pair| {
            let first = pair / VERSIONS % MODELS;
            wanted(&[first, (first + 3 + pair / (MODELS * VERSIONS)) % MODELS], pair % VERSIONS)
        });
        let classes = one.chain(exact).chain(pairs).map(|requirements| {
            let spec = json!({
                "class": "custom",
                "build": { "hash": "01".repeat(32), "size_bytes": 100_000_000, "bundle_id": "dev.holdfast.demo",
                    "executable": "Demo", "version": "1.4.0", "build_number": "140", "uuids": [],
                    "minimum_os": "12.0" },
                "cases": [{ "name": "cold-launch", "owner": "stability",
                    "run": { "kind": "launch", "launches": 5 } }],
                "requirements": requirements, "priority": 0, "owner": null, "start_by": null,
            });
            serde_json::from_value(spec).context("a job is what the daemon reads")
        });
        Ok(Self { random: Random::new(8), classes: classes.collect::<anyhow::Result<_>>()? })
    }

    /// The next job. What jobs of one class have in common is shared, as the daemon shares it.
    fn spec(&mut self, now: Time) -> JobSpec {
        let random = &mut self.random;
        let place = match random.below(10) {
            0..4 => random.below(MODELS),
            4..8 => MODELS + random.below(MODELS * VERSIONS),
            _ => MODELS + MODELS * VERSIONS + random.below(PAIRS),
        };
        let mut spec = self.classes[usize::try_from(place).unwrap_or(0)].clone();
        spec.class = match random.below(100) {
            0..5 => JobClass::Crash,
            5..25 => JobClass::Baseline,
            25..55 => JobClass::Custom,
            55..70 => JobClass::Special,
            _ => JobClass::Idle,
        };
        spec.priority = i32::try_from(random.below(5)).unwrap_or(0) - 2;
        spec.owner = format!("team-{}", random.below(OWNERS)).parse().ok();
        if random.below(20) == 0 {
            spec.start_by = Some(now.after(Duration::from_secs(3_600 + random.below(18_000))));
        }
        spec
    }

    fn end(&mut self) -> AttemptEnd {
        let failed =
            |blame| AttemptEnd::Failed { blame, step: StepName::Run, reason: "simulated".to_owned() };
        match self.random.below(100) {
            0 => failed(Blame::Phone),
            1 => failed(Blame::Rack),
            2 => failed(Blame::Job),
            _ => AttemptEnd::Passed,
        }
    }
}

fn wanted(models: &[u64], os: u64) -> serde_json::Value {
    let models: Vec<String> = models.iter().map(|number| model(*number)).collect();
    json!({ "models": models, "os_min": version(os), "os_max": version(os) })
}
