//! The daemon's brain: who runs what, where, and why not yet.
//!
//! Events go in, decisions come out; no clock, no randomness, no I/O. The daemon records the decisions, then
//! carries them out. Storing and telling is not here (`daemon/store`, `daemon/src`).
//!
//! | module | decides |
//! |---|---|
//! | [`event`], [`decision`] | the two ends: facts in, orders out |
//! | [`policy`] | what an operator may choose |
//! | [`record`] | what must outlive the process |
//! | `scheduler`, `events`, `restore` | the one way in: what each event does, and how a brain is made from records |
//! | `place`, `shares` | which job goes first, and whose turn it is |
//! | `lanes`, `waiting` | jobs that wait, by what they want |
//! | `kinds`, `seats`, `fleet`, `claims` | phones, by what they are, and which rack has each |
//! | `matching`, `compare`, `gang` | which job goes to which phone |
//! | `preempt` | which phone is taken from lesser work |
//! | `ahead`, `withdraw`, `handover` | which job a phone goes on with when it is soon to be free, and whether it did |
//! | `lease` | giving a phone to an attempt, and taking it back |
//! | `retry` | what follows from the end of an attempt |
//! | `rules`, `timers` | what time and other rules change |
//! | `explain`, `reasons` | why a job waits |
//! | `eta`, `plan`, `pace` | when it will start, what would happen, how long attempts take |
//! | `bits`, `table` | small sets, and jobs by number |
//!
//! Work is proportional to what changes, to lanes (jobs that want the same) and to kinds (phones that are the same as
//! far as anyone asks), never to all jobs or all phones.

pub mod decision;
pub mod event;
pub mod policy;
pub mod record;

mod ahead;
mod bits;
mod claims;
mod compare;
mod eta;
mod events;
mod explain;
mod fleet;
mod gang;
mod handover;
mod hope;
mod kinds;
mod lanes;
mod lease;
mod matching;
mod pace;
mod parts;
mod place;
mod plan;
mod preempt;
mod reasons;
mod restore;
mod retry;
mod rules;
mod scheduler;
mod seats;
mod shares;
mod table;
mod timers;
mod waiting;
mod withdraw;

pub use decision::Decision;
pub use event::Event;
pub use fleet::{PhoneStatus, RackStatus};
pub use place::Place;
pub use plan::OwnerUsage;
pub use policy::Policy;
pub use record::{AttemptRecord, CompareRecord, JobRecord, OwnerRecord, PhoneRecord, Record};
pub use restore::RestoreError;
pub use retry::ATTEMPTS_MAX;
pub use scheduler::Scheduler;
