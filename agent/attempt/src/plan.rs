//! Which crash files to take, which to delete, and whose each one is. What the files say is the daemon's to read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{AttemptId, BundleId, CaseName, CrashId};
use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

/// Crash files taken in one sweep at most: a storm must not keep a phone from work for ever; the rest follows in
/// the next sweep.
pub const FILES_PER_SWEEP_MAX: usize = 200;

/// How far beyond the ends of an attempt a report's time may lie and still be inside: headers give whole seconds, and
/// the offset of the phone's clock is measured to half a round trip.
const SPAN_SLACK: Duration = Duration::from_secs(2);

/// How far beyond the ends of an attempt its own process number is still believed: a phone corrects its clock by less,
/// and numbers do not come round again so soon.
const PROCESS_SLACK: Duration = Duration::from_secs(10 * 60);

/// What a first look at a crash file told; everything may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peek {
    /// The process that ended; several when the system ended several for want of memory.
    pub pids: BTreeSet<u32>,
    /// Its name; none when there are several.
    pub process: Option<String>,
    /// Its bundle identifier.
    pub bundle_id: Option<String>,
    /// When it happened, in the phone's clock. Not when the file was written, where the report tells the difference.
    pub happened_at: Option<Time>,
    /// The UUIDs of its images, in lower case.
    pub uuids: BTreeSet<String>,
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

/// What is known of an attempt by which a report is told to be its own: its time and the processes it started. Agents keep
/// it on disk; older ones wrote fewer fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// The attempt.
    pub attempt: AttemptId,
    /// The app.
    pub bundle_id: BundleId,
    /// Its process name.
    pub executable: String,
    /// The UUIDs of the build, in lower case.
    #[serde(default)]
    pub uuids: BTreeSet<String>,
    /// Every process that the phone named.
    pub pids: BTreeSet<u32>,
    /// Launches for which the phone named no process: a process nobody knows may be one of these.
    pub unnamed: u32,
    /// When it began, in the rack's clock.
    #[serde(default)]
    pub started_at: Time,
    /// When it was over; none while it runs.
    #[serde(default)]
    pub ended_at: Option<Time>,
    /// The phone's clock minus the rack's at its beginning, milliseconds; none where the phone did not tell.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// Its cases as far as they were begun, in order.
    #[serde(default)]
    pub cases: Vec<Begun>,
}

/// A case that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Which.
    pub case: CaseName,
    /// When, in the rack's clock. It lasted until the next one was begun.
    pub at: Time,
    /// Every process of it that the phone named.
    pub pids: BTreeSet<u32>,
}

impl Launched {
    /// A case begins, or goes on.
    pub(crate) fn begin(&mut self, case: &CaseName, now: Time) {
        if self.cases.last().is_none_or(|last| last.case != *case) {
            self.cases.push(Begun { case: case.clone(), at: now, pids: BTreeSet::new() });
        }
    }

    /// The phone named a process of the case that runs.
    pub(crate) fn name(&mut self, pid: u32) {
        self.pids.insert(pid);
        if let Some(last) = self.cases.last_mut() {
            last.pids.insert(pid);
        }
    }

    /// The case in which a report of this attempt happened: by its process, else by its time; none where neither tells
    /// and several cases were begun.
    fn case_of(&self, peek: &Peek) -> Option<&CaseName> {
        let mut of_process = self.cases.iter().filter(|begun| !begun.pids.is_disjoint(&peek.pids));
        if let (Some(only), None) = (of_process.next(), of_process.next()) {
            return Some(&only.case);
        }
        if let [only] = &self.cases[..] {
            return Some(&only.case);
        }
        let in_rack = peek.happened_at?.as_unix_ms().saturating_sub(self.clock_offset_ms?);
        let before = self.cases.iter().rfind(|begun| begun.at.as_unix_ms() <= in_rack)?;
        Some(&before.case)
    }

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

