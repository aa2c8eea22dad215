//! Installed apps, and the services that install, list and remove them.

mod apps;

use crate::service::Service;

pub use apps::Apps;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[];
