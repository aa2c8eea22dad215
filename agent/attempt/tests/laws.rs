//! What holds whatever happens in whatever order: an attempt ends, deletes nothing unconfirmed, launches nothing
//! after a revoke, begins no case after a yield, counts no case that was not run to its end, leaves the phone
//! clean, and says its end once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "the words in which scenarios are written are not needed here")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Play, crash, facts, file};
use holdfast_attempt::{
    Attempt, Event, Failure, FailureKind, Finished, Peek, PhoneLeft, Settings, Step, Told,
};
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::id::{CaseName, CrashId};
use holdfast_wire::outcome::{AttemptEnd, Blame, CaseResult};
use holdfast_wire::sync::{Work, YieldWhen};
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
        1 => Just(Event::ToldToYield(YieldWhen::CaseDone)),
        1 => Just(Event::ToldToYield(YieldWhen::AtOnce)),
        2 => Just(Event::ToldOfCrashes(Told::Saved)),
        1 => Just(Event::ToldOfCrashes(Told::NearLimit)),
        1 => Just(Event::PhoneLost),
        1 => Just(Event::PhoneReturned),
        2 => Just(Event::Tick),
    ]
}

/// Holds the laws against every step.
struct Judge {
    work: Work,
    confirmed: BTreeSet<CrashId>,
    revoked: bool,
    yields: Option<YieldWhen>,
    /// The phone was lost, or its last cleaning did not succeed.
    in_trouble: bool,
    /// The operation that was ordered last.
    last: Option<Step>,
    /// Launches ordered, by case.
    launches: BTreeMap<String, usize>,
    /// The case that was launched last.
    case: Option<String>,
    finished: Option<Finished>,
}

impl Judge {
    fn new(play: &Play, confirmed: BTreeSet<CrashId>) -> Self {
        Self {
            work: play.brief.work.clone(),
            confirmed,
            revoked: false,
            yields: None,
            in_trouble: false,
            last: None,
            launches: BTreeMap::new(),
            case: None,
            finished: None,
        }
    }

    fn hears(&mut self, event: &Event) {
        match event {
            Event::Confirmed(crashes) => self.confirmed.extend(crashes),
            Event::Revoked => self.revoked = true,
            Event::ToldToYield(when) => self.yields = self.yields.max(Some(*when)),
            Event::PhoneLost => self.in_trouble = true,
            Event::Failed(_) | Event::Tick if self.last == Some(Step::KillApp) => self.in_trouble = true,
            _ => {}
        }
    }

    fn sees(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        let operations = steps.iter().filter(|step| !matches!(step, Step::Finish(_))).count();
        prop_assert!(operations <= 1, "one operation at a time: {steps:?}");
        for step in steps {
            prop_assert!(self.finished.is_none(), "no step after the end");
            match step {
                Step::Delete { crash, .. } => prop_assert!(self.confirmed.contains(crash), "{step:?}"),
                Step::Fetch | Step::Install => {
                    prop_assert!(!self.revoked && self.yields.is_none(), "{step:?} for a phone given up");
                }
                Step::Launch { environment, .. } => {
                    let case = environment.get("HOLDFAST_CASE").cloned();
                    prop_assert!(!self.revoked && self.yields != Some(YieldWhen::AtOnce), "{step:?}");
                    prop_assert!(self.yields.is_none() || case == self.case, "{case:?} begins after a yield");
                    *self.launches.entry(case.clone().unwrap_or_default()).or_default() += 1;
                    self.case = case;
                }
                Step::Finish(finished) => {
                    self.finished = Some((**finished).clone());
                    self.judge_end(finished)?;
                }
                _ => {}
            }
            if !matches!(step, Step::Finish(_)) {
                self.last = Some(step.clone());
            }
        }
        Ok(())
    }

    fn judge_end(&self, finished: &Finished) -> Result<(), TestCaseError> {
        let report = &finished.report;
        prop_assert_eq!(report.end == AttemptEnd::Revoked, self.revoked);
        let named: Vec<&CaseName> = report.cases.iter().map(|case| &case.case).collect();
        let ordered: Vec<&CaseName> =
            self.work.cases.iter().map(|case| &case.name).take(named.len()).collect();
        prop_assert_eq!(named, ordered, "cases are told in their order, none twice");
        // Whole by the judge's own count of launches, too.
        let is_whole = |(case, result): (&Case, &CaseResult)| {
            let CaseRun::Launch { launches, .. } = &case.run;
            let ordered = self.launches.get(case.name.as_str()).copied().unwrap_or_default();
            result.launches.len() == *launches as usize && ordered >= *launches as usize
        };
        let whole = self.work.cases.iter().zip(&report.cases).take_while(|pair| is_whole(*pair)).count();
        match &report.end {
            AttemptEnd::Passed => prop_assert_eq!(whole, self.work.cases.len(), "passed and not done"),
            AttemptEnd::Yielded { cases_done, failure } => {
                prop_assert!(self.yields.is_some(), "nobody told it to yield");
                prop_assert_eq!(*cases_done as usize, whole);
                prop_assert!(whole < self.work.cases.len(), "with nothing left there is nothing to yield");
                let failed = report.cases.iter().take(whole).any(|case| case.failure.is_some());
                prop_assert_eq!(failure.is_some(), failed);
            }
            AttemptEnd::Failed { .. } | AttemptEnd::Revoked => {}
        }
        match finished.phone {
            PhoneLeft::Clean => prop_assert_eq!(self.last.as_ref(), Some(&Step::KillApp)),
            PhoneLeft::Dirty => prop_assert!(self.in_trouble, "left dirty without a reason"),
        }
        Ok(())
    }
}

