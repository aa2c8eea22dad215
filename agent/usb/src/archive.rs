//! Keyed archives, the form in which instruments take arguments and give answers. The library's reader follows
//! references without a limit, so that a cyclic archive would end the whole process; this one has limits.
//!
//! An archive is a binary property list: `$objects` is a table, references into it are UIDs, `$top` names the root.

use std::io::Cursor;

use plist::{Dictionary, Uid, Value};

use crate::error::UsbError;

/// How deep objects may be nested: real answers are less than ten deep.
const DEPTH_MAX: usize = 32;

/// How many objects an archive may unfold to: a list of a thousand processes has ten thousand.
const OBJECTS_MAX: usize = 200_000;

/// The key under which the class of an object is kept that is no plain value: `NSError`.
pub(crate) const CLASS: &str = "$class";

/// Writes strings, numbers, truths, arrays and dictionaries.
pub(crate) fn encode(root: &Value) -> Result<Vec<u8>, UsbError> {
    let mut writer = Writer { objects: vec!["$null".into()] };
    let root = writer.add(root, 0)?;
    let mut top = Dictionary::new();
    top.insert("root".to_owned(), root);
    let mut archive = Dictionary::new();
    archive.insert("$version".to_owned(), Value::from(100_000_u64));
    archive.insert("$archiver".to_owned(), "NSKeyedArchiver".into());
    archive.insert("$top".to_owned(), Value::Dictionary(top));
    archive.insert("$objects".to_owned(), Value::Array(writer.objects));
    let mut bytes = Vec::new();
    let written = Value::Dictionary(archive).to_writer_binary(&mut bytes);
    written.map(|()| bytes).map_err(|error| UsbError::protocol(format!("cannot write an archive: {error}")))
}

struct Writer {
    objects: Vec<Value>,
}

impl Writer {
    fn add(&mut self, value: &Value, depth: usize) -> Result<Value, UsbError> {
        if depth > DEPTH_MAX {
            return Err(UsbError::protocol("arguments are nested too deep"));
        }
        let object = match value {
            Value::Array(elements) => {
                let elements = self.add_all(elements.iter(), depth)?;
                self.instance("NSArray", [("NS.objects", elements)])
            }
            Value::Dictionary(fields) => {
                let names: Vec<Value> = fields.keys().map(|key| Value::from(key.as_str())).collect();
                let keys = self.add_all(names.iter(), depth)?;
                let objects = self.add_all(fields.values(), depth)?;
                self.instance("NSDictionary", [("NS.keys", keys), ("NS.objects", objects)])
            }
            plain => plain.clone(),
        };
        Ok(self.push(object))
    }

    fn add_all<'a>(
        &mut self,
        values: impl Iterator<Item = &'a Value>,
        depth: usize,
    ) -> Result<Value, UsbError> {
        values.map(|value| self.add(value, depth + 1)).collect::<Result<Vec<_>, _>>().map(Value::Array)
    }

    fn instance<const N: usize>(&mut self, class: &str, fields: [(&str, Value); N]) -> Value {
        let mut description = Dictionary::new();
        description.insert("$classname".to_owned(), class.into());
        description.insert("$classes".to_owned(), Value::Array(vec![class.into(), "NSObject".into()]));
        let class = self.push(Value::Dictionary(description));
        let mut object: Dictionary = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        object.insert(CLASS.to_owned(), class);
        Value::Dictionary(object)
    }

    fn push(&mut self, object: Value) -> Value {
        self.objects.push(object);
        Value::Uid(Uid::new(u64::try_from(self.objects.len() - 1).unwrap_or(u64::MAX)))
    }
}

/// Reads an archive. Strings, numbers, arrays (sets too) and dictionaries become themselves, `nil` an empty
/// dictionary, any other object a dictionary of its fields with its class under [`CLASS`].
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, UsbError> {
    let bad = |what: &str| UsbError::protocol(format!("an archive with {what}"));
    let list = Value::from_reader(Cursor::new(bytes)).map_err(|error| bad(&error.to_string()))?;
    let archive = list.as_dictionary().ok_or_else(|| bad("no dictionary"))?;
    let objects = archive.get("$objects").and_then(Value::as_array).ok_or_else(|| bad("no objects"))?;
    let top = archive.get("$top").and_then(Value::as_dictionary).ok_or_else(|| bad("no top"))?;
    let root = top.get("root").or_else(|| top.values().next()).ok_or_else(|| bad("no root"))?;
    Reader { objects, left: OBJECTS_MAX }.value(root, 0)
}

struct Reader<'a> {
    objects: &'a [Value],
    left: usize,
}

