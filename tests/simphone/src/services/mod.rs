//! Small services: diagnostics, notifications, heartbeat, screenshots, images, springboard, profiles.
//! What they show comes from the [`Phone`](crate::phone::Phone); what they change is its state.

mod battery;
mod diagnostics;
mod gestalt;
mod heartbeat;
mod image_mounter;
mod images;
mod misagent;
mod notification_proxy;
mod picture;
mod profiles;
mod screenshotr;
mod springboard;

use crate::service::{BEFORE_IOS_17, EVERY_IOS, Service};

pub use images::{DeveloperImage, Images, developer_services_answer, needs_developer_image};
pub(crate) use picture::screen;
pub use profiles::Profiles;

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[
    Service {
        name: "com.apple.mobile.diagnostics_relay",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(diagnostics::serve(stream, phone)),
    },
    Service {
        name: "com.apple.mobile.notification_proxy",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(notification_proxy::serve(stream, phone)),
    },
    Service {
        name: "com.apple.mobile.insecure_notification_proxy",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(notification_proxy::serve(stream, phone)),
    },
    Service {
        name: "com.apple.mobile.heartbeat",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(heartbeat::serve(stream, phone)),
    },
    Service {
        name: "com.apple.mobile.screenshotr",
        ios: BEFORE_IOS_17,
        start: |stream, phone| Box::pin(screenshotr::serve(stream, phone)),
    },
    Service {
        name: "com.apple.mobile.mobile_image_mounter",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(image_mounter::serve(stream, phone)),
    },
    Service {
        name: "com.apple.springboardservices",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(springboard::serve(stream, phone)),
    },
    Service {
        name: "com.apple.misagent",
        ios: EVERY_IOS,
        start: |stream, phone| Box::pin(misagent::serve(stream, phone)),
    },
];

/// A dictionary of these pairs.
fn dictionary<const N: usize>(pairs: [(&str, plist::Value); N]) -> plist::Dictionary {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A string of a request.
fn text<'a>(request: &'a plist::Dictionary, key: &str) -> Option<&'a str> {
    request.get(key).and_then(plist::Value::as_string)
}

/// Reads a request that must be a dictionary; `None` when the client is gone.
async fn request(
    stream: &mut crate::service::BoxStream,
) -> Result<Option<plist::Dictionary>, crate::service::ServiceError> {
    match crate::framing::read(stream).await? {
        None => Ok(None),
        Some(plist::Value::Dictionary(request)) => Ok(Some(request)),
        Some(_) => Err(crate::service::ServiceError::protocol("a request must be a dictionary")),
    }
}
