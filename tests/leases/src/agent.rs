//! A rack's leases: for each phone the seat of `agent/src/phone.rs`, and the rack's outbox. Which lease is next is decided
//! by the agent's own rule, `wanted`.

use std::collections::BTreeMap;

use holdfast_attempt::Event;
use holdfast_wire::id::{AttemptId, LeaseNumber};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};
use holdfast_wire::sync::{Order, PhoneOrder, Staged};

use crate::broken::Broken;
use crate::network::{Answer, Entry, Request};
use crate::nouns::udid;
use crate::wanted::{Begin, Left, Wanted};

/// One rack's agent. What is on its disk survives its death: memories and the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Which rack.
    pub number: usize,
    /// How often it has started.
    pub start: u32,
    /// Its last request, whose answer it waits for.
    pub asked: u32,
    /// Phones that it knows.
    pub seats: BTreeMap<usize, Seat>,
    /// On disk.
    pub outbox: Vec<Entry>,
    /// How many entries there ever were: on disk.
    pub entries: u32,
}

/// What is known of one phone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seat {
    /// Whether it is on this rack's bus.
    pub is_here: bool,
    /// The last lease that it obeyed, or that the daemon said is over.
    pub lease: LeaseNumber,
    /// What runs.
    pub running: Option<Running>,
    /// What is to begin when nothing runs.
    pub pending: Option<(LeaseNumber, Next)>,
    /// What comes behind what runs.
    pub staged: Option<Staged>,
    /// Staged attempts up to this lease were taken back.
    pub withdrawn: Option<LeaseNumber>,
    /// On disk: the last lease, and the attempt that ran under it.
    pub disk: (LeaseNumber, Option<AttemptId>),
}

/// How a lease begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// With its work.
    Run(Box<holdfast_wire::sync::Work>),
    /// Given up before it began.
    Yielded(AttemptId),
}

/// An attempt, or what is left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Which.
    pub attempt: AttemptId,
    /// Under which lease.
    pub lease: LeaseNumber,
    /// What it does.
    pub how: How,
}

/// What an attempt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Its cases run on the phone.
    Works,
    /// It has been told to end, and is about to.
    Revoked,
    /// It has been told to give the phone up, and is about to.
    Yields,
    /// The phone has left the bus, so it has failed.
    Lost,
    /// The agent has died; the next one is about to report it.
    CutOff,
}

impl Agent {
    /// A new one, with these phones.
    pub fn new(number: usize, phones: impl IntoIterator<Item = usize>) -> Self {
        let seat = || Seat { is_here: true, ..Seat::default() };
        let seats = phones.into_iter().map(|phone| (phone, seat())).collect();
        Self { number, start: 1, asked: 0, seats, outbox: Vec::new(), entries: 0 }
    }

    /// Everything that it has to say now.
    pub fn request(&mut self) -> Request {
        self.asked += 1;
        let rests = |phone: &usize, seat: &Seat| {
            seat.running.is_none()
                && seat.pending.is_none()
                && self.outbox.iter().all(|entry| entry.phone != *phone)
        };
        let held = self.seats.iter().filter_map(|(phone, seat)| {
            let (lease, attempt) = match (&seat.pending, &seat.running) {
                (Some((lease, Next::Run(work))), _) => (*lease, work.attempt),
                (Some((lease, Next::Yielded(attempt))), _) => (*lease, *attempt),
                (None, Some(running)) => (running.lease, running.attempt),
                (None, None) => return None,
            };
            Some((*phone, lease, attempt, seat.withdrawn.filter(|withdrawn| *withdrawn > lease)))
        });
        let idle = self.seats.iter().filter(|(phone, seat)| rests(phone, seat));
        Request {
            rack: self.number,
            start: self.start,
            number: self.asked,
            phones: self.seats.iter().map(|(phone, seat)| (*phone, seat.is_here)).collect(),
            held: held.collect(),
            idle: idle.map(|(phone, seat)| (*phone, seat.lease)).collect(),
            entries: self.outbox.clone(),
        }
    }

    /// Takes an answer in, unless it is that of an older request.
    pub fn obey(&mut self, answer: Answer, broken: Broken) {
        if answer.start != self.start || answer.number != self.asked {
            return;
        }
        for order in answer.orders {
            let Some(number) = (0..2).find(|number| udid(*number) == order.phone) else { continue };
            self.seats.entry(number).or_default().order(order, broken);
        }
        self.outbox.retain(|entry| !answer.confirmed.contains(&entry.number));
    }

    /// What is to begin on a phone begins. Says which attempt now works there.
    pub fn begin(&mut self, phone: usize, broken: Broken) -> Option<LeaseNumber> {
        let seat = self.seats.get_mut(&phone)?;
        let (lease, next) = seat.pending.take()?;
        seat.lease = lease;
        match next {
            Next::Run(work) => {
                let how = if seat.is_here { How::Works } else { How::Lost };
                seat.running = Some(Running { attempt: work.attempt, lease, how });
                if broken != Broken::LeaseNotRecorded {
                    seat.disk = (lease, Some(work.attempt));
                }
                seat.is_here.then_some(lease)
            }
            Next::Yielded(attempt) => {
                seat.disk = (lease, None);
                self.report(phone, attempt, lease, AttemptEnd::Yielded { cases_done: 0, failure: None });
                None
            }
        }
    }

