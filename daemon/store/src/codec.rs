//! Helps owners of records to name and version them: keys by kind, values as JSON with a version.
//! Which kinds there are and what they hold is their owners' business.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::StoreError;
use crate::key::{Key, show};

/// Longest name of a kind.
const KIND_BYTES_MAX: usize = 32;

/// A kind of records; its keys are `name/` and an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(&'static str);

impl Kind {
    /// A kind by name: 1 to 32 characters from `a` to `z`, digits, `-` and `_`. Made in a `const`, a
    /// wrong name doesn't compile.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(
            !bytes.is_empty() && bytes.len() <= KIND_BYTES_MAX,
            "a kind has a name of 1 to 32 characters"
        );
        let mut i = 0;
        while i < bytes.len() {
            assert!(
                matches!(bytes[i], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'),
                "a kind's name has small letters, digits, - and _"
            );
            i += 1;
        }
        Self(name)
    }

    /// What all keys of this kind begin with.
    #[must_use]
    pub fn prefix(self) -> Vec<u8> {
        [self.0.as_bytes(), b"/"].concat()
    }

    /// The key of a record with a number; keys sort by it.
    #[must_use]
    pub fn number(self, id: u64) -> Key {
        let mut bytes = self.prefix();
        bytes.extend_from_slice(&id.to_be_bytes());
        Key::trusted(&bytes)
    }

    /// The key of a record with two numbers; keys sort by the first, then by the second.
    #[must_use]
    pub fn pair(self, first: u64, second: u64) -> Key {
        let mut bytes = self.prefix();
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(&second.to_be_bytes());
        Key::trusted(&bytes)
    }

    /// The key of a record with a name.
    ///
    /// # Errors
    /// [`StoreError::KeySize`] when the name is too long.
    pub fn name(self, id: &str) -> Result<Key, StoreError> {
        let mut bytes = self.prefix();
        bytes.extend_from_slice(id.as_bytes());
        Key::new(bytes)
    }

    /// The number in a key of this kind, or `None` when it is another kind of key.
    #[must_use]
    pub fn number_of(self, key: &Key) -> Option<u64> {
        let id = self.id_of(key)?;
        Some(u64::from_be_bytes(id.try_into().ok()?))
    }

    /// The two numbers in a key of this kind, or `None` when it is another kind of key.
    #[must_use]
    pub fn pair_of(self, key: &Key) -> Option<(u64, u64)> {
        let (first, second) = self.id_of(key)?.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*first), u64::from_be_bytes(second.try_into().ok()?)))
    }

    /// The name in a key of this kind, or `None` when it is another kind of key.
    #[must_use]
    pub fn name_of(self, key: &Key) -> Option<&str> {
        std::str::from_utf8(self.id_of(key)?).ok()
    }

    fn id_of(self, key: &Key) -> Option<&[u8]> {
        key.as_bytes().strip_prefix(self.0.as_bytes())?.strip_prefix(b"/")
    }
}

/// A record as it is kept: `{"v":VERSION,"data":…}`.
#[derive(Clone, Debug)]
pub struct Record {
    /// The version of the record's shape when it was written.
    pub version: u32,
    data: Box<RawValue>,
}

#[derive(Serialize)]
struct Out<'a, T> {
    v: u32,
    data: &'a T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct In {
    v: u32,
    data: Box<RawValue>,
}

/// Only the version, whatever else a newer program wrote beside it.
#[derive(Deserialize)]
struct Peek {
    v: u32,
}

impl Record {
    /// Opens a record, so that its version is known before its data is read.
    ///
    /// # Errors
    /// [`StoreError::NewerRecord`] when it is newer than `newest`, the newest version the caller knows;
    /// [`StoreError::BadRecord`] when it is no record.
    pub fn open(key: &[u8], bytes: &[u8], newest: u32) -> Result<Self, StoreError> {
        let bad = |source| StoreError::BadRecord { key: show(key), source };
        let Peek { v } = serde_json::from_slice(bytes).map_err(bad)?;
        if v > newest {
            return Err(StoreError::NewerRecord { key: show(key), found: v, supported: newest });
        }
        let In { v, data } = serde_json::from_slice(bytes).map_err(bad)?;
        Ok(Self { version: v, data })
    }

    /// Reads the data as the shape that belongs to [`Record::version`].
    ///
    /// # Errors
    /// [`StoreError::BadRecord`].
    pub fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<T, StoreError> {
        serde_json::from_str(self.data.get())
            .map_err(|source| StoreError::BadRecord { key: show(key), source })
    }
}

/// Writes a record in this version of its shape.
///
/// # Errors
/// [`StoreError::Encode`] when `data` has no JSON form (a map with keys that are not text).
pub fn encode<T: Serialize>(version: u32, data: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&Out { v: version, data }).map_err(|source| StoreError::Encode { source })
}

/// Reads a record of which only one version exists so far.
///
/// # Errors
/// As [`Record::open`] and [`Record::read`].
pub fn decode<T: DeserializeOwned>(key: &[u8], bytes: &[u8], version: u32) -> Result<T, StoreError> {
    Record::open(key, bytes, version)?.read(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    const JOB: Kind = Kind::new("job");
    const JOB_LOG: Kind = Kind::new("job-log");

    #[test]
    fn keys_sort_by_number_and_kinds_do_not_mix() {
        let keys = [JOB.number(1), JOB.number(255), JOB.number(256), JOB.number(u64::MAX)];
        assert!(keys.is_sorted());
        assert_eq!(JOB.number_of(&keys[2]), Some(256));
        assert_eq!(JOB_LOG.number_of(&keys[2]), None);
        assert!(!JOB_LOG.number(1).starts_with(&JOB.prefix()));
        let key = JOB.name("a/b").unwrap();
        assert_eq!((JOB.name_of(&key), JOB_LOG.name_of(&key)), (Some("a/b"), None));
    }

    #[test]
    fn records_name_their_key_when_they_cannot_be_read() {
        let key = JOB.number(1);
        let good = encode(2, &["a"]).unwrap();
        assert_eq!(String::from_utf8(good.clone()).unwrap(), r#"{"v":2,"data":["a"]}"#);
        assert_eq!(decode::<Vec<String>>(&key, &good, 2).unwrap(), ["a"]);
        assert_eq!(Record::open(&key, &good, 3).unwrap().version, 2);
        let newer = br#"{"v":3,"shape":"unknown here"}"#;
        for (bytes, words) in [
            (&good[..], "has version 2 and this program reads up to 1"),
            (newer, "has version 3 and this program reads up to 1"),
            (b"{\"v\":1}", "cannot read record"),
            (b"{\"v\":1,\"data\":5}", "cannot read record"),
            (b"\xff", "cannot read record"),
        ] {
            let error = decode::<Vec<String>>(&key, bytes, 1).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(r"job/\x00"), "{error}");
        }
    }
}
