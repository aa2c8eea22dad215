//! Runs seeds, and makes those that fail small.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::broken::Broken;
use crate::foretold::Tally;
use crate::scenario::{Fortune, Scenario, Stroke};
use crate::world::{Figures, Wish, World};

/// Runs that making a failure small may take: it ends with what it has by then.
const SHRINKS_MAX: usize = 600;

/// One in so many seeds is run twice, to see whether it decides the same.
const TWICE_EVERY: u64 = 16;

/// A seed that breaks a law.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The law.
    pub broken: Broken,
    /// The scenario, as small as it could be made.
    pub scenario: Scenario,
    /// Its last lines.
    pub story: Vec<String>,
}

/// Runs a scenario once. Also gives the story, if it was asked for.
///
/// # Errors
/// The law that is broken; a brain that stops is one.
pub fn once(scenario: &Scenario, wish: Wish) -> (Result<Figures, Broken>, Vec<String>) {
    let mut world = World::new(scenario.clone(), wish);
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    let result = played.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        Err(Broken { law: "no_brain_stops", seen: words.unwrap_or_default() })
    });
    (result, world.story().to_vec())
}

/// Runs a seed; some of them twice.
///
/// # Errors
/// The law that is broken.
pub fn seed(seed: u64) -> Result<Figures, Broken> {
    let scenario = Scenario::of(seed);
    let twice = seed.is_multiple_of(TWICE_EVERY);
    let wish = Wish { hash: twice, ..Wish::default() };
    let (first, _) = once(&scenario, wish);
    match first {
        Ok(figures) if twice => match once(&scenario, wish).0 {
            Ok(again) if again == figures => Ok(figures),
            again => Err(Broken {
                law: "the_same_seed_decides_the_same",
                seen: format!("{figures:?}, then {again:?}"),
            }),
        },
        other => other,
    }
}

/// Plays the jobs of a seed alone, nothing breaks, and tells how guesses about starts turned out.
///
/// # Errors
/// The law that is broken.
pub fn foretell(seed: u64) -> Result<Tally, Broken> {
    let wish = Wish { foretell: true, ..Wish::default() };
    let mut world = World::new(Scenario::with(seed, Fortune::Work), wish);
    world.play()?;
    Ok(world.foretold.map(|foretold| foretold.tally).unwrap_or_default())
}

/// Makes the failure of a seed small, and finds its story.
/// `lines` is how much of the story is kept, from its end.
pub fn explain(seed: u64, broken: Broken, lines: usize) -> Failure {
    let (scenario, broken) = shrink(Scenario::of(seed), broken);
    let (_, mut story) = once(&scenario, Wish { story: true, ..Wish::default() });
    let story = story.split_off(story.len().saturating_sub(lines));
    Failure { seed, broken, scenario, story }
}

/// Leaves out strokes, many and then few, for as long as the same law stays broken. What is left keeps its number.
fn shrink(mut scenario: Scenario, mut broken: Broken) -> (Scenario, Broken) {
    let mut runs = 0;
    let mut size = scenario.strokes.len().div_ceil(2);
    while size > 0 {
        let mut smaller = false;
        let left: Vec<usize> = (0..scenario.strokes.len())
            .filter(|number| scenario.strokes[*number].1 != Stroke::Nothing)
            .collect();
        for some in left.chunks(size) {
            if runs >= SHRINKS_MAX {
                return (scenario, broken);
            }
            runs += 1;
            let mut tried = scenario.clone();
            some.iter().for_each(|number| tried.strokes[*number].1 = Stroke::Nothing);
            if let Err(still) = once(&tried, Wish::default()).0
                && still.law == broken.law
            {
                (scenario, broken) = (tried, still);
                smaller = true;
            }
        }
        if !smaller || size > 1 {
            size /= 2;
        }
    }
    (scenario, broken)
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.broken)?;
        writeln!(f, "{} racks, policy {}, phones:", self.scenario.racks, self.scenario.policy)?;
        for (number, phone) in self.scenario.phones.iter().enumerate() {
            writeln!(f, "  {number} {phone:?}")?;
        }
        writeln!(f, "strokes:")?;
        for (at_ms, stroke) in self.scenario.strokes.iter().filter(|(_, stroke)| *stroke != Stroke::Nothing) {
            writeln!(f, "  {:>9.3} s {stroke:?}", std::time::Duration::from_millis(*at_ms).as_secs_f64())?;
        }
        writeln!(f, "the last {} lines:", self.story.len())?;
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        write!(f, "replay it: scripts/simulate --seeds 1 --first {} --trace", self.seed)
    }
}
