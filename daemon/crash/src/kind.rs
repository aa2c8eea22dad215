//! What sort of report a `bug_type` stands for.
//!
//! Public tables disagree with each other; this one follows what the reports themselves hold.

use serde::{Deserialize, Serialize};

/// The sort of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A process died: 309, up to iOS 14 109.
    Crash,
    /// The system was short of memory and killed processes: 298, earlier 198.
    Jetsam,
    /// The kernel stopped: 210, earlier 110, during automated tests 410.
    Panic,
    /// The phone was reset by its buttons or by its watchdog chip: 151.
    ForceReset,
    /// All stacks of all processes at one moment: 288 and 509, up to iOS 8 188.
    Stackshot,
    /// A process used too much processor time: 202, and 206 when it was killed for it.
    CpuResource,
    /// A process wrote too much to the disk: 145.
    DiskWrites,
    /// A process woke the processor too often: 142.
    Wakeups,
    /// A resource limit raised an exception: 385, up to iOS 14 185; for too many threads 227 and 327.
    ResourceException,
    /// A process did something forbidden and was told so without being killed: 308.
    UserFault,
    /// The main thread did not answer: 222, 223, 228, 310, 328, earlier 207.
    Hang,
    /// The user-space watchdog saw a service not check in: 409.
    Watchdog,
    /// The system was updated or restored: 183.
    Update,
    /// Usage figures, one JSON document a line: 211.
    Analytics,
    /// A media stream stalled: 241.
    StreamStall,
    /// Any other number, or none and nothing in the file that tells.
    Unknown,
}

impl Kind {
    /// The kind that a header's `bug_type` names.
    pub fn of_bug_type(bug_type: &str) -> Kind {
        match bug_type {
            "309" | "109" => Kind::Crash,
            "298" | "198" => Kind::Jetsam,
            "210" | "110" | "410" => Kind::Panic,
            "151" => Kind::ForceReset,
            "288" | "509" | "188" => Kind::Stackshot,
            "202" | "206" => Kind::CpuResource,
            "145" => Kind::DiskWrites,
            "142" => Kind::Wakeups,
            "385" | "185" | "227" | "327" => Kind::ResourceException,
            "308" => Kind::UserFault,
            "222" | "223" | "228" | "310" | "328" | "207" => Kind::Hang,
            "409" => Kind::Watchdog,
            "183" => Kind::Update,
            "211" => Kind::Analytics,
            "241" => Kind::StreamStall,
            _ => Kind::Unknown,
        }
    }

    /// What a person calls it.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Crash => "crash",
            Kind::Jetsam => "memory shortage",
            Kind::Panic => "kernel panic",
            Kind::ForceReset => "forced reset",
            Kind::Stackshot => "stackshot",
            Kind::CpuResource => "processor time report",
            Kind::DiskWrites => "disk write report",
            Kind::Wakeups => "wake-up report",
            Kind::ResourceException => "resource limit report",
            Kind::UserFault => "fault without a kill",
            Kind::Hang => "hang",
            Kind::Watchdog => "watchdog report",
            Kind::Update => "system update report",
            Kind::Analytics => "usage figures",
            Kind::StreamStall => "stream stall report",
            Kind::Unknown => "report of an unknown kind",
        }
    }

    /// Whether threads of one process belong into a report of this kind.
    pub fn has_threads(self) -> bool {
        match self {
            Kind::Crash
            | Kind::CpuResource
            | Kind::DiskWrites
            | Kind::Wakeups
            | Kind::ResourceException
            | Kind::UserFault
            | Kind::Hang => true,
            Kind::Jetsam
            | Kind::Panic
            | Kind::ForceReset
            | Kind::Stackshot
            | Kind::Watchdog
            | Kind::Update
            | Kind::Analytics
            | Kind::StreamStall
            | Kind::Unknown => false,
        }
    }
}
