//! One client of the usbmuxd socket: its requests, and the moment when its connection becomes a raw stream to a
//! phone. The bytes of a packet are in [`packet`](super::packet); carrying the stream is in [`cable`](crate::cable).

use std::sync::Arc;

use plist::{Dictionary, Value};
use tokio::io::AsyncReadExt;
use tokio::sync::broadcast::error::RecvError;

use super::packet::{self, Packet, ResultNumber};
use crate::cable;
use crate::framing::dict;
use crate::rack::{Hotplug, Present, Rack};
use crate::service::{BoxStream, ServiceError};

/// Serves one client until it closes the connection or the rack ends.
///
/// # Errors
/// When the client breaks the protocol; the connection is closed then.
pub async fn serve(mut client: BoxStream, rack: Arc<Rack>) -> Result<(), ServiceError> {
    while let Some(request) = packet::read(&mut client).await? {
        if request.version != packet::VERSION_PLIST {
            return answer(&mut client, &request, ResultNumber::BadVersion).await;
        }
        let kind = request.message.get("MessageType").and_then(Value::as_string).unwrap_or("");
        match kind {
            "ListDevices" => {
                let devices = rack.present().iter().map(attached).collect();
                reply(&mut client, &request, [("DeviceList", Value::Array(devices))]).await?;
            }
            "Listen" => return listen(client, &rack, &request).await,
            "Connect" => match connect(client, &rack, &request).await? {
                Some(back) => client = back,
                None => return Ok(()),
            },
            "ReadBUID" => {
                reply(&mut client, &request, [("BUID", rack.buid().into())]).await?;
            }
            "ReadPairRecord" => read_record(&mut client, &rack, &request).await?,
            "SavePairRecord" => save_record(&mut client, &rack, &request).await?,
            "DeletePairRecord" => delete_record(&mut client, &rack, &request).await?,
            "ListListeners" => {
                reply(&mut client, &request, [("ListenerList", Value::Array(rack.listeners()))]).await?;
            }
            _ => answer(&mut client, &request, ResultNumber::BadCommand).await?,
        }
    }
    Ok(())
}

/// What a client sees of a phone that is here.
fn attached(present: &Present) -> Value {
    let properties = dict([
        ("ConnectionSpeed", present.speed_bits_per_second.into()),
        ("ConnectionType", "USB".into()),
        ("DeviceID", present.device_id.into()),
        ("LocationID", present.location_id.into()),
        ("ProductID", PRODUCT_ID_IPHONE.into()),
        ("SerialNumber", present.udid.as_str().into()),
    ]);
    dict([
        ("MessageType", "Attached".into()),
        ("DeviceID", present.device_id.into()),
        ("Properties", properties),
    ])
}

/// The USB product number that all newer iPhones share.
const PRODUCT_ID_IPHONE: u32 = 0x12A8;

async fn listen(mut client: BoxStream, rack: &Arc<Rack>, request: &Packet) -> Result<(), ServiceError> {
    let text = |key: &str| request.message.get(key).and_then(Value::as_string).unwrap_or("").to_owned();
    let (mut hotplug, present, _listening) = rack.listen(&text("ProgName"), &text("BundleID"));
    answer(&mut client, request, ResultNumber::Ok).await?;
    for phone in &present {
        packet::write(&mut client, 0, &attached(phone)).await?;
    }
    let mut scratch = [0_u8; 256];
    loop {
        tokio::select! {
            event = hotplug.recv() => {
                let message = match event {
                    Ok(Hotplug::Attached(present)) => attached(&present),
                    Ok(Hotplug::Detached { device_id }) => {
                        dict([("MessageType", "Detached".into()), ("DeviceID", device_id.into())])
                    }
                    Ok(Hotplug::Paired { device_id }) => {
                        dict([("MessageType", "Paired".into()), ("DeviceID", device_id.into())])
                    }
                    // A client that reads too slowly has missed events; closing makes it list again.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return Ok(()),
                };
                packet::write(&mut client, 0, &message).await?;
            }
            // A listening client says nothing more; reading notices that it went away.
            read = client.read(&mut scratch) => match read {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            },
        }
    }
}

