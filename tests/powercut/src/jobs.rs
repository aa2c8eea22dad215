//! Where jobs must be found after a crash of a daemon that takes jobs in, moves those that are over into the archive, and
//! lets go of old ones. What it does is `bin/archive.rs`.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_store::{SledStore, Store};
use holdfastd::records;

use crate::replay::Book;
use crate::workload::Wrong;

/// How far something has come, as far as its client knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Nobody has asked.
    #[default]
    Never,
    /// It has been asked, and not answered.
    Begun,
    /// It has been answered.
    Answered,
}

/// What was asked of a daemon and what it answered, according to the marks so far: `begin` or `ack`, then `submit N`,
/// `cancel N` or `trim`.
#[derive(Clone, Debug, Default)]
pub struct JobBook {
    /// By number: its submission and its end.
    jobs: BTreeMap<u64, (Asked, Asked)>,
    /// Jobs that may be removed: they may have been over when the archive was trimmed.
    may_go: BTreeSet<u64>,
    /// Jobs that are removed once the trimming is answered.
    going: BTreeSet<u64>,
    /// Jobs that have been removed for good.
    gone: BTreeSet<u64>,
}

impl Book for JobBook {
    fn take(&mut self, mark: &str) {
        let mut words = mark.split_whitespace();
        let asked = match words.next() {
            Some("begin") => Asked::Begun,
            Some("ack") => Asked::Answered,
            Some(_) | None => return,
        };
        let (what, number) = (words.next(), words.next().and_then(|number| number.parse().ok()));
        match (what, number) {
            (Some("submit"), Some(number)) => self.jobs.entry(number).or_default().0 = asked,
            (Some("cancel"), Some(number)) => self.jobs.entry(number).or_default().1 = asked,
            (Some("trim"), None) if asked == Asked::Begun => {
                // The one with the highest number stays, so that its number is not given again.
                self.may_go.extend(self.ended_below_the_last(Asked::Begun));
                self.going = self.ended_below_the_last(Asked::Answered);
            }
            (Some("trim"), None) => self.gone.append(&mut self.going),
            _ => {}
        }
    }
}

impl JobBook {
    /// How many answers there were.
    #[must_use]
    pub fn answers(&self) -> usize {
        let of_jobs = self.jobs.values().flat_map(|(submitted, ended)| [submitted, ended]);
        of_jobs.filter(|asked| **asked == Asked::Answered).count()
    }

    /// Jobs whose end has come so far, but for the one with the highest number.
    fn ended_below_the_last(&self, far: Asked) -> BTreeSet<u64> {
        let ended = self.jobs.iter().filter(|(_, job)| job.1 >= far);
        let mut ended: BTreeSet<u64> = ended.map(|(number, _)| *number).collect();
        ended.pop_last();
        ended
    }

    /// Whether jobs may be where they were found; if not, why.
    ///
    /// # Errors
    /// The first job that is lost, in two places, or back again.
    pub fn judge(&self, found: &Found) -> Result<(), Wrong> {
        let all = found.live.iter().chain(&found.ended).chain(&found.marked);
        if let Some(number) = all.into_iter().find(|number| !self.jobs.contains_key(number)) {
            return Err(Wrong::Job(format!("J{number} was never submitted")));
        }
        for (number, (submitted, ended)) in &self.jobs {
            let is = Standing {
                live: found.live.contains(number),
                ended: found.ended.contains(number),
                marked: found.marked.contains(number),
            };
            let trim = match (self.gone.contains(number), self.may_go.contains(number)) {
                (true, _) => Asked::Answered,
                (false, true) => Asked::Begun,
                (false, false) => Asked::Never,
            };
            if !is.may_be(*submitted, *ended, trim) {
                return Err(Wrong::Job(format!(
                    "J{number}: {is:?}, with its submission {submitted:?}, its end {ended:?} and its removal {trim:?}"
                )));
            }
        }
        Ok(())
    }
}

