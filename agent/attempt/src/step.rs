//! What goes into the brain and what comes out: the brief, events (facts, past tense), steps (orders).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_wire::crash::{CrashFile, CrashOrigin};
use holdfast_wire::id::{BuildHash, CrashId, LeaseNumber, RackId, Udid};
use holdfast_wire::outcome::{AttemptReport, Blame};
use holdfast_wire::phone::PhoneFacts;
use holdfast_wire::sync::{Work, YieldWhen};

use crate::health::Thresholds;
use crate::plan::{Launched, Peek, Taken};
use crate::settings::Settings;

/// Everything the brain is told before the first step.
#[derive(Debug, Clone)]
pub struct Brief {
    /// The rack.
    pub rack: RackId,
    /// The phone.
    pub phone: Udid,
    /// The lease under which the attempt runs.
    pub lease: LeaseNumber,
    /// The work.
    pub work: Work,
    /// The build that this agent last put on the phone, as its memory says; the phone's app list is compared.
    pub installed: Option<BuildHash>,
    /// Crash files that are on the phone and were taken earlier.
    pub taken: Vec<Taken>,
    /// What the attempts before this one launched, the newest first: a report that comes late is one of theirs.
    pub earlier: Vec<Launched>,
    /// Deadlines.
    pub settings: Settings,
    /// When a phone is unfit.
    pub thresholds: Thresholds,
}

/// What happened. Answers belong to the step under way; one that does not fit it is passed over.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The phone told its facts.
    Checked(Box<PhoneFacts>),
    /// The crash folder was listed.
    Listed(Vec<CrashFile>),
    /// The build is on the rack.
    Fetched,
    /// The build is on the phone.
    Installed,
    /// The phone named the process.
    Launched {
        /// Its number.
        pid: u32,
        /// From the request to the answer.
        took: Duration,
    },
    /// The watched process is gone.
    Ended {
        /// How long it was seen alive.
        alive: Duration,
    },
    /// The watched process lived as long as it was watched.
    StillAlive,
    /// The process, or every process of the app, is gone.
    Killed,
    /// A crash file is whole on the rack.
    Pulled {
        /// The hash of its bytes.
        crash: CrashId,
        /// What a first look at it told.
        peek: Peek,
    },
    /// A crash file waits in the outbox, on disk.
    Stored,
    /// A crash file is gone from the phone.
    Deleted,
    /// The step under way failed.
    Failed(Failure),
    /// The step under way is so far, 0 to 100.
    Progressed(u8),
    /// The daemon has these crash files on its disk.
    Confirmed(BTreeSet<CrashId>),
    /// The daemon took the lease back.
    Revoked,
    /// The daemon wants the phone for more urgent work.
    ToldToYield(YieldWhen),
    /// The phone's own log told of crash files.
    ToldOfCrashes(Told),
    /// The phone left the bus.
    PhoneLost,
    /// The phone is on the bus again.
    PhoneReturned,
    /// The instant of `wake_at` has come.
    Tick,
}

/// What a phone's log told of its crash files; the more urgent one last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// There is a new one.
    Saved,
    /// So many of a kind wait that the phone will soon write no more of it.
    NearLimit,
}

/// How a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whom it blames, decided where it was first seen.
    pub blame: Blame,
    /// The part of it that leads to another step.
    pub kind: FailureKind,
    /// Why, for people.
    pub reason: String,
}

/// The failures after which the attempt goes another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The phone did not answer in time.
    Silent,
    /// The app is not on the phone.
    AppMissing,
    /// The file is not on the phone any more.
    FileMissing,
    /// So many crash files of the phone wait on the rack that no more is taken for now.
    SpoolFull,
    /// Any other.
    Other,
}

/// What to do. All but [`Step::Rest`] and [`Step::Finish`] are operations with exactly one answer; at most one
/// is under way, and a new one replaces it: the body drops the old one at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Read the phone's facts. Answer: `Checked`.
    Check,
    /// List the crash folder. Answer: `Listed`.
    ListCrashes,
    /// Bring the build to the rack. Answer: `Fetched`.
    Fetch,
    /// Put it on the phone. Answer: `Installed`.
    Install,
    /// Start the app. Answer: `Launched`.
    Launch {
        /// Arguments for it.
        arguments: Vec<String>,
        /// What it is told by its environment.
        environment: BTreeMap<String, String>,
        /// How long the phone may take to name the process; then it is a `Silent` failure.
        timeout: Duration,
    },
    /// Wait for the process. Answer: `Ended` or `StillAlive`.
    Watch {
        /// Its number.
        pid: u32,
        /// How long.
        limit: Duration,
    },
    /// End the process. Answer: `Killed`.
    Kill {
        /// Its number.
        pid: u32,
    },
    /// End every process of the app. Answer: `Killed`.
    KillApp,
    /// Copy a crash file to the rack. Answer: `Pulled`.
    Pull {
        /// Which.
        file: CrashFile,
    },
    /// Put a pulled crash file into the outbox. Answer: `Stored`.
    Store {
        /// The file on the phone.
        file: CrashFile,
        /// Where it came from.
        origin: CrashOrigin,
    },
    /// Delete a crash file, which the daemon has confirmed. Answer: `Deleted`.
    Delete {
        /// The file on the phone.
        file: CrashFile,
        /// Its bytes.
        crash: CrashId,
    },
    /// Drop what is under way; nothing replaces it now.
    Rest,
    /// The attempt is over; no event is needed any more.
    Finish(Box<Finished>),
}

impl Step {
    /// Whether the step touches the phone so that its app or disk changes.
    pub fn changes_the_phone(&self) -> bool {
        match self {
            Self::Install | Self::Launch { .. } | Self::Delete { .. } => true,
            Self::Check
            | Self::ListCrashes
            | Self::Fetch
            | Self::Watch { .. }
            | Self::Kill { .. }
            | Self::KillApp
            | Self::Pull { .. }
            | Self::Store { .. }
            | Self::Rest
            | Self::Finish(_) => false,
        }
    }
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// For the outbox.
    pub report: AttemptReport,
    /// How the phone was left.
    pub phone: PhoneLeft,
    /// What was launched, for reports that come late.
    pub launched: Launched,
}

/// How an attempt left its phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneLeft {
    /// No process of the app is left.
    Clean,
    /// It must be cleaned before it is given work again.
    Dirty,
}
