//! The list of every service a phone can start by name. The services themselves are in their own modules.

use crate::service::Service;
use crate::{afc, install, instruments, log, services};

/// Every module's services. A module adds a row to its own `SERVICES`, not here.
pub const TABLE: &[&[Service]] =
    &[afc::SERVICES, install::SERVICES, instruments::SERVICES, log::SERVICES, services::SERVICES];

/// The service of this name on a phone with this major version of iOS; `None` is lockdown's `InvalidService`.
#[must_use]
pub fn find(name: &str, ios_major: u16) -> Option<&'static Service> {
    TABLE
        .iter()
        .flat_map(|services| services.iter())
        .find(|service| service.name == name && service.ios.contains(&ios_major))
}
