//! The services that show files through AFC, each with a folder of its own.

use std::path::Path;
use std::sync::Arc;

use plist::Value;
use tokio::io::AsyncWriteExt;

use super::files::Kind;
use super::jail::Jail;
use super::server;
use crate::framing::{self, dict};
use crate::phone::Phone;
use crate::service::{BoxFuture, BoxStream, EVERY_IOS, Service, ServiceError};

/// The rows that this module adds to the [registry](crate::registry).
pub const SERVICES: &[Service] = &[
    Service { name: "com.apple.afc", ios: EVERY_IOS, start: media },
    Service { name: "com.apple.crashreportcopymobile", ios: EVERY_IOS, start: crash_reports },
    Service { name: "com.apple.crashreportmover", ios: EVERY_IOS, start: crash_mover },
    Service { name: "com.apple.mobile.house_arrest", ios: EVERY_IOS, start: house_arrest },
];

type Serving = BoxFuture<'static, Result<(), ServiceError>>;

fn media(stream: BoxStream, phone: Arc<Phone>) -> Serving {
    Box::pin(async move {
        let jail = jail(&phone.disk.media())?;
        server::serve(stream, phone, jail, Kind::Plain).await
    })
}

fn crash_reports(stream: BoxStream, phone: Arc<Phone>) -> Serving {
    Box::pin(async move {
        let jail = jail(&phone.disk.crashes())?;
        server::serve(stream, phone, jail, Kind::CrashReports).await
    })
}

/// Moves finished reports to where they can be copied, then says `ping` with a NUL: some clients read four bytes,
/// pymobiledevice3 waits for five.
fn crash_mover(mut stream: BoxStream, phone: Arc<Phone>) -> Serving {
    Box::pin(async move {
        phone.reports.flush(&phone);
        stream.write_all(b"ping\0").await.map_err(ServiceError::io("telling that reports were moved"))?;
        stream.flush().await.map_err(ServiceError::io("telling that reports were moved"))
    })
}

/// One request chooses an app; if it is there, the connection goes on as AFC.
fn house_arrest(mut stream: BoxStream, phone: Arc<Phone>) -> Serving {
    Box::pin(async move {
        while let Some(request) = framing::read(&mut stream).await? {
            let request = request.into_dictionary().unwrap_or_default();
            let text = |key: &str| request.get(key).and_then(Value::as_string).unwrap_or("");
            let bundle_id = text("Identifier");
            let documents_only = match text("Command") {
                "VendContainer" => false,
                "VendDocuments" => true,
                _ => {
                    framing::write_xml(&mut stream, &dict([("Error", "UnknownCommand".into())])).await?;
                    continue;
                }
            };
            if !is_installed(&phone, bundle_id) {
                let refusal = dict([("Error", "ApplicationLookupFailed".into())]);
                framing::write_xml(&mut stream, &refusal).await?;
                continue;
            }
            let container = phone.disk.container(bundle_id);
            for folder in ["Documents", "Library", "tmp"] {
                std::fs::create_dir_all(container.join(folder))
                    .map_err(ServiceError::io("making an app's container"))?;
            }
            framing::write_xml(&mut stream, &dict([("Status", "Complete".into())])).await?;
            let whole = jail(&container)?;
            let jail = if documents_only { whole.only("Documents") } else { whole };
            return server::serve(stream, phone, jail, Kind::Plain).await;
        }
        Ok(())
    })
}

fn is_installed(phone: &Phone, bundle_id: &str) -> bool {
    phone.apps.get(bundle_id).is_some()
}

fn jail(folder: &Path) -> Result<Jail, ServiceError> {
    Jail::new(folder).map_err(ServiceError::io("opening the folder of a file service"))
}
