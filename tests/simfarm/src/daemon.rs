//! The daemon's body around its real brain: turns, commits, orders by version, answers that are held back. The rules are
//! those of `daemon/src/farm.rs` (decide, record, act, answer), `daemon/src/orders.rs` (orders by version),
//! `daemon/src/http/agents.rs` (requests that are overtaken, what is confirmed) and `daemon/src/clock.rs` (time never runs
//! backwards). What the disk keeps when the daemon dies is in [`Disk`]: what was committed, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::record::{CompareRecord, JobRecord, OwnerRecord, PhoneRecord, Record};
use holdfast_scheduler::{Decision, Event, RestoreError, Scheduler};
use holdfast_wire::id::{BlobHash, CompareName, EntryId, JobId, Owner, RackId, StartId, Udid};
use holdfast_wire::job::{JobSpec, JobState};
use holdfast_wire::sync::{Order, OutboxItem, PhoneOrder, SyncReply, SyncRequest, Version};
use holdfast_wire::time::Time;

use crate::nouns::name;
use crate::policies::policy;

/// Earlier starts of an agent that are remembered: `STARTS_REMEMBERED` of `daemon/src/http/agents.rs`.
const STARTS_REMEMBERED: usize = 8;

/// How long a request of an earlier start may be on its way, milliseconds: `LATE_FOR` there.
const LATE_FOR_MS: u64 = 120_000;

/// What survives the daemon.
#[derive(Debug, Default)]
pub struct Disk {
    /// Every job.
    pub jobs: BTreeMap<JobId, Arc<JobRecord>>,
    /// Every phone.
    pub phones: BTreeMap<Udid, Arc<PhoneRecord>>,
    /// What owners have used.
    pub owners: BTreeMap<Owner, Arc<OwnerRecord>>,
    /// Where comparisons run, as the brain had it recorded.
    pub compares: BTreeMap<CompareName, Arc<CompareRecord>>,
    /// Which job a submission became, by its key.
    pub keys: BTreeMap<BlobHash, JobId>,
    /// Crash files that were taken in.
    pub crashes: u64,
}

/// The daemon's clock: follows the wall's, and runs at half speed while that one is behind. `daemon/src/clock.rs`.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    shown: Time,
    taken_ms: u64,
}

impl Clock {
    /// Of a daemon that starts.
    pub fn new(wall: Time, passed_ms: u64) -> Self {
        Self { shown: wall, taken_ms: passed_ms }
    }

    /// The time now. `passed_ms` counts true time.
    pub fn now(&mut self, wall: Time, passed_ms: u64) -> Time {
        let passed = Duration::from_millis(passed_ms - self.taken_ms);
        let last = self.shown;
        let shown =
            if wall >= last { wall } else { last.after(passed / 2).min(last.after(last.since(wall))) };
        if shown > last {
            *self = Self { shown, taken_ms: passed_ms };
        }
        shown
    }
}

/// Something that is asked of the daemon.
#[derive(Debug)]
pub enum Ask {
    /// A submission under its key: the number of the wish.
    Submit(usize, Box<JobSpec>),
    /// An operator's word.
    Tell(Event),
    /// An agent's request, on a connection.
    Agent(Connection, Box<SyncRequest>),
}

/// One request of one agent: its rack, the agent's life, and a number that is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The rack, by number.
    pub rack: usize,
    /// The life of its agent.
    pub life: u64,
    /// The number.
    pub number: u64,
}

/// What leaves the daemon once a turn is durable.
#[derive(Debug)]
pub enum Answer {
    /// A submission is taken in.
    Submitted(usize, JobId),
    /// A request is taken in.
    Agent(Connection, Box<SyncRequest>, Vec<EntryId>),
}

/// An answer to an agent that is held back until there is news.
#[derive(Debug)]
pub struct Held {
    /// Whom it goes to.
    pub to: Connection,
    /// The rack.
    pub rack: RackId,
    seen: Version,
    /// When it leaves anyway, in true time.
    pub until_ms: u64,
}

/// What a turn has led to, on its way to the disk.
#[derive(Debug, Default)]
pub struct Turn {
    decisions: Vec<Decision>,
    keys: Vec<(BlobHash, JobId)>,
    crashes: u64,
    answers: Vec<Answer>,
}

#[derive(Debug, Default)]
struct RackOrders {
    version: Version,
    phones: BTreeMap<Udid, (Version, PhoneOrder)>,
}

#[derive(Debug)]
struct Seat {
    start: StartId,
    /// Starts before that one, the latest last, and when each was followed by another, in true time.
    before: VecDeque<(StartId, u64)>,
    newest: u64,
    phones: Version,
}

