//! What operators did, kept for those who ask afterwards. Jobs that people submit and cancel tell of themselves and are
//! not here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::group::GroupDeed;
use crate::id::{AttemptId, GroupId, JobId, Owner, PoolName, ScheduleName, Udid};
use crate::time::Time;
use crate::views::OwnerLimits;

/// Lines that an entry keeps of what a reload changed or was refused for; with [`LINE_CHARS_MAX`] they fit a record.
const LINES_MAX: usize = 40;

/// Characters that an entry keeps of such a line.
const LINE_CHARS_MAX: usize = 160;

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
        /// The pool that was chosen before; none: what the pools file said.
        #[serde(default)]
        before: Option<PoolName>,
    },
    /// Said an owner's share and limits.
    LimitsChanged {
        /// Whose.
        owner: Owner,
        /// What counts from now on; none: what the pools file says.
        #[serde(default)]
        limits: Option<OwnerLimits>,
        /// What counted before.
        #[serde(default)]
        before: Option<OwnerLimits>,
    },
    /// Ran a schedule out of turn.
    ScheduleRun {
        /// Which.
        schedule: ScheduleName,
        /// The job that came of it.
        job: JobId,
    },
    /// Decided something about a crash group.
    GroupChanged {
        /// Which.
        group: GroupId,
        /// What.
        deed: GroupDeed,
    },
    /// Had the configuration read again.
    ConfigReloaded {
        /// How.
        #[serde(default)]
        asked: ReloadAsked,
        /// What changed, a line each; see [`lines`].
        #[serde(default)]
        changes: Vec<String>,
    },
    /// Had the configuration read again, which was refused: what was in force still is.
    ReloadRefused {
        /// How.
        asked: ReloadAsked,
        /// The mistakes, a line each; see [`lines`].
        mistakes: Vec<String>,
    },
}

/// How the daemon was told to read its configuration again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReloadAsked {
    /// Over the API.
    #[default]
    Request,
    /// By the signal SIGHUP: nobody names himself then.
    Signal,
}

/// Lines as an entry keeps them: not too many, not too long, and without control characters.
pub fn lines(lines: impl IntoIterator<Item = impl fmt::Display>) -> Vec<String> {
    let mut lines = lines.into_iter();
    let mut kept: Vec<String> = lines.by_ref().take(LINES_MAX).map(|line| short(&line.to_string())).collect();
    let left = lines.count();
    if left > 0 {
        kept.push(format!("and {left} more"));
    }
    kept
}

fn short(line: &str) -> String {
    let mut chars = line.chars();
    let mut kept: String =
        chars.by_ref().take(LINE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if chars.next().is_some() {
        kept.push('…');
    }
    kept
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
            Self::PoolChosen { phone, pool, before } => {
                match pool {
                    Some(pool) => write!(f, "put phone {phone} into pool {pool}")?,
                    None => write!(f, "gave phone {phone} back to the pool of the pools file")?,
                }
                before.as_ref().map_or(Ok(()), |before| write!(f, " (before by hand: {before})"))
            }
            Self::LimitsChanged { owner, limits, before } => {
                match limits {
                    Some(limits) => write!(f, "set the limits of {owner} to {limits}")?,
                    None => write!(f, "gave {owner} back the limits of the pools file")?,
                }
                before.as_ref().map_or(Ok(()), |before| write!(f, " (before: {before})"))
            }
            Self::ScheduleRun { schedule, job } => write!(f, "ran schedule {schedule} out of turn as {job}"),
            Self::GroupChanged { group, deed } => write!(f, "crash group {group}: {deed}"),
            Self::ConfigReloaded { asked, changes } => {
                write!(f, "had the configuration read again{asked}")?;
                if changes.is_empty() { f.write_str(", nothing changed") } else { listed(f, changes) }
            }
            Self::ReloadRefused { asked, mistakes } => {
                write!(f, "had the configuration read again{asked}, which was refused")?;
                listed(f, mistakes)
            }
        }
    }
}

impl fmt::Display for ReloadAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => Ok(()),
            Self::Signal => f.write_str(" (SIGHUP)"),
        }
    }
}

fn listed(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    lines.iter().enumerate().try_for_each(|(place, line)| {
        let before = if place == 0 { ": " } else { "; " };
        write!(f, "{before}{line}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fits_a_record_whatever_a_reload_says() {
        let kept = lines((0..1_000).map(|_| "\u{1}\"é".repeat(1_000)));
        assert_eq!((kept.len(), kept[LINES_MAX].as_str()), (LINES_MAX + 1, "and 960 more"));
        let bytes = serde_json::to_vec(&kept).map(|bytes| bytes.len());
        assert!(bytes.is_ok_and(|bytes| bytes < 32 * 1024), "a record of the store takes 32 KiB");
        assert_eq!(lines(["a\nb"]), ["a b"]);
        assert_eq!(lines([""; 40]).len(), 40);
    }
}
