//! Jobs: what is asked for, by whom, in which class, under which requirements.

use serde::{Deserialize, Serialize};

use crate::build::BuildIdentity;
use crate::case::Case;
use crate::id::{Label, Owner, PoolName, RackId, Udid};
use crate::outcome::Blame;
use crate::phone::{OsVersion, PhoneFacts};
use crate::time::Time;

/// Who goes first: the order of the variants is the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// Which phones will do. Everything left out is no demand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Requirements {
    /// Any of these: product types (`iPhone14,5`) or names (`iPhone 13`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The oldest OS that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_min: Option<OsVersion>,
    /// The newest OS that will do; `16` means any 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_max: Option<OsVersion>,
    /// All of these labels must be on the phone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// This pool instead of the ones that serve the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// This rack only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<RackId>,
    /// This very phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Udid>,
}

/// A demand that a phone does not meet, in the order in which they are checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "demand", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Mismatch {
    /// Another phone was asked for.
    Phone {
        /// The one asked for.
        wanted: Udid,
    },
    /// Another rack was asked for.
    Rack {
        /// The one asked for.
        wanted: RackId,
    },
    /// The phone's model is not in the list.
    Model {
        /// The models asked for.
        wanted: Vec<String>,
    },
    /// The OS is too old.
    OsTooOld {
        /// The oldest that will do.
        minimum: OsVersion,
    },
    /// The OS is too new.
    OsTooNew {
        /// The newest that will do.
        maximum: OsVersion,
    },
    /// A label is missing.
    Label {
        /// The missing one.
        wanted: Label,
    },
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Phone { wanted } => write!(f, "the job wants phone {wanted}"),
            Self::Rack { wanted } => write!(f, "the job wants rack {wanted}"),
            Self::Model { wanted } => write!(f, "the job wants a {}", wanted.join(" or ")),
            Self::OsTooOld { minimum } => write!(f, "the job wants iOS {minimum} or newer"),
            Self::OsTooNew { maximum } => write!(f, "the job wants iOS {maximum} or older"),
            Self::Label { wanted } => write!(f, "the job wants the label {wanted}"),
        }
    }
}

impl Requirements {
    /// The first demand that the phone does not meet; none when it will do. The pool is not looked at here.
    pub fn mismatch(&self, rack: &RackId, facts: &PhoneFacts) -> Option<Mismatch> {
        if let Some(wanted) = self.phone.as_ref().filter(|wanted| **wanted != facts.udid) {
            return Some(Mismatch::Phone { wanted: wanted.clone() });
        }
        if let Some(wanted) = self.rack.as_ref().filter(|wanted| *wanted != rack) {
            return Some(Mismatch::Rack { wanted: wanted.clone() });
        }
        if !self.models.is_empty()
            && !self.models.iter().any(|wanted| *wanted == facts.product_type || *wanted == facts.model)
        {
            return Some(Mismatch::Model { wanted: self.models.clone() });
        }
        if let Some(minimum) = self.os_min.as_ref().filter(|minimum| facts.os_version < **minimum) {
            return Some(Mismatch::OsTooOld { minimum: minimum.clone() });
        }
        if let Some(maximum) = self.os_max.as_ref().filter(|maximum| !facts.os_version.is_at_most(maximum)) {
            return Some(Mismatch::OsTooNew { maximum: maximum.clone() });
        }
        let missing = self.labels.iter().find(|wanted| !facts.labels.contains(wanted));
        missing.map(|wanted| Mismatch::Label { wanted: wanted.clone() })
    }
}

/// A job whose every part has been checked: the build exists, the cases are good, the numbers are in range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobSpec {
    /// Who goes first.
    pub class: JobClass,
    /// What is tested.
    pub build: BuildIdentity,
    /// What is run, in this order.
    pub cases: Vec<Case>,
    /// Which phones will do.
    pub requirements: Requirements,
    /// Inside the class, higher goes first; 0 unless said.
    pub priority: i32,
    /// Who asked.
    pub owner: Option<Owner>,
    /// Not started by then, the job is expired.
    pub start_by: Option<Time>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobState {
    /// Waits for a phone.
    Queued,
    /// One attempt holds a phone.
    Running {
        /// Which attempt, by its number.
        attempt: u32,
        /// The phone it holds.
        phone: Udid,
    },
    /// It is over; this never changes again.
    Ended {
        /// How.
        outcome: JobOutcome,
        /// When.
        at: Time,
    },
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
