//! `com.apple.misagent`: clients install, list and remove provisioning profiles, which are kept by
//! [`profiles`](super::profiles).

use std::sync::Arc;

use plist::{Dictionary, Value};

use super::{dictionary, request, text};
use crate::framing;
use crate::install::profile_in;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// MobileDevice's number for a profile that cannot be read.
const MALFORMED: u32 = 0xe800_8003;
/// MobileDevice's number for any other failure with a profile.
const UNKNOWN: u32 = 0xe800_8001;

/// Serves one connection.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    while let Some(request) = request(&mut stream).await? {
        tokio::time::sleep(phone.faults.latency()).await;
        let mut reply = match text(&request, "MessageType").unwrap_or_default() {
            "Install" => status(install(&phone, &request)),
            "Remove" => {
                let removed = text(&request, "ProfileID").and_then(|id| phone.profiles.remove(id));
                status(removed.map(|_profile| ()).ok_or(UNKNOWN))
            }
            "Copy" | "CopyAll" => {
                let profiles = phone.profiles.all().into_iter().map(Value::Data).collect();
                let mut reply = status(Ok(()));
                reply.insert("Payload".to_owned(), Value::Array(profiles));
                reply
            }
            _ => status(Err(UNKNOWN)),
        };
        reply.insert("MessageType".to_owned(), "Response".into());
        framing::write_xml(&mut stream, &reply).await?;
    }
    Ok(())
}

fn install(phone: &Phone, request: &Dictionary) -> Result<(), u32> {
    let bytes = request.get("Profile").and_then(Value::as_data).ok_or(MALFORMED)?;
    let profile = profile_in(bytes).ok_or(MALFORMED)?;
    let uuid = text(&profile, "UUID").ok_or(MALFORMED)?;
    phone.profiles.put(uuid.to_owned(), bytes.to_vec()).map_err(|_too_many| UNKNOWN)
}

fn status(done: Result<(), u32>) -> Dictionary {
    dictionary([("Status", done.err().unwrap_or(0).into())])
}
