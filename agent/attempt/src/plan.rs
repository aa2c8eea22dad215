//! Which crash files to take, which to delete, and whose each one is. What the files say is the daemon's to read.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{AttemptId, BundleId, CrashId};

/// Crash files taken in one sweep at most: a storm must not keep a phone from work for ever; the rest follows in
/// the next sweep.
pub const FILES_PER_SWEEP_MAX: usize = 200;

/// What a first look at a crash file told; everything may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peek {
    /// The process that ended; several when the system ended several for want of memory.
    pub pids: BTreeSet<u32>,
    /// Its name; none when there are several.
    pub process: Option<String>,
    /// Its bundle identifier.
    pub bundle_id: Option<String>,
}

/// A crash file that was taken earlier and is still on the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The file.
    pub file: CrashFile,
    /// Its bytes.
    pub crash: CrashId,
    /// Whether the daemon has them on disk.
    pub confirmed: bool,
}

/// The processes that an attempt started: by them a report is known as its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// The attempt.
    pub attempt: AttemptId,
    /// The app.
    pub bundle_id: BundleId,
    /// Its process name.
    pub executable: String,
    /// Every process that the phone named.
    pub pids: BTreeSet<u32>,
    /// Launches for which the phone named no process: a process nobody knows may be one of these.
    pub unnamed: u32,
}

impl Launched {
    /// Whether the report is of the app under test.
    fn is_of_app(&self, peek: &Peek) -> bool {
        peek.bundle_id.as_deref() == Some(self.bundle_id.as_str())
            || (peek.bundle_id.is_none() && peek.process.as_deref() == Some(self.executable.as_str()))
    }

    /// Whether the report is of a process that this attempt started for certain.
    fn started(&self, peek: &Peek) -> bool {
        let names_nobody = peek.bundle_id.is_none() && peek.process.is_none();
        (self.is_of_app(peek) || names_nobody) && !self.pids.is_disjoint(&peek.pids)
    }

    /// Whether the phone named the file after the app under test: `Mooring-2026-11-21-033046.ips`.
    pub fn is_named_in(&self, file: &CrashFile) -> bool {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        name.strip_prefix(self.executable.as_str()).is_some_and(|rest| rest.starts_with(['-', '.']))
    }
}

/// The attempt in which a report happened that was not on the phone when the current attempt began.
///
/// The process number decides for the app under test; whatever else appeared in the meantime (other processes,
/// reports without a process, unreadable ones) happened in the current attempt.
pub fn attempt_of(peek: &Peek, current: Option<&Launched>, previous: Option<&Launched>) -> Option<AttemptId> {
    if let Some(owner) = [current, previous].into_iter().flatten().find(|launched| launched.started(peek)) {
        return Some(owner.attempt);
    }
    let current = current?;
    let foreign_process = current.is_of_app(peek) && !peek.pids.is_empty() && current.unnamed == 0;
    (!foreign_process).then_some(current.attempt)
}

/// The name under which a report is one and the same wherever the phone keeps it: iOS moves what it has sent
/// into `Retired/` and appends `.synced`.
pub fn report_name(path: &str) -> &str {
    let name = path.strip_prefix("Retired/").unwrap_or(path);
    name.strip_suffix(".synced").unwrap_or(name)
}

/// What was on the phone before an attempt: reports by name and size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before(BTreeSet<(String, u64)>);

impl Before {
    /// From a list of the crash folder.
    pub fn of(files: &[CrashFile]) -> Self {
        Self(files.iter().map(|file| (report_name(&file.path).to_owned(), file.size_bytes)).collect())
    }

    /// Whether the report was there, under this or its other name.
    pub fn has(&self, file: &CrashFile) -> bool {
        self.0.contains(&(report_name(&file.path).to_owned(), file.size_bytes))
    }
}

/// The files that are still to be taken: those of the attempt first, then those that were there before.
pub fn to_take(
    listed: &[CrashFile],
    before: &Before,
    taken: &BTreeMap<CrashFile, CrashId>,
) -> (Vec<CrashFile>, Vec<CrashFile>) {
    let wanted = listed.iter().filter(|file| !taken.contains_key(*file)).cloned();
    wanted.partition(|file| !before.has(file))
}

/// One thing to do in a sweep, between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepStep {
    /// Copy it and put it into the outbox.
    Take(CrashFile),
    /// The daemon has it: delete it on the phone.
    Delete(CrashFile),
}

