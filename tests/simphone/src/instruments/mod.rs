//! The developer services over DTX: process control, device info, sampling, notifications, screenshots.
//! DTX itself is in [`dtx`](crate::dtx). Any stream will do, so that a tunnel can bring the same services.

mod device_info;
mod graphics;
mod notifications;
mod process_control;
mod sampling;
mod screenshot;
mod sysmontap;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::archive::Object;
use crate::dtx::{Channel, Events, Served};
use crate::phone::Phone;
use crate::service::{BEFORE_IOS_17, BoxFuture, BoxStream, Service, ServiceError};

/// What the phone says it can do, with version numbers as iOS 16 gives them: every channel that [`serve`] opens.
const CAPABILITIES: &[(&str, u32)] = &[
    ("com.apple.private.DTXBlockCompression", 0),
    ("com.apple.private.DTXConnection", 1),
    (process_control::NAME, 107),
    ("com.apple.instruments.server.services.processcontrol.feature.deviceio", 103),
    (device_info::NAME, 115),
    (sysmontap::NAME, 105),
    (graphics::NAME, 1),
    (notifications::NAME, 2),
    (screenshot::NAME, 1),
];

/// By this a client asks to be told when processes end.
const TERMINATION_CALLBACK: &str =
    "com.apple.instruments.client.processcontrol.capability.terminationCallback";

/// The rows that this module adds to the [registry](crate::registry). The name changed with iOS 14; the older service
/// drops TLS after its handshake, which this simulation does not.
pub const SERVICES: &[Service] = &[
    Service { name: "com.apple.instruments.remoteserver", ios: 0..=13, start },
    Service {
        name: "com.apple.instruments.remoteserver.DVTSecureSocketProxy",
        ios: 14..=*BEFORE_IOS_17.end(),
        start,
    },
];

fn start(stream: BoxStream, phone: Arc<Phone>) -> BoxFuture<'static, Result<(), ServiceError>> {
    Box::pin(serve(stream, phone))
}

/// What a client said it can do.
#[derive(Debug, Default)]
struct Client {
    wants_ends: AtomicBool,
}

/// Serves one client until it closes the connection.
///
/// # Errors
/// [`ServiceError`] when the client breaks the protocol or the connection fails.
pub async fn serve(stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    let client = Arc::new(Client::default());
    let told = Arc::clone(&client);
    let mut client_capabilities = move |capabilities: &Object| {
        let wants = capabilities.get(TERMINATION_CALLBACK).and_then(Object::as_bool);
        told.wants_ends.store(wants == Some(true), Ordering::Relaxed);
    };
    let mut open = move |name: &str, events: Events| open_channel(name, &phone, &client, events);
    crate::dtx::serve(
        stream,
        Served { capabilities: CAPABILITIES, client_capabilities: &mut client_capabilities, open: &mut open },
    )
    .await
}

fn open_channel(
    name: &str,
    phone: &Arc<Phone>,
    client: &Arc<Client>,
    events: Events,
) -> Option<Box<dyn Channel>> {
    let phone = Arc::clone(phone);
    match name {
        process_control::NAME => {
            Some(Box::new(process_control::ProcessControl::new(phone, Arc::clone(client), events)))
        }
        device_info::NAME => Some(Box::new(device_info::DeviceInfo::new(phone))),
        sysmontap::NAME => Some(Box::new(sysmontap::Sysmontap::new(phone, events))),
        graphics::NAME => Some(Box::new(graphics::Graphics::new(phone, events))),
        notifications::NAME => Some(Box::new(notifications::Notifications::new(phone, events))),
        screenshot::NAME => Some(Box::new(screenshot::Screenshot::new(phone))),
        _ => None,
    }
}

/// What every request takes in addition when the phone is slow.
async fn latency(phone: &Phone) {
    let latency = phone.faults.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
mod tests;
