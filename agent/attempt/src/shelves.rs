//! How full a phone's places for crash files are, by kind and process, and what it lost because one was full. What the
//! phone's own log says is believed before any count of files. What follows from it is the body's and the daemon's.
//!
//! A phone keeps so many files of a kind and process at once. At the limit a report that looks like one that waits is
//! dropped in silence, and only the time stamp of that file moves.

use std::collections::BTreeMap;

use holdfast_wire::crash::{CRASH_LIMITS_MAX, CrashFile, CrashLimit, Fullness};
use holdfast_wire::time::Time;

use crate::step::Told;

/// Kinds and processes that are remembered of one phone: the fullest and those that lost something stay.
const SHELVES_MAX: usize = 128;

/// Longest name of a kind or process that is believed: a log may hold anything.
const NAME_BYTES_MAX: usize = 128;

/// How many files a phone keeps, by kind, and when people hear of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashLimits {
    /// Files of a kind that has no number of its own.
    pub files: u32,
    /// Files by kind; none where the phone keeps any number.
    pub files_by_type: BTreeMap<String, Option<u32>>,
    /// Per cent of the limit at which people are warned.
    pub warn_percent: u8,
    /// Per cent of the limit at which files are collected at once.
    pub collect_percent: u8,
}

impl Default for CrashLimits {
    fn default() -> Self {
        let by_type =
            [("187", Some(100)), ("210", None), ("211", Some(150)), ("288", Some(100)), ("328", Some(250))];
        Self {
            files: 25,
            files_by_type: by_type.map(|(kind, files)| (kind.to_owned(), files)).into(),
            warn_percent: 60,
            collect_percent: 80,
        }
    }
}

impl CrashLimits {
    fn of(&self, bug_type: &str) -> Option<u32> {
        self.files_by_type.get(bug_type).copied().unwrap_or(Some(self.files))
    }

    fn fullness(&self, waiting: u32, limit: Option<u32>) -> Fullness {
        let Some(limit) = limit else { return Fullness::Room };
        let reaches = |percent: u8| u64::from(waiting) * 100 >= u64::from(limit) * u64::from(percent);
        match (reaches(self.collect_percent), reaches(self.warn_percent)) {
            (true, _) => Fullness::Urgent,
            (false, true) => Fullness::Near,
            (false, false) => Fullness::Room,
        }
    }
}

/// A line of a phone's log about a crash file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogNote {
    /// A report was written.
    Saved {
        /// `309`.
        bug_type: String,
        /// Whose it is.
        process: String,
        /// How many of the kind and process wait now, with the limit; none where it says no limit.
        waiting: Option<(u32, Option<u32>)>,
    },
    /// A report was not written, because so many wait.
    Refused {
        /// `309`.
        bug_type: String,
        /// Whose it would have been.
        process: String,
        /// The limit.
        limit: u32,
    },
}

impl LogNote {
    /// Reads the message of a log line:
    /// `Saved type '309(309_Runner)' report (3 of max 25) at /var/mobile/…` or
    /// `Report of type '309(309_Runner)' not saved because the limit of 25 logs has been reached`.
    pub fn parse(message: &str) -> Option<Self> {
        let message = message.trim_end();
        if let Some(rest) = message.strip_prefix("Saved type '") {
            let (bug_type, process, rest) = kind_and_process(rest)?;
            let count = rest.strip_prefix("report (").and_then(|rest| rest.split_once(')'));
            let waiting = count.and_then(|(count, _)| match count.split_once(" of max ") {
                Some((waiting, limit)) => Some((waiting.parse().ok()?, Some(limit.parse().ok()?))),
                None => Some((count.parse().ok()?, None)),
            });
            return Some(Self::Saved { bug_type, process, waiting });
        }
        let rest = message.strip_prefix("Report of type '")?;
        let (bug_type, process, rest) = kind_and_process(rest)?;
        let rest = rest.strip_prefix("not saved because the limit of ")?;
        let limit = rest.split(' ').next()?.parse().ok()?;
        Some(Self::Refused { bug_type, process, limit })
    }
}

