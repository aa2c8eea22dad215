//! The system log of one phone, and the two services that send it to clients.

mod bus;

use crate::service::Service;

pub use bus::LogBus;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[];
