//! The front door of a phone, port 62078: values, pairing, sessions, starting services.

mod keys;
mod pairings;
mod ports;
mod server;
mod tls;
mod values;

pub use keys::{FIRST_HOST_ID, Keys, KeysError, SYSTEM_BUID};
pub use pairings::{Pairing, Pairings};
pub use ports::{Door, LOCKDOWN_PORT, Ports};
pub use values::SetValues;

/// What lockdownd of one phone remembers.
#[derive(Debug, Default)]
pub struct Lockdown {
    /// Which computers it trusts.
    pub pairings: Pairings,
    /// What listens on its ports.
    pub ports: Ports,
    /// What clients have set.
    pub set_values: SetValues,
}
