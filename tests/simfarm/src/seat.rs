//! One phone's task in an agent, around its real brain (`holdfast_attempt::Attempt`): the rules of `agent/src/phone.rs`,
//! `agent/src/phone/idle.rs` and `agent/src/memory.rs`, as a machine of states instead of an async task. What the rack makes
//! of it is in `agent`.

use std::collections::{BTreeSet, VecDeque};

use holdfast_attempt::{
    Attempt, Brief, Event, Failure, FailureKind, Finished, Launched, PhoneLeft, Settings, Step, SweepStep,
    Taken, Thresholds, judge, plan,
};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::crash::{CrashFile, CrashOrigin};
use holdfast_wire::id::{AttemptId, BuildHash, CrashId, LeaseNumber, Udid};
use holdfast_wire::outcome::{AttemptEnd, AttemptReport, Blame, StepName};
use holdfast_wire::phone::{PhoneFacts, PhoneReport, Readiness};
use holdfast_wire::sync::{HeldLease, OutboxItem, PhoneOrder, Version, Work};
use holdfast_wire::time::Time;

use crate::agenda::{Around, Happening, Inside};
use crate::broken::Broken;
use crate::nouns::rack_id;
use crate::outbox::{Outbox, Settled};
use crate::wanted::{Begin, Left, Wanted};

/// How often the facts of an idle phone are read.
const FACTS_EVERY_MS: u64 = 600_000;

/// How soon a phone that is unfit is looked at again.
const RETRY_EVERY_MS: u64 = 15_000;

/// How long a look may take that gets no answer: some of the real limit, which is long.
const LOOK_LIMIT_MS: u64 = 60_000;

/// What a phone's task must still know after a restart.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The phone, by number.
    pub phone: usize,
    /// The last lease that it obeyed, or that the daemon said is over.
    pub lease: LeaseNumber,
    /// The attempt that runs, under which lease, and since when.
    pub running: Option<(AttemptId, LeaseNumber, Time)>,
    installed: Option<BuildHash>,
    is_dirty: bool,
    confirmed: Vec<(CrashFile, CrashId)>,
    last: Option<Launched>,
    facts: Option<PhoneFacts>,
}

/// What a phone's task is told.
#[derive(Debug)]
pub enum Message {
    /// The phone is on the bus.
    Attached,
    /// It is not.
    Detached,
    /// What the daemon wants, and what it wants next.
    Order(PhoneOrder),
    /// The daemon has these crash files.
    Confirmed(Vec<Settled>),
}

/// What a phone's task does.
#[derive(Debug)]
enum Doing {
    /// It decides what to do next.
    Deciding,
    /// It waits for a message, or for the next look.
    Resting(u64),
    /// It looks at the phone.
    Looking(u64),
    /// An attempt was cut off, and its phone is not there.
    AwaitingPhone(u64),
    /// An attempt was cut off, and its phone is cleaned.
    Sweeping(u64),
    /// An attempt runs.
    Attempt(Box<Running>),
    /// A report is on its way to the disk. Nothing is heard meanwhile.
    HandingIn(u64, Box<AttemptReport>),
    /// The end of an attempt is noted. Nothing is heard meanwhile.
    Noting(u64),
}

#[derive(Debug)]
struct Running {
    brain: Attempt,
    lease: LeaseNumber,
    attempt: AttemptId,
    build: BuildIdentity,
    under_way: Option<u64>,
    tick_at: Option<u64>,
}

/// A phone's task, and what its rack knows of it.
#[derive(Debug)]
pub struct Seat {
    /// What is remembered.
    pub memory: Memory,
    doing: Doing,
    wanted: Wanted,
    is_plugged: bool,
    readiness: Readiness,
    reason: String,
    since: Time,
    due_ms: u64,
    mailbox: VecDeque<Message>,
    token: u64,
    /// The rack's: the report, and since which version it is so.
    pub report: Option<(Version, PhoneReport)>,
    /// The rack's: the last lease that was obeyed.
    pub lease: LeaseNumber,
    /// The rack's: what is held.
    pub held: Option<HeldLease>,
    /// The rack's: an order that is on its way to the task.
    pub ordered: Option<HeldLease>,
}

