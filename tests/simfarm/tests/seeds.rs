//! A few thousand simulated farms: none breaks a law. `scripts/simulate` plays as many as one likes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_simfarm::chance::Chance;
use holdfast_simfarm::nouns::owner;
use holdfast_simfarm::policies::WEIGHTS;
use holdfast_simfarm::run;
use holdfast_simfarm::scenario::{CaseWish, JobWish, PhoneMake, Scenario, Stroke};
use holdfast_simfarm::world::{Wish, World};

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

/// Two owners who always have jobs waiting get phone-time as their weights say, 3 to 1. By how much one may be ahead of
/// the other at any moment, each divided by its weight, is bounded: by one job on each phone and one more, whatever was
/// served before.
#[test]
fn owners_are_served_by_their_weights() {
    const PHONES: usize = 3;
    const JOB_MS: u64 = 60_000;
    let make = PhoneMake { model: 0, system: 1, labels: Vec::new(), battery_percent: 90 };
    let wish = |owner: usize| JobWish {
        class: 2,
        owner: Some(owner),
        priority: 0,
        start_within_s: None,
        wants: 0,
        phones: 1,
        compare: None,
        build: 0,
        cases: vec![CaseWish { launches: 1, stay_ms: 20_000 }],
    };
    // The one submits all of its jobs before the other begins: nobody gains by being first.
    let strokes = (0..300u64).map(|number| {
        let owner = usize::from(number >= 150);
        (5_000 + 20 * number, Stroke::Submit(Box::new(wish(owner))))
    });
    // Lifted jobs go by age alone; the first are lifted after half an hour.
    let mut strokes: Vec<(u64, Stroke)> = strokes.collect();
    strokes.push((1_700_000, Stroke::Nothing));
    for seed in 0..8 {
        let phones = vec![make.clone(); PHONES];
        let scenario = Scenario { seed, racks: 1, phones, policy: WEIGHTS, strokes: strokes.clone() };
        let mut world = World::new(scenario, Wish::default());
        let played = world.play();
        assert!(played.is_ok(), "seed {seed}: {played:?}");
        for minute in [5, 10, 15, 20, 25] {
            let served = world.served_ms(minute * 60_000);
            let (heavy, light) = (served[&owner(0)] / 3, served[&owner(1)]);
            let bound = (PHONES as u64 + 1) * JOB_MS;
            assert!(heavy.abs_diff(light) <= bound, "seed {seed}, minute {minute}: {heavy} and {light} ms");
            assert!(heavy.min(light) > 0);
        }
    }
}
