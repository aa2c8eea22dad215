//! Small shapes of values that several configuration files share: maps whose keys may stand once only, spans of time in
//! words, the ageing of a class. What they mean is in the modules that use them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A map in which a key that stands twice is a mistake; the parser alone would let the last one win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Once<K, V>(pub(super) BTreeMap<K, V>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K: Deserialize<'de> + Ord + fmt::Display, V: Deserialize<'de>> Deserialize<'de> for Once<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceVisitor(PhantomData))
    }
}

struct OnceVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord + fmt::Display, V: Deserialize<'de>> Visitor<'de> for OnceVisitor<K, V> {
    type Value = Once<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = BTreeMap::new();
        while let Some(key) = map.next_key::<K>()? {
            if found.contains_key(&key) {
                return Err(Error::custom(format!("{key} stands here twice; keep one of them")));
            }
            let value = map.next_value()?;
            found.insert(key, value);
        }
        Ok(Once(found))
    }
}

impl<K: JsonSchema, V: JsonSchema> JsonSchema for Once<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": values })
    }
}

/// A span of time in words: `90s`, `30m`, `8h`, `2d`, or several of them: `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        span(&text).map(Self).ok_or_else(|| {
            Error::custom(format!("{text:?} is no span of time; write it like 90s, 30m, 8h, 2d or 1h30m"))
        })
    }
}

fn span(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    let mut largest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let unit = match behind.chars().next()? {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        // Larger units first, each once: 30m1h is more likely a slip than a span.
        if unit >= largest {
            return None;
        }
        largest = unit;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = behind.get(1..)?;
    }
    (!text.is_empty()).then_some(Duration::from_secs(seconds))
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time, like 90s, 30m, 8h, 2d or 1h30m.",
            "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
            "minLength": 2,
        })
    }
}

/// When a waiting job goes before everything that is not strict: a number of seconds, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lift {
    /// After so many seconds.
    AfterSeconds(u64),
    /// It keeps its place for ever.
    Never,
}

impl<'de> Deserialize<'de> for Lift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LiftVisitor)
    }
}

struct LiftVisitor;

impl Visitor<'_> for LiftVisitor {
    type Value = Lift;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds, or `never`")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Lift, E> {
        Ok(Lift::AfterSeconds(seconds))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Lift, E> {
        if word == "never" {
            Ok(Lift::Never)
        } else {
            Err(E::invalid_value(serde::de::Unexpected::Str(word), &self))
        }
    }
}

impl JsonSchema for Lift {
    fn schema_name() -> Cow<'static, str> {
        "Lift".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Seconds after which a waiting job goes before everything that is not strict, or `never`.",
            "oneOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "enum": ["never"] }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_their_units() {
        let table = [
            ("90s", Some(90)),
            ("30m", Some(1_800)),
            ("8h", Some(28_800)),
            ("2d", Some(172_800)),
            ("1h30m", Some(5_400)),
            ("0s", Some(0)),
            ("", None),
            ("8", None),
            ("h", None),
            ("30m1h", None),
            ("1h1h", None),
            ("8 h", None),
            ("-8h", None),
            ("8w", None),
            ("99999999999999999999s", None),
            ("999999999999999999d", None),
        ];
        for (text, seconds) in table {
            assert_eq!(span(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
