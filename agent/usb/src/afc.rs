//! A client of AFC, the file service, on a stream of its own: questions may be on the way before earlier ones are
//! answered, which the library's client cannot do. Uploads are in [`upload`](crate::upload).
//!
//! A packet is a little-endian header of 40 bytes (magic, whole length, length with the arguments, number,
//! operation), the arguments and the data. An answer carries the number of its question.

use std::collections::BTreeMap;

use idevice::ReadWrite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{UsbError, afc_status};

const MAGIC: &[u8; 8] = b"CFA6LPAA";
const HEADER_BYTES: usize = 40;

/// Largest answer read: a read of [`READ_BYTES`], or a folder of some ten thousand names.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes asked for in one read.
pub(crate) const READ_BYTES: u64 = 1024 * 1024;

/// The protocol's numbers of the operations used here.
mod operation {
    pub(super) const STATUS: u64 = 1;
    pub(super) const DATA: u64 = 2;
    pub(super) const READ_FOLDER: u64 = 3;
    pub(super) const REMOVE: u64 = 8;
    pub(super) const MAKE_FOLDER: u64 = 9;
    pub(super) const FILE_INFO: u64 = 0x0A;
    pub(super) const OPEN: u64 = 0x0D;
    pub(super) const OPENED: u64 = 0x0E;
    pub(super) const READ: u64 = 0x0F;
    pub(super) const WRITE: u64 = 0x10;
    pub(super) const CLOSE: u64 = 0x14;
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To read it.
    Read = 1,
    /// To write it anew.
    Write = 3,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A link, a device, something newer.
    Other,
}

/// What the phone tells of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    /// Bytes.
    pub(crate) size_bytes: u64,
    /// Nanoseconds since 1970 in the phone's clock.
    pub(crate) modified_ns: u64,
    /// What it is.
    pub(crate) kind: Kind,
}

/// A connection to AFC.
#[derive(Debug)]
pub(crate) struct Afc {
    stream: Box<dyn ReadWrite>,
    sent: u64,
    answered: u64,
}

#[derive(Debug)]
struct Packet {
    operation: u64,
    arguments: Vec<u8>,
    data: Vec<u8>,
}

impl Afc {
    pub(crate) fn new(stream: Box<dyn ReadWrite>) -> Self {
        Self { stream, sent: 0, answered: 0 }
    }

    /// The names in a folder, without `.` and `..`.
    pub(crate) async fn names(&mut self, path: &str) -> Result<Vec<String>, UsbError> {
        let answer = self.ask("list a folder", operation::READ_FOLDER, path.as_bytes()).await?;
        Ok(texts(&answer.data).filter(|name| name != "." && name != "..").collect())
    }

