//! A disk as it was at a point of a log, and what is left of it after a kill or a power cut.
//! The model's rules are in the crate's documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::log::Record;

/// Disks write whole sectors of this many bytes; a torn write leaves some of them.
const SECTOR_BYTES: usize = 512;

/// What happened to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process was killed: everything that it wrote is there.
    Kill,
    /// The power went: only what is durable is there.
    PowerCut,
    /// The power went while the disk was busy: each write that is not durable is there, or not, or
    /// some of its sectors; and some of the first changes of names. The seed says which.
    Torn(u64),
}

/// Files and names, what is durable of them and what not yet.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    root: PathBuf,
    files: Vec<File>,
    /// Names as the program sees them, and those that are durable.
    now: Names,
    durable: Names,
    pending: Vec<Naming>,
    open: BTreeMap<i32, Option<usize>>,
}

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
enum Naming {
    Name(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    Mkdir(PathBuf),
    Rmdir(PathBuf),
}

impl Disk {
    /// A disk whose folder `root` holds what is in the folder `from` now, all of it durable.
    ///
    /// # Errors
    /// When `from` can't be read.
    pub fn holding(root: &Path, from: &Path) -> io::Result<Self> {
        let mut disk = Self { root: root.to_owned(), ..Self::default() };
        disk.now.folders.insert(root.to_owned());
        disk.take_in(from, root)?;
        disk.durable = disk.now.clone();
        Ok(disk)
    }

    /// Lets one more thing happen.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Start => self.open.clear(),
            Record::Open { fd, path, create, truncate } => self.open_file(*fd, path, *create, *truncate),
            Record::Close { fd } => {
                self.open.remove(fd);
            }
            Record::Dup { fd, to } => {
                if let Some(file) = self.open.get(fd).copied() {
                    self.open.insert(*to, file);
                }
            }
            Record::Write { fd, offset, data } => {
                self.change(*fd, Change::Write { offset: to_usize(*offset), data: data.clone() });
            }
            Record::Truncate { fd, bytes } => self.change(*fd, Change::Length(to_usize(*bytes))),
            Record::Allocate { fd, bytes } => {
                let length = self.open_now(*fd).map_or(0, |file| self.files[file].now.len());
                self.change(*fd, Change::Length(length.max(to_usize(*bytes))));
            }
            Record::Sync { fd } => self.sync(*fd),
            Record::Rename { from, to } => self.name(Naming::Rename(from.clone(), to.clone())),
            Record::Link { from, to } => {
                if let Some(file) = self.now.files.get(from).copied() {
                    self.name(Naming::Name(to.clone(), file));
                }
            }
            Record::Unlink { path } => self.name(Naming::Unlink(path.clone())),
            Record::Mkdir { path } => self.name(Naming::Mkdir(path.clone())),
            Record::Rmdir { path } => self.name(Naming::Rmdir(path.clone())),
            Record::Range | Record::Mark(_) | Record::Fault { .. } => {}
        }
    }

    /// Writes what is left after a crash into the new folder `to`.
    ///
    /// # Errors
    /// When `to` can't be written.
    pub fn write_after(&self, crash: Crash, to: &Path) -> io::Result<()> {
        let mut dice = Dice(match crash {
            Crash::Torn(seed) => seed,
            Crash::Kill | Crash::PowerCut => 0,
        });
        let names = match crash {
            Crash::Kill => self.now.clone(),
            Crash::PowerCut => self.durable.clone(),
            Crash::Torn(_) => {
                let mut names = self.durable.clone();
                let kept = dice.below(self.pending.len() as u64 + 1);
                self.pending.iter().take(to_usize(kept)).for_each(|naming| names.apply(naming));
                names
            }
        };
        std::fs::create_dir_all(to)?;
        for folder in &names.folders {
            std::fs::create_dir_all(to.join(self.relative(folder)))?;
        }
        for (path, file) in &names.files {
            let file = &self.files[*file];
            let target = to.join(self.relative(path));
            match crash {
                Crash::Kill => std::fs::write(target, &file.now)?,
                Crash::PowerCut => std::fs::write(target, &file.durable)?,
                Crash::Torn(_) => std::fs::write(target, file.torn(&mut dice))?,
            }
        }
        Ok(())
    }

    /// The files under the root as the program sees them, relative to it.
    #[must_use]
    pub fn present(&self) -> BTreeMap<PathBuf, &[u8]> {
        let files = self.now.files.iter();
        files.map(|(path, file)| (self.relative(path).to_owned(), self.files[*file].now.as_slice())).collect()
    }

    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    fn take_in(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let path = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.now.folders.insert(path.clone());
                self.take_in(&entry.path(), &path)?;
            } else {
                let bytes = std::fs::read(entry.path())?;
                self.now.files.insert(path, self.files.len());
                self.files.push(File { now: bytes.clone(), durable: bytes, pending: Vec::new() });
            }
        }
        Ok(())
    }

    fn open_file(&mut self, fd: i32, path: &Path, create: bool, truncate: bool) {
        let known = self.now.files.get(path).copied();
        let file = match known {
            Some(file) => Some(file),
            None if self.now.folders.contains(path) || !create => None,
            None => {
                let file = self.files.len();
                self.files.push(File::default());
                self.name(Naming::Name(path.to_owned(), file));
                Some(file)
            }
        };
        self.open.insert(fd, file);
        if truncate && known.is_some() {
            self.change(fd, Change::Length(0));
        }
    }

    fn open_now(&self, fd: i32) -> Option<usize> {
        self.open.get(&fd).copied().flatten()
    }

    fn change(&mut self, fd: i32, change: Change) {
        if let Some(file) = self.open_now(fd) {
            let file = &mut self.files[file];
            apply(&mut file.now, &change);
            file.pending.push(change);
        }
    }

    fn sync(&mut self, fd: i32) {
        if let Some(file) = self.open_now(fd) {
            let file = &mut self.files[file];
            for change in file.pending.drain(..) {
                apply(&mut file.durable, &change);
            }
        }
        for naming in self.pending.drain(..) {
            self.durable.apply(&naming);
        }
    }

    fn name(&mut self, naming: Naming) {
        self.now.apply(&naming);
        self.pending.push(naming);
    }
}

