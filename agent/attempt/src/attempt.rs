//! The phases of an attempt and how events lead from one to the next. The run itself is in `run`, the taking of crash
//! files in `gather`, in the middle of the run in `aside`, giving the phone up early in `give_up`.

mod aside;
mod gather;
mod give_up;
mod run;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use holdfast_wire::case::Case;
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::CrashId;
use holdfast_wire::outcome::{AttemptEnd, AttemptReport, Blame, CaseResult, LaunchResult, StepName};
use holdfast_wire::phone::{PhoneFacts, Readiness};
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;

use aside::{Aside, Resume};

use crate::health::judge;
use crate::launches::{Launching, launches_of};
use crate::plan::{Before, Launched, Taken, to_take};
use crate::step::{Brief, Event, Failure, FailureKind, Finished, PhoneLeft, Step};

/// Pulls that may fail in a row: after that the phone is left alone, and a later sweep takes the rest.
const PULL_FAILURES_MAX: u32 = 3;

/// Times that a phone may leave the bus in one attempt and still be waited for: a port that flaps ends it.
const LOSSES_MAX: u32 = 3;

/// Room that an install needs, as a multiple of the archive: the upload, its unpacking, the installed app.
const ROOM_PER_ARCHIVE: u64 = 3;

/// One attempt on one phone, from its first step to its report.
#[derive(Debug)]
pub struct Attempt {
    brief: Brief,
    started_at: Time,
    phase: Phase,
    /// When the phase is given up, or looked at again.
    wake_at: Time,
    /// Per cent of the operation under way, as the body told last.
    part: u8,
    presence: Presence,
    losses: u32,
    /// How it ends, if it ended this moment; the first failure stays.
    verdict: Verdict,
    /// When it is to give its phone up, as it was told; the more urgent word counts.
    yields: Option<YieldWhen>,
    install: Install,
    launched: Launched,
    before: Option<Before>,
    /// Whether `before` was listed before anything was launched; else whatever was there later may be old.
    before_is_told: bool,
    taken: BTreeMap<CrashFile, CrashId>,
    confirmed: BTreeSet<CrashId>,
    /// Reports that happened in this attempt.
    crashes: BTreeSet<CrashId>,
    /// Reports of processes that this attempt started.
    by_pid: BTreeMap<u32, CrashId>,
    /// Of cases in order: those that were run to their end, then perhaps the one that was broken off.
    results: Vec<CaseResult>,
    /// How many of `results` were run to their end.
    cases_done: u32,
    /// Of the case that runs.
    launches: Vec<LaunchResult>,
    aside: Aside,
}

/// Where an attempt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The step it is in.
    pub step: StepName,
    /// How much of the whole is done, 0 to 100.
    pub percent: u8,
    /// What it does, for people.
    pub note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    Away,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Good,
    Failed {
        blame: Blame,
        step: StepName,
        reason: String,
    },
    /// A yield has cut the run.
    Yielded,
    Revoked,
}

/// How the build came to be on the phone: one that was only believed to be there can still be put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Install {
    Undecided,
    Skipped,
    Done,
}

#[derive(Debug)]
enum Phase {
    Check,
    ListBefore,
    Fetch,
    Install,
    Launch,
    Watch(Launching),
    Kill(Launching),
    /// A hang of the app and a phone that hangs look alike until the phone is asked for something else.
    ProbeAfterHang(Launching),
    Gather(Gather),
    Upload,
    Delete(VecDeque<(CrashFile, CrashId)>),
    Clean,
    /// The phone is off the bus; the attempt ends when it stays away.
    AwaitReturn,
    Over,
}

/// Taking crash files: after a launch that ended by itself, or at the end.
#[derive(Debug)]
struct Gather {
    purpose: Purpose,
    stage: Stage,
    /// When it has to be over.
    until: Time,
    failures_in_a_row: u32,
}

#[derive(Debug)]
enum Purpose {
    /// Find out how this launch ended.
    Look(Launching),
    /// Take a few in the middle of the run, then go on with it.
    Aside(Resume),
    /// Take everything.
    Collect,
}

#[derive(Debug)]
enum Stage {
    Listing,
    Pulling {
        file: CrashFile,
        rest: VecDeque<CrashFile>,
    },
    Storing {
        file: CrashFile,
        crash: CrashId,
        rest: VecDeque<CrashFile>,
    },
    /// Files that the daemon has, before the others are listed.
    Deleting(VecDeque<(CrashFile, CrashId)>),
    /// Until the next listing.
    Resting,
}

