//! Builds: what is known of an `.ipa` once the daemon has looked inside.

use serde::{Deserialize, Serialize};

use crate::id::{BlobHash, BuildHash, BundleId};
use crate::time::Time;

/// Where a build came from, as its uploader says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Origin {
    /// The commit it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Who wrote the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The commits that it follows: from these, builds have their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
}

/// What a phone and a person need to know of a build before it is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BuildIdentity {
    /// The hash of the archive, which is its name.
    pub hash: BuildHash,
    /// Bytes of the archive.
    pub size_bytes: u64,
    /// `CFBundleIdentifier`.
    pub bundle_id: BundleId,
    /// `CFBundleExecutable`: the process name that crash reports show.
    pub executable: String,
    /// `CFBundleShortVersionString`.
    pub version: String,
    /// `CFBundleVersion`.
    pub build_number: String,
    /// `LC_UUID` of the main executable, lower case with dashes, one per architecture slice.
    pub uuids: Vec<String>,
    /// `MinimumOSVersion`, when the archive says one.
    pub minimum_os: Option<String>,
}

/// A build as the farm keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Build {
    /// What is inside.
    pub identity: BuildIdentity,
    /// Where it came from.
    pub origin: Origin,
    /// When the farm first had it on disk.
    pub uploaded_at: Time,
    /// The zipped dSYM that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols: Option<BlobHash>,
}
