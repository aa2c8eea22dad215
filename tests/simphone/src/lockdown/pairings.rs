//! Which computers a phone trusts, as the phone knows it. The computer's side is in
//! [`usbmux::PairRecords`](crate::usbmux::PairRecords).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plist::{Dictionary, Value};
use rustls::pki_types::CertificateDer;

use super::keys::{self, Keys, KeysError};
use crate::identity::Identity;

/// How many computers a phone remembers. A real one has a limit too, but tells nobody which.
const PAIRINGS_MAX: usize = 100;

/// One computer that the phone trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// The computer's name for itself.
    pub host_id: String,
    /// Sent by pymobiledevice3, go-ios and idevice in TLS.
    pub host: CertificateDer<'static>,
    /// Sent by libimobiledevice in TLS.
    pub root: CertificateDer<'static>,
    /// What the phone shows as its own certificate.
    pub device: CertificateDer<'static>,
}

impl Pairing {
    /// A pairing from PEM texts; `None` when one of them is none.
    #[must_use]
    pub fn from_pem(host_id: String, host: &[u8], root: &[u8], device: &[u8]) -> Option<Self> {
        Some(Self {
            host_id,
            host: keys::certificate(host)?,
            root: keys::certificate(root)?,
            device: keys::certificate(device)?,
        })
    }

    /// A pairing from the `PairRecord` of a `Pair` request; `None` when a key is missing or wrong.
    #[must_use]
    pub fn from_record(record: &Dictionary) -> Option<Self> {
        let pem = |key: &str| record.get(key).and_then(Value::as_data);
        let host_id = record.get("HostID").and_then(Value::as_string)?.to_owned();
        Self::from_pem(host_id, pem("HostCertificate")?, pem("RootCertificate")?, pem("DeviceCertificate")?)
    }
}

/// The computers that one phone trusts.
#[derive(Debug, Default)]
pub struct Pairings {
    known: Mutex<BTreeMap<String, Pairing>>,
}

impl Pairings {
    /// Trusts the rack's computer as if somebody had pressed "Trust" long ago; returns the computer's record of it.
    ///
    /// # Errors
    /// [`KeysError`] when the committed keys are damaged.
    pub fn trust_first(&self, identity: &Identity) -> Result<Value, KeysError> {
        self.add(Keys::get()?.first_pairing.clone());
        Ok(keys::first_record(&identity.udid, &identity.wifi_mac, escrow_bag(identity)))
    }

    /// Trusts a computer.
    pub fn add(&self, pairing: Pairing) {
        let mut known = self.lock();
        if known.len() >= PAIRINGS_MAX && !known.contains_key(&pairing.host_id) {
            known.pop_first();
        }
        known.insert(pairing.host_id.clone(), pairing);
    }

    /// The computer with this name.
    #[must_use]
    pub fn get(&self, host_id: &str) -> Option<Pairing> {
        self.lock().get(host_id).cloned()
    }

    /// Forgets a computer; `None` when it was not known.
    pub fn remove(&self, host_id: &str) -> Option<Pairing> {
        self.lock().remove(host_id)
    }

    /// Forgets every computer, as "Reset Location & Privacy" does.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Pairing>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bag that lets a trusted computer work while the phone is locked: 32 bytes, the same for each phone.
pub(super) fn escrow_bag(identity: &Identity) -> Vec<u8> {
    identity.udid.bytes().cycle().take(32).collect()
}
