//! A pretend phone behind the meaning of the agent's `Phone` trait (`agent/device`): it answers each operation after a
//! while, fails as it was told to, writes crash files, and knows which bus it is on. It notes every lease under which
//! something was done to it, which is what the laws hold against.

use std::time::Duration;

use holdfast_attempt::{Event, Failure, FailureKind, Peek, Step};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{AttemptId, CrashId, LeaseNumber, Udid};
use holdfast_wire::outcome::Blame;
use holdfast_wire::phone::InstalledApp;
use holdfast_wire::phone::PhoneFacts;

use crate::chance::Chance;
use crate::nouns::{self, udid};
use crate::scenario::{PhoneMake, Trouble};

/// A phone that lies in a rack, or is on its way.
#[derive(Debug)]
pub struct PretendPhone {
    /// Its number.
    pub number: usize,
    /// What it is.
    pub make: PhoneMake,
    /// The rack on whose bus it is; none while it is on its way.
    pub rack: Option<usize>,
    /// Counts how often it was plugged in.
    pub plugged: u64,
    /// The newest lease under which something was done to it, and by which attempt.
    pub served: (LeaseNumber, Option<AttemptId>),
    troubles: Vec<Trouble>,
    app: Option<BuildIdentity>,
    files: Vec<CrashFile>,
    pids: u32,
    crashes_next: bool,
}

/// What an operation comes to: after how long, and what is then told; nothing is told of one that hangs.
#[derive(Debug)]
pub struct Outcome {
    /// Milliseconds.
    pub after_ms: u64,
    /// The answer.
    pub event: Option<Event>,
}

impl PretendPhone {
    /// A phone on a rack's bus.
    pub fn new(number: usize, make: PhoneMake, rack: usize) -> Self {
        Self {
            number,
            make,
            rack: Some(rack),
            plugged: 1,
            served: (LeaseNumber::default(), None),
            troubles: Vec::new(),
            app: None,
            files: Vec::new(),
            pids: 100,
            crashes_next: false,
        }
    }

    /// Its name.
    pub fn udid(&self) -> Udid {
        udid(self.number)
    }

    /// What it tells of itself.
    pub fn facts(&self) -> PhoneFacts {
        let mut facts = nouns::facts(self.number, &self.make);
        facts.apps.extend(self.app.iter().map(|app| InstalledApp {
            bundle_id: app.bundle_id.clone(),
            version: app.version.clone(),
            build_number: app.build_number.clone(),
        }));
        facts
    }

    /// The next operation of the kind that it concerns goes wrong.
    pub fn trouble(&mut self, trouble: Trouble) {
        self.troubles.push(trouble);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&mut self) {
        self.troubles.clear();
        self.crashes_next = false;
    }

    fn suffers(&mut self, trouble: Trouble) -> bool {
        let place = self.troubles.iter().position(|known| *known == trouble);
        place.map(|place| self.troubles.remove(place)).is_some()
    }

    /// Crash files on it.
    pub fn files(&self) -> &[CrashFile] {
        &self.files
    }

    /// A file is deleted.
    pub fn delete(&mut self, file: &CrashFile) {
        self.files.retain(|known| known != file);
    }

    /// Does what a step asks for. `build` is that of the attempt.
    pub fn perform(&mut self, chance: &mut Chance, step: &Step, build: &BuildIdentity) -> Outcome {
        if !matches!(step, Step::Fetch | Step::Store { .. }) && self.suffers(Trouble::Hangs) {
            let timeout = match step {
                Step::Launch { timeout, .. } => Some(*timeout),
                _ => None,
            };
            return match timeout {
                Some(timeout) => failed(timeout, Blame::Phone, FailureKind::Silent, "it named no process"),
                None => Outcome { after_ms: 0, event: None },
            };
        }
        match step {
            Step::Check => after(chance.between(50, 400), Event::Checked(Box::new(self.facts()))),
            Step::ListCrashes => after(chance.between(20, 200), Event::Listed(self.files.clone())),
            Step::Fetch if self.suffers(Trouble::FetchFails) => {
                failed(Duration::from_secs(2), Blame::Farm, FailureKind::Other, "the build did not come")
            }
            Step::Fetch => after(chance.between(20, 3_000), Event::Fetched),
            Step::Install if self.suffers(Trouble::InstallFails) => {
                self.app = None;
                failed(
                    Duration::from_secs(3),
                    Blame::Phone,
                    FailureKind::Other,
                    "the phone did not install it",
                )
            }
            Step::Install => {
                self.app = Some(build.clone());
                after(chance.between(1_000, 8_000), Event::Installed)
            }
            Step::Launch { .. } => {
                self.crashes_next = self.suffers(Trouble::AppCrashes);
                self.pids += 1;
                let took_ms = chance.between(200, 1_500);
                let took = Duration::from_millis(took_ms);
                after(took_ms, Event::Launched { pid: self.pids, took })
            }
            Step::Watch { limit, pid } => self.watch(*limit, *pid),
            Step::Kill { .. } | Step::KillApp => after(chance.between(20, 300), Event::Killed),
            Step::Pull { file } => self.pull(file),
            Step::Store { .. } => after(chance.between(5, 50), Event::Stored),
            Step::Delete { file, .. } => {
                self.delete(file);
                after(30, Event::Deleted)
            }
            Step::Rest | Step::Finish(_) => Outcome { after_ms: 0, event: None },
        }
    }

    fn watch(&mut self, limit: Duration, pid: u32) -> Outcome {
        if !std::mem::take(&mut self.crashes_next) {
            return after(millis(limit), Event::StillAlive);
        }
        let path = format!("Demo-{pid}.ips");
        self.files.push(CrashFile { path, size_bytes: u64::from(pid), modified_ns: u64::from(pid) });
        let alive = limit / 2;
        after(millis(alive), Event::Ended { alive })
    }

    fn pull(&mut self, file: &CrashFile) -> Outcome {
        if !self.files.contains(file) {
            let kind = FailureKind::FileMissing;
            return failed(Duration::from_millis(20), Blame::Phone, kind, "the file is gone");
        }
        let pid = u32::try_from(file.size_bytes).unwrap_or(0);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&file.size_bytes.to_le_bytes());
        bytes[8] = u8::try_from(self.number).unwrap_or(u8::MAX);
        let peek = Peek {
            pids: [pid].into(),
            process: Some("Demo".to_owned()),
            bundle_id: Some("dev.holdfast.demo".to_owned()),
            ..Peek::default()
        };
        after(80, Event::Pulled { crash: CrashId::new(bytes), peek })
    }
}

fn after(after_ms: u64, event: Event) -> Outcome {
    Outcome { after_ms, event: Some(event) }
}

fn failed(wait: Duration, blame: Blame, kind: FailureKind, reason: &str) -> Outcome {
    after(millis(wait), Event::Failed(Failure { blame, kind, reason: reason.to_owned() }))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
