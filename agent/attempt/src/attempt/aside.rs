//! Taking crash files in the middle of the run: after each case, and when the phone's own log tells of them. A few at a
//! time, so that a storm of them holds no launch up; what is left waits for the next time, or for a later sweep.

use std::collections::VecDeque;
use std::time::Duration;

use holdfast_wire::case::CaseRun;
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::CrashId;
use holdfast_wire::time::Time;

use super::{Attempt, Gather, Phase, Presence, Purpose, Stage};
use crate::launches::{Launching, launches_of};
use crate::step::{Step, Told};

/// Files taken aside at once, and as many deleted: under a second over a cable.
pub(super) const ASIDE_FILES_MAX: usize = 16;

/// From the end of one aside to the next that is not urgent: a phone that tells of a file every second is still
/// watched most of the time.
const ASIDE_PAUSE: Duration = Duration::from_secs(5);

/// The same when the phone is near a limit: each file counts then, and the run still goes on between.
const URGENT_PAUSE: Duration = Duration::from_secs(1);

/// What is known of asides.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// What the phone told since the last one.
    told: Option<Told>,
    /// The phone may tell of a file a moment before it shows it: then it is looked for once more.
    is_owed: bool,
    /// The phone said that it is near a limit: what is confirmed is deleted at once.
    is_urgent: bool,
    /// When the last one was over.
    over_at: Option<Time>,
    /// When the watch under way is over.
    watch_until: Time,
    /// How long the process under watch had lived when it was watched anew, milliseconds.
    watched_before_ms: u64,
}

/// What goes on after an aside.
#[derive(Debug)]
pub(super) enum Resume {
    /// The rest of a watch.
    Watch(Launching),
    /// The next launch, or what comes after the last.
    NextLaunch,
}

impl Attempt {
    pub(super) fn told_of_crashes(&mut self, now: Time, told: Told) -> Vec<Step> {
        self.aside.told = self.aside.told.max(Some(told));
        self.aside.is_urgent = told == Told::NearLimit;
        self.aside.is_owed = true;
        self.aside_if_due(now)
    }

    /// The daemon has more: near a limit it goes from the phone at once.
    pub(super) fn confirmed_aside(&mut self, now: Time) -> Vec<Step> {
        if self.aside.is_urgent && self.taken.values().any(|crash| self.confirmed.contains(crash)) {
            self.aside.told = Some(Told::NearLimit);
        }
        self.aside_if_due(now)
    }

    /// When a watch is to be broken off for an aside.
    pub(super) fn aside_at(&self) -> Time {
        match self.aside_from() {
            Some(from) if from < self.aside.watch_until => from,
            _ => self.wake_at,
        }
    }

    /// When what was told may be looked after; none when nothing was.
    fn aside_from(&self) -> Option<Time> {
        let pause = match self.aside.told? {
            Told::Saved => ASIDE_PAUSE,
            Told::NearLimit => URGENT_PAUSE,
        };
        Some(self.aside.over_at.map_or(self.started_at, |over_at| over_at.after(pause)))
    }