/// `309(309_Runner)'…` as kind, process and what follows.
fn kind_and_process(text: &str) -> Option<(String, String, &str)> {
    let (kind, rest) = text.split_once('(')?;
    // A process may have brackets and quotes in its name; what follows it has not.
    let (process, rest) = rest.split_once(")' ")?;
    let process = process.strip_prefix(kind)?.strip_prefix('_')?;
    let is_good = |name: &str| !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    (is_good(kind) && is_good(process)).then(|| (kind.to_owned(), process.to_owned(), rest))
}

/// One kind and process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Files in the last listing.
    listed: u32,
    /// Files by the phone's own count, less those that went since.
    said: Option<u32>,
    /// The limit that the phone said; no limit is said too.
    limit: Option<Option<u32>>,
    /// See [`CrashLimit::swallowed`].
    pub swallowed: u32,
    /// See [`CrashLimit::refused`].
    pub refused: u32,
    /// See [`CrashLimit::last_lost_at`].
    pub last_lost_at: Option<Time>,
}

impl Shelf {
    /// One of which only is known what it lost, from an earlier start of the agent.
    pub fn that_lost(swallowed: u32, refused: u32, last_lost_at: Time) -> Self {
        Self { swallowed, refused, last_lost_at: Some(last_lost_at), ..Self::default() }
    }
}

/// What is known of the crash folder of one phone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelves {
    limits: CrashLimits,
    shelves: BTreeMap<(String, String), Shelf>,
    /// The files of the last listing by path, with size and time stamp.
    files: BTreeMap<String, (u64, u64)>,
    /// How many of them are of each process.
    waiting: BTreeMap<String, u32>,
    /// What a plain name means on this phone.
    plain_type: PlainType,
}

/// What a file's plain name means: the kind of crash changed with iOS 15.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlainType {
    /// 309.
    #[default]
    Since15,
    /// 109.
    Before15,
}

impl Shelves {
    /// Of a phone of which nothing is known yet but what it lost before.
    pub fn new(limits: CrashLimits, lost: impl IntoIterator<Item = ((String, String), Shelf)>) -> Self {
        Self { limits, shelves: lost.into_iter().collect(), ..Self::default() }
    }

