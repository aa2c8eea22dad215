//! The daemon: the real brain between its disk and its orders. What an event led to counts once it is committed; a death
//! before that loses it. The brain cannot be copied, so it is made again from its disk and what happened since.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_scheduler::record::{HoldPhase, NextPhase, Record};
use holdfast_scheduler::{Decision, Event, JobRecord, PhoneRecord, Scheduler};
use holdfast_wire::id::{AttemptId, BlobHash, JobId, LeaseNumber, Udid};
use holdfast_wire::sync::{HeldLease, IdlePhone, PhoneOrder};
use holdfast_wire::time::Time;

use crate::broken::Broken;
use crate::network::{Answer, Request};
use crate::nouns::{policy, rack, report, udid};

/// What is on the daemon's disk.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Disk {
    /// Jobs.
    pub jobs: BTreeMap<JobId, Arc<JobRecord>>,
    /// Phones.
    pub phones: BTreeMap<Udid, Arc<PhoneRecord>>,
}

/// The daemon.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// How often it has started.
    pub life: u32,
    /// What is durable.
    pub disk: Disk,
    /// What each phone has to obey, and on which rack.
    pub orders: BTreeMap<Udid, (usize, PhoneOrder)>,
    /// What has been decided and is not durable yet.
    pub open: Option<Open>,
    /// The start of each agent that spoke last, and its newest request.
    seen: BTreeMap<usize, (u32, u32)>,
    born: (Time, Arc<Disk>),
    happened: Vec<Arc<(Time, Event)>>,
    /// What a reader sees of phones: two daemons that differ in it are not the same.
    shown: String,
}

/// What waits for the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    disk: Disk,
    orders: Vec<(usize, PhoneOrder)>,
    answer: Option<(usize, u32, u32, Vec<u32>)>,
}

impl Daemon {
    /// With an empty disk.
    pub fn new(now: Time) -> Self {
        Self {
            life: 0,
            disk: Disk::default(),
            orders: BTreeMap::new(),
            open: None,
            seen: BTreeMap::new(),
            born: (now, Arc::new(Disk::default())),
            happened: Vec::new(),
            shown: String::new(),
        }
    }

    /// It dies, and starts again from its disk.
    pub fn die(&mut self, now: Time) {
        self.life += 1;
        self.open = None;
        self.seen.clear();
        self.orders.clear();
        self.born = (now, Arc::new(self.disk.clone()));
        self.happened.clear();
        let (brain, decisions) = self.brain();
        self.shown = shown(&brain);
        let mut open = Open { disk: self.disk.clone(), orders: Vec::new(), answer: None };
        carry(&decisions, &mut open);
        self.take_orders(open.orders);
    }

    /// Something happened that no agent said.
    pub fn hear(&mut self, now: Time, events: Vec<Event>, broken: Broken) {
        self.turn(now, events, None, broken);
    }

    /// A request of an agent, unless a newer one of the same start has been here. Looked at as the daemon does: phones,
    /// then reports, then what is held.
    pub fn take(&mut self, now: Time, request: &Request, broken: Broken) {
        let seen = self.seen.entry(request.rack).or_insert((request.start, 0));
        let is_overtaken = (request.start, request.number) <= *seen;
        if is_overtaken && broken != Broken::OvertakenRequestsCount {
            return;
        }
        *seen = (request.start, request.number).max(*seen);
        let mut events = Vec::new();
        for (phone, is_here) in &request.phones {
            let report = Box::new(report(*phone, *is_here));
            events.push(Event::PhoneReported { rack: rack(request.rack), report });
        }
        for entry in &request.entries {
            events.push(Event::AttemptEnded {
                rack: rack(request.rack),
                attempt: entry.attempt,
                phone: udid(entry.phone),
                lease: entry.lease,
                end: entry.end.clone(),
                report: BlobHash::new([entry.attempt.number as u8; 32]),
            });
        }
        let held = request.held.iter().map(|(phone, lease, attempt, withdrawn)| HeldLease {
            phone: udid(*phone),
            lease: *lease,
            attempt: *attempt,
            withdrawn: *withdrawn,
        });
        let idle =
            request.idle.iter().map(|(phone, obeyed)| IdlePhone { phone: udid(*phone), obeyed: *obeyed });
        events.push(Event::RackSynced {
            rack: rack(request.rack),
            held: held.collect(),
            idle: idle.collect(),
        });
        let confirmed = request.entries.iter().map(|entry| entry.number).collect();
        let answer = (request.rack, request.start, request.number, confirmed);
        self.turn(now, events, Some(answer), broken);
    }

    fn turn(
        &mut self,
        now: Time,
        events: Vec<Event>,
        answer: Option<(usize, u32, u32, Vec<u32>)>,
        broken: Broken,
    ) {
        let (mut brain, _) = self.brain();
        let mut open = Open { disk: self.disk.clone(), orders: Vec::new(), answer };
        for event in events {
            let event =
                if broken == Broken::FencedReportDecides { unfenced(event, &open.disk) } else { event };
            self.apply(&mut brain, &mut open, now, event);
            if broken == Broken::FreeAtGiveUp {
                for event in shown_clean(&open.disk) {
                    self.apply(&mut brain, &mut open, now, event);
                }
            }
        }
        self.shown = shown(&brain);
        if broken == Broken::OrderBeforeCommit {
            self.take_orders(std::mem::take(&mut open.orders));
        }
        self.open = Some(open);
    }

