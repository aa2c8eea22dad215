//! DTX, the protocol of instruments: calls of methods on named channels over one connection. Which methods are called
//! is in [`instruments`](crate::instruments).
//!
//! A message is a header of 32 bytes, a payload header of 16, the arguments and an archived selector or answer. A
//! large one comes in fragments, of which the first has a header only. An answer carries the number of its call and
//! the conversation after it.

use std::collections::BTreeMap;

use idevice::ReadWrite;
use plist::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::archive;
use crate::error::UsbError;
use crate::talk::dictionary;

const MAGIC: u32 = 0x1F3D_5B79;
const HEADER_BYTES: usize = 32;
const PAYLOAD_HEADER_BYTES: usize = 16;

/// Largest message read: a list of a thousand processes has 300 KB.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many messages may be in fragments at once: a phone interleaves two at most.
const PARTS_MAX: usize = 8;

/// What stands before every argument: a dictionary of arguments has no keys.
const NO_KEY: u32 = 10;
/// An argument in an archive.
const ARCHIVED: u32 = 2;
/// An argument of 32 bits.
const NUMBER: u32 = 3;
/// Marks the list of arguments.
const ARGUMENTS: u64 = 0x1F0;

mod kind {
    pub(super) const EMPTY: u8 = 0;
    pub(super) const CALL: u8 = 2;
    pub(super) const ANSWER: u8 = 3;
    pub(super) const ERROR: u8 = 4;
}

/// An argument of a call.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    /// As an archive.
    Object(Value),
    /// As a bare number; only the protocol's own calls take one.
    Number(u32),
}

/// Whether the phone is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Answer,
    Nothing,
}

/// What the phone answered to a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answered {
    /// An object, or nothing.
    Object(Option<Value>),
    /// An error object.
    Error(Value),
}

/// A connection to instruments.
#[derive(Debug)]
pub(crate) struct Dtx {
    stream: Box<dyn ReadWrite>,
    calls: u32,
    channels: BTreeMap<&'static str, i32>,
    parts: BTreeMap<(u32, u32), Vec<u8>>,
}

#[derive(Debug)]
struct Message {
    header: Header,
    kind: u8,
    object: Vec<u8>,
}

impl Dtx {
    /// Begins to talk on a connection: each side tells what it can.
    pub(crate) async fn begin(stream: Box<dyn ReadWrite>) -> Result<Self, UsbError> {
        let mut dtx = Self { stream, calls: 0, channels: BTreeMap::new(), parts: BTreeMap::new() };
        let abilities = dictionary([
            ("com.apple.private.DTXBlockCompression", Value::from(0_u64)),
            ("com.apple.private.DTXConnection", Value::from(1_u64)),
        ]);
        let arguments = [Argument::Object(Value::Dictionary(abilities))];
        dtx.send(0, "_notifyOfPublishedCapabilities:", &arguments, Wants::Nothing).await?;
        Ok(dtx)
    }

    /// Calls a method on a named channel, which is opened when it is not yet, and waits for the answer.
    pub(crate) async fn call(
        &mut self,
        channel: &'static str,
        selector: &str,
        arguments: &[Argument],
    ) -> Result<Answered, UsbError> {
        let code = self.channel(channel).await?;
        let number = self.send(code, selector, arguments, Wants::Answer).await?;
        self.answer(number).await
    }

    /// Calls a method that never answers.
    pub(crate) async fn tell(
        &mut self,
        channel: &'static str,
        selector: &str,
        arguments: &[Argument],
    ) -> Result<(), UsbError> {
        let code = self.channel(channel).await?;
        self.send(code, selector, arguments, Wants::Nothing).await.map(drop)
    }

    async fn channel(&mut self, name: &'static str) -> Result<i32, UsbError> {
        if let Some(code) = self.channels.get(name) {
            return Ok(*code);
        }
        let code = i32::try_from(self.channels.len() + 1).unwrap_or(i32::MAX);
        let arguments = [Argument::Number(code.unsigned_abs()), Argument::Object(name.into())];
        let number = self.send(0, "_requestChannelWithCode:identifier:", &arguments, Wants::Answer).await?;
        match self.answer(number).await? {
            Answered::Object(_) => {
                self.channels.insert(name, code);
                Ok(code)
            }
            Answered::Error(_) => Err(UsbError::ServiceMissing { service: name.to_owned() }),
        }
    }

