//! A few thousand simulated farms: none breaks a law. `scripts/simulate` plays as many as one likes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_simfarm::chance::Chance;
use holdfast_simfarm::run;
use holdfast_simfarm::scenario::Scenario;
use holdfast_simfarm::world::Wish;

/// As many as are played in about a minute on two cores.
const SEEDS: u64 = 3_000;

#[test]
fn no_seed_breaks_a_law() {
    let (next, broken) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS || !broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty() {
                return;
            }
            if let Err(law) = run::seed(seed) {
                broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((seed, law));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let broken = broken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let told: Vec<String> =
        broken.into_iter().take(1).map(|(seed, law)| run::explain(seed, law, 40).to_string()).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn the_same_seed_plays_the_same_story() {
    let wish = Wish { story: true, hash: true, foretell: false };
    let scenario = Scenario::of(5);
    let ((first, story), (second, again)) = (run::once(&scenario, wish), run::once(&scenario, wish));
    assert_eq!(first, second);
    assert!(!story.is_empty() && story == again);
}

#[test]
fn chance_is_the_same_on_every_machine() {
    let mut chance = Chance::new(1);
    let numbers: Vec<u64> = (0..3).map(|_| chance.below(1_000)).collect();
    let mut again = Chance::new(1);
    assert_eq!(numbers, (0..3).map(|_| again.below(1_000)).collect::<Vec<_>>());
    assert_ne!(numbers, (0..3).map(|_| Chance::new(2).below(1_000)).collect::<Vec<_>>());
}
