//! The arguments of a DTX message: a dictionary whose keys are all null. What a buffer among them holds is an
//! [archive](crate::archive).

use super::DtxError;
use crate::archive::{Object, decode};

/// The 16 bytes in front of the arguments: a type with flags, then the length of what follows.
const DICTIONARY_HEADER_BYTES: usize = 16;

/// What real phones and clients write as the type: 0xF0 with a flag, in 64 bits.
const DICTIONARY_TYPE: u64 = 0x1F0;

/// One argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Primitive {
    /// Type 10: nothing. It is the key of every positional argument.
    Null,
    /// Type 1.
    String(String),
    /// Type 2: mostly a keyed archive.
    Buffer(Vec<u8>),
    /// Type 3.
    Int32(u32),
    /// Type 6.
    Int64(i64),
    /// Type 9.
    Double(f64),
}

impl Primitive {
    /// The value as an object; a buffer is read as an archive, or is data when it is none.
    #[must_use]
    pub fn into_object(self) -> Object {
        match self {
            Self::Null => Object::Null,
            Self::String(text) => Object::String(text),
            Self::Buffer(bytes) => decode(&bytes).unwrap_or(Object::Data(bytes)),
            // Process ids and channel numbers: clients write both signed and unsigned ones, none of them negative.
            Self::Int32(number) => Object::from(number),
            Self::Int64(number) => Object::from(number),
            Self::Double(number) => Object::Real(number),
        }
    }

    /// The arguments in these bytes, in their order.
    ///
    /// # Errors
    /// [`DtxError::Lengths`] when a length points outside, [`DtxError::UnknownPrimitive`].
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, DtxError> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let length: [u8; 8] = bytes
            .get(8..DICTIONARY_HEADER_BYTES)
            .and_then(|it| it.try_into().ok())
            .ok_or(DtxError::Lengths)?;
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| DtxError::Lengths)?;
        let mut rest = bytes[DICTIONARY_HEADER_BYTES..].get(..length).ok_or(DtxError::Lengths)?;
        let mut values = Vec::new();
        while !rest.is_empty() {
            let (_key, after_key) = Self::parse(rest)?;
            let (value, after_value) = Self::parse(after_key)?;
            values.push(value);
            rest = after_value;
        }
        Ok(values)
    }

    /// The bytes of these arguments; none for none.
    #[must_use]
    pub fn write_all(values: &[Self]) -> Vec<u8> {
        if values.is_empty() {
            return Vec::new();
        }
        let mut entries = Vec::new();
        for value in values {
            Self::Null.write(&mut entries);
            value.write(&mut entries);
        }
        let mut bytes = DICTIONARY_TYPE.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&entries);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), DtxError> {
        let (kind, rest) = take::<4>(bytes)?;
        let kind = u32::from_le_bytes(kind);
        // The upper bits are flags.
        match kind & 0xFF {
            10 => Ok((Self::Null, rest)),
            1 => {
                let (text, rest) = take_counted(rest)?;
                Ok((Self::String(String::from_utf8_lossy(text).into_owned()), rest))
            }
            2 => {
                let (buffer, rest) = take_counted(rest)?;
                Ok((Self::Buffer(buffer.to_vec()), rest))
            }
            3 => take::<4>(rest).map(|(number, rest)| (Self::Int32(u32::from_le_bytes(number)), rest)),
            6 => take::<8>(rest).map(|(number, rest)| (Self::Int64(i64::from_le_bytes(number)), rest)),
            9 => take::<8>(rest).map(|(number, rest)| (Self::Double(f64::from_le_bytes(number)), rest)),
            _ => Err(DtxError::UnknownPrimitive(kind)),
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let mut counted = |kind: u32, content: &[u8]| {
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(content);
        };
        match self {
            Self::String(text) => counted(1, text.as_bytes()),
            Self::Buffer(buffer) => counted(2, buffer),
            Self::Null => bytes.extend_from_slice(&10_u32.to_le_bytes()),
            Self::Int32(number) => {
                bytes.extend_from_slice(&3_u32.to_le_bytes());
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Self::Int64(number) => {
                bytes.extend_from_slice(&6_u32.to_le_bytes());
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Self::Double(number) => {
                bytes.extend_from_slice(&9_u32.to_le_bytes());
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), DtxError> {
    bytes.split_first_chunk().map(|(taken, rest)| (*taken, rest)).ok_or(DtxError::Lengths)
}

fn take_counted(bytes: &[u8]) -> Result<(&[u8], &[u8]), DtxError> {
    let (count, rest) = take::<4>(bytes)?;
    let count = usize::try_from(u32::from_le_bytes(count)).map_err(|_| DtxError::Lengths)?;
    rest.split_at_checked(count).ok_or(DtxError::Lengths)
}
