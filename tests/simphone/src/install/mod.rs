//! Installed apps, and the services that install, list and remove them.

mod apps;
mod conduit;
mod installer;
mod package;
mod proxy;
mod refusal;
mod system_apps;
mod unpack;

use crate::service::{EVERY_IOS, Service};

pub use apps::{AppKind, Apps, InstalledApp};
pub(crate) use package::profile_in;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[
    Service {
        name: "com.apple.mobile.installation_proxy",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(proxy::serve(stream, phone)),
    },
    Service {
        name: "com.apple.streaming_zip_conduit",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(conduit::serve(stream, phone)),
    },
];