/// In which of its places a job is.
#[derive(Clone, Copy, Debug)]
struct Standing {
    live: bool,
    ended: bool,
    marked: bool,
}

impl Standing {
    fn may_be(self, submitted: Asked, ended: Asked, trim: Asked) -> bool {
        match (self.live, self.ended, self.marked) {
            (true, false, false) => submitted != Asked::Never && ended != Asked::Answered,
            (false, true, true) => ended != Asked::Never && trim != Asked::Answered,
            (false, false, false) => submitted != Asked::Answered || trim != Asked::Never,
            // In two places at once, or in the archive without its mark, or a mark without a job.
            _ => false,
        }
    }
}

/// Where jobs are in a store, by number.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Among those that wait or run.
    pub live: BTreeSet<u64>,
    /// In the archive.
    pub ended: BTreeSet<u64>,
    /// Among the marks by which the archive is listed.
    pub marked: BTreeSet<u64>,
}

impl Found {
    /// Looks into a store.
    ///
    /// # Errors
    /// It cannot be read, or a job is in two of the records of those that wait or run.
    pub async fn of(store: &SledStore) -> Result<Self, Wrong> {
        let mut found = Self::default();
        let page = store.scan_prefix(b"", None, usize::MAX).await;
        for entry in page.map_err(|error| Wrong::Unusable(error.to_string()))?.entries {
            let batch = records::jobs_in(&entry).map_err(|error| Wrong::Unusable(error.to_string()))?;
            for number in batch.into_iter().map(|job| job.0).chain(records::JOB.number_of(&entry.key)) {
                if !found.live.insert(number) {
                    return Err(Wrong::Job(format!("J{number} has two records")));
                }
            }
            found.ended.extend(records::ENDED.number_of(&entry.key));
            found.marked.extend(records::ended_job(&entry.key).map(|(_, job)| job.0));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(marks: &[&str]) -> JobBook {
        let mut book = JobBook::default();
        marks.iter().for_each(|mark| book.take(mark));
        book
    }

    fn found(live: &[u64], ended: &[u64], marked: &[u64]) -> Found {
        let set = |numbers: &[u64]| numbers.iter().copied().collect();
        Found { live: set(live), ended: set(ended), marked: set(marked) }
    }

    #[test]
    fn a_job_is_in_one_place_and_gone_only_when_it_was_removed() {
        let ended = ["begin submit 1", "ack submit 1", "begin submit 2", "begin cancel 1", "ack cancel 1"];
        let later = ["ack submit 2", "begin cancel 2", "ack cancel 2", "begin trim"];
        let trimming = [&ended[..], &later].concat();
        let trimmed = [&trimming[..], &["ack trim"]].concat();
        let table: [(&[&str], Found, bool); 13] = [
            (&trimmed, found(&[], &[2], &[2]), true),
            (&ended[..1], found(&[], &[], &[]), true),
            (&ended[..1], found(&[1], &[], &[]), true),
            (&ended[..2], found(&[], &[], &[]), false),
            (&ended[..4], found(&[1, 2], &[], &[]), true),
            (&ended[..4], found(&[], &[1], &[1]), true),
            (&ended, found(&[1], &[], &[]), false),
            (&ended, found(&[1], &[1], &[1]), false),
            (&ended, found(&[], &[1], &[]), false),
            (&trimming, found(&[], &[2], &[2]), true),
            (&trimming, found(&[], &[2], &[1, 2]), false),
            (&trimmed, found(&[], &[1, 2], &[1, 2]), false),
            (&trimmed, found(&[], &[], &[]), false),
        ];
        for (marks, found, good) in table {
            assert_eq!(book(marks).judge(&found).is_ok(), good, "{marks:?}: {found:?}");
        }
        assert!(book(&ended).judge(&found(&[3], &[1], &[1])).is_err(), "nobody submitted it");
    }
}