    /// Files that were on the phone when somebody looked last, before this.
    pub fn knew<'a>(&mut self, files: impl IntoIterator<Item = &'a CrashFile>) {
        for file in files {
            let stamp = (file.size_bytes, file.modified_ns);
            self.files
                .entry(file.path.clone())
                .and_modify(|known| *known = stamp.max(*known))
                .or_insert(stamp);
        }
    }

    /// The major number of the phone's iOS.
    pub fn is_of(&mut self, os_major: u32) {
        self.plain_type = if os_major >= 15 { PlainType::Since15 } else { PlainType::Before15 };
    }

    /// The log has spoken.
    pub fn heard(&mut self, now: Time, note: &LogNote) -> Told {
        let (key, told) = match note {
            LogNote::Saved { bug_type, process, waiting } => {
                let key = (bug_type.clone(), process.clone());
                let shelf = self.shelves.entry(key.clone()).or_default();
                if let Some((waiting, limit)) = waiting {
                    shelf.said = Some(*waiting);
                    shelf.limit = Some(*limit);
                }
                let told = self.told_of(&key);
                (key, told)
            }
            LogNote::Refused { bug_type, process, limit } => {
                let key = (bug_type.clone(), process.clone());
                let shelf = self.shelves.entry(key.clone()).or_default();
                shelf.limit = Some(Some(*limit));
                shelf.said = Some(shelf.said.unwrap_or_default().max(*limit));
                shelf.refused = shelf.refused.saturating_add(1);
                shelf.last_lost_at = Some(now);
                (key, Told::NearLimit)
            }
        };
        self.forget_the_emptiest(&key);
        told
    }

    /// The folder was listed.
    pub fn listed(&mut self, now: Time, files: &[CrashFile]) {
        let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
        for file in files {
            let Some(key) = self.key_of(file) else { continue };
            let stamp = (file.size_bytes, file.modified_ns);
            let is_touched =
                self.files.get(&file.path).is_some_and(|known| known.0 == stamp.0 && known.1 < stamp.1);
            if is_touched {
                let shelf = self.shelves.entry(key.clone()).or_default();
                shelf.swallowed = shelf.swallowed.saturating_add(1);
                shelf.last_lost_at = Some(now);
            }
            // What lies in a folder of its own does not count against the limit.
            if !file.path.contains('/') {
                *counts.entry(key).or_default() += 1;
            }
        }
        for (key, shelf) in &mut self.shelves {
            let count = counts.remove(key).unwrap_or_default();
            let gone = shelf.listed.saturating_sub(count);
            shelf.said = shelf.said.map(|said| said.saturating_sub(gone));
            shelf.listed = count;
        }
        for (key, listed) in counts {
            self.shelves.insert(key.clone(), Shelf { listed, ..Shelf::default() });
            self.forget_the_emptiest(&key);
        }
        self.waiting.clear();
        for (_, process) in files.iter().filter_map(CrashFile::kind_and_process) {
            *self.waiting.entry(process.to_owned()).or_default() += 1;
        }
        self.files =
            files.iter().map(|file| (file.path.clone(), (file.size_bytes, file.modified_ns))).collect();
    }

    /// What people are told: the fullest first, and what lost something. What is neither is left out.
    pub fn told(&self) -> Vec<CrashLimit> {
        let mut told: Vec<CrashLimit> = self
            .shelves
            .iter()
            .map(|(key, shelf)| {
                let (waiting, limit) = self.count(key, shelf);
                CrashLimit {
                    bug_type: key.0.clone(),
                    process: key.1.clone(),
                    waiting,
                    limit,
                    fullness: self.limits.fullness(waiting, limit),
                    swallowed: shelf.swallowed,
                    refused: shelf.refused,
                    last_lost_at: shelf.last_lost_at,
                }
            })
            .filter(|one| one.fullness > Fullness::Room || one.swallowed > 0 || one.refused > 0)
            .collect();
        told.sort_by(|one, other| {
            let share = |limit: &CrashLimit| {
                u64::from(limit.waiting) * 1_000 / u64::from(limit.limit.unwrap_or(u32::MAX)).max(1)
            };
            share(other).cmp(&share(one)).then_with(|| other.last_lost_at.cmp(&one.last_lost_at))
        });
        told.truncate(CRASH_LIMITS_MAX);
        told
    }

    /// How many files waited at the last listing, in whatever folder, by process.
    pub fn waiting(&self) -> &BTreeMap<String, u32> {
        &self.waiting
    }

    /// Whether any kind is so full that files are to be collected at once.
    pub fn is_urgent(&self) -> bool {
        self.shelves.keys().any(|key| self.told_of(key) == Told::NearLimit)
    }

    /// What was lost, for the memory that outlives the agent.
    pub fn lost(&self) -> impl Iterator<Item = (&(String, String), &Shelf)> {
        self.shelves.iter().filter(|(_, shelf)| shelf.last_lost_at.is_some())
    }

    fn told_of(&self, key: &(String, String)) -> Told {
        let shelf = self.shelves.get(key).cloned().unwrap_or_default();
        let (waiting, limit) = self.count(key, &shelf);
        match self.limits.fullness(waiting, limit) {
            Fullness::Urgent => Told::NearLimit,
            Fullness::Room | Fullness::Near => Told::Saved,
        }
    }

    fn count(&self, key: &(String, String), shelf: &Shelf) -> (u32, Option<u32>) {
        // The log comes before the file is seen; and a phone may count files that it does not show.
        let waiting = shelf.said.unwrap_or_default().max(shelf.listed);
        (waiting, shelf.limit.unwrap_or_else(|| self.limits.of(&key.0)))
    }

    fn key_of(&self, file: &CrashFile) -> Option<(String, String)> {
        let (bug_type, process) = file.kind_and_process()?;
        let bug_type = match (bug_type, self.plain_type) {
            ("309", PlainType::Before15) => "109",
            (kind, _) => kind,
        };
        (process.len() <= NAME_BYTES_MAX).then(|| (bug_type.to_owned(), process.to_owned()))
    }

    fn forget_the_emptiest(&mut self, newest: &(String, String)) {
        if self.shelves.len() <= SHELVES_MAX {
            return;
        }
        let worth = |(_, shelf): &(&(String, String), &Shelf)| {
            (shelf.last_lost_at, shelf.said.unwrap_or_default().max(shelf.listed))
        };
        let others = self.shelves.iter().filter(|(key, _)| *key != newest);
        if let Some(key) = others.min_by_key(worth).map(|(key, _)| key.clone()) {
            self.shelves.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, modified_ns: u64) -> CrashFile {
        CrashFile { path: path.to_owned(), size_bytes: 9, modified_ns }
    }

    fn files(count: u64) -> Vec<CrashFile> {
        (0..count).map(|second| file(&format!("App-2026-11-21-0330{second:02}.ips"), 1)).collect()
    }

    fn saved(waiting: u32) -> LogNote {
        let (bug_type, process) = ("309".to_owned(), "App".to_owned());
        LogNote::Saved { bug_type, process, waiting: Some((waiting, Some(25))) }
    }

    fn words(shelves: &Shelves) -> Vec<String> {
        let limit = |one: &CrashLimit| one.limit.map_or_else(|| "any".to_owned(), |limit| limit.to_string());
        let told = shelves.told();
        let line = |one: &CrashLimit| {
            let CrashLimit { bug_type, process, waiting, fullness, swallowed, refused, .. } = one;
            format!("{bug_type} {process} {waiting}/{} {fullness:?} -{swallowed} -{refused}", limit(one))
        };
        told.iter().map(line).collect()
    }

    fn now() -> Time {
        Time::from_unix_ms(7_000)
    }

    #[test]
    fn the_lines_of_a_phone_are_read() {
        let cases = [
            (
                "Saved type '309(309_Runner)' report (3 of max 25) at /var/mobile/Library/Logs/x.ips",
                "Saved 309 Runner Some((3, Some(25)))",
            ),
            ("Saved type '210(210_panic-full)' report (4) at /var/x", "Saved 210 panic-full Some((4, None))"),
            (
                "Saved type '309(309_Odd (1)')' report (1 of max 25) at /x\n",
                "Saved 309 Odd (1)' Some((1, Some(25)))",
            ),
            ("Saved type '309(309_Runner)' report at /var/x", "Saved 309 Runner None"),
            (
                "Report of type '309(309_Runner)' not saved because the limit of 25 logs has been reached",
                "Refused 309 Runner 25",
            ),
            ("Saved type '309(298_Runner)' report (3 of max 25) at /x", "nothing"),
            ("Saved type '309(309_)' report (3 of max 25) at /x", "nothing"),
            ("Report of type '309(309_Runner)' not saved because the disk is full", "nothing"),
            ("a line of an app", "nothing"),
        ];
        for (line, expected) in cases {
            let words = match LogNote::parse(line) {
                Some(LogNote::Saved { bug_type, process, waiting }) => {
                    format!("Saved {bug_type} {process} {waiting:?}")
                }
                Some(LogNote::Refused { bug_type, process, limit }) => {
                    format!("Refused {bug_type} {process} {limit}")
                }
                None => "nothing".to_owned(),
            };
            assert_eq!(words, expected, "{line}");
        }
        assert_eq!(LogNote::parse(&format!("Saved type '309(309_{})' report", "x".repeat(129))), None);
    }

    #[test]
    fn files_are_counted_by_kind_and_process_against_the_limit_of_the_kind() {
        let cases = [
            (14, vec![]),
            (15, vec!["309 App 15/25 Near -0 -0"]),
            (19, vec!["309 App 19/25 Near -0 -0"]),
            (20, vec!["309 App 20/25 Urgent -0 -0"]),
        ];
        for (count, expected) in cases {
            let mut shelves = Shelves::new(CrashLimits::default(), []);
            let mut here = files(count);
            // Other kinds, other processes, and what the phone has put away count for themselves.
            here.extend((0..9).map(|second| file(&format!("Retired/App-2026-11-21-0331{second:02}.ips"), 1)));
            here.extend((0..9).map(|second| file(&format!("panic-full-2026-11-21-0332{second:02}.ips"), 1)));
            here.extend((0..9).map(|second| file(&format!("Other-2026-11-21-0333{second:02}.ips"), 1)));
            shelves.listed(now(), &here);
            assert_eq!(words(&shelves), expected, "{count}");
            let waiting: Vec<(&str, u64)> = shelves
                .waiting()
                .iter()
                .map(|(process, files)| (process.as_str(), (*files).into()))
                .collect();
            assert_eq!(waiting, [("App", count + 9), ("Other", 9), ("panic-full", 9)]);
            assert_eq!(shelves.is_urgent(), count >= 20);
        }
        let mut old = Shelves::new(CrashLimits::default(), []);
        old.is_of(14);
        old.listed(now(), &files(20));
        assert_eq!(words(&old), ["109 App 20/25 Urgent -0 -0"]);
    }

    #[test]
    fn what_the_phone_says_is_believed_before_any_count() {
        let mut shelves = Shelves::new(CrashLimits { files: 100, ..CrashLimits::default() }, []);
        shelves.listed(now(), &files(16));
        assert_eq!(words(&shelves), [""; 0], "by the settings there is room");
        assert_eq!(shelves.heard(now(), &saved(17)), Told::Saved);
        assert_eq!(words(&shelves), ["309 App 17/25 Near -0 -0"]);
        assert_eq!(shelves.heard(now(), &saved(20)), Told::NearLimit);
        // More than are seen, until those that are seen go.
        shelves.listed(now(), &files(16));
        assert_eq!(words(&shelves), ["309 App 20/25 Urgent -0 -0"]);
        shelves.listed(now(), &files(2));
        assert_eq!(words(&shelves), [""; 0]);
        let (bug_type, process) = ("309".to_owned(), "App".to_owned());
        let refused = LogNote::Refused { bug_type, process, limit: 30 };
        assert_eq!(shelves.heard(now(), &refused), Told::NearLimit);
        assert_eq!(words(&shelves), ["309 App 30/30 Urgent -0 -1"]);
    }

    #[test]
    fn a_time_stamp_that_moves_without_a_new_file_is_a_crash_that_was_swallowed() {
        let mut shelves = Shelves::new(CrashLimits::default(), []);
        let path = "App-2026-11-21-033000.ips";
        shelves.knew(&[file(path, 5)]);
        shelves.listed(now(), &[file(path, 5)]);
        assert_eq!(words(&shelves), [""; 0]);
        shelves.listed(now(), &[file(path, 6)]);
        shelves.listed(now(), &[file(path, 6)]);
        shelves.listed(now(), &[file(path, 8)]);
        assert_eq!(words(&shelves), ["309 App 1/25 Room -2 -0"]);
        // Another report under the same name is another file.
        shelves.listed(now(), &[CrashFile { size_bytes: 10, ..file(path, 9) }]);
        assert_eq!(words(&shelves), ["309 App 1/25 Room -2 -0"]);
        let kept: Vec<_> = shelves.lost().map(|(key, shelf)| (key.clone(), shelf.clone())).collect();
        let mut again = Shelves::new(CrashLimits::default(), kept);
        again.listed(now(), &[]);
        assert_eq!(words(&again), ["309 App 0/25 Room -2 -0"]);
    }

    #[test]
    fn a_log_full_of_names_does_not_fill_the_rack() {
        let mut shelves = Shelves::new(CrashLimits::default(), []);
        let note = |process: String, waiting| LogNote::Saved {
            bug_type: "309".to_owned(),
            process,
            waiting: Some((waiting, Some(25))),
        };
        shelves.heard(now(), &note("Full".to_owned(), 24));
        for number in 0..10_000 {
            shelves.heard(now(), &note(format!("App{number}"), 16));
        }
        assert_eq!(shelves.shelves.len(), SHELVES_MAX);
        let told = words(&shelves);
        assert_eq!(told.len(), CRASH_LIMITS_MAX);
        assert_eq!(told.first().map(String::as_str), Some("309 Full 24/25 Urgent -0 -0"));
    }
}