/// The rest of the agent, as a phone's task sees it.
pub struct Bench<'a> {
    /// The rack, by number.
    pub rack: usize,
    /// The life of the agent.
    pub life: u64,
    /// What waits to be confirmed.
    pub outbox: &'a mut Outbox,
    /// The newest version of the phone reports.
    pub version: &'a mut Version,
    /// What is on disk of this phone.
    pub disk: &'a mut Option<Memory>,
}

impl Memory {
    /// Of a phone that is new here.
    pub fn new(phone: usize) -> Self {
        Self {
            phone,
            lease: LeaseNumber::default(),
            running: None,
            installed: None,
            is_dirty: false,
            confirmed: Vec::new(),
            last: None,
            facts: None,
        }
    }

    fn udid(&self) -> Udid {
        crate::nouns::udid(self.phone)
    }

    fn held(&self) -> Option<HeldLease> {
        let (attempt, lease, _) = self.running?;
        Some(HeldLease { phone: self.udid(), lease, attempt, withdrawn: None })
    }

    fn taken(&self) -> Vec<Taken> {
        let known = self.confirmed.iter();
        known.map(|(file, crash)| Taken { file: file.clone(), crash: *crash, confirmed: true }).collect()
    }
}

impl Seat {
    /// A task that starts with what is remembered.
    pub fn new(memory: Memory, now: Time) -> Self {
        let (held, lease) = (memory.held(), memory.lease);
        Self {
            memory,
            doing: Doing::Deciding,
            wanted: Wanted::default(),
            is_plugged: false,
            readiness: Readiness::Offline,
            reason: "not on the bus".to_owned(),
            since: now,
            due_ms: 0,
            mailbox: VecDeque::new(),
            token: 0,
            report: None,
            lease,
            held,
            ordered: None,
        }
    }

    /// Whether nothing runs and nothing is about to.
    pub fn rests(&self) -> bool {
        self.memory.running.is_none() && !self.wanted.is_waiting() && self.held.is_none()
    }

    /// The task begins.
    pub fn begin(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        self.tell_report(bench);
        self.decide(bench, around);
    }

    fn is_deaf(&self) -> bool {
        matches!(self.doing, Doing::HandingIn(..) | Doing::Noting(_))
    }

    /// A message has come.
    pub fn mail(&mut self, message: Message, bench: &mut Bench<'_>, around: &mut Around) {
        self.mailbox.push_back(message);
        self.decide(bench, around);
    }

    fn read_mail(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        while !self.is_deaf()
            && let Some(message) = self.mailbox.pop_front()
        {
            let events = self.hear(message, bench, around);
            let bus = events.iter().any(|event| matches!(event, Event::PhoneLost | Event::PhoneReturned));
            match &self.doing {
                Doing::Attempt(_) => {
                    for event in events {
                        self.happened(event, bench, around);
                    }
                }
                Doing::Resting(_) => {
                    self.tell_report(bench);
                    self.doing = Doing::Deciding;
                }
                Doing::Looking(_) if bus || self.wanted.is_waiting() => self.doing = Doing::Deciding,
                Doing::AwaitingPhone(_) if self.is_plugged => self.sweep(around, bench),
                Doing::Sweeping(_) if bus => self.recovered(bench, around),
                Doing::Looking(_)
                | Doing::AwaitingPhone(_)
                | Doing::Sweeping(_)
                | Doing::Deciding
                | Doing::HandingIn(..)
                | Doing::Noting(_) => {}
            }
        }
    }

    /// Decides what to do until something is under way.
    fn decide(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        loop {
            self.read_mail(bench, around);
            if !matches!(self.doing, Doing::Deciding) {
                return;
            }
            if self.memory.running.is_some() {
                self.recover(bench, around);
            } else if let Some((lease, begin)) = self.wanted.begin() {
                match begin {
                    Begin::Run(work) => self.attempt(lease, *work, bench, around),
                    Begin::Yielded(attempt) => {
                        self.record(lease, attempt, bench, around);
                        self.tell_lease();
                        let end = AttemptEnd::Yielded { cases_done: 0, failure: None };
                        self.end_without_running(end, bench, around);
                    }
                }
            } else if self.is_plugged && around.now_ms >= self.due_ms {
                let hangs = around.chance.happens(1);
                let span = if hangs { LOOK_LIMIT_MS } else { around.chance.between(100, 900) };
                self.doing = Doing::Looking(self.wait(span, bench, around));
            } else {
                let span = if self.is_plugged { self.due_ms - around.now_ms } else { u64::MAX };
                self.doing = Doing::Resting(self.wait(span, bench, around));
            }
        }
    }

