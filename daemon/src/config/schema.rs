//! The JSON Schemas (draft 7) of the configuration files, for editors: made from the very structs that read the files,
//! so that they cannot differ. Rules between fields are told by `--check-config` alone.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::{daemon, pools, schedules};

/// A configuration file that has a schema, by its name: `config/schemas/NAME.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaName {
    /// `holdfastd.yaml`.
    Holdfastd,
    /// `pools.yaml`.
    Pools,
    /// `schedules.yaml`.
    Schedules,
    /// `notify.yaml`.
    Notify,
    /// One file of the cases folder.
    Case,
}

impl SchemaName {
    /// Every schema.
    pub const ALL: [Self; 5] = [Self::Holdfastd, Self::Pools, Self::Schedules, Self::Notify, Self::Case];

    /// The word on the command line and the stem of the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holdfastd => "holdfastd",
            Self::Pools => "pools",
            Self::Schedules => "schedules",
            Self::Notify => "notify",
            Self::Case => "case",
        }
    }

    /// The schema.
    pub fn schema(self) -> Schema {
        match self {
            Self::Holdfastd => of::<daemon::Raw>(),
            Self::Pools => of::<pools::Raw>(),
            Self::Schedules => of::<schedules::Raw>(),
            Self::Notify => of::<holdfast_notify::Raw>(),
            Self::Case => of::<holdfast_wire::case::Case>(),
        }
    }

    /// The schema as the text of its file, the newline at its end included.
    ///
    /// # Errors
    /// The schema has no JSON form.
    pub fn text(self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&self.schema()).map(|text| text + "\n")
    }
}

fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>()
}
