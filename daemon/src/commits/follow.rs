//! The task that reads the mirrors of apps as builds come in, and puts what they show into the picture.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::id::BundleId;
use tokio_util::sync::CancellationToken;

use super::history::{History, Standing};
use super::mirror::{looks_like_repository, read};
use crate::clock::Clock;
use crate::farm::{Ask, Farm, Stopping};
use crate::snapshot::Snapshot;

/// Between two looks for new builds.
const EVERY: Duration = Duration::from_secs(5);
/// Between two looks for commits that the mirror did not have: somebody else fetches them.
const MISSING_EVERY: Duration = Duration::from_secs(30);
/// Builds of an app whose commits are looked up, the newest: those of some years.
const BUILDS_MAX: usize = 5_000;

/// Where the order of an app's commits comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The app.
    pub bundle_id: BundleId,
    /// The repository.
    pub folder: PathBuf,
}

/// Reads the mirrors until the daemon stops.
///
/// # Errors
/// The daemon stops.
pub async fn follow(
    farm: Farm,
    mirrors: Vec<Mirror>,
    clock: Arc<Clock>,
    stopping: CancellationToken,
) -> Result<(), Stopping> {
    while !mirrors.is_empty() {
        look(&farm, &mirrors, &clock).await?;
        tokio::select! {
            () = stopping.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    Ok(())
}

/// Reads those mirrors of which something new may be learned, once.
///
/// # Errors
/// The daemon stops.
pub async fn look(farm: &Farm, mirrors: &[Mirror], clock: &Clock) -> Result<(), Stopping> {
    for mirror in mirrors {
        let snapshot = farm.snapshot();
        let known = snapshot.histories.get(&mirror.bundle_id);
        let (wanted, now) = (wanted(&snapshot, &mirror.bundle_id), clock.now());
        let is_due = known.is_none_or(|known| {
            wanted.iter().any(|said| known.standing(said).is_none() && known.trouble.is_none())
                || known.trouble.is_none() && looks_like_repository(&mirror.folder).is_err()
                || is_open(known) && now.since(known.read_at) >= MISSING_EVERY
        });
        if !is_due {
            continue;
        }
        let history = read(&mirror.folder, &wanted, known.map(AsRef::as_ref), now).await;
        let before = known.and_then(|known| known.trouble.as_ref());
        if let Some(trouble) = history.trouble.as_ref().filter(|trouble| Some(*trouble) != before) {
            tracing::warn!(app = %mirror.bundle_id, trouble, "the mirror of an app cannot be read");
        }
        let (app, history) = (mirror.bundle_id.clone(), Arc::new(history));
        farm.ask(|answer| Ask::History { app, history, answer }).await?;
    }
    Ok(())
}

/// Whether another look may tell more, although there is no new build.
fn is_open(known: &History) -> bool {
    known.trouble.is_some()
        || known.named.values().any(|standing| matches!(standing, Standing::Missing | Standing::Ambiguous))
}

/// The commits of an app's builds, as their uploaders said them.
fn wanted(snapshot: &Snapshot, app: &BundleId) -> BTreeSet<String> {
    let newest = snapshot.builds_newest.iter().filter_map(|(_, hash)| snapshot.builds.get(hash));
    let of_app = newest.filter(|build| build.identity.bundle_id == *app).take(BUILDS_MAX);
    of_app.filter_map(|build| build.origin.commit.clone()).collect()
}
