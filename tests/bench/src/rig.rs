//! The brain alone, in this process and in virtual time: keeps count of what runs where, as agents would, and times
//! every event. What happens in which order is the measurements' business.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::Context;
use holdfast_scheduler::{Decision, Event, Policy, Scheduler};
use holdfast_wire::id::{AttemptId, BlobHash, JobId, LeaseNumber, RackId, Udid};
use holdfast_wire::job::JobSpec;
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{HeldLease, IdlePhone, Order, YieldWhen};
use holdfast_wire::time::Time;

/// Phones of one rack.
pub const PHONES_PER_RACK: usize = 50;

/// An attempt that runs on a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The lease.
    pub lease: LeaseNumber,
    /// The attempt.
    pub attempt: AttemptId,
}

/// What an event led to, as far as agents see it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Phones on which an attempt has begun.
    pub begun: Vec<Begun>,
    /// Phones that are to be given up.
    pub stopped: Vec<(usize, Stop)>,
}

/// An attempt that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// Where.
    pub phone: usize,
    /// Which.
    pub attempt: AttemptId,
    /// How many cases it is to run.
    pub cases: u32,
}

/// How a phone is to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The lease is over.
    Revoke,
    /// The attempt ends as one that has yielded.
    Yield(YieldWhen),
}

/// A brain with its farm.
#[derive(Debug)]
pub struct Rig {
    /// The brain.
    pub brain: Scheduler,
    /// The virtual time.
    pub now: Time,
    /// When the brain wants to be woken.
    pub wake_at: Option<Time>,
    /// How long the last event took in the brain.
    pub took: Duration,
    reports: Vec<PhoneReport>,
    racks: Vec<RackId>,
    by_udid: HashMap<Udid, usize>,
    held: Vec<Option<Held>>,
    obeyed: Vec<LeaseNumber>,
    /// Up to which lease what was staged will not begin.
    withdrawn: Vec<Option<LeaseNumber>>,
    /// Racks that have yet to say so.
    untold: BTreeSet<usize>,
    busy: Vec<usize>,
    place_in_busy: Vec<usize>,
}

