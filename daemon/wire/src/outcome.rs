//! How an attempt ends and whom to blame. Retry and quarantine follow from that word alone.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, CaseName, CrashId, LeaseNumber, Udid};
use crate::time::Time;

/// Whom a failure is to be blamed on; decided once, where the failure is first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Blame {
    /// The build, the case or the request itself: another phone would not help.
    Job,
    /// This phone.
    Phone,
    /// The rack: its agent, its disk, its USB.
    Rack,
    /// The farm: the daemon, the network between, the store.
    Farm,
}

impl Blame {
    /// The word used in tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Phone => "phone",
            Self::Rack => "rack",
            Self::Farm => "farm",
        }
    }
}

impl std::fmt::Display for Blame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A step of an attempt, in the order in which they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StepName {
    /// Is the phone fit?
    Check,
    /// The build comes to the rack.
    Fetch,
    /// The build goes onto the phone.
    Install,
    /// The cases run.
    Run,
    /// Crash files come to the rack.
    Collect,
    /// The rack waits until the daemon has them on disk.
    Upload,
    /// The phone is made as it was.
    Clean,
}

impl StepName {
    /// The word used in tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Fetch => "fetch",
            Self::Install => "install",
            Self::Run => "run",
            Self::Collect => "collect",
            Self::Upload => "upload",
            Self::Clean => "clean",
        }
    }
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one launch of an app went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LaunchEnd {
    /// It stayed alive as long as asked, and was then ended by us.
    Stayed,
    /// It ended by itself and left no report.
    Exited,
    /// It ended by itself and the phone wrote a report.
    Crashed {
        /// The report.
        crash: CrashId,
    },
    /// The phone did not name a process in time.
    Hung,
}

/// One launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LaunchResult {
    /// Which launch of the case, from 1.
    pub number: u32,
    /// The process, when there was one.
    pub pid: Option<u32>,
    /// From the request until the phone named the process, milliseconds.
    pub launch_ms: u64,
    /// How long it was then alive, milliseconds.
    pub alive_ms: u64,
    /// How it went.
    pub end: LaunchEnd,
}

/// What one case showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaseResult {
    /// The case.
    pub case: CaseName,
    /// Why it failed, for people; none when it passed.
    pub failure: Option<String>,
    /// Every launch, in order.
    pub launches: Vec<LaunchResult>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AttemptEnd {
    /// Every case passed.
    Passed,
    /// It failed.
    Failed {
        /// Whom to blame.
        blame: Blame,
        /// In which step.
        step: StepName,
        /// Why, for people.
        reason: String,
    },
    /// The daemon took the lease back.
    Revoked,
    /// It gave its phone up to more urgent work, as it was told to; the cases that are done need not be run again.
    Yielded {
        /// Cases done in this attempt, from its first.
        cases_done: u32,
        /// Why one of them failed, for people; none when they all passed.
        failure: Option<String>,
    },
}

/// Everything an agent says of an attempt that is over. It waits in the outbox until the daemon has it on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptReport {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The phone it held.
    pub phone: Udid,
    /// The lease it held; an older one is recorded but decides nothing.
    pub lease: LeaseNumber,
    /// How it ended.
    pub end: AttemptEnd,
    /// What the cases showed, as far as they were run.
    pub cases: Vec<CaseResult>,
    /// Crash files that happened in it.
    pub crashes: Vec<CrashId>,
    /// When the agent began, in the rack's clock.
    pub started_at: Time,
    /// When it ended, in the rack's clock.
    pub ended_at: Time,
}
