//! How early jobs can start at all: a lower bound of the weighted start times of every schedule, also of one that knew
//! all jobs from the beginning. How jobs are really served is not known here.

use std::collections::BTreeMap;

/// A job as the bound sees it. Times are seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// When it was submitted.
    pub release: f64,
    /// How long it runs.
    pub run: f64,
    /// What a second of its waiting costs.
    pub weight: f64,
}

/// The sum of weighted start times that no schedule on so many alike phones stays below.
///
/// Two relaxations, the larger counts: nobody waits for anybody; or the phones are one machine that is as fast as all of
/// them, interrupts freely, and serves by weight over run time (Schulz and Skutella's mean busy times): for every schedule
/// the start of a job is its mean busy time less half its run, and that machine has the smallest weighted sum of mean
/// busy times of all.
pub fn starts(jobs: &[Demand], phones: usize) -> f64 {
    let at_once: f64 = jobs.iter().map(|job| job.weight * job.release).sum();
    at_once.max(one_fast_machine(jobs, phones))
}

fn one_fast_machine(jobs: &[Demand], phones: usize) -> f64 {
    let speed = phones.max(1) as f64;
    let mut order: Vec<&Demand> = jobs.iter().collect();
    order.sort_by(|a, b| a.release.total_cmp(&b.release));
    // Waiting jobs by weight over run time, as bits that sort like the numbers, and by place.
    let mut waiting: BTreeMap<(std::cmp::Reverse<u64>, usize), f64> = BTreeMap::new();
    let mut sum = 0.0;
    let (mut now, mut place) = (0.0_f64, 0);
    while place < order.len() || !waiting.is_empty() {
        if waiting.is_empty() && place < order.len() {
            now = now.max(order[place].release);
        }
        while let Some(job) = order.get(place).filter(|job| job.release <= now) {
            waiting.insert((std::cmp::Reverse((job.weight / job.run).to_bits()), place), job.run / speed);
            place += 1;
        }
        let Some(mut first) = waiting.first_entry() else { continue };
        let job = order[first.key().1];
        let until_next = order.get(place).map_or(f64::INFINITY, |next| next.release - now);
        let served = first.get().min(until_next);
        // This part of the job's run lies around `now + served / 2`.
        sum += job.weight * (served * speed / job.run) * (now + served / 2.0);
        now += served;
        if served >= *first.get() {
            first.remove();
            sum -= job.weight * job.run / 2.0;
        } else {
            *first.get_mut() -= served;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(release: f64, run: f64, weight: f64) -> Demand {
        Demand { release, run, weight }
    }

    #[test]
    fn the_bound_is_what_one_phone_can_reach_and_never_more_than_a_schedule() {
        // One phone, the heavier first: starts at 0 and 10.
        let two = [job(0.0, 10.0, 3.0), job(0.0, 10.0, 1.0)];
        assert!((starts(&two, 1) - 10.0).abs() < 1e-9, "{}", starts(&two, 1));
        // With a phone for each nobody waits.
        assert!(starts(&two, 2) <= 1e-9);
        // Alone on many phones a job starts when it comes.
        assert!((starts(&[job(5.0, 60.0, 2.0)], 100) - 10.0).abs() < 1e-9);
        // Ten alike jobs on two phones: at best 0,0,1,1,2,2,3,3,4,4.
        let ten = [job(0.0, 1.0, 1.0); 10];
        let bound = starts(&ten, 2);
        assert!(bound <= 20.0 && bound > 15.0, "{bound}");
    }
}
