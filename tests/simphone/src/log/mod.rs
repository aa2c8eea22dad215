//! The system log of one phone, and the two services that send it to clients.

mod bus;
mod os_trace;
mod syslog;

use crate::service::{EVERY_IOS, Service};

pub use bus::{LINES_KEPT, Level, LogBus, LogLine};
pub use os_trace::record;
pub use syslog::line;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[
    Service {
        name: "com.apple.syslog_relay",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(syslog::serve(stream, phone)),
    },
    Service {
        name: "com.apple.os_trace_relay",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(os_trace::serve(stream, phone)),
    },
];