/// A daemon that runs.
#[derive(Debug)]
pub struct Daemon {
    /// The brain.
    pub brain: Scheduler,
    /// Its clock.
    pub clock: Clock,
    /// What waits to be taken in.
    pub inbox: VecDeque<Ask>,
    /// What is on its way to the disk.
    pub committing: Option<Turn>,
    /// Answers that are held back.
    pub held: Vec<Held>,
    /// When the brain wants to be woken.
    pub wake_at: Option<Time>,
    /// Keys of submissions that are decided, durable or not.
    pub keys: BTreeMap<BlobHash, JobId>,
    /// The number of the next job is this or above: the archive has those before it.
    pub next_job: JobId,
    start: StartId,
    orders: BTreeMap<RackId, RackOrders>,
    seats: BTreeMap<RackId, Seat>,
}

impl Daemon {
    /// Starts from the disk, under the rules that are in force.
    ///
    /// # Errors
    /// The records make no farm.
    pub fn start(
        disk: &Disk,
        rules: Rules,
        life: u64,
        clock: Clock,
    ) -> Result<(Self, Vec<Decision>), RestoreError> {
        // What is over is in the archive, and no brain is told of it.
        let live = disk.jobs.values().filter(|job| !matches!(job.state, JobState::Ended { .. }));
        let jobs = live.cloned().map(Record::Job);
        let phones = disk.phones.values().map(|phone| Record::Phone((**phone).clone()));
        let owners = disk.owners.values().map(|owner| Record::Owner((**owner).clone()));
        let compares = disk.compares.values().map(|compare| Record::Compare((**compare).clone()));
        let records = jobs.chain(phones).chain(owners).chain(compares);
        let (brain, decisions) = Scheduler::restore(rules.policy(), clock.shown, records)?;
        let mut daemon = Self {
            brain,
            clock,
            inbox: VecDeque::new(),
            committing: None,
            held: Vec::new(),
            wake_at: None,
            keys: disk.keys.clone(),
            next_job: JobId(disk.jobs.keys().next_back().map_or(0, |job| job.0) + 1),
            start: name(&format!("daemon-{life}")),
            orders: BTreeMap::new(),
            seats: BTreeMap::new(),
        };
        daemon.act(&decisions);
        Ok((daemon, decisions))
    }

    /// Whether a request is to be looked at: one that arrives behind a newer one of the same start, or behind a newer
    /// start, is not. `now_ms` counts true time.
    pub fn note(&mut self, request: &SyncRequest, now_ms: u64) -> bool {
        let start = || request.agent_start.clone();
        let new = |before| Seat { start: start(), before, newest: 0, phones: Version::default() };
        let seat = self.seats.entry(request.rack.clone()).or_insert_with(|| new(VecDeque::new()));
        seat.before.retain(|(_, followed_ms)| now_ms - followed_ms < LATE_FOR_MS);
        if seat.before.iter().any(|(start, _)| *start == request.agent_start) {
            return false;
        }
        if seat.start != request.agent_start {
            let mut before = std::mem::take(&mut seat.before);
            before.push_back((seat.start.clone(), now_ms));
            if before.len() > STARTS_REMEMBERED {
                before.pop_front();
            }
            *seat = new(before);
        }
        let is_newest = request.number > seat.newest;
        if is_newest {
            seat.newest = request.number;
        }
        is_newest
    }

    /// What a request tells, in the order in which the brain wants it, and the entries that it confirms.
    pub fn events_of(request: &SyncRequest) -> (Vec<Event>, Vec<EntryId>, u64) {
        let rack = &request.rack;
        let report = |report: &holdfast_wire::phone::PhoneReport| Event::PhoneReported {
            rack: rack.clone(),
            report: Box::new(report.clone()),
        };
        let mut events: Vec<Event> = request.phones.iter().map(report).collect();
        let mut crashes = 0;
        for entry in &request.entries {
            match &entry.what {
                OutboxItem::AttemptEnded { report } => events.push(Event::AttemptEnded {
                    rack: rack.clone(),
                    attempt: report.attempt,
                    phone: report.phone.clone(),
                    lease: report.lease,
                    end: report.end.clone(),
                    report: BlobHash::new([1; 32]),
                }),
                OutboxItem::CrashTaken { .. } => crashes += 1,
            }
        }
        events.push(Event::RackSynced {
            rack: rack.clone(),
            held: request.held.clone(),
            idle: request.idle.clone(),
        });
        (events, request.entries.iter().map(|entry| entry.id.clone()).collect(), crashes)
    }

