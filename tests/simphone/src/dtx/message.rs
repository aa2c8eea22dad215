//! One whole DTX message: what it is, its arguments and its payload. Cutting it into fragments is in
//! [`frame`](super::frame).

use super::DtxError;
use super::frame::Header;
use super::primitive::Primitive;
use crate::archive::{NsError, Object, decode, encode};

/// The bytes in front of arguments and payload: type, length of the arguments, length of both.
const PAYLOAD_HEADER_BYTES: usize = 16;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 0: done, with nothing to give back.
    Done,
    /// 1: raw bytes.
    Data,
    /// 2: a method call; the payload is the selector.
    Invocation,
    /// 3: an object: a reply, or an event when nobody asked.
    Object,
    /// 4: an `NSError` instead of a reply.
    Error,
    /// 5: a barrier.
    Barrier,
    /// 6: a bare primitive.
    Primitive,
    /// Any other number.
    Unknown(u8),
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Which message; a reply repeats the number of its request.
    pub identifier: u32,
    /// 0 for what is sent unasked, one more than the request for a reply.
    pub conversation: u32,
    /// The channel as its opener numbers it.
    pub channel: i32,
    /// Whether an answer is waited for.
    pub expects_reply: bool,
    /// What it is.
    pub kind: Kind,
    /// The arguments.
    pub arguments: Vec<Primitive>,
    /// The payload, mostly a keyed archive; empty when there is none.
    pub payload: Vec<u8>,
}

impl Message {
    /// Reads a whole message.
    ///
    /// # Errors
    /// [`DtxError`]; no input makes it panic.
    pub fn parse(header: &Header, body: &[u8]) -> Result<Self, DtxError> {
        let (head, rest) = body.split_first_chunk::<PAYLOAD_HEADER_BYTES>().ok_or(DtxError::Lengths)?;
        let length_at = |at: usize| {
            usize::try_from(u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]))
        };
        let (Ok(arguments), Ok(total)) = (length_at(4), length_at(8)) else { return Err(DtxError::Lengths) };
        let both = rest.get(..total).ok_or(DtxError::Lengths)?;
        let (arguments, payload) = both.split_at_checked(arguments).ok_or(DtxError::Lengths)?;
        let kind = Kind::from_number(head[0]);
        if kind == Kind::Unknown(7) {
            return Err(DtxError::Compressed);
        }
        Ok(Self {
            identifier: header.identifier,
            conversation: header.conversation,
            channel: header.channel,
            expects_reply: header.expects_reply,
            kind,
            arguments: Primitive::parse_all(arguments)?,
            payload: payload.to_vec(),
        })
    }

    /// The selector of a method call.
    #[must_use]
    pub fn selector(&self) -> Option<String> {
        match decode(&self.payload) {
            Ok(Object::String(selector)) if self.kind == Kind::Invocation => Some(selector),
            _ => None,
        }
    }

    /// The answer to this message. Nobody waits for it unless [`expects_reply`](Self::expects_reply).
    #[must_use]
    pub fn reply(&self, answer: Result<Option<Object>, NsError>) -> Self {
        let (kind, object) = match answer {
            Ok(None) => (Kind::Done, None),
            Ok(Some(object)) => (Kind::Object, Some(object)),
            Err(error) => (Kind::Error, Some(Object::Error(error))),
        };
        Self {
            identifier: self.identifier,
            conversation: self.conversation.wrapping_add(1),
            channel: self.channel,
            expects_reply: false,
            kind,
            arguments: Vec::new(),
            payload: object.as_ref().map(archived).unwrap_or_default(),
        }
    }

    /// An object sent unasked on a channel that the client opened.
    #[must_use]
    pub fn event(identifier: u32, channel: i32, object: &Object) -> Self {
        Self {
            identifier,
            conversation: 0,
            channel: channel.wrapping_neg(),
            expects_reply: false,
            kind: Kind::Object,
            arguments: Vec::new(),
            payload: archived(object),
        }
    }

    /// A method call without reply on a channel that the client opened; 0 is the connection itself.
    #[must_use]
    pub fn invocation(identifier: u32, channel: i32, selector: &str, arguments: &[Object]) -> Self {
        Self {
            identifier,
            conversation: 0,
            channel: channel.wrapping_neg(),
            expects_reply: false,
            kind: Kind::Invocation,
            arguments: arguments.iter().map(|object| Primitive::Buffer(archived(object))).collect(),
            payload: archived(&Object::from(selector)),
        }
    }

    /// The bytes on the wire, in fragments when it is long.
    #[must_use]
    pub fn wire(&self) -> Vec<u8> {
        let arguments = Primitive::write_all(&self.arguments);
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let mut body = vec![self.kind.number(), 0, 0, 0];
        body.extend_from_slice(&length(arguments.len()));
        body.extend_from_slice(&length(arguments.len() + self.payload.len()));
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&arguments);
        body.extend_from_slice(&self.payload);
        let header = Header {
            header_bytes: 32,
            index: 0,
            count: 1,
            length: 0,
            identifier: self.identifier,
            conversation: self.conversation,
            channel: self.channel,
            expects_reply: self.expects_reply,
        };
        header.frame(&body)
    }
}

