//! The file service: media folder, crash folder, app containers.

use crate::service::Service;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[];
