//! What a service behind a DTX channel is: it answers calls, and may send events. Which channels exist is told by
//! [`instruments`](crate::instruments).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::mpsc;

use super::message::Message;
use crate::archive::{NsError, Object};
use crate::service::BoxFuture;

/// One method call on a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Such as `killPid:`.
    pub selector: String,
    /// In order.
    pub arguments: Vec<Object>,
}

impl Call {
    /// The argument at this position, or `NSNull`.
    #[must_use]
    pub fn argument(&self, position: usize) -> &Object {
        self.arguments.get(position).unwrap_or(&Object::Null)
    }

    /// The process id at this position.
    ///
    /// # Errors
    /// The `NSError` to answer with when the argument is no process id.
    pub fn pid(&self, position: usize) -> Result<u32, NsError> {
        self.argument(position)
            .as_i64()
            .and_then(|pid| u32::try_from(pid).ok())
            .ok_or_else(|| self.refuse("the argument is not a process id"))
    }

    /// The text at this position.
    ///
    /// # Errors
    /// The `NSError` to answer with when the argument is no text.
    pub fn text(&self, position: usize) -> Result<&str, NsError> {
        self.argument(position).as_str().ok_or_else(|| self.refuse("the argument is not a string"))
    }

    /// The answer of an object that has no such method.
    #[must_use]
    pub fn not_understood(&self) -> NsError {
        let what = format!("Unable to invoke '{}' - it does not respond to the selector", self.selector);
        NsError::new("DTXMessage", 1, &what)
    }

    fn refuse(&self, why: &str) -> NsError {
        NsError::new("DTXMessage", 1, &format!("Unable to invoke -[{}]: {why}", self.selector))
    }
}

/// The answer to a call: nothing, an object, or an error.
pub type Answer = Result<Option<Object>, NsError>;

/// A service behind one open channel. Dropped when the channel or the connection is closed.
pub trait Channel: Send {
    /// Answers one call. The calls of a connection are answered in their order.
    fn call<'a>(&'a mut self, call: &'a Call) -> BoxFuture<'a, Answer>;
}

/// Opens the channel of this name; `None` when there is none.
pub type OpenChannel<'a> = dyn FnMut(&str, Events) -> Option<Box<dyn Channel>> + Send + 'a;

/// Sends events on one channel.
#[derive(Debug, Clone)]
pub struct Events {
    channel: i32,
    identifiers: Arc<AtomicU32>,
    outgoing: mpsc::Sender<Vec<u8>>,
}

impl Events {
    pub(super) fn new(channel: i32, identifiers: Arc<AtomicU32>, outgoing: mpsc::Sender<Vec<u8>>) -> Self {
        Self { channel, identifiers, outgoing }
    }

    /// Sends an object unasked. Waits while the client is slow to read; `false` when it is gone.
    pub async fn send(&self, object: &Object) -> bool {
        let message = Message::event(self.next_identifier(), self.channel, object);
        self.outgoing.send(message.wire()).await.is_ok()
    }

    /// Calls a method of the client without waiting for an answer; `false` when it is gone.
    pub async fn invoke(&self, selector: &str, arguments: &[Object]) -> bool {
        let message = Message::invocation(self.next_identifier(), self.channel, selector, arguments);
        self.outgoing.send(message.wire()).await.is_ok()
    }

    fn next_identifier(&self) -> u32 {
        self.identifiers.fetch_add(1, Ordering::Relaxed)
    }
}
