//! What a measurement returns: named numbers and remarks; percentiles of what was timed, medians over runs.
//! Which number is good is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

/// Named numbers with what a reader has to know of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// The numbers; none where the machine lacks what it takes.
    pub numbers: BTreeMap<String, Option<f64>>,
    /// Sentences for people.
    pub remarks: Vec<String>,
}

impl Figures {
    /// Adds a number.
    #[must_use]
    pub fn with(mut self, name: &str, number: f64) -> Self {
        self.numbers.insert(name.to_owned(), Some(number));
        self
    }

    /// Adds a name whose number cannot be had here.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.numbers.insert(name.to_owned(), None);
        self
    }

    /// Adds `NAME_p50_ms` and `NAME_p99_ms` of what was timed; nothing when nothing was.
    #[must_use]
    pub fn with_times(self, name: &str, times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let (Some(half), Some(most)) = (percentile(&sorted, 50.0), percentile(&sorted, 99.0)) else {
            return self;
        };
        self.with(&format!("{name}_p50_ms"), ms(half)).with(&format!("{name}_p99_ms"), ms(most))
    }

    /// Adds a sentence.
    #[must_use]
    pub fn remark(mut self, sentence: impl Into<String>) -> Self {
        self.remarks.push(sentence.into());
        self
    }

    /// The number of a name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied().flatten()
    }

    /// Name by name the median of several runs. A remark that several made is made once.
    pub fn medians(runs: &[Self]) -> Self {
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut remarks: Vec<String> = Vec::new();
        for run in runs {
            for (name, number) in &run.numbers {
                all.entry(name.clone()).or_default().extend(number);
            }
            for remark in &run.remarks {
                if !remarks.contains(remark) {
                    remarks.push(remark.clone());
                }
            }
        }
        let numbers = all.into_iter().map(|(name, mut numbers)| {
            numbers.sort_unstable_by(f64::total_cmp);
            (name, percentile(&numbers, 50.0))
        });
        Self { numbers: numbers.collect(), remarks }
    }

    /// Takes over what another measurement found.
    pub fn extend(&mut self, other: Self) {
        self.numbers.extend(other.numbers);
        self.remarks.extend(other.remarks);
    }
}

/// The value below which so many percent of what is sorted lie (nearest rank); none of nothing.
pub fn percentile<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil();
    let place = (rank as usize).max(1) - 1;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied()
}

/// A span in milliseconds.
pub fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

/// How many of them a second.
pub fn rate(count: usize, span: Duration) -> f64 {
    let count = count as f64;
    count / span.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        for (list, percent, expected) in [
            (vec![], 50.0, None),
            (vec![7], 99.0, Some(7)),
            (vec![1, 2, 3], 50.0, Some(2)),
            (vec![1, 2, 3, 4], 50.0, Some(2)),
            ((1..=100).collect(), 99.0, Some(99)),
            ((1..=1_000).collect(), 99.0, Some(990)),
        ] {
            assert_eq!(percentile(&list, percent), expected, "{percent} % of {list:?}");
        }
    }

    #[test]
    fn medians_are_taken_name_by_name_and_what_cannot_be_had_stays_unknown() {
        let run = |a: f64| Figures::default().with("a", a).without("b").remark("once");
        let medians = Figures::medians(&[run(5.0), run(1.0), run(3.0)]);
        assert_eq!((medians.get("a"), medians.get("b")), (Some(3.0), None));
        assert!(medians.numbers.contains_key("b"));
        assert_eq!(medians.remarks, ["once"]);
    }
}
