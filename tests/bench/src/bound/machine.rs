//! A lower bound by relaxation: phones work together on one job, like one machine that is as fast as all of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::demand::{Demand, at_once};

/// The sum of weighted start times that no schedule stays below. `phones` says how many there are of each kind; `parts`
/// are sets of kinds that have no kind in common: the phones of each are one machine, which serves the jobs that fit
/// nothing else, and other jobs do not wait.
///
/// Such a machine interrupts freely and serves by weight over run time (Schulz and Skutella's mean busy times): for every
/// schedule the start of a job is at least its mean busy time less half its run, and that machine has the smallest
/// weighted sum of mean busy times of all.
pub fn fast_machines(jobs: &[Demand], phones: &[usize], parts: &[Vec<usize>]) -> f64 {
    let mut of: Vec<Vec<&Demand>> = vec![Vec::new(); parts.len()];
    let mut sum = 0.0;
    for job in jobs {
        match parts.iter().position(|part| job.kinds.iter().all(|kind| part.contains(kind))) {
            Some(part) => of[part].push(job),
            None => sum += job.weight * job.release,
        }
    }
    for (part, mut jobs) in parts.iter().zip(of) {
        let phones: usize = part.iter().map(|kind| phones[*kind]).sum();
        let nobody_waits: f64 = jobs.iter().map(|job| job.weight * job.release).sum();
        jobs.sort_by(|a, b| a.release.total_cmp(&b.release));
        sum += nobody_waits.max(one(&jobs, phones));
    }
    sum.max(at_once(jobs))
}

/// One machine that is so many times as fast as a phone; jobs in the order of their releases.
fn one(order: &[&Demand], phones: usize) -> f64 {
    let speed = phones.max(1) as f64;
    // Waiting jobs by weight over run time, as bits that sort like the numbers, and by place.
    let mut waiting: BTreeMap<(Reverse<u64>, usize), f64> = BTreeMap::new();
    let mut sum = 0.0;
    let (mut now, mut place) = (0.0_f64, 0);
    while place < order.len() || !waiting.is_empty() {
        if waiting.is_empty() && place < order.len() {
            now = now.max(order[place].release);
        }
        while let Some(job) = order.get(place).filter(|job| job.release <= now) {
            waiting.insert((Reverse((job.weight / job.run).to_bits()), place), job.run / speed);
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
    use super::super::demand::Breaks;
    use super::*;

    fn job(release: f64, run: f64, weight: f64, kinds: &[usize]) -> Demand {
        Demand { release, run, weight, kinds: kinds.to_vec(), breaks: Breaks::Never }
    }

    fn alike(jobs: &[Demand], phones: usize) -> f64 {
        fast_machines(jobs, &[phones], &[vec![0]])
    }

    #[test]
    fn the_bound_is_what_one_phone_can_reach_and_never_more_than_a_schedule() {
        // One phone, the heavier first: starts at 0 and 10.
        let two = [job(0.0, 10.0, 3.0, &[0]), job(0.0, 10.0, 1.0, &[0])];
        assert!((alike(&two, 1) - 10.0).abs() < 1e-9, "{}", alike(&two, 1));
        // With a phone for each nobody waits.
        assert!(alike(&two, 2) <= 1e-9);
        // Alone on many phones a job starts when it comes.
        assert!((alike(&[job(5.0, 60.0, 2.0, &[0])], 100) - 10.0).abs() < 1e-9);
        // Ten alike jobs on two phones: at best 0,0,1,1,2,2,3,3,4,4.
        let ten = vec![job(0.0, 1.0, 1.0, &[0]); 10];
        let bound = alike(&ten, 2);
        assert!(bound <= 20.0 && bound > 15.0, "{bound}");
    }

    #[test]
    fn phones_that_a_job_cannot_use_do_not_help_it() {
        let two = [job(0.0, 10.0, 3.0, &[0]), job(0.0, 10.0, 1.0, &[0]), job(1.0, 5.0, 1.0, &[0, 1])];
        let apart = fast_machines(&two, &[1, 9], &[vec![0], vec![1]]);
        assert!((apart - 11.0).abs() < 1e-9, "the third does not wait: {apart}");
        let together = fast_machines(&two, &[1, 9], &[vec![0, 1]]);
        assert!((together - 1.0).abs() < 1e-9, "{together}");
    }
}
