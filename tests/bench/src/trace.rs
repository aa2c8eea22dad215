//! A day of work: read from a recorded log in the Standard Workload Format, or made from a seed with the statistics of
//! such a day. Which phones and classes its jobs want is not in any log and is drawn elsewhere.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::random::Random;

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;

/// No job holds a phone longer: longer ones of a log are cut.
pub const RUN_S_MAX: u64 = 3_600;

/// Of a log that is long enough the fourth day counts: the first days of a log are often not yet typical.
const DAY_TAKEN: u64 = 3;

/// Jobs in each hour of the synthetic day, as a grid of computers saw them: 16,938 in all.
const HOURS: [u64; 24] = [
    448, 627, 463, 548, 676, 463, 426, 824, 859, 944, 1_216, 1_404, 914, 694, 710, 802, 812, 630, 593, 850,
    580, 530, 482, 442,
];

/// How long the jobs of that day ran: the share of jobs that were shorter, and the seconds.
const RUNS: [(f64, f64); 7] =
    [(0.0, 20.0), (0.1, 78.0), (0.25, 136.0), (0.5, 255.0), (0.7, 2_000.0), (0.75, 3_600.0), (1.0, 3_600.0)];

/// Jobs of the synthetic day that come within one minute of each other, on average: in that log the number of jobs in a
/// minute varied about four and a half times as much as chance alone explains.
const BURST: u64 = 4;

/// One job of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// When it was submitted, seconds since the day began.
    pub submit_s: u64,
    /// How long it runs, seconds.
    pub run_s: u64,
}

/// Reads a day of a log, gzipped or not.
///
/// # Errors
/// It cannot be read, or holds no job.
pub fn read(file: &Path) -> anyhow::Result<Vec<Job>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = flate2::read::GzDecoder::new(bytes.as_slice());
        unpacked.read_to_string(&mut text).with_context(|| format!("cannot unpack {}", file.display()))?;
    } else {
        text = String::from_utf8(bytes).with_context(|| format!("{} is no text", file.display()))?;
    }
    let jobs = day_of(&parse(&text));
    ensure!(!jobs.is_empty(), "{} holds no job of the Standard Workload Format", file.display());
    Ok(jobs)
}

/// Fields of a line: number, submit time, wait time, run time, …; comments begin with a semicolon.
fn parse(text: &str) -> Vec<Job> {
    let seconds = |field: Option<&str>| {
        let seconds = field.and_then(|field| field.split('.').next())?;
        seconds.parse::<u64>().ok()
    };
    let job = |line: &str| {
        let mut fields = line.split_whitespace();
        let (submit_s, run_s) = (seconds(fields.nth(1))?, seconds(fields.nth(1))?);
        (run_s > 0).then_some(Job { submit_s, run_s: run_s.min(RUN_S_MAX) })
    };
    text.lines().filter(|line| !line.starts_with(';')).filter_map(job).collect()
}

fn day_of(jobs: &[Job]) -> Vec<Job> {
    let first = jobs.iter().map(|job| job.submit_s).min().unwrap_or(0);
    let day = |wanted: u64| {
        let of_day = |job: &&Job| (job.submit_s - first) / DAY_S == wanted;
        let begun = |job: &Job| Job { submit_s: (job.submit_s - first) % DAY_S, run_s: job.run_s };
        jobs.iter().filter(of_day).map(begun).collect::<Vec<Job>>()
    };
    let mut taken = day(DAY_TAKEN);
    if taken.is_empty() {
        taken = day(0);
    }
    taken.sort_by_key(|job| job.submit_s);
    taken
}

/// Makes a day from a seed; a share below 1 makes a shorter one.
pub fn synthetic(seed: u64, hours: usize) -> Vec<Job> {
    let mut random = Random::new(seed);
    let mut jobs = Vec::new();
    for (hour, wanted) in (0_u64..).zip(HOURS.iter().take(hours)) {
        let mut left = *wanted;
        while left > 0 {
            let together = (1 + random.below(2 * BURST)).min(left);
            let minute = hour * 3_600 + random.below(3_600);
            for _ in 0..together {
                let submit_s = (minute + random.below(30)).min((hour + 1) * 3_600 - 1);
                jobs.push(Job { submit_s, run_s: run_s(random.unit()) });
            }
            left -= together;
        }
    }
    jobs.sort_by_key(|job| job.submit_s);
    jobs
}

/// The run time below which such a share of jobs stays, on a logarithmic line between the known ones.
fn run_s(share: f64) -> u64 {
    let known = RUNS.windows(2).find(|pair| share < pair[1].0).unwrap_or(&RUNS[RUNS.len() - 2..]);
    let ((low, short), (high, long)) = (known[0], known[1]);
    let seconds = short * (long / short).powf((share - low) / (high - low));
    let seconds = seconds.round() as u64;
    seconds.clamp(1, RUN_S_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_without_comments_and_failed_jobs_and_its_day_begins_at_zero() {
        let text = "; comment\n1 100 5 83.00 1\n2 160 5 -1 1\n3 200 0 99999 1\n\n4 90000 0 7 1\n";
        let jobs = day_of(&parse(text));
        assert_eq!(jobs, [Job { submit_s: 0, run_s: 83 }, Job { submit_s: 100, run_s: RUN_S_MAX }]);
    }

    #[test]
    fn the_synthetic_day_has_the_statistics_that_it_claims() {
        let jobs = synthetic(1, 24);
        assert_eq!(jobs.len() as u64, HOURS.iter().sum::<u64>(), "as many as its hours have");
        assert_eq!(jobs, synthetic(1, 24));
        let mut runs: Vec<u64> = jobs.iter().map(|job| job.run_s).collect();
        runs.sort_unstable();
        let (tenth, half) = (runs[runs.len() / 10], runs[runs.len() / 2]);
        assert!((70..90).contains(&tenth) && (230..280).contains(&half), "{tenth} {half}");
        assert!(jobs.windows(2).all(|pair| pair[0].submit_s <= pair[1].submit_s));
    }
}
