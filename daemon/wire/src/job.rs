//! Jobs: what is asked for, by whom, in which class, under which requirements.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::build::BuildIdentity;
use crate::case::Case;
use crate::id::{BlobHash, CompareName, Owner, Udid};
use crate::outcome::Blame;
pub use crate::requirement::{Mismatch, Requirements};
use crate::time::Time;

/// Who goes first: the order of the variants is the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum JobClass {
    /// Trunk commits and monkey runs, on the dedicated pool.
    Crash,
    /// Pushes to a feature branch and their merge-base.
    Baseline,
    /// A team's own cases.
    Custom,
    /// One dimension in depth.
    Special,
    /// Re-runs in idle time; gives its phone up to anyone.
    Idle,
}

impl JobClass {
    /// Every class, first served first.
    pub const ALL: [Self; 5] = [Self::Crash, Self::Baseline, Self::Custom, Self::Special, Self::Idle];

    /// The word used in configuration, API and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Baseline => "baseline",
            Self::Custom => "custom",
            Self::Special => "special",
            Self::Idle => "idle",
        }
    }
}

impl std::fmt::Display for JobClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Phones that one job may need at once, at most.
pub const PHONES_PER_JOB_MAX: u16 = 16;

/// A job whose every part has been checked: the build exists, the cases are good, the numbers are in range. What many
/// jobs have in common is shared between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobSpec {
    /// Who goes first.
    pub class: JobClass,
    /// What is tested.
    #[cfg_attr(feature = "openapi", schema(value_type = BuildIdentity))]
    pub build: Arc<BuildIdentity>,
    /// What is run, in this order.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Case>))]
    pub cases: Arc<Vec<Case>>,
    /// Which phones will do.
    #[cfg_attr(feature = "openapi", schema(value_type = Requirements))]
    pub requirements: Arc<Requirements>,
    /// Inside the class, higher goes first; 0 unless said.
    pub priority: i32,
    /// Who asked.
    pub owner: Option<Owner>,
    /// Not started by then, the job is expired.
    pub start_by: Option<Time>,
    /// Phones that it needs at once, 1 to [`PHONES_PER_JOB_MAX`]; all of them begin together or none does.
    #[serde(default = "one_phone", skip_serializing_if = "is_one_phone")]
    pub phones: u16,
    /// Jobs of one such name are compared with each other: they run on the very same phone, taking turns between
    /// builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<CompareName>,
    /// The hash of what is asked, when the submitter wants the same work done only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub content: Option<Box<BlobHash>>,
}

pub(crate) fn one_phone() -> u16 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(crate) fn is_one_phone(phones: &u16) -> bool {
    *phones == 1
}

impl JobSpec {
    /// How long the job is expected to hold a phone when nothing is known of earlier runs: the cases as they are
    /// meant to go, and a minute for everything around them.
    pub fn usual_duration(&self) -> Duration {
        let cases: Duration = self.cases.iter().map(Case::usual_duration).sum();
        cases.saturating_add(Duration::from_secs(60))
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobState {
    /// Waits for a phone.
    Queued,
    /// One attempt holds a phone; of a job that needs several phones, one attempt on each.
    Running {
        /// Which attempt, by its number; the first of them when there are several.
        attempt: u32,
        /// The phone it holds.
        phone: Udid,
        /// The others, when the job needs several phones at once.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<Member>,
    },
    /// It is over; this never changes again.
    Ended {
        /// How.
        outcome: JobOutcome,
        /// When.
        at: Time,
    },
}

/// One of the attempts of a job that runs on several phones at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// Which attempt, by its number.
    pub attempt: u32,
    /// The phone it holds or held.
    pub phone: Udid,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobOutcome {
    /// Every case passed.
    Passed,
    /// A case failed, or no attempt got far enough.
    Failed {
        /// Whom to blame: `job` is a finding about the build, anything else is the farm's own trouble.
        blame: Blame,
        /// Why, for people.
        reason: String,
    },
    /// Somebody took it back.
    Cancelled,
    /// It was not started in time.
    Expired,
}

impl JobOutcome {
    /// The word used in tables and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}
