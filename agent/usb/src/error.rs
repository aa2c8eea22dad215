//! What can go wrong on the way to a phone, and the one place where that becomes a [`Fault`]. Whom a fault blames
//! is decided in `agent/device`.

use std::io;

use holdfast_device::{Fault, FaultKind};
use idevice::IdeviceError;

/// What went wrong, as the layer saw it that met it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsbError {
    /// usbmuxd is not there or does not answer.
    #[error("cannot talk to usbmuxd")]
    MuxerDown {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// usbmuxd said something that its protocol does not allow.
    #[error("usbmuxd answered what we do not understand: {what}")]
    MuxerProtocol {
        /// What.
        what: String,
    },
    /// usbmuxd has no such plugging-in.
    #[error("usbmuxd has no such device")]
    NotOnBus,
    /// Nothing listens on that port of the phone.
    #[error("the phone refused port {port}")]
    PortRefused {
        /// Which.
        port: u16,
    },
    /// Reading or writing a connection to the phone.
    #[error("the connection to the phone failed")]
    Stream {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What the library met.
    #[error("lockdown failed")]
    Idevice {
        /// What.
        #[source]
        source: IdeviceError,
    },
    /// This rack has no pair record, or the phone does not know it.
    #[error("the phone does not know this rack")]
    NotPaired,
    /// A passcode locks the phone.
    #[error("a passcode locks the phone")]
    Locked,
    /// A service is not offered.
    #[error("{service} is not offered")]
    ServiceMissing {
        /// Which.
        service: String,
    },
    /// AFC's answer to an operation was a status.
    #[error("AFC refused to {action} with status {status}")]
    Afc {
        /// What was asked.
        action: &'static str,
        /// The number.
        status: u64,
    },
    /// The phone refused an app.
    #[error("the phone refused the app: {words}")]
    AppRefused {
        /// Its words.
        words: String,
    },
    /// No such app.
    #[error("no such app")]
    AppMissing,
    /// The phone said something that the protocol does not allow.
    #[error("the phone answered what we do not understand: {what}")]
    Protocol {
        /// What.
        what: String,
    },
    /// The phone said nothing for too long.
    #[error("nothing was heard for {waited_ms} ms")]
    Silent {
        /// How long, milliseconds.
        waited_ms: u64,
    },
    /// A file on the rack.
    #[error("cannot {action}")]
    Disk {
        /// What was tried, with the path.
        action: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// AFC's status numbers that mean something to us (the same in every client of it).
pub(crate) mod afc_status {
    /// No such file.
    pub(crate) const NOT_FOUND: u64 = 8;
    /// Not allowed.
    pub(crate) const PERMISSION: u64 = 10;
    /// It exists already.
    pub(crate) const EXISTS: u64 = 16;
    /// The phone is full.
    pub(crate) const NO_SPACE: u64 = 18;
}

impl UsbError {
    /// usbmuxd said something odd.
    pub(crate) fn muxer(what: impl Into<String>) -> Self {
        Self::MuxerProtocol { what: what.into() }
    }

    /// The phone said something odd.
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol { what: what.into() }
    }

    /// A failed read or write of a connection to the phone.
    pub(crate) fn stream(source: io::Error) -> Self {
        Self::Stream { source }
    }

    /// What it means above this crate.
    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            Self::MuxerDown { source } => FaultKind::Bus { what: source.to_string() },
            Self::MuxerProtocol { what } => FaultKind::Bus { what: what.clone() },
            Self::NotOnBus | Self::PortRefused { .. } => FaultKind::Gone,
            Self::Stream { source } => stream_kind(source),
            Self::Idevice { source } => idevice_kind(source),
            Self::NotPaired => FaultKind::NotPaired,
            Self::Locked => FaultKind::Locked,
            Self::ServiceMissing { service } => FaultKind::ServiceMissing { service: service.clone() },
            Self::Afc { status: afc_status::NO_SPACE, .. } => FaultKind::NoRoom,
            Self::Afc { status: afc_status::NOT_FOUND, .. } => FaultKind::FileMissing,
            Self::Afc { action, status } => {
                FaultKind::Protocol { what: format!("AFC refused to {action} with status {status}") }
            }
            Self::AppRefused { words } => app_kind(words),
            Self::AppMissing => FaultKind::AppMissing,
            Self::Protocol { what } => FaultKind::Protocol { what: what.clone() },
            Self::Silent { waited_ms } => FaultKind::Silent { waited_ms: *waited_ms },
            Self::Disk { action, source } => FaultKind::Disk { what: format!("{action}: {source}") },
        }
    }

    /// As a fault of an operation.
    pub(crate) fn during(self, operation: impl Into<String>) -> Fault {
        Fault::new(operation, self.kind()).because(self)
    }
}

impl From<IdeviceError> for UsbError {
    fn from(source: IdeviceError) -> Self {
        Self::Idevice { source }
    }
}