    /// How far the report's time lies outside this attempt; nothing inside. None where a time is not known.
    fn distance(&self, peek: &Peek) -> Option<Duration> {
        let in_rack = peek.happened_at?.as_unix_ms().saturating_sub(self.clock_offset_ms?);
        let happened_at = Time::from_unix_ms(in_rack);
        let before = self.started_at.since(happened_at);
        let after = self.ended_at.map_or(Duration::ZERO, |ended_at| happened_at.since(ended_at));
        Some(before.max(after))
    }

    /// How closely the report is of the build under test.
    fn kinship(&self, peek: &Peek) -> Kinship {
        if !self.uuids.is_disjoint(&peek.uuids) {
            Kinship::Build
        } else if self.is_of_app(peek) {
            Kinship::App
        } else {
            Kinship::Stranger
        }
    }

    /// Whether the phone named the file after the app under test: `Mooring-2026-11-21-033046.ips`.
    pub fn is_named_in(&self, file: &CrashFile) -> bool {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        name.strip_prefix(self.executable.as_str()).is_some_and(|rest| rest.starts_with(['-', '.']))
    }
}

/// How closely a report is of a build, the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kinship {
    /// One of its images is of the build.
    Build,
    /// It is of the app, of whatever build.
    App,
    /// It is of something else on the phone.
    Stranger,
}

/// The attempt that runs while a file is looked at, and what is known of the file's coming.
#[derive(Debug, Clone, Copy)]
pub enum Current<'a> {
    /// None runs, or the file was on the phone before this one began.
    None,
    /// The file came since it began.
    Came(&'a Launched),
    /// Nobody knows what was on the phone before it began.
    MayHaveCome(&'a Launched),
}

/// The attempt in which a report happened; `earlier` are the attempts before, the newest first.
///
/// A process number of an attempt decides, unless the time speaks clearly against it; then the time does, with the
/// build and the app where two attempts meet. A report without a time that came since the attempt began is its own,
/// unless it is of a process of the app that nobody started.
pub fn attempt_of(peek: &Peek, current: Current<'_>, earlier: &[Launched]) -> Option<AttemptId> {
    let running = match current {
        Current::None => None,
        Current::Came(launched) | Current::MayHaveCome(launched) => Some(launched),
    };
    let known = || running.into_iter().chain(earlier);
    let started = known().filter(|launched| launched.started(peek)).filter_map(|launched| {
        let distance = launched.distance(peek).unwrap_or_default();
        (distance <= PROCESS_SLACK).then_some((distance, launched.attempt))
    });
    if let Some((_, attempt)) = started.min_by_key(|(distance, _)| *distance) {
        return Some(attempt);
    }
    let in_time = known().filter_map(|launched| {
        let distance = launched.distance(peek).filter(|distance| *distance <= SPAN_SLACK)?;
        Some((launched.kinship(peek), distance, launched.attempt))
    });
    if let Some((_, _, attempt)) = in_time.min_by_key(|(kinship, distance, _)| (*kinship, *distance)) {
        return Some(attempt);
    }
    let Current::Came(launched) = current else { return None };
    let is_outside = launched.distance(peek).is_some();
    let foreign_process = launched.is_of_app(peek) && !peek.pids.is_empty() && launched.unnamed == 0;
    (!is_outside && !foreign_process).then_some(launched.attempt)
}

/// The case in which a report of this attempt happened, if the attempt is one of the known.
pub fn case_of<'l>(
    peek: &Peek,
    attempt: AttemptId,
    known: impl IntoIterator<Item = &'l Launched>,
) -> Option<CaseName> {
    known.into_iter().find(|launched| launched.attempt == attempt)?.case_of(peek).cloned()
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
    let wanted = listed.iter().filter(|file| !is_empty(file) && !taken.contains_key(*file)).cloned();
    wanted.partition(|file| !before.has(file))
}

/// A file without a byte: some versions of iOS list one before they have written it. It is left where it is and looked
/// at again.
fn is_empty(file: &CrashFile) -> bool {
    file.size_bytes == 0
}

/// One thing to do in a sweep, between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepStep {
    /// Copy it and put it into the outbox.
    Take(CrashFile),
    /// The daemon has it: delete it on the phone.
    Delete(CrashFile),
}

