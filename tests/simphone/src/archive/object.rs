//! The Objective-C values that an archive can hold, as plain Rust values. Reading and writing them is elsewhere in
//! this module.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// 2001-01-01T00:00:00Z as seconds of Unix time: the zero of `NSDate`.
const COCOA_EPOCH_SECONDS: i64 = 978_307_200;

/// One archived value.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `nil` or `NSNull`.
    Null,
    /// `NSNumber` with a truth value.
    Bool(bool),
    /// `NSNumber` with a whole number; from -2^63 to 2^64-1.
    Integer(plist::Integer),
    /// `NSNumber` with a fraction.
    Real(f64),
    /// `NSString`.
    String(String),
    /// `NSData`.
    Data(Vec<u8>),
    /// `NSDate`, in seconds after 2001-01-01T00:00:00Z.
    Date(f64),
    /// `NSUUID`.
    Uuid([u8; 16]),
    /// `NSArray`.
    Array(Vec<Self>),
    /// `NSSet`, in the order of the archive.
    Set(Vec<Self>),
    /// `NSDictionary`, in the order of the archive. Keys are strings or numbers.
    Dictionary(Vec<(Self, Self)>),
    /// `NSError`.
    Error(NsError),
    /// An object of any other class.
    Other {
        /// The name of its class.
        class: String,
        /// What it wrote, by its own keys.
        fields: BTreeMap<String, Self>,
    },
}

/// An `NSError`.
#[derive(Debug, Clone, PartialEq)]
pub struct NsError {
    /// Such as `com.apple.dt.deviceprocesscontrolservice`.
    pub domain: String,
    /// Its meaning depends on the domain.
    pub code: i64,
    /// Keys such as `NSLocalizedDescription`.
    pub user_info: Vec<(String, Object)>,
}

impl NsError {
    /// An error with a description and nothing else in its `userInfo`.
    #[must_use]
    pub fn new(domain: &str, code: i64, description: &str) -> Self {
        let user_info = vec![("NSLocalizedDescription".to_owned(), Object::from(description))];
        Self { domain: domain.to_owned(), code, user_info }
    }

    /// The same with one more entry in its `userInfo`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Object>) -> Self {
        self.user_info.push((key.to_owned(), value.into()));
        self
    }
}

impl Object {
    /// A dictionary with string keys.
    pub fn dictionary<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Dictionary(entries.into_iter().map(|(key, value)| (Self::from(key), value)).collect())
    }

    /// The date of a time of the phone's clock.
    #[must_use]
    pub fn date(at: Timestamp) -> Self {
        let epoch = Timestamp::from_second(COCOA_EPOCH_SECONDS).unwrap_or(Timestamp::UNIX_EPOCH);
        let since: SignedDuration = at.duration_since(epoch);
        Self::Date(since.as_secs_f64())
    }

    /// The value under a string key, when this is a dictionary that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dictionary(entries) => {
                entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, when this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, when this is an array or a set.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Set(elements) => Some(elements),
            _ => None,
        }
    }

    /// The whole number: numbers without a fraction, and truth values as 0 and 1, as `-[NSNumber integerValue]` does.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Bool(truth) => Some(i64::from(*truth)),
            Self::Integer(number) => number.as_signed(),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "clients send intervals as doubles; NSNumber truncates them too"
            )]
            Self::Real(number) if number.is_finite() => Some(*number as i64),
            _ => None,
        }
    }

    /// The truth value: numbers other than 0 are true, as `-[NSNumber boolValue]` does.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        self.as_i64().map(|number| number != 0)
    }
}

impl From<&str> for Object {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Object {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Object {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<f64> for Object {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<u32> for Object {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u64> for Object {
    fn from(number: u64) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for Object {
    fn from(number: i64) -> Self {
        Self::Integer(number.into())
    }
}

impl From<NsError> for Object {
    fn from(error: NsError) -> Self {
        Self::Error(error)
    }
}
