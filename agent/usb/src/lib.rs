//! Real phones over usbmuxd and USB: the one crate that names `idevice` and `rusb`. It reports what a phone does and
//! never decides what follows from it: retries are the business of those above.
//!
//! | module | holds |
//! |---|---|
//! | [`finder`] | which phones are on the bus |
//! | [`phone`] | the operations of a phone, each behind its deadline |
//! | [`settings`] | what an operator may set, and every deadline with its reason |
//! | [`address`] | where usbmuxd serves |
//! | `muxer`, `lockdown`, `pairing` | the way to a phone and its trust |
//! | `talk`, `afc`, `dtx`, `archive` | what is spoken on a connection |
//! | `facts`, `battery`, `models`, `slots` | what a phone is |
//! | `apps`, `upload`, `install`, `instruments`, `crashes`, `log` | what can be done to it and heard of it |
//! | `guard`, `error` | deadlines, panics, and what an error means |

pub mod address;
pub mod finder;
pub mod phone;
pub mod settings;

mod afc;
mod apps;
mod archive;
mod battery;
mod crashes;
mod dtx;
mod error;
mod facts;
mod guard;
mod install;
mod instruments;
mod lockdown;
mod log;
mod models;
mod muxer;
mod pairing;
mod slots;
mod talk;
mod upload;

pub use address::{MuxerAddress, MuxerAddressError};
pub use finder::UsbFinder;
pub use phone::UsbPhone;
pub use settings::{Deadlines, UsbSettings};