    /// What runs on a phone comes to its end, and its report is on disk. The note that it is over comes later: see
    /// [`Self::note`].
    pub fn finish(&mut self, phone: usize, end: AttemptEnd) {
        let Some(seat) = self.seats.get_mut(&phone) else { return };
        let Some(Running { attempt, lease, .. }) = seat.running.take() else { return };
        let is_fit = seat.is_here
            && matches!(end, AttemptEnd::Passed | AttemptEnd::Revoked | AttemptEnd::Yielded { .. });
        seat.attempt_over(if is_fit { Left::Fit } else { Left::Unfit });
        let has_report = self.outbox.iter().any(|entry| (entry.attempt, entry.lease) == (attempt, lease));
        if !has_report {
            self.report(phone, attempt, lease, end);
        }
    }

    fn report(&mut self, phone: usize, attempt: AttemptId, lease: LeaseNumber, end: AttemptEnd) {
        self.entries += 1;
        self.outbox.push(Entry { number: self.entries, phone, attempt, lease, end });
    }

    /// Writes down what each phone's memory says.
    pub fn note(&mut self, phone: usize) {
        if let Some(seat) = self.seats.get_mut(&phone) {
            seat.disk = (seat.lease, seat.running.as_ref().map(|running| running.attempt));
        }
    }

    /// It dies and starts again from its disk.
    pub fn die(&mut self) {
        (self.start, self.asked) = (self.start + 1, 0);
        for seat in self.seats.values_mut() {
            let (lease, attempt) = seat.disk;
            let running = attempt.map(|attempt| Running { attempt, lease, how: How::CutOff });
            *seat = Seat { is_here: seat.is_here, lease, running, disk: seat.disk, ..Seat::default() };
        }
    }

    /// A phone is plugged in, or is not any longer.
    pub fn plug(&mut self, phone: usize, is_here: bool) {
        let seat = self.seats.entry(phone).or_default();
        seat.is_here = is_here;
        if let Some(running) = seat.running.as_mut().filter(|running| !is_here && running.how != How::CutOff)
        {
            running.how = How::Lost;
        }
    }

    /// How an attempt may end, as things are.
    pub fn ends(running: &Running) -> Vec<AttemptEnd> {
        let failed =
            |blame| AttemptEnd::Failed { blame, step: StepName::Run, reason: "it failed".to_owned() };
        match running.how {
            How::Works => vec![AttemptEnd::Passed],
            How::Revoked => vec![AttemptEnd::Revoked],
            How::Yields => vec![AttemptEnd::Yielded { cases_done: 0, failure: None }, AttemptEnd::Passed],
            How::Lost => vec![failed(Blame::Phone)],
            How::CutOff => vec![failed(Blame::Rack)],
        }
    }
}

impl Seat {
    fn order(&mut self, order: PhoneOrder, broken: Broken) {
        let running = self.running.as_ref().map(|running| running.lease);
        let mut wanted = self.wanted();
        let mut obeyed = self.lease;
        self.withdrawn = order.withdrawn.max(self.withdrawn);
        if broken == Broken::LeasesNotCompared {
            obeyed = LeaseNumber::default();
        }
        let event = wanted.take(order, &mut obeyed, running);
        self.lease = obeyed.max(self.lease);
        self.keep(wanted);
        if let Some(running) = &mut self.running
            && matches!(running.how, How::Works | How::Yields)
        {
            match event {
                Some(Event::Revoked) => running.how = How::Revoked,
                Some(Event::ToldToYield(_)) => running.how = How::Yields,
                Some(_) | None => {}
            }
        }
    }

    fn attempt_over(&mut self, left: Left) {
        let mut wanted = self.wanted();
        wanted.attempt_over(self.lease, left);
        self.keep(wanted);
    }

    /// The agent's rule, in the state in which it was left.
    fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        let mut nothing = LeaseNumber::default();
        let order = match &self.pending {
            Some((lease, Next::Run(work))) => Order::Run { lease: *lease, work: work.clone() },
            Some((lease, Next::Yielded(attempt))) => {
                let when = holdfast_wire::sync::YieldWhen::CaseDone;
                Order::Yield { lease: *lease, attempt: *attempt, when }
            }
            None => Order::Rest { through: nothing },
        };
        let (next, withdrawn) = (self.staged.clone(), self.withdrawn);
        let order = PhoneOrder { phone: udid(0), order, next, withdrawn };
        let _event = wanted.take(order, &mut nothing, None);
        wanted
    }

    fn keep(&mut self, mut wanted: Wanted) {
        self.staged = wanted.staged().cloned();
        self.pending = wanted.begin().map(|(lease, begin)| match begin {
            Begin::Run(work) => (lease, Next::Run(work)),
            Begin::Yielded(attempt) => (lease, Next::Yielded(attempt)),
        });
    }
}
