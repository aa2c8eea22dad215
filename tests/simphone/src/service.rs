//! What a service of a phone is: a name, the iOS versions that have it, and a function that serves one connection.
//! Which services exist is told by the [registry](crate::registry).

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::phone::Phone;

/// A connection to a client: bytes in, bytes out. TLS and the faults of the link are already inside.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Any connection to a client.
pub type BoxStream = Box<dyn Stream>;

/// A future on the heap that any thread may run.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Serves one connection until the client is done. Dropped when the phone is detached or reboots.
/// An `Err` is logged and closes the connection; it disturbs nothing else.
pub type StartService = fn(BoxStream, Arc<Phone>) -> BoxFuture<'static, Result<(), ServiceError>>;

/// One service that lockdown can start by name.
#[derive(Debug, Clone)]
pub struct Service {
    /// The name clients ask for, such as `com.apple.afc`.
    pub name: &'static str,
    /// The major versions of iOS whose lockdown offers it; elsewhere the answer is `InvalidService`.
    pub ios: RangeInclusive<u16>,
    /// Serves one connection.
    pub start: StartService,
}

/// Every version of iOS.
pub const EVERY_IOS: RangeInclusive<u16> = 0..=u16::MAX;

/// iOS 16 and older: developer services left lockdown with iOS 17.
pub const BEFORE_IOS_17: RangeInclusive<u16> = 0..=16;

/// Why a service gave up on one connection.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The connection or a file failed.
    #[error("cannot go on while {doing}")]
    Io {
        /// What was being done, such as `reading a request`.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The client announced a frame that no real request needs.
    #[error("a frame of {length} bytes is over the limit of {limit}; send a smaller one")]
    FrameTooLong {
        /// The announced length in bytes.
        length: u64,
        /// The longest length allowed in bytes.
        limit: u64,
    },
    /// The bytes are not a property list, or a value cannot be one.
    #[error("cannot understand the property list")]
    Plist {
        /// What the parser says.
        #[source]
        source: plist::Error,
    },
    /// The client broke the protocol.
    #[error("the client broke the protocol: {what}")]
    Protocol {
        /// What was wrong, and what was expected.
        what: String,
    },
}

impl ServiceError {
    /// For `map_err`: names what was being done when an [`std::io::Error`] came.
    pub fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// The client broke the protocol in the way told.
    #[must_use]
    pub fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol { what: what.into() }
    }
}
