//! `com.apple.mobile.notification_proxy` and its insecure twin: clients post notifications and observe them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::sync::broadcast::error::RecvError;

use super::{dictionary, text};
use crate::framing;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// How many names one client may observe; the longest list that clients ship has about 70.
const OBSERVED_MAX: usize = 1024;

/// Serves one connection.
pub(super) async fn serve(stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    let mut notices = phone.notices();
    let mut observed = BTreeSet::new();
    let (mut reader, mut writer) = tokio::io::split(stream);
    // A half-read request must survive a notification in between, so its bytes are gathered here.
    let mut gathered = Vec::new();
    loop {
        tokio::select! {
            got = reader.read_buf(&mut gathered) => {
                if got.map_err(ServiceError::io("reading a request"))? == 0 {
                    return Ok(());
                }
                while let Some(request) = take_request(&mut gathered)? {
                    tokio::time::sleep(phone.faults.latency()).await;
                    let name = text(&request, "Name").unwrap_or_default();
                    match text(&request, "Command") {
                        Some("ObserveNotification") if observed.len() < OBSERVED_MAX => {
                            observed.insert(name.to_owned());
                        }
                        Some("PostNotification") => phone.post(name),
                        Some("Shutdown") => {
                            let farewell = dictionary([("Command", "ProxyDeath".into())]);
                            return framing::write_xml(&mut writer, &farewell).await;
                        }
                        _ => return Err(ServiceError::protocol("not a command of the notification proxy")),
                    }
                }
            }
            notice = notices.recv() => match notice {
                Ok(name) if observed.contains(&name) => {
                    let relayed =
                        dictionary([("Command", "RelayNotification".into()), ("Name", name.into())]);
                    framing::write_xml(&mut writer, &relayed).await?;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// Takes the first whole frame from what was gathered.
fn take_request(gathered: &mut Vec<u8>) -> Result<Option<plist::Dictionary>, ServiceError> {
    let Some((head, rest)) = gathered.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head);
    if length > framing::FRAME_BYTES_MAX {
        let limit = framing::FRAME_BYTES_MAX.into();
        return Err(ServiceError::FrameTooLong { length: length.into(), limit });
    }
    let Some(body) = rest.get(..length as usize) else { return Ok(None) };
    let request = framing::parse(body)?;
    gathered.drain(..4 + length as usize);
    match request {
        plist::Value::Dictionary(request) => Ok(Some(request)),
        _ => Err(ServiceError::protocol("a request must be a dictionary")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_whole_however_they_arrive() {
        let body = framing::xml(&dictionary([("Command", "Shutdown".into())])).unwrap();
        let frame = [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat();
        for cut in 0..frame.len() {
            let mut gathered = frame[..cut].to_vec();
            assert_eq!(take_request(&mut gathered).unwrap(), None, "cut at {cut}");
            assert_eq!(gathered.len(), cut, "nothing is lost");
        }
        let mut two = [frame.clone(), frame].concat();
        assert!(take_request(&mut two).unwrap().is_some());
        assert!(take_request(&mut two).unwrap().is_some());
        assert!(two.is_empty());
        assert!(take_request(&mut vec![0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
