//! A client of usbmuxd: which devices there are, what happens to them, a stream to a port of one, pair records.
//! Keeping a list and coming back after a restart is [`finder`](crate::finder)'s work.
//!
//! A packet is a little-endian header of 16 bytes (length with the header, version 1, message 8, tag) and an XML
//! property list. The tag of a question is echoed. `PortNumber` travels in network byte order.

use std::time::Duration;

use holdfast_wire::id::Udid;
use idevice::ReadWrite;
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::address::MuxerAddress;
use crate::error::UsbError;

/// Largest packet read: a list of a hundred devices has 60 KB, a pair record 10 KB.
pub(crate) const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// How long usbmuxd may take to accept and answer: it answers from memory.
pub(crate) const MUXER_ANSWER: Duration = Duration::from_secs(5);

const HEADER_BYTES: usize = 16;
const VERSION_PLIST: u32 = 1;
const MESSAGE_PLIST: u32 = 8;

/// A device that usbmuxd has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MuxerDevice {
    /// usbmuxd's number for this plugging-in.
    pub(crate) number: u64,
    /// Its serial number.
    pub(crate) udid: Udid,
    /// `bus << 16 | address`, when it is told.
    pub(crate) location: Option<u32>,
    /// Bits per second, when it is told.
    pub(crate) speed_bps: Option<u64>,
}

/// What usbmuxd tells a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MuxerEvent {
    /// A device came over the cable.
    Attached(MuxerDevice),
    /// The plugging-in of this number ended.
    Detached(u64),
    /// Anything else: devices over Wi-Fi, pairing notices, messages of newer versions.
    Other,
}

/// A connection to usbmuxd that has not yet become something else.
#[derive(Debug)]
pub(crate) struct Muxer {
    stream: Box<dyn ReadWrite>,
}

impl Muxer {
    /// Connects.
    pub(crate) async fn open(address: &MuxerAddress) -> Result<Self, UsbError> {
        let connect = tokio::time::timeout(MUXER_ANSWER, address.connect());
        let stream = connect.await.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()));
        stream.map(|stream| Self { stream }).map_err(|source| UsbError::MuxerDown { source })
    }

    /// The devices on the cable now.
    pub(crate) async fn devices(mut self) -> Result<Vec<MuxerDevice>, UsbError> {
        let answer = self.ask("ListDevices", []).await?;
        let list = answer.get("DeviceList").and_then(Value::as_array);
        let list = list.ok_or_else(|| UsbError::muxer("no DeviceList in its answer"))?;
        Ok(list.iter().filter_map(Value::as_dictionary).filter_map(device).collect())
    }

    /// Listens. Every present device follows as an event.
    pub(crate) async fn listen(mut self) -> Result<Listener, UsbError> {
        let answer = self.ask("Listen", []).await?;
        number(&answer).and_then(|number| match number {
            0 => Ok(Listener { stream: self.stream }),
            refusal => Err(UsbError::muxer(format!("listening was refused with {refusal}"))),
        })
    }

    /// A stream to a port of a device.
    pub(crate) async fn connect(mut self, device: u64, port: u16) -> Result<Box<dyn ReadWrite>, UsbError> {
        let port_value = Value::from(u64::from(port.to_be()));
        let answer =
            self.ask("Connect", [("DeviceID", Value::from(device)), ("PortNumber", port_value)]).await?;
        match number(&answer)? {
            0 => Ok(self.stream),
            2 => Err(UsbError::NotOnBus),
            3 => Err(UsbError::PortRefused { port }),
            other => Err(UsbError::muxer(format!("connecting was refused with {other}"))),
        }
    }

    /// The pair record of a device; none when there is none.
    pub(crate) async fn pair_record(mut self, udid: &Udid) -> Result<Option<Vec<u8>>, UsbError> {
        let answer = self.ask("ReadPairRecord", [("PairRecordID", Value::from(udid.as_str()))]).await?;
        Ok(answer.get("PairRecordData").and_then(Value::as_data).map(<[u8]>::to_vec))
    }

    /// Keeps a pair record.
    pub(crate) async fn save_pair_record(
        mut self,
        udid: &Udid,
        device: u64,
        record: Vec<u8>,
    ) -> Result<(), UsbError> {
        let fields = [
            ("PairRecordID", Value::from(udid.as_str())),
            ("PairRecordData", Value::Data(record)),
            ("DeviceID", Value::from(device)),
        ];
        match number(&self.ask("SavePairRecord", fields).await?)? {
            0 => Ok(()),
            refusal => Err(UsbError::muxer(format!("keeping the pair record was refused with {refusal}"))),
        }
    }

    /// The name of this computer among pair records.
    pub(crate) async fn buid(mut self) -> Result<String, UsbError> {
        let answer = self.ask("ReadBUID", []).await?;
        let buid = answer.get("BUID").and_then(Value::as_string);
        buid.map(str::to_owned).ok_or_else(|| UsbError::muxer("no BUID in its answer"))
    }

    async fn ask<const N: usize>(
        &mut self,
        message: &str,
        fields: [(&str, Value); N],
    ) -> Result<Dictionary, UsbError> {
        let mut question = Dictionary::new();
        question.insert("MessageType".to_owned(), message.into());
        question.insert("ClientVersionString".to_owned(), "holdfast".into());
        question.insert("ProgName".to_owned(), "holdfast".into());
        question.insert("kLibUSBMuxVersion".to_owned(), Value::from(3_u64));
        question.extend(fields.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let bytes = packet(1, &question)?;
        let talk = async {
            self.stream.write_all(&bytes).await.map_err(|source| UsbError::MuxerDown { source })?;
            receive(&mut self.stream).await
        };
        tokio::time::timeout(MUXER_ANSWER, talk).await.unwrap_or_else(|_elapsed| {
            Err(UsbError::MuxerDown { source: std::io::ErrorKind::TimedOut.into() })
        })
    }
}

