//! Phones: the facts an agent reads from one, and whether it may be given work.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::crash::CrashLimit;
use crate::id::{AttemptId, BundleId, Label, Owner, Slot, Udid};
use crate::time::Time;

/// An OS version: one to three numbers, `16`, `16.7`, `16.7.2`. Ordered number by number, and then the one that says
/// less first: 16 means another range than 16.0. [`OsVersion::is_older_than`] counts missing numbers as 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct OsVersion(Vec<u32>);

impl OsVersion {
    /// The first number: 16 of `16.7.2`.
    pub fn major(&self) -> u32 {
        self.0.first().copied().unwrap_or(0)
    }

    /// Whether this version is inside the newest allowed one, where `16` allows any 16 and `16.7` any 16.7.
    pub fn is_at_most(&self, maximum: &Self) -> bool {
        self.cmp_within(maximum).is_le()
    }

    /// Whether this version came out before the oldest allowed one; missing numbers count as 0.
    pub fn is_older_than(&self, minimum: &Self) -> bool {
        self.cmp_within(minimum).is_lt()
    }

    /// Where this version stands against another, in as many numbers as the other has: 16.7.2 is equal to 16.7.
    pub fn cmp_within(&self, other: &Self) -> Ordering {
        (0..other.0.len()).map(|place| self.0.get(place).unwrap_or(&0)).cmp(&other.0)
    }
}

/// Why a text is no OS version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no OS version; write one to three numbers, like 16.7.2")]
pub struct OsVersionError {
    text: String,
}

impl FromStr for OsVersion {
    type Err = OsVersionError;
    fn from_str(text: &str) -> Result<Self, OsVersionError> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers {
            Some(numbers) if numbers.len() <= 3 => Ok(Self(numbers)),
            Some(_) | None => Err(OsVersionError { text: text.chars().take(40).collect() }),
        }
    }
}

impl TryFrom<String> for OsVersion {
    type Error = OsVersionError;
    fn try_from(text: String) -> Result<Self, OsVersionError> {
        text.parse()
    }
}

impl From<OsVersion> for String {
    fn from(version: OsVersion) -> String {
        version.to_string()
    }
}

impl fmt::Display for OsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.pad(&parts.join("."))
    }
}

/// The battery, as the phone's registry tells it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Battery {
    /// Charge, 0 to 100.
    pub level_percent: u8,
    /// Whether it is charging now.
    pub charging: bool,
    /// Temperature of the cell, degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// What is left of the capacity it was made with, 0 to 100 or a little above.
    pub health_percent: Option<u8>,
    /// Charge cycles so far.
    pub cycles: Option<u32>,
}

/// Room on the phone, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Storage {
    /// What an app may still use.
    pub free_bytes: u64,
    /// The whole data volume.
    pub total_bytes: u64,
}

/// Whether this rack may talk to the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Pairing {
    /// The rack has a pair record that the phone accepts.
    Paired,
    /// The trust dialog is on the phone's screen and waits for a finger.
    DialogPending,
    /// Somebody tapped "Don't trust".
    Denied,
    /// Never paired, or the record is no longer accepted.
    #[default]
    Unpaired,
}

/// An app that is on a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstalledApp {
    /// Its bundle identifier.
    pub bundle_id: BundleId,
    /// `CFBundleShortVersionString`.
    pub version: String,
    /// `CFBundleVersion`.
    pub build_number: String,
}