impl Reader<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<Value, UsbError> {
        // A cycle is as deep as one likes, so the depth limit ends it.
        if depth > DEPTH_MAX {
            return Err(UsbError::protocol("an archive that is nested too deep or holds itself"));
        }
        self.left =
            self.left.checked_sub(1).ok_or_else(|| UsbError::protocol("an archive of too many objects"))?;
        match value {
            Value::Uid(uid) => {
                let index = usize::try_from(uid.get()).unwrap_or(usize::MAX);
                let object = self.objects.get(index);
                self.value(
                    object.ok_or_else(|| UsbError::protocol("an archive with a loose end"))?,
                    depth + 1,
                )
            }
            Value::String(text) if text == "$null" => Ok(Value::Dictionary(Dictionary::new())),
            Value::Array(elements) => self.list(elements, depth),
            Value::Dictionary(fields) => self.instance(fields, depth),
            plain => Ok(plain.clone()),
        }
    }

    fn list(&mut self, elements: &[Value], depth: usize) -> Result<Value, UsbError> {
        elements
            .iter()
            .map(|element| self.value(element, depth + 1))
            .collect::<Result<_, _>>()
            .map(Value::Array)
    }

    fn instance(&mut self, fields: &Dictionary, depth: usize) -> Result<Value, UsbError> {
        let list = |key: &str| fields.get(key).and_then(Value::as_array);
        match (list("NS.keys"), list("NS.objects")) {
            (Some(keys), Some(objects)) => {
                let mut dictionary = Dictionary::new();
                for (key, object) in keys.iter().zip(objects) {
                    let key = text(&self.value(key, depth + 1)?);
                    dictionary.insert(key, self.value(object, depth + 1)?);
                }
                return Ok(Value::Dictionary(dictionary));
            }
            (None, Some(objects)) => return self.list(objects, depth),
            (_, None) => {}
        }
        if let Some(plain) = fields.get("NS.string").or_else(|| fields.get("NS.data")) {
            return Ok(plain.clone());
        }
        let mut object = Dictionary::new();
        for (key, field) in fields.iter().filter(|(key, _)| *key != CLASS) {
            object.insert(key.clone(), self.value(field, depth + 1)?);
        }
        if let Some(class) = self.class(fields) {
            object.insert(CLASS.to_owned(), class);
        }
        Ok(Value::Dictionary(object))
    }

    fn class(&self, fields: &Dictionary) -> Option<Value> {
        let index = usize::try_from(fields.get(CLASS)?.as_uid()?.get()).ok()?;
        self.objects.get(index)?.as_dictionary()?.get("$classname").cloned()
    }
}

fn text(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn archive(objects: Vec<Value>) -> Vec<u8> {
        let mut top = Dictionary::new();
        top.insert("root".to_owned(), Value::Uid(Uid::new(1)));
        let mut archive = Dictionary::new();
        archive.insert("$top".to_owned(), Value::Dictionary(top));
        archive.insert("$objects".to_owned(), Value::Array(objects));
        let mut bytes = Vec::new();
        Value::Dictionary(archive).to_writer_binary(&mut bytes).unwrap();
        bytes
    }

    fn object(fields: &[(&str, Value)]) -> Value {
        Value::Dictionary(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    fn uid(number: u64) -> Value {
        Value::Uid(Uid::new(number))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = object(&[
            ("text", "a".into()),
            ("list", Value::Array(vec![Value::from(1_u64), Value::Boolean(true), "b".into()])),
            ("inner", object(&[("k", Value::from(-3_i64))])),
        ]);
        assert_eq!(decode(&encode(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn an_error_object_keeps_class_and_fields() {
        let bytes = archive(vec![
            "$null".into(),
            object(&[
                (CLASS, uid(2)),
                ("NSCode", Value::from(4_u64)),
                ("NSDomain", uid(3)),
                ("NSUserInfo", uid(0)),
            ]),
            object(&[("$classname", "NSError".into())]),
            "FBSOpenApplicationErrorDomain".into(),
        ]);
        let expected = object(&[
            ("NSCode", Value::from(4_u64)),
            ("NSDomain", "FBSOpenApplicationErrorDomain".into()),
            ("NSUserInfo", object(&[])),
            (CLASS, "NSError".into()),
        ]);
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn cycles_and_bombs_are_refused() {
        let holds_itself =
            archive(vec!["$null".into(), object(&[("NS.objects", Value::Array(vec![uid(1)]))])]);
        let refers_to_itself = archive(vec!["$null".into(), uid(1)]);
        let mut bomb: Vec<Value> = vec!["$null".into()];
        bomb.extend((2..30).map(|next| object(&[("NS.objects", Value::Array(vec![uid(next); 8]))])));
        bomb.push("end".into());
        for bytes in [holds_itself, refers_to_itself, archive(bomb)] {
            assert!(decode(&bytes).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>, at: usize, byte: u8) {
            let _value = decode(&bytes);
            let mut bytes = archive(vec!["$null".into(), object(&[("NS.objects", Value::Array(vec![uid(2)]))]), "x".into()]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _value = decode(&bytes);
        }
    }
}