impl Attempt {
    /// Begins. The steps are to be done at once.
    #[must_use]
    pub fn begin(now: Time, brief: Brief) -> (Self, Vec<Step>) {
        let launched = Launched {
            attempt: brief.work.attempt,
            bundle_id: brief.work.build.bundle_id.clone(),
            executable: brief.work.build.executable.clone(),
            uuids: brief.work.build.uuids.iter().map(|uuid| uuid.to_ascii_lowercase()).collect(),
            pids: BTreeSet::new(),
            unnamed: 0,
            started_at: now,
            ended_at: None,
            clock_offset_ms: None,
            cases: Vec::new(),
        };
        let taken = brief.taken.iter().map(|taken| (taken.file.clone(), taken.crash)).collect();
        let confirmed = brief.taken.iter().filter(|taken| taken.confirmed).map(|taken| taken.crash).collect();
        let wake_at = now.after(brief.settings.check);
        let attempt = Self {
            brief,
            started_at: now,
            phase: Phase::Check,
            wake_at,
            part: 0,
            presence: Presence::Here,
            losses: 0,
            verdict: Verdict::Good,
            yields: None,
            install: Install::Undecided,
            launched,
            before: None,
            before_is_told: false,
            taken,
            confirmed,
            crashes: BTreeSet::new(),
            by_pid: BTreeMap::new(),
            results: Vec::new(),
            cases_done: 0,
            launches: Vec::new(),
            aside: Aside::default(),
        };
        (attempt, vec![Step::Check])
    }

    /// Takes in what happened and gives what to do next.
    #[must_use]
    pub fn apply(&mut self, now: Time, event: Event) -> Vec<Step> {
        if matches!(self.phase, Phase::Over) {
            return Vec::new();
        }
        match event {
            Event::Revoked => self.revoked(now),
            Event::ToldToYield(when) => self.told_to_yield(now, when),
            Event::PhoneLost => self.phone_lost(now),
            Event::PhoneReturned => self.phone_returned(now),
            Event::Confirmed(crashes) => {
                self.confirmed.extend(crashes);
                if matches!(self.phase, Phase::Upload) { self.upload(now) } else { self.confirmed_aside(now) }
            }
            Event::ToldOfCrashes(told) => self.told_of_crashes(now, told),
            Event::Progressed(percent) => {
                self.part = percent.min(100);
                Vec::new()
            }
            Event::Tick => self.tick(now),
            Event::Failed(failure) => self.failed(now, failure),
            Event::Checked(facts) => self.checked(now, &facts),
            Event::Listed(files) => self.listed(now, files),
            Event::Fetched => match self.phase {
                Phase::Fetch => self.go(now, Phase::Install, self.brief.settings.install, Step::Install),
                _ => Vec::new(),
            },
            Event::Installed => match self.phase {
                Phase::Install => {
                    self.install = Install::Done;
                    self.next_launch(now)
                }
                _ => Vec::new(),
            },
            Event::Launched { pid, took } => self.launched(now, pid, took),
            Event::Ended { alive } => self.ended(now, alive),
            Event::StillAlive => self.still_alive(now),
            Event::Killed => self.killed(now),
            Event::Pulled { crash, peek } => self.pulled(now, crash, &peek),
            Event::Stored => self.stored(now),
            Event::Deleted => match std::mem::replace(&mut self.phase, Phase::Clean) {
                Phase::Delete(mut rest) => {
                    if let Some((file, _)) = rest.pop_front() {
                        self.taken.remove(&file);
                    }
                    self.delete(now, rest)
                }
                Phase::Gather(gather) => self.deleted_aside(now, gather),
                other => self.stay(other),
            },
        }
    }

    /// The instant at which `apply` wants a [`Event::Tick`].
    pub fn wake_at(&self) -> Time {
        match self.phase {
            Phase::Gather(Gather { purpose: Purpose::Collect, until, .. }) => self.wake_at.min(until),
            Phase::Gather(Gather { purpose: Purpose::Aside(_), until, .. }) => {
                self.wake_at.min(until).min(self.last_call())
            }
            Phase::Watch(_) => self.wake_at.min(self.last_call()).min(self.aside_at()),
            _ if self.is_running() => self.wake_at.min(self.last_call()),
            _ => self.wake_at,
        }
    }

    /// Whether the cases are being run: the part to which the limit of the whole applies, because every other
    /// part is short and has a deadline of its own.
    fn is_running(&self) -> bool {
        match &self.phase {
            Phase::Launch | Phase::Watch(_) | Phase::Kill(_) | Phase::ProbeAfterHang(_) => true,
            Phase::Gather(gather) => matches!(gather.purpose, Purpose::Look(_) | Purpose::Aside(_)),
            Phase::Check
            | Phase::ListBefore
            | Phase::Fetch
            | Phase::Install
            | Phase::Upload
            | Phase::Delete(_)
            | Phase::Clean
            | Phase::AwaitReturn
            | Phase::Over => false,
        }
    }

