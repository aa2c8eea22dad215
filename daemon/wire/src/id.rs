//! One id type per kind of thing, parsed once at the edge and trusted afterwards.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest name anyone may give to a rack, pool, case, owner or label, in bytes: it must fit a table column.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty or longer than [`NAME_BYTES_MAX`].
    #[error("a {what} has 1 to {NAME_BYTES_MAX} characters, not {length}; shorten it")]
    Length {
        /// Which kind of id was read.
        what: &'static str,
        /// How many bytes were given.
        length: usize,
    },
    /// The text holds a character outside letters, digits, `.`, `_`, `-`.
    #[error("a {what} has letters, digits, '.', '_' and '-' only; {text:?} has {found:?}")]
    Character {
        /// Which kind of id was read.
        what: &'static str,
        /// The whole text.
        text: String,
        /// The first character that does not belong.
        found: char,
    },
    /// The text does not have the form of this id.
    #[error("{text:?} is no {what}; it looks like {example}")]
    Form {
        /// Which kind of id was read.
        what: &'static str,
        /// The whole text.
        text: String,
        /// A good one.
        example: &'static str,
    },
}

fn name(what: &'static str, text: &str) -> Result<Arc<str>, IdError> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(IdError::Length { what, length: text.len() });
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(found) => Err(IdError::Character { what, text: text.to_owned(), found }),
        None => Ok(text.into()),
    }
}

/// Ids are read from the text where it lies: most of what is sent and stored is ids.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = IdError>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! read_as_text {
    ($type:ident) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Text(PhantomData))
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
    };
}

// Names are shared, not copied: one phone's name stands in its record, its orders and every picture of the farm.
macro_rules! name_id {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $type(Arc<str>);

        impl $type {
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                name($what, text).map(Self)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        read_as_text!($type);

        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_id!(/// One host computer with its phones.
    RackId, "rack name");
name_id!(/// A phone, as usbmuxd names it (`00008110-000A2D8E3C41801E` or 40 hexadecimal digits).
    Udid, "UDID");
name_id!(/// A named set of phones.
    PoolName, "pool name");
name_id!(/// One thing to run on a phone.
    CaseName, "case name");
name_id!(/// Who answers for a case or a job: a team or a person's short name.
    Owner, "owner");
name_id!(/// What compares two builds on one phone: a branch and its merge-base, say.
    CompareName, "name of a comparison");
name_id!(/// A job that is submitted by the calendar.
    ScheduleName, "schedule name");
name_id!(/// A word that an operator gave to a phone.
    Label, "label");
name_id!(/// An app's bundle identifier.
    BundleId, "bundle identifier");
name_id!(/// A crash group: the sixteen hexadecimal digits of the signature that founded it, or of what was split off.
    GroupId, "group id");
name_id!(/// A physical USB position in a rack; it stays when the phone is swapped.
    Slot, "slot");
name_id!(/// One start of a process, drawn at random, so that a restart can be seen from outside.
    StartId, "start id");
name_id!(/// One entry of an agent's outbox; unique for ever.
    EntryId, "outbox entry id");

macro_rules! hash_id {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $type([u8; 32]);

        impl $type {
            /// From the 32 bytes of a BLAKE3 hash.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the hash.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first twelve hexadecimal digits: enough for people.
            pub fn short(&self) -> String {
                hex(&self.0[..6])
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                unhex(text).map(Self).ok_or_else(|| IdError::Form {
                    what: $what,
                    text: text.chars().take(80).collect(),
                    example: "64 hexadecimal digits (BLAKE3)",
                })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&hex(&self.0))
            }
        }

        read_as_text!($type);

        impl From<$type> for String {
            fn from(id: $type) -> String {
                hex(&id.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex(&self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }
    };
}

hash_id!(/// Bytes kept by the farm, named by their BLAKE3 hash.
    BlobHash, "blob hash");
hash_id!(/// A build, named by the BLAKE3 hash of its archive.
    BuildHash, "build hash");
hash_id!(/// One crash report file, named by the BLAKE3 hash of its bytes: a twin is the same crash.
    CrashId, "crash id");

impl From<BuildHash> for BlobHash {
    fn from(build: BuildHash) -> Self {
        Self(build.0)
    }
}

impl From<BlobHash> for BuildHash {
    fn from(blob: BlobHash) -> Self {
        Self(blob.0)
    }
}

impl From<CrashId> for BlobHash {
    fn from(crash: CrashId) -> Self {
        Self(crash.0)
    }
}

impl From<BlobHash> for CrashId {
    fn from(blob: BlobHash) -> Self {
        Self(blob.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = half(pair[0])? << 4 | half(pair[1])?;
    }
    Some(bytes)
}

fn half(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|half| u8::try_from(half).ok())
}

/// A job: a number that only grows, written `J17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("J{}", self.0))
    }
}

impl FromStr for JobId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix(['J', 'j']).and_then(|digits| digits.parse().ok()).map(Self).ok_or_else(|| {
            IdError::Form { what: "job id", text: text.chars().take(40).collect(), example: "J17" }
        })
    }
}

/// One try of one job: the job and which try it is, from 1; written `J17.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The job that is tried.
    pub job: JobId,
    /// Which try, from 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.job, self.number))
    }
}

impl FromStr for AttemptId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.split_once('.')
            .and_then(|(job, number)| Some(Self { job: job.parse().ok()?, number: number.parse().ok()? }))
            .ok_or_else(|| IdError::Form {
                what: "attempt id",
                text: text.chars().take(40).collect(),
                example: "J17.2",
            })
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for AttemptId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for AttemptId {}

macro_rules! text_conversions {
    ($type:ident) => {
        read_as_text!($type);

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.to_string()
            }
        }
    };
}
text_conversions!(JobId);
text_conversions!(AttemptId);

/// The right of one attempt to one phone carries this number; for one phone it only grows, and whoever holds
/// the phone refuses an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u64))]
pub struct LeaseNumber(pub u64);

impl LeaseNumber {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for LeaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_write() {
        for text in ["J1", "J18446744073709551615"] {
            assert_eq!(text.parse::<JobId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("J17.2".parse(), Ok(AttemptId { job: JobId(17), number: 2 }));
        let hash = BlobHash::new([0xab; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.short(), "abababababab");
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_reason() {
        let cases: [(Result<(), IdError>, &str); 5] = [
            ("17".parse::<JobId>().map(drop), "\"17\" is no job id; it looks like J17"),
            ("J1.x".parse::<AttemptId>().map(drop), "\"J1.x\" is no attempt id; it looks like J17.2"),
            ("".parse::<RackId>().map(drop), "a rack name has 1 to 64 characters, not 0; shorten it"),
            (
                "a b".parse::<PoolName>().map(drop),
                "a pool name has letters, digits, '.', '_' and '-' only; \"a b\" has ' '",
            ),
            (
                "é".repeat(32).parse::<BlobHash>().map(drop),
                "\"éééééééééééééééééééééééééééééééé\" is no blob hash; it looks like 64 hexadecimal digits (BLAKE3)",
            ),
        ];
        for (result, message) in cases {
            assert_eq!(result.map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }
}
