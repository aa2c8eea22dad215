//! Property lists with a 4-byte big-endian length in front, as lockdown and most services send them.
//! usbmuxd's own header is in [`usbmux`](crate::usbmux).

use std::io::Cursor;

use plist::Value;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::service::ServiceError;

/// The longest property list a client may send unless a service says otherwise: developer images' manifests and
/// whole app lists stay far below, and forty phones with one such frame each still fit in memory.
pub const FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// Reads one frame, XML or binary. `None` when the client closed the connection between two frames.
///
/// # Errors
/// [`ServiceError::FrameTooLong`] over [`FRAME_BYTES_MAX`], [`ServiceError::Plist`] for other bytes, and
/// [`ServiceError::Io`] when the connection ends inside a frame.
pub async fn read<S: AsyncRead + Unpin + ?Sized>(stream: &mut S) -> Result<Option<Value>, ServiceError> {
    read_at_most(stream, FRAME_BYTES_MAX).await
}

/// Reads one frame of at most `limit` bytes; see [`read`].
///
/// # Errors
/// As [`read`].
pub async fn read_at_most<S: AsyncRead + Unpin + ?Sized>(
    stream: &mut S,
    limit: u32,
) -> Result<Option<Value>, ServiceError> {
    let mut head = [0_u8; 4];
    let first = stream.read(&mut head).await.map_err(ServiceError::io("reading the length of a frame"))?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[first..]).await.map_err(ServiceError::io("reading the length of a frame"))?;
    let length = u32::from_be_bytes(head);
    if length > limit {
        return Err(ServiceError::FrameTooLong { length: length.into(), limit: limit.into() });
    }
    // Grows with what really arrives, so that a lie in the length costs no memory.
    let mut body = Vec::new();
    let got = (&mut *stream)
        .take(length.into())
        .read_to_end(&mut body)
        .await
        .map_err(ServiceError::io("reading the body of a frame"))?;
    if got < length as usize {
        let source = std::io::ErrorKind::UnexpectedEof.into();
        return Err(ServiceError::Io { doing: "reading the body of a frame", source });
    }
    parse(&body).map(Some)
}

/// Parses a property list, XML or binary.
///
/// # Errors
/// [`ServiceError::Plist`].
pub fn parse(bytes: &[u8]) -> Result<Value, ServiceError> {
    Value::from_reader(Cursor::new(bytes)).map_err(|source| ServiceError::Plist { source })
}

/// Sends one frame as XML and flushes it.
///
/// # Errors
/// [`ServiceError::Plist`] when `value` cannot be a property list, [`ServiceError::Io`] when the connection ends.
pub async fn write_xml<S, T>(stream: &mut S, value: &T) -> Result<(), ServiceError>
where
    S: AsyncWrite + Unpin + ?Sized,
    T: Serialize,
{
    write_frame(stream, xml(value)?).await
}

/// Sends one frame as a binary property list and flushes it.
///
/// # Errors
/// As [`write_xml`].
pub async fn write_binary<S, T>(stream: &mut S, value: &T) -> Result<(), ServiceError>
where
    S: AsyncWrite + Unpin + ?Sized,
    T: Serialize,
{
    let mut body = Vec::new();
    plist::to_writer_binary(&mut body, value).map_err(|source| ServiceError::Plist { source })?;
    write_frame(stream, body).await
}

/// The XML bytes of a property list, without a length in front.
///
/// # Errors
/// [`ServiceError::Plist`].
pub fn xml<T: Serialize>(value: &T) -> Result<Vec<u8>, ServiceError> {
    let mut body = Vec::new();
    plist::to_writer_xml(&mut body, value).map_err(|source| ServiceError::Plist { source })?;
    Ok(body)
}

/// A dictionary of these pairs, in this order.
#[must_use]
pub fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Dictionary(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

async fn write_frame<S: AsyncWrite + Unpin + ?Sized>(
    stream: &mut S,
    body: Vec<u8>,
) -> Result<(), ServiceError> {
    let length = u32::try_from(body.len())
        .map_err(|_| ServiceError::FrameTooLong { length: body.len() as u64, limit: u32::MAX.into() })?;
    // One write: some clients read the length and the body with two reads but others expect them together.
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await.map_err(ServiceError::io("sending a frame"))?;
    stream.flush().await.map_err(ServiceError::io("sending a frame"))
}
