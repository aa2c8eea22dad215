//! The front door of a phone, port 62078: values, pairing, sessions, starting services.

use crate::service::Service;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[];
