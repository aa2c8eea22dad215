//! Which disk images are mounted on one phone, and which services need one. The conversation with a client is in
//! [`image_mounter`](super::image_mounter).

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::identity::IosVersion;
use crate::phone::Phone;

/// What the signature of the image that is mounted from the beginning says.
const BUILT_IN_SIGNATURE: &[u8] = b"simulated developer image";

/// From this version on Developer Mode must be on for developer services.
const DEVELOPER_MODE_SINCE: u16 = 16;

/// The disk images of one phone. A developer image is mounted from the beginning, as on a phone that is in use, and
/// it stays mounted when the phone restarts; a fault takes it away.
#[derive(Debug)]
pub struct Images {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    developer: Option<Vec<u8>>,
    received: Option<Vec<u8>>,
}

/// Whether the developer image is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeveloperImage {
    /// Developer services answer.
    Mounted,
    /// Lockdown answers `InvalidService` for developer services.
    NotMounted,
}

/// Why an image cannot be mounted or unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// One is mounted already.
    MountedAlready,
    /// Its bytes were not sent.
    NotReceived,
    /// Nothing is mounted there.
    NotMounted,
}

impl Default for Images {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { developer: Some(BUILT_IN_SIGNATURE.to_vec()), received: None }) }
    }
}

impl Images {
    /// Whether the developer image is mounted.
    #[must_use]
    pub fn developer(&self) -> DeveloperImage {
        if self.lock().developer.is_some() { DeveloperImage::Mounted } else { DeveloperImage::NotMounted }
    }

    /// Mounts the built-in developer image, or takes whatever is mounted away.
    pub fn set_developer(&self, image: DeveloperImage) {
        self.lock().developer = match image {
            DeveloperImage::Mounted => Some(BUILT_IN_SIGNATURE.to_vec()),
            DeveloperImage::NotMounted => None,
        };
    }

    /// The signature of the mounted developer image.
    pub(super) fn signature(&self) -> Option<Vec<u8>> {
        self.lock().developer.clone()
    }

    /// Remembers that the bytes of an image with this signature arrived.
    pub(super) fn receive(&self, signature: Vec<u8>) {
        self.lock().received = Some(signature);
    }

    /// Mounts the image whose bytes arrived with this signature.
    pub(super) fn mount(&self, signature: &[u8]) -> Result<(), Unfit> {
        let mut inner = self.lock();
        if inner.developer.is_some() {
            return Err(Unfit::MountedAlready);
        }
        if inner.received.as_deref() != Some(signature) {
            return Err(Unfit::NotReceived);
        }
        inner.developer = inner.received.take();
        Ok(())
    }

    /// Unmounts the developer image.
    pub(super) fn unmount(&self) -> Result<(), Unfit> {
        self.lock().developer.take().map(|_signature| ()).ok_or(Unfit::NotMounted)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind of developer image that this iOS takes, and where it mounts it.
pub(super) fn kind(ios: IosVersion) -> (&'static str, &'static str) {
    if ios.major >= 17 { ("Personalized", "/System/Developer") } else { ("Developer", "/Developer") }
}

/// Whether lockdown offers this service only while the developer image is mounted and Developer Mode is on.
#[must_use]
pub fn needs_developer_image(service: &str) -> bool {
    const NAMES: &[&str] = &[
        "com.apple.instruments.remoteserver",
        "com.apple.testmanagerd.lockdown",
        "com.apple.debugserver",
        "com.apple.mobile.screenshotr",
        "com.apple.dt.simulatelocation",
    ];
    NAMES.iter().any(|name| service.starts_with(name))
}

/// Whether developer services answer on this phone now.
#[must_use]
pub fn developer_services_answer(phone: &Phone) -> bool {
    let mode_fits = phone.identity.ios.major < DEVELOPER_MODE_SINCE || phone.state().developer_mode;
    mode_fits && phone.images.developer() == DeveloperImage::Mounted
}
