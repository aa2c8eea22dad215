//! `com.apple.mobile.screenshotr`: DeviceLink, that is arrays as binary property lists. What is on the picture is
//! told by [`picture`](super::picture).

use std::sync::Arc;

use plist::Value;

use super::{dictionary, picture};
use crate::framing;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// The version of DeviceLink that iPhones speak.
const VERSION: (u64, u64) = (300, 0);

/// Serves one connection.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    let hello: Vec<Value> = vec!["DLMessageVersionExchange".into(), VERSION.0.into(), VERSION.1.into()];
    framing::write_binary(&mut stream, &hello).await?;
    let Some(answer) = message(&mut stream).await? else { return Ok(()) };
    let agreed = [("DLMessageVersionExchange", 0), ("DLVersionsOk", 1)]
        .iter()
        .all(|(word, at)| answer.get(*at).and_then(Value::as_string) == Some(*word));
    if !agreed {
        return Err(ServiceError::protocol("the client does not agree to the version of DeviceLink"));
    }
    framing::write_binary(&mut stream, &vec![Value::from("DLMessageDeviceReady")]).await?;
    while let Some(message) = message(&mut stream).await? {
        tokio::time::sleep(phone.faults.latency()).await;
        match message.first().and_then(Value::as_string) {
            Some("DLMessageProcessMessage") => {}
            Some("DLMessageDisconnect") => return Ok(()),
            _ => return Err(ServiceError::protocol("not a message of DeviceLink")),
        }
        let wanted = message.get(1).and_then(Value::as_dictionary);
        let wanted = wanted.and_then(|body| super::text(body, "MessageType"));
        if wanted != Some("ScreenShotRequest") {
            return Err(ServiceError::protocol("screenshotr takes screenshots only"));
        }
        let png = picture::screen(&phone).map_err(ServiceError::io("drawing the screen"))?;
        let reply: Vec<Value> = vec![
            "DLMessageProcessMessage".into(),
            Value::Dictionary(dictionary([
                ("MessageType", "ScreenShotReply".into()),
                ("ScreenShotData", Value::Data(png)),
            ])),
        ];
        framing::write_binary(&mut stream, &reply).await?;
    }
    Ok(())
}

async fn message(stream: &mut BoxStream) -> Result<Option<Vec<Value>>, ServiceError> {
    match framing::read(stream).await? {
        None => Ok(None),
        Some(Value::Array(message)) => Ok(Some(message)),
        Some(_) => Err(ServiceError::protocol("DeviceLink speaks in arrays")),
    }
}
