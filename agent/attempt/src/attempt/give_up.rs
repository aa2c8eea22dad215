//! Giving the phone up before the work is done: a lease that was taken back, and a yield to more urgent work.
//!
//! A yield cuts the run: at the end of the case that runs, or at once. What is over when it is told ends as it
//! would have, only without waiting when the phone is wanted at once.

use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;

use super::{Attempt, Phase, Verdict};
use crate::step::{PhoneLeft, Step};

impl Attempt {
    pub(super) fn revoked(&mut self, now: Time) -> Vec<Step> {
        if self.verdict == Verdict::Revoked {
            return Vec::new();
        }
        self.verdict = Verdict::Revoked;
        match self.phase {
            Phase::AwaitReturn => self.finish(now, PhoneLeft::Dirty),
            Phase::Upload => self.upload(now),
            Phase::Delete(_) | Phase::Clean | Phase::Over => Vec::new(),
            _ => self.collect(now),
        }
    }

    pub(super) fn told_to_yield(&mut self, now: Time, when: YieldWhen) -> Vec<Step> {
        if self.verdict == Verdict::Revoked || self.yields >= Some(when) {
            return Vec::new();
        }
        self.yields = Some(when);
        if self.is_running() {
            return match when {
                YieldWhen::CaseDone => Vec::new(),
                YieldWhen::AtOnce => self.cut(now),
            };
        }
        let quick = now.after(self.brief.settings.quick_collect);
        match (&mut self.phase, when) {
            // No case has begun: there is none to be waited for.
            (Phase::Check | Phase::ListBefore | Phase::Fetch | Phase::Install, _) => self.cut(now),
            (_, YieldWhen::CaseDone) => Vec::new(),
            (Phase::Gather(gather), YieldWhen::AtOnce) => {
                gather.until = gather.until.min(quick);
                Vec::new()
            }
            (Phase::Upload, YieldWhen::AtOnce) => self.upload(now),
            (Phase::AwaitReturn, YieldWhen::AtOnce) => self.finish(now, PhoneLeft::Dirty),
            (
                Phase::Launch
                | Phase::Watch(_)
                | Phase::Kill(_)
                | Phase::ProbeAfterHang(_)
                | Phase::Delete(_)
                | Phase::Clean
                | Phase::Over,
                YieldWhen::AtOnce,
            ) => Vec::new(),
        }
    }

    /// Whether it was told to yield, so that no other case is to begin.
    pub(super) fn is_to_yield(&self) -> bool {
        self.yields.is_some()
    }

    /// Whether somebody waits for the phone: then nothing on it is waited for.
    pub(super) fn is_wanted_at_once(&self) -> bool {
        self.verdict == Verdict::Revoked || self.yields == Some(YieldWhen::AtOnce)
    }

    /// Ends the run here for a yield; cases are left.
    pub(super) fn cut(&mut self, now: Time) -> Vec<Step> {
        if self.verdict == Verdict::Good {
            self.verdict = Verdict::Yielded;
        }
        self.collect(now)
    }

    /// How an attempt ends that was cut by a yield: only cases that were run to their end count.
    pub(super) fn yielded(&self) -> AttemptEnd {
        AttemptEnd::Yielded { cases_done: self.cases_done, failure: self.first_failure() }
    }
}
