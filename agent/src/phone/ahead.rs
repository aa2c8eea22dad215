//! A build that is fetched while the attempt before it runs: network and disk of the rack only, nothing on a phone.
//! That the attempt begins is not decided here, and it fetches for itself what did not come in time.

use std::sync::Arc;

use holdfast_wire::build::BuildIdentity;
use holdfast_wire::id::BuildHash;
use tokio::task::JoinHandle;

use super::Shared;
use crate::cache::CachedBuild;
use crate::error::chain;

/// A build on its way to the cache, or kept there. Dropping it stops the fetch and lets the build go.
#[derive(Debug)]
pub(super) struct Ahead {
    build: BuildHash,
    task: JoinHandle<Option<CachedBuild>>,
}

impl Ahead {
    /// Starts to fetch. A fetch that fails is left at that: the attempt tries again and says why.
    pub(super) fn start(shared: &Arc<Shared>, build: &Arc<BuildIdentity>) -> Self {
        let (hash, shared, build) = (build.hash, Arc::clone(shared), Arc::clone(build));
        let task = tokio::spawn(async move {
            let limit = shared.config.attempt.fetch;
            match tokio::time::timeout(limit, shared.cache.get_ahead(&build)).await {
                Ok(Ok(cached)) => Some(cached),
                Ok(Err(error)) => {
                    tracing::debug!(build = %build.hash, error = chain(&error), "a build was not fetched ahead");
                    None
                }
                Err(_elapsed) => {
                    tracing::debug!(build = %build.hash, "a build was not fetched ahead in time");
                    None
                }
            }
        });
        Self { build: hash, task }
    }

    /// Whether it is of this build.
    pub(super) fn is_of(&self, build: BuildHash) -> bool {
        self.build == build
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}