/// What a sweep has to do: confirmed files are deleted, then unknown ones taken; unconfirmed and empty ones are left
/// alone. At most [`FILES_PER_SWEEP_MAX`] files are taken.
pub fn sweep(listed: &[CrashFile], taken: &[Taken]) -> Vec<SweepStep> {
    let known: BTreeMap<&CrashFile, &Taken> = taken.iter().map(|taken| (&taken.file, taken)).collect();
    let is_confirmed = |file: &&CrashFile| known.get(file).is_some_and(|taken| taken.confirmed);
    let deletes = listed.iter().filter(is_confirmed).cloned().map(SweepStep::Delete);
    let unknown = listed.iter().filter(|file| !is_empty(file) && !known.contains_key(file));
    let takes = unknown.take(FILES_PER_SWEEP_MAX).cloned().map(SweepStep::Take);
    deletes.chain(takes).collect()
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
            uuids: BTreeSet::from(["aa-1".to_owned()]),
            pids: pids.iter().copied().collect(),
            unnamed,
            started_at: Time::from_unix_ms(0),
            ended_at: None,
            clock_offset_ms: None,
            cases: Vec::new(),
        }
    }

    /// From second to second, on a phone whose clock is an hour ahead.
    fn during(attempt: &str, pids: &[u32], from: i64, to: Option<i64>) -> Launched {
        Launched {
            started_at: Time::from_unix_ms(from * 1_000),
            ended_at: to.map(|to| Time::from_unix_ms(to * 1_000)),
            clock_offset_ms: Some(HOUR_MS),
            ..launched(attempt, pids, 0)
        }
    }

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_report_is_of_the_case_whose_process_it_was_else_of_the_case_of_its_time() {
        let mut several = during("J5.1", &[], 100, None);
        for (case, at, pid) in [("launch", 110, 7), ("chat", 200, 8), ("feed", 300, 7)] {
            several.begin(&case.parse().unwrap(), Time::from_unix_ms(at * 1_000));
            several.name(pid);
        }
        // Another launch of the case that runs begins no other.
        several.begin(&"feed".parse().unwrap(), Time::from_unix_ms(310_000));
        several.name(9);
        assert_eq!((several.cases.len(), several.pids.len()), (3, 3));
        let mut one = during("J5.1", &[], 100, None);
        one.begin(&"launch".parse().unwrap(), Time::from_unix_ms(110_000));
        let unclear = Launched { clock_offset_ms: None, ..several.clone() };
        let none = during("J5.1", &[], 100, None);
        let table = [
            (&several, "pid=8 at=305", Some("chat")),
            (&several, "pid=9", Some("feed")),
            // The number came round: the time decides.
            (&several, "pid=7 at=150", Some("launch")),
            (&several, "pid=7 at=305", Some("feed")),
            (&several, "pid=7", None),
            (&several, "at=199", Some("launch")),
            (&several, "at=200", Some("chat")),
            (&several, "at=105", None),
            (&unclear, "at=305", None),
            (&unclear, "pid=8", Some("chat")),
            (&one, "", Some("launch")),
            (&none, "at=305", None),
        ];
        for (launched, told, expected) in table {
            let case = case_of(&peek(told), launched.attempt, [launched]);
            assert_eq!(case.map(|case| case.to_string()).as_deref(), expected, "{told}");
        }
        assert_eq!(case_of(&peek("pid=8"), "J6.1".parse().unwrap(), [&several]), None);
    }

    fn peek(text: &str) -> Peek {
        let mut peek = Peek::default();
        for (key, value) in text.split_whitespace().filter_map(|part| part.split_once('=')) {
            match key {
                "pid" => peek.pids = value.split(',').map(|pid| pid.parse().unwrap()).collect(),
                "process" => peek.process = Some(value.to_owned()),
                "uuid" => peek.uuids = BTreeSet::from([value.to_owned()]),
                // Seconds of the rack's clock, told by a phone that is an hour ahead.
                "at" => {
                    let at: i64 = value.parse().unwrap();
                    peek.happened_at = Some(Time::from_unix_ms(at * 1_000 + HOUR_MS));
                }
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
            let owner = attempt_of(&peek(text), Current::Came(&current), &[previous]);
            assert_eq!(owner.map(|id| id.to_string()).as_deref(), expected, "{text:?}");
        }
        let previous = launched("J1.1", &[10], 0);
        let previous = [previous];
        let late = attempt_of(&peek("pid=10 process=Mooring"), Current::None, &previous);
        assert_eq!(late.map(|id| id.to_string()).as_deref(), Some("J1.1"), "a late report between attempts");
        assert_eq!(
            attempt_of(&peek(""), Current::None, &previous),
            None,
            "between attempts nobody is guessed"
        );
    }

    #[test]
    fn the_time_in_the_phones_clock_decides_where_no_process_does() {
        let earlier = [during("J2.1", &[20], 200, Some(300)), during("J1.1", &[10], 100, Some(195))];
        let current = during("J3.1", &[30], 310, None);
        let cases = [
            // what the file tells, that came while J3.1 ran; its owner
            ("at=320", Some("J3.1")),
            ("at=250", Some("J2.1")),
            ("at=150", Some("J1.1")),
            ("at=50", None),
            ("at=305", None),
            ("at=301", Some("J2.1")),
            // Two attempts that nearly meet: the build, then the app, then the nearer one.
            ("at=197", Some("J1.1")),
            // A process of the app that nobody started, inside an attempt.
            ("at=250 pid=77 bundle=org.example.mooring", Some("J2.1")),
            // The number of a process, also when the phone has corrected its clock since.
            ("at=400 pid=20 bundle=org.example.mooring", Some("J2.1")),
            // The same number long before: another start of the phone.
            ("at=-90000 pid=20 bundle=org.example.mooring", None),
        ];
        for (text, expected) in cases {
            let owner = attempt_of(&peek(text), Current::Came(&current), &earlier);
            assert_eq!(owner.map(|id| id.to_string()).as_deref(), expected, "{text:?}");
        }
        let other_build =
            Launched { uuids: BTreeSet::from(["bb-2".to_owned()]), ..during("J5.1", &[], 200, None) };
        let pair = [other_build, during("J4.1", &[], 100, Some(199))];
        for (text, expected) in
            [("at=200 uuid=aa-1", "J4.1"), ("at=199 uuid=bb-2", "J5.1"), ("at=200", "J5.1")]
        {
            let owner = attempt_of(&peek(text), Current::None, &pair);
            assert_eq!(owner.map(|id| id.to_string()).as_deref(), Some(expected), "{text:?}");
        }
        let unsure = Current::MayHaveCome(&current);
        let owner = |text: &str| attempt_of(&peek(text), unsure, &[]).map(|id| id.to_string());
        assert_eq!(owner("at=320").as_deref(), Some("J3.1"));
        assert_eq!(owner(""), None, "without a time it may be old");
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
        let empty = CrashFile { size_bytes: 0, ..file("empty.ips") };
        let steps = sweep(
            &[file("done.ips"), file("kept.ips"), file("new.ips"), empty.clone(), touched.clone()],
            &taken,
        );
        assert_eq!(
            steps,
            [SweepStep::Delete(file("done.ips")), SweepStep::Take(file("new.ips")), SweepStep::Take(touched)]
        );
        let before = Before::of(std::slice::from_ref(&empty));
        assert_eq!(to_take(&[empty], &before, &BTreeMap::new()), (Vec::new(), Vec::new()));
        let (filled, none) = to_take(&[file("empty.ips")], &before, &BTreeMap::new());
        assert_eq!((filled, none), (vec![file("empty.ips")], Vec::new()), "once it is written it is new");
        let storm: Vec<CrashFile> = (0..5_000).map(|number| file(&format!("{number:04}.ips"))).collect();
        assert_eq!(sweep(&storm, &[]).len(), FILES_PER_SWEEP_MAX);
    }
}
