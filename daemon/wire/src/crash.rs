//! Crash files: one report file taken from a phone, and where it came from. What it says is `daemon/crash`'s.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, CaseName, CrashId, RackId, Udid};
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

impl CrashFile {
    /// The kind of report and the process that the name tells: `309` and `Mooring` of
    /// `Retired/Mooring-2026-11-21-033046.ips`. None of a file that is no report.
    ///
    /// A plain name is that of a crash, `309` since iOS 15; the older kind has the same names.
    pub fn kind_and_process(&self) -> Option<(&'static str, &str)> {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        let stem = name.strip_suffix(".synced").unwrap_or(name);
        let stem = stem.strip_suffix(".beta").unwrap_or(stem).strip_suffix(".ips")?;
        let dated = |at: &usize| {
            let mut rest = stem[at + 1..].bytes();
            let mut digits = |count| rest.by_ref().take(count).filter(u8::is_ascii_digit).count() == count;
            digits(4) && stem.as_bytes().get(at + 5) == Some(&b'-')
        };
        let end = stem.match_indices('-').map(|(at, _)| at).find(dated)?;
        let named = &stem[..end];
        let of_resource = |kind| named.strip_suffix(kind).filter(|process: &&str| !process.is_empty());
        let found = RESOURCE_KINDS.iter().find_map(|(ending, kind)| Some((*kind, of_resource(*ending)?)));
        let found = found.or_else(|| Some(("308", named.strip_prefix("ExcUserFault_")?)));
        let system = SYSTEM_KINDS.iter().find(|(process, _)| *process == named);
        let found = found.or_else(|| system.map(|(process, kind)| (*kind, *process)));
        // `Mooring.something_new-2026-…` is about Mooring as well; `com.apple.WebKit-2026-…` is a process of that name.
        let of_new_kind = named.rsplit_once('.').filter(|(_, kind)| kind.contains('_'));
        let found = found.or(Some(("309", of_new_kind.map_or(named, |(process, _)| process))));
        found.filter(|(_, process)| !process.is_empty())
    }
}

/// Endings of the names of resource reports.
const RESOURCE_KINDS: [(&str, &str); 3] =
    [(".cpu_resource", "202"), (".diskwrites_resource", "145"), (".wakeups_resource", "142")];

/// Names of reports of the whole system.
const SYSTEM_KINDS: [(&str, &str); 5] = [
    ("JetsamEvent", "298"),
    ("stacks", "288"),
    ("panic-full", "210"),
    ("panic-base", "210"),
    ("forceReset-full", "151"),
];

/// How full a phone's place for reports of one kind and process is. A phone writes no more of them at its limit, so that
/// crashes go unseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashLimit {
    /// The kind, as phones number them: `309`.
    pub bug_type: String,
    /// Whose reports they are.
    pub process: String,
    /// How many wait on the phone, by its own log where that told.
    pub waiting: u32,
    /// How many the phone keeps; none where it keeps any number.
    pub limit: Option<u32>,
    /// How near the limit that is.
    pub fullness: Fullness,
    /// Crashes that the phone swallowed since this agent knows it, at least: the time stamp of a file moved and no new
    /// one came.
    pub swallowed: u32,
    /// Reports that the phone said it did not save because the limit was reached.
    pub refused: u32,
    /// When a crash was lost so the last time, in the rack's clock.
    pub last_lost_at: Option<Time>,
}

/// How near its limit a kind of report is, by the rack's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Fullness {
    /// There is room.
    Room,
    /// People are warned.
    Near,
    /// Files are collected at once, whatever the phone does.
    Urgent,
}

/// Kinds and processes that a phone tells of at most, the fullest first.
pub const CRASH_LIMITS_MAX: usize = 32;

/// An image of the app whose frames have no names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingDsym {
    /// File name of the image.
    pub image: String,
    /// UUID of the dSYM that would name them, lower case with dashes.
    pub uuid: String,
    /// What came of asking a symbol server for it: `asked https://symbols.example: 404, it has none`. In a crash itself
    /// only, not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
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
    /// The case of the attempt in which it happened, as its process and its time tell; older agents say none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseName>,
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
        let CrashOrigin { id, phone, rack, path, size_bytes, collected_at, attempt, case: _ } = origin;
        Self { id, phone: Some(phone), rack: Some(rack), path, size_bytes, collected_at, attempt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_process_are_read_from_the_name() {
        let cases = [
            ("Mooring-2026-11-21-033046.ips", Some(("309", "Mooring"))),
            ("Retired/Mooring-2026-11-21-033046.000.ips", Some(("309", "Mooring"))),
            ("Mooring-2026-11-21-033046.ips.synced", Some(("309", "Mooring"))),
            ("Mooring-2026-11-21-033046.ips.beta.synced", Some(("309", "Mooring"))),
            ("Two-Part Name-2026-11-21-033046.ips", Some(("309", "Two-Part Name"))),
            ("Mooring.cpu_resource-2026-11-21-033046.ips", Some(("202", "Mooring"))),
            ("Mooring.diskwrites_resource-2026-11-21-033046.ips", Some(("145", "Mooring"))),
            (
                "org.example.Mooring.wakeups_resource-2026-11-21-033046.ips",
                Some(("142", "org.example.Mooring")),
            ),
            ("Mooring.brand_new-2026-11-21-033046.ips", Some(("309", "Mooring"))),
            ("com.apple.WebKit-2026-11-21-033046.ips", Some(("309", "com.apple.WebKit"))),
            ("ExcUserFault_Mooring-2026-11-21-033046.ips", Some(("308", "Mooring"))),
            ("JetsamEvent-2026-11-21-033046.ips", Some(("298", "JetsamEvent"))),
            ("Panics/panic-full-2026-11-21-033046.000.ips", Some(("210", "panic-full"))),
            ("Mooring-20.ips", None),
            ("log-aggregated.txt", None),
            ("-2026-11-21.ips", None),
            ("é-é.ips", None),
        ];
        for (path, expected) in cases {
            let file = CrashFile { path: path.to_owned(), size_bytes: 1, modified_ns: 1 };
            assert_eq!(file.kind_and_process(), expected, "{path}");
        }
    }
}
