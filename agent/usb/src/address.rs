//! Where usbmuxd serves, in every form that tools write it. What is said there is [`muxer`](crate::muxer)'s.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use idevice::ReadWrite;
use tokio::net::{TcpStream, UnixStream};

/// Where usbmuxd listens on Linux and macOS.
const SYSTEM_SOCKET: &str = "/var/run/usbmuxd";

/// Where usbmuxd serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MuxerAddress {
    /// A unix socket.
    Path(PathBuf),
    /// A TCP port: `host:port`.
    Tcp(String),
}

/// Why a text is no address of usbmuxd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of usbmuxd; write /path, UNIX:/path or host:port")]
pub struct MuxerAddressError {
    text: String,
}

impl MuxerAddress {
    pub(crate) async fn connect(&self) -> std::io::Result<Box<dyn ReadWrite>> {
        Ok(match self {
            Self::Path(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(host_port) => {
                let stream = TcpStream::connect(host_port.as_str()).await?;
                // Questions and answers are small; Nagle's delay would cost 40 ms each.
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

impl Default for MuxerAddress {
    fn default() -> Self {
        Self::Path(PathBuf::from(SYSTEM_SOCKET))
    }
}

impl FromStr for MuxerAddress {
    type Err = MuxerAddressError;

    fn from_str(text: &str) -> Result<Self, MuxerAddressError> {
        let refused = || MuxerAddressError { text: text.chars().take(120).collect() };
        let path = ["UNIX:", "unix://", "unix:"].iter().find_map(|prefix| text.strip_prefix(prefix));
        if let Some(path) = path.or_else(|| text.starts_with('/').then_some(text)) {
            return if path.is_empty() { Err(refused()) } else { Ok(Self::Path(PathBuf::from(path))) };
        }
        let host_port = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = host_port.rsplit_once(':').ok_or_else(refused)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(refused());
        }
        Ok(Self::Tcp(host_port.to_owned()))
    }
}

impl fmt::Display for MuxerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "UNIX:{}", path.display()),
            Self::Tcp(host_port) => f.write_str(host_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_tools_write_is_read() {
        let unix = |path: &str| Ok(MuxerAddress::Path(PathBuf::from(path)));
        let tcp = |text: &str| Ok(MuxerAddress::Tcp(text.to_owned()));
        let refused = |text: &str| Err(MuxerAddressError { text: text.to_owned() });
        let cases = [
            ("/var/run/usbmuxd", unix("/var/run/usbmuxd")),
            ("UNIX:/tmp/mux", unix("/tmp/mux")),
            ("unix:///tmp/mux", unix("/tmp/mux")),
            ("127.0.0.1:27015", tcp("127.0.0.1:27015")),
            ("localhost:27015", tcp("localhost:27015")),
            ("tcp://[::1]:27015", tcp("[::1]:27015")),
            ("", refused("")),
            ("UNIX:", refused("UNIX:")),
            ("localhost", refused("localhost")),
            ("localhost:http", refused("localhost:http")),
            (":27015", refused(":27015")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<MuxerAddress>(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_address_reads_back_what_it_writes() {
        for text in ["UNIX:/var/run/usbmuxd", "localhost:27015"] {
            assert_eq!(text.parse::<MuxerAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
    }
}
