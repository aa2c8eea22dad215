//! The store without a disk: the model that other engines are held against, and for tests of others.

use std::sync::{Arc, PoisonError, RwLock};

use crate::api::{Entry, Guard, Op, Page, Revision, Store};
use crate::error::StoreError;
use crate::key::Key;
use crate::plan::{self, Plan};
use crate::state::State;
use crate::watch::{Hub, Watch};

/// Keeps everything in memory and forgets it when dropped.
#[derive(Debug)]
pub struct MemoryStore {
    state: RwLock<State>,
    hub: Arc<Hub>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::holding(State::default())
    }

    pub(crate) fn holding(state: State) -> Self {
        let hub = Hub::new(state.revision);
        Self { state: RwLock::new(state), hub }
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for MemoryStore {
    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.read(|state| state.revision))
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.read(|state| state.get(key)))
    }

    async fn scan_prefix(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        Ok(self.read(|state| state.scan(prefix, after, limit)))
    }

    async fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, StoreError> {
        Ok(self.read(|state| state.last(prefix)))
    }

    async fn commit(&self, guards: Vec<Guard>, ops: Vec<Op>) -> Result<Revision, StoreError> {
        plan::measure(&guards, &ops)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut plan = Plan::on(&state);
        let revision = plan.admit(&guards, ops)?;
        let outcome = plan.finish();
        let changes = outcome.apply(&mut state);
        // Published under the lock, so that concurrent commits reach the ring in their order.
        self.hub.publish(changes);
        Ok(revision)
    }

    async fn watch_prefix(&self, prefix: &[u8], from: Revision) -> Result<Watch, StoreError> {
        self.hub.watch(prefix, from)
    }
}