    /// Where it stands.
    pub fn progress(&self) -> Progress {
        let (step, from, to, note) = match &self.phase {
            Phase::Check => (StepName::Check, 0, 1, "asks the phone how it is".to_owned()),
            Phase::ListBefore => (StepName::Check, 1, 2, "lists crash files".to_owned()),
            Phase::Fetch => (StepName::Fetch, 2, 10, format!("fetches {}", self.title())),
            Phase::Install => (StepName::Install, 10, 30, format!("installs {}", self.title())),
            Phase::Launch | Phase::Watch(_) | Phase::Kill(_) | Phase::ProbeAfterHang(_) => {
                self.run_progress()
            }
            Phase::Gather(Gather { purpose: Purpose::Look(_) | Purpose::Aside(_), .. }) => {
                self.run_progress()
            }
            Phase::Gather(Gather { purpose: Purpose::Collect, .. }) => {
                (StepName::Collect, 90, 95, "collects crash files".to_owned())
            }
            Phase::Upload => {
                (StepName::Upload, 95, 97, "waits until the daemon has the crash files".to_owned())
            }
            Phase::Delete(_) => (StepName::Clean, 97, 98, "deletes confirmed crash files".to_owned()),
            Phase::Clean => (StepName::Clean, 98, 99, "ends the app".to_owned()),
            Phase::AwaitReturn => (StepName::Clean, 98, 99, "waits for the phone to come back".to_owned()),
            Phase::Over => (StepName::Clean, 100, 100, "is over".to_owned()),
        };
        let percent = from + (to - from) * u64::from(self.part) / 100;
        Progress { step, percent: u8::try_from(percent).unwrap_or(100), note }
    }

    fn run_progress(&self) -> (StepName, u64, u64, String) {
        let cases = &self.brief.work.cases;
        let all: u64 = cases.iter().map(|case| u64::from(launches_of(case))).sum::<u64>().max(1);
        let done: u64 = self.results.iter().map(|result| result.launches.len() as u64).sum::<u64>()
            + self.launches.len() as u64;
        let at = 30 + 60 * done / all;
        let note = self.case().map_or_else(String::new, |case| {
            let words = format!("launch {} of {}", self.launches.len() + 1, launches_of(case));
            let words = if cases.len() > 1 { format!("{}: {words}", case.name) } else { words };
            if self.is_to_yield() { format!("{words}; then gives its phone up") } else { words }
        });
        (StepName::Run, at, at, note)
    }

    fn title(&self) -> String {
        let build = &self.brief.work.build;
        format!("{} {} ({})", build.executable, build.version, build.build_number)
    }

    fn case(&self) -> Option<&Case> {
        self.brief.work.cases.get(self.results.len())
    }

    /// The end of the time that the daemon allows for the whole.
    fn last_call(&self) -> Time {
        self.started_at.after(Duration::from_millis(self.brief.work.limit_ms))
    }

    fn go(&mut self, now: Time, phase: Phase, limit: Duration, step: Step) -> Vec<Step> {
        self.phase = phase;
        self.wake_at = now.after(limit);
        self.part = 0;
        vec![step]
    }

    fn stay(&mut self, phase: Phase) -> Vec<Step> {
        self.phase = phase;
        Vec::new()
    }

    fn fail(&mut self, blame: Blame, step: StepName, reason: impl Into<String>) {
        let counts = match self.verdict {
            Verdict::Good => true,
            // A phone or rack in trouble is worth more than the cases that it did before.
            Verdict::Yielded => blame != Blame::Job,
            Verdict::Failed { .. } | Verdict::Revoked => false,
        };
        if counts {
            self.verdict = Verdict::Failed { blame, step, reason: reason.into() };
        }
    }

    // ---- what can happen at any moment ----

    fn phone_lost(&mut self, now: Time) -> Vec<Step> {
        if self.presence == Presence::Away {
            return Vec::new();
        }
        self.presence = Presence::Away;
        self.losses += 1;
        let step = self.progress().step;
        // Once every launch is done and taken, the result no longer hangs on the phone.
        if !matches!(self.phase, Phase::Upload | Phase::Delete(_) | Phase::Clean) {
            self.fail(Blame::Phone, step, "the phone left the bus in the middle; look at its cable and port");
        }
        if self.is_wanted_at_once() || self.losses > LOSSES_MAX {
            return self.finish(now, PhoneLeft::Dirty);
        }
        self.go(now, Phase::AwaitReturn, self.brief.settings.return_grace, Step::Rest)
    }

