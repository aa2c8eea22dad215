//! What is still to happen, in the order of virtual time, and what all parts of the farm share: chance, phones, network.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use holdfast_wire::id::Udid;
use holdfast_wire::sync::{SyncReply, SyncRequest};
use holdfast_wire::time::Time;

use crate::broken::Broken;
use crate::chance::Chance;
use crate::daemon::Connection;
use crate::nouns::BEGINNING_MS;
use crate::phone::PretendPhone;
use crate::scenario::Network;
use crate::seat::Message;

/// Something that is still to happen.
#[derive(Debug)]
pub enum Happening {
    /// A stroke of the scenario, by number.
    Stroke(usize),
    /// The daemon looks whether there is something to do.
    Turn(u64),
    /// What one life of the daemon was writing is on disk.
    Committed(u64),
    /// The brain of one life may want to be woken.
    Wake(u64),
    /// Answers of one life that were held back for long enough.
    Impatience(u64),
    /// The daemon comes back.
    DaemonStarts,
    /// A client sends its wish again when it has heard nothing.
    Resubmit(usize),
    /// A request reaches the daemon.
    Request(Connection, Box<SyncRequest>),
    /// An answer reaches its agent; none: the connection broke.
    Answer(Connection, Option<Box<SyncReply>>),
    /// An agent comes back.
    AgentStarts(usize),
    /// A phone is plugged in: its number, its rack, and which time it is.
    Plugged(usize, usize, u64),
    /// Something inside one life of an agent.
    Inside(usize, u64, Inside),
}

/// Something inside an agent. Tokens tell what is still waited for from what was dropped.
#[derive(Debug)]
pub enum Inside {
    /// A message reaches a phone's task.
    Mail(Udid, Box<Message>),
    /// An operation on a phone is done.
    Done(Udid, u64, Box<holdfast_attempt::Event>),
    /// A wait of a phone's task is over.
    Over(Udid, u64),
    /// An attempt wants to be told the time.
    Tick(Udid, u64),
    /// The link may speak.
    Speak,
    /// A request has waited too long, by its number.
    TimedOut(u64),
    /// The link has paused long enough.
    Paused(u64),
    /// Bytes of crash files are with the daemon.
    Uploaded,
}

#[derive(Debug)]
struct Entry {
    at_ms: u64,
    number: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // A heap gives the greatest first, and what comes soonest is wanted.
        (other.at_ms, other.number).cmp(&(self.at_ms, self.number))
    }
}

/// What all parts of the farm share.
#[derive(Debug)]
pub struct Around {
    /// True time, milliseconds after the beginning.
    pub now_ms: u64,
    /// Chance on the way.
    pub chance: Chance,
    /// Every phone.
    pub phones: Vec<PretendPhone>,
    /// How messages travel.
    pub network: Network,
    /// The first law that was seen to be broken outside of the daemon.
    pub broken: Option<Broken>,
    /// What happened, line by line; none unless somebody wants to read it.
    pub story: Option<Vec<String>>,
    agenda: BinaryHeap<Entry>,
    number: u64,
}

impl Around {
    /// At the beginning.
    pub fn new(seed: u64, phones: Vec<PretendPhone>, story: Option<Vec<String>>) -> Self {
        Self {
            now_ms: 0,
            chance: Chance::new(seed ^ 0x00c0_ffee),
            phones,
            network: Network::GOOD,
            broken: None,
            story,
            agenda: BinaryHeap::new(),
            number: 0,
        }
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, span_ms: u64, what: Happening) {
        self.number += 1;
        let at_ms = self.now_ms.saturating_add(span_ms);
        self.agenda.push(Entry { at_ms, number: self.number, what });
    }

    /// The next thing to happen, before a moment; time moves on to it.
    pub fn next(&mut self, before_ms: u64) -> Option<Happening> {
        if self.agenda.peek().is_none_or(|entry| entry.at_ms > before_ms) {
            return None;
        }
        let entry = self.agenda.pop()?;
        self.now_ms = entry.at_ms;
        Some(entry.what)
    }

    /// True time, as a good clock shows it.
    pub fn time(&self) -> Time {
        Time::from_unix_ms(BEGINNING_MS + i64::try_from(self.now_ms).unwrap_or(i64::MAX))
    }

    /// Notes a line of the story.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let seconds = self.now_ms / 1_000;
            story.push(format!("{:>6}.{:03} {}", seconds, self.now_ms % 1_000, line()));
        }
    }

    /// Notes that a law is broken; the first one counts.
    pub fn breaks(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }
}