    /// A wait that is over after a span, by its token.
    fn wait(&mut self, span_ms: u64, bench: &Bench<'_>, around: &mut Around) -> u64 {
        self.token += 1;
        if span_ms < u64::MAX {
            let over = Inside::Over(self.memory.udid(), self.token);
            around.after(span_ms, Happening::Inside(bench.rack, bench.life, over));
        }
        self.token
    }

    /// A wait is over.
    pub fn over(&mut self, token: u64, bench: &mut Bench<'_>, around: &mut Around) {
        match &self.doing {
            Doing::Resting(waited) if *waited == token => self.doing = Doing::Deciding,
            Doing::Looking(waited) if *waited == token => self.looked(bench, around),
            Doing::AwaitingPhone(waited) if *waited == token => self.recovered(bench, around),
            Doing::Sweeping(waited) if *waited == token => {
                self.swept(bench, around);
                self.recovered(bench, around);
            }
            Doing::HandingIn(waited, _) if *waited == token => self.handed_in(bench, around),
            Doing::Noting(waited) if *waited == token => {
                self.save(bench);
                self.doing = Doing::Deciding;
            }
            Doing::Resting(_)
            | Doing::Looking(_)
            | Doing::AwaitingPhone(_)
            | Doing::Sweeping(_)
            | Doing::HandingIn(..)
            | Doing::Noting(_)
            | Doing::Attempt(_)
            | Doing::Deciding => {}
        }
        self.decide(bench, around);
    }

    // ---- an attempt ----

    fn attempt(&mut self, lease: LeaseNumber, work: Work, bench: &mut Bench<'_>, around: &mut Around) {
        self.memory.is_dirty = true;
        self.record(lease, work.attempt, bench, around);
        self.tell_lease();
        let mut taken = self.memory.taken();
        taken.extend(bench.outbox.pending(&self.memory.udid()));
        let (attempt, build) = (work.attempt, (*work.build).clone());
        let brief = Brief {
            rack: rack_id(bench.rack),
            phone: self.memory.udid(),
            lease,
            work,
            installed: self.memory.installed,
            taken,
            earlier: self.memory.last.clone().into_iter().collect(),
            settings: Settings::default(),
            thresholds: Thresholds::default(),
        };
        let (brain, steps) = Attempt::begin(around.time(), brief);
        let running = Running { brain, lease, attempt, build, under_way: None, tick_at: None };
        self.doing = Doing::Attempt(Box::new(running));
        self.perform(steps, bench, around);
        if !self.is_plugged {
            self.happened(Event::PhoneLost, bench, around);
        }
        self.ask_for_tick(bench, around);
    }

    fn record(&mut self, lease: LeaseNumber, attempt: AttemptId, bench: &mut Bench<'_>, around: &mut Around) {
        around.tell(|| format!("phone {} begins {attempt} under lease {lease}", self.memory.phone));
        self.memory.lease = lease;
        self.memory.running = Some((attempt, lease, around.time()));
        self.save(bench);
    }

    /// Tells the attempt that runs what happened.
    fn happened(&mut self, event: Event, bench: &mut Bench<'_>, around: &mut Around) {
        let Doing::Attempt(running) = &mut self.doing else { return };
        let steps = running.brain.apply(around.time(), event);
        self.perform(steps, bench, around);
        self.ask_for_tick(bench, around);
    }

    fn ask_for_tick(&mut self, bench: &Bench<'_>, around: &mut Around) {
        let now_ms = around.time().as_unix_ms();
        let Doing::Attempt(running) = &mut self.doing else { return };
        let at = running.brain.wake_at().as_unix_ms();
        let span = u64::try_from(at - now_ms).unwrap_or(0);
        let tick_at = around.now_ms + span;
        if running.tick_at != Some(tick_at) {
            running.tick_at = Some(tick_at);
            let tick = Inside::Tick(self.memory.udid(), tick_at);
            around.after(span, Happening::Inside(bench.rack, bench.life, tick));
        }
    }

    /// The time that an attempt wanted to be told of has come.
    pub fn tick(&mut self, at_ms: u64, bench: &mut Bench<'_>, around: &mut Around) {
        let Doing::Attempt(running) = &mut self.doing else { return };
        if running.tick_at == Some(at_ms) {
            running.tick_at = None;
            self.happened(Event::Tick, bench, around);
        }
        self.decide(bench, around);
    }

