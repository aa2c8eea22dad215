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
//! | `queue` | which job goes first |
//! | `fleet` | which phones are there and what they can take |
//! | `matching` | which job goes to which phone |
//! | `lease` | giving a phone to an attempt, and taking it back |
//! | `retry` | what follows from a failure |
//! | `explain` | why a job waits |

pub mod decision;
pub mod event;
pub mod policy;
pub mod record;

mod explain;
mod fleet;
mod lease;
mod matching;
mod queue;
mod retry;
mod scheduler;

pub use decision::Decision;
pub use event::Event;
pub use fleet::{PhoneStatus, RackStatus};
pub use policy::Policy;
pub use record::{AttemptRecord, JobRecord, PhoneRecord, Record};
pub use retry::ATTEMPTS_MAX;
pub use scheduler::{RestoreError, Scheduler};
