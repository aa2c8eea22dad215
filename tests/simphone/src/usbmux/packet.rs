//! One usbmuxd packet: the little-endian header and the property list behind it. What the messages mean is in
//! [`server`](super::server).

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::framing;
use crate::service::ServiceError;

/// The header of a packet: length, version, type and tag, four bytes each.
const HEADER_BYTES: u32 = 16;

/// The longest packet a client may send. The largest real one is a pair record, some ten kilobytes.
pub const PACKET_BYTES_MAX: u32 = 1024 * 1024;

/// The version that speaks property lists. Version 0 is the binary protocol of before 2009, which no current client
/// needs.
pub const VERSION_PLIST: u32 = 1;

/// The type of a packet that carries a property list.
const TYPE_PLIST: u32 = 8;

/// What a usbmuxd answers in the `Number` of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultNumber {
    /// Done.
    Ok = 0,
    /// The message type is unknown or lacks a key.
    BadCommand = 1,
    /// No such phone; for pair records, no such record (it is the number of `ENOENT`).
    BadDevice = 2,
    /// Nothing listens on that port of the phone.
    ConnectionRefused = 3,
    /// The protocol version is not spoken.
    BadVersion = 6,
}

/// A request of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    /// The protocol version; see [`VERSION_PLIST`].
    pub version: u32,
    /// Chosen by the client; the answer carries the same.
    pub tag: u32,
    /// The message; empty when the packet is no property list.
    pub message: Dictionary,
}

/// The four numbers of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole packet, the header included.
    pub length: u32,
    /// Protocol version.
    pub version: u32,
    /// Kind of packet.
    pub kind: u32,
    /// The client's mark.
    pub tag: u32,
}

impl Header {
    /// Reads the four numbers.
    ///
    /// # Errors
    /// [`ServiceError::FrameTooLong`] over [`PACKET_BYTES_MAX`], [`ServiceError::Protocol`] below its own size.
    pub fn parse(bytes: [u8; 16]) -> Result<Self, ServiceError> {
        let [l0, l1, l2, l3, v0, v1, v2, v3, k0, k1, k2, k3, t0, t1, t2, t3] = bytes;
        let header = Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            version: u32::from_le_bytes([v0, v1, v2, v3]),
            kind: u32::from_le_bytes([k0, k1, k2, k3]),
            tag: u32::from_le_bytes([t0, t1, t2, t3]),
        };
        if header.length < HEADER_BYTES {
            return Err(ServiceError::protocol(format!("a packet of {} bytes has no header", header.length)));
        }
        if header.length > PACKET_BYTES_MAX {
            let (length, limit) = (header.length.into(), PACKET_BYTES_MAX.into());
            return Err(ServiceError::FrameTooLong { length, limit });
        }
        Ok(header)
    }
}

/// Reads one packet. `None` when the client closed the connection between two packets.
///
/// # Errors
/// As [`Header::parse`]; [`ServiceError::Plist`] when a property list was announced but does not follow;
/// [`ServiceError::Io`] when the connection ends inside a packet.
pub async fn read<S: AsyncRead + Unpin + ?Sized>(stream: &mut S) -> Result<Option<Packet>, ServiceError> {
    let reading = "reading a usbmuxd packet";
    let mut head = [0_u8; 16];
    let first = stream.read(&mut head).await.map_err(ServiceError::io(reading))?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[first..]).await.map_err(ServiceError::io(reading))?;
    let header = Header::parse(head)?;
    let mut body = vec![0_u8; (header.length - HEADER_BYTES) as usize];
    stream.read_exact(&mut body).await.map_err(ServiceError::io(reading))?;
    let message = if header.version == VERSION_PLIST && header.kind == TYPE_PLIST {
        framing::parse(&body)?
            .into_dictionary()
            .ok_or_else(|| ServiceError::protocol("a message must be a dictionary"))?
    } else {
        Dictionary::new()
    };
    Ok(Some(Packet { version: header.version, tag: header.tag, message }))
}

/// Sends one message under the tag of the request it answers (0 for events).
///
/// # Errors
/// [`ServiceError::Io`] when the connection ends.
pub async fn write<S: AsyncWrite + Unpin + ?Sized>(
    stream: &mut S,
    tag: u32,
    message: &Value,
) -> Result<(), ServiceError> {
    let body = framing::xml(message)?;
    let length = u32::try_from(body.len())
        .ok()
        .and_then(|length| length.checked_add(HEADER_BYTES))
        .ok_or(ServiceError::FrameTooLong { length: body.len() as u64, limit: u32::MAX.into() })?;
    let mut packet = Vec::with_capacity(length as usize);
    for number in [length, VERSION_PLIST, TYPE_PLIST, tag] {
        packet.extend_from_slice(&number.to_le_bytes());
    }
    packet.extend_from_slice(&body);
    stream.write_all(&packet).await.map_err(ServiceError::io("sending a usbmuxd packet"))?;
    stream.flush().await.map_err(ServiceError::io("sending a usbmuxd packet"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_now(bytes: &[u8]) -> Result<Option<Packet>, ServiceError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut reader = bytes;
        runtime.block_on(read(&mut reader))
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any_answer = read_now(&bytes);
        }

        #[test]
        fn a_true_header_with_random_bytes_behind_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = Vec::new();
            for number in [16 + u32::try_from(body.len()).unwrap(), VERSION_PLIST, TYPE_PLIST, 7] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&body);
            let _any_answer = read_now(&bytes);
        }

        #[test]
        fn random_frames_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut reader = bytes.as_slice();
            let _any_answer = runtime.block_on(framing::read(&mut reader));
        }
    }

    #[test]
    fn lying_lengths_are_refused_before_memory_is_taken() {
        for length in [0_u32, 15, PACKET_BYTES_MAX + 1, u32::MAX] {
            let mut head = [0_u8; 16];
            head[..4].copy_from_slice(&length.to_le_bytes());
            assert!(Header::parse(head).is_err(), "{length}");
        }
    }
}