    fn perform(&mut self, steps: Vec<Step>, bench: &mut Bench<'_>, around: &mut Around) {
        for step in steps {
            match step {
                Step::Finish(finished) => return self.finish(*finished, bench, around),
                Step::Rest => {
                    if let Doing::Attempt(running) = &mut self.doing {
                        running.under_way = None;
                    }
                }
                step => self.prepare(&step, bench, around),
            }
        }
    }

    fn prepare(&mut self, step: &Step, bench: &mut Bench<'_>, around: &mut Around) {
        self.token += 1;
        let token = self.token;
        let Doing::Attempt(running) = &mut self.doing else { return };
        running.under_way = Some(token);
        let on_phone = !matches!(step, Step::Fetch | Step::Store { .. });
        let (lease, attempt, build) = (running.lease, running.attempt, running.build.clone());
        if *step == Step::Install {
            self.memory.installed = None;
        }
        let here = self.is_plugged && around.phones[self.memory.phone].rack == Some(bench.rack);
        let (after_ms, event) = if on_phone && !here {
            let reason = "the phone is not on the bus".to_owned();
            let failure = Failure { blame: Blame::Phone, kind: FailureKind::Other, reason };
            (0, Some(Event::Failed(failure)))
        } else {
            if on_phone {
                obeys(lease, attempt, self.memory.phone, around);
            }
            let outcome = around.phones[self.memory.phone].perform(&mut around.chance, step, &build);
            (outcome.after_ms, outcome.event)
        };
        if let Step::Store { file, origin } = step {
            let taken = OutboxItem::CrashTaken { origin: origin.clone() };
            bench.outbox.append(bench.rack, taken, Some(file.clone()));
            send_bytes(bench, around);
        }
        if let Step::Delete { file, .. } = step {
            self.memory.confirmed.retain(|(known, _)| known != file);
        }
        let Some(event) = event else { return };
        let done = Inside::Done(self.memory.udid(), token, Box::new(event));
        around.after(after_ms, Happening::Inside(bench.rack, bench.life, done));
    }

    /// An operation is done.
    pub fn done(&mut self, token: u64, event: Event, bench: &mut Bench<'_>, around: &mut Around) {
        let Doing::Attempt(running) = &mut self.doing else { return };
        if running.under_way != Some(token) {
            return;
        }
        running.under_way = None;
        match &event {
            Event::Installed => self.memory.installed = Some(running.build.hash),
            Event::Launched { pid, .. } => {
                let (attempt, build, pid) = (running.attempt, running.build.clone(), *pid);
                self.note_launch(attempt, &build, pid);
                self.save(bench);
            }
            Event::Checked(facts) => self.memory.facts = Some((**facts).clone()),
            _ => {}
        }
        self.happened(event, bench, around);
        self.decide(bench, around);
    }

    fn note_launch(&mut self, attempt: AttemptId, build: &BuildIdentity, pid: u32) {
        if self.memory.last.as_ref().is_none_or(|last| last.attempt != attempt) {
            self.memory.last = Some(Launched {
                attempt,
                bundle_id: build.bundle_id.clone(),
                executable: build.executable.clone(),
                uuids: BTreeSet::new(),
                pids: BTreeSet::new(),
                unnamed: 0,
                // Simulated reports tell no time, so that none is looked at.
                started_at: Time::default(),
                ended_at: None,
                clock_offset_ms: None,
                cases: Vec::new(),
            });
        }
        if let Some(last) = &mut self.memory.last {
            last.pids.insert(pid);
        }
    }

    fn finish(&mut self, finished: Finished, bench: &mut Bench<'_>, around: &mut Around) {
        let Finished { report, phone, launched } = finished;
        self.memory.last = Some(launched);
        if phone == PhoneLeft::Clean {
            self.memory.is_dirty = false;
        } else if self.is_plugged {
            self.set(Readiness::Preparing, "it has yet to be cleaned", around);
        }
        self.hand_in(report, bench, around);
    }

    fn end_without_running(&mut self, end: AttemptEnd, bench: &mut Bench<'_>, around: &mut Around) {
        let Some((attempt, lease, started_at)) = self.memory.running else { return };
        let report = AttemptReport {
            attempt,
            phone: self.memory.udid(),
            lease,
            end,
            cases: Vec::new(),
            crashes: Vec::new(),
            started_at,
            ended_at: around.time(),
        };
        self.hand_in(report, bench, around);
    }