/// A connection on which usbmuxd tells what happens.
#[derive(Debug)]
pub(crate) struct Listener {
    stream: Box<dyn ReadWrite>,
}

impl Listener {
    /// Waits for the next event; for ever, when nothing happens. Not to be dropped in the middle.
    pub(crate) async fn next(&mut self) -> Result<MuxerEvent, UsbError> {
        receive(&mut self.stream).await.map(|message| event(&message))
    }
}

async fn receive(stream: &mut Box<dyn ReadWrite>) -> Result<Dictionary, UsbError> {
    let down = |source| UsbError::MuxerDown { source };
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.map_err(down)?;
    let mut body = vec![0; body_bytes(header)?];
    stream.read_exact(&mut body).await.map_err(down)?;
    parse(&body)
}

fn packet(tag: u32, message: &Dictionary) -> Result<Vec<u8>, UsbError> {
    let mut bytes = vec![0; HEADER_BYTES];
    plist::to_writer_xml(&mut bytes, message).map_err(|error| UsbError::muxer(error.to_string()))?;
    let length =
        u32::try_from(bytes.len()).map_err(|_too_long| UsbError::muxer("the question is too long"))?;
    let header = [length, VERSION_PLIST, MESSAGE_PLIST, tag].map(u32::to_le_bytes);
    bytes[..HEADER_BYTES].copy_from_slice(&header.concat());
    Ok(bytes)
}

/// How many bytes follow this header.
fn body_bytes(header: [u8; HEADER_BYTES]) -> Result<usize, UsbError> {
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = usize::try_from(word(0)).unwrap_or(usize::MAX);
    match length.checked_sub(HEADER_BYTES) {
        Some(body) if body <= PACKET_BYTES_MAX && word(4) == VERSION_PLIST => Ok(body),
        Some(_) | None => Err(UsbError::muxer(format!("a packet of {length} bytes, version {}", word(4)))),
    }
}

fn parse(body: &[u8]) -> Result<Dictionary, UsbError> {
    let value: Value = plist::from_bytes(body).map_err(|error| UsbError::muxer(error.to_string()))?;
    value.into_dictionary().ok_or_else(|| UsbError::muxer("a message that is no dictionary"))
}

fn number(answer: &Dictionary) -> Result<u64, UsbError> {
    let number = answer.get("Number").and_then(Value::as_unsigned_integer);
    number.ok_or_else(|| UsbError::muxer("an answer without a number"))
}

