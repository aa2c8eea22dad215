//! Small services: diagnostics, notifications, heartbeat, screenshots, images, springboard, profiles.

use crate::service::Service;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[];
