//! The brain under random fortunes: agents that die, requests that are repeated or lost, a daemon that
//! restarts. The laws hold after every event, and when the faults stop everything finishes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod farm;
mod script;

use std::collections::BTreeMap;
use std::time::Duration;

use farm::{World, end_of, ended, phone, policy, spec};
use holdfast_scheduler::record::HoldPhase;
use holdfast_scheduler::{Decision, Event, Policy};
use holdfast_wire::api::Rule;
use holdfast_wire::id::{AttemptId, JobId, LeaseNumber, RackId, Udid};
use holdfast_wire::job::{JobClass, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::sync::{HeldLease, IdlePhone, Order, PhoneOrder};
use proptest::prelude::*;
use script::check;

/// A stroke of fortune. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Stroke {
    Submit {
        class: usize,
        only_phone: Option<usize>,
        priority: i32,
    },
    Cancel {
        job: usize,
    },
    /// The agent makes the latest orders its own.
    Deliver {
        rack: usize,
    },
    /// What runs on a phone ends.
    Finish {
        phone: usize,
        end: usize,
    },
    /// The agent's request reaches the daemon.
    Send {
        rack: usize,
    },
    /// The daemon's confirmation reaches the agent.
    Confirm {
        rack: usize,
    },
    AgentDies {
        rack: usize,
    },
    DaemonDies,
    Pass {
        seconds: u64,
    },
}

const ENDS: [&str; 5] = ["passed", "job", "phone", "rack", "farm"];
const RACKS: [&str; 2] = ["r1", "r2"];
const PHONES: [&str; 5] = ["A", "B", "C", "D", "E"];

/// What an agent has on one phone. Its outbox survives its death.
#[derive(Debug, Default)]
struct Seat {
    obeyed: LeaseNumber,
    running: Option<(AttemptId, LeaseNumber)>,
    /// What it begins by itself once that is over.
    next: Option<(AttemptId, LeaseNumber)>,
    withdrawn: Option<LeaseNumber>,
    outbox: Vec<(AttemptId, LeaseNumber, AttemptEnd)>,
}

struct Trial {
    world: World,
    seats: BTreeMap<Udid, Seat>,
    ended: BTreeMap<JobId, JobState>,
    submitted: u64,
}

impl Trial {
    fn new() -> Self {
        let mut world = World::under(Policy { stage_ahead: true, ..policy() });
        let mut seats = BTreeMap::new();
        for (place, udid) in PHONES.iter().enumerate() {
            let mut report = phone(udid);
            if place == 0 {
                report.facts.labels.push("crash".parse().unwrap());
            }
            seats.insert(report.facts.udid.clone(), Seat::default());
            let _shown = world.apply(Event::PhoneReported { rack: rack_of(place), report: Box::new(report) });
        }
        Self { world, seats, ended: BTreeMap::new(), submitted: 0 }
    }

    fn seats_of(&mut self, rack: usize) -> impl Iterator<Item = (&Udid, &mut Seat)> {
        self.seats
            .iter_mut()
            .enumerate()
            .filter(move |(place, _)| place % RACKS.len() == rack)
            .map(|(_, seat)| seat)
    }

    fn strike(&mut self, stroke: &Stroke) {
        match *stroke {
            Stroke::Submit { class, only_phone, priority } => self.submit(class, only_phone, priority),
            Stroke::Cancel { job } => {
                let job = JobId(1 + job as u64 % self.submitted.max(1));
                self.apply(Event::JobCancelled { job });
            }
            Stroke::Deliver { rack } => self.deliver(rack),
            Stroke::Finish { phone, end } => {
                let seat = self.seats.values_mut().nth(phone).unwrap();
                if let Some((attempt, lease)) = seat.running.take() {
                    seat.outbox.push((attempt, lease, end_of(ENDS[end])));
                    let next = seat.next.take().filter(|_| matches!(ENDS[end], "passed" | "job"));
                    if let Some((attempt, lease)) = next {
                        seat.obeyed = lease;
                        seat.running = Some((attempt, lease));
                    }
                }
            }
            Stroke::Send { rack } => self.send(rack),
            Stroke::Confirm { rack } => self.seats_of(rack).for_each(|(_, seat)| seat.outbox.clear()),
            Stroke::AgentDies { rack } => {
                for (_, seat) in self.seats_of(rack) {
                    if let Some((attempt, lease)) = seat.running.take() {
                        seat.outbox.push((attempt, lease, end_of("rack")));
                    }
                    (seat.next, seat.withdrawn) = (None, None);
                }
            }
            Stroke::DaemonDies => {
                let _orders = self.world.restart();
                self.report_all();
            }
            Stroke::Pass { seconds } => {
                let _decided = self.world.pass(Duration::from_secs(seconds));
            }
        }
        self.laws();
    }