fn event(message: &Dictionary) -> MuxerEvent {
    match message.get("MessageType").and_then(Value::as_string) {
        Some("Attached") => device(message).map_or(MuxerEvent::Other, MuxerEvent::Attached),
        Some("Detached") => message
            .get("DeviceID")
            .and_then(Value::as_unsigned_integer)
            .map_or(MuxerEvent::Other, MuxerEvent::Detached),
        Some(_) | None => MuxerEvent::Other,
    }
}

/// A device on the cable; none for one over Wi-Fi and for one whose description cannot be used.
fn device(message: &Dictionary) -> Option<MuxerDevice> {
    let properties = message.get("Properties").and_then(Value::as_dictionary)?;
    if properties.get("ConnectionType").and_then(Value::as_string) != Some("USB") {
        return None;
    }
    let unsigned = |key: &str| properties.get(key).and_then(Value::as_unsigned_integer);
    let number = message.get("DeviceID").and_then(Value::as_unsigned_integer);
    Some(MuxerDevice {
        number: number.or_else(|| unsigned("DeviceID"))?,
        udid: properties.get("SerialNumber").and_then(Value::as_string)?.parse().ok()?,
        location: unsigned("LocationID").and_then(|location| u32::try_from(location).ok()),
        speed_bps: unsigned("ConnectionSpeed").filter(|speed| *speed > 0),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn message(xml: &str) -> Dictionary {
        parse(format!("<plist version=\"1.0\"><dict>{xml}</dict></plist>").as_bytes()).unwrap()
    }

    const ATTACHED: &str =
        "<key>MessageType</key><string>Attached</string><key>DeviceID</key><integer>7</integer>
        <key>Properties</key><dict><key>ConnectionType</key><string>USB</string>
        <key>ConnectionSpeed</key><integer>480000000</integer><key>DeviceID</key><integer>7</integer>
        <key>LocationID</key><integer>131077</integer><key>ProductID</key><integer>4776</integer>
        <key>SerialNumber</key><string>00008110-000A2D8E3C41801E</string></dict>";

    #[test]
    fn events_are_read_and_anything_else_is_let_pass() {
        let attached = MuxerEvent::Attached(MuxerDevice {
            number: 7,
            udid: "00008110-000A2D8E3C41801E".parse().unwrap(),
            location: Some(2 << 16 | 5),
            speed_bps: Some(480_000_000),
        });
        let detached =
            "<key>MessageType</key><string>Detached</string><key>DeviceID</key><integer>7</integer>";
        let cases = [
            (ATTACHED.to_owned(), attached),
            (detached.to_owned(), MuxerEvent::Detached(7)),
            (ATTACHED.replace(">USB<", ">Network<"), MuxerEvent::Other),
            (ATTACHED.replace("00008110-", "../../"), MuxerEvent::Other),
            (detached.replace("DeviceID", "Device"), MuxerEvent::Other),
            (detached.replace("Detached", "Paired"), MuxerEvent::Other),
            (String::new(), MuxerEvent::Other),
        ];
        for (xml, expected) in cases {
            assert_eq!(event(&message(&xml)), expected, "{xml}");
        }
    }

    #[test]
    fn a_packet_tells_its_length_with_the_header() {
        let bytes = packet(9, &message("<key>MessageType</key><string>Listen</string>")).unwrap();
        assert_eq!(bytes[..4], u32::try_from(bytes.len()).unwrap().to_le_bytes());
        assert_eq!(bytes[4..16], [1, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0]);
        let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
        assert_eq!(body_bytes(header).unwrap(), bytes.len() - HEADER_BYTES);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for length in [0_u32, 15, u32::MAX, 16 + 1024 * 1024 + 1] {
            let mut header = [0; HEADER_BYTES];
            header[..4].copy_from_slice(&length.to_le_bytes());
            header[4] = 1;
            assert!(body_bytes(header).is_err(), "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(header: [u8; HEADER_BYTES], body: Vec<u8>) {
            let _length = body_bytes(header);
            let _event = parse(&body).map(|message| event(&message));
        }

        #[test]
        fn broken_property_lists_never_panic(cut in 0..600_usize, byte: u8) {
            let mut bytes = format!("<plist version=\"1.0\"><dict>{ATTACHED}</dict></plist>").into_bytes();
            let at = cut % bytes.len();
            bytes[at] = byte;
            let _event = parse(&bytes).map(|message| event(&message));
            bytes.truncate(at);
            let _event = parse(&bytes).map(|message| event(&message));
        }
    }
}
