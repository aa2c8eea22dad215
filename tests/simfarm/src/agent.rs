//! An agent: its phones' tasks, and its talk with the daemon. The rules are those of `agent/src/rack.rs` (who holds what) and
//! `agent/src/link.rs` (one request at a time, dropped for news unless it carries some, pauses after failures); what a
//! request says is the agent's own `link/talk.rs`. Memory and outbox are its disk and survive it.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_wire::id::{RackId, Udid};
use holdfast_wire::sync::{HeldLease, IdlePhone, Order, SyncReply, SyncRequest, Version};

use crate::agenda::{Around, Happening, Inside};
use crate::daemon::Connection;
use crate::nouns::{name, rack_id};
use crate::outbox::Outbox;
use crate::seat::{Bench, Memory, Message, Seat};
use crate::talk::{self, Talk, Voice};

/// How long the daemon may hold an answer back.
const POLL: Duration = Duration::from_secs(50);

/// How long an answer is waited for on top of that.
const PATIENCE_MS: u64 = 10_000;

/// The first pause after a failure; it doubles.
const PAUSE_MIN_MS: u64 = 250;

/// The longest pause.
const PAUSE_MAX_MS: u64 = 10_000;

/// How long a message takes inside the agent.
const INSIDE_MS: u64 = 1;

/// One rack's agent, running or not.
#[derive(Debug)]
pub struct Agent {
    /// Its number.
    pub rack: usize,
    /// Its name.
    pub id: RackId,
    /// Counts its starts.
    pub life: u64,
    /// Whether it runs.
    pub is_alive: bool,
    /// What waits on its disk.
    pub outbox: Outbox,
    /// Until when nothing passes between it and the daemon.
    pub cut_until_ms: u64,
    memories: BTreeMap<Udid, Option<Memory>>,
    seats: BTreeMap<Udid, Seat>,
    talk: Talk,
    version: Version,
    link: Link,
    pause_ms: u64,
    requests: u64,
}

#[derive(Debug)]
enum Link {
    /// It may speak in a moment.
    Quiet,
    /// A request is under way.
    Asking { number: u64, request: Box<SyncRequest>, is_news: bool },
    /// It waits after a failure.
    Pausing(u64),
}

impl Agent {
    /// An agent that has never run.
    pub fn new(rack: usize) -> Self {
        Self {
            rack,
            id: rack_id(rack),
            life: 0,
            is_alive: false,
            outbox: Outbox::default(),
            cut_until_ms: 0,
            memories: BTreeMap::new(),
            seats: BTreeMap::new(),
            talk: Talk::new(rack_id(rack), name("never")),
            version: Version::default(),
            link: Link::Quiet,
            pause_ms: 0,
            requests: 0,
        }
    }

    /// It starts, with what is on its disk.
    pub fn start(&mut self, around: &mut Around) {
        self.life += 1;
        self.is_alive = true;
        self.outbox.open();
        self.talk = Talk::new(self.id.clone(), name(&format!("agent-{}-{}", self.rack, self.life)));
        (self.version, self.link, self.pause_ms) = (Version::default(), Link::Quiet, 0);
        self.seats.clear();
        let now = around.time();
        let known: Vec<(Udid, Memory)> =
            self.memories.iter().filter_map(|(udid, memory)| Some((udid.clone(), memory.clone()?))).collect();
        for (udid, memory) in known {
            self.seats.insert(udid.clone(), Seat::new(memory, now));
            self.with(&udid, around, |seat, bench, around| seat.begin(bench, around));
        }
        let here: Vec<usize> = around
            .phones
            .iter()
            .filter(|phone| phone.rack == Some(self.rack))
            .map(|phone| phone.number)
            .collect();
        for phone in here {
            self.attached(phone, around);
        }
        if self.outbox.has_bytes() {
            around.after(500, Happening::Inside(self.rack, self.life, Inside::Uploaded));
        }
        self.poke(around);
    }

