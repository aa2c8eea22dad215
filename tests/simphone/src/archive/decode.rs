//! Reads a keyed archive that a client sent, within limits. Writing is in [`encode`](super::encode()).

use std::collections::BTreeMap;
use std::io::Cursor;

use plist::{Dictionary, Uid, Value};

use super::bplist;
use super::object::{NsError, Object};

/// The largest archive that is looked at: XCTest configurations, the largest that clients send, are a few kilobytes.
pub const ARCHIVE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How deep objects may be nested: the real ones are less than ten deep, and every level costs some stack.
pub const DEPTH_MAX: usize = 64;

/// How many objects an archive may unfold to when shared ones are counted each time.
pub const OBJECTS_MAX: u64 = 200_000;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Longer than [`ARCHIVE_BYTES_MAX`].
    #[error("an archive of {0} bytes is over the limit; send less at once")]
    TooLong(usize),
    /// Not worth parsing.
    #[error("cannot parse the archive: {0}")]
    Unfit(bplist::Unfit),
    /// Not a property list.
    #[error("cannot parse the archive as a property list")]
    Plist(#[source] plist::Error),
    /// A property list, but not a keyed archive.
    #[error("not a keyed archive: {0}")]
    NotKeyed(&'static str),
    /// An object holds itself.
    #[error("object {0} of the archive holds itself")]
    Cyclic(u64),
    /// Deeper than [`DEPTH_MAX`].
    #[error("the objects of the archive are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// More than [`OBJECTS_MAX`].
    #[error("the archive unfolds to more than {OBJECTS_MAX} objects")]
    TooLarge,
}

/// The root object of a keyed archive.
///
/// # Errors
/// [`ArchiveError`]; no input makes it panic or use more memory than a small multiple of its length and
/// [`OBJECTS_MAX`].
pub fn decode(bytes: &[u8]) -> Result<Object, ArchiveError> {
    if bytes.len() > ARCHIVE_BYTES_MAX {
        return Err(ArchiveError::TooLong(bytes.len()));
    }
    bplist::check(bytes, DEPTH_MAX, OBJECTS_MAX).map_err(ArchiveError::Unfit)?;
    let list = Value::from_reader(Cursor::new(bytes)).map_err(ArchiveError::Plist)?;
    let archive = list.as_dictionary().ok_or(ArchiveError::NotKeyed("the list is no dictionary"))?;
    let objects = archive
        .get("$objects")
        .and_then(Value::as_array)
        .ok_or(ArchiveError::NotKeyed("`$objects` is no array"))?;
    let top = archive
        .get("$top")
        .and_then(Value::as_dictionary)
        .ok_or(ArchiveError::NotKeyed("`$top` is no dictionary"))?;
    // Named `root` by everyone but a few writers that number their roots.
    let root = top.get("root").or_else(|| top.values().next()).and_then(Value::as_uid);
    let root = *root.ok_or(ArchiveError::NotKeyed("`$top` has no root"))?;
    Reader { objects, on_path: vec![false; objects.len()], left: OBJECTS_MAX }.object(root, DEPTH_MAX)
}

struct Reader<'a> {
    objects: &'a [Value],
    on_path: Vec<bool>,
    left: u64,
}