    fn hand_in(&mut self, report: AttemptReport, bench: &mut Bench<'_>, around: &mut Around) {
        let span = around.chance.between(1, 30);
        self.doing = Doing::HandingIn(self.wait(span, bench, around), Box::new(report));
    }

    fn handed_in(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        let Doing::HandingIn(_, report) = std::mem::replace(&mut self.doing, Doing::Deciding) else { return };
        around.tell(|| format!("phone {} reports {} {:?}", self.memory.phone, report.attempt, report.end));
        let left = self.left_by(&report.end);
        bench.outbox.append(bench.rack, OutboxItem::AttemptEnded { report: *report }, None);
        self.memory.running = None;
        self.wanted.attempt_over(self.memory.lease, left);
        self.due_ms = around.now_ms;
        self.tell_report(bench);
        if self.wanted.is_waiting() {
            return;
        }
        self.tell_lease();
        let span = around.chance.between(1, 30);
        self.doing = Doing::Noting(self.wait(span, bench, around));
    }

    fn left_by(&self, end: &AttemptEnd) -> Left {
        let is_trouble = match end {
            AttemptEnd::Failed { blame, .. } => *blame != Blame::Job,
            AttemptEnd::Passed | AttemptEnd::Revoked | AttemptEnd::Yielded { .. } => false,
        };
        if self.is_plugged && !self.memory.is_dirty && !is_trouble { Left::Fit } else { Left::Unfit }
    }

    // ---- between attempts ----

    fn recover(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        if self.is_plugged {
            self.set(Readiness::Preparing, "it is cleaned after an attempt that was cut off", around);
        }
        self.tell_report(bench);
        self.tell_lease();
        if self.is_plugged {
            return self.sweep(around, bench);
        }
        self.doing = Doing::AwaitingPhone(self.wait(10_000, bench, around));
    }

    fn sweep(&mut self, around: &mut Around, bench: &mut Bench<'_>) {
        let span = around.chance.between(200, 2_000);
        self.doing = Doing::Sweeping(self.wait(span, bench, around));
    }

    fn recovered(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        self.doing = Doing::Deciding;
        let Some((attempt, lease, _)) = self.memory.running else { return };
        if bench.outbox.has_report(attempt, lease) {
            self.memory.running = None;
            self.wanted.attempt_over(self.memory.lease, Left::Unfit);
            self.save(bench);
            return self.tell_lease();
        }
        let reason = "the agent was restarted in the middle".to_owned();
        let end = AttemptEnd::Failed { blame: Blame::Rack, step: StepName::Clean, reason };
        self.end_without_running(end, bench, around);
    }

    /// Cleans the phone and takes its crash files.
    fn swept(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        let phone = self.memory.phone;
        if around.phones[phone].rack != Some(bench.rack) {
            return;
        }
        self.memory.is_dirty = false;
        let listed = around.phones[phone].files().to_vec();
        let mut taken = self.memory.taken();
        taken.extend(bench.outbox.pending(&self.memory.udid()));
        for step in plan::sweep(&listed, &taken) {
            match step {
                SweepStep::Delete(file) => {
                    around.phones[phone].delete(&file);
                    self.memory.confirmed.retain(|(known, _)| *known != file);
                }
                SweepStep::Take(file) => {
                    let mut bytes = [0; 32];
                    bytes[..8].copy_from_slice(&file.size_bytes.to_le_bytes());
                    bytes[8] = u8::try_from(phone).unwrap_or(u8::MAX);
                    let origin = CrashOrigin {
                        id: CrashId::new(bytes),
                        phone: self.memory.udid(),
                        rack: rack_id(bench.rack),
                        path: file.path.clone(),
                        size_bytes: file.size_bytes,
                        collected_at: around.time(),
                        attempt: None,
                        case: None,
                    };
                    bench.outbox.append(bench.rack, OutboxItem::CrashTaken { origin }, Some(file));
                    send_bytes(bench, around);
                }
            }
        }
        self.memory.confirmed.retain(|(known, _)| listed.contains(known));
        self.save(bench);
    }

