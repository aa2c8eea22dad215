//! Finds good prices: those that make the lower bound large. The volume algorithm (Barahona and Anbil, 2000): from the
//! best prices so far a step along an average of what was used beyond what there is, first with long steps of time, then
//! with shorter ones. Whatever it finds is a bound.

use std::collections::BTreeMap;

use super::demand::{Demand, at_once};
use super::prices::Prices;

/// How often prices are asked, and into how many steps each step of time is parted before. On a day of 17,000 jobs more of
/// either adds less than 1 % to the waiting that the bound shows.
const STAGES: [(usize, usize); 2] = [(54, 100), (3, 200)];

/// The newest answer's part in the average, at most, and at least.
const NEWEST: (f64, f64) = (0.03, 0.3);

/// The part of the way to what is known to be reached, by which the first step is long.
const FIRST: f64 = 0.1;

/// How that part changes: after a step that was good and might have been longer, and after so many that were not good.
const LONGER: f64 = 1.1;
const SHORTER: f64 = 0.66;
const IN_VAIN: u32 = 3;

/// The sum of weighted start times that no schedule stays below. `phones` says how many there are of each kind. `reached`
/// is the sum of a schedule, and `until` when about that is over, in seconds: both only help to find good prices.
pub fn priced(jobs: &[Demand], phones: &[usize], reached: f64, until: f64) -> f64 {
    let mut climb = Climb::new(jobs, phones, reached, until);
    for (parts, tries) in STAGES {
        climb.part(parts);
        for _ in 0..tries {
            climb.step();
        }
    }
    climb.best.max(at_once(jobs))
}

struct Climb<'a> {
    jobs: &'a [Demand],
    phones: &'a [usize],
    /// The different sets of kinds, and which of them each job has.
    sets: Vec<&'a [usize]>,
    set_of: Vec<usize>,
    reached: f64,
    /// The best prices, with the bound that they give.
    prices: Prices,
    best: f64,
    /// Seconds of each kind and step that are used beyond what there is, on average.
    excess: Vec<f64>,
    factor: f64,
    in_vain: u32,
}

impl<'a> Climb<'a> {
    fn new(jobs: &'a [Demand], phones: &'a [usize], reached: f64, until: f64) -> Self {
        let mut numbers: BTreeMap<&[usize], usize> = BTreeMap::new();
        let mut sets = Vec::new();
        let mut set_of = Vec::with_capacity(jobs.len());
        for job in jobs {
            let number = *numbers.entry(&job.kinds).or_insert(sets.len());
            if number == sets.len() {
                sets.push(job.kinds.as_slice());
            }
            set_of.push(number);
        }
        let prices = Prices::free(phones.len(), 1, until.max(1.0));
        let best = f64::NEG_INFINITY;
        Self {
            jobs,
            phones,
            sets,
            set_of,
            reached,
            prices,
            best,
            excess: Vec::new(),
            factor: FIRST,
            in_vain: 0,
        }
    }

    /// Goes on with shorter steps of time: what was learned with long ones starts it.
    fn part(&mut self, parts: usize) {
        self.prices = self.prices.parted(parts);
        (self.best, self.excess) = self.ask(&self.prices);
    }

    fn step(&mut self) {
        // Where nothing is paid already, prices cannot sink.
        let counts = |price: f64, excess: f64| price > 0.0 || excess > 0.0;
        let both = || self.prices.of.iter().copied().zip(self.excess.iter().copied());
        let norm: f64 = both().filter(|(price, excess)| counts(*price, *excess)).map(|(_, e)| e * e).sum();
        let missing = self.reached - self.best;
        if norm <= 0.0 || missing <= 0.0 {
            return;
        }
        let length = self.factor * missing / norm;
        let of = both().map(|(price, excess)| (price + length * excess).max(0.0)).collect();
        let next = Prices { of, ..self.prices };
        let (value, excess) = self.ask(&next);
        let (mut along, mut across, mut apart) = (0.0, 0.0, 0.0);
        for (old, new) in self.excess.iter().zip(&excess) {
            along += old * new;
            across += old * (old - new);
            apart += (old - new) * (old - new);
        }
        // The shortest average is the best guess of a direction.
        let part = if apart > 0.0 { (across / apart).clamp(NEWEST.0, NEWEST.1) } else { NEWEST.1 };
        for (old, new) in self.excess.iter_mut().zip(&excess) {
            *old += part * (new - *old);
        }
        if value > self.best {
            (self.best, self.prices, self.in_vain) = (value, next, 0);
            self.factor *= if along >= 0.0 { LONGER } else { 1.0 };
        } else {
            self.in_vain += 1;
            if self.in_vain >= IN_VAIN {
                self.factor *= SHORTER;
                self.in_vain = 0;
            }
        }
    }

