//! Telling people: who hears of a crash, how each receiver wants it, and the queue in front of them.
//!
//! | module | holds |
//! |---|---|
//! | [`event`] | what happened to a crash group, as plain data |
//! | [`rules`] | what an operator wrote: receivers, people, owners, filters, routes |
//! | [`decide`] | rules, event and what was told before → send, or held back and why |
//! | [`phones`] | the same for a phone that loses crash reports |
//! | [`message`] | what is told, the same for every receiver |
//! | [`render`] | message → requests of one receiver, and what its answers mean |
//! | [`sign`], [`text`] | the signatures; measuring, cutting and escaping |
//! | [`outbox`], [`rate`] | the queue: retries, limits, digests |
//! | [`send`] | the only place with a network: carries one parcel to its receiver |
//!
//! Everything but [`send`] is a function of its arguments: no clock, no randomness, no network. Where the records are
//! kept is the daemon's business.

pub mod decide;
pub mod event;
pub mod message;
pub mod outbox;
pub mod phones;
pub mod rate;
pub mod render;
pub mod rules;
pub mod send;
pub mod sign;
pub mod text;

pub use decide::{Decision, Told, decide};
pub use event::{Change, Event};
pub use message::{Message, TicketAction};
pub use outbox::{Entry, EntryId, Next, Outbox, Outcome, Parcel};
pub use phones::{PhoneTrouble, Trouble, decide_phone};
pub use rules::{Raw, Rules};
pub use send::Sender;