impl Reader<'_> {
    fn object(&mut self, uid: Uid, depth_left: usize) -> Result<Object, ArchiveError> {
        if uid.get() == 0 {
            return Ok(Object::Null);
        }
        let depth_left = depth_left.checked_sub(1).ok_or(ArchiveError::TooDeep)?;
        let index = usize::try_from(uid.get()).unwrap_or(usize::MAX);
        let value = self.objects.get(index).ok_or(ArchiveError::NotKeyed("a reference to no object"))?;
        if std::mem::replace(&mut self.on_path[index], true) {
            return Err(ArchiveError::Cyclic(uid.get()));
        }
        let object = self.value(value, depth_left);
        self.on_path[index] = false;
        object
    }

    fn value(&mut self, value: &Value, depth_left: usize) -> Result<Object, ArchiveError> {
        self.left = self.left.checked_sub(1).ok_or(ArchiveError::TooLarge)?;
        match value {
            Value::Uid(uid) => self.object(*uid, depth_left),
            Value::Boolean(truth) => Ok(Object::Bool(*truth)),
            Value::Integer(number) => Ok(Object::Integer(*number)),
            Value::Real(number) => Ok(Object::Real(*number)),
            Value::String(text) => Ok(Object::from(text.as_str())),
            Value::Data(bytes) => Ok(Object::Data(bytes.clone())),
            Value::Array(elements) => Ok(Object::Array(self.list(elements, depth_left)?)),
            Value::Dictionary(fields) => self.instance(fields, depth_left),
            _ => Err(ArchiveError::NotKeyed("a value of a kind that archives do not hold")),
        }
    }

    fn instance(&mut self, fields: &Dictionary, depth_left: usize) -> Result<Object, ArchiveError> {
        let Some(class) = self.class_name(fields) else {
            return Err(ArchiveError::NotKeyed("an object without a class"));
        };
        Ok(match class.as_str() {
            "NSNull" => Object::Null,
            "NSArray" | "NSMutableArray" => {
                Object::Array(self.field_list(fields, "NS.objects", depth_left)?)
            }
            "NSSet" | "NSMutableSet" | "NSOrderedSet" | "NSMutableOrderedSet" => {
                Object::Set(self.field_list(fields, "NS.objects", depth_left)?)
            }
            "NSDictionary" | "NSMutableDictionary" => Object::Dictionary(self.entries(fields, depth_left)?),
            "NSString" | "NSMutableString" => self.field(fields, "NS.string", depth_left)?,
            "NSData" | "NSMutableData" => self.field(fields, "NS.data", depth_left)?,
            "NSDate" => match self.field(fields, "NS.time", depth_left)? {
                Object::Real(seconds) => Object::Date(seconds),
                _ => return Err(ArchiveError::NotKeyed("an NSDate without a time")),
            },
            "NSUUID" => match self.field(fields, "NS.uuidbytes", depth_left)? {
                Object::Data(bytes) => Object::Uuid(
                    bytes.try_into().map_err(|_| ArchiveError::NotKeyed("an NSUUID that is not 16 bytes"))?,
                ),
                _ => return Err(ArchiveError::NotKeyed("an NSUUID without bytes")),
            },
            "NSError" => Object::Error(self.error(fields, depth_left)?),
            _ => self.other(class, fields, depth_left)?,
        })
    }

    fn other(
        &mut self,
        class: String,
        fields: &Dictionary,
        depth_left: usize,
    ) -> Result<Object, ArchiveError> {
        let mut read = BTreeMap::new();
        for (key, value) in fields.iter().filter(|(key, _)| key.as_str() != "$class") {
            read.insert(key.clone(), self.value(value, depth_left)?);
        }
        Ok(Object::Other { class, fields: read })
    }

    fn error(&mut self, fields: &Dictionary, depth_left: usize) -> Result<NsError, ArchiveError> {
        let domain = self.field(fields, "NSDomain", depth_left)?;
        let code = self.field(fields, "NSCode", depth_left)?;
        let user_info = match self.field(fields, "NSUserInfo", depth_left)? {
            Object::Dictionary(entries) => entries,
            _ => Vec::new(),
        };
        let named = |(key, value): (Object, Object)| match key {
            Object::String(key) => Some((key, value)),
            _ => None,
        };
        Ok(NsError {
            domain: domain.as_str().unwrap_or_default().to_owned(),
            code: code.as_i64().unwrap_or_default(),
            user_info: user_info.into_iter().filter_map(named).collect(),
        })
    }

    fn entries(
        &mut self,
        fields: &Dictionary,
        depth_left: usize,
    ) -> Result<Vec<(Object, Object)>, ArchiveError> {
        let keys = self.field_list(fields, "NS.keys", depth_left)?;
        let values = self.field_list(fields, "NS.objects", depth_left)?;
        if keys.len() != values.len() {
            return Err(ArchiveError::NotKeyed("a dictionary with more keys than values or fewer"));
        }
        Ok(keys.into_iter().zip(values).collect())
    }

    fn field_list(
        &mut self,
        fields: &Dictionary,
        key: &str,
        depth_left: usize,
    ) -> Result<Vec<Object>, ArchiveError> {
        match fields.get(key) {
            Some(Value::Array(elements)) => self.list(elements, depth_left),
            _ => Err(ArchiveError::NotKeyed("a collection without its elements")),
        }
    }

    fn list(&mut self, elements: &[Value], depth_left: usize) -> Result<Vec<Object>, ArchiveError> {
        elements.iter().map(|element| self.value(element, depth_left)).collect()
    }

    fn field(&mut self, fields: &Dictionary, key: &str, depth_left: usize) -> Result<Object, ArchiveError> {
        fields.get(key).map_or(Ok(Object::Null), |value| self.value(value, depth_left))
    }

    fn class_name(&self, fields: &Dictionary) -> Option<String> {
        let uid = fields.get("$class")?.as_uid()?;
        let class = self.objects.get(usize::try_from(uid.get()).ok()?)?.as_dictionary()?;
        Some(class.get("$classname")?.as_string()?.to_owned())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use proptest::prelude::*;

    use super::super::encode;
    use super::*;

    fn archive(objects: Vec<Value>) -> Vec<u8> {
        let mut top = Dictionary::new();
        top.insert("root".to_owned(), Value::Uid(Uid::new(1)));
        let mut list = Dictionary::new();
        list.insert("$top".to_owned(), Value::Dictionary(top));
        list.insert("$objects".to_owned(), Value::Array(objects));
        let mut bytes = Vec::new();
        Value::Dictionary(list).to_writer_binary(&mut bytes).unwrap();
        bytes
    }

    fn array_of(uids: &[u64]) -> Value {
        let mut fields = Dictionary::new();
        fields.insert("$class".to_owned(), Value::Uid(Uid::new(2)));
        let elements = uids.iter().map(|uid| Value::Uid(Uid::new(*uid))).collect();
        fields.insert("NS.objects".to_owned(), Value::Array(elements));
        Value::Dictionary(fields)
    }

    fn array_class() -> Value {
        let mut fields = Dictionary::new();
        fields.insert("$classname".to_owned(), Value::from("NSArray"));
        Value::Dictionary(fields)
    }

    #[test]
    fn an_array_that_holds_itself_is_refused() {
        let bytes = archive(vec![Value::from("$null"), array_of(&[1]), array_class()]);
        assert!(matches!(decode(&bytes), Err(ArchiveError::Cyclic(1))));
    }

    #[test]
    fn arrays_that_double_at_each_level_are_refused() {
        let mut objects = vec![Value::from("$null"), array_of(&[3, 3]), array_class()];
        objects.extend((4..40).map(|next| array_of(&[next, next])));
        objects.push(Value::from("end"));
        assert!(matches!(decode(&archive(objects)), Err(ArchiveError::TooLarge)));
    }

    #[test]
    fn a_chain_deeper_than_the_stack_is_refused() {
        let mut objects = vec![Value::from("$null"), array_of(&[3]), array_class()];
        objects.extend((4..5_000).map(|next| array_of(&[next])));
        objects.push(Value::from("end"));
        assert!(matches!(decode(&archive(objects)), Err(ArchiveError::TooDeep)));
    }

    #[test]
    fn a_property_list_nested_a_million_times_is_refused_before_it_is_parsed() {
        // Object n is an array whose only element is object n+1; the last is an empty array.
        let count: u32 = 1_000_000;
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for number in 0..count {
            offsets.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
            if number + 1 < count {
                bytes.push(0xA1);
                bytes.extend_from_slice(&(number + 1).to_be_bytes());
            } else {
                bytes.push(0xA0);
            }
        }
        let table_at = bytes.len() as u64;
        bytes.extend_from_slice(&offsets);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 4, 4]);
        for number in [u64::from(count), 0, table_at] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        assert!(matches!(decode(&bytes), Err(ArchiveError::Unfit(bplist::Unfit::TooDeep))));
    }

    #[test]
    fn an_object_of_an_unknown_class_keeps_its_name_and_fields() {
        let fields: BTreeMap<String, Object> =
            [("count".to_owned(), Object::from(3_u64)), ("name".to_owned(), Object::from("launch"))].into();
        let object = Object::Other { class: "XCTTestIdentifier".to_owned(), fields };
        assert_eq!(decode(&encode(&object).unwrap()).unwrap(), object);
    }

    fn any_object() -> impl Strategy<Value = Object> {
        let leaf = prop_oneof![
            Just(Object::Null),
            any::<bool>().prop_map(Object::from),
            any::<u64>().prop_map(Object::from),
            any::<i64>().prop_map(Object::from),
            (-1e12..1e12).prop_map(Object::Real),
            ".{0,12}".prop_map(Object::String),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Object::Data),
            (-1e9..1e9).prop_map(Object::Date),
            any::<[u8; 16]>().prop_map(Object::Uuid),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Object::Array),
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Object::Set),
                proptest::collection::vec((any::<u32>().prop_map(Object::from), inner.clone()), 0..6)
                    .prop_map(Object::Dictionary),
                ("[a-z.]{1,9}", any::<i64>(), proptest::collection::vec(("[a-z]{1,5}", inner), 0..4))
                    .prop_map(|(domain, code, user_info)| Object::Error(NsError { domain, code, user_info })),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(object in any_object()) {
            prop_assert_eq!(decode(&encode(&object).unwrap()).unwrap(), object);
        }

        #[test]
        fn damaged_archives_never_panic(object in any_object(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = encode(&object).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _any = decode(&bytes);
            let _cut = decode(&bytes[..at]);
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _any = decode(&bytes);
            let mut list = b"bplist00".to_vec();
            list.extend_from_slice(&bytes);
            let _any = decode(&list);
        }

        #[test]
        fn references_at_random_never_panic(
            references in proptest::collection::vec(proptest::collection::vec(0_u64..12, 0..4), 1..10)
        ) {
            let mut objects = vec![Value::from("$null"), array_of(&references[0]), array_class()];
            objects.extend(references.iter().map(|uids| array_of(uids)));
            let _any = decode(&archive(objects));
        }
    }
}