    /// What a path is.
    pub(crate) async fn info(&mut self, path: &str) -> Result<Info, UsbError> {
        let answer = self.ask("look at a file", operation::FILE_INFO, path.as_bytes()).await?;
        info(&answer.data).ok_or_else(|| UsbError::protocol(format!("no size of {path}")))
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) async fn remove(&mut self, path: &str) -> Result<(), UsbError> {
        match self.ask("remove a file", operation::REMOVE, path.as_bytes()).await {
            Err(UsbError::Afc { status: afc_status::NOT_FOUND, .. }) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Makes a folder; one that is there already is fine.
    pub(crate) async fn make_folder(&mut self, path: &str) -> Result<(), UsbError> {
        match self.ask("make a folder", operation::MAKE_FOLDER, path.as_bytes()).await {
            Err(UsbError::Afc { status: afc_status::EXISTS, .. }) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Opens a file; the phone's number for it is returned.
    pub(crate) async fn open(&mut self, path: &str, mode: Mode) -> Result<u64, UsbError> {
        let arguments = [&(mode as u64).to_le_bytes(), path.as_bytes()].concat();
        let answer = self.ask("open a file", operation::OPEN, &arguments).await?;
        match (answer.operation, answer.arguments.first_chunk()) {
            (operation::OPENED, Some(number)) => Ok(u64::from_le_bytes(*number)),
            _ => Err(UsbError::protocol("AFC opened a file without a number")),
        }
    }

    /// Reads on in an open file; nothing at its end.
    pub(crate) async fn read(&mut self, file: u64) -> Result<Vec<u8>, UsbError> {
        let arguments = [file.to_le_bytes(), READ_BYTES.to_le_bytes()].concat();
        let answer = self.ask("read a file", operation::READ, &arguments).await?;
        Ok(answer.data)
    }

    /// Closes an open file.
    pub(crate) async fn close(&mut self, file: u64) -> Result<(), UsbError> {
        self.ask("close a file", operation::CLOSE, &file.to_le_bytes()).await.map(drop)
    }

    /// Sends a write without waiting for its answer.
    pub(crate) async fn begin_write(&mut self, file: u64, data: &[u8]) -> Result<(), UsbError> {
        self.send(operation::WRITE, &file.to_le_bytes(), data).await
    }

    /// Waits for the answer of the oldest write that has none yet.
    pub(crate) async fn end_write(&mut self) -> Result<(), UsbError> {
        self.receive("write a file").await.map(drop)
    }

    /// Questions on the way.
    pub(crate) fn outstanding(&self) -> u64 {
        self.sent - self.answered
    }

    async fn ask(
        &mut self,
        action: &'static str,
        operation: u64,
        arguments: &[u8],
    ) -> Result<Packet, UsbError> {
        self.send(operation, arguments, &[]).await?;
        self.receive(action).await
    }

    async fn send(&mut self, operation: u64, arguments: &[u8], data: &[u8]) -> Result<(), UsbError> {
        let head = HEADER_BYTES + arguments.len();
        let mut bytes = Vec::with_capacity(head);
        bytes.extend_from_slice(MAGIC);
        for word in [length(head + data.len()), length(head), self.sent, operation] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(arguments);
        self.sent += 1;
        self.stream.write_all(&bytes).await.map_err(UsbError::stream)?;
        self.stream.write_all(data).await.map_err(UsbError::stream)?;
        self.stream.flush().await.map_err(UsbError::stream)
    }

    async fn receive(&mut self, action: &'static str) -> Result<Packet, UsbError> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).await.map_err(UsbError::stream)?;
        let header = Header::parse(&header)?;
        if header.number != self.answered {
            let expected = self.answered;
            return Err(UsbError::protocol(format!("AFC answered {} before {expected}", header.number)));
        }
        let mut arguments = vec![0; header.arguments];
        self.stream.read_exact(&mut arguments).await.map_err(UsbError::stream)?;
        let mut data = vec![0; header.data];
        self.stream.read_exact(&mut data).await.map_err(UsbError::stream)?;
        self.answered += 1;
        match (header.operation, arguments.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))) {
            (operation::STATUS, Some(0)) | (operation::DATA | operation::OPENED, _) => {
                Ok(Packet { operation: header.operation, arguments, data })
            }
            (operation::STATUS, Some(status)) => Err(UsbError::Afc { action, status }),
            (other, _) => Err(UsbError::protocol(format!("AFC answered with operation {other}"))),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Header {
    arguments: usize,
    data: usize,
    number: u64,
    operation: u64,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, UsbError> {
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
            u64::from_le_bytes(word)
        };
        let size = |index| usize::try_from(word(index)).unwrap_or(usize::MAX);
        let (whole, head) = (size(1), size(2));
        if &bytes[..8] != MAGIC || head < HEADER_BYTES || whole < head || whole > ANSWER_BYTES_MAX {
            return Err(UsbError::protocol(format!("an AFC packet of {whole} bytes, {head} in its head")));
        }
        Ok(Self { arguments: head - HEADER_BYTES, data: whole - head, number: word(3), operation: word(4) })
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The texts of a list that has a zero byte after each.
fn texts(data: &[u8]) -> impl Iterator<Item = String> {
    data.split(|byte| *byte == 0)
        .filter(|text| !text.is_empty())
        .map(|text| String::from_utf8_lossy(text).into_owned())
}

fn info(data: &[u8]) -> Option<Info> {
    let list: Vec<String> = texts(data).collect();
    let fields: BTreeMap<&str, &str> =
        list.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    Some(Info {
        size_bytes: fields.get("st_size")?.parse().ok()?,
        modified_ns: fields.get("st_mtime").and_then(|text| text.parse().ok()).unwrap_or(0),
        kind: match *fields.get("st_ifmt")? {
            "S_IFREG" => Kind::File,
            "S_IFDIR" => Kind::Folder,
            _ => Kind::Other,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_phone_tells_of_a_path_is_read() {
        let file = Info { size_bytes: 7, modified_ns: 1_700_000_000_000_000_001, kind: Kind::File };
        let cases: [(&str, Option<Info>); 5] = [
            ("st_size\x007\0st_ifmt\0S_IFREG\0st_mtime\x001700000000000000001\0", Some(file)),
            ("st_size\x007\0st_ifmt\0S_IFDIR\0", Some(Info { modified_ns: 0, kind: Kind::Folder, ..file })),
            ("st_size\x007\0st_ifmt\0S_IFLNK\0", Some(Info { modified_ns: 0, kind: Kind::Other, ..file })),
            ("st_size\0-7\0st_ifmt\0S_IFREG\0", None),
            ("st_size\x007", None),
        ];
        for (text, expected) in cases {
            assert_eq!(info(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(header: [u8; HEADER_BYTES], body: Vec<u8>) {
            let _header = Header::parse(&header);
            let _info = info(&body);
            let mut marked = header;
            marked[..8].copy_from_slice(MAGIC);
            let _header = Header::parse(&marked);
        }
    }
}
