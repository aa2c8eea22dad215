//! Taking crash files: list, plan the difference, pull, store, one after the other; after a launch that ended by
//! itself, or at the end. Which file to take and whose it is is `plan`'s.

use std::collections::VecDeque;

use holdfast_wire::crash::{CrashFile, CrashOrigin};
use holdfast_wire::id::CrashId;
use holdfast_wire::outcome::{LaunchEnd, StepName};
use holdfast_wire::time::Time;

use super::{Attempt, Gather, PULL_FAILURES_MAX, Phase, Purpose, Stage};
use crate::launches::{Launching, case_result};
use crate::plan::{Current, Peek, attempt_of, case_of};
use crate::step::{Failure, FailureKind, Step};

/// Files taken to find out how one launch ended: the report that is looked for is among the newest.
pub(super) const LOOK_FILES_MAX: usize = 16;

/// Files taken at the end of an attempt: a storm of them must not hold the phone; later sweeps take the rest.
pub(super) const COLLECT_FILES_MAX: usize = 200;

impl Attempt {
    pub(super) fn gather(&mut self, now: Time, purpose: Purpose, until: Time) -> Vec<Step> {
        let gather = Gather { purpose, stage: Stage::Listing, until, failures_in_a_row: 0 };
        self.go(now, Phase::Gather(gather), self.brief.settings.list, Step::ListCrashes)
    }

    pub(super) fn collect(&mut self, now: Time) -> Vec<Step> {
        let settings = &self.brief.settings;
        let limit = if self.is_wanted_at_once() { settings.quick_collect } else { settings.collect };
        self.close_case();
        self.gather(now, Purpose::Collect, now.after(limit))
    }

    /// An unfinished case is told as far as it went.
    pub(super) fn close_case(&mut self) {
        if !self.launches.is_empty()
            && let Some(case) = self.case().cloned()
        {
            self.results.push(case_result(&case, std::mem::take(&mut self.launches)));
        }
    }

