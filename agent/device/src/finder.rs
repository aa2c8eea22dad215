//! Which phones are on the bus.

use holdfast_wire::id::{Slot, Udid};

use crate::fault::Fault;
use crate::phone::Phone;

/// A phone on the bus: one plugging-in of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The phone.
    pub udid: Udid,
    /// usbmuxd's number for this plugging-in; another one after every re-attach.
    pub number: u64,
    /// Where it is plugged in.
    pub slot: Slot,
    /// Negotiated USB speed, bits per second, when it is known.
    pub speed_bps: Option<u64>,
}

/// What happened on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinderEvent {
    /// A phone came.
    Attached(Attachment),
    /// The plugging-in of this number ended.
    Detached {
        /// The phone.
        udid: Udid,
        /// Its number.
        number: u64,
    },
    /// usbmuxd went away: nothing is known until the next `Attached`. The finder connects again by itself.
    BusLost {
        /// Why, for people.
        reason: String,
    },
    /// usbmuxd is back: every phone that is present follows as `Attached`.
    BusFound,
}

/// Finds phones, and keeps finding them when usbmuxd restarts.
pub trait Finder: Send + 'static {
    /// The phone that this finder hands out.
    type Phone: Phone;

    /// Waits for the next thing that happens on the bus. Safe to drop and call again: no event is lost.
    fn next(&mut self) -> impl Future<Output = FinderEvent> + Send;

    /// A handle on an attached phone. Cheap: nothing is said to the phone yet.
    ///
    /// # Errors
    /// [`crate::FaultKind::Gone`] when it has left the bus since.
    fn open(&self, attachment: &Attachment) -> Result<Self::Phone, Fault>;
}
