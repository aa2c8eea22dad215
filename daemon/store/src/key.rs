//! The key type and how a key is shown to people. Building keys for kinds of records: [`crate::codec`].

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::StoreError;

/// Longest key, in bytes. The sled engine keeps up to 257 separators in one index page, and a page
/// must stay below 128 KiB, or sled moves it to a blob file that it never syncs.
pub const KEY_BYTES_MAX: usize = 255;

/// An ordered byte key: 1 to [`KEY_BYTES_MAX`] bytes, compared byte by byte. A copy is cheap: on its way to the disk
/// one stands in half a dozen lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// Takes the bytes as a key.
    ///
    /// # Errors
    /// [`StoreError::KeySize`] when there is no byte, or more than [`KEY_BYTES_MAX`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, StoreError> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
            return Err(StoreError::KeySize { key: show(bytes), bytes: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// For bytes whose length is right by construction.
    pub(crate) fn trusted(bytes: &[u8]) -> Self {
        debug_assert!(!bytes.is_empty() && bytes.len() <= KEY_BYTES_MAX, "a trusted key has a right length");
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Lets maps keyed by [`Key`] be ranged over by plain bytes.
impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Bytes as a person can read them: printable ASCII as it is, the rest as `\xNN`; cut after 80 bytes.
#[must_use]
pub fn show(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 80;
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN_MAX) {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    if bytes.len() > SHOWN_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_length_that_every_engine_can_keep() {
        for (bytes, fits) in [(0, false), (1, true), (KEY_BYTES_MAX, true), (KEY_BYTES_MAX + 1, false)] {
            assert_eq!(Key::new(vec![b'k'; bytes]).is_ok(), fits, "{bytes} bytes");
        }
    }

    #[test]
    fn keys_are_shown_readably() {
        for (bytes, shown) in [(&b"job/\0\x01"[..], r"job/\x00\x01"), (b"a\\b", r"a\\b"), (b"", "")] {
            assert_eq!(show(bytes), shown);
        }
        assert!(show(&[b'x'; 100]).ends_with('…'));
    }
}
