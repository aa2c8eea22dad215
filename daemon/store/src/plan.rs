//! Decides, without touching a disk, what a group of transactions does: guards, limits, changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::{Guard, Op, Revision};
use crate::error::StoreError;
use crate::key::Key;
use crate::state::{Fingerprint, Slot, State};
use crate::watch::{Change, Event};

/// Largest value, in bytes. Larger things are blobs, and records hold their names.
pub const VALUE_BYTES_MAX: usize = 32 * 1024;

/// Most guards and ops of one transaction. Ten thousand jobs submitted at once are split.
pub const OPS_MAX: usize = 4096;

/// Most bytes of keys and values in one transaction: when the largest rack falls silent, each of its phones and
/// their jobs change at once, and half of that would be a farm that contradicts itself.
pub const TRANSACTION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A group of transactions that become durable together, on top of a state.
pub(crate) struct Plan<'s> {
    state: &'s State,
    revision: Revision,
    fingerprint: Fingerprint,
    overlay: BTreeMap<Key, Option<Slot>>,
    changes: Vec<Arc<Change>>,
}

/// What a plan does once it is durable.
pub(crate) struct Outcome {
    /// The revision afterwards.
    pub(crate) revision: Revision,
    /// The fingerprint afterwards.
    pub(crate) fingerprint: Fingerprint,
    /// The last word on each changed key.
    pub(crate) slots: BTreeMap<Key, Option<Slot>>,
    /// One per transaction, for watchers.
    pub(crate) changes: Vec<Arc<Change>>,
}

impl<'s> Plan<'s> {
    pub(crate) fn on(state: &'s State) -> Self {
        Self {
            state,
            revision: state.revision,
            fingerprint: state.fingerprint(),
            overlay: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// Adds a transaction whose size has been checked, if its guards hold on top of those added before.
    pub(crate) fn admit(&mut self, guards: &[Guard], ops: Vec<Op>) -> Result<Revision, StoreError> {
        for guard in guards {
            let found = self.slot(&guard.key).map(|slot| slot.version);
            if !guard.condition.holds(found) {
                return Err(StoreError::Conflict {
                    key: guard.key.to_string(),
                    expected: guard.condition,
                    found,
                });
            }
        }
        if ops.is_empty() {
            return Ok(self.revision);
        }
        self.revision = self.revision.next();
        let mut events = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                Op::Put { key, value } => {
                    let slot = Slot::new(&key, value.into(), self.revision);
                    events.push(Event::Put { key: key.clone(), value: Arc::clone(&slot.value) });
                    self.set(key, Some(slot));
                }
                Op::Delete { key } => {
                    if self.slot(&key).is_some() {
                        events.push(Event::Delete { key: key.clone() });
                        self.set(key, None);
                    }
                }
            }
        }
        self.changes.push(Arc::new(Change { revision: self.revision, events }));
        Ok(self.revision)
    }

    pub(crate) fn finish(self) -> Outcome {
        Outcome {
            revision: self.revision,
            fingerprint: self.fingerprint,
            slots: self.overlay,
            changes: self.changes,
        }
    }

    fn slot(&self, key: &Key) -> Option<&Slot> {
        match self.overlay.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.state.slot(key),
        }
    }

    fn set(&mut self, key: Key, new: Option<Slot>) {
        let mut fingerprint = self.fingerprint;
        fingerprint.replace(&key, self.slot(&key), new.as_ref());
        self.fingerprint = fingerprint;
        self.overlay.insert(key, new);
    }
}

impl Outcome {
    /// Makes the outcome the present.
    pub(crate) fn apply(self, state: &mut State) -> Vec<Arc<Change>> {
        for (key, slot) in self.slots {
            state.set(key, slot);
        }
        state.revision = self.revision;
        debug_assert_eq!(state.fingerprint(), self.fingerprint, "a plan foresees the fingerprint");
        self.changes
    }
}

/// Checks a transaction's size; answers its bytes.
pub(crate) fn measure(guards: &[Guard], ops: &[Op]) -> Result<usize, StoreError> {
    let mut bytes: usize = guards.iter().map(|guard| guard.key.len()).sum();
    // Whoever sorts his ops need not have them compared each with each.
    let sorted = ops.is_sorted_by(|one, next| one.key() < next.key());
    let mut keys = BTreeSet::new();
    for op in ops {
        let value_bytes = match op {
            Op::Put { value, .. } => value.len(),
            Op::Delete { .. } => 0,
        };
        if value_bytes > VALUE_BYTES_MAX {
            return Err(StoreError::ValueSize { key: op.key().to_string(), bytes: value_bytes });
        }
        if !sorted && !keys.insert(op.key()) {
            return Err(StoreError::DuplicateKey { key: op.key().to_string() });
        }
        bytes += op.key().len() + value_bytes;
    }
    let count = guards.len() + ops.len();
    if count > OPS_MAX || bytes > TRANSACTION_BYTES_MAX {
        return Err(StoreError::TransactionSize { ops: count, bytes });
    }
    Ok(bytes)
}
