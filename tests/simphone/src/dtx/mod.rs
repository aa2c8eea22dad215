//! DTX: the message layer under the developer services (headers, fragments, arguments, channels).
//! The services that are spoken to over it are in [`instruments`](crate::instruments).

mod channel;
mod connection;
mod frame;
mod message;
mod primitive;

pub use channel::{Answer, Call, Channel, Events, OpenChannel};
pub use connection::{Served, serve};
pub use frame::{Assembler, FRAGMENT_BODY_BYTES_MAX, HEADER_BYTES, Header, IN_FLIGHT_MAX, MESSAGE_BYTES_MAX};
pub use message::{Kind, Message};
pub use primitive::Primitive;

/// Why a client's bytes are no DTX.
#[derive(Debug, thiserror::Error)]
pub enum DtxError {
    /// The header does not begin with DTX's magic number, or is shorter than one.
    #[error("not a DTX header; the client may be speaking another protocol")]
    NotDtx,
    /// More bytes in one message, or in all unfinished ones, than allowed.
    #[error("a message of {0} bytes is over the limit of {MESSAGE_BYTES_MAX}; send a smaller one")]
    TooLong(u64),
    /// More unfinished messages than allowed.
    #[error("more than {IN_FLIGHT_MAX} unfinished messages; finish one first")]
    TooManyInFlight,
    /// A fragment that fits no unfinished message, or out of turn.
    #[error("fragment {index} of {count} of message {identifier} is out of turn")]
    FragmentOutOfTurn {
        /// Which message.
        identifier: u32,
        /// Which fragment, from 0.
        index: u16,
        /// Of how many.
        count: u16,
    },
    /// Lengths inside a message contradict each other.
    #[error("the lengths inside a message contradict each other")]
    Lengths,
    /// An argument of a type that is not known.
    #[error("an argument of the unknown type {0:#x}")]
    UnknownPrimitive(u32),
    /// A compressed message, which real phones send but no client does.
    #[error("compressed messages are not understood")]
    Compressed,
}
