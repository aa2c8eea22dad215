//! The storage of one phone: a folder of the host, and the count of bytes it is said to hold.
//! Who may reach which file is decided by [`afc`](crate::afc).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a phone's storage holds when nothing else is said: 128 GB, the smallest iPhone now sold.
pub const CAPACITY_BYTES: u64 = 128_000_000_000;

/// What iOS and its own apps take of it.
const SYSTEM_BYTES: u64 = 21_000_000_000;

/// The storage of one phone.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    capacity: AtomicU64,
    used: AtomicU64,
    full: AtomicBool,
}

/// The phone has no room for the bytes asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the simulated storage is full; delete something or end the fault")]
pub struct StorageFull;

impl Disk {
    /// Makes the folders of a phone under `root` (kept when they are there already).
    ///
    /// # Errors
    /// When the host refuses to make them.
    pub fn create(root: PathBuf) -> io::Result<Self> {
        let disk = Self {
            root,
            capacity: AtomicU64::new(CAPACITY_BYTES),
            used: AtomicU64::new(SYSTEM_BYTES),
            full: AtomicBool::new(false),
        };
        for folder in [disk.media(), disk.crashes(), disk.apps()] {
            std::fs::create_dir_all(folder)?;
        }
        for folder in ["DCIM", "Downloads", "PublicStaging", "Books"] {
            std::fs::create_dir_all(disk.media().join(folder))?;
        }
        Ok(disk)
    }

    /// The folder that holds everything of this phone.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `com.apple.afc` shows: `/var/mobile/Media` of a real phone. Uploads arrive in `PublicStaging` below.
    #[must_use]
    pub fn media(&self) -> PathBuf {
        self.root.join("media")
    }

    /// What `com.apple.crashreportcopymobile` shows: the crash reports.
    #[must_use]
    pub fn crashes(&self) -> PathBuf {
        self.root.join("crashes")
    }

    /// Installed apps: `<bundle id>/bundle` is the unpacked `.app`, `<bundle id>/data` its container.
    #[must_use]
    pub fn apps(&self) -> PathBuf {
        self.root.join("apps")
    }

    /// The data container of an app, which `house_arrest` shows. It need not be there.
    #[must_use]
    pub fn container(&self, bundle_id: &str) -> PathBuf {
        self.apps().join(bundle_id).join("data")
    }

    /// The size of the storage in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// What is left of it in bytes; 0 while the storage is full.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        if self.full.load(Ordering::Relaxed) {
            return 0;
        }
        self.capacity_bytes().saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Takes bytes for something that is about to be written.
    ///
    /// # Errors
    /// [`StorageFull`]; nothing is taken then.
    pub fn reserve(&self, bytes: u64) -> Result<(), StorageFull> {
        if bytes > self.free_bytes() {
            return Err(StorageFull);
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives bytes back that were removed.
    pub fn release(&self, bytes: u64) {
        let give = |used: u64| Some(used.saturating_sub(bytes));
        // The closure always says `Some`, so there is nothing to learn from the result.
        let _unchanged = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }

    /// Starts or ends the fault in which nothing more can be written, whatever the counts say.
    pub fn set_full(&self, full: StorageFault) {
        self.full.store(full == StorageFault::Full, Ordering::Relaxed);
    }

    /// Makes the free space this many bytes.
    pub fn set_free_bytes(&self, free: u64) {
        self.used.store(self.capacity_bytes().saturating_sub(free), Ordering::Relaxed);
    }
}

/// Whether the storage refuses every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageFault {
    /// Writes are allowed while bytes are free.
    None,
    /// Every write is refused.
    Full,
}
