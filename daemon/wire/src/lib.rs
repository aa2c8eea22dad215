//! Ids, nouns and messages that cross a process boundary, and nothing else.
//!
//! The contract lives with the server, because the server must honour every older client. What a brain
//! remembers is not here: the scheduler and the attempt keep their own private state.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | one type per kind of thing |
//! | [`time`] | instants in milliseconds, RFC 3339 on the wire |
//! | [`build`], [`case`], [`job`], [`phone`], [`crash`], [`group`] | the nouns of the farm |
//! | [`requirement`] | which phones will do for a job |
//! | [`outcome`] | how an attempt ends and whom to blame |
//! | [`notice`] | what people are told about crashes |
//! | [`sync`] | what an agent and the daemon say to each other |
//! | [`api`] | what people and programs read from the daemon |
//! | [`views`] | what operators read and change beside jobs and phones |

pub mod api;
pub mod build;
pub mod case;
pub mod crash;
pub mod group;
pub mod id;
pub mod job;
pub mod notice;
pub mod outcome;
pub mod phone;
pub mod requirement;
#[cfg(feature = "schema")]
mod schema;
pub mod sync;
pub mod time;
pub mod views;