    fn apply(&mut self, brain: &mut Scheduler, open: &mut Open, now: Time, event: Event) {
        let decisions = brain.apply(now, event.clone());
        self.happened.push(Arc::new((now, event)));
        carry(&decisions, open);
    }

    /// What was decided is durable: orders leave, and whoever asked is answered.
    pub fn commit(&mut self) -> Option<Answer> {
        let open = self.open.take()?;
        self.disk = open.disk;
        self.take_orders(open.orders);
        open.answer.map(|(rack, start, number, confirmed)| {
            let of_rack = self.orders.values().filter(|(of, _)| *of == rack);
            let orders = of_rack.map(|(_, order)| order.clone()).collect();
            Answer { rack, start, number, orders, confirmed }
        })
    }

    /// Orders that have left, for an answer that does not wait for the disk.
    pub fn answer_early(&self) -> Option<Answer> {
        let (rack, start, number, _) = self.open.as_ref()?.answer.clone()?;
        let of_rack = self.orders.values().filter(|(of, _)| *of == rack);
        let orders = of_rack.map(|(_, order)| order.clone()).collect();
        Some(Answer { rack, start, number, orders, confirmed: Vec::new() })
    }

    fn take_orders(&mut self, orders: Vec<(usize, PhoneOrder)>) {
        for (rack, order) in orders {
            self.orders.insert(order.phone.clone(), (rack, order));
        }
    }

    /// The brain as it is now, and the orders that it began with.
    fn brain(&self) -> (Scheduler, Vec<Decision>) {
        let (born, disk) = &self.born;
        let jobs = disk.jobs.values().cloned().map(Record::Job);
        let phones = disk.phones.values().map(|phone| Record::Phone((**phone).clone()));
        let restored = Scheduler::restore(policy(), *born, jobs.chain(phones));
        let Ok((mut brain, orders)) = restored else { unreachable!("what is committed makes a farm") };
        for happened in &self.happened {
            let _decided_then = brain.apply(happened.0, happened.1.clone());
        }
        (brain, orders)
    }

    /// Everything of it that can make a difference later.
    pub(crate) fn text(&self) -> String {
        format!("{:?}{:?}{:?}{:?}{}", self.disk, self.orders, self.open, self.seen, self.shown)
    }

    /// What may begin on a phone behind that, as it is on disk.
    pub fn staged(&self, phone: usize) -> Option<(AttemptId, LeaseNumber)> {
        let next = self.disk.phones.get(&udid(phone))?.next.as_ref()?;
        (next.phase != NextPhase::Withdrawn).then_some((next.attempt, next.lease))
    }

    /// What holds a phone, as it is on disk.
    pub fn hold(&self, phone: usize) -> Option<(AttemptId, LeaseNumber)> {
        let record = self.disk.phones.get(&udid(phone))?;
        record.hold.as_ref().map(|hold| (hold.attempt, record.last_lease))
    }
}

fn shown(brain: &Scheduler) -> String {
    let phones = brain.phones().map(|phone| format!("{:?} {:?}", phone.state, phone.rack));
    let racks = brain.racks().map(|rack| format!("{} {:?}", rack.online, rack.last_heard));
    phones.chain(racks).collect::<Vec<_>>().join("; ")
}

fn carry(decisions: &[Decision], open: &mut Open) {
    for decision in decisions {
        match decision {
            Decision::SaveJob(job) => {
                open.disk.jobs.insert(job.id, job.clone());
            }
            Decision::SavePhone(phone) => {
                open.disk.phones.insert(phone.facts.udid.clone(), phone.clone());
            }
            Decision::Order { rack: of, order } => {
                open.orders.push((usize::from(*of != rack(0)), order.clone()));
            }
            Decision::SaveOwner(_)
            | Decision::SaveCompare(_)
            | Decision::ForgetCompare(_)
            | Decision::KeepLateReport { .. }
            | Decision::JobMoved(_)
            | Decision::PhoneChanged(_)
            | Decision::RackChanged(_)
            | Decision::WakeAt(_) => {}
        }
    }
}

/// The bug: every phone that is being released is taken to be clean.
fn shown_clean(disk: &Disk) -> Vec<Event> {
    let releasing = disk
        .phones
        .values()
        .filter(|phone| phone.hold.as_ref().is_some_and(|hold| hold.phase == HoldPhase::Releasing));
    releasing
        .map(|phone| Event::RackSynced { rack: phone.rack.clone(), held: vec![], idle: vec![] })
        .collect()
}

/// The bug: whatever is reported of a phone is reported of the attempt that it has now.
fn unfenced(event: Event, disk: &Disk) -> Event {
    let Event::AttemptEnded { rack, phone, end, report, attempt, lease } = event else { return event };
    let now =
        disk.phones.get(&phone).and_then(|record| Some((record.hold.as_ref()?.attempt, record.last_lease)));
    let (attempt, lease) = now.unwrap_or((attempt, lease));
    Event::AttemptEnded { rack, attempt, phone, lease, end, report }
}
