//! What is under way between agents and the daemon.

use holdfast_wire::id::{AttemptId, LeaseNumber};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::sync::PhoneOrder;

/// A report in an outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name, unlike any other of this rack.
    pub number: u32,
    /// The phone, by number.
    pub phone: usize,
    /// Whose report.
    pub attempt: AttemptId,
    /// Under which lease.
    pub lease: LeaseNumber,
    /// How it ended.
    pub end: AttemptEnd,
}

/// A request of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The rack, by number.
    pub rack: usize,
    /// Which start of the agent.
    pub start: u32,
    /// Which request of this start.
    pub number: u32,
    /// Phones that it knows, and whether each is there.
    pub phones: Vec<(usize, bool)>,
    /// What it holds, and what it will not begin behind that.
    pub held: Vec<(usize, LeaseNumber, AttemptId, Option<LeaseNumber>)>,
    /// Phones on which nothing runs and of which nothing is left to report, with the last lease that each obeyed.
    pub idle: Vec<(usize, LeaseNumber)>,
    /// What waits in its outbox.
    pub entries: Vec<Entry>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Whose.
    pub rack: usize,
    /// Which start of the agent asked.
    pub start: u32,
    /// Which request it answers.
    pub number: u32,
    /// What the rack's phones have to do.
    pub orders: Vec<PhoneOrder>,
    /// Entries that are on the daemon's disk.
    pub confirmed: Vec<u32>,
}
