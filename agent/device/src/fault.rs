//! How an operation on a phone fails. The blame is decided here, once, where the failure is first seen.

use holdfast_wire::outcome::Blame;

/// A failed operation: what was tried on what, what came of it, whom it blames.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}: {kind}")]
pub struct Fault {
    /// What was tried, in the infinitive: `install Mooring 1.4.0`.
    pub operation: String,
    /// What came of it.
    pub kind: FaultKind,
    /// What lies beneath, when something does.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The phone left the bus, or closed the connection without a word.
    #[error("the phone is gone from the bus; look at its cable and port")]
    Gone,
    /// The phone did not answer in time; the connection has been dropped.
    #[error("the phone did not answer within {waited_ms} ms")]
    Silent {
        /// How long we waited, milliseconds.
        waited_ms: u64,
    },
    /// The phone does not trust this rack.
    #[error("the phone does not trust this rack; tap Trust on its screen")]
    NotPaired,
    /// A passcode locks the phone.
    #[error("the phone is locked by a passcode; unlock it")]
    Locked,
    /// The phone has not the room.
    #[error("the phone has no room left; free some storage")]
    NoRoom,
    /// The phone refused the app, with its own words (`ApplicationVerificationFailed: … 0xe8008015`).
    #[error("the phone refused the app: {words}")]
    AppRefused {
        /// The phone's words.
        words: String,
    },
    /// The app is not on the phone.
    #[error("the app is not on the phone")]
    AppMissing,
    /// A service that the operation needs is not offered (developer image, Developer Mode).
    #[error("the phone does not offer {service}; mount the developer image and switch Developer Mode on")]
    ServiceMissing {
        /// The service's name.
        service: String,
    },
    /// A file is not there.
    #[error("the file is not on the phone")]
    FileMissing,
    /// The phone said something that its protocol does not allow.
    #[error("the phone answered what we do not understand: {what}")]
    Protocol {
        /// What.
        what: String,
    },
    /// usbmuxd or the USB bus of the rack did not serve.
    #[error("the rack's usbmuxd does not serve: {what}")]
    Bus {
        /// What.
        what: String,
    },
    /// A file on the rack could not be read or written.
    #[error("the rack's disk does not serve: {what}")]
    Disk {
        /// What.
        what: String,
    },
    /// The code that talks to this phone panicked; the phone's connections have been dropped.
    #[error("the code that talks to the phone stopped: {what}")]
    Panicked {
        /// The panic's words.
        what: String,
    },
}

impl Fault {
    /// A fault with nothing beneath it.
    pub fn new(operation: impl Into<String>, kind: FaultKind) -> Self {
        Self { operation: operation.into(), kind, cause: None }
    }

    /// The same with what lies beneath.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Whom it blames.
    pub fn blame(&self) -> Blame {
        match &self.kind {
            FaultKind::Gone
            | FaultKind::Silent { .. }
            | FaultKind::NotPaired
            | FaultKind::Locked
            | FaultKind::NoRoom
            | FaultKind::ServiceMissing { .. }
            | FaultKind::FileMissing
            | FaultKind::Protocol { .. } => Blame::Phone,
            FaultKind::AppRefused { .. } | FaultKind::AppMissing => Blame::Job,
            FaultKind::Bus { .. } | FaultKind::Disk { .. } | FaultKind::Panicked { .. } => Blame::Rack,
        }
    }
}
