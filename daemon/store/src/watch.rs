//! Tells watchers what changed: a bounded ring of the last transactions that each watcher reads at
//! its own pace. A watcher that falls behind is told to scan again; it never slows a commit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch as signal;

use crate::api::Revision;
use crate::error::StoreError;
use crate::key::Key;

/// Transactions that the ring remembers: some seconds at full load.
const RING_CHANGES_MAX: usize = 4096;

/// Keys and values that the ring remembers, in bytes; what bounds its memory when values are large.
const RING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What one transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The transaction; also the version of everything it put.
    pub revision: Revision,
    /// In the order of its ops. Deletes of keys that did not exist are left out.
    pub events: Vec<Event>,
}

/// What happened to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was written.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Arc<[u8]>,
    },
    /// It was removed.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
        }
    }
}

/// Follows the changes under a prefix, one transaction at a time and in order.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    news: signal::Receiver<u64>,
    prefix: Vec<u8>,
    from: Revision,
}

impl Watch {
    /// The next transaction that changed something under the prefix, reduced to those changes.
    /// Waits without limit: whoever calls has a deadline or another event to wait for.
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`StoreError::Resync`] after falling too far behind: scan, then watch anew.
    /// [`StoreError::Stopped`] when the store has stopped.
    pub async fn next(&mut self) -> Result<Change, StoreError> {
        loop {
            while let Some(change) = self.hub.at(self.from)? {
                self.from = change.revision.next();
                let events: Vec<Event> = change
                    .events
                    .iter()
                    .filter(|event| event.key().starts_with(&self.prefix))
                    .cloned()
                    .collect();
                if !events.is_empty() {
                    return Ok(Change { revision: change.revision, events });
                }
            }
            if self.news.changed().await.is_err() {
                return Err(self.hub.stopped());
            }
        }
    }
}

/// Remembers the last changes and wakes the watchers.
#[derive(Debug)]
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    news: signal::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// The revision that the next change will have.
    next: Revision,
    stopped: Option<String>,
}

impl Hub {
    pub(crate) fn new(revision: Revision) -> Arc<Self> {
        let ring = Ring { changes: VecDeque::new(), bytes: 0, next: revision.next(), stopped: None };
        Arc::new(Self { ring: Mutex::new(ring), news: signal::Sender::new(0) })
    }

    pub(crate) fn watch(self: &Arc<Self>, prefix: &[u8], from: Revision) -> Result<Watch, StoreError> {
        let from = from.max(Revision::ZERO.next());
        let news = self.news.subscribe();
        self.at(from)?;
        Ok(Watch { hub: Arc::clone(self), news, prefix: prefix.to_vec(), from })
    }

    /// Remembers changes, which must follow one another without a gap, and wakes the watchers.
    pub(crate) fn publish(&self, changes: Vec<Arc<Change>>) {
        if changes.is_empty() {
            return;
        }
        let mut ring = self.ring();
        for change in changes {
            debug_assert_eq!(change.revision, ring.next, "changes follow one another");
            ring.next = change.revision.next();
            ring.bytes += bytes(&change);
            ring.changes.push_back(change);
        }
        while ring.changes.len() > RING_CHANGES_MAX || ring.bytes > RING_BYTES_MAX {
            let Some(oldest) = ring.changes.pop_front() else { break };
            ring.bytes -= bytes(&oldest);
        }
        let next = ring.next.0;
        drop(ring);
        self.news.send_replace(next);
    }

    /// Ends every watch with this reason.
    pub(crate) fn stop(&self, reason: &str) {
        self.ring().stopped.get_or_insert_with(|| reason.to_owned());
        self.news.send_replace(0);
    }

    /// The change of revision `from`, or `None` when it has not happened yet.
    fn at(&self, from: Revision) -> Result<Option<Arc<Change>>, StoreError> {
        let ring = self.ring();
        if let Some(reason) = &ring.stopped {
            return Err(StoreError::Stopped { reason: reason.clone() });
        }
        if from >= ring.next {
            return Ok(None);
        }
        let oldest = Revision(ring.next.0 - ring.changes.len() as u64);
        let index = from.0.checked_sub(oldest.0).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| ring.changes.get(index)) {
            Some(change) => Ok(Some(Arc::clone(change))),
            None => Err(StoreError::Resync { from, oldest }),
        }
    }

    fn stopped(&self) -> StoreError {
        let reason = self.ring().stopped.clone();
        StoreError::Stopped { reason: reason.unwrap_or_else(|| "it was closed".to_owned()) }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(change: &Change) -> usize {
    change.events.iter().map(Event::bytes).sum()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn change(revision: u64, bytes: usize) -> Arc<Change> {
        let key = Key::new(format!("job/{revision}")).unwrap();
        let events = vec![Event::Put { key, value: vec![0; bytes].into() }];
        Arc::new(Change { revision: Revision(revision), events })
    }

    #[tokio::test]
    async fn a_watcher_that_falls_behind_is_told_to_scan_again() {
        let hub = Hub::new(Revision::ZERO);
        let mut slow = hub.watch(b"job/", Revision(1)).unwrap();
        for revision in 1..=RING_CHANGES_MAX as u64 + 10 {
            hub.publish(vec![change(revision, 1)]);
        }
        let error = slow.next().await.unwrap_err();
        assert!(matches!(error, StoreError::Resync { oldest: Revision(11), .. }), "{error}");
        let mut again = hub.watch(b"job/", Revision(11)).unwrap();
        assert_eq!(again.next().await.unwrap().revision, Revision(11));
    }

    #[test]
    fn large_values_shorten_the_memory() {
        let hub = Hub::new(Revision::ZERO);
        for revision in 1..=20 {
            hub.publish(vec![change(revision, RING_BYTES_MAX / 4)]);
        }
        assert!(hub.ring().bytes <= RING_BYTES_MAX);
        assert!(hub.watch(b"", Revision(20)).is_ok());
        assert!(hub.watch(b"", Revision(1)).is_err());
    }
}
