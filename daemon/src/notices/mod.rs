//! Telling people about crashes, and about phones that lose them. Who is told what is `daemon/notify`'s; here are the facts that it decides by, the
//! records, and the task that carries messages out. The loop owns the queue: what is to be told is recorded in the
//! transaction of its crash.

mod ask;
mod desk;
mod event;
mod post;
mod trouble;

pub use ask::NoticeAsk;
pub(crate) use desk::{Desk, NOTICE, SENDS, TICKET};
pub(crate) use event::event;
pub use event::first_bad;
pub use post::{Environment, Post, carry};
pub(crate) use trouble::troubles;
