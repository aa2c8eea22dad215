//! Crash groups: which crashes are one defect, what is known of them together, what operators decide about them.
//!
//! | module | holds |
//! |---|---|
//! | [`group`] | one group: what is recorded of it, and what its crashes add up to |
//! | [`book`] | all groups: where a crash goes, what operators do, what a new version of signatures moves |
//! | [`sign`] | the signature of a crash, and the task that signs what was signed otherwise before |
//! | [`view`] | what readers are shown, and what is suggested to them |
//! | [`moves`] | which crashes count into another group than before |
//! | [`runs`] | how often builds were tested |
//! | [`order`] | the builds of a branch in the order of their commits |
//! | [`between`] | commits of which there is no build, and what keeps their order from being known |
//! | [`first_bad`] | which build brought a group |
//! | [`search`] | the idle jobs by which the farm finds out |
//!
//! Signatures themselves are `daemon/crash`'s.

mod between;
mod book;
mod first_bad;
mod group;
mod moves;
mod order;
mod runs;
mod search;
mod sign;
mod view;

pub use between::{author, brought_by};
pub use book::{Filed, GroupRefused, Groups, Known, News, Regrouped};
pub use first_bad::{Hunt, Row, row};
pub use group::{Group, GroupRecord, Stats};
pub use moves::Moves;
pub(crate) use order::Lines;
pub use runs::BuildRuns;
pub use search::{Search, Wish, search};
pub use sign::{Signed, is_current, sign, sign_anew};
pub use view::{suggestions, view};