    /// Breaks a watch off when there is something to take, and time.
    pub(super) fn aside_if_due(&mut self, now: Time) -> Vec<Step> {
        if self.aside_from().is_none_or(|from| now < from) {
            return Vec::new();
        }
        let is_too_late = now >= self.aside.watch_until;
        if is_too_late || self.is_wanted_at_once() || self.presence == Presence::Away {
            // No more in this watch; what comes after it takes the files.
            self.aside.watch_until = self.started_at;
            return Vec::new();
        }
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Watch(launching) => {
                let alive_ms = self.watched_ms(now);
                self.aside(now, Resume::Watch(Launching { alive_ms, ..launching }))
            }
            other => self.stay(other),
        }
    }

    /// A watch of a process begins.
    pub(super) fn watch(&mut self, now: Time, launching: Launching) -> Vec<Step> {
        self.aside.watch_until = now.after(self.to_live());
        self.watch_on(now, launching)
    }

    fn watch_on(&mut self, now: Time, launching: Launching) -> Vec<Step> {
        self.aside.watched_before_ms = self.watched_ms(now);
        let limit = self.aside.watch_until.since(now);
        let step = launching.pid.map_or(Step::KillApp, |pid| Step::Watch { pid, limit });
        self.go(now, Phase::Watch(launching), limit + self.brief.settings.margin, step)
    }

    /// How long a process lived that was seen alive for so long in the watch under way.
    pub(super) fn lived_ms(&self, launching: &Launching, alive: Duration) -> u64 {
        let alive_ms = millis(alive);
        // One that was not seen again died during the aside.
        if alive_ms == 0 { launching.alive_ms } else { self.aside.watched_before_ms.saturating_add(alive_ms) }
    }

    /// Goes on after a launch: aside when a case is over or the phone told of files, unless all are taken anyway.
    pub(super) fn after_launch(&mut self, now: Time) -> Vec<Step> {
        let done = self.launches.len();
        let case_is_over = self.case().is_some_and(|case| done >= launches_of(case) as usize);
        if case_is_over {
            // What comes now is not part of it any more.
            self.case_done();
        }
        let is_wanted = case_is_over || self.aside.told.is_some();
        if is_wanted && self.case().is_some() && !self.is_to_yield() {
            return self.aside(now, Resume::NextLaunch);
        }
        self.next_launch(now)
    }

    /// The files to take now, the most telling first.
    pub(super) fn chosen(
        &mut self,
        purpose: &Purpose,
        mut came: Vec<CrashFile>,
        old: Vec<CrashFile>,
    ) -> VecDeque<CrashFile> {
        let most = match purpose {
            Purpose::Look(_) => {
                // The report of the launch that has just ended is of the app and the newest.
                came.sort_by_key(|file| (!self.launched.is_named_in(file), u64::MAX - file.modified_ns));
                super::gather::LOOK_FILES_MAX
            }
            Purpose::Aside(_) => {
                came.extend(old);
                let is_missing = came.is_empty() && self.aside.is_owed;
                self.aside.is_owed = false;
                if is_missing || came.len() > ASIDE_FILES_MAX {
                    self.aside.told = self.aside.told.max(Some(Told::Saved));
                }
                ASIDE_FILES_MAX
            }
            Purpose::Collect => {
                came.extend(old);
                super::gather::COLLECT_FILES_MAX
            }
        };
        came.truncate(most);
        came.into()
    }

    /// What the daemon has is deleted first: it makes room for what the phone still has to say.
    fn aside(&mut self, now: Time, resume: Resume) -> Vec<Step> {
        self.aside.told = None;
        let until = now.after(self.brief.settings.quick_collect);
        let gather =
            Gather { purpose: Purpose::Aside(resume), stage: Stage::Listing, until, failures_in_a_row: 0 };
        let confirmed = self.taken.iter().filter(|(_, crash)| self.confirmed.contains(crash));
        let files = confirmed.take(ASIDE_FILES_MAX).map(|(file, crash)| (file.clone(), *crash)).collect();
        self.delete_aside(now, gather, files)
    }

    fn delete_aside(&mut self, now: Time, gather: Gather, rest: VecDeque<(CrashFile, CrashId)>) -> Vec<Step> {
        let settings = &self.brief.settings;
        let (limit, step) = match rest.front().cloned() {
            Some((file, crash)) => (settings.delete, Step::Delete { file, crash }),
            None => (settings.list, Step::ListCrashes),
        };
        let stage = if rest.is_empty() { Stage::Listing } else { Stage::Deleting(rest) };
        self.go(now, Phase::Gather(Gather { stage, ..gather }), limit, step)
    }

    pub(super) fn deleted_aside(&mut self, now: Time, gather: Gather) -> Vec<Step> {
        match gather.stage {
            Stage::Deleting(mut rest) => {
                if let Some((file, _)) = rest.pop_front() {
                    self.taken.remove(&file);
                }
                self.delete_aside(now, Gather { stage: Stage::Listing, ..gather }, rest)
            }
            stage => self.stay(Phase::Gather(Gather { stage, ..gather })),
        }
    }

    /// Goes on with what the aside broke off. Whatever failed in it shows itself there, if it matters.
    pub(super) fn aside_is_over(&mut self, now: Time) -> Vec<Step> {
        self.aside.over_at = Some(now);
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Gather(Gather { purpose: Purpose::Aside(resume), .. }) => match resume {
                Resume::Watch(launching) => self.watch_on(now, launching),
                Resume::NextLaunch => self.next_launch(now),
            },
            other => self.stay(other),
        }
    }

    /// How long the case wants a launch to live.
    fn to_live(&self) -> Duration {
        match self.case().map(|case| &case.run) {
            Some(CaseRun::Launch { stay_ms, .. }) => Duration::from_millis(*stay_ms),
            None => Duration::ZERO,
        }
    }

    fn watched_ms(&self, now: Time) -> u64 {
        millis(self.to_live().saturating_sub(self.aside.watch_until.since(now)))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