impl Kind {
    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Done,
            1 => Self::Data,
            2 => Self::Invocation,
            3 => Self::Object,
            4 => Self::Error,
            5 => Self::Barrier,
            6 => Self::Primitive,
            other => Self::Unknown(other),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Data => 1,
            Self::Invocation => 2,
            Self::Object => 3,
            Self::Error => 4,
            Self::Barrier => 5,
            Self::Primitive => 6,
            Self::Unknown(other) => other,
        }
    }
}

fn archived(object: &Object) -> Vec<u8> {
    encode(object).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot archive an object; the client gets an empty payload");
        Vec::new()
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::{Assembler, FRAGMENT_BODY_BYTES_MAX, HEADER_BYTES};
    use super::*;

    /// What a client does with the wire: fragments, then messages.
    fn read_all(mut wire: &[u8]) -> Result<Vec<Message>, DtxError> {
        let mut assembler = Assembler::default();
        let mut messages = Vec::new();
        while let Some((head, rest)) = wire.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::parse(head)?;
            let skipped = header.header_bytes as usize - HEADER_BYTES;
            let Some((body, rest)) =
                rest.get(skipped..).and_then(|rest| rest.split_at_checked(header.body_bytes() as usize))
            else {
                return Err(DtxError::Lengths);
            };
            if let Some((header, body)) = assembler.add(header, body.to_vec())? {
                messages.push(Message::parse(&header, &body)?);
            }
            wire = rest;
        }
        Ok(messages)
    }

    #[test]
    fn a_call_has_the_layout_of_the_wire() {
        let wire = Message::invocation(7, 0, "_notifyOfPublishedCapabilities:", &[]).wire();
        assert_eq!(&wire[..16], [0x79, 0x5B, 0x3D, 0x1F, 32, 0, 0, 0, 0, 0, 1, 0, wire[12], wire[13], 0, 0]);
        assert_eq!(usize::from(u16::from_le_bytes([wire[12], wire[13]])), wire.len() - 32);
        assert_eq!(wire[16..32], [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(wire[32..40], [2, 0, 0, 0, 0, 0, 0, 0]);
        assert!(wire[48..].starts_with(b"bplist00"));
    }

    #[test]
    fn arguments_are_read_by_type() {
        let message = Message::invocation(1, 0, "a:", &[Object::from("text")]);
        let mut message = message;
        message.arguments.extend([Primitive::Int32(7), Primitive::Int64(-8), Primitive::Double(0.5)]);
        let read = read_all(&message.wire()).unwrap().remove(0);
        let objects: Vec<Object> = read.arguments.into_iter().map(Primitive::into_object).collect();
        let expected = [Object::from("text"), Object::from(7_u32), Object::from(-8_i64), Object::Real(0.5)];
        assert_eq!(objects, expected);
    }

    #[test]
    fn a_reply_repeats_the_number_and_the_channel_and_an_event_turns_the_channel_round() {
        let mut request = Message::invocation(9, 0, "runningProcesses", &[]);
        request.channel = 3;
        let reply = request.reply(Ok(Some(Object::from(true))));
        assert_eq!(
            (reply.identifier, reply.conversation, reply.channel, reply.kind),
            (9, 1, 3, Kind::Object)
        );
        let done = request.reply(Ok(None));
        assert_eq!((done.kind, done.payload.len()), (Kind::Done, 0));
        let event = Message::event(2, 3, &Object::Null);
        assert_eq!((event.conversation, event.channel, event.kind), (0, -3, Kind::Object));
    }

    #[test]
    fn the_first_fragment_of_several_has_no_body() {
        let long = Object::Data(vec![7; FRAGMENT_BODY_BYTES_MAX * 2]);
        let message = Message::event(5, 1, &long);
        let wire = message.wire();
        let first = Header::parse(wire.first_chunk().unwrap()).unwrap();
        let second = Header::parse(wire[HEADER_BYTES..].first_chunk().unwrap()).unwrap();
        assert_eq!((first.index, first.count, first.body_bytes()), (0, 4, 0));
        assert_eq!((second.index, second.length as usize), (1, FRAGMENT_BODY_BYTES_MAX));
        assert_eq!(read_all(&wire).unwrap(), vec![message]);
    }

    #[test]
    fn fragments_out_of_turn_and_too_many_unfinished_messages_are_refused() {
        let header = |identifier, index| Header {
            header_bytes: 32,
            index,
            count: 3,
            length: 4,
            identifier,
            conversation: 0,
            channel: 0,
            expects_reply: false,
        };
        let mut assembler = Assembler::default();
        assert!(assembler.add(header(1, 1), vec![0; 4]).is_err());
        assert!(assembler.add(header(1, 0), vec![]).unwrap().is_none());
        assert!(assembler.add(header(1, 2), vec![0; 4]).is_err());
        for identifier in 2..=16 {
            assert!(assembler.add(header(identifier, 0), vec![]).unwrap().is_none());
        }
        assert!(matches!(assembler.add(header(17, 0), vec![]), Err(DtxError::TooManyInFlight)));
    }

    proptest! {
        #[test]
        fn messages_survive_the_wire(
            identifier: u32,
            expects_reply: bool,
            selector in "[a-zA-Z:]{0,30}",
            numbers in proptest::collection::vec(any::<i64>(), 0..5),
        ) {
            let mut message = Message::invocation(identifier, 0, &selector, &[Object::Bool(true)]);
            message.expects_reply = expects_reply;
            message.arguments.extend(numbers.into_iter().map(Primitive::Int64));
            prop_assert_eq!(read_all(&message.wire()).unwrap(), vec![message]);
        }

        #[test]
        fn damaged_messages_never_panic(
            at in any::<prop::sample::Index>(),
            byte: u8,
            size in 0_usize..200_000,
        ) {
            let mut wire = Message::event(1, 2, &Object::Data(vec![0; size])).wire();
            wire.extend(Message::invocation(3, 0, "a:b:", &[Object::from(5_u32), Object::Null]).wire());
            let at = at.index(wire.len());
            wire[at] = byte;
            let _any = read_all(&wire);
            let _cut = read_all(&wire[..at]);
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut head = [0; HEADER_BYTES];
            head[..bytes.len().min(HEADER_BYTES)].copy_from_slice(&bytes[..bytes.len().min(HEADER_BYTES)]);
            let _any = Header::parse(&head);
            head[..4].copy_from_slice(&0x1F3D_5B79_u32.to_le_bytes());
            let header = Header { header_bytes: 32, index: 0, count: 1, length: 0, identifier: 0, conversation: 0,
                channel: 0, expects_reply: false };
            let _any = Message::parse(&header, &bytes).map(|message| message.selector());
            let _any = Primitive::parse_all(&bytes);
        }
    }
}
