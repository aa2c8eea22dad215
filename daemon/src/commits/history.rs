//! What a mirror shows of the commits of one app's builds: where each stands, who wrote it, and what lies between two of
//! them. Reading it is `mirror`'s.

use std::collections::{BTreeMap, BinaryHeap};

use holdfast_wire::time::Time;

/// Commits between two that are counted: more is no list of suspects.
const BETWEEN_MAX: usize = 2_000;
/// Commits that are looked at for that: a merge may bring in a branch of long ago.
const LOOKED_AT_MAX: usize = 5_000;

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its whole hash.
    pub hash: String,
    /// The places of its parents that are known, all before its own.
    pub parents: Vec<u32>,
    /// `Ada <ada@example.com>`.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

/// Where the commit of a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// At this place: parents come before their children.
    At(u32),
    /// Before every commit that has a place.
    Older,
    /// The mirror has no such commit yet.
    Missing,
    /// What the uploader said begins the hashes of several.
    Ambiguous,
    /// What the uploader said is no hash of a commit.
    NoHash,
}

/// What lies between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Between {
    /// These, newest first: all that the later one has and the earlier one has not, itself included.
    Commits(Vec<u32>),
    /// More than are counted.
    TooMany,
    /// The earlier one is none of those that the later one follows.
    Unrelated,
}

/// What a mirror showed of an app's commits when it was read last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The repository, as it is configured.
    pub mirror: String,
    /// The commits that builds were made of and what they follow, oldest first.
    pub commits: Vec<Commit>,
    /// Where commits stand, by what uploaders said.
    pub named: BTreeMap<String, Standing>,
    /// When it was read.
    pub read_at: Time,
    /// Why it could not be read the last time; what was read before still counts.
    pub trouble: Option<String>,
}

impl History {
    /// Where a commit stands, by what its uploader said; none when it was not looked up yet.
    pub fn standing(&self, said: &str) -> Option<Standing> {
        self.named.get(said).copied()
    }

    /// The commit that an uploader said.
    pub fn commit(&self, said: &str) -> Option<&Commit> {
        match self.standing(said)? {
            Standing::At(place) => self.at(place),
            Standing::Older | Standing::Missing | Standing::Ambiguous | Standing::NoHash => None,
        }
    }

    /// The commit at a place.
    pub fn at(&self, place: u32) -> Option<&Commit> {
        self.commits.get(place as usize)
    }

    /// What lies between two places.
    pub fn between(&self, good: u32, bad: u32) -> Between {
        let mut walk = Walk::default();
        walk.reach(good, Side::Good);
        walk.reach(bad, Side::Bad);
        let (mut between, mut meets) = (Vec::new(), good == bad);
        // Parents have lower places than their children: whose turn it is has been reached from everywhere already.
        while walk.bad_waiting > 0
            && let Some((place, side)) = walk.next()
        {
            if side == Side::Bad {
                between.push(place);
            }
            if between.len() > BETWEEN_MAX || walk.sides.len() > LOOKED_AT_MAX {
                return Between::TooMany;
            }
            for parent in self.at(place).map(|commit| commit.parents.as_slice()).unwrap_or_default() {
                meets |= side == Side::Bad && *parent == good;
                walk.reach(*parent, side);
            }
        }
        if meets { Between::Commits(between) } else { Between::Unrelated }
    }
}

/// Whether a commit belongs to what the good one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Good,
    Bad,
}

/// Commits that were reached, and those of them whose parents are still to be looked at, newest first.
#[derive(Debug, Default)]
struct Walk {
    waiting: BinaryHeap<u32>,
    sides: BTreeMap<u32, Side>,
    bad_waiting: usize,
}

impl Walk {
    fn reach(&mut self, place: u32, side: Side) {
        match (self.sides.insert(place, side), side) {
            (None, _) => {
                self.waiting.push(place);
                self.bad_waiting += usize::from(side == Side::Bad);
            }
            (Some(Side::Bad), Side::Good) => self.bad_waiting -= 1,
            (Some(Side::Good), Side::Bad) => {
                self.sides.insert(place, Side::Good);
            }
            (Some(Side::Good), Side::Good) | (Some(Side::Bad), Side::Bad) => {}
        }
    }

    fn next(&mut self) -> Option<(u32, Side)> {
        let place = self.waiting.pop()?;
        let side = *self.sides.get(&place)?;
        self.bad_waiting -= usize::from(side == Side::Bad);
        Some((place, side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits whose parents are at these places.
    fn history(parents: &[&[u32]]) -> History {
        let commits = parents.iter().zip(0..).map(|(parents, place)| Commit {
            hash: format!("{place:040x}"),
            parents: parents.to_vec(),
            author: String::new(),
            subject: String::new(),
        });
        History { commits: commits.collect(), ..History::default() }
    }

    #[test]
    fn what_the_later_one_has_and_the_earlier_one_has_not_lies_between() {
        let line: &[&[u32]] = &[&[], &[0], &[1], &[2]];
        // 0 ← 1 ← 4, 0 ← 2 ← 3 ← 4 (a merge), 4 ← 5.
        let merged: &[&[u32]] = &[&[], &[0], &[0], &[2], &[1, 3], &[4]];
        let table: [(&[&[u32]], u32, u32, Between); 8] = [
            (line, 0, 3, Between::Commits(vec![3, 2, 1])),
            (line, 2, 3, Between::Commits(vec![3])),
            (line, 3, 3, Between::Commits(vec![])),
            (line, 3, 1, Between::Unrelated),
            // What a merge brings in lies between as well, and what the good one followed already does not.
            (merged, 1, 4, Between::Commits(vec![4, 3, 2])),
            (merged, 3, 5, Between::Commits(vec![5, 4, 1])),
            (merged, 1, 3, Between::Unrelated),
            (&[&[], &[]], 0, 1, Between::Unrelated),
        ];
        for (parents, good, bad, expected) in table {
            assert_eq!(history(parents).between(good, bad), expected, "{parents:?} {good} {bad}");
        }
    }

    #[test]
    fn a_long_way_is_not_walked_to_its_end() {
        let parents: Vec<Vec<u32>> =
            (0..10_000_u32).map(|place| place.checked_sub(1).into_iter().collect()).collect();
        let parents: Vec<&[u32]> = parents.iter().map(Vec::as_slice).collect();
        assert_eq!(history(&parents).between(0, 9_999), Between::TooMany);
        assert_eq!(
            history(&parents).between(9_000, 9_999),
            Between::Commits((9_001..=9_999).rev().collect())
        );
    }
}