    /// Carries out what is durable: orders, and when to be woken.
    pub fn act(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Order { rack, order } => self.set_order(rack, order.clone()),
                Decision::WakeAt(at) => self.wake_at = Some(*at),
                Decision::SaveJob(_)
                | Decision::SavePhone(_)
                | Decision::SaveOwner(_)
                | Decision::SaveCompare(_)
                | Decision::ForgetCompare(_)
                | Decision::KeepLateReport { .. }
                | Decision::JobMoved(_)
                | Decision::PhoneChanged(_)
                | Decision::RackChanged(_) => {}
            }
        }
    }

    fn set_order(&mut self, rack: &RackId, order: PhoneOrder) {
        for (_, left) in self.orders.iter_mut().filter(|(other, _)| *other != rack) {
            left.phones.remove(&order.phone);
        }
        let orders = self.orders.entry(rack.clone()).or_default();
        orders.version = Version(orders.version.0 + 1);
        orders.phones.insert(order.phone.clone(), (orders.version, order));
    }

    /// What phones have to obey now, by the orders that were given.
    pub fn standing_orders(&self) -> impl Iterator<Item = (&RackId, &Order)> {
        self.orders
            .iter()
            .flat_map(|(rack, orders)| orders.phones.values().map(move |(_, order)| (rack, &order.order)))
    }

    /// Takes in a request that is durable: answers it at once when there is news, and else holds the answer back.
    pub fn take_in(
        &mut self,
        to: Connection,
        request: &SyncRequest,
        confirmed: Vec<EntryId>,
        now_ms: u64,
    ) -> Option<SyncReply> {
        let same_start = request.daemon_start.as_ref() == Some(&self.start);
        let seen = if same_start { request.orders_seen } else { Version::default() };
        if same_start || request.daemon_start.is_none() {
            let seat = self.seats.get_mut(&request.rack).filter(|seat| seat.start == request.agent_start);
            if let Some(seat) = seat {
                seat.phones = seat.phones.max(request.phones_version);
            }
        }
        let news = !confirmed.is_empty() || !request.phones.is_empty() || !same_start;
        let held = Held { to, rack: request.rack.clone(), seen, until_ms: now_ms + request.wait_ms };
        if news || self.has_news(&held) || request.wait_ms == 0 {
            return Some(self.reply(&held, confirmed));
        }
        self.held.push(held);
        None
    }

    /// Whether what an answer waits for has come.
    pub fn has_news(&self, held: &Held) -> bool {
        self.orders.get(&held.rack).is_some_and(|orders| orders.version > held.seen)
    }

    /// The answer.
    pub fn reply(&self, held: &Held, confirmed: Vec<EntryId>) -> SyncReply {
        let orders = self.orders.get(&held.rack);
        let newer = orders.into_iter().flat_map(|orders| orders.phones.values());
        let newer = newer.filter(|(version, _)| *version > held.seen).map(|(_, order)| order.clone());
        SyncReply {
            daemon_start: self.start.clone(),
            now: self.clock.shown,
            orders_version: orders.map_or(Version::default(), |orders| orders.version),
            orders: newer.collect(),
            phones_seen: self.seats.get(&held.rack).map_or(Version::default(), |seat| seat.phones),
            confirmed,
            refused: Vec::new(),
        }
    }
}

impl Turn {
    /// Adds what an event has led to.
    pub fn decided(&mut self, decisions: &[Decision]) {
        self.decisions.extend_from_slice(decisions);
    }

    /// Adds a submission that became a job.
    pub fn submitted(&mut self, key: BlobHash, job: JobId) {
        self.keys.push((key, job));
    }

    /// Adds crash files that came in.
    pub fn crashed(&mut self, files: u64) {
        self.crashes += files;
    }

    /// Adds an answer, to be given once all is durable.
    pub fn answer(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.crashes == 0 && !self.decisions.iter().any(is_record)
    }

    /// Makes all of it durable, and gives back what is to be carried out and answered.
    pub fn commit(self, disk: &mut Disk) -> (Vec<Decision>, Vec<Answer>) {
        disk.keys.extend(self.keys);
        disk.crashes += self.crashes;
        for decision in &self.decisions {
            match decision {
                Decision::SaveJob(job) => drop(disk.jobs.insert(job.id, job.clone())),
                Decision::SaveCompare(compare) => {
                    drop(disk.compares.insert(compare.name.clone(), compare.clone()));
                }
                Decision::ForgetCompare(name) => drop(disk.compares.remove(name)),
                Decision::SavePhone(phone) => {
                    drop(disk.phones.insert(phone.facts.udid.clone(), phone.clone()));
                }
                Decision::SaveOwner(owner) => drop(disk.owners.insert(owner.owner.clone(), owner.clone())),
                Decision::KeepLateReport { .. }
                | Decision::Order { .. }
                | Decision::JobMoved(_)
                | Decision::PhoneChanged(_)
                | Decision::RackChanged(_)
                | Decision::WakeAt(_) => {}
            }
        }
        (self.decisions, self.answers)
    }
}

fn is_record(decision: &Decision) -> bool {
    match decision {
        Decision::SaveJob(_)
        | Decision::SavePhone(_)
        | Decision::SaveOwner(_)
        | Decision::SaveCompare(_)
        | Decision::ForgetCompare(_)
        | Decision::KeepLateReport { .. } => true,
        Decision::Order { .. }
        | Decision::JobMoved(_)
        | Decision::PhoneChanged(_)
        | Decision::RackChanged(_)
        | Decision::WakeAt(_) => false,
    }
}

/// Which rules are in force: those that an operator chose, or the last ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// By number.
    Chosen(usize),
    /// Those under which everything ends.
    Last,
}

impl Rules {
    /// The rules themselves.
    pub fn policy(self) -> holdfast_scheduler::Policy {
        match self {
            Self::Chosen(number) => policy(number),
            Self::Last => crate::policies::last(),
        }
    }
}
