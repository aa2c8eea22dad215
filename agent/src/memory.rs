//! What a phone's task must still know after a restart: `phones/<udid>.json`. It is written before anything
//! happens on the phone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdfast_attempt::{Launched, Taken};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{AttemptId, BuildHash, BundleId, CrashId, LeaseNumber, Udid};
use holdfast_wire::phone::PhoneFacts;
use holdfast_wire::sync::HeldLease;
use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::AgentError;

/// The version of the file that is written here. An older reader sets a newer file aside.
const VERSION: u32 = 1;

/// What is remembered of one phone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    version: u32,
    /// The phone.
    pub phone: Udid,
    /// The last lease that it obeyed, or that the daemon said is over.
    pub lease: LeaseNumber,
    /// Whether an attempt runs.
    pub state: State,
    /// The build that was put on it last; none when an install did not come to its end.
    pub installed: Option<BuildHash>,
    /// An app that may still run, and must be ended before the next attempt.
    pub dirty: Option<BundleId>,
    /// Crash files that the daemon has and that are still on the phone.
    pub confirmed: Vec<ConfirmedFile>,
    /// What the last attempt launched: late reports are its.
    pub last: Option<LastLaunched>,
    /// The facts as last read: all that can be told of it while it is away.
    pub facts: Option<PhoneFacts>,
}

/// Whether an attempt runs on the phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// None does.
    Idle,
    /// One does, or did when the agent ended.
    Running {
        /// Which.
        attempt: AttemptId,
        /// Under which lease.
        lease: LeaseNumber,
        /// When it began.
        started_at: Time,
    },
}

/// A crash file that the daemon has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedFile {
    /// The file on the phone.
    pub file: CrashFile,
    /// Its bytes.
    pub crash: CrashId,
}

/// The processes of the last attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLaunched {
    attempt: AttemptId,
    bundle_id: BundleId,
    executable: String,
    pids: BTreeSet<u32>,
    unnamed: u32,
}

impl From<Launched> for LastLaunched {
    fn from(launched: Launched) -> Self {
        let Launched { attempt, bundle_id, executable, pids, unnamed } = launched;
        Self { attempt, bundle_id, executable, pids, unnamed }
    }
}

impl From<LastLaunched> for Launched {
    fn from(last: LastLaunched) -> Self {
        let LastLaunched { attempt, bundle_id, executable, pids, unnamed } = last;
        Self { attempt, bundle_id, executable, pids, unnamed }
    }
}

impl Memory {
    /// Of a phone that is new here.
    pub fn new(phone: Udid) -> Self {
        Self {
            version: VERSION,
            phone,
            lease: LeaseNumber::default(),
            state: State::Idle,
            installed: None,
            dirty: None,
            confirmed: Vec::new(),
            last: None,
            facts: None,
        }
    }

    /// Writes it to disk.
    ///
    /// # Errors
    /// [`AgentError::Disk`].
    pub fn save(&self, folder: &Path) -> Result<(), AgentError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| AgentError::Disk {
            operation: "write",
            path: path_of(folder, &self.phone),
            source: error.into(),
        })?;
        disk::write_durable(&path_of(folder, &self.phone), &bytes)
    }

    /// Reads every phone that is remembered. A file that cannot be understood is set aside with a warning: the
    /// phone is then treated as a new one, and the daemon's lease numbers still only grow.
    ///
    /// # Errors
    /// [`AgentError::Disk`].
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, AgentError> {
        disk::make_folder(folder)?;
        let mut all = Vec::new();
        for path in disk::files_of(folder)? {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            all.extend(Self::read(&path)?);
        }
        Ok(all)
    }

    /// Reads one phone; a new memory when there is none, or none that can be understood.
    ///
    /// # Errors
    /// [`AgentError::Disk`].
    pub fn load(folder: &Path, phone: &Udid) -> Result<Self, AgentError> {
        let path = path_of(folder, phone);
        let found = if path.exists() { Self::read(&path)? } else { None };
        Ok(found.unwrap_or_else(|| Self::new(phone.clone())))
    }

    fn read(path: &Path) -> Result<Option<Self>, AgentError> {
        let bytes = std::fs::read(path).map_err(AgentError::disk("read", path))?;
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(memory) if memory.version <= VERSION => return Ok(Some(memory)),
            Ok(memory) => set_aside(path, &format!("it has version {}", memory.version))?,
            Err(error) => set_aside(path, &error.to_string())?,
        }
        Ok(None)
    }

    /// The lease that is held: an attempt runs under it, or did when the agent ended.
    pub fn held(&self) -> Option<HeldLease> {
        match &self.state {
            State::Idle => None,
            State::Running { attempt, lease, .. } => Some(HeldLease {
                phone: self.phone.clone(),
                lease: *lease,
                attempt: *attempt,
                withdrawn: None,
            }),
        }
    }

    /// The crash files known here, as the brain wants them.
    pub fn taken(&self) -> Vec<Taken> {
        self.confirmed
            .iter()
            .map(|known| Taken { file: known.file.clone(), crash: known.crash, confirmed: true })
            .collect()
    }

    /// The attempt that runs has started a process. Should the agent end now, its report is still known.
    pub fn note_launch(&mut self, build: &BuildIdentity, pid: u32) {
        let State::Running { attempt, .. } = self.state else { return };
        if self.last.as_ref().is_none_or(|last| last.attempt != attempt) {
            self.last = Some(LastLaunched {
                attempt,
                bundle_id: build.bundle_id.clone(),
                executable: build.executable.clone(),
                pids: BTreeSet::new(),
                unnamed: 0,
            });
        }
        if let Some(last) = &mut self.last {
            last.pids.insert(pid);
        }
    }

    /// The daemon has this file.
    pub fn confirm(&mut self, file: CrashFile, crash: CrashId) {
        if !self.confirmed.iter().any(|known| known.file == file) {
            self.confirmed.push(ConfirmedFile { file, crash });
        }
    }

    /// This file is not on the phone any more.
    pub fn forget(&mut self, file: &CrashFile) {
        self.confirmed.retain(|known| known.file != *file);
    }
}

fn set_aside(path: &Path, reason: &str) -> Result<(), AgentError> {
    let aside = path.with_extension("damaged");
    tracing::warn!(path = %path.display(), reason, "a phone's memory cannot be read; it is set aside");
    disk::rename_durable(path, &aside)
}

fn path_of(folder: &Path, phone: &Udid) -> PathBuf {
    folder.join(format!("{phone}.json"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    #[test]
    fn a_memory_cut_at_any_byte_is_whole_or_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::new("phone-1".parse().unwrap());
        memory.lease = LeaseNumber(7);
        let file = CrashFile { path: "a.ips".to_owned(), size_bytes: 3, modified_ns: 4 };
        memory.confirm(file, CrashId::new([1; 32]));
        memory.save(folder.path()).unwrap();
        let path = folder.path().join("phone-1.json");
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(Memory::load_all(folder.path()).unwrap(), [memory]);
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(Memory::load_all(folder.path()).unwrap(), [], "cut at {cut}");
            assert!(!path.exists());
        }
    }
}
