//! The whole farm in one thread and virtual time, from one seed: both brains as they are, the bodies around them as
//! machines of states, pretend phones, a network that delays, drops, repeats and cuts, a disk that loses what was not
//! committed, a clock that jumps. The laws in [`laws`] hold after every event; when faults stop, everything finishes.
//!
//! | module | holds |
//! |---|---|
//! | [`scenario`], [`policies`], [`nouns`], [`chance`] | what a seed means |
//! | [`world`], [`agenda`] | virtual time, and what happens in it |
//! | [`daemon`] | the daemon's body and disk |
//! | [`agent`], [`seat`], [`outbox`] | the agent's body and disk |
//! | [`phone`] | pretend phones |
//! | [`book`], [`fit`], [`laws`] | what must hold, and what it is held against |
//! | [`run`], [`words`] | seeds, small failures, stories |
//! | [`foretold`] | whether expected starts are honest |
//!
//! Speed is not measured here (`tests/bench`), nor are sockets, files and threads tested (`tests/system`).
// The unit tests of the agent's sources need the agent around them, and run there.
#![cfg(not(test))]

pub mod agenda;
pub mod agent;
pub mod book;
pub mod broken;
pub mod chance;
pub mod daemon;
pub mod fit;
pub mod foretold;
pub mod laws;
pub mod nouns;
pub mod outbox;
pub mod phone;
pub mod policies;
pub mod run;
pub mod scenario;
pub mod seat;
pub mod words;
pub mod world;

// The agent's own rules, from its sources: which lease is next, and what a request says.
#[path = "../../../agent/src/link/talk.rs"]
pub mod talk;
#[path = "../../../agent/src/phone/wanted.rs"]
#[expect(dead_code, reason = "nothing is fetched ahead here")]
mod wanted;