    fn submit(&mut self, class: usize, only_phone: Option<usize>, priority: i32) {
        let mut spec = spec(JobClass::ALL[class]);
        spec.priority = priority;
        if spec.class != JobClass::Crash {
            // Phone A is in the crash pool, so asking for it would never be served.
            std::sync::Arc::make_mut(&mut spec.requirements).phone =
                only_phone.map(|place| PHONES[1 + place % 4].parse().unwrap());
        }
        self.submitted += 1;
        let job = self.world.brain.next_job();
        assert_eq!(job, JobId(self.submitted), "ids are given once, also across restarts");
        self.apply(Event::JobSubmitted { job, spec: Box::new(spec) });
    }

    fn deliver(&mut self, rack: usize) {
        let orders = self.world.orders.clone();
        for (udid, seat) in self.seats_of(rack) {
            let Some(PhoneOrder { order, next, withdrawn, .. }) = orders.get(udid) else { continue };
            seat.next = next.as_ref().map(|next| (next.work.attempt, next.lease));
            seat.withdrawn = seat.withdrawn.max(*withdrawn);
            let withdrawn = seat.withdrawn.unwrap_or_default();
            if let Order::Yield { lease, attempt, .. } = order {
                let runs = seat.running.take_if(|(_, running)| running == lease).is_some();
                let never_began = seat.obeyed < *lease;
                if runs || never_began {
                    seat.obeyed = *lease;
                    let end = AttemptEnd::Yielded { cases_done: 0, failure: None };
                    seat.outbox.push((*attempt, *lease, end));
                }
                seat.next.take_if(|_| seat.running.is_none());
                continue;
            }
            let (newest, work) = match order {
                Order::Run { lease, work } => (*lease, Some(work.attempt)),
                Order::Rest { through } => (through.next(), None),
                Order::Yield { .. } => continue,
            };
            // A newer order ends what still runs.
            if let Some((attempt, lease)) = seat.running.take_if(|(_, lease)| *lease < newest) {
                seat.outbox.push((attempt, lease, AttemptEnd::Revoked));
            }
            if let Some(attempt) = work.filter(|_| newest > seat.obeyed) {
                assert!(seat.running.is_none(), "{udid} runs one attempt at a time");
                seat.obeyed = newest;
                seat.running = Some((attempt, newest));
            }
            let obeyed = seat.obeyed.max(withdrawn);
            seat.next.take_if(|(_, lease)| *lease <= obeyed || seat.running.is_none());
        }
    }

    fn send(&mut self, rack: usize) {
        let mut events = Vec::new();
        let (mut held, mut idle) = (Vec::new(), Vec::new());
        for (udid, seat) in self.seats_of(rack) {
            for (attempt, lease, end) in &seat.outbox {
                events.push(ended(*attempt, udid.clone(), *lease, end.clone()));
            }
            held.extend(seat.running.map(|(attempt, lease)| HeldLease {
                phone: udid.clone(),
                lease,
                attempt,
                withdrawn: seat.withdrawn.filter(|withdrawn| *withdrawn > lease),
            }));
            if seat.running.is_none() && seat.outbox.is_empty() {
                idle.push(IdlePhone { phone: udid.clone(), obeyed: seat.obeyed });
            }
        }
        for event in events {
            self.apply(event);
        }
        self.apply(Event::RackSynced { rack: rack_of(rack), held, idle });
    }

    fn apply(&mut self, event: Event) {
        let _decided = self.world.apply(event);
    }

    fn report_all(&mut self) {
        for (place, udid) in PHONES.iter().enumerate() {
            let mut report = phone(udid);
            if place == 0 {
                report.facts.labels.push("crash".parse().unwrap());
            }
            self.apply(Event::PhoneReported { rack: rack_of(place), report: Box::new(report) });
        }
    }