    /// The bound that prices give, and the seconds of each kind and step that are used beyond what there is.
    fn ask(&self, prices: &Prices) -> (f64, Vec<f64>) {
        let there_is = |count: &usize| {
            let seconds = *count as f64 * prices.step_s;
            std::iter::repeat_n(-seconds, prices.steps)
        };
        let mut excess: Vec<f64> = self.phones.iter().flat_map(there_is).collect();
        let cheapest: Vec<_> = self.sets.iter().map(|kinds| prices.cheapest(kinds)).collect();
        let paid = |(job, set): (&Demand, &usize)| prices.answer(job, &cheapest[*set], &mut excess);
        let sum: f64 = self.jobs.iter().zip(&self.set_of).map(paid).sum();
        (sum - prices.worth(self.phones), excess)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::demand::Breaks;
    use super::super::{fast_machines, planned};
    use super::*;
    use crate::random::Random;

    fn job(release: f64, run: f64, weight: f64, kinds: &[usize]) -> Demand {
        Demand { release, run, weight, kinds: kinds.to_vec(), breaks: Breaks::Never }
    }

    fn sum(jobs: &[Demand], starts: &[f64]) -> f64 {
        jobs.iter().zip(starts).map(|(job, start)| job.weight * start).sum()
    }

    fn bound(jobs: &[Demand], phones: &[usize]) -> f64 {
        let starts = planned(jobs, phones);
        let until = jobs.iter().zip(&starts).map(|(job, start)| start + job.run).fold(0.0, f64::max);
        priced(jobs, phones, sum(jobs, &starts), until)
    }

    /// What is left of a job, seconds, and on which kind one in one piece has begun.
    type Left = (usize, Option<usize>);

    /// Nothing that is tried waits longer.
    const LATEST_S: usize = 20;

    /// Schedules of whole seconds, tried one by one.
    struct Every<'a> {
        jobs: &'a [Demand],
        phones: &'a [usize],
        known: BTreeMap<(usize, Vec<Left>), f64>,
    }

    impl Every<'_> {
        fn best(jobs: &[Demand], phones: &[usize]) -> f64 {
            let state = jobs.iter().map(|job| (job.run as usize, None)).collect();
            Every { jobs, phones, known: BTreeMap::new() }.from(0, state)
        }

        fn from(&mut self, now: usize, state: Vec<Left>) -> f64 {
            if state.iter().all(|(left, _)| *left == 0) {
                return 0.0;
            }
            let key = (now, state.clone());
            if let Some(known) = self.known.get(&key) {
                return *known;
            }
            let best = self.choose(now, 0, &mut self.phones.to_vec(), &mut state.clone());
            self.known.insert(key, best);
            best
        }

        fn choose(&mut self, now: usize, number: usize, free: &mut [usize], state: &mut [Left]) -> f64 {
            let Some(job) = self.jobs.get(number) else { return self.from(now + 1, state.to_vec()) };
            let (left, on) = state[number];
            let waits = left == 0 || (on.is_none() && now < LATEST_S);
            let mut best = if waits { self.choose(now, number + 1, free, state) } else { f64::INFINITY };
            if left == 0 || job.release > now as f64 {
                return best;
            }
            for kind in job.kinds.iter().copied().filter(|kind| on.is_none_or(|on| on == *kind)) {
                if free[kind] == 0 {
                    continue;
                }
                free[kind] -= 1;
                state[number] = (left - 1, (job.breaks == Breaks::Never).then_some(kind));
                let ends = if left == 1 { job.weight * (now as f64 + 1.0 - job.run) } else { 0.0 };
                best = best.min(ends + self.choose(now, number + 1, free, state));
                free[kind] += 1;
                state[number] = (left, on);
            }
            best
        }
    }

    #[test]
    fn no_schedule_is_better_and_the_best_is_not_far() {
        let (mut bounds, mut machines, mut bests) = (0.0, 0.0, 0.0);
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let phones = [1, 1 + random.place(2)];
            let mut draw = |_| Demand {
                release: random.place(3) as f64,
                run: 1.0 + random.place(4) as f64,
                weight: 1.0 + random.place(4) as f64,
                kinds: [vec![0], vec![1], vec![0, 1]][random.place(3)].clone(),
                breaks: [Breaks::Never, Breaks::Anywhere][random.place(2)],
            };
            let jobs: Vec<Demand> = (0..5).map(&mut draw).collect();
            let best = Every::best(&jobs, &phones);
            let found = bound(&jobs, &phones);
            assert!(found <= best + 1e-6, "seed {seed}: {found} is above {best}: {jobs:?} on {phones:?}");
            let made = sum(&jobs, &planned(&jobs, &phones));
            assert!(best <= made + 1e-6, "seed {seed}: the plan {made} is below {best}");
            bounds += found;
            bests += best;
            machines += fast_machines(&jobs, &phones, &[vec![0, 1]]);
        }
        assert!(bounds > 0.99 * bests, "{bounds} of {bests}");
        assert!(bounds > 1.1 * machines, "{bounds} and {machines}");
    }

    #[test]
    fn the_bound_is_what_can_be_reached_where_that_is_plain() {
        let check = |jobs: &[Demand], phones: &[usize], expected: f64| {
            let found = bound(jobs, phones);
            assert!(
                found <= expected + 1e-6 && found >= 0.98 * expected,
                "{found} instead of {expected}: {jobs:?} on {phones:?}"
            );
        };
        // Ten alike jobs on two phones: 0,0,1,1,2,2,3,3,4,4; other kinds do not help.
        let ten = vec![job(0.0, 1.0, 1.0, &[0]); 10];
        check(&ten, &[2], 20.0);
        check(&ten, &[2, 8], 20.0);
        // With a phone for each nobody waits.
        check(&vec![job(3.0, 1.0, 1.0, &[0]); 10], &[10], 30.0);
        // One phone, the heavier first.
        check(&[job(0.0, 10.0, 3.0, &[0]), job(0.0, 10.0, 1.0, &[0])], &[1], 10.0);
        // What fits both kinds goes where there is room: three on each.
        let mixed = [vec![job(0.0, 2.0, 1.0, &[0]); 2], vec![job(0.0, 2.0, 1.0, &[0, 1]); 4]].concat();
        check(&mixed, &[1, 1], 12.0);
        // A light job gives way to a heavy one that comes while it runs, and is over two seconds later.
        let light = Demand { breaks: Breaks::Anywhere, ..job(0.0, 10.0, 1.0, &[0]) };
        check(&[light, job(4.0, 2.0, 9.0, &[0])], &[1], 36.0 + 2.0);
    }
}
