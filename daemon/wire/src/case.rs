//! Cases: one thing to run on a phone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{CaseName, Owner};

/// Launches in one case, at most: a case must end within a lease.
pub const LAUNCHES_MAX: u32 = 1_000;

/// A cold launch with the end of the app, as it usually goes, milliseconds.
const USUAL_LAUNCH_MS: u64 = 2_000;

/// A case, as configuration or a job gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Case {
    /// Its name; a report compares cases of one name.
    pub name: CaseName,
    /// Who is asked when it fails.
    pub owner: Owner,
    /// What to do on the phone.
    pub run: CaseRun,
}

/// What a case does on the phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CaseRun {
    /// Cold launches: the app is started, watched, and ended, several times.
    Launch {
        /// How many launches, 1 to [`LAUNCHES_MAX`].
        launches: u32,
        /// How long the app must stay alive after each launch, milliseconds.
        #[serde(default = "default_stay_ms")]
        stay_ms: u64,
        /// How long one launch may take until the phone names its process, milliseconds; longer is a hang.
        #[serde(default = "default_launch_timeout_ms")]
        launch_timeout_ms: u64,
        /// Arguments for the app.
        #[serde(default)]
        arguments: Vec<String>,
    },
}

fn default_stay_ms() -> u64 {
    3_000
}

fn default_launch_timeout_ms() -> u64 {
    30_000
}

impl Case {
    /// The longest that the run itself can take, without install and collection.
    pub fn run_limit(&self) -> Duration {
        match &self.run {
            CaseRun::Launch { launches, stay_ms, launch_timeout_ms, .. } => {
                Duration::from_millis((stay_ms + launch_timeout_ms).saturating_mul(u64::from(*launches)))
            }
        }
    }

    /// How long the run takes when all goes well.
    pub fn usual_duration(&self) -> Duration {
        match &self.run {
            CaseRun::Launch { launches, stay_ms, .. } => Duration::from_millis(
                stay_ms.saturating_add(USUAL_LAUNCH_MS).saturating_mul(u64::from(*launches)),
            ),
        }
    }

    /// Every mistake in the case, each with its place and mend; empty when it is good.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        match &self.run {
            CaseRun::Launch { launches, stay_ms, launch_timeout_ms, .. } => {
                if !(1..=LAUNCHES_MAX).contains(launches) {
                    mistakes.push(format!("run.launches: {launches} is not in 1..={LAUNCHES_MAX}"));
                }
                if *stay_ms > 3_600_000 {
                    mistakes.push(format!("run.stay_ms: {stay_ms} is more than an hour (3600000)"));
                }
                if !(100..=600_000).contains(launch_timeout_ms) {
                    mistakes
                        .push(format!("run.launch_timeout_ms: {launch_timeout_ms} is not in 100..=600000"));
                }
            }
        }
        mistakes
    }
}