    fn laws(&mut self) {
        let world = &self.world;
        assert_eq!(world.jobs.len() as u64, self.submitted, "no job is lost or made up");
        let mut running: BTreeMap<JobId, &Udid> = BTreeMap::new();
        for (udid, record) in &world.phones {
            if let Some(hold) = record.hold.as_ref().filter(|hold| hold.phase != HoldPhase::Releasing) {
                assert_eq!(running.insert(hold.attempt.job, udid), None, "a job counts on one phone at most");
                let state = &world.jobs[&hold.attempt.job].state;
                let number = hold.attempt.number;
                assert_eq!(
                    *state,
                    JobState::Running { attempt: number, phone: udid.clone(), others: vec![] }
                );
            }
        }
        for (id, job) in &world.jobs {
            match &job.state {
                JobState::Queued => {
                    let explanation = world.brain.explain(*id).unwrap();
                    if explanation.rules.iter().any(|answer| matches!(answer.rule, Rule::Next { .. })) {
                        continue;
                    }
                    assert_eq!(
                        explanation.phones.len(),
                        PHONES.len(),
                        "{id} waits although a phone is free for it: {explanation:?}"
                    );
                }
                JobState::Running { .. } => assert!(running.contains_key(id), "{id} runs on a phone"),
                JobState::Ended { .. } => {
                    let first = self.ended.entry(*id).or_insert_with(|| job.state.clone());
                    assert_eq!(*first, job.state, "an outcome is recorded once");
                }
            }
            let leases: Vec<_> = job.attempts.iter().map(|attempt| (&attempt.phone, attempt.lease)).collect();
            for (phone, lease) in leases {
                let record = &world.phones[phone];
                let aside = record.next.as_ref().map(|next| next.lease).unwrap_or_default();
                assert!(lease <= record.last_lease.max(aside), "lease numbers only grow");
            }
        }
    }

    /// No more faults: whatever is asked for must come to an end.
    fn finish(&mut self) {
        for _ in 0..20 * (1 + self.submitted) {
            for rack in 0..RACKS.len() {
                self.strike(&Stroke::Send { rack });
                self.strike(&Stroke::Confirm { rack });
                self.strike(&Stroke::Deliver { rack });
            }
            for phone in 0..PHONES.len() {
                self.strike(&Stroke::Finish { phone, end: 0 });
            }
            self.strike(&Stroke::Pass { seconds: 20 });
        }
        let open: Vec<_> =
            self.world.jobs.values().filter(|job| !matches!(job.state, JobState::Ended { .. })).collect();
        assert!(open.is_empty(), "everything finishes once faults stop: {open:?}");
    }
}

fn rack_of(place: usize) -> RackId {
    RACKS[place % RACKS.len()].parse().unwrap()
}

fn stroke() -> impl Strategy<Value = Stroke> {
    let rack = 0..RACKS.len();
    prop_oneof![
        4 => (0..5usize, proptest::option::weighted(0.2, 0..4usize), -1..2i32)
            .prop_map(|(class, only_phone, priority)| Stroke::Submit { class, only_phone, priority }),
        1 => (0..30usize).prop_map(|job| Stroke::Cancel { job }),
        6 => rack.clone().prop_map(|rack| Stroke::Deliver { rack }),
        6 => (0..PHONES.len(), 0..ENDS.len()).prop_map(|(phone, end)| Stroke::Finish { phone, end }),
        6 => rack.clone().prop_map(|rack| Stroke::Send { rack }),
        3 => rack.clone().prop_map(|rack| Stroke::Confirm { rack }),
        1 => rack.prop_map(|rack| Stroke::AgentDies { rack }),
        1 => Just(Stroke::DaemonDies),
        2 => (1..40u64).prop_map(|seconds| Stroke::Pass { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_after_every_event(strokes in proptest::collection::vec(stroke(), 1..120)) {
        let mut trial = Trial::new();
        for stroke in &strokes {
            trial.strike(stroke);
        }
        trial.finish();
    }
}

#[test]
fn a_crash_job_never_waits_for_lower_work_on_its_own_phone() {
    check(
        "phone A on r1 label crash
         sync r1
         submit baseline pool crash
         submit baseline pool crash
         submit crash
         end J1.1 on A lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J1 passed
         J3.1 on A
         A runs J3.1 by lease 2",
    );
}

#[test]
fn jobs_that_all_came_at_once_are_lifted_in_turns_that_others_need_not_wait_for() {
    let mut world = World::under(policy());
    for number in 1..=2_500 {
        world.apply(Event::JobSubmitted { job: JobId(number), spec: Box::new(spec(JobClass::Custom)) });
    }
    let after = world.policy.class(JobClass::Custom).lift_after.unwrap();
    world.now = world.now.after(after);
    let mut lifted = Vec::new();
    // The last of them leave nothing to wait for.
    while lifted.len() < 10 {
        world.woken();
        let moved = world.apply(Event::TimeReached);
        let moved = moved.iter().filter(|decision| matches!(decision, Decision::JobMoved(_))).count();
        lifted.push(moved);
        let Some(wake) = world.next_wake() else { break };
        assert!(wake >= world.now, "the time that comes next is not past");
        world.now = wake;
    }
    assert_eq!(lifted, [1_000, 1_000, 500]);
}
