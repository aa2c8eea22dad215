//! A schedule of one who knows how long every job runs, and nothing of what will come. The best of all schedules is not
//! worse, so it tells how far a lower bound can be from that at most.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::demand::{Breaks, Demand};

/// When each job starts, seconds: whenever a phone is free, the job that fits and has the most weight for its run time
/// takes it (Smith's rule). When none is free, it takes that of a job with less which may be broken off. `phones` says
/// how many there are of each kind.
pub fn planned(jobs: &[Demand], phones: &[usize]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by(|a, b| jobs[*a].release.total_cmp(&jobs[*b].release));
    let mut plan = Plan::new(jobs, phones);
    let mut place = 0;
    loop {
        let next_in = order.get(place).map(|job| milliseconds(jobs[*job].release));
        let next_end = plan.ends.peek().map(|Reverse(end)| end.at);
        let Some(now) = [next_in, next_end].into_iter().flatten().min() else { break };
        plan.now = now;
        plan.end();
        while let Some(job) = order.get(place).filter(|job| milliseconds(jobs[**job].release) <= now) {
            plan.wait(*job);
            place += 1;
        }
        plan.begin();
    }
    let start = |(job, at): (&Demand, &u64)| *at as f64 / 1_000.0 - job.run;
    jobs.iter().zip(&plan.ended).map(start).collect()
}

/// Less is more urgent.
type Rank = usize;

struct Plan<'a> {
    jobs: &'a [Demand],
    now: u64,
    ranks: Vec<Rank>,
    /// Waiting jobs that fit a kind, and its free phones; its phones that would be given up.
    waiting: Vec<BTreeSet<(Rank, usize)>>,
    free: Vec<usize>,
    loose: Vec<BTreeSet<(Rank, usize)>>,
    /// Of each job: milliseconds left, when it last began, how often it has begun.
    left: Vec<u64>,
    began: Vec<u64>,
    times: Vec<u32>,
    ends: BinaryHeap<Reverse<End>>,
    ended: Vec<u64>,
}

/// A job that has begun so often will be over then, unless it is broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    at: u64,
    kind: usize,
    job: usize,
    times: u32,
}

impl<'a> Plan<'a> {
    fn new(jobs: &'a [Demand], phones: &[usize]) -> Self {
        let mut by_worth: Vec<usize> = (0..jobs.len()).collect();
        let cost = |job: &usize| jobs[*job].run / jobs[*job].weight;
        by_worth.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        let mut ranks = vec![0; jobs.len()];
        for (rank, job) in by_worth.into_iter().enumerate() {
            ranks[job] = rank;
        }
        Self {
            jobs,
            now: 0,
            ranks,
            waiting: vec![BTreeSet::new(); phones.len()],
            free: phones.to_vec(),
            loose: vec![BTreeSet::new(); phones.len()],
            left: jobs.iter().map(|job| milliseconds(job.run)).collect(),
            began: vec![0; jobs.len()],
            times: vec![0; jobs.len()],
            ends: BinaryHeap::new(),
            ended: vec![0; jobs.len()],
        }
    }

    fn end(&mut self) {
        while let Some(Reverse(end)) = self.ends.peek().copied().filter(|Reverse(end)| end.at <= self.now) {
            self.ends.pop();
            // Of one that was broken off, only the end after the last beginning counts.
            if self.left[end.job] > 0 && self.times[end.job] == end.times {
                self.free[end.kind] += 1;
                self.left[end.job] = 0;
                self.ended[end.job] = end.at;
                self.loose[end.kind].remove(&(self.ranks[end.job], end.job));
            }
        }
    }

    fn wait(&mut self, job: usize) {
        for kind in &self.jobs[job].kinds {
            self.waiting[*kind].insert((self.ranks[job], job));
        }
    }

    /// The most urgent first; of several free kinds it takes the one for which the fewest wait.
    fn begin(&mut self) {
        while let Some((_, (rank, job), _, kind)) = self.next() {
            if self.free[kind] == 0 {
                self.break_off(kind);
            }
            for kind in &self.jobs[job].kinds {
                self.waiting[*kind].remove(&(rank, job));
            }
            self.free[kind] -= 1;
            self.began[job] = self.now;
            self.times[job] += 1;
            if self.jobs[job].breaks == Breaks::Anywhere {
                self.loose[kind].insert((rank, job));
            }
            let end = End { at: self.now + self.left[job], kind, job, times: self.times[job] };
            self.ends.push(Reverse(end));
        }
    }

    fn next(&self) -> Option<(bool, (Rank, usize), usize, usize)> {
        let best = |kind: usize| {
            let first = *self.waiting[kind].first()?;
            let is_free = self.free[kind] > 0;
            let gives_way = self.loose[kind].last().is_some_and(|last| *last > first);
            (is_free || gives_way).then_some((!is_free, first, self.waiting[kind].len(), kind))
        };
        (0..self.free.len()).filter_map(best).min()
    }

    fn break_off(&mut self, kind: usize) {
        let Some((_, job)) = self.loose[kind].pop_last() else { return };
        self.left[job] -= self.now - self.began[job];
        self.times[job] += 1;
        self.free[kind] += 1;
        self.wait(job);
    }
}

/// Upwards, so that nothing runs too short or too early.
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(jobs: &[(f64, f64, f64, &[usize], Breaks)], phones: &[usize], expected: &[f64]) {
        let jobs: Vec<Demand> = jobs
            .iter()
            .map(|(release, run, weight, kinds, breaks)| Demand {
                release: *release,
                run: *run,
                weight: *weight,
                kinds: kinds.to_vec(),
                breaks: *breaks,
            })
            .collect();
        assert_eq!(planned(&jobs, phones), expected, "{jobs:?} on {phones:?}");
    }

    #[test]
    fn phones_serve_by_weight_over_run_time() {
        use Breaks::{Anywhere, Never};
        // The heavier, then the shorter.
        check(
            &[(0.0, 10.0, 1.0, &[0], Never), (0.0, 10.0, 3.0, &[0], Never), (0.0, 1.0, 1.0, &[0], Never)],
            &[1],
            &[11.0, 1.0, 0.0],
        );
        // One in one piece keeps its phone, and one in pieces gives it up and goes on later.
        check(&[(0.0, 10.0, 1.0, &[0], Never), (4.0, 2.0, 1.0, &[0], Never)], &[1], &[0.0, 10.0]);
        check(&[(0.0, 10.0, 1.0, &[0], Anywhere), (4.0, 2.0, 1.0, &[0], Never)], &[1], &[2.0, 4.0]);
        // A phone that is free is taken rather than one that is given up; another kind does not help.
        check(&[(0.0, 10.0, 1.0, &[0], Anywhere), (4.0, 2.0, 1.0, &[0, 1], Never)], &[1, 1], &[0.0, 4.0]);
        check(&[(0.0, 10.0, 1.0, &[0], Never), (4.0, 2.0, 1.0, &[0], Never)], &[1, 5], &[0.0, 10.0]);
    }
}
