//! Writes a value as a keyed archive. Reading is in [`decode`](super::decode()).

use std::collections::HashMap;

use plist::{Dictionary, Uid, Value};

use super::object::Object;

/// What `NSKeyedArchiver` writes as its version since Mac OS X 10.2.
const ARCHIVER_VERSION: i64 = 100_000;

/// The bytes of a binary property list that holds `root` as a keyed archive.
///
/// # Errors
/// When a value cannot be written as a property list, which no [`Object`] of this crate brings about.
pub fn encode(root: &Object) -> Result<Vec<u8>, plist::Error> {
    let mut writer = Writer { objects: vec![Value::from("$null")], ..Writer::default() };
    let root = writer.add(root);
    let mut top = Dictionary::new();
    top.insert("root".to_owned(), Value::Uid(root));
    let mut archive = Dictionary::new();
    archive.insert("$version".to_owned(), Value::from(ARCHIVER_VERSION));
    archive.insert("$archiver".to_owned(), Value::from("NSKeyedArchiver"));
    archive.insert("$top".to_owned(), Value::Dictionary(top));
    archive.insert("$objects".to_owned(), Value::Array(writer.objects));
    let mut bytes = Vec::new();
    Value::Dictionary(archive).to_writer_binary(&mut bytes)?;
    Ok(bytes)
}

#[derive(Default)]
struct Writer {
    objects: Vec<Value>,
    classes: HashMap<String, Uid>,
    strings: HashMap<String, Uid>,
}

impl Writer {
    fn add(&mut self, object: &Object) -> Uid {
        match object {
            Object::Null => self.with_class("NSNull", Dictionary::new()),
            Object::Bool(truth) => self.push(Value::from(*truth)),
            Object::Integer(number) => self.push(Value::Integer(*number)),
            Object::Real(number) => self.push(Value::from(*number)),
            Object::String(text) => self.add_string(text),
            Object::Data(bytes) => self.push(Value::Data(bytes.clone())),
            Object::Date(seconds) => {
                let mut fields = Dictionary::new();
                fields.insert("NS.time".to_owned(), Value::from(*seconds));
                self.with_class("NSDate", fields)
            }
            Object::Uuid(bytes) => {
                let mut fields = Dictionary::new();
                fields.insert("NS.uuidbytes".to_owned(), Value::Data(bytes.to_vec()));
                self.with_class("NSUUID", fields)
            }
            Object::Array(elements) => self.add_list("NSArray", elements),
            Object::Set(elements) => self.add_list("NSSet", elements),
            Object::Dictionary(entries) => {
                let pairs: Vec<(&Object, &Object)> =
                    entries.iter().map(|(key, value)| (key, value)).collect();
                self.add_dictionary(&pairs)
            }
            Object::Error(error) => {
                let domain = self.add_string(&error.domain);
                let keys: Vec<Object> = error.user_info.iter().map(|(key, _)| key.as_str().into()).collect();
                let pairs: Vec<(&Object, &Object)> =
                    keys.iter().zip(error.user_info.iter().map(|(_, value)| value)).collect();
                let user_info = self.add_dictionary(&pairs);
                let mut fields = Dictionary::new();
                fields.insert("NSCode".to_owned(), Value::from(error.code));
                fields.insert("NSDomain".to_owned(), Value::Uid(domain));
                fields.insert("NSUserInfo".to_owned(), Value::Uid(user_info));
                self.with_class("NSError", fields)
            }
            Object::Other { class, fields } => self.add_other(class, fields),
        }
    }

    fn add_other(&mut self, class: &str, fields: &std::collections::BTreeMap<String, Object>) -> Uid {
        let mut written = Dictionary::new();
        for (key, value) in fields {
            // Plain numbers stand inside the object, as -encodeInteger:forKey: writes them.
            let value = match value {
                Object::Bool(truth) => Value::from(*truth),
                Object::Integer(number) => Value::Integer(*number),
                Object::Real(number) => Value::from(*number),
                object => Value::Uid(self.add(object)),
            };
            written.insert(key.clone(), value);
        }
        self.with_class(class, written)
    }

    fn add_list(&mut self, class: &str, elements: &[Object]) -> Uid {
        let elements = elements.iter().map(|element| Value::Uid(self.add(element))).collect();
        let mut fields = Dictionary::new();
        fields.insert("NS.objects".to_owned(), Value::Array(elements));
        self.with_class(class, fields)
    }

    fn add_dictionary(&mut self, pairs: &[(&Object, &Object)]) -> Uid {
        let keys = pairs.iter().map(|(key, _)| Value::Uid(self.add(key))).collect();
        let values = pairs.iter().map(|(_, value)| Value::Uid(self.add(value))).collect();
        let mut fields = Dictionary::new();
        fields.insert("NS.keys".to_owned(), Value::Array(keys));
        fields.insert("NS.objects".to_owned(), Value::Array(values));
        self.with_class("NSDictionary", fields)
    }

    fn add_string(&mut self, text: &str) -> Uid {
        if let Some(known) = self.strings.get(text) {
            return *known;
        }
        // The text `$null` must not be taken for the null of the archive, which only object 0 is.
        let uid = self.push(Value::from(text));
        self.strings.insert(text.to_owned(), uid);
        uid
    }

    fn with_class(&mut self, class: &str, mut fields: Dictionary) -> Uid {
        let class = self.add_class(class);
        fields.insert("$class".to_owned(), Value::Uid(class));
        self.push(Value::Dictionary(fields))
    }

    fn add_class(&mut self, class: &str) -> Uid {
        if let Some(known) = self.classes.get(class) {
            return *known;
        }
        let names = vec![Value::from(class), Value::from("NSObject")];
        let mut description = Dictionary::new();
        description.insert("$classname".to_owned(), Value::from(class));
        description.insert("$classes".to_owned(), Value::Array(names));
        let uid = self.push(Value::Dictionary(description));
        self.classes.insert(class.to_owned(), uid);
        uid
    }

    fn push(&mut self, value: Value) -> Uid {
        let uid = Uid::new(self.objects.len() as u64);
        self.objects.push(value);
        uid
    }
}