    async fn send(
        &mut self,
        channel: i32,
        selector: &str,
        arguments: &[Argument],
        wants: Wants,
    ) -> Result<u32, UsbError> {
        self.calls += 1;
        let body = call_body(selector, arguments, wants)?;
        let header = Header {
            fragment: 0,
            fragments: 1,
            length: size(body.len())?,
            number: self.calls,
            conversation: 0,
            channel,
            wants_answer: wants == Wants::Answer,
        };
        self.write(&header, &body).await?;
        Ok(self.calls)
    }

    async fn write(&mut self, header: &Header, body: &[u8]) -> Result<(), UsbError> {
        let bytes = [header.bytes().as_slice(), body].concat();
        self.stream.write_all(&bytes).await.map_err(UsbError::stream)?;
        self.stream.flush().await.map_err(UsbError::stream)
    }

    /// Waits for an answer; what the phone says of itself meanwhile is confirmed where it wants that, and let pass.
    async fn answer(&mut self, number: u32) -> Result<Answered, UsbError> {
        loop {
            let message = self.receive().await?;
            if message.header.conversation == 0 {
                if message.header.wants_answer {
                    self.confirm(&message.header).await?;
                }
                continue;
            }
            if message.header.number == number {
                return answered(&message);
            }
        }
    }

    async fn confirm(&mut self, asked: &Header) -> Result<(), UsbError> {
        let header = Header {
            fragment: 0,
            fragments: 1,
            length: size(PAYLOAD_HEADER_BYTES)?,
            conversation: asked.conversation + 1,
            wants_answer: false,
            ..*asked
        };
        self.write(&header, &[0; PAYLOAD_HEADER_BYTES]).await
    }

    async fn receive(&mut self) -> Result<Message, UsbError> {
        loop {
            let mut bytes = [0; HEADER_BYTES];
            self.stream.read_exact(&mut bytes).await.map_err(UsbError::stream)?;
            let header = Header::parse(&bytes)?;
            let key = (header.number, header.conversation);
            // The first of several fragments has no body: its length is that of all.
            if header.fragments > 1 && header.fragment == 0 {
                self.parts.insert(key, Vec::new());
                if self.parts.len() > PARTS_MAX {
                    return Err(UsbError::protocol("too many messages in fragments at once"));
                }
                continue;
            }
            let mut body = vec![0; usize::try_from(header.length).unwrap_or(usize::MAX)];
            self.stream.read_exact(&mut body).await.map_err(UsbError::stream)?;
            if header.fragments > 1 {
                let whole = self.parts.entry(key).or_default();
                whole.append(&mut body);
                if whole.len() > MESSAGE_BYTES_MAX {
                    return Err(UsbError::protocol("a message that is too long"));
                }
                if header.fragment + 1 < header.fragments {
                    continue;
                }
                body = self.parts.remove(&key).unwrap_or_default();
            }
            return message(header, &body);
        }
    }
}

fn answered(message: &Message) -> Result<Answered, UsbError> {
    let object =
        || if message.object.is_empty() { Ok(None) } else { archive::decode(&message.object).map(Some) };
    match message.kind {
        kind::EMPTY => Ok(Answered::Object(None)),
        kind::ANSWER => Ok(match object()? {
            Some(error) if is_error(&error) => Answered::Error(error),
            object => Answered::Object(object),
        }),
        kind::ERROR => Ok(Answered::Error(object()?.unwrap_or_else(|| "an error without words".into()))),
        other => Err(UsbError::protocol(format!("an answer of kind {other}"))),
    }
}

fn is_error(object: &Value) -> bool {
    let class =
        object.as_dictionary().and_then(|fields| fields.get(archive::CLASS)).and_then(Value::as_string);
    class == Some("NSError")
}

fn message(header: Header, body: &[u8]) -> Result<Message, UsbError> {
    let bad = || UsbError::protocol("a message whose lengths do not agree");
    let word = |at: usize| {
        body.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes))
    };
    let kind = *body.first().ok_or_else(bad)?;
    let place = |at| usize::try_from(word(at).ok_or_else(bad)?).map_err(|_too_long| bad());
    let (arguments, whole) = (place(4)?, place(8)?);
    let start = PAYLOAD_HEADER_BYTES.checked_add(arguments).ok_or_else(bad)?;
    let end = PAYLOAD_HEADER_BYTES.checked_add(whole).ok_or_else(bad)?;
    Ok(Message { header, kind, object: body.get(start..end).ok_or_else(bad)?.to_vec() })
}

