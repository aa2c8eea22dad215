//! A lower bound by prices: a second of a phone costs what its kind costs at that time, every job on its own takes what
//! is cheapest for it, and what all phones together are worth is subtracted. That is the Lagrangian of the time-indexed
//! formulation, and a lower bound for any prices that are not negative: as a phone has one job at a time, jobs cannot
//! pay more than the phones are worth. How good prices are found is not known here.

use std::collections::BinaryHeap;

use super::demand::{Breaks, Demand};

/// What a second of one phone of each kind costs, in steps of time; nothing after the last step.
#[derive(Debug, Clone)]
pub(super) struct Prices {
    /// Seconds of a step.
    pub(super) step_s: f64,
    /// Steps of each kind.
    pub(super) steps: usize,
    /// Kind by kind, step by step.
    pub(super) of: Vec<f64>,
}

impl Prices {
    /// Nothing costs anything.
    pub(super) fn free(kinds: usize, steps: usize, until: f64) -> Self {
        Self { step_s: until / steps as f64, steps, of: vec![0.0; kinds * steps] }
    }

    /// The same prices, each step parted into so many.
    pub(super) fn parted(&self, each: usize) -> Self {
        let of = self.of.iter().flat_map(|price| std::iter::repeat_n(*price, each)).collect();
        Self { step_s: self.step_s / each as f64, steps: self.steps * each, of }
    }

    /// What all phones together are worth.
    pub(super) fn worth(&self, phones: &[usize]) -> f64 {
        let of = |(kind, count): (usize, &usize)| *count as f64 * self.kind(kind).iter().sum::<f64>();
        phones.iter().enumerate().map(of).sum::<f64>() * self.step_s
    }

    /// The cheapest prices of some kinds of phones, with the kind.
    pub(super) fn cheapest(&self, kinds: &[usize]) -> Vec<(f64, usize)> {
        let at = |step: usize| kinds.iter().map(move |kind| (self.kind(*kind)[step], *kind));
        let least = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0);
        (0..self.steps).map(|step| at(step).min_by(least).unwrap_or((f64::INFINITY, 0))).collect()
    }

    /// What a job costs at least: its weighted start and what it pays. `cheapest` are the prices of its kinds. The seconds
    /// that it uses are added to those of each kind and step.
    pub(super) fn answer(&self, job: &Demand, cheapest: &[(f64, usize)], used: &mut [f64]) -> f64 {
        match job.breaks {
            Breaks::Never => self.in_one_piece(job, used),
            Breaks::Anywhere => self.in_pieces(job, cheapest, used),
        }
    }

    /// The cost of one piece changes evenly between two moments at which its start or its end crosses from one step into
    /// the next: only such moments count, and the release.
    fn in_one_piece(&self, job: &Demand, used: &mut [f64]) -> f64 {
        let (run, weight) = (job.run, job.weight);
        let (mut best, mut from, mut on) = (f64::INFINITY, job.release, 0);
        for kind in &job.kinds {
            let prices = self.kind(*kind);
            let price = |step: usize| prices.get(step).copied().unwrap_or(0.0);
            let mut start = job.release;
            let mut end = start + run;
            let (mut first, mut last) = (self.step_of(start), self.step_of(end));
            let paid: f64 = self.parts(start, end).map(|(step, span)| prices[step] * span).sum();
            let mut cost = weight * start + paid;
            loop {
                if cost < best {
                    (best, from, on) = (cost, start, *kind);
                }
                // From here on waiting alone costs more, or gains nothing.
                if weight * start >= best || first >= self.steps {
                    break;
                }
                let (start_left, end_left) = (self.end_of(first) - start, self.end_of(last) - end);
                let span = start_left.min(end_left);
                cost += span * (weight + price(last) - price(first));
                start += span;
                end += span;
                first += usize::from(start_left <= end_left);
                last += usize::from(end_left <= start_left);
            }
        }
        for (step, span) in self.parts(from, from + run) {
            used[on * self.steps + step] += span;
        }
        best
    }

    /// One that may be broken off takes the cheapest seconds before its end, whatever phones they are on.
    fn in_pieces(&self, job: &Demand, cheapest: &[(f64, usize)], used: &mut [f64]) -> f64 {
        let mut all = Pieces::new(self, job, cheapest);
        while all.go_on(f64::INFINITY) {}
        let mut until_best = Pieces::new(self, job, cheapest);
        while until_best.go_on(all.best_end) {}
        for piece in until_best.taken {
            if let Some((_, kind)) = cheapest.get(piece.step) {
                used[kind * self.steps + piece.step] += piece.span;
            }
        }
        all.best
    }

    /// The steps that a span of time is part of, with the seconds in each; not those after the last.
    fn parts(&self, from: f64, to: f64) -> impl Iterator<Item = (usize, f64)> {
        let part = move |step: usize| (step, to.min(self.end_of(step)) - from.max(step as f64 * self.step_s));
        (self.step_of(from)..=self.step_of(to)).take_while(|step| *step < self.steps).map(part)
    }

    fn kind(&self, kind: usize) -> &[f64] {
        &self.of[kind * self.steps..(kind + 1) * self.steps]
    }

    fn step_of(&self, at: f64) -> usize {
        (at / self.step_s) as usize
    }

    fn end_of(&self, step: usize) -> f64 {
        (step + 1) as f64 * self.step_s
    }
}