/// Lets every deadline pass until it ends.
fn run_out(attempt: &mut Attempt, judge: &mut Judge, now: &mut Time) -> Result<(), TestCaseError> {
    for _ in 0..TICKS_MAX {
        if judge.finished.is_some() {
            return Ok(());
        }
        *now = (*now).max(attempt.wake_at());
        judge.hears(&Event::Tick);
        let steps = attempt.apply(*now, Event::Tick);
        judge.sees(&steps)?;
    }
    prop_assert!(judge.finished.is_some(), "left to its deadlines it ends; it stands at {:?}", attempt);
    Ok(())
}

/// How long a phone that has stopped to answer may hold up one that was told to yield.
fn patience(settings: &Settings, when: YieldWhen, launch_ms: u64, stay_ms: u64) -> Duration {
    // One delete without an answer is enough to give up the others.
    let clean = settings.delete + settings.kill;
    match when {
        YieldWhen::AtOnce => settings.quick_collect + clean,
        YieldWhen::CaseDone => {
            let launch = Duration::from_millis(launch_ms) + settings.margin + settings.kill;
            let watch = Duration::from_millis(stay_ms) + settings.margin;
            let look = settings.crash_grace + settings.list + settings.pull + settings.store;
            let run = launch.max(watch).max(look).max(settings.return_grace);
            run + settings.collect + settings.confirm + clean
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn laws(
        launches in 1u32..4,
        cases in 1usize..4,
        here in any::<bool>(),
        events in proptest::collection::vec((event(), 0u64..20_000), 0..120),
    ) {
        let mut play = Play::new(launches).with_cases(cases);
        play = play.with_confirmed("App-0.ips", 0).with_waiting("App-1.ips", 1);
        if here {
            play = play.with_build_on_phone();
        }
        let mut judge = Judge::new(&play, BTreeSet::from([crash(0)]));
        let mut now = Time::from_unix_ms(0);
        let (mut attempt, steps) = Attempt::begin(now, play.brief);
        judge.sees(&steps)?;
        for (event, later) in events {
            now = now.after(Duration::from_millis(later));
            if judge.finished.is_none() {
                judge.hears(&event);
            }
            let steps = attempt.apply(now, event);
            judge.sees(&steps)?;
            prop_assert!(attempt.progress().percent <= 100);
        }
        run_out(&mut attempt, &mut judge, &mut now)?;
    }

    /// A phone that answers `answers` times and then never again.
    #[test]
    fn a_yield_is_obeyed_in_time_by_a_phone_that_falls_silent(
        launches in 1u32..4,
        cases in 1usize..4,
        crashes in any::<bool>(),
        answers in 0usize..60,
        at_once in any::<bool>(),
        repeats in 1usize..3,
    ) {
        let when = if at_once { YieldWhen::AtOnce } else { YieldWhen::CaseDone };
        let play = Play::new(launches).with_cases(cases);
        let settings = play.brief.settings.clone();
        let mut judge = Judge::new(&play, BTreeSet::new());
        let mut phone = GoodPhone { crashes, files: 0 };
        let mut now = Time::from_unix_ms(0);
        let (mut attempt, mut steps) = Attempt::begin(now, play.brief);
        judge.sees(&steps)?;
        for _ in 0..answers {
            now = now.after(ANSWER);
            let Some(event) = phone.answer(&steps, &judge) else { break };
            judge.hears(&event);
            steps = attempt.apply(now, event);
            judge.sees(&steps)?;
        }
        if judge.finished.is_none() {
            let told_at = now;
            for _ in 0..repeats {
                judge.hears(&Event::ToldToYield(when));
                let steps = attempt.apply(now, Event::ToldToYield(when));
                judge.sees(&steps)?;
            }
            run_out(&mut attempt, &mut judge, &mut now)?;
            let taken = now.since(told_at);
            let patience = patience(&settings, when, 30_000, 3_000);
            prop_assert!(taken <= patience, "{taken:?} is more than {patience:?} for {when:?}");
        }
    }
}

/// How long the good phone takes for an answer.
const ANSWER: Duration = Duration::from_millis(10);

/// Crash files that tests know at most.
const FILES: u8 = 6;

/// Answers everything well; with `crashes`, each launch ends by itself and leaves a file.
struct GoodPhone {
    crashes: bool,
    files: u8,
}

impl GoodPhone {
    /// The answer to the last operation; none when nothing is under way that could be answered.
    fn answer(&mut self, steps: &[Step], judge: &Judge) -> Option<Event> {
        let here = || (1..=self.files).map(|name| file(&format!("App-{name}.ips"))).collect();
        match steps.last().or(judge.last.as_ref())? {
            Step::Check => Some(Event::Checked(Box::new(facts("good")))),
            Step::ListCrashes => Some(Event::Listed(here())),
            Step::Fetch => Some(Event::Fetched),
            Step::Install => Some(Event::Installed),
            Step::Launch { .. } => Some(Event::Launched { pid: 100 + u32::from(self.files), took: ANSWER }),
            Step::Watch { .. } if self.crashes && self.files < FILES => {
                self.files += 1;
                Some(Event::Ended { alive: ANSWER })
            }
            Step::Watch { .. } => Some(Event::StillAlive),
            Step::Kill { .. } | Step::KillApp => Some(Event::Killed),
            Step::Pull { file } => {
                let name =
                    file.path.trim_start_matches("App-").trim_end_matches(".ips").parse::<u8>().unwrap();
                let peek = Peek { pids: BTreeSet::from([99 + u32::from(name)]), ..Peek::default() };
                Some(Event::Pulled { crash: crash(name), peek })
            }
            Step::Store { .. } => Some(Event::Stored),
            Step::Delete { .. } => Some(Event::Deleted),
            Step::Rest => Some(Event::Confirmed((1..=FILES).map(crash).collect())),
            Step::Finish(_) => None,
        }
    }
}

/// Every moment of a whole attempt at which a yield can be told, each with its end.
#[test]
fn a_good_phone_that_is_told_to_yield_at_any_moment_ends_clean_with_whole_cases() {
    for (cases, launches, crashes, here) in [(3, 2, false, false), (3, 1, true, true), (2, 3, true, false)] {
        for when in [YieldWhen::CaseDone, YieldWhen::AtOnce] {
            let mut ends = BTreeSet::new();
            for moment in 0.. {
                let mut play = Play::new(launches).with_cases(cases);
                if here {
                    play = play.with_build_on_phone();
                }
                let (done_before, finished, told) = yield_at(moment, &play, crashes, when);
                assert_eq!(finished.phone, PhoneLeft::Clean, "told at {moment}");
                if !told {
                    break;
                }
                let end = match finished.report.end {
                    AttemptEnd::Yielded { cases_done, failure } => {
                        assert_eq!(failure.is_some(), crashes && cases_done > 0, "told at {moment}");
                        let more = usize::try_from(cases_done).unwrap().saturating_sub(done_before);
                        let most = usize::from(when == YieldWhen::CaseDone);
                        assert!(more <= most, "{more} cases were run on after a yield told at {moment}");
                        cases_done
                    }
                    AttemptEnd::Passed | AttemptEnd::Failed { blame: Blame::Job, .. } => {
                        assert_eq!(finished.report.cases.len(), cases, "told at {moment}");
                        u32::try_from(cases).unwrap()
                    }
                    end => panic!("{end:?} when told at {moment}"),
                };
                ends.insert(end);
            }
            assert_eq!(ends, (0..=u32::try_from(cases).unwrap()).collect(), "each number of cases, {when:?}");
        }
    }
}

/// Gives the cases done when the yield was told after `moment` answers, the end, and whether it was told at all.
fn yield_at(moment: usize, play: &Play, crashes: bool, when: YieldWhen) -> (usize, Finished, bool) {
    let mut judge = Judge::new(play, BTreeSet::new());
    let mut phone = GoodPhone { crashes, files: 0 };
    let mut now = Time::from_unix_ms(0);
    let (mut attempt, mut steps) = Attempt::begin(now, play.brief.clone());
    let (mut done_before, mut told) = (0, false);
    judge.sees(&steps).unwrap();
    for answers in 0..500 {
        if answers == moment && judge.finished.is_none() {
            let CaseRun::Launch { launches, .. } = play.brief.work.cases.first().unwrap().run.clone();
            // The launch that was ordered last is not over while it is launched, watched or ended.
            let ordered: usize = judge.launches.values().sum();
            let runs = matches!(
                judge.last,
                Some(Step::Launch { .. } | Step::Watch { .. } | Step::Kill { .. } | Step::KillApp)
            );
            done_before = ordered.saturating_sub(usize::from(runs)) / launches as usize;
            judge.hears(&Event::ToldToYield(when));
            let more = attempt.apply(now, Event::ToldToYield(when));
            judge.sees(&more).unwrap();
            if !more.is_empty() {
                steps = more;
            }
            told = true;
        }
        let Some(event) = phone.answer(&steps, &judge) else { break };
        now = now.after(ANSWER);
        judge.hears(&event);
        steps = attempt.apply(now, event);
        judge.sees(&steps).unwrap();
    }
    (done_before, judge.finished.unwrap(), told)
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
