//! What operators did, kept for those who ask afterwards. Jobs that people submit and cancel tell of themselves and are
//! not here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, JobId, Owner, PoolName, ScheduleName, Udid};
use crate::time::Time;

/// `GET /api/v1/audit`: one thing that an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Grows by one with every entry.
    pub number: u64,
    /// When.
    pub at: Time,
    /// Who, as he named himself; none when he did not.
    pub by: Option<Owner>,
    /// What he did.
    pub act: Act,
    /// Why, as he said.
    pub reason: Option<String>,
}

/// Something that operators do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Act {
    /// Borrowed a phone.
    PhoneTaken {
        /// Which.
        phone: Udid,
        /// Until when; until it is given back when none.
        until: Option<Time>,
    },
    /// Let a phone out of quarantine, or gave a borrowed one back.
    PhoneReleased {
        /// Which.
        phone: Udid,
    },
    /// Kept a phone from work.
    PhoneQuarantined {
        /// Which.
        phone: Udid,
        /// Until when; until it is released when none.
        until: Option<Time>,
    },
    /// Took a phone away from what ran on it.
    LeaseRevoked {
        /// The phone.
        phone: Udid,
        /// What ran on it.
        attempt: Option<AttemptId>,
    },
    /// Put a phone into a pool.
    PoolChosen {
        /// The phone.
        phone: Udid,
        /// The pool; none: what the pools file says.
        pool: Option<PoolName>,
    },
    /// Said an owner's share and limits.
    LimitsChanged {
        /// Whose.
        owner: Owner,
    },
    /// Ran a schedule out of turn.
    ScheduleRun {
        /// Which.
        schedule: ScheduleName,
        /// The job that came of it.
        job: JobId,
    },
    /// Had the configuration read again.
    ConfigReloaded,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PhoneTaken { phone, until: Some(until) } => write!(f, "took phone {phone} until {until}"),
            Self::PhoneTaken { phone, until: None } => write!(f, "took phone {phone}"),
            Self::PhoneReleased { phone } => write!(f, "released phone {phone}"),
            Self::PhoneQuarantined { phone, until: Some(until) } => {
                write!(f, "put phone {phone} into quarantine until {until}")
            }
            Self::PhoneQuarantined { phone, until: None } => write!(f, "put phone {phone} into quarantine"),
            Self::LeaseRevoked { phone, attempt: Some(attempt) } => {
                write!(f, "took phone {phone} away from {attempt}")
            }
            Self::LeaseRevoked { phone, attempt: None } => write!(f, "took phone {phone} away, nothing ran"),
            Self::PoolChosen { phone, pool: Some(pool) } => write!(f, "put phone {phone} into pool {pool}"),
            Self::PoolChosen { phone, pool: None } => {
                write!(f, "gave phone {phone} back to the pool of the pools file")
            }
            Self::LimitsChanged { owner } => write!(f, "changed the limits of {owner}"),
            Self::ScheduleRun { schedule, job } => write!(f, "ran schedule {schedule} out of turn as {job}"),
            Self::ConfigReloaded => f.write_str("had the configuration read again"),
        }
    }
}
