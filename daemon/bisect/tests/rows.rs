//! Bisections played to their end: rows of commits of which one brings a crash that shows now and then.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use holdfast_bisect::{Demands, Seen, Step, next, odds};
use proptest::prelude::*;

/// Chance in so many parts, from a stream that a seed decides (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as f64 / u64::MAX as f64
    }

    fn below(&mut self, count: usize) -> usize {
        ((self.roll() * count as f64) as usize).min(count - 1)
    }
}

/// Plays a bisection: the newest commit crashed once. Says what was named, how surely, and after how many attempts.
fn play(commits: usize, first_bad: usize, rate: f64, dice: &mut Dice) -> (usize, f64, u32) {
    let mut seen = vec![Seen::default(); commits];
    seen[commits - 1] = Seen { attempts: 1, crashed: 1 };
    loop {
        match next(&seen, &[], Demands::default()).unwrap() {
            Step::Named { commit, confidence } | Step::GivenUp { commit, confidence } => {
                let attempts = seen.iter().map(|one| one.attempts).sum();
                return (commit, confidence, attempts);
            }
            Step::Test { commit } => {
                seen[commit].attempts += 1;
                seen[commit].crashed += u32::from(commit >= first_bad && dice.roll() < rate);
            }
        }
    }
}

#[test]
fn what_is_named_with_so_much_confidence_is_right_so_often() {
    let mut dice = Dice(7);
    let (mut named, mut right, mut promised) = (0, 0, 0.0);
    for _ in 0..400 {
        let commits = 2 + dice.below(60);
        let first_bad = dice.below(commits);
        // As rare as the odds reckon with: from one in ten to always, even in the logarithm.
        let rate = 0.1_f64.powf(dice.roll());
        let (commit, confidence, _) = play(commits, first_bad, rate, &mut dice);
        if confidence >= Demands::default().confidence {
            named += 1;
            right += u32::from(commit == first_bad);
            promised += confidence;
        }
    }
    assert!(named >= 390, "{named} of 400 bisections named a commit");
    // Of 400 with 96 % each, three standard deviations are 3 %.
    let (share, promised) = (f64::from(right) / f64::from(named), promised / f64::from(named));
    assert!(share >= promised - 0.03, "{share:.3} were right, {promised:.3} were promised");
}

#[test]
fn a_crash_that_always_shows_takes_hardly_more_attempts_than_halving() {
    for commits in [2, 8, 32, 128] {
        for first_bad in [0, commits / 3, commits - 1] {
            let (commit, _, attempts) = play(commits, first_bad, 1.0, &mut Dice(1));
            assert_eq!(commit, first_bad, "of {commits}");
            let halvings = (commits as f64).log2().ceil() as u32;
            // Nobody knows beforehand that it always shows: passes have to be seen again before they are believed.
            assert!(attempts <= 3 * halvings + 12, "{attempts} attempts for {commits} commits");
        }
    }
}

#[test]
fn one_pass_of_a_flaky_crash_proves_little_and_one_crash_much() {
    let pass = Seen { attempts: 1, crashed: 0 };
    let crash = Seen { attempts: 1, crashed: 1 };
    let fresh = Seen::default();
    let after_pass = odds(&[fresh, fresh, pass, fresh, crash]).unwrap().first_bad;
    let early: f64 = after_pass[..=2].iter().sum();
    assert!(early > 0.2, "it may still have been there: {after_pass:?}");
    let after_crash = odds(&[fresh, fresh, crash, fresh, crash]).unwrap().first_bad;
    assert!(after_crash[3] + after_crash[4] < 0.05, "{after_crash:?}");
    // Many passes settle it.
    let passes = Seen { attempts: 60, crashed: 0 };
    let settled = odds(&[fresh, fresh, passes, crash, Seen { attempts: 4, crashed: 2 }]).unwrap().first_bad;
    assert!(settled[3] > 0.9, "{settled:?}");
}

#[test]
fn without_a_crash_there_is_nothing_to_find_and_without_a_build_no_answer() {
    let pass = Seen { attempts: 3, crashed: 0 };
    assert_eq!(next(&[], &[], Demands::default()), None);
    assert_eq!(next(&[pass, pass], &[], Demands::default()), None);
    let crash = Seen { attempts: 1, crashed: 1 };
    let step = next(&[Seen::default(), crash], &[false, false], Demands::default()).unwrap();
    assert!(matches!(step, Step::GivenUp { .. }), "{step:?}");
    let tired = Demands { attempts_max: 1, ..Demands::default() };
    assert!(matches!(next(&[Seen::default(), crash], &[], tired).unwrap(), Step::GivenUp { .. }));
    // A crash in the only commit there is.
    assert!(matches!(next(&[crash], &[], tired).unwrap(), Step::Named { commit: 0, .. }));
}

proptest! {
    #[test]
    fn odds_are_odds(row in prop::collection::vec((0_u32..50, 0_u32..60), 1..500)) {
        let seen: Vec<Seen> = row.iter().map(|(attempts, crashed)| Seen { attempts: *attempts, crashed: *crashed }).collect();
        let odds = odds(&seen).unwrap();
        prop_assert_eq!(odds.first_bad.len(), seen.len());
        let sum: f64 = odds.first_bad.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-6, "{}", sum);
        prop_assert!(odds.first_bad.iter().chain(&odds.crashes).all(|chance| (0.0..=1.0).contains(chance)));
        // Whoever is later in the row is bad at least as surely.
        prop_assert!(odds.crashes.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9));
        let step = next(&seen, &[], Demands::default());
        let is_inside = step.is_none_or(|step| match step {
            Step::Test { commit } | Step::Named { commit, .. } | Step::GivenUp { commit, .. } => commit < seen.len(),
        });
        prop_assert!(is_inside, "{:?}", step);
    }

    #[test]
    fn another_crash_never_speaks_for_a_later_commit(
        row in prop::collection::vec((0_u32..6, 0_u32..3), 2..12),
        at in any::<prop::sample::Index>(),
    ) {
        let mut seen: Vec<Seen> =
            row.iter().map(|(attempts, crashed)| Seen { attempts: *attempts, crashed: *crashed.min(attempts) }).collect();
        let at = at.index(seen.len());
        let later = |seen: &[Seen]| odds(seen).unwrap().first_bad[at + 1..].iter().sum::<f64>();
        let before = later(&seen);
        seen[at].attempts += 1;
        seen[at].crashed += 1;
        prop_assert!(later(&seen) <= before + 1e-9);
    }
}
