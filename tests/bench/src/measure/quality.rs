//! How well jobs are placed, in virtual time: a day of a recorded log (or a synthetic one of the same statistics) mapped
//! to simulated phones, its weighted start times held against a lower bound; and the share of time at work of phones
//! whose queue never ends.
//!
//! Regret is the sum of weighted start times over that of the best schedule of one who knows everything, less one, with
//! start times counted from the beginning of the day. A job that was interrupted counts with the start that its end
//! implies. What the best schedule reaches is not known, only a lower bound, see [`crate::bound`]: that one is held
//! against, so the true regret is smaller than what is told. How much smaller at most follows from a schedule that knows
//! all run times; both may interrupt what the brain may interrupt, and need not keep the order of classes.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_scheduler::Policy;
use holdfast_scheduler::policy::{Members, Pool};
use holdfast_wire::id::{AttemptId, JobId};
use holdfast_wire::job::{JobClass, JobSpec};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;
use serde_json::{Value, json};

use super::Setup;
use crate::bound::{Breaks, Demand, fast_machines, planned, priced};
use crate::figures::Figures;
use crate::phones::{KINDS, MODELS, OS, phone, requirements};
use crate::random::Random;
use crate::rig::{Agenda, Rig, Seen, Stop};
use crate::trace;

/// Cases of every job: an interrupted one goes on after those that are done.
const CASES: u32 = 10;

/// Share of the time for which the day's work keeps all phones busy.
const LOAD: f64 = 0.85;

/// When the virtual time begins: 2026-01-05, a Monday.
const START_MS: i64 = 1_767_571_200_000;

/// Classes, their share of the jobs in percent, and what a second of waiting costs.
const CLASSES: [(JobClass, u64, f64); 5] = [
    (JobClass::Crash, 5, 16.0),
    (JobClass::Baseline, 20, 8.0),
    (JobClass::Custom, 30, 4.0),
    (JobClass::Special, 15, 2.0),
    (JobClass::Idle, 30, 1.0),
];

/// Measures it.
///
/// # Errors
/// The log cannot be read, or the brain leaves work behind.
pub fn measure(setup: &Setup) -> anyhow::Result<Figures> {
    let (day, source) = match &setup.trace {
        Some(file) => (trace::read(file)?, "a day of a recorded log".to_owned()),
        None => {
            let hours = setup.depth.of(24, 1);
            (
                trace::synthetic(1, hours),
                "a synthetic day, seed 1, with the statistics of a recorded one".to_owned(),
            )
        }
    };
    let run_s: u64 = day.iter().map(|job| job.run_s).sum();
    let last = day.iter().map(|job| job.submit_s).max().unwrap_or(0).max(3_600);
    let phones = ((run_s as f64 / last as f64 / LOAD) as usize).next_multiple_of(KINDS);
    let jobs = drawn(&day);
    let ends = served(&jobs, phones)?;
    let starts: Vec<f64> = jobs.iter().zip(&ends).map(|(job, end)| end - job.demand.run).collect();
    let demands: Vec<Demand> = jobs.into_iter().map(|job| job.demand).collect();
    let by_kind = vec![phones / KINDS; KINDS];
    let plan = planned(&demands, &by_kind);
    let (real, known) = (weighted(&demands, &starts), weighted(&demands, &plan));
    let bound = bound(&demands, &by_kind, real.min(known), ends.into_iter().fold(0.0, f64::max));
    let weight: f64 = demands.iter().map(|job| job.weight).sum();
    let submitted: f64 = demands.iter().map(|job| job.weight * job.release).sum();
    let remark = format!(
        "regret_percent: {source}, {} jobs on {phones} phones at {LOAD} load, classes and requirements drawn; against a \
         lower bound of every schedule. One by weight over run time, which the brain does not know, waits {:.0} s by \
         weight: the true regret lies between {:.2} % and what is told",
        demands.len(),
        (known - submitted) / weight,
        100.0 * ((real - known) / known).max(0.0),
    );
    Ok(Figures::default()
        .with("regret_percent", 100.0 * (real - bound) / bound)
        .with("weighted_wait_s", (real - submitted) / weight)
        .with("weighted_wait_bound_s", (bound - submitted) / weight)
        .with("utilisation_brain_percent", 100.0 * saturated(setup.depth.of(1_000, 100))?)
        .remark(remark))
}

fn weighted(jobs: &[Demand], starts: &[f64]) -> f64 {
    jobs.iter().zip(starts).map(|(job, start)| job.weight * start).sum()
}

/// A job of the day with what was drawn for it.
struct Job {
    spec: JobSpec,
    demand: Demand,
}

fn drawn(day: &[trace::Job]) -> Vec<Job> {
    let mut random = Random::new(9);
    day.iter().filter_map(|job| draw(&mut random, job.submit_s, job.run_s)).collect()
}