    pub(super) fn list_again(&mut self, now: Time) -> Vec<Step> {
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Gather(gather) => {
                let gather = Gather { stage: Stage::Listing, ..gather };
                self.go(now, Phase::Gather(gather), self.brief.settings.list, Step::ListCrashes)
            }
            other => self.stay(other),
        }
    }

    /// Pulls the next file; when none is left, sees whether that was enough.
    pub(super) fn pull(&mut self, now: Time, mut gather: Gather, mut rest: VecDeque<CrashFile>) -> Vec<Step> {
        let found = match &gather.purpose {
            Purpose::Look(launching) => launching.pid.and_then(|pid| self.by_pid.get(&pid)).copied(),
            Purpose::Aside(_) | Purpose::Collect => None,
        };
        if found.is_none()
            && let Some(file) = rest.pop_front()
        {
            let step = Step::Pull { file: file.clone() };
            gather.stage = Stage::Pulling { file, rest };
            return self.go(now, Phase::Gather(gather), self.brief.settings.pull, step);
        }
        let look_is_over = found.is_some() || now >= gather.until;
        gather.stage = Stage::Resting;
        match gather.purpose {
            Purpose::Collect => self.upload(now),
            Purpose::Aside(_) => {
                self.phase = Phase::Gather(gather);
                self.aside_is_over(now)
            }
            Purpose::Look(_) if look_is_over => {
                self.phase = Phase::Gather(gather);
                self.look_is_over(now, found)
            }
            Purpose::Look(_) => self.go(now, Phase::Gather(gather), self.brief.settings.relist, Step::Rest),
        }
    }

    pub(super) fn look_is_over(&mut self, now: Time, found: Option<CrashId>) -> Vec<Step> {
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Gather(Gather { purpose: Purpose::Look(launching), .. }) => {
                let end = found.map_or(LaunchEnd::Exited, |crash| LaunchEnd::Crashed { crash });
                self.launch_done(now, launching, end)
            }
            other => self.stay(other),
        }
    }

    pub(super) fn pulled(&mut self, now: Time, crash: CrashId, peek: &Peek) -> Vec<Step> {
        let (gather, file, rest) = match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Gather(Gather { stage: Stage::Pulling { file, rest }, purpose, until, .. }) => {
                (Gather { stage: Stage::Listing, purpose, until, failures_in_a_row: 0 }, file, rest)
            }
            other => return self.stay(other),
        };
        let was_there = self.before.as_ref().is_none_or(|before| before.has(&file));
        let seen_before = self.taken.values().any(|taken| *taken == crash) && !self.crashes.contains(&crash);
        let current = match (was_there, seen_before) {
            (_, true) => Current::None,
            (false, _) => Current::Came(&self.launched),
            (true, _) if self.before_is_told => Current::None,
            (true, _) => Current::MayHaveCome(&self.launched),
        };
        let attempt = attempt_of(peek, current, &self.brief.earlier);
        if attempt == Some(self.launched.attempt) {
            self.crashes.insert(crash);
            for pid in peek.pids.intersection(&self.launched.pids) {
                self.by_pid.entry(*pid).or_insert(crash);
            }
            // A report too broken to name its process is held against the launch after which it appeared.
            if let Purpose::Look(Launching { pid: Some(pid), .. }) = &gather.purpose
                && peek.pids.is_empty()
                && self.launched.is_named_in(&file)
            {
                self.by_pid.entry(*pid).or_insert(crash);
            }
        }
        let known = std::iter::once(&self.launched).chain(&self.brief.earlier);
        let case = attempt.and_then(|attempt| case_of(peek, attempt, known));
        let origin = CrashOrigin {
            id: crash,
            phone: self.brief.phone.clone(),
            rack: self.brief.rack.clone(),
            path: file.path.clone(),
            size_bytes: file.size_bytes,
            collected_at: now,
            attempt,
            case,
        };
        let step = Step::Store { file: file.clone(), origin };
        let gather = Gather { stage: Stage::Storing { file, crash, rest }, ..gather };
        self.go(now, Phase::Gather(gather), self.brief.settings.store, step)
    }

    pub(super) fn stored(&mut self, now: Time) -> Vec<Step> {
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Gather(Gather { stage: Stage::Storing { file, crash, rest }, purpose, until, .. }) => {
                self.taken.insert(file, crash);
                self.pull(now, Gather { purpose, stage: Stage::Listing, until, failures_in_a_row: 0 }, rest)
            }
            other => self.stay(other),
        }
    }

    pub(super) fn gather_failed(&mut self, now: Time, gather: Gather, failure: Failure) -> Vec<Step> {
        if matches!(gather.purpose, Purpose::Aside(_)) {
            self.phase = Phase::Gather(gather);
            return self.aside_is_over(now);
        }
        let Gather { purpose, stage, until, failures_in_a_row } = gather;
        let (rest, missing) = match stage {
            Stage::Pulling { rest, .. } => (Some(rest), failure.kind == FailureKind::FileMissing),
            Stage::Storing { rest, .. } => (Some(rest), false),
            Stage::Listing | Stage::Deleting(_) | Stage::Resting => (None, false),
        };
        let gather =
            |failures_in_a_row, purpose| Gather { purpose, stage: Stage::Listing, until, failures_in_a_row };
        match (purpose, rest) {
            // The phone moved or deleted it meanwhile; a later listing shows where to.
            (purpose, Some(rest)) if missing => self.pull(now, gather(failures_in_a_row, purpose), rest),
            // The rack has no room for more of this phone: the files are safe where they are.
            (purpose, _) if failure.kind == FailureKind::SpoolFull => {
                self.pull(now, gather(failures_in_a_row, purpose), VecDeque::new())
            }
            (Purpose::Collect, rest) => {
                self.fail(failure.blame, StepName::Collect, failure.reason);
                match rest {
                    Some(rest) if failures_in_a_row + 1 < PULL_FAILURES_MAX => {
                        self.pull(now, gather(failures_in_a_row + 1, Purpose::Collect), rest)
                    }
                    _ => self.upload(now),
                }
            }
            (Purpose::Look(_) | Purpose::Aside(_), _) => {
                self.fail(failure.blame, StepName::Run, failure.reason);
                self.collect(now)
            }
        }
    }
}