    fn looked(&mut self, bench: &mut Bench<'_>, around: &mut Around) {
        self.doing = Doing::Deciding;
        if around.phones[self.memory.phone].rack != Some(bench.rack) {
            return;
        }
        self.swept(bench, around);
        let facts = around.phones[self.memory.phone].facts();
        let (readiness, reason) = judge(&facts, &Thresholds::default(), &self.readiness);
        let is_fit = readiness == Readiness::Ready;
        self.due_ms = around.now_ms + if is_fit { FACTS_EVERY_MS } else { RETRY_EVERY_MS };
        self.memory.facts = Some(facts);
        self.save(bench);
        self.set(readiness, &reason, around);
        self.tell_report(bench);
    }

    // ---- hearing and telling ----

    fn hear(&mut self, message: Message, bench: &mut Bench<'_>, around: &mut Around) -> Vec<Event> {
        match message {
            Message::Attached => {
                let was_here = std::mem::replace(&mut self.is_plugged, true);
                self.due_ms = around.now_ms;
                if was_here {
                    return vec![Event::PhoneLost, Event::PhoneReturned];
                }
                self.set(Readiness::Preparing, "its facts are read", around);
                vec![Event::PhoneReturned]
            }
            Message::Detached => {
                self.is_plugged = false;
                self.set(Readiness::Offline, "it is not on the bus", around);
                self.tell_report(bench);
                vec![Event::PhoneLost]
            }
            Message::Order(order) => {
                let running = self.memory.held().map(|held| held.lease);
                let event = self.wanted.take(order, &mut self.memory.lease, running);
                if !self.wanted.is_waiting() {
                    self.tell_lease();
                }
                event.into_iter().collect()
            }
            Message::Confirmed(settled) => {
                for one in &settled {
                    if !self.memory.confirmed.iter().any(|(file, _)| *file == one.file) {
                        self.memory.confirmed.push((one.file.clone(), one.crash));
                    }
                }
                self.save(bench);
                let ids: Vec<_> = settled.iter().map(|one| one.id.clone()).collect();
                bench.outbox.forget(&ids);
                self.due_ms = around.now_ms;
                vec![Event::Confirmed(settled.iter().map(|one| one.crash).collect())]
            }
        }
    }

    fn set(&mut self, readiness: Readiness, reason: &str, around: &Around) {
        if self.readiness != readiness {
            self.since = around.time();
        }
        self.readiness = readiness;
        reason.clone_into(&mut self.reason);
    }

    fn save(&self, bench: &mut Bench<'_>) {
        *bench.disk = Some(self.memory.clone());
    }

    fn tell_lease(&mut self) {
        self.lease = self.lease.max(self.memory.lease);
        self.held = self.memory.held().map(|held| self.wanted.told_of(held));
        let obeyed = self.lease;
        self.ordered.take_if(|ordered| ordered.lease <= obeyed);
    }

    fn tell_report(&mut self, bench: &mut Bench<'_>) {
        let Some(facts) = self.memory.facts.clone() else { return };
        let report = PhoneReport {
            facts,
            readiness: self.readiness.clone(),
            reason: self.reason.clone(),
            since: self.since,
        };
        if self.report.as_ref().is_none_or(|(_, told)| *told != report) {
            *bench.version = Version(bench.version.0 + 1);
            self.report = Some((*bench.version, report));
        }
    }
}

/// Law: nothing is done to a phone under a lease older than one under which something was done before, nor by two
/// attempts under one.
fn obeys(lease: LeaseNumber, attempt: AttemptId, phone: usize, around: &mut Around) {
    let (served, by) = around.phones[phone].served;
    let elsewhere = around
        .phones
        .iter()
        .find(|other| other.number != phone && other.served.1 == Some(attempt))
        .map(|other| other.number);
    if let Some(other) = elsewhere {
        around.breaks(Broken {
            law: "no_attempt_works_on_two_phones",
            seen: format!("{attempt} works on phone {phone}, and did on phone {other}"),
        });
    }
    let is_good = lease > served || (lease == served && by.is_none_or(|by| by == attempt));
    if !is_good {
        around.breaks(Broken {
            law: "no_older_lease_is_obeyed",
            seen: format!("phone {phone} serves {attempt} under lease {lease} after {by:?} under {served}"),
        });
    }
    around.phones[phone].served = (lease, Some(attempt));
}

fn send_bytes(bench: &Bench<'_>, around: &mut Around) {
    let span = around.chance.between(20, 4_000);
    around.after(span, Happening::Inside(bench.rack, bench.life, Inside::Uploaded));
}
