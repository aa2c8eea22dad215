//! Pair records: what the rack's computer knows of its pairings, as usbmuxd keeps them in `/var/lib/lockdown`.
//! What a phone knows of them is in [`lockdown::Pairings`](crate::lockdown::Pairings).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most bytes of one record, so that a client cannot fill the disk.
const RECORD_BYTES_MAX: usize = 256 * 1024;

/// The pair records of one rack, in memory and as `<udid>.plist` in a folder.
#[derive(Debug)]
pub struct PairRecords {
    folder: PathBuf,
    records: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl PairRecords {
    /// Reads the records of the folder, making it when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut records = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            if let (Some(name), Some("plist")) = (name, path.extension().and_then(|e| e.to_str())) {
                records.insert(name, std::fs::read(&path)?);
            }
        }
        Ok(Self { folder, records: Mutex::new(records) })
    }

    /// The record of a phone.
    #[must_use]
    pub fn read(&self, udid: &str) -> Option<Vec<u8>> {
        self.lock().get(udid).cloned()
    }

    /// Keeps the record of a phone.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is no UDID or a record over [`RECORD_BYTES_MAX`], else what the disk says.
    pub fn save(&self, udid: &str, record: Vec<u8>) -> io::Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if udid.is_empty() || udid.len() > 64 || !udid.chars().all(plain) || record.len() > RECORD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        std::fs::write(self.folder.join(format!("{udid}.plist")), &record)?;
        self.lock().insert(udid.to_owned(), record);
        Ok(())
    }

    /// Forgets the record of a phone; `false` when there was none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn delete(&self, udid: &str) -> io::Result<bool> {
        if self.lock().remove(udid).is_none() {
            return Ok(false);
        }
        std::fs::remove_file(self.folder.join(format!("{udid}.plist")))?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn records_outlive_the_rack_until_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let records = PairRecords::open(folder.path().into()).unwrap();
        records.save("00008110-AB", b"one".to_vec()).unwrap();
        let again = PairRecords::open(folder.path().into()).unwrap();
        assert_eq!(again.read("00008110-AB").as_deref(), Some(b"one".as_slice()));
        assert!(again.delete("00008110-AB").unwrap());
        assert!(!again.delete("00008110-AB").unwrap());
        assert_eq!(PairRecords::open(folder.path().into()).unwrap().read("00008110-AB"), None);
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let records = PairRecords::open(folder.path().join("in")).unwrap();
        for name in ["", "../x", "a/b", ".", "x.plist"] {
            assert!(records.save(name, vec![1]).is_err(), "{name}");
        }
        assert!(records.save("big", vec![0; RECORD_BYTES_MAX + 1]).is_err());
    }
}
