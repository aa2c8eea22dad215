//! The provisioning profiles that are installed on one phone. The conversation with a client is in
//! [`misagent`](super::misagent).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A phone keeps this many profiles at most: developers' phones are seen with some hundreds.
const PROFILES_MAX: usize = 1_000;

/// The provisioning profiles of one phone, by their UUID.
#[derive(Debug, Default)]
pub struct Profiles {
    inner: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// No more profiles fit on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl Profiles {
    /// Keeps a profile, in place of one with the same UUID.
    pub(super) fn put(&self, uuid: String, profile: Vec<u8>) -> Result<(), TooMany> {
        let mut profiles = self.lock();
        if profiles.len() >= PROFILES_MAX && !profiles.contains_key(&uuid) {
            return Err(TooMany);
        }
        profiles.insert(uuid, profile);
        Ok(())
    }

    /// Removes a profile, and hands it back when it was there.
    pub(super) fn remove(&self, uuid: &str) -> Option<Vec<u8>> {
        self.lock().remove(uuid)
    }

    /// The bytes of every profile, in order of UUIDs.
    pub(super) fn all(&self) -> Vec<Vec<u8>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
