//! The 32 bytes in front of every DTX fragment, and putting fragments together. What is inside a whole message is in
//! [`message`](super::message).

use std::collections::BTreeMap;

use super::DtxError;

/// The length of a header in bytes. A header may say that it is longer; the rest is skipped.
pub const HEADER_BYTES: usize = 32;

/// The first four bytes of a header, little endian.
const MAGIC: u32 = 0x1F3D_5B79;

/// The longest header that is skipped over.
const HEADER_BYTES_MAX: u32 = 256;

/// The longest message, and the most bytes of all unfinished messages together. The largest that a client sends is an
/// XCTest configuration of a few kilobytes.
pub const MESSAGE_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// How many unfinished messages one client may have.
pub const IN_FLIGHT_MAX: usize = 16;

/// How many bytes after the header a fragment of ours has at most: real phones stay below 64 KiB with their header.
pub const FRAGMENT_BODY_BYTES_MAX: usize = 65_504;

/// What stands in front of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The length of the header itself, at least [`HEADER_BYTES`].
    pub header_bytes: u32,
    /// Which fragment this is, from 0.
    pub index: u16,
    /// How many fragments the message has. With more than one, fragment 0 has no body and its length is that of all
    /// bodies together.
    pub count: u16,
    /// How many bytes follow the header.
    pub length: u32,
    /// Which message: a reply repeats it.
    pub identifier: u32,
    /// 0 for what is sent unasked, one more than the request for a reply.
    pub conversation: u32,
    /// The channel, seen from its opener: whoever did not open it sees it negative.
    pub channel: i32,
    /// Whether an answer is waited for.
    pub expects_reply: bool,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`DtxError::NotDtx`] for other bytes, [`DtxError::TooLong`] for a message over the limit.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, DtxError> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let header_bytes = u32_at(4);
        let known = HEADER_BYTES as u32..=HEADER_BYTES_MAX;
        let header = Self {
            header_bytes,
            index: u16_at(8),
            count: u16_at(10),
            length: u32_at(12),
            identifier: u32_at(16),
            conversation: u32_at(20),
            channel: i32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]),
            expects_reply: u32_at(28) & 1 == 1,
        };
        if u32_at(0) != MAGIC || !known.contains(&header_bytes) || header.index >= header.count {
            return Err(DtxError::NotDtx);
        }
        if header.length > MESSAGE_BYTES_MAX {
            return Err(DtxError::TooLong(header.length.into()));
        }
        Ok(header)
    }

    /// How many bytes of body follow on the wire: none after the first of several fragments.
    #[must_use]
    pub fn body_bytes(&self) -> u32 {
        if self.count > 1 && self.index == 0 { 0 } else { self.length }
    }

    /// The bytes of the header.
    #[must_use]
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        bytes[8..10].copy_from_slice(&self.index.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.identifier.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.conversation.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.channel.to_le_bytes());
        bytes[28..32].copy_from_slice(&u32::from(self.expects_reply).to_le_bytes());
        bytes
    }

    /// Header and body as they go on the wire, cut into fragments when the body is long.
    #[must_use]
    pub fn frame(self, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if body.len() <= FRAGMENT_BODY_BYTES_MAX {
            let whole = Self { index: 0, count: 1, length, ..self };
            return [&whole.bytes()[..], body].concat();
        }
        let pieces = body.chunks(FRAGMENT_BODY_BYTES_MAX);
        let count = u16::try_from(pieces.len() + 1).unwrap_or(u16::MAX);
        let mut wire = Self { index: 0, count, length, ..self }.bytes().to_vec();
        for (index, piece) in (1..).zip(pieces) {
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            wire.extend_from_slice(&Self { index, count, length, ..self }.bytes());
            wire.extend_from_slice(piece);
        }
        wire
    }
}

/// Puts the fragments of one client's messages together.
#[derive(Debug, Default)]
pub struct Assembler {
    unfinished: BTreeMap<u32, Unfinished>,
    buffered: u64,
}

#[derive(Debug)]
struct Unfinished {
    first: Header,
    next: u16,
    body: Vec<u8>,
}

impl Assembler {
    /// Takes a fragment; gives back the header and body of a message that is whole now.
    ///
    /// # Errors
    /// [`DtxError`] when the fragment is out of turn or over a limit.
    pub fn add(&mut self, header: Header, body: Vec<u8>) -> Result<Option<(Header, Vec<u8>)>, DtxError> {
        if header.count == 1 {
            return Ok(Some((header, body)));
        }
        let (identifier, index, count) = (header.identifier, header.index, header.count);
        let out_of_turn = DtxError::FragmentOutOfTurn { identifier, index, count };
        if index == 0 {
            if self.unfinished.contains_key(&identifier) {
                return Err(out_of_turn);
            }
            if self.unfinished.len() == IN_FLIGHT_MAX {
                return Err(DtxError::TooManyInFlight);
            }
            self.unfinished.insert(identifier, Unfinished { first: header, next: 1, body: Vec::new() });
            return Ok(None);
        }
        let Some(message) = self.unfinished.get_mut(&identifier) else { return Err(out_of_turn) };
        if message.next != index || message.first.count != count {
            return Err(out_of_turn);
        }
        self.buffered += body.len() as u64;
        if self.buffered > u64::from(MESSAGE_BYTES_MAX) {
            return Err(DtxError::TooLong(self.buffered));
        }
        message.body.extend_from_slice(&body);
        message.next += 1;
        if message.next < count {
            return Ok(None);
        }
        let Some(whole) = self.unfinished.remove(&identifier) else { return Err(out_of_turn) };
        self.buffered -= whole.body.len() as u64;
        Ok(Some((whole.first, whole.body)))
    }
}