/// Less than this of a second is nothing.
const NOTHING_S: f64 = 1e-9;

/// The cheapest seconds of a job from its release to a moment that moves on: later seconds take the place of dearer ones.
struct Pieces<'a> {
    prices: &'a Prices,
    cheapest: &'a [(f64, usize)],
    job: &'a Demand,
    now: f64,
    step: usize,
    missing: f64,
    paid: f64,
    taken: BinaryHeap<Piece>,
    best: f64,
    best_end: f64,
}

impl<'a> Pieces<'a> {
    fn new(prices: &'a Prices, job: &'a Demand, cheapest: &'a [(f64, usize)]) -> Self {
        let now = job.release;
        Self {
            prices,
            cheapest,
            job,
            now,
            step: prices.step_of(now),
            missing: job.run,
            paid: 0.0,
            taken: BinaryHeap::new(),
            best: f64::INFINITY,
            best_end: now + job.run,
        }
    }

    /// Moves on to the next moment that may be the best end, at most to `until`. Says whether a later one may be better.
    fn go_on(&mut self, until: f64) -> bool {
        let (price, step_end) = match self.cheapest.get(self.step) {
            Some((price, _)) => (*price, self.prices.end_of(self.step)),
            None => (0.0, f64::INFINITY),
        };
        let room = step_end.min(until) - self.now;
        if self.missing > 0.0 {
            let span = self.missing.min(room);
            self.missing -= span;
            self.take(price, span);
        } else {
            match self.taken.peek().copied() {
                Some(dearest) if dearest.price > price => self.replace(dearest, price, room),
                _ => self.now = step_end.min(until),
            }
        }
        if step_end - self.now <= NOTHING_S {
            self.step += 1;
        }
        let waited = self.job.weight * (self.now - self.job.run);
        if self.missing <= 0.0 && waited + self.paid < self.best {
            (self.best, self.best_end) = (waited + self.paid, self.now);
        }
        until - self.now > NOTHING_S && (self.missing > 0.0 || waited < self.best)
    }

    /// Seconds that are cheaper take the place of the dearest.
    fn replace(&mut self, dearest: Piece, price: f64, room: f64) {
        let span = dearest.span.min(room);
        self.paid -= span * dearest.price;
        self.taken.pop();
        if dearest.span - span > NOTHING_S {
            self.taken.push(Piece { span: dearest.span - span, ..dearest });
        }
        self.take(price, span);
    }

    fn take(&mut self, price: f64, span: f64) {
        self.now += span;
        self.paid += span * price;
        self.taken.push(Piece { price, step: self.step, span });
    }
}

/// Seconds of one step.
#[derive(Debug, Clone, Copy)]
struct Piece {
    price: f64,
    step: usize,
    span: f64,
}

impl Ord for Piece {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.price.total_cmp(&other.price).then(self.step.cmp(&other.step))
    }
}

impl PartialOrd for Piece {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Piece {}