impl Rig {
    /// A brain that has never heard of anything.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(policy: Policy, now: Time) -> anyhow::Result<Self> {
        let (brain, decisions) = Scheduler::restore(policy, now, [])?;
        let mut this = Self {
            brain,
            now,
            wake_at: None,
            took: Duration::ZERO,
            reports: Vec::new(),
            racks: Vec::new(),
            by_udid: HashMap::new(),
            held: Vec::new(),
            obeyed: Vec::new(),
            withdrawn: Vec::new(),
            untold: BTreeSet::new(),
            busy: Vec::new(),
            place_in_busy: Vec::new(),
        };
        this.look(&decisions, &mut Seen::default());
        Ok(this)
    }

    /// Plugs phones in, rack by rack.
    ///
    /// # Errors
    /// There are too many racks to name.
    pub fn plug_in(&mut self, reports: Vec<PhoneReport>) -> anyhow::Result<()> {
        for report in reports {
            let number = self.reports.len();
            if number.is_multiple_of(PHONES_PER_RACK) {
                let rack = format!("rack-{}", number / PHONES_PER_RACK);
                self.racks.push(rack.parse().context("a rack has a good name")?);
            }
            self.by_udid.insert(report.facts.udid.clone(), number);
            self.held.push(None);
            self.obeyed.push(LeaseNumber::default());
            self.withdrawn.push(None);
            self.place_in_busy.push(0);
            self.reports.push(report.clone());
            let rack = self.rack_of(number).clone();
            self.apply(Event::PhoneReported { rack, report: Box::new(report) });
        }
        for rack in 0..self.racks.len() {
            self.sync(rack);
        }
        Ok(())
    }

    /// Takes an event in. Racks answer at once when they are told that what was staged is not to begin; what that costs
    /// the brain is part of the event.
    pub fn apply(&mut self, event: Event) -> Seen {
        let mut seen = Seen::default();
        self.took = self.take_in(event, &mut seen);
        while let Some(rack) = self.untold.pop_first() {
            let answer = self.synced(rack);
            let took = self.take_in(answer, &mut seen);
            self.took += took;
        }
        seen
    }

    fn take_in(&mut self, event: Event, seen: &mut Seen) -> Duration {
        let start = Instant::now();
        let decisions = self.brain.apply(self.now, event);
        let took = start.elapsed();
        self.look(&decisions, seen);
        took
    }

    /// Submits a job.
    pub fn submit(&mut self, spec: JobSpec) -> (JobId, Seen) {
        let job = self.brain.next_job();
        (job, self.apply(Event::JobSubmitted { job, spec: Box::new(spec) }))
    }

    /// Ends what runs on a phone, when something does.
    pub fn end(&mut self, phone: usize, end: AttemptEnd) -> Option<Seen> {
        let Held { lease, attempt } = self.free(phone)?;
        let (rack, udid) = (self.rack_of(phone).clone(), self.reports.get(phone)?.facts.udid.clone());
        let report = BlobHash::new([7; 32]);
        Some(self.apply(Event::AttemptEnded { rack, attempt, phone: udid, lease, end, report }))
    }

    /// Says a phone's report anew, with another charge.
    pub fn report(&mut self, phone: usize, level_percent: u8) -> Seen {
        if let Some(battery) = &mut self.reports[phone].facts.battery {
            battery.level_percent = level_percent;
        }
        let (rack, report) = (self.rack_of(phone).clone(), Box::new(self.reports[phone].clone()));
        self.apply(Event::PhoneReported { rack, report })
    }

    /// A rack says what it holds.
    pub fn sync(&mut self, rack: usize) -> Seen {
        let event = self.synced(rack);
        self.apply(event)
    }

    fn synced(&self, rack: usize) -> Event {
        let first = rack * PHONES_PER_RACK;
        let phones = first..self.reports.len().min(first + PHONES_PER_RACK);
        let (mut held, mut idle) = (Vec::new(), Vec::new());
        for number in phones {
            let phone = self.reports[number].facts.udid.clone();
            match self.held[number] {
                Some(Held { lease, attempt }) => {
                    held.push(HeldLease { phone, lease, attempt, withdrawn: self.withdrawn[number] })
                }
                None => idle.push(IdlePhone { phone, obeyed: self.obeyed[number] }),
            }
        }
        Event::RackSynced { rack: self.racks[rack].clone(), held, idle }
    }

    /// Lets time pass, and wakes the brain when it asked for that.
    pub fn pass(&mut self, span: Duration) -> Option<Seen> {
        self.now = self.now.after(span);
        self.wake_at.filter(|at| *at <= self.now)?;
        self.wake_at = None;
        Some(self.apply(Event::TimeReached))
    }

    /// How many racks there are.
    pub fn racks(&self) -> usize {
        self.racks.len()
    }

    /// How many phones there are.
    pub fn phones(&self) -> usize {
        self.reports.len()
    }

    /// The phones at work, in no particular but always the same order.
    pub fn busy(&self) -> &[usize] {
        &self.busy
    }

    /// What runs on a phone.
    pub fn held(&self, phone: usize) -> Option<Held> {
        self.held[phone]
    }

    fn rack_of(&self, phone: usize) -> &RackId {
        &self.racks[phone / PHONES_PER_RACK]
    }

    fn look(&mut self, decisions: &[Decision], seen: &mut Seen) {
        for decision in decisions {
            match decision {
                Decision::Order { order, .. } => {
                    if let Some(phone) = self.by_udid.get(&order.phone).copied() {
                        if order.withdrawn > self.withdrawn[phone] {
                            self.withdrawn[phone] = order.withdrawn;
                            self.untold.insert(phone / PHONES_PER_RACK);
                        }
                        self.obey(phone, &order.order, seen);
                    }
                }
                Decision::WakeAt(at) => self.wake_at = Some(*at),
                _ => {}
            }
        }
    }

    fn obey(&mut self, phone: usize, order: &Order, seen: &mut Seen) {
        let holds = self.held[phone];
        match order {
            Order::Run { lease, work } => {
                if self.obeyed[phone] < *lease {
                    self.free(phone);
                    self.obeyed[phone] = *lease;
                    self.held[phone] = Some(Held { lease: *lease, attempt: work.attempt });
                    self.place_in_busy[phone] = self.busy.len();
                    self.busy.push(phone);
                    let cases = u32::try_from(work.cases.len()).unwrap_or(u32::MAX);
                    seen.begun.push(Begun { phone, attempt: work.attempt, cases });
                }
            }
            Order::Rest { through } => {
                self.obeyed[phone] = self.obeyed[phone].max(*through);
                if holds.is_some_and(|held| held.lease <= *through) {
                    seen.stopped.push((phone, Stop::Revoke));
                }
            }
            Order::Yield { lease, when, .. } => {
                if holds.is_some_and(|held| held.lease == *lease) {
                    seen.stopped.push((phone, Stop::Yield(*when)));
                }
            }
        }
    }

    fn free(&mut self, phone: usize) -> Option<Held> {
        let held = self.held[phone].take()?;
        let place = self.place_in_busy[phone];
        self.busy.swap_remove(place);
        if let Some(moved) = self.busy.get(place) {
            self.place_in_busy[*moved] = place;
        }
        Some(held)
    }
}

/// Things that happen later, in the order of their times and then of their making.
#[derive(Debug)]
pub struct Agenda<T> {
    later: BTreeMap<Time, VecDeque<T>>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { later: BTreeMap::new() }
    }
}

impl<T> Agenda<T> {
    /// Puts something on it.
    pub fn put(&mut self, at: Time, what: T) {
        self.later.entry(at).or_default().push_back(what);
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Time> {
        self.later.keys().next().copied()
    }

    /// Takes the next thing.
    pub fn take(&mut self) -> Option<(Time, T)> {
        let mut first = self.later.first_entry()?;
        let (at, what) = (*first.key(), first.get_mut().pop_front());
        if first.get().is_empty() {
            first.remove();
        }
        Some((at, what?))
    }
}
