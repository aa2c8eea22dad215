//! One AFC packet: the 40-byte header and the bytes behind it. What the operations do is in [`files`](super::files).

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::service::ServiceError;

/// The first eight bytes of every packet.
const MAGIC: &[u8; 8] = b"CFA6LPAA";

/// Magic, whole length, length of header and arguments, number, operation: eight bytes each, little-endian.
const HEADER_BYTES: usize = 40;

/// The longest packet of a client: the largest write of a known one is 4 MiB.
pub(super) const PACKET_BYTES_MAX: u64 = 9 * 1024 * 1024;

/// How an operation ended, by the numbers of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Success = 0,
    /// Too many open files.
    NoResources = 3,
    /// An argument is missing or makes no sense.
    InvalidArgument = 7,
    /// No such file or folder.
    ObjectNotFound = 8,
    /// A folder where a file is needed.
    ObjectIsFolder = 9,
    /// Outside of what this service may touch.
    PermissionDenied = 10,
    /// An operation that the phone does not have.
    OperationNotSupported = 15,
    /// There is one of that name.
    ObjectExists = 16,
    /// The storage is full.
    NoSpaceLeft = 18,
    /// Somebody else holds the lock.
    WouldBlock = 19,
    /// The disk failed.
    IoError = 20,
    /// A folder that is not empty.
    FolderNotEmpty = 33,
}

/// The operations that clients send, by the numbers of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ReadFolder,
    TruncatePath,
    RemovePath,
    MakeFolder,
    FileInfo,
    DeviceInfo,
    Open,
    Read,
    Write,
    Seek,
    Tell,
    Close,
    SetSize,
    ConnectionInfo,
    /// Options and block sizes: taken and without effect, as the answer is all that clients look at.
    Setting,
    Rename,
    Lock,
    MakeLink,
    Hash,
    SetModified,
    HashRange,
    RemoveWithContents,
    Unknown,
}

impl Operation {
    pub(super) fn from_number(number: u64) -> Self {
        match number {
            0x03 => Self::ReadFolder,
            0x07 => Self::TruncatePath,
            0x08 => Self::RemovePath,
            0x09 => Self::MakeFolder,
            0x0A => Self::FileInfo,
            0x0B => Self::DeviceInfo,
            0x0D => Self::Open,
            0x0F => Self::Read,
            0x10 => Self::Write,
            0x11 => Self::Seek,
            0x12 => Self::Tell,
            0x14 => Self::Close,
            0x15 => Self::SetSize,
            0x16 => Self::ConnectionInfo,
            0x17 | 0x19 | 0x1A => Self::Setting,
            0x18 => Self::Rename,
            0x1B => Self::Lock,
            0x1C => Self::MakeLink,
            0x1D => Self::Hash,
            0x1E => Self::SetModified,
            0x1F => Self::HashRange,
            0x22 => Self::RemoveWithContents,
            _ => Self::Unknown,
        }
    }
}

/// A request of a client.
#[derive(Debug)]
pub(super) struct Request {
    pub number: u64,
    pub operation: Operation,
    /// Arguments and data: clients differ in which of the two lengths covers them, so they are one.
    pub body: Vec<u8>,
}

/// What a request is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status(Status),
    Data(Vec<u8>),
    Opened(u64),
    Position(u64),
}

/// Reads one packet. `None` when the client closed the connection between two packets.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<Request>, ServiceError> {
    let reading = "reading an AFC packet";
    let mut header = [0_u8; HEADER_BYTES];
    let first = stream.read(&mut header).await.map_err(ServiceError::io(reading))?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut header[first..]).await.map_err(ServiceError::io(reading))?;
    if !header.starts_with(MAGIC) {
        return Err(ServiceError::protocol("an AFC packet must begin with CFA6LPAA"));
    }
    let length = number_at(&header, 8).unwrap_or(0);
    let Some(body_length) = length.checked_sub(HEADER_BYTES as u64) else {
        return Err(ServiceError::protocol("an AFC packet is shorter than its own header"));
    };
    if length > PACKET_BYTES_MAX {
        return Err(ServiceError::FrameTooLong { length, limit: PACKET_BYTES_MAX });
    }
    let mut body = Vec::new();
    // Known to be small enough; reserving once saves copying megabytes while the body grows.
    body.reserve_exact(usize::try_from(body_length).unwrap_or(0));
    let got = stream.take(body_length).read_to_end(&mut body).await.map_err(ServiceError::io(reading))?;
    if (got as u64) < body_length {
        return Err(ServiceError::Io { doing: reading, source: std::io::ErrorKind::UnexpectedEof.into() });
    }
    let operation = Operation::from_number(number_at(&header, 32).unwrap_or(0));
    Ok(Some(Request { number: number_at(&header, 24).unwrap_or(0), operation, body }))
}

/// Answers the request of this number.
pub(super) async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    number: u64,
    reply: Reply,
) -> Result<(), ServiceError> {
    let (operation, arguments, data): (u64, Vec<u8>, Vec<u8>) = match reply {
        Reply::Status(status) => (0x01, (status as u64).to_le_bytes().to_vec(), Vec::new()),
        Reply::Data(data) => (0x02, Vec::new(), data),
        Reply::Opened(handle) => (0x0E, handle.to_le_bytes().to_vec(), Vec::new()),
        Reply::Position(position) => (0x13, position.to_le_bytes().to_vec(), Vec::new()),
    };
    let this_length = HEADER_BYTES + arguments.len();
    let mut packet = Vec::with_capacity(this_length + data.len());
    packet.extend_from_slice(MAGIC);
    for field in [(this_length + data.len()) as u64, this_length as u64, number, operation] {
        packet.extend_from_slice(&field.to_le_bytes());
    }
    packet.extend_from_slice(&arguments);
    packet.extend_from_slice(&data);
    stream.write_all(&packet).await.map_err(ServiceError::io("answering an AFC packet"))?;
    stream.flush().await.map_err(ServiceError::io("answering an AFC packet"))
}

/// The little-endian number at this offset; `None` when the bytes end before.
pub(super) fn number_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*field))
}

/// The text up to a NUL (or the end) from this offset, and the offset behind the NUL.
pub(super) fn text_at(bytes: &[u8], offset: usize) -> Option<(&str, usize)> {
    let rest = bytes.get(offset..)?;
    let length = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let text = std::str::from_utf8(&rest[..length]).ok()?;
    Some((text, offset + length + 1))
}
