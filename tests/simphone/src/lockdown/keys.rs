//! The keys and certificates that all pretend phones share. They have no secret value; `keys/README.md` tells more.

use std::sync::{Arc, OnceLock};

use plist::{Dictionary, Value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;

use super::pairings::Pairing;

const ROOT_KEY: &[u8] = include_bytes!("../../keys/root.key.pem");
const ROOT_CERTIFICATE: &[u8] = include_bytes!("../../keys/root.cert.pem");
const HOST_KEY: &[u8] = include_bytes!("../../keys/host.key.pem");
const HOST_CERTIFICATE: &[u8] = include_bytes!("../../keys/host.cert.pem");
const DEVICE_KEY: &[u8] = include_bytes!("../../keys/device.key.pem");
const DEVICE_CERTIFICATE: &[u8] = include_bytes!("../../keys/device.cert.pem");

/// PKCS#1, as lockdown tells it to clients that want to pair.
pub(super) const DEVICE_PUBLIC_KEY: &[u8] = include_bytes!("../../keys/device.public.pem");

/// The name of the rack's computer in the pairing that a phone begins with.
pub const FIRST_HOST_ID: &str = "51A0F0E1-0000-4000-8000-000000000001";

/// The rack's usbmuxd as it names itself.
pub const SYSTEM_BUID: &str = "51A0F0E1-0000-4000-8000-0000000000B0";

/// The parsed keys.
#[derive(Debug)]
pub struct Keys {
    /// Signs for the phone in TLS.
    pub device_key: Arc<dyn SigningKey>,
    /// The pairing that a phone begins with.
    pub first_pairing: Pairing,
}

/// A committed key cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot use the committed keys of pretend phones ({0}); make them again as keys/README.md tells")]
pub struct KeysError(String);

impl Keys {
    /// The keys, parsed once.
    ///
    /// # Errors
    /// [`KeysError`] when the committed files are damaged.
    pub fn get() -> Result<&'static Self, KeysError> {
        static KEYS: OnceLock<Result<Keys, KeysError>> = OnceLock::new();
        KEYS.get_or_init(Self::parse).as_ref().map_err(Clone::clone)
    }

    fn parse() -> Result<Self, KeysError> {
        let wrong = |error: &dyn std::fmt::Display| KeysError(error.to_string());
        let key = PrivateKeyDer::from_pem_slice(DEVICE_KEY).map_err(|error| wrong(&error))?;
        let device_key =
            rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| wrong(&error))?;
        let first_pairing = Pairing::from_pem(
            FIRST_HOST_ID.to_owned(),
            HOST_CERTIFICATE,
            ROOT_CERTIFICATE,
            DEVICE_CERTIFICATE,
        )
        .ok_or_else(|| wrong(&"a certificate is no PEM"))?;
        Ok(Self { device_key, first_pairing })
    }
}

/// The DER bytes of the first certificate in a PEM text.
pub(super) fn certificate(pem: &[u8]) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem).ok()
}

/// The computer's side of [`Keys::first_pairing`], as usbmuxd keeps it.
#[must_use]
pub(super) fn first_record(udid: &str, wifi_mac: &str, escrow_bag: Vec<u8>) -> Value {
    let mut record = Dictionary::new();
    for (name, pem) in [
        ("DeviceCertificate", DEVICE_CERTIFICATE),
        ("HostCertificate", HOST_CERTIFICATE),
        ("HostPrivateKey", HOST_KEY),
        ("RootCertificate", ROOT_CERTIFICATE),
        ("RootPrivateKey", ROOT_KEY),
    ] {
        record.insert(name.to_owned(), Value::Data(pem.to_vec()));
    }
    record.insert("EscrowBag".to_owned(), Value::Data(escrow_bag));
    record.insert("HostID".to_owned(), FIRST_HOST_ID.into());
    record.insert("SystemBUID".to_owned(), SYSTEM_BUID.into());
    record.insert("UDID".to_owned(), udid.into());
    record.insert("WiFiMACAddress".to_owned(), wifi_mac.into());
    Value::Dictionary(record)
}
