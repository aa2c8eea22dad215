//! The developer services over DTX: process control, device info, sampling.

use crate::service::Service;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[];
