//! What people and programs read from the daemon and ask of it, under `/api/v1`. Errors are RFC 9457 problems.

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::crash::{CrashSource, MissingDsym};
use crate::group::CrashSignature;
use crate::id::{
    AttemptId, BuildHash, CaseName, CompareName, CrashId, GroupId, JobId, LeaseNumber, Owner, PoolName,
    RackId, Udid,
};
use crate::job::{JobClass, JobSpec, JobState, Requirements};
use crate::outcome::{AttemptEnd, CaseResult, StepName};
use crate::phone::{PhoneFacts, PhoneState};
use crate::time::Time;

mod audit;
mod waiting;

pub use audit::{Act, AuditEntry, ReloadAsked, lines as audit_lines};
pub use waiting::{
    ClassQueue, Eta, Explanation, JobEta, Obstacle, PhoneAnswer, Plan, PlanAnswer, Preemption, QueueView,
    QueuedJob, Rule, RuleAnswer,
};

/// The header that makes a submission harmless when it is sent twice (up to 128 printable characters).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The entries of this page.
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// `POST /api/v1/jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRequest {
    /// Who goes first.
    pub class: JobClass,
    /// The build, by the whole hash.
    pub build: BuildHash,
    /// Cases of the farm's catalogue, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<CaseName>,
    /// Cases said in full, run after those of the catalogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inline_cases: Vec<Case>,
    /// Which phones will do.
    #[serde(default)]
    pub requirements: Requirements,
    /// Inside the class, higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Not started by then, the job is expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Time>,
    /// Phones that it needs at once, 1 to [`crate::job::PHONES_PER_JOB_MAX`]; all of them begin together or none does.
    #[serde(default = "crate::job::one_phone", skip_serializing_if = "crate::job::is_one_phone")]
    pub phones: u16,
    /// What it is compared within: jobs of one such name run on the very same phone, taking turns between builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<CompareName>,
    /// The same work asked twice is done once: a job that asks for the same and waits, runs or has passed answers for
    /// this one too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub once: bool,
}

impl JobRequest {
    /// Asks for this build on any one phone, without cases and without haste.
    pub fn plain(class: JobClass, build: BuildHash) -> Self {
        Self {
            class,
            build,
            cases: Vec::new(),
            inline_cases: Vec::new(),
            requirements: Requirements::default(),
            priority: 0,
            owner: None,
            start_by: None,
            phones: crate::job::one_phone(),
            compare: None,
            once: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A job, as lists and descriptions show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its name.
    pub id: JobId,
    /// What was asked.
    pub spec: JobSpec,
    /// Where it stands.
    pub state: JobState,
    /// When the farm had it on disk.
    pub submitted_at: Time,
    /// Why it waits, for people; none unless queued.
    pub waiting: Option<String>,
    /// When it is expected to start; none unless queued, and none in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Eta>,
    /// Told with the answer to a submission alone: nothing that the farm has can ever run this, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Cases that attempts which gave their phone up have done for good; the next attempt goes on behind them.
    #[serde(default)]
    pub cases_done: u32,
    /// How often it gave a phone up to more urgent work.
    #[serde(default)]
    pub yielded: u32,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptView>,
}

/// An attempt, as a job shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptView {
    /// Its name.
    pub id: AttemptId,
    /// The phone it has or had.
    pub phone: Udid,
    /// That phone's rack.
    pub rack: RackId,
    /// The lease.
    pub lease: LeaseNumber,
    /// When the lease was given.
    pub leased_at: Time,
    /// Where it stands, while it runs.
    pub progress: Option<ProgressView>,
    /// How it ended; none while it runs.
    pub end: Option<AttemptEnd>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// What its cases showed.
    pub cases: Vec<CaseResult>,
    /// Crash files that happened in it.
    pub crashes: Vec<CrashId>,
}

/// Where a running attempt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProgressView {
    /// The step it is in.
    pub step: StepName,
    /// How much of the whole is done, 0 to 100.
    pub percent: u8,
    /// What it does, for people.
    pub note: String,
}

