//! What the ids and other words of the farm look like in a JSON Schema, for configuration files. How they are read is
//! with the types themselves.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::id::{BuildHash, BundleId, CaseName, Label, Owner, PoolName, RackId, ScheduleName, Slot, Udid};
use crate::phone::OsVersion;
use crate::requirement::{EXPRESSION_BYTES_MAX, Expression};

/// What [`crate::id`] takes as a name.
const NAME: &str = "^[A-Za-z0-9._-]{1,64}$";

macro_rules! text {
    ($type:ident, $what:literal, $pattern:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $what, "pattern": $pattern })
            }
        }
    };
}

text!(RackId, "A rack's name.", NAME);
text!(Udid, "A phone's UDID.", NAME);
text!(PoolName, "A pool's name.", NAME);
text!(CaseName, "A case's name.", NAME);
text!(Owner, "Who answers for it: a team or a person's short name.", NAME);
text!(ScheduleName, "A schedule's name.", NAME);
text!(Label, "A word that an operator gives to phones.", NAME);
text!(BundleId, "An app's bundle identifier.", NAME);
text!(Slot, "A physical USB position in a rack.", NAME);
text!(BuildHash, "A build, by the whole hash.", "^[0-9a-fA-F]{64}$");
text!(OsVersion, "One to three numbers, like 16.7.2.", "^[0-9]+(\\.[0-9]+){0,2}$");

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Which phones, like `model = \"iPhone 13\" and os >= 16`. Facts: model, chip, os, region, \
                            storage, battery, slot, rack, pool, label, phone; `any` is every phone.",
            "minLength": 1,
            "maxLength": EXPRESSION_BYTES_MAX,
        })
    }
}
