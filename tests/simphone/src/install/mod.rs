//! Installed apps, and the services that install, list and remove them.

mod apps;
mod system_apps;

use crate::service::Service;

pub use apps::{AppKind, Apps, InstalledApp};

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[];