fn call_body(selector: &str, arguments: &[Argument], wants: Wants) -> Result<Vec<u8>, UsbError> {
    let mut list = Vec::new();
    for argument in arguments {
        list.extend_from_slice(&NO_KEY.to_le_bytes());
        match argument {
            Argument::Object(value) => {
                let bytes = archive::encode(value)?;
                list.extend_from_slice(&ARCHIVED.to_le_bytes());
                list.extend_from_slice(&size(bytes.len())?.to_le_bytes());
                list.extend_from_slice(&bytes);
            }
            Argument::Number(number) => {
                list.extend_from_slice(&NUMBER.to_le_bytes());
                list.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
    if !list.is_empty() {
        let head = [ARGUMENTS, u64::from(size(list.len())?)].map(u64::to_le_bytes).concat();
        list.splice(0..0, head);
    }
    let selector = archive::encode(&selector.into())?;
    let flags = u32::from(kind::CALL) | if wants == Wants::Answer { 0x1000 } else { 0 };
    let words =
        [flags, size(list.len())?, size(list.len() + selector.len())?, 0].map(u32::to_le_bytes).concat();
    Ok([words, list, selector].concat())
}

fn size(bytes: usize) -> Result<u32, UsbError> {
    u32::try_from(bytes).map_err(|_too_long| UsbError::protocol("a call that is too long"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    fragment: u16,
    fragments: u16,
    length: u32,
    number: u32,
    conversation: u32,
    channel: i32,
    wants_answer: bool,
}

impl Header {
    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let header_bytes = u32::try_from(HEADER_BYTES).unwrap_or(0);
        let fragments = u32::from(self.fragment) | (u32::from(self.fragments) << 16);
        let words = [MAGIC, header_bytes, fragments, self.length, self.number, self.conversation];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[24..28].copy_from_slice(&self.channel.to_le_bytes());
        bytes[28..].copy_from_slice(&u32::from(self.wants_answer).to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, UsbError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let header = Self {
            fragment: u16::from_le_bytes([bytes[8], bytes[9]]),
            fragments: u16::from_le_bytes([bytes[10], bytes[11]]),
            length: word(12),
            number: word(16),
            conversation: word(20),
            channel: word(24).cast_signed(),
            wants_answer: word(28) == 1,
        };
        let too_long = usize::try_from(header.length).is_ok_and(|length| length > MESSAGE_BYTES_MAX);
        if word(0) != MAGIC || word(4) != 32 || too_long || header.fragment >= header.fragments {
            return Err(UsbError::protocol("what is no DTX message"));
        }
        Ok(header)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn reply(number: u32, kind: u8, object: &[u8], fragments: u16) -> Vec<u8> {
        let length = u32::try_from(object.len()).unwrap();
        let body = [[u32::from(kind), 0, length, 0].map(u32::to_le_bytes).concat(), object.to_vec()].concat();
        let header = |fragment, length| Header {
            fragment,
            fragments,
            length,
            number,
            conversation: 1,
            channel: 1,
            wants_answer: false,
        };
        if fragments == 1 {
            return [header(0, u32::try_from(body.len()).unwrap()).bytes().to_vec(), body].concat();
        }
        let mut bytes = header(0, u32::try_from(body.len()).unwrap()).bytes().to_vec();
        let parts: Vec<&[u8]> = body.chunks(body.len().div_ceil(usize::from(fragments) - 1)).collect();
        for (place, part) in parts.iter().enumerate() {
            let fragment = u16::try_from(place + 1).unwrap();
            bytes.extend(header(fragment, u32::try_from(part.len()).unwrap()).bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    #[tokio::test]
    async fn answers_come_whole_and_in_fragments() {
        let seven = archive::encode(&Value::from(7_u64)).unwrap();
        let cases = [
            (reply(2, kind::ANSWER, &seven, 1), Answered::Object(Some(Value::from(7_u64)))),
            (reply(2, kind::ANSWER, &seven, 4), Answered::Object(Some(Value::from(7_u64)))),
            (reply(2, kind::EMPTY, &[], 1), Answered::Object(None)),
            (reply(2, kind::ERROR, &seven, 1), Answered::Error(Value::from(7_u64))),
        ];
        for (wire, expected) in cases {
            let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
            let mut dtx = Dtx::begin(Box::new(ours)).await.unwrap();
            // An answer to some earlier call must not be taken for this one's.
            theirs.write_all(&reply(1, kind::EMPTY, &[], 1)).await.unwrap();
            theirs.write_all(&wire).await.unwrap();
            assert_eq!(dtx.answer(2).await.unwrap(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: [u8; HEADER_BYTES], body: Vec<u8>) {
            let mut marked = bytes;
            marked[..8].copy_from_slice(&[MAGIC, 32].map(u32::to_le_bytes).concat());
            for bytes in [bytes, marked] {
                if let Ok(header) = Header::parse(&bytes)
                    && let Ok(message) = message(header, &body)
                {
                    let _answer = answered(&message);
                }
            }
        }
    }
}