impl File {
    fn torn(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match (dice.below(3), change) {
                (0, _) => {}
                (1, _) | (_, Change::Length(_)) => apply(&mut bytes, change),
                (_, Change::Write { offset, data }) => {
                    // Sectors lie at fixed places of the file, wherever the write begins.
                    let mut at = *offset;
                    let end = offset + data.len();
                    while at < end {
                        let next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                        let next = next.min(end);
                        if dice.below(2) == 0 {
                            let data = data[at - offset..next - offset].to_vec();
                            apply(&mut bytes, &Change::Write { offset: at, data });
                        }
                        at = next;
                    }
                }
            }
        }
        bytes
    }
}

impl Names {
    fn apply(&mut self, naming: &Naming) {
        match naming {
            Naming::Name(path, file) => {
                self.files.insert(path.clone(), *file);
            }
            Naming::Unlink(path) => {
                self.files.remove(path);
            }
            Naming::Mkdir(path) => {
                self.folders.insert(path.clone());
            }
            Naming::Rmdir(path) => {
                self.folders.remove(path);
            }
            Naming::Rename(from, to) => {
                if let Some(file) = self.files.remove(from) {
                    self.files.insert(to.clone(), file);
                } else {
                    let moved = |path: &PathBuf| path.strip_prefix(from).ok().map(|rest| join(to, rest));
                    self.files =
                        self.files.iter().map(|(p, f)| (moved(p).unwrap_or(p.clone()), *f)).collect();
                    self.folders = self.folders.iter().map(|p| moved(p).unwrap_or(p.clone())).collect();
                }
            }
        }
    }
}

/// `Path::join` with an empty rest would add a slash.
fn join(to: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length, 0),
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound` - 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn after(disk: &Disk, crash: Crash) -> BTreeMap<String, String> {
        let home = tempfile::tempdir().unwrap();
        disk.write_after(crash, home.path()).unwrap();
        let entries = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        entries
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), text(std::fs::read(entry.path()).unwrap()))
            })
            .collect()
    }

    fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn open(fd: i32, path: &str) -> Record {
        Record::Open { fd, path: path.into(), create: true, truncate: false }
    }

    fn write(fd: i32, offset: u64, text: &str) -> Record {
        Record::Write { fd, offset, data: text.as_bytes().to_vec() }
    }

    #[test]
    fn only_what_was_synced_survives_a_power_cut() {
        let mut disk = Disk { root: "/r".into(), ..Disk::default() };
        type Files = &'static [(&'static str, &'static str)];
        let steps: [(Record, Files, Files); 8] = [
            (open(3, "/r/a"), &[("a", "")], &[]),
            (write(3, 0, "one"), &[("a", "one")], &[]),
            (Record::Range, &[("a", "one")], &[]),
            (Record::Sync { fd: 3 }, &[("a", "one")], &[("a", "one")]),
            (write(3, 1, "X"), &[("a", "oXe")], &[("a", "one")]),
            (Record::Rename { from: "/r/a".into(), to: "/r/b".into() }, &[("b", "oXe")], &[("a", "one")]),
            (open(4, "/r/c"), &[("b", "oXe"), ("c", "")], &[("a", "one")]),
            // Names are durable with the sync of any file; data only with that of its own.
            (Record::Sync { fd: 4 }, &[("b", "oXe"), ("c", "")], &[("b", "one"), ("c", "")]),
        ];
        for (step, (record, kill, cut)) in steps.into_iter().enumerate() {
            disk.apply(&record);
            assert_eq!(after(&disk, Crash::Kill), names(kill), "kill after step {step}");
            assert_eq!(after(&disk, Crash::PowerCut), names(cut), "power cut after step {step}");
        }
    }

    #[test]
    fn a_torn_write_leaves_whole_sectors_and_never_touches_what_is_durable() {
        let mut disk = Disk { root: "/r".into(), ..Disk::default() };
        let long = "n".repeat(4 * SECTOR_BYTES);
        for record in
            [open(3, "/r/a"), write(3, 0, &"d".repeat(100)), Record::Sync { fd: 3 }, write(3, 100, &long)]
        {
            disk.apply(&record);
        }
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let text = after(&disk, Crash::Torn(seed)).remove("a").unwrap();
            assert!(text.starts_with(&"d".repeat(100)), "seed {seed}");
            for sector in text.as_bytes().chunks(SECTOR_BYTES) {
                let new = sector.iter().skip_while(|byte| **byte == b'd');
                let kinds: BTreeSet<u8> = new.copied().collect();
                assert!(kinds.len() <= 1, "a sector is old or new, seed {seed}");
            }
            seen.insert(text);
        }
        assert!(seen.len() > 10, "seeds differ: {}", seen.len());
    }
}