/// A phone that leaves the bus, restarts or closes a connection is seen as one of these. TLS without its closing
/// message arrives as `UnexpectedEof`.
fn stream_kind(error: &io::Error) -> FaultKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        | io::ErrorKind::WriteZero => FaultKind::Gone,
        _ if error.to_string().contains("close_notify") => FaultKind::Gone,
        _ => FaultKind::Protocol { what: error.to_string() },
    }
}

fn idevice_kind(error: &IdeviceError) -> FaultKind {
    match error {
        IdeviceError::Socket(error) => stream_kind(error),
        IdeviceError::NoEstablishedConnection | IdeviceError::DeviceNotFound => FaultKind::Gone,
        IdeviceError::InvalidHostID
        | IdeviceError::PairingDialogResponsePending
        | IdeviceError::UserDeniedPairing => FaultKind::NotPaired,
        IdeviceError::DeviceLocked | IdeviceError::PasswordProtected => FaultKind::Locked,
        IdeviceError::ServiceNotFound => FaultKind::ServiceMissing { service: "the service".to_owned() },
        IdeviceError::DeveloperModeNotEnabled => {
            FaultKind::ServiceMissing { service: "Developer Mode".to_owned() }
        }
        IdeviceError::UnknownErrorType(words) if words == "PasswordProtected" => FaultKind::Locked,
        other => FaultKind::Protocol { what: chain(other) },
    }
}

/// iOS has no error number of its own for a full phone; its words are the system's (`ENOSPC`) or the installer's.
fn app_kind(words: &str) -> FaultKind {
    let lower = words.to_lowercase();
    let full = ["no space left", "not enough space", "not enough free space", "insufficient space"];
    if full.iter().any(|text| lower.contains(text)) {
        FaultKind::NoRoom
    } else {
        FaultKind::AppRefused { words: words.to_owned() }
    }
}

/// An error and everything beneath it in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eof(words: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::UnexpectedEof, words)
    }

    #[test]
    fn every_error_has_its_fault() {
        let protocol = |what: &str| FaultKind::Protocol { what: what.to_owned() };
        let refused = |words: &str| FaultKind::AppRefused { words: words.to_owned() };
        let closed = "peer closed connection without sending TLS close_notify";
        let cases: Vec<(UsbError, FaultKind)> = vec![
            (UsbError::MuxerDown { source: io::Error::other("no") }, FaultKind::Bus { what: "no".into() }),
            (UsbError::muxer("odd"), FaultKind::Bus { what: "odd".into() }),
            (UsbError::NotOnBus, FaultKind::Gone),
            (UsbError::PortRefused { port: 62078 }, FaultKind::Gone),
            (UsbError::stream(eof(closed)), FaultKind::Gone),
            (UsbError::stream(io::Error::other(closed)), FaultKind::Gone),
            (UsbError::stream(io::ErrorKind::BrokenPipe.into()), FaultKind::Gone),
            (UsbError::stream(io::ErrorKind::ConnectionReset.into()), FaultKind::Gone),
            (UsbError::stream(io::Error::other("bad record")), protocol("bad record")),
            (IdeviceError::Socket(eof(closed)).into(), FaultKind::Gone),
            (IdeviceError::InvalidHostID.into(), FaultKind::NotPaired),
            (IdeviceError::UserDeniedPairing.into(), FaultKind::NotPaired),
            (IdeviceError::PasswordProtected.into(), FaultKind::Locked),
            (IdeviceError::DeviceLocked.into(), FaultKind::Locked),
            (
                IdeviceError::UnknownErrorType("Huh".into()).into(),
                protocol("unknown error `Huh` returned from device"),
            ),
            (UsbError::NotPaired, FaultKind::NotPaired),
            (UsbError::Locked, FaultKind::Locked),
            (
                UsbError::ServiceMissing { service: "x".into() },
                FaultKind::ServiceMissing { service: "x".into() },
            ),
            (UsbError::Afc { action: "write", status: 18 }, FaultKind::NoRoom),
            (UsbError::Afc { action: "open", status: 8 }, FaultKind::FileMissing),
            (UsbError::Afc { action: "open", status: 10 }, protocol("AFC refused to open with status 10")),
            (
                UsbError::AppRefused { words: "ApplicationVerificationFailed: 0xe8008015".into() },
                refused("ApplicationVerificationFailed: 0xe8008015"),
            ),
            (UsbError::AppRefused { words: "write: No space left on device".into() }, FaultKind::NoRoom),
            (UsbError::AppMissing, FaultKind::AppMissing),
            (UsbError::protocol("odd"), protocol("odd")),
            (UsbError::Silent { waited_ms: 7 }, FaultKind::Silent { waited_ms: 7 }),
            (
                UsbError::Disk { action: "read a.ipa".into(), source: io::Error::other("bad sector") },
                FaultKind::Disk { what: "read a.ipa: bad sector".into() },
            ),
        ];
        for (error, expected) in cases {
            let words = format!("{error:?}");
            assert_eq!(error.kind(), expected, "{words}");
        }
    }
}
