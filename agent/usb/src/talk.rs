//! Property lists behind a length, as installation proxy and other services speak them. Lockdown has its own
//! client in [`lockdown`](crate::lockdown).

use idevice::ReadWrite;
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::UsbError;

/// Largest message read: a list of several hundred apps with few attributes has 200 KB.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One conversation. A message is a big-endian length of four bytes and a property list.
#[derive(Debug)]
pub(crate) struct Talk {
    stream: Box<dyn ReadWrite>,
}

impl Talk {
    pub(crate) fn new(stream: Box<dyn ReadWrite>) -> Self {
        Self { stream }
    }

    pub(crate) async fn send(&mut self, message: &Dictionary) -> Result<(), UsbError> {
        let mut bytes = vec![0; 4];
        plist::to_writer_xml(&mut bytes, message).map_err(|error| UsbError::protocol(error.to_string()))?;
        let length =
            u32::try_from(bytes.len() - 4).map_err(|_too_long| UsbError::protocol("too long a question"))?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&bytes).await.map_err(UsbError::stream)?;
        self.stream.flush().await.map_err(UsbError::stream)
    }

    pub(crate) async fn receive(&mut self) -> Result<Dictionary, UsbError> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await.map_err(UsbError::stream)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(UsbError::protocol(format!("a message of {length} bytes")));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.map_err(UsbError::stream)?;
        let value: Value = plist::from_bytes(&body).map_err(|error| UsbError::protocol(error.to_string()))?;
        value.into_dictionary().ok_or_else(|| UsbError::protocol("a message that is no dictionary"))
    }
}

/// A dictionary from pairs.
pub(crate) fn dictionary<const N: usize>(fields: [(&str, Value); N]) -> Dictionary {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
