//! What a phone's task must still know after a restart: `phones/<udid>.json`. It is written before anything
//! happens on the phone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdfast_attempt::shelves::Shelf;
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
    /// The last attempts and what they launched, the newest first: late reports are theirs.
    #[serde(default)]
    recent: Vec<Launched>,
    /// The last attempt as agents before this one wrote it; read, and kept in `recent` from then on.
    #[serde(default, skip_serializing)]
    last: Option<Launched>,
    /// Crashes that the phone lost because too many files waited.
    #[serde(default)]
    lost: Vec<Lost>,
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

/// Attempts remembered of one phone: the shortest take seconds, and a report may come minutes late.
const RECENT_MAX: usize = 64;

/// Crashes of one kind and process that the phone lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lost {
    bug_type: String,
    process: String,
    swallowed: u32,
    refused: u32,
    at: Time,
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
            recent: Vec::new(),
            last: None,
            lost: Vec::new(),
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
            Ok(mut memory) if memory.version <= VERSION => {
                // Of such an attempt no times are known: its processes alone speak for it.
                memory.recent.extend(memory.last.take());
                return Ok(Some(memory));
            }
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

    /// The last attempts, the newest first; the one that runs is among them.
    pub fn recent(&self) -> Vec<Launched> {
        let offset = self.facts.as_ref().and_then(|facts| facts.clock_offset_ms);
        let known = self.recent.iter().cloned();
        let timed = |launched: &Launched| launched.started_at != Time::default();
        known
            .map(|launched| match launched.clock_offset_ms {
                // It was cut off before the phone's clock was read; clocks of phones hardly move.
                None if timed(&launched) => Launched { clock_offset_ms: offset, ..launched },
                _ => launched,
            })
            .collect()
    }

    /// An attempt begins. Should the agent end now, what happens from here on is known to be its own.
    pub fn begin(&mut self, attempt: AttemptId, build: &BuildIdentity, started_at: Time) {
        self.remember(Launched {
            attempt,
            bundle_id: build.bundle_id.clone(),
            executable: build.executable.clone(),
            uuids: build.uuids.iter().map(|uuid| uuid.to_ascii_lowercase()).collect(),
            pids: BTreeSet::new(),
            unnamed: 0,
            started_at,
            ended_at: None,
            clock_offset_ms: None,
            cases: Vec::new(),
        });
    }

    /// What is known of an attempt now replaces what was.
    pub fn remember(&mut self, launched: Launched) {
        self.recent.retain(|known| known.attempt != launched.attempt);
        self.recent.insert(0, launched);
        self.recent.truncate(RECENT_MAX);
    }

    /// The phone's clock, as the attempt that runs read it.
    pub fn note_clock(&mut self, offset_ms: Option<i64>) {
        if let Some(running) = self.running() {
            running.clock_offset_ms = offset_ms;
        }
    }

    /// The attempt that runs has started a process. Should the agent end now, its report is still known.
    pub fn note_launch(&mut self, pid: u32) {
        if let Some(running) = self.running() {
            running.pids.insert(pid);
        }
    }

    /// An attempt is over; what is known of its end stays.
    pub fn note_end(&mut self, attempt: AttemptId, ended_at: Time) {
        if let Some(known) = self.recent.iter_mut().find(|known| known.attempt == attempt) {
            known.ended_at.get_or_insert(ended_at);
        }
    }

    /// Crashes that the phone lost, by kind and process.
    pub fn lost(&self) -> Vec<((String, String), Shelf)> {
        let shelf = |lost: &Lost| {
            let key = (lost.bug_type.clone(), lost.process.clone());
            (key, Shelf::that_lost(lost.swallowed, lost.refused, lost.at))
        };
        self.lost.iter().map(shelf).collect()
    }

    /// Takes over what was lost. Says whether that is more than was known.
    pub fn note_lost<'a>(
        &mut self,
        shelves: impl Iterator<Item = (&'a (String, String), &'a Shelf)>,
    ) -> bool {
        let lost = shelves.filter_map(|((bug_type, process), shelf)| {
            let (bug_type, process) = (bug_type.clone(), process.clone());
            let Shelf { swallowed, refused, last_lost_at, .. } = shelf;
            Some(Lost { bug_type, process, swallowed: *swallowed, refused: *refused, at: (*last_lost_at)? })
        });
        let lost: Vec<Lost> = lost.collect();
        let is_new = lost != self.lost;
        self.lost = lost;
        is_new
    }

    fn running(&mut self) -> Option<&mut Launched> {
        let State::Running { attempt, .. } = self.state else { return None };
        self.recent.iter_mut().find(|known| known.attempt == attempt)
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

    /// What an agent before this one wrote is read, and an attempt that it knew is still known by its processes.
    #[test]
    fn the_last_attempt_of_an_older_agent_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"version":1,"phone":"phone-1","lease":7,"state":{"state":"idle"},"installed":null,"dirty":null,
            "confirmed":[],"facts":null,"last":{"attempt":"J1.2","bundle_id":"org.example.app","executable":"App",
            "pids":[101],"unnamed":0}}"#;
        std::fs::write(folder.path().join("phone-1.json"), text).unwrap();
        let memory = Memory::load(folder.path(), &"phone-1".parse().unwrap()).unwrap();
        let known: Vec<String> =
            memory.recent().iter().map(|one| format!("{} {:?}", one.attempt, one.pids)).collect();
        assert_eq!(known, ["J1.2 {101}"]);
        memory.save(folder.path()).unwrap();
        let again = Memory::load(folder.path(), &"phone-1".parse().unwrap()).unwrap();
        assert_eq!(again, memory);
    }

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