    fn phone_returned(&mut self, now: Time) -> Vec<Step> {
        self.presence = Presence::Here;
        match self.phase {
            Phase::AwaitReturn => self.collect(now),
            _ => Vec::new(),
        }
    }

    fn tick(&mut self, now: Time) -> Vec<Step> {
        if now < self.wake_at() {
            return Vec::new();
        }
        let late = |what: &str, blame| Failure {
            blame,
            kind: FailureKind::Other,
            reason: format!("{what} took longer than its deadline"),
        };
        if self.is_running() && now >= self.last_call() {
            let minutes = self.brief.work.limit_ms / 60_000;
            self.fail(
                Blame::Job,
                StepName::Run,
                format!("the attempt ran longer than its {minutes} minutes"),
            );
            return self.collect(now);
        }
        if matches!(self.phase, Phase::Watch(_)) && now < self.wake_at {
            return self.aside_if_due(now);
        }
        match &self.phase {
            Phase::Check => self.failed(now, late("reading the phone's facts", Blame::Phone)),
            Phase::ListBefore => self.failed(now, late("listing crash files", Blame::Phone)),
            Phase::Fetch => self.failed(now, late("fetching the build", Blame::Farm)),
            Phase::Install => self.failed(now, late("installing the build", Blame::Phone)),
            Phase::Launch => {
                self.failed(now, Failure { kind: FailureKind::Silent, ..late("the launch", Blame::Phone) })
            }
            Phase::Watch(_) | Phase::Kill(_) | Phase::ProbeAfterHang(_) => {
                self.failed(now, late("the phone's answer", Blame::Phone))
            }
            Phase::Gather(gather) => match (&gather.stage, &gather.purpose) {
                (_, Purpose::Collect) if now >= gather.until => {
                    // A time that was cut short is nobody's fault: a later sweep takes the rest.
                    if !self.is_wanted_at_once() {
                        self.fail(Blame::Phone, StepName::Collect, "taking the crash files took too long");
                    }
                    self.upload(now)
                }
                (_, Purpose::Aside(_)) if now >= gather.until => self.aside_is_over(now),
                (Stage::Deleting(_), _) => self.failed(now, late("deleting a crash file", Blame::Phone)),
                (Stage::Resting, _) => self.list_again(now),
                (Stage::Listing, _) => self.failed(now, late("listing crash files", Blame::Phone)),
                (Stage::Pulling { .. }, _) => self.failed(now, late("copying a crash file", Blame::Phone)),
                (Stage::Storing { .. }, _) => self.failed(now, late("storing a crash file", Blame::Rack)),
            },
            Phase::Upload => self.delete_confirmed(now),
            Phase::Delete(_) => self.clean(now),
            Phase::Clean | Phase::AwaitReturn => self.finish(now, PhoneLeft::Dirty),
            Phase::Over => Vec::new(),
        }
    }

