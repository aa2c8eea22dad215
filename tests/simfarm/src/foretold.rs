//! How honest the brain's expected starts are: every guess is kept until its job starts, and held against the truth.

use std::collections::BTreeMap;

use holdfast_scheduler::Scheduler;
use holdfast_wire::id::JobId;
use holdfast_wire::time::Time;

use crate::book::Book;
use crate::chance::Chance;

/// Out of a hundred events, after so many one more waiting job is asked about.
const ASKED_PERCENT: u64 = 10;

/// Guesses kept of one job.
const GUESSES_MAX: usize = 20;

/// Guesses that wait for the truth, and what became of the others.
#[derive(Debug)]
pub struct Foretold {
    chance: Chance,
    open: BTreeMap<JobId, Vec<Guess>>,
    /// What became of the others.
    pub tally: Tally,
}

#[derive(Debug, Clone, Copy)]
struct Guess {
    asked: Time,
    earliest: Time,
    likely: Time,
    latest: Time,
}

/// How guesses turned out.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Jobs that started before the range.
    pub early: u64,
    /// Inside.
    pub inside: u64,
    /// Behind.
    pub late: u64,
    /// The true wait and the expected one, seconds.
    pub waits: Vec<(f64, f64)>,
}

impl Foretold {
    /// Of a farm that begins.
    pub fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed ^ 0xe7a), open: BTreeMap::new(), tally: Tally::default() }
    }

    /// An event is over: guesses about jobs that started are judged, and new ones are asked for.
    pub fn look(&mut self, book: &Book, brain: &Scheduler, now: Time) {
        for (job, _) in book.last.grants() {
            for guess in self.open.remove(&job.id).unwrap_or_default() {
                self.tally.judge(guess, now);
            }
        }
        for (before, after) in &book.last.jobs {
            if before.is_none() {
                self.ask(brain, now, after.id);
            }
        }
        if self.chance.happens(ASKED_PERCENT)
            && let Some(id) = book.waiting.keys().nth(self.chance.place(book.waiting.len()))
        {
            self.ask(brain, now, *id);
        }
    }

    fn ask(&mut self, brain: &Scheduler, now: Time, id: JobId) {
        let Some(eta) = brain.eta(now, id) else { return };
        let guesses = self.open.entry(id).or_default();
        if guesses.len() < GUESSES_MAX {
            guesses.push(Guess {
                asked: now,
                earliest: eta.earliest,
                likely: eta.likely,
                latest: eta.latest,
            });
        }
    }
}

impl Tally {
    fn judge(&mut self, guess: Guess, started: Time) {
        if started < guess.earliest {
            self.early += 1;
        } else if started > guess.latest {
            self.late += 1;
        } else {
            self.inside += 1;
        }
        let wait = |until: Time| until.since(guess.asked).as_secs_f64();
        self.waits.push((wait(started), wait(guess.likely)));
    }

    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.early += other.early;
        self.inside += other.inside;
        self.late += other.late;
        self.waits.extend(other.waits);
    }

    /// In words, with the true waits as parts of the expected ones at some places of the order.
    pub fn words(&self) -> String {
        let all = self.early + self.inside + self.late;
        let share = |part: u64| 100.0 * part as f64 / all.max(1) as f64;
        let long = self.waits.iter().filter(|(_, expected)| *expected > 30.0);
        let mut parts: Vec<f64> = long.map(|(wait, expected)| wait / expected).collect();
        parts.sort_by(f64::total_cmp);
        let at = |percent: usize| parts.get(parts.len() * percent / 100).copied().unwrap_or(0.0);
        format!(
            "{all} guesses: {:.1} % inside the range, {:.1} % early, {:.1} % late; of waits expected to be above 30 s \
             ({}), the true wait was {:.2} / {:.2} / {:.2} / {:.2} / {:.2} of the expected one at 5 / 10 / 50 / 90 / 95 %",
            share(self.inside),
            share(self.early),
            share(self.late),
            parts.len(),
            at(5),
            at(10),
            at(50),
            at(90),
            at(95)
        )
    }
}