/// Gives the client's stream back when the phone or port is not there, so that the client may ask again.
async fn connect(
    mut client: BoxStream,
    rack: &Arc<Rack>,
    request: &Packet,
) -> Result<Option<BoxStream>, ServiceError> {
    let number = |key: &str| request.message.get(key).and_then(Value::as_unsigned_integer);
    let device_id = number("DeviceID").and_then(|id| u32::try_from(id).ok());
    // Clients send the port in network byte order inside an integer: 62078 arrives as 32498.
    let port = number("PortNumber").and_then(|port| u16::try_from(port).ok()).map(u16::swap_bytes);
    let (Some(device_id), Some(port)) = (device_id, port) else {
        answer(&mut client, request, ResultNumber::BadCommand).await?;
        return Ok(Some(client));
    };
    let Some((cable, attachment)) = rack.attachment(device_id) else {
        answer(&mut client, request, ResultNumber::BadDevice).await?;
        return Ok(Some(client));
    };
    // A phone that hangs does not accept connections either; the client gives up or is cut off.
    let mut early = [0_u8; 1];
    tokio::select! {
        () = cable.moving() => {}
        () = attachment.cut.cancelled() => {
            answer(&mut client, request, ResultNumber::BadDevice).await?;
            return Ok(Some(client));
        }
        _closed_or_out_of_turn = client.read(&mut early) => return Ok(None),
    }
    let Some(door) = cable.phone().lockdown.ports.take(port) else {
        answer(&mut client, request, ResultNumber::ConnectionRefused).await?;
        return Ok(Some(client));
    };
    answer(&mut client, request, ResultNumber::Ok).await?;
    cable::carry(client, door, cable, attachment).await;
    Ok(None)
}

async fn read_record(client: &mut BoxStream, rack: &Rack, request: &Packet) -> Result<(), ServiceError> {
    match record_id(request).and_then(|udid| rack.records().read(udid)) {
        Some(record) => reply(client, request, [("PairRecordData", Value::Data(record))]).await,
        None => answer(client, request, ResultNumber::BadDevice).await,
    }
}

async fn save_record(client: &mut BoxStream, rack: &Rack, request: &Packet) -> Result<(), ServiceError> {
    let data = request.message.get("PairRecordData").and_then(Value::as_data);
    let (Some(udid), Some(data)) = (record_id(request), data) else {
        return answer(client, request, ResultNumber::BadCommand).await;
    };
    if let Err(error) = rack.records().save(udid, data.to_vec()) {
        tracing::warn!(udid, %error, "cannot keep a pair record");
        return answer(client, request, ResultNumber::BadCommand).await;
    }
    rack.announce_paired(udid);
    answer(client, request, ResultNumber::Ok).await
}

async fn delete_record(client: &mut BoxStream, rack: &Rack, request: &Packet) -> Result<(), ServiceError> {
    let deleted = match record_id(request) {
        Some(udid) => rack.records().delete(udid).map_err(ServiceError::io("deleting a pair record"))?,
        None => false,
    };
    let number = if deleted { ResultNumber::Ok } else { ResultNumber::BadDevice };
    answer(client, request, number).await
}

fn record_id(request: &Packet) -> Option<&str> {
    request.message.get("PairRecordID").and_then(Value::as_string)
}

async fn answer(client: &mut BoxStream, request: &Packet, number: ResultNumber) -> Result<(), ServiceError> {
    reply(client, request, [("MessageType", "Result".into()), ("Number", (number as u32).into())]).await
}

async fn reply<const N: usize>(
    client: &mut BoxStream,
    request: &Packet,
    pairs: [(&str, Value); N],
) -> Result<(), ServiceError> {
    let message: Dictionary = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    packet::write(client, request.tag, &Value::Dictionary(message)).await
}
