//! What a phone can tell us, what it can be asked to do, and how it can fail. No implementation lives here:
//! the real phone is `agent/usb`, a pretend one behind the same trait serves simulations.
//!
//! | module | holds |
//! |---|---|
//! | [`phone`] | the [`Phone`] trait |
//! | [`finder`] | the [`Finder`] trait: which phones are on the bus |
//! | [`fault`] | how an operation fails, and whom that blames |

pub mod fault;
pub mod finder;
pub mod phone;

pub use fault::{Fault, FaultKind};
pub use finder::{Attachment, Finder, FinderEvent};
pub use phone::{AppProcess, AskForTrust, InstallProgress, InstallSource, Launch, Phone, Watched};