fn draw(random: &mut Random, submit_s: u64, run_s: u64) -> Option<Job> {
    let mut share = random.below(100);
    let (class, _, weight) = *CLASSES.iter().find(|(_, percent, _)| {
        let here = share < *percent;
        share = share.wrapping_sub(if here { 0 } else { *percent });
        here
    })?;
    let wanted = requirements(random);
    let named = |list: &Value, of: &[(&str, &str)], second: bool| {
        let name = list.as_str()?;
        of.iter().position(|pair| if second { pair.1 == name } else { pair.0 == name })
    };
    let models: Vec<usize> =
        wanted["models"].as_array()?.iter().filter_map(|model| named(model, &MODELS, true)).collect();
    let os = wanted.get("os_min").and_then(|os| named(os, &OS, false));
    let fits = |kind: &usize| {
        let (of_os, of_model) = (kind / MODELS.len(), kind % MODELS.len());
        models.contains(&of_model) && os.is_none_or(|os| os == of_os)
    };
    let kinds = (0..KINDS).filter(fits).collect();
    let breaks = if class == JobClass::Idle { Breaks::Anywhere } else { Breaks::Never };
    let demand = Demand { release: submit_s as f64, run: run_s as f64, weight, kinds, breaks };
    // The cases say nothing of how long they take here: the brain does not know it either.
    let case = |number: u32| json!({ "name": format!("case-{number}"), "owner": "stability", "run": { "kind": "launch", "launches": 5 } });
    let spec = json!({
        "class": class,
        "build": { "hash": "01".repeat(32), "size_bytes": 100_000_000, "bundle_id": "dev.holdfast.demo",
            "executable": "Demo", "version": "1.4.0", "build_number": "140", "uuids": [], "minimum_os": "12.0" },
        "cases": (0..CASES).map(case).collect::<Vec<Value>>(),
        "requirements": wanted, "priority": 0, "owner": null, "start_by": null,
    });
    Some(Job { spec: serde_json::from_value(spec).ok()?, demand })
}

/// The largest of the bounds: by prices; phones alike; or only as far as their models, or kinds, are the same.
fn bound(jobs: &[Demand], phones: &[usize], reached: f64, until: f64) -> f64 {
    let kinds = || 0..phones.len();
    let alike = vec![kinds().collect()];
    let by_model: Vec<Vec<usize>> = (0..MODELS.len())
        .map(|model| kinds().filter(|kind| kind % MODELS.len() == model).collect())
        .collect();
    let by_kind: Vec<Vec<usize>> = kinds().map(|kind| vec![kind]).collect();
    let machines = [alike, by_model, by_kind].map(|parts| fast_machines(jobs, phones, &parts));
    machines.into_iter().fold(priced(jobs, phones, reached, until), f64::max)
}

enum Later {
    Submit(usize),
    End { phone: usize, attempt: AttemptId, end: AttemptEnd },
}

/// Runs the day through the brain; when each job was over, in seconds since the day began.
fn served(jobs: &[Job], phones: usize) -> anyhow::Result<Vec<f64>> {
    let start = Time::from_unix_ms(START_MS);
    let mut rig = farm(phones, start)?;
    let mut agenda = Agenda::default();
    for (number, job) in jobs.iter().enumerate() {
        agenda.put(start.after(Duration::from_secs_f64(job.demand.release)), Later::Submit(number));
    }
    let mut numbers: HashMap<JobId, usize> = HashMap::new();
    let mut begun_at: HashMap<AttemptId, (Time, u32)> = HashMap::new();
    let mut ends: Vec<Option<f64>> = vec![None; jobs.len()];
    while ends.iter().any(Option::is_none) {
        let at =
            [agenda.next_at(), rig.wake_at].into_iter().flatten().min().context("work is left behind")?;
        rig.now = rig.now.max(at);
        if let Some(seen) = rig.pass(Duration::ZERO) {
            look(&rig, seen, jobs, &numbers, &mut begun_at, &mut agenda);
            continue;
        }
        let seen = match agenda.take() {
            Some((_, Later::Submit(number))) => {
                numbers.insert(rig.brain.next_job(), number);
                rig.submit(jobs[number].spec.clone()).1
            }
            Some((at, Later::End { phone, attempt, end })) => {
                // What was interrupted meanwhile has ended already.
                if rig.held(phone).is_none_or(|held| held.attempt != attempt) {
                    continue;
                }
                if let Some(number) = numbers.get(&attempt.job).copied() {
                    let passed = end == AttemptEnd::Passed;
                    ends[number] = passed.then(|| at.since(start).as_secs_f64());
                    let may_break = jobs[number].demand.breaks == Breaks::Anywhere;
                    ensure!(passed || may_break, "job {number} was interrupted, which the bound leaves out");
                }
                rig.end(phone, end).unwrap_or_default()
            }
            None => continue,
        };
        look(&rig, seen, jobs, &numbers, &mut begun_at, &mut agenda);
    }
    ends.into_iter().collect::<Option<Vec<f64>>>().context("every job has an end")
}

