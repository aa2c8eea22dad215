//! The whole store in memory: what reads and guards look at. Durability lives in the engines.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::api::{Entry, Page, Revision};
use crate::key::Key;

/// The entries as of one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The last transaction in it.
    pub(crate) revision: Revision,
    slots: BTreeMap<Key, Slot>,
    fingerprint: Fingerprint,
}

/// One value with what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) value: Arc<[u8]>,
    pub(crate) version: Revision,
    /// See [`digest`].
    pub(crate) digest: u128,
}

impl Slot {
    pub(crate) fn new(key: &Key, value: Arc<[u8]>, version: Revision) -> Self {
        let digest = digest(key, &value, version);
        Self { value, version, digest }
    }
}

/// How many entries there are, and the sum of their digests: a lost, resurrected or swapped entry
/// shows even where each single entry looks right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) entries: u64,
    pub(crate) sum: u128,
    /// Keys and values together, for deciding when the files hold too much dead data.
    pub(crate) bytes: u64,
}

impl Fingerprint {
    /// The fingerprint after `key` changed from `old` to `new`.
    pub(crate) fn replace(&mut self, key: &Key, old: Option<&Slot>, new: Option<&Slot>) {
        if let Some(old) = old {
            self.entries -= 1;
            self.sum = self.sum.wrapping_sub(old.digest);
            self.bytes -= (key.len() + old.value.len()) as u64;
        }
        if let Some(new) = new {
            self.entries += 1;
            self.sum = self.sum.wrapping_add(new.digest);
            self.bytes += (key.len() + new.value.len()) as u64;
        }
    }
}

impl State {
    /// Empty, as of a revision.
    pub(crate) fn at(revision: Revision) -> Self {
        Self { revision, ..Self::default() }
    }

    pub(crate) fn slot(&self, key: &[u8]) -> Option<&Slot> {
        self.slots.get(key)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Slot)> {
        self.slots.iter()
    }

    /// Writes or removes one entry; the revision is the caller's business.
    pub(crate) fn set(&mut self, key: Key, new: Option<Slot>) {
        self.fingerprint.replace(&key, self.slots.get(&key), new.as_ref());
        match new {
            Some(slot) => {
                self.slots.insert(key, slot);
            }
            None => {
                self.slots.remove(&key);
            }
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Entry> {
        self.slots.get(key).map(|slot| entry(key, slot))
    }

    pub(crate) fn last(&self, prefix: &[u8]) -> Option<Entry> {
        // The first key behind all that begin with the prefix: its last byte that can grow has grown by one.
        let kept = prefix.iter().rposition(|byte| *byte < u8::MAX);
        let end = kept.map(|last| {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        });
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = self.slots.range::<[u8], _>((Bound::Included(prefix), end));
        range.next_back().map(|(key, slot)| entry(key, slot))
    }

    pub(crate) fn scan(&self, prefix: &[u8], after: Option<&Key>, limit: usize) -> Page {
        let start = match after {
            Some(after) if after.as_bytes() >= prefix => Bound::Excluded(after.as_bytes()),
            Some(_) | None => Bound::Included(prefix),
        };
        let entries = self
            .slots
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, slot)| entry(key, slot))
            .collect();
        Page { entries, revision: self.revision }
    }
}

fn entry(key: &Key, slot: &Slot) -> Entry {
    Entry { key: key.clone(), value: Arc::clone(&slot.value), version: slot.version }
}

/// The first 16 bytes of BLAKE3 over key, version and value.
pub(crate) fn digest(key: &[u8], value: &[u8], version: Revision) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(&version.0.to_be_bytes());
    hasher.update(value);
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(first)
}