/// What a sweep has to do: confirmed files are deleted, unknown ones taken, unconfirmed ones left alone.
/// At most [`FILES_PER_SWEEP_MAX`] files are taken.
pub fn sweep(listed: &[CrashFile], taken: &[Taken]) -> Vec<SweepStep> {
    let known: BTreeMap<&CrashFile, &Taken> = taken.iter().map(|taken| (&taken.file, taken)).collect();
    let mut takes = 0;
    let mut steps = Vec::new();
    for file in listed {
        match known.get(file) {
            Some(taken) if taken.confirmed => steps.push(SweepStep::Delete(file.clone())),
            Some(_) => {}
            None if takes < FILES_PER_SWEEP_MAX => {
                takes += 1;
                steps.push(SweepStep::Take(file.clone()));
            }
            None => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "the texts are good")]
    use super::*;

    fn file(path: &str) -> CrashFile {
        CrashFile { path: path.to_owned(), size_bytes: 9, modified_ns: 1 }
    }

    fn launched(attempt: &str, pids: &[u32], unnamed: u32) -> Launched {
        Launched {
            attempt: attempt.parse().unwrap(),
            bundle_id: "org.example.mooring".parse().unwrap(),
            executable: "Mooring".to_owned(),
            pids: pids.iter().copied().collect(),
            unnamed,
        }
    }

    fn peek(text: &str) -> Peek {
        let mut peek = Peek::default();
        for (key, value) in text.split_whitespace().filter_map(|part| part.split_once('=')) {
            match key {
                "pid" => peek.pids = value.split(',').map(|pid| pid.parse().unwrap()).collect(),
                "process" => peek.process = Some(value.to_owned()),
                _ => peek.bundle_id = Some(value.to_owned()),
            }
        }
        peek
    }

    #[test]
    fn the_process_number_decides_whose_a_report_is() {
        let cases = [
            // what the file tells, unnamed launches, expected owner
            ("pid=20 bundle=org.example.mooring", 0, Some("J2.1")),
            ("pid=20 process=Mooring", 0, Some("J2.1")),
            ("pid=10 bundle=org.example.mooring", 0, Some("J1.1")),
            ("pid=15 bundle=org.example.mooring", 0, None),
            ("pid=15 bundle=org.example.mooring", 1, Some("J2.1")),
            ("pid=10 bundle=com.apple.springboard", 0, Some("J2.1")),
            ("process=JetsamEvent", 0, Some("J2.1")),
            ("pid=3,10,15", 0, Some("J1.1")),
            ("", 0, Some("J2.1")),
        ];
        for (text, unnamed, expected) in cases {
            let (current, previous) = (launched("J2.1", &[20, 21], unnamed), launched("J1.1", &[10], 0));
            let owner = attempt_of(&peek(text), Some(&current), Some(&previous));
            assert_eq!(owner.map(|id| id.to_string()).as_deref(), expected, "{text:?}");
        }
        let previous = launched("J1.1", &[10], 0);
        let late = attempt_of(&peek("pid=10 process=Mooring"), None, Some(&previous));
        assert_eq!(late.map(|id| id.to_string()).as_deref(), Some("J1.1"), "a late report between attempts");
        assert_eq!(attempt_of(&peek(""), None, Some(&previous)), None, "between attempts nobody is guessed");
    }

    #[test]
    fn a_report_that_the_phone_moved_is_no_new_one() {
        let before = Before::of(&[file("a.ips"), file("b.ips")]);
        let listed = [file("Retired/a.ips"), file("b.ips.synced"), file("c.ips"), file("d.ips")];
        let taken = BTreeMap::from([(file("d.ips"), CrashId::new([1; 32]))]);
        let (new, old) = to_take(&listed, &before, &taken);
        assert_eq!(new, [file("c.ips")]);
        assert_eq!(old, [file("Retired/a.ips"), file("b.ips.synced")]);
    }

    #[test]
    fn a_sweep_deletes_only_what_is_confirmed() {
        let crash = CrashId::new([1; 32]);
        let taken = [
            Taken { file: file("kept.ips"), crash, confirmed: false },
            Taken { file: file("done.ips"), crash, confirmed: true },
        ];
        let touched = CrashFile { modified_ns: 2, ..file("done.ips") };
        let steps = sweep(&[file("done.ips"), file("kept.ips"), file("new.ips"), touched.clone()], &taken);
        assert_eq!(
            steps,
            [SweepStep::Delete(file("done.ips")), SweepStep::Take(file("new.ips")), SweepStep::Take(touched)]
        );
    }
}
