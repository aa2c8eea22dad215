//! Reads the files again while the daemon runs: on SIGHUP and when the API is asked. A bad set of files is refused whole.
//! What is in them is `config`'s; putting them into force is the loop's.

use std::sync::Arc;

use holdfast_wire::api::{Mistake, ReloadAsked};
use holdfast_wire::views::Reloaded;
use tokio::sync::Mutex;

use crate::config::{DaemonConfig, FarmConfig};
use crate::farm::{Ask, Farm, Stopping, Who};
use crate::rules::RulesChange;

/// Reads the files again, one time after the other: what was read later is in force later.
#[derive(Debug)]
pub struct Reloader {
    daemon: Option<Arc<DaemonConfig>>,
    farm: Farm,
    turn: Mutex<()>,
}

/// Why what was in force still is.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There are no files.
    #[error("this daemon was started without configuration files; start it with --config")]
    NoFiles,
    /// The files have mistakes.
    #[error("the files have {} mistake{}; what was in force still is; mend and reload", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Refused(Vec<Mistake>),
    /// The daemon stops.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

impl Reloader {
    /// For the files that `holdfastd.yaml` names.
    pub fn new(daemon: DaemonConfig, farm: Farm) -> Self {
        Self { daemon: Some(Arc::new(daemon)), farm, turn: Mutex::new(()) }
    }

    /// For a farm whose rules come from nowhere.
    pub fn without_files(farm: Farm) -> Self {
        Self { daemon: None, farm, turn: Mutex::new(()) }
    }

    /// Reads the files, and puts them into force if all of them are good. Either way it is noted who wanted it.
    ///
    /// # Errors
    /// The files have mistakes, or the daemon stops.
    pub async fn reload(&self, asked: ReloadAsked, who: Who) -> Result<Reloaded, ReloadError> {
        let _turn = self.turn.lock().await;
        let Some(daemon) = self.daemon.clone() else { return Err(ReloadError::NoFiles) };
        let read = tokio::task::spawn_blocking(move || FarmConfig::read(&daemon));
        let read = read.await.map_err(|_| Stopping)?;
        match read {
            Ok(config) => {
                let warnings = config.warnings.clone();
                let change = RulesChange::Reloaded { config: Box::new(config), asked };
                let changes = self.farm.ask(|answer| Ask::Rules { change, who, answer }).await?;
                tracing::info!(changes = changes.join("; "), "reloaded the configuration");
                for warning in &warnings {
                    tracing::warn!("{warning}");
                }
                let loaded_at = self.farm.snapshot().rules.loaded_at;
                Ok(Reloaded { loaded_at, changes, warnings })
            }
            Err(found) => {
                for mistake in &found {
                    tracing::error!("refused to reload: {mistake}");
                }
                let mistakes: Vec<Mistake> = found
                    .iter()
                    .map(|mistake| Mistake { place: mistake.place(), what: mistake.what.clone() })
                    .collect();
                let change = RulesChange::Refused { mistakes: mistakes.clone(), asked };
                self.farm.ask(|answer| Ask::Rules { change, who, answer }).await?;
                Err(ReloadError::Refused(mistakes))
            }
        }
    }
}
