//! The change stream: numbered, with a memory, so that a reader who lost the connection misses nothing it can
//! still be told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_wire::api::Change;
use tokio::sync::watch;

/// Changes that are remembered: minutes of a busy farm.
const REMEMBERED_MAX: usize = 8_192;

/// The stream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Changes {
    inner: Arc<Mutex<Inner>>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    remembered: VecDeque<(u64, Change)>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { inner: Arc::default(), newest: watch::Sender::new(0) }
    }
}

impl Changes {
    /// Tells everybody.
    pub fn tell(&self, changes: impl IntoIterator<Item = Change>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            inner.last += 1;
            let number = inner.last;
            inner.remembered.push_back((number, change));
            if inner.remembered.len() > REMEMBERED_MAX {
                inner.remembered.pop_front();
            }
        }
        self.newest.send_replace(inner.last);
    }

    /// The number of the newest change.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Wakes when there is something newer.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// What came after a number; none when that has been forgotten, or is of another start of the daemon.
    pub fn since(&self, seen: u64) -> Option<Vec<(u64, Change)>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = inner.remembered.front().map_or(inner.last + 1, |(number, _)| *number);
        if seen > inner.last || seen + 1 < oldest {
            return None;
        }
        Some(inner.remembered.iter().filter(|(number, _)| *number > seen).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use holdfast_wire::id::JobId;

    use super::*;

    #[test]
    fn a_reader_goes_on_where_it_was_or_is_told_that_it_cannot() {
        let changes = Changes::default();
        let job = |number| Change::Job { id: JobId(number) };
        assert_eq!(changes.since(0), Some(vec![]));
        changes.tell([job(1), job(2)]);
        assert_eq!(changes.since(1), Some(vec![(2, job(2))]));
        assert_eq!(changes.since(2), Some(vec![]));
        assert_eq!(changes.since(3), None, "a number of another start");
        changes.tell((0..REMEMBERED_MAX as u64).map(job));
        assert_eq!(changes.since(1), None, "forgotten");
        assert_eq!(changes.since(2).map(|changes| changes.len()), Some(REMEMBERED_MAX));
    }
}