fn look(
    rig: &Rig,
    seen: Seen,
    jobs: &[Job],
    numbers: &HashMap<JobId, usize>,
    begun_at: &mut HashMap<AttemptId, (Time, u32)>,
    agenda: &mut Agenda<Later>,
) {
    for begun in seen.begun {
        let Some(number) = numbers.get(&begun.attempt.job) else { continue };
        let share = f64::from(begun.cases) / f64::from(CASES);
        let run = Duration::from_secs_f64(jobs[*number].demand.run * share);
        begun_at.insert(begun.attempt, (rig.now, begun.cases));
        let end = Later::End { phone: begun.phone, attempt: begun.attempt, end: AttemptEnd::Passed };
        agenda.put(rig.now.after(run), end);
    }
    for (phone, stop) in seen.stopped {
        let Some(held) = rig.held(phone) else { continue };
        let Some(((began, cases), number)) =
            begun_at.get(&held.attempt).copied().zip(numbers.get(&held.attempt.job))
        else {
            continue;
        };
        let case_s = jobs[*number].demand.run / f64::from(CASES);
        let whole = (rig.now.since(began).as_secs_f64() / case_s) as u32;
        let (at, end) = match stop {
            Stop::Revoke => (rig.now, AttemptEnd::Revoked),
            Stop::Yield(YieldWhen::AtOnce) => {
                (rig.now, AttemptEnd::Yielded { cases_done: whole.min(cases), failure: None })
            }
            Stop::Yield(YieldWhen::CaseDone) => {
                let done = (whole + 1).min(cases);
                let at = began.after(Duration::from_secs_f64(case_s * f64::from(done)));
                // The last case was under way: then the whole attempt has passed, and its own end tells so.
                if done == cases {
                    continue;
                }
                (at, AttemptEnd::Yielded { cases_done: done, failure: None })
            }
        };
        agenda.put(at.max(rig.now), Later::End { phone, attempt: held.attempt, end });
    }
}

/// A farm whose racks never fall silent and whose attempts may take as long as the log says.
fn farm(phones: usize, now: Time) -> anyhow::Result<Rig> {
    let pool = Pool {
        name: "all".parse().context("a pool has a good name")?,
        serves: JobClass::ALL.to_vec(),
        lends: Vec::new(),
        only: Vec::new(),
        members: Members::Rest,
    };
    let long = Duration::from_secs(30 * trace::DAY_S);
    let policy = Policy { rack_silent_after: long, attempt_overhead: long, ..Policy::with_pools(vec![pool]) };
    let mut rig = Rig::new(policy, now)?;
    let report =
        |number| serde_json::from_value(phone(number).report).context("a report is what the daemon reads");
    rig.plug_in((0..phones).map(report).collect::<anyhow::Result<_>>()?)?;
    Ok(rig)
}

/// The share of time at work of phones that run jobs of 60 s, with ten jobs waiting for each phone, for ten minutes.
fn saturated(phones: usize) -> anyhow::Result<f64> {
    const JOB: Duration = Duration::from_secs(60);
    let start = Time::from_unix_ms(START_MS);
    let mut rig = farm(phones, start)?;
    let mut random = Random::new(10);
    let mut agenda: Agenda<(usize, AttemptId)> = Agenda::default();
    let mut busy = Duration::ZERO;
    let end = start.after(10 * JOB);
    for _ in 0..11 * phones {
        let job = draw(&mut random, 0, 60).context("a job is drawn")?;
        // Those that begin at the beginning do not all end together.
        let first = Duration::from_millis(1 + random.below(60_000));
        for begun in rig.submit(job.spec).1.begun {
            busy += first;
            agenda.put(rig.now.after(first), (begun.phone, begun.attempt));
        }
    }
    ensure!(rig.busy().len() == phones, "{} of {phones} phones are at work", rig.busy().len());
    while let Some((at, (phone, attempt))) = agenda.take() {
        if at > end {
            break;
        }
        rig.now = rig.now.max(at);
        let woken = rig.pass(Duration::ZERO).unwrap_or_default();
        let mut begun = woken.begun;
        if rig.held(phone).is_some_and(|held| held.attempt == attempt) {
            begun.extend(rig.end(phone, AttemptEnd::Passed).unwrap_or_default().begun);
        }
        let job = draw(&mut random, 0, 60).context("a job is drawn")?;
        begun.extend(rig.submit(job.spec).1.begun);
        for begun in begun {
            busy += JOB.min(end.since(rig.now));
            agenda.put(rig.now.after(JOB), (begun.phone, begun.attempt));
        }
    }
    Ok(busy.as_secs_f64() / (10 * JOB).as_secs_f64() / phones as f64)
}