/// A phone, as lists and descriptions show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhoneView {
    /// What is known of it.
    pub facts: PhoneFacts,
    /// Its rack.
    pub rack: RackId,
    /// Its pool; a phone in none gets no work.
    pub pool: Option<PoolName>,
    /// Its state.
    pub state: PhoneState,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// What it runs now, and how far that is.
    pub progress: Option<ProgressView>,
    /// Failures in a row that were blamed on it.
    pub failures_in_a_row: u32,
}

/// A rack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RackView {
    /// Its name.
    pub id: RackId,
    /// Whether its agent is heard.
    pub online: bool,
    /// When its agent last spoke.
    pub last_heard: Time,
    /// Its agent's program version.
    pub agent_version: String,
    /// Phones known on it.
    pub phones: usize,
    /// Phones that are ready or busy.
    pub phones_working: usize,
}

/// A crash in a list. The whole report is at `/api/v1/crashes/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashView {
    /// Where it came from.
    pub origin: CrashSource,
    /// The kind of report: `crash`, `jetsam`, …, `unreadable`.
    pub kind: String,
    /// The process that ended.
    pub process: Option<String>,
    /// Its bundle identifier.
    pub bundle_id: Option<String>,
    /// What ended it, in words.
    pub ended_by: Option<String>,
    /// The top frame of the app itself.
    pub top_frame: Option<String>,
    /// When it happened, in the phone's clock.
    pub captured_at: Option<String>,
    /// Where the file is broken; empty when it is whole.
    pub malformed: Vec<String>,
    /// How far the process had come: `before main`, `launching`, `running`, `unknown`; none of a report about the whole
    /// phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_phase: Option<String>,
    /// The app's version and build number, as the file says them: `8.0.1 (4127)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// The system's version, as the file says it: `iPhone OS 18.5 (22F76)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The phone's model, as the file says it: `iPhone17,1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_model: Option<String>,
    /// `LC_UUID` of the main executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_uuid: Option<String>,
    /// When it happened, by the phone's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened_at: Option<Time>,
    /// The build that crashed; none when it was another program, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildHash>,
    /// The case that ran, when its job has no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseName>,
    /// What it has in common with others of the same defect; none when nothing ended, or nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<CrashSignature>,
    /// The group it was put into. One that was merged counts into another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Whether an operator put it there, so that no signature moves it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placed_by_hand: bool,
    /// Symbols that nobody has uploaded; none of a crash that was taken in before symbols were looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_symbols: Option<Vec<MissingDsym>>,
    /// The source file of the top frame of the app itself, as a path in its repository as far as the folders of the build
    /// machines are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_file: Option<String>,
    /// The phone's name for what happened, upper case: all files of one incident are one crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The crash of which this file is a twin: one of the same incident that came before it. A twin is kept, and neither
    /// listed nor counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin_of: Option<CrashId>,
}

/// What changed, for readers of `/api/v1/changes` (server-sent events).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "changed", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Change {
    /// A job moved.
    Job {
        /// Which.
        id: JobId,
    },
    /// A phone moved.
    Phone {
        /// Which.
        udid: Udid,
    },
    /// A rack came or went.
    Rack {
        /// Which.
        id: RackId,
    },
    /// A crash came in.
    Crash {
        /// Which.
        id: CrashId,
    },
    /// A crash group came up or moved.
    Group {
        /// Which.
        id: GroupId,
    },
    /// A build came in.
    Build {
        /// Which.
        hash: BuildHash,
    },
}

/// An RFC 9457 problem: what a refused request is answered with (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A stable name: `urn:holdfast:not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words; equal for every problem of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and the mend.
    pub detail: String,
    /// Every mistake in the request, with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// One mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mistake {
    /// Where: a path in the document (`requirements.os_min`), or line and column.
    pub place: String,
    /// What is wrong, and the mend.
    pub what: String,
}