/// What an agent knows of a phone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhoneFacts {
    /// Its name for life.
    pub udid: Udid,
    /// The name its owner gave it.
    pub name: String,
    /// `iPhone14,5`.
    pub product_type: String,
    /// `iPhone 13`; the product type where we do not know the name.
    pub model: String,
    /// The chip, `A15`; none where we do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip: Option<String>,
    /// Where it was sold, as its order number says: `LL/A`; none while the phone does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// iOS version.
    pub os_version: OsVersion,
    /// iOS build, `20H115`.
    pub os_build: String,
    /// Where it is plugged in.
    pub slot: Slot,
    /// Words that an operator gave it, from the agent's configuration.
    pub labels: Vec<Label>,
    /// Its battery; none while the phone does not tell.
    pub battery: Option<Battery>,
    /// Its room; none while the phone does not tell.
    pub storage: Option<Storage>,
    /// Whether the rack may talk to it.
    pub pairing: Pairing,
    /// Whether a passcode locks it now.
    pub passcode_locked: bool,
    /// Whether Developer Mode is on; none where the OS has no such thing.
    pub developer_mode: Option<bool>,
    /// Negotiated USB speed, bits per second.
    pub usb_speed_bps: Option<u64>,
    /// Apps of users, not of the system.
    pub apps: Vec<InstalledApp>,
    /// Crash files waiting on the phone, by process name.
    pub crash_files_waiting: BTreeMap<String, u32>,
    /// How full the phone's places for reports are, the fullest first; at most
    /// [`CRASH_LIMITS_MAX`](crate::crash::CRASH_LIMITS_MAX). Older agents tell none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crash_limits: Vec<CrashLimit>,
    /// The phone's clock minus the rack's, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Not a real phone.
    pub simulated: bool,
}

/// Whether a phone may be given work, in the agent's judgement: the rack knows best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "readiness", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Readiness {
    /// It may.
    Ready,
    /// It is being made ready: facts are read, pairing is under way.
    Preparing,
    /// It is too hot.
    Cooling,
    /// Its battery is too low.
    Charging,
    /// The agent is bringing it back.
    Recovering,
    /// A person has to touch it: trust dialog, passcode, Developer Mode.
    NeedsHands,
    /// It is not on the bus.
    Offline,
}

/// One phone's report from its rack. A later one replaces it whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhoneReport {
    /// What is known of it.
    pub facts: PhoneFacts,
    /// Whether it may be given work.
    pub readiness: Readiness,
    /// Why, for people; empty when ready.
    pub reason: String,
    /// Since when it has been so, in the rack's clock.
    pub since: Time,
}

/// A phone's state as the farm shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PhoneState {
    /// Not on the bus, or its rack is silent.
    Offline,
    /// Being made ready.
    Preparing,
    /// Free for work.
    Ready,
    /// Runs an attempt.
    Busy {
        /// Which.
        attempt: AttemptId,
    },
    /// The attempt is over for the farm; the agent has yet to show that the phone is clean.
    Releasing {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Too hot for work.
    Cooling,
    /// Too little charge for work.
    Charging,
    /// Being brought back.
    Recovering,
    /// A person has to touch it.
    NeedsHands,
    /// Kept from work after failures, until the time given or until somebody releases it.
    Quarantined {
        /// When it may try again.
        until: Option<Time>,
    },
    /// A person has borrowed it; it gets no work.
    Taken {
        /// Who.
        by: Owner,
        /// When it comes back by itself; when somebody gives it back when none.
        until: Option<Time>,
    },
}

impl PhoneState {
    /// The word used in tables and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Busy { .. } => "busy",
            Self::Releasing { .. } => "releasing",
            Self::Cooling => "cooling",
            Self::Charging => "charging",
            Self::Recovering => "recovering",
            Self::NeedsHands => "needs_hands",
            Self::Quarantined { .. } => "quarantined",
            Self::Taken { .. } => "taken",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unwrap_used, reason = "the texts are good")]
    fn os(text: &str) -> OsVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_ordered_by_number() {
        for (older, newer) in [("16.7.2", "16.10"), ("9.3", "16"), ("16", "16.0.0"), ("16.0", "16.1")] {
            assert!(os(older) < os(newer), "{older} {newer}");
        }
        assert!(os("16.7.2").is_older_than(&os("16.10")));
        assert!(!os("16").is_older_than(&os("16.0.0")), "missing numbers count as 0");
        assert!(!os("16.0.0").is_older_than(&os("16")));
    }

    #[test]
    fn a_maximum_allows_everything_below_its_last_number() {
        assert!(os("16.7.2").is_at_most(&os("16")));
        assert!(os("16.7.2").is_at_most(&os("16.7")));
        assert!(!os("16.7.2").is_at_most(&os("16.7.1")));
        assert!(!os("17.0").is_at_most(&os("16")));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "16.", "16.a", "1.2.3.4", "-1"] {
            assert!(text.parse::<OsVersion>().is_err(), "{text:?}");
        }
    }
}