    fn failed(&mut self, now: Time, failure: Failure) -> Vec<Step> {
        let step = self.progress().step;
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Launch => self.launch_failed(now, failure),
            Phase::Gather(gather) => self.gather_failed(now, gather, failure),
            Phase::Delete(mut rest) => {
                // It stays on the phone and is known: a later sweep deletes it.
                rest.pop_front();
                self.delete(now, rest)
            }
            Phase::Clean => self.finish(now, PhoneLeft::Dirty),
            phase @ (Phase::Upload | Phase::AwaitReturn | Phase::Over) => self.stay(phase),
            Phase::Check
            | Phase::ListBefore
            | Phase::Fetch
            | Phase::Install
            | Phase::Watch(_)
            | Phase::Kill(_)
            | Phase::ProbeAfterHang(_) => {
                self.fail(failure.blame, step, failure.reason);
                self.collect(now)
            }
        }
    }

    // ---- check, fetch, install ----

    fn checked(&mut self, now: Time, facts: &PhoneFacts) -> Vec<Step> {
        if !matches!(self.phase, Phase::Check) {
            return Vec::new();
        }
        self.launched.clock_offset_ms = facts.clock_offset_ms;
        let (readiness, reason) = judge(facts, &self.brief.thresholds, &Readiness::Ready);
        let build = &self.brief.work.build;
        let is_there = facts.apps.iter().any(|app| {
            app.bundle_id == build.bundle_id
                && app.version == build.version
                && app.build_number == build.build_number
        });
        let needed = build.size_bytes.saturating_mul(ROOM_PER_ARCHIVE);
        let short_of_room = facts.storage.is_some_and(|storage| storage.free_bytes < needed);
        if self.brief.installed == Some(build.hash) && is_there {
            self.install = Install::Skipped;
        }
        if readiness != Readiness::Ready {
            self.fail(Blame::Phone, StepName::Check, reason);
            return self.collect(now);
        }
        if self.install == Install::Undecided && short_of_room {
            let (free, needed) =
                (facts.storage.map_or(0, |storage| storage.free_bytes) / 1_000_000, needed / 1_000_000);
            let reason = format!("the phone has {free} MB free, the build needs {needed} MB; free some");
            self.fail(Blame::Phone, StepName::Check, reason);
            return self.collect(now);
        }
        self.go(now, Phase::ListBefore, self.brief.settings.list, Step::ListCrashes)
    }

    fn listed(&mut self, now: Time, files: Vec<CrashFile>) -> Vec<Step> {
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::ListBefore => {
                self.before = Some(Before::of(&files));
                self.before_is_told = true;
                match self.install {
                    Install::Undecided => self.fetch(now),
                    Install::Skipped | Install::Done => self.next_launch(now),
                }
            }
            Phase::Gather(gather) if matches!(gather.stage, Stage::Listing) => {
                // Without a list from before, whatever is there may be old: nothing of it is this attempt's.
                let before = self.before.get_or_insert_with(|| Before::of(&files));
                let (wanted, old) = to_take(&files, before, &self.taken);
                let files = self.chosen(&gather.purpose, wanted, old);
                self.pull(now, gather, files)
            }
            other => self.stay(other),
        }
    }

    fn fetch(&mut self, now: Time) -> Vec<Step> {
        self.go(now, Phase::Fetch, self.brief.settings.fetch, Step::Fetch)
    }

    // ---- upload, delete, clean ----

    /// Waits until the daemon has every crash file, unless the phone is wanted elsewhere.
    fn upload(&mut self, now: Time) -> Vec<Step> {
        let waits = self.taken.values().any(|crash| !self.confirmed.contains(crash));
        if !waits || self.is_wanted_at_once() {
            return self.delete_confirmed(now);
        }
        if matches!(self.phase, Phase::Upload) {
            return Vec::new();
        }
        self.go(now, Phase::Upload, self.brief.settings.confirm, Step::Rest)
    }

    fn delete_confirmed(&mut self, now: Time) -> Vec<Step> {
        let confirmed = self.taken.iter().filter(|(_, crash)| self.confirmed.contains(crash));
        let files = confirmed.map(|(file, crash)| (file.clone(), *crash)).collect();
        self.delete(now, files)
    }

    fn delete(&mut self, now: Time, rest: VecDeque<(CrashFile, CrashId)>) -> Vec<Step> {
        match rest.front().cloned() {
            Some((file, crash)) => {
                let step = Step::Delete { file, crash };
                self.go(now, Phase::Delete(rest), self.brief.settings.delete, step)
            }
            None => self.clean(now),
        }
    }

    fn clean(&mut self, now: Time) -> Vec<Step> {
        self.go(now, Phase::Clean, self.brief.settings.kill, Step::KillApp)
    }

    fn finish(&mut self, now: Time, phone: PhoneLeft) -> Vec<Step> {
        self.phase = Phase::Over;
        let end = match &self.verdict {
            Verdict::Good => AttemptEnd::Passed,
            Verdict::Failed { blame, step, reason } => {
                AttemptEnd::Failed { blame: *blame, step: *step, reason: reason.clone() }
            }
            Verdict::Yielded => self.yielded(),
            Verdict::Revoked => AttemptEnd::Revoked,
        };
        self.close_case();
        let report = AttemptReport {
            attempt: self.brief.work.attempt,
            phone: self.brief.phone.clone(),
            lease: self.brief.lease,
            end,
            cases: std::mem::take(&mut self.results),
            crashes: self.crashes.iter().copied().collect(),
            started_at: self.started_at,
            ended_at: now,
        };
        let launched = Launched { ended_at: Some(now), ..self.launched.clone() };
        vec![Step::Finish(Box::new(Finished { report, phone, launched }))]
    }
}

impl Attempt {
    /// Crash files that are on the phone and have been taken, as far as this attempt knows.
    pub fn taken(&self) -> Vec<Taken> {
        let confirmed = |crash: &CrashId| self.confirmed.contains(crash);
        self.taken
            .iter()
            .map(|(file, crash)| Taken { file: file.clone(), crash: *crash, confirmed: confirmed(crash) })
            .collect()
    }
}
