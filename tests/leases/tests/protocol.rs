//! The protocol holds under every interleaving up to the bounds, and each planted bug breaks a law.

use std::time::Instant;

use holdfast_leases::broken::Broken;
use holdfast_leases::model::{Begins, Faults, Leases};
use stateright::{Checker, Model};

const NONE: Faults =
    Faults { daemon_deaths: 0, agent_deaths: 0, network: 0, moves: 0, silences: 0, commands: 0 };

/// What goes wrong in each walk, and how many steps it goes. With all at once the walk is the shorter. `LEASES_STEPS`
/// adds steps to each.
const WALKS: [(&str, Faults, usize); 8] = [
    ("deaths", Faults { daemon_deaths: 1, agent_deaths: 1, ..NONE }, 18),
    ("network", Faults { network: 2, silences: 1, ..NONE }, 14),
    ("restarts", Faults { network: 1, agent_deaths: 1, commands: 1, ..NONE }, 13),
    ("commands", Faults { network: 1, commands: 1, daemon_deaths: 1, ..NONE }, 13),
    ("moves", Faults { moves: 2, ..NONE }, 15),
    ("moves and deaths", Faults { moves: 1, agent_deaths: 1, daemon_deaths: 1, ..NONE }, 12),
    ("moves and silence", Faults { moves: 2, silences: 1, ..NONE }, 11),
    (
        "everything",
        Faults { daemon_deaths: 1, agent_deaths: 1, network: 1, moves: 1, silences: 1, commands: 1 },
        7,
    ),
];

/// The same with a job that is staged behind the one that runs.
const STAGED_WALKS: [(&str, Faults, usize); 5] = [
    ("good days", NONE, 26),
    ("deaths", Faults { daemon_deaths: 1, agent_deaths: 1, ..NONE }, 14),
    ("network", Faults { network: 2, silences: 1, ..NONE }, 12),
    ("commands", Faults { network: 1, commands: 1, daemon_deaths: 1, ..NONE }, 11),
    ("moves", Faults { moves: 2, agent_deaths: 1, ..NONE }, 11),
];

/// Rounds in which everybody does what is to be done, after which every job must be over.
const ROUNDS: u8 = 20;

fn more_steps() -> usize {
    std::env::var("LEASES_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[test]
fn no_interleaving_gives_a_phone_to_two_attempts_or_lets_a_fenced_report_decide() {
    let running = WALKS.map(|walk| (Begins::Running, walk));
    let staged = STAGED_WALKS.map(|walk| (Begins::Staged, walk));
    for (begins, (name, faults, steps)) in running.into_iter().chain(staged) {
        let begun = Instant::now();
        let model = Leases { faults, broken: Broken::Nothing, rounds: ROUNDS, begins };
        let walk = model.checker().threads(2).target_max_depth(steps + more_steps()).spawn_bfs().join();
        println!(
            "{begins:?}, {name}: {} steps deep, {} states, {} of them unlike, {:.1} s",
            walk.max_depth(),
            walk.state_count(),
            walk.unique_state_count(),
            begun.elapsed().as_secs_f32()
        );
        for property in model.properties() {
            if property.expectation == stateright::Expectation::Always {
                walk.assert_no_discovery(property.name);
            }
        }
        if name == "good days" {
            walk.assert_any_discovery("what was staged begins by itself");
            walk.assert_any_discovery("what was staged is taken back and begun later");
        }
        if name == "network" && begins == Begins::Running {
            walk.assert_any_discovery("both jobs pass");
            walk.assert_any_discovery("work gives way and is begun again");
        }
    }
}

#[test]
fn every_planted_bug_breaks_a_law() {
    for broken in Broken::ALL {
        let found = WALKS.iter().find_map(|(name, faults, steps)| {
            let model = Leases { faults: *faults, broken, rounds: 0, begins: Begins::Running };
            let walk = model.checker().threads(2).target_max_depth(*steps).spawn_bfs().join();
            let laws = model.properties().into_iter();
            let mut laws = laws.filter(|law| law.expectation == stateright::Expectation::Always);
            laws.find_map(|law| Some((*name, law.name, walk.discovery(law.name)?.into_actions())))
        });
        let (walk, law, steps) = found.unwrap_or_else(|| unreachable!("{broken:?} breaks no law"));
        println!("{broken:?} breaks \"{law}\" in {walk}: {steps:?}");
    }
}
