//! Crash files: one report file taken from a phone, and where it came from. What it says is `daemon/crash`'s.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, CrashId, RackId, Udid};
use crate::time::Time;

/// A file in the crash folder of a phone. Paths are relative to that folder, with `/` between parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CrashFile {
    /// `Retired/Mooring-2026-11-21-033046.ips`.
    pub path: String,
    /// Bytes.
    pub size_bytes: u64,
    /// When the phone last changed it, nanoseconds since 1970 in the phone's clock (AFC `st_mtime`).
    pub modified_ns: u64,
}

/// Where a crash file came from. The bytes are a blob of the same hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashOrigin {
    /// The hash of its bytes: a twin is the same crash.
    pub id: CrashId,
    /// The phone that wrote it.
    pub phone: Udid,
    /// The rack that took it.
    pub rack: RackId,
    /// Its path on the phone.
    pub path: String,
    /// Bytes.
    pub size_bytes: u64,
    /// When the agent had it whole.
    pub collected_at: Time,
    /// The attempt in which it happened; none when it was there before.
    pub attempt: Option<AttemptId>,
}

/// Where a crash file came from, as the daemon keeps it: a file that somebody brought came from no phone of the farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashSource {
    /// The hash of its bytes: a twin is the same crash.
    pub id: CrashId,
    /// The phone that wrote it; none of a file that was imported.
    pub phone: Option<Udid>,
    /// The rack that took it; none of a file that was imported.
    pub rack: Option<RackId>,
    /// Its path on the phone, or the name under which it was imported.
    pub path: String,
    /// Bytes.
    pub size_bytes: u64,
    /// When the agent had it whole, or when it was imported.
    pub collected_at: Time,
    /// The attempt in which it happened; none when it was there before.
    pub attempt: Option<AttemptId>,
}

impl From<CrashOrigin> for CrashSource {
    fn from(origin: CrashOrigin) -> Self {
        let CrashOrigin { id, phone, rack, path, size_bytes, collected_at, attempt } = origin;
        Self { id, phone: Some(phone), rack: Some(rack), path, size_bytes, collected_at, attempt }
    }
}