    /// It dies: what is not on its disk is lost.
    pub fn die(&mut self) {
        self.is_alive = false;
        self.seats.clear();
    }

    /// Whether nothing runs on its phones and nothing waits.
    pub fn rests(&self) -> bool {
        self.is_alive && self.outbox.is_empty() && self.seats.values().all(Seat::rests)
    }

    fn with(
        &mut self,
        udid: &Udid,
        around: &mut Around,
        act: impl FnOnce(&mut Seat, &mut Bench<'_>, &mut Around),
    ) {
        let Some(seat) = self.seats.get_mut(udid) else { return };
        let disk = self.memories.entry(udid.clone()).or_default();
        let mut bench = Bench {
            rack: self.rack,
            life: self.life,
            outbox: &mut self.outbox,
            version: &mut self.version,
            disk,
        };
        act(seat, &mut bench, around);
    }

    fn ensure(&mut self, phone: usize, around: &mut Around) -> Udid {
        let udid = crate::nouns::udid(phone);
        if !self.seats.contains_key(&udid) {
            self.seats.insert(udid.clone(), Seat::new(Memory::new(phone), around.time()));
            self.with(&udid, around, |seat, bench, around| seat.begin(bench, around));
        }
        udid
    }

    /// A phone is on its bus.
    pub fn attached(&mut self, phone: usize, around: &mut Around) {
        let udid = self.ensure(phone, around);
        self.post(&udid, Message::Attached, around);
    }

    /// A phone has left its bus.
    pub fn detached(&mut self, phone: usize, around: &mut Around) {
        let udid = self.ensure(phone, around);
        self.post(&udid, Message::Detached, around);
    }

    fn post(&mut self, udid: &Udid, message: Message, around: &mut Around) {
        let mail = Inside::Mail(udid.clone(), Box::new(message));
        around.after(INSIDE_MS, Happening::Inside(self.rack, self.life, mail));
    }

    /// Something happens inside.
    pub fn inside(&mut self, what: Inside, around: &mut Around) {
        match what {
            Inside::Mail(udid, message) => {
                self.with(&udid, around, |seat, bench, around| seat.mail(*message, bench, around));
            }
            Inside::Done(udid, token, event) => {
                self.with(&udid, around, |seat, bench, around| seat.done(token, *event, bench, around));
            }
            Inside::Over(udid, token) => {
                self.with(&udid, around, |seat, bench, around| seat.over(token, bench, around));
            }
            Inside::Tick(udid, at_ms) => {
                self.with(&udid, around, |seat, bench, around| seat.tick(at_ms, bench, around));
            }
            Inside::Speak => self.speak(around),
            Inside::TimedOut(number) => self.failed(number, around),
            Inside::Paused(number) => {
                if matches!(self.link, Link::Pausing(waits) if waits == number) {
                    self.link = Link::Quiet;
                    self.speak(around);
                }
            }
            Inside::Uploaded => {
                if around.now_ms < self.cut_until_ms {
                    around.after(5_000, Happening::Inside(self.rack, self.life, Inside::Uploaded));
                } else {
                    self.outbox.uploaded();
                }
            }
        }
        self.poke(around);
    }

    // ---- the link ----

    fn voice(&self) -> Voice {
        let phones = self.seats.iter().filter_map(|(udid, seat)| Some((udid.clone(), seat.report.clone()?)));
        let held = self.seats.values().filter_map(|seat| seat.ordered.clone().or_else(|| seat.held.clone()));
        let rest = self.seats.iter().filter(|(_, seat)| seat.held.is_none() && seat.ordered.is_none());
        Voice {
            version: self.version,
            phones: phones.collect(),
            held: held.collect(),
            idle: rest.map(|(udid, seat)| IdlePhone { phone: udid.clone(), obeyed: seat.lease }).collect(),
            progress: Vec::new(),
        }
    }

    /// Something may have changed: a request without news is dropped for one that has some.
    fn poke(&mut self, around: &mut Around) {
        match &self.link {
            Link::Quiet => around.after(INSIDE_MS, Happening::Inside(self.rack, self.life, Inside::Speak)),
            Link::Asking { is_news: false, request, .. } => {
                let (voice, waiting) = (self.voice(), self.outbox.waiting());
                if self.talk.has_grave_news(&voice, &waiting) || talk::idle(&voice, &waiting) != request.idle
                {
                    self.link = Link::Quiet;
                    self.speak(around);
                }
            }
            Link::Asking { .. } | Link::Pausing(_) => {}
        }
    }

    fn speak(&mut self, around: &mut Around) {
        if !matches!(self.link, Link::Quiet) {
            return;
        }
        let (voice, waiting) = (self.voice(), self.outbox.waiting());
        let is_news = self.talk.has_news(&voice, &waiting);
        let wait = if is_news { Duration::ZERO } else { POLL };
        let request = Box::new(self.talk.request(&voice, &waiting, wait));
        self.requests += 1;
        let to = Connection { rack: self.rack, life: self.life, number: self.requests };
        let timeout = request.wait_ms + PATIENCE_MS;
        around.after(timeout, Happening::Inside(self.rack, self.life, Inside::TimedOut(self.requests)));
        let network = around.network;
        let is_cut = around.now_ms < self.cut_until_ms;
        if !is_cut && !around.chance.happens(network.drops_percent) {
            let way = around.chance.between(1, network.delay_max_ms);
            around.after(way, Happening::Request(to, request.clone()));
            if around.chance.happens(network.repeats_percent) {
                let way = around.chance.between(1, 2 * network.delay_max_ms);
                around.after(way, Happening::Request(to, request.clone()));
            }
        }
        self.link = Link::Asking { number: self.requests, request, is_news };
    }

    /// An answer has come; none: the connection broke.
    pub fn answered(&mut self, number: u64, reply: Option<SyncReply>, around: &mut Around) {
        let Some(reply) = reply else { return self.failed(number, around) };
        match &self.link {
            Link::Asking { number: asked, request, .. } if *asked == number => {
                self.talk.answered(request, &reply);
            }
            Link::Asking { .. } | Link::Quiet | Link::Pausing(_) => return,
        }
        self.pause_ms = 0;
        self.link = Link::Quiet;
        self.obey(reply, around);
        self.poke(around);
    }

    fn failed(&mut self, number: u64, around: &mut Around) {
        if !matches!(&self.link, Link::Asking { number: asked, .. } if *asked == number) {
            return;
        }
        self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_MIN_MS, PAUSE_MAX_MS);
        let span = around.chance.between(self.pause_ms, 2 * self.pause_ms);
        self.link = Link::Pausing(number);
        around.after(span, Happening::Inside(self.rack, self.life, Inside::Paused(number)));
    }

    /// Orders first, then what is confirmed.
    fn obey(&mut self, reply: SyncReply, around: &mut Around) {
        for order in reply.orders {
            let known = around.phones.iter().position(|known| known.udid() == order.phone);
            let Some(number) = known else { continue };
            let udid = self.ensure(number, around);
            let begins = match &order.order {
                Order::Rest { .. } => None,
                Order::Run { lease, work } => Some((*lease, work.attempt)),
                Order::Yield { lease, attempt, .. } => Some((*lease, *attempt)),
            };
            if let Some(seat) = self.seats.get_mut(&udid)
                && let Some((lease, attempt)) = begins.filter(|(lease, _)| *lease > seat.lease)
            {
                seat.ordered = Some(HeldLease { phone: udid.clone(), lease, attempt, withdrawn: None });
            }
            self.post(&udid, Message::Order(order), around);
        }
        if reply.confirmed.is_empty() {
            return;
        }
        let mut by_phone: BTreeMap<Udid, Vec<_>> = BTreeMap::new();
        for one in self.outbox.settle(&reply.confirmed) {
            by_phone.entry(one.phone.clone()).or_default().push(one);
        }
        for (udid, settled) in by_phone {
            self.post(&udid, Message::Confirmed(settled), around);
        }
    }
}
