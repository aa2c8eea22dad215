//! What an operator wrote: who there is to tell, whom to call, who owns what, what is held back, and which way what goes.
//!
//! | module | holds |
//! |---|---|
//! | [`raw`] | `notify.yaml` as it is written, and its schema |
//! | [`check`] | raw → [`Rules`], or every mistake in it |
//! | [`model`] | the rules, checked |
//! | [`pattern`] | patterns of paths and names |
//! | [`secret`] | where secrets lie, and how they stay secret |
//!
//! Files are read elsewhere: the daemon's configuration reads the YAML and shows mistakes with their place.

pub mod check;
pub mod model;
pub mod pattern;
pub mod raw;
pub mod secret;

pub use check::Mistake;
pub use model::{
    Digest, Filter, Matcher, OwnerRule, Person, Receiver, Rules, Setup, TicketRoute, UrgentRoute,
};
pub use raw::Raw;
pub use secret::{Secret, SecretError, SecretPlace};
