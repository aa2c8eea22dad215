//! The control socket: one JSON object a line, one JSON object a line back. Tests and the demo look at the phones
//! and do things to them through it; clients of usbmuxd never see it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::cable::Motion;
use crate::inflict::{Fault, inflict};
use crate::rack::Rack;
use crate::seat::Seat;
use crate::service::{BoxStream, ServiceError};

/// The longest request: a behaviour of some hundred launches fits.
const LINE_BYTES_MAX: u64 = 256 * 1024;

/// What may be asked for. `phone` is a UDID, or `all` where it says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Every phone with its state.
    List {},
    /// Do something to a phone, or to `all`.
    Inflict {
        /// Which phone.
        phone: String,
        /// What.
        fault: Fault,
    },
    /// A phone's own log.
    Events {
        /// Which phone.
        phone: String,
        /// Only entries with a number above this.
        #[serde(default)]
        after: u64,
    },
    /// The crash reports that are on a phone now, half-written ones not included.
    CrashFiles {
        /// Which phone.
        phone: String,
    },
    /// The apps that are installed on a phone.
    Apps {
        /// Which phone.
        phone: String,
    },
}

/// Serves one connection until the client closes it.
///
/// # Errors
/// When the connection fails; wrong requests are answered.
pub async fn serve(client: BoxStream, rack: Arc<Rack>) -> Result<(), ServiceError> {
    let (from_client, mut to_client) = tokio::io::split(client);
    let mut lines = BufReader::new(from_client);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut lines).take(LINE_BYTES_MAX);
        let read =
            limited.read_until(b'\n', &mut line).await.map_err(ServiceError::io("reading a request"))?;
        if read == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n") || (read as u64) < LINE_BYTES_MAX;
        let answer = if whole {
            answer(&rack, &line).await
        } else {
            wrong(format!("a request may have {LINE_BYTES_MAX} bytes at most"))
        };
        let mut sent = answer.to_string().into_bytes();
        sent.push(b'\n');
        to_client.write_all(&sent).await.map_err(ServiceError::io("answering a request"))?;
        to_client.flush().await.map_err(ServiceError::io("answering a request"))?;
        if !whole {
            return Ok(());
        }
    }
}

/// Answers one line; the answer always has `ok`, and `error` when that is false.
pub async fn answer(rack: &Rack, line: &[u8]) -> Value {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let request: Request = match serde_path_to_error::deserialize(&mut reader) {
        Ok(request) => request,
        Err(error) => return wrong(format!("not a request: {error}")),
    };
    match request {
        Request::List {} => {
            let phones: Vec<Value> =
                rack.seats().iter().enumerate().map(|(at, seat)| describe(rack, at, seat)).collect();
            json!({ "ok": true, "phones": phones })
        }
        Request::Inflict { phone, fault } => {
            let seats: Vec<&Seat> = match phone.as_str() {
                "all" => rack.seats().iter().collect(),
                udid => rack.seat(udid).into_iter().collect(),
            };
            if seats.is_empty() {
                return no_such_phone(&phone);
            }
            for seat in seats {
                if let Err(error) = inflict(rack, seat, &fault).await {
                    return wrong(format!("{}: {error}", seat.phone().identity.udid));
                }
            }
            json!({ "ok": true })
        }
        Request::Events { phone, after } => match rack.seat(&phone) {
            Some(seat) => json!({ "ok": true, "events": seat.phone().events.after(after) }),
            None => no_such_phone(&phone),
        },
        Request::CrashFiles { phone } => match rack.seat(&phone) {
            Some(seat) => json!({ "ok": true, "files": crash_files(seat) }),
            None => no_such_phone(&phone),
        },
        Request::Apps { phone } => match rack.seat(&phone) {
            Some(seat) => {
                let apps: Vec<String> =
                    seat.phone().apps.all().iter().map(|app| app.bundle_id.clone()).collect();
                json!({ "ok": true, "apps": apps })
            }
            None => no_such_phone(&phone),
        },
    }
}

fn describe(rack: &Rack, position: usize, seat: &Seat) -> Value {
    let phone = seat.phone();
    let state = phone.state();
    let attachment = rack.attachment_at(position);
    json!({
        "udid": phone.identity.udid,
        "simulated": true,
        "name": state.name,
        "model": phone.identity.model.product_type,
        "ios": phone.identity.ios.to_string(),
        "device_id": attachment.as_ref().map(|attachment| attachment.device_id),
        "location_id": attachment.as_ref().map(|attachment| attachment.location_id),
        "hung": seat.cable().motion() == Motion::Hung,
        "battery_percent": state.battery.percent,
        "thermal": state.thermal,
        "passcode": state.passcode,
        "trust": state.trust,
        "developer_mode": state.developer_mode,
        "free_bytes": phone.disk.free_bytes(),
        "clock": phone.clock.now().to_string(),
        "boot_id": state.boot.id,
        "last_event": *phone.events.newest().borrow(),
    })
}

/// Paths below the crash folder, sorted.
fn crash_files(seat: &Seat) -> Vec<String> {
    let root = seat.phone().disk.crashes();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !entry.file_name().to_string_lossy().starts_with('.')
                && let Ok(below) = path.strip_prefix(&root)
            {
                files.push(below.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    files
}

fn no_such_phone(asked: &str) -> Value {
    wrong(format!("no phone `{asked}` in this rack; `list` tells which there are"))
}

fn wrong(error: String) -> Value {
    json!({ "ok": false, "error": error })
}
