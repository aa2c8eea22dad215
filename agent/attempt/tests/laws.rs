//! What holds whatever happens in whatever order: an attempt ends, deletes nothing unconfirmed, launches nothing
//! after a revoke, and says its end once.

#[expect(dead_code, reason = "the words in which scenarios are written are not needed here")]
mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Play, crash, facts, file};
use holdfast_attempt::{Attempt, Event, Failure, FailureKind, Peek, Step};
use holdfast_wire::id::CrashId;
use holdfast_wire::outcome::{AttemptEnd, Blame};
use holdfast_wire::time::Time;
use proptest::prelude::*;

/// Ticks that an attempt may need to end once nothing else happens: its phases, and each file of the folder.
const TICKS_MAX: usize = 400;

fn event() -> impl Strategy<Value = Event> {
    let files = proptest::collection::vec(0u8..6, 0..5)
        .prop_map(|names| Event::Listed(names.into_iter().map(|n| file(&format!("App-{n}.ips"))).collect()));
    let failure = (0usize..4).prop_map(|kind| {
        let kinds =
            [FailureKind::Silent, FailureKind::AppMissing, FailureKind::FileMissing, FailureKind::Other];
        Event::Failed(Failure { blame: Blame::Phone, kind: kinds[kind], reason: "told so".to_owned() })
    });
    prop_oneof![
        3 => Just(Event::Checked(Box::new(facts("good")))),
        6 => files,
        3 => Just(Event::Fetched),
        3 => Just(Event::Installed),
        6 => (100u32..104).prop_map(|pid| Event::Launched { pid, took: Duration::from_millis(5) }),
        4 => Just(Event::Ended { alive: Duration::from_millis(9) }),
        3 => Just(Event::StillAlive),
        5 => Just(Event::Killed),
        6 => (0u8..4, proptest::option::of(100u32..104)).prop_map(|(n, pid)| Event::Pulled {
            crash: crash(n),
            peek: Peek { pids: pid.into_iter().collect(), ..Peek::default() },
        }),
        6 => Just(Event::Stored),
        4 => Just(Event::Deleted),
        2 => failure,
        1 => (0u8..=255).prop_map(Event::Progressed),
        2 => (0u8..4).prop_map(|n| Event::Confirmed(BTreeSet::from([crash(n)]))),
        1 => Just(Event::Revoked),
        1 => Just(Event::PhoneLost),
        1 => Just(Event::PhoneReturned),
        2 => Just(Event::Tick),
    ]
}

/// Holds the laws against every step.
#[derive(Default)]
struct Judge {
    confirmed: BTreeSet<CrashId>,
    revoked: bool,
    finishes: usize,
}

impl Judge {
    fn sees(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        let operations = steps.iter().filter(|step| !matches!(step, Step::Finish(_))).count();
        prop_assert!(operations <= 1, "one operation at a time: {steps:?}");
        for step in steps {
            prop_assert_eq!(self.finishes, 0, "no step after the end");
            match step {
                Step::Delete { crash, .. } => prop_assert!(self.confirmed.contains(crash), "{step:?}"),
                Step::Launch { .. } | Step::Install => {
                    prop_assert!(!self.revoked, "{step:?} after a revoke");
                }
                Step::Finish(finished) => {
                    self.finishes += 1;
                    let says_revoked = finished.report.end == AttemptEnd::Revoked;
                    prop_assert_eq!(says_revoked, self.revoked);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn laws(
        launches in 1u32..4,
        here in any::<bool>(),
        events in proptest::collection::vec((event(), 0u64..20_000), 0..120),
    ) {
        let mut play = Play::new(launches).with_confirmed("App-0.ips", 0).with_waiting("App-1.ips", 1);
        if here {
            play = play.with_build_on_phone();
        }
        let mut judge = Judge { confirmed: BTreeSet::from([crash(0)]), ..Judge::default() };
        let mut now = Time::from_unix_ms(0);
        let (mut attempt, steps) = Attempt::begin(now, play.brief);
        judge.sees(&steps)?;
        for (event, later) in events {
            now = now.after(Duration::from_millis(later));
            if judge.finishes == 0 {
                match &event {
                    Event::Confirmed(crashes) => judge.confirmed.extend(crashes),
                    Event::Revoked => judge.revoked = true,
                    _ => {}
                }
            }
            let steps = attempt.apply(now, event);
            judge.sees(&steps)?;
            prop_assert!(attempt.progress().percent <= 100);
        }
        for _ in 0..TICKS_MAX {
            if judge.finishes > 0 {
                break;
            }
            now = now.max(attempt.wake_at());
            let steps = attempt.apply(now, Event::Tick);
            judge.sees(&steps)?;
        }
        prop_assert_eq!(judge.finishes, 1, "left to its deadlines it ends; it stands at {:?}", attempt);
    }
}

#[test]
fn a_tick_before_its_time_changes_nothing() {
    let now = Time::from_unix_ms(0);
    let (mut attempt, _) = Attempt::begin(now, Play::new(1).brief);
    let wake_at = attempt.wake_at();
    assert_eq!(attempt.apply(now, Event::Tick), []);
    assert_eq!(attempt.wake_at(), wake_at);
    assert_eq!(attempt.apply(wake_at, Event::Tick).first(), Some(&Step::ListCrashes));
}
