//! The run: launch after launch, each started, watched, ended, and told apart. Taking crash files is in `gather`.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::id::Udid;
use holdfast_wire::outcome::{Blame, LaunchEnd, StepName};
use holdfast_wire::time::Time;

use super::{Attempt, Install, Phase, Purpose};
use crate::launches::{Launching, case_result, launches_of};
use crate::step::{Failure, FailureKind, PhoneLeft, Step};

impl Attempt {
    /// Launches again, or goes on to collect: when every case is done, or between two cases when it is to yield.
    pub(super) fn next_launch(&mut self, now: Time) -> Vec<Step> {
        while let Some(case) = self.case().cloned() {
            if self.is_to_yield() && self.launches.is_empty() {
                return self.cut(now);
            }
            let number = u32::try_from(self.launches.len()).unwrap_or(u32::MAX);
            if number < launches_of(&case) {
                let CaseRun::Launch { launch_timeout_ms, arguments, .. } = &case.run;
                let timeout = Duration::from_millis(*launch_timeout_ms);
                let environment = self.environment(&case);
                self.launched.begin(&case.name, now);
                let step = Step::Launch { arguments: arguments.clone(), environment, timeout };
                return self.go(now, Phase::Launch, timeout + self.brief.settings.margin, step);
            }
            self.case_done();
        }
        if let Some(reason) = self.first_failure() {
            self.fail(Blame::Job, StepName::Run, reason);
        }
        self.collect(now)
    }

    /// The case that runs has had all its launches.
    pub(super) fn case_done(&mut self) {
        if let Some(case) = self.case().cloned() {
            self.results.push(case_result(&case, std::mem::take(&mut self.launches)));
            self.cases_done += 1;
        }
    }

    /// Why the first case failed that was run to its end, for people.
    pub(super) fn first_failure(&self) -> Option<String> {
        let mut done = self.results.iter().take(self.cases_done as usize);
        done.find_map(|result| Some(format!("case {}: {}", result.case, result.failure.as_ref()?)))
    }

    /// What the app is told: a phone's own log then shows which lease each of its launches served, and one of
    /// several apps of a job knows the phones of the others.
    fn environment(&self, case: &Case) -> BTreeMap<String, String> {
        let attempt = self.brief.work.attempt;
        let peers: Vec<&str> = self.brief.work.with.iter().map(Udid::as_str).collect();
        let peers = (!peers.is_empty()).then(|| ("HOLDFAST_PEERS", peers.join(",")));
        let told = [
            ("HOLDFAST_JOB", attempt.job.to_string()),
            ("HOLDFAST_ATTEMPT", attempt.to_string()),
            ("HOLDFAST_LEASE", self.brief.lease.to_string()),
            ("HOLDFAST_CASE", case.name.to_string()),
        ];
        told.into_iter().chain(peers).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub(super) fn launched(&mut self, now: Time, pid: u32, took: Duration) -> Vec<Step> {
        if !matches!(self.phase, Phase::Launch) {
            return Vec::new();
        }
        self.launched.name(pid);
        let launching = Launching { pid: Some(pid), launch_ms: millis(took), alive_ms: 0 };
        self.watch(now, launching)
    }

    pub(super) fn launch_failed(&mut self, now: Time, failure: Failure) -> Vec<Step> {
        match failure.kind {
            FailureKind::Silent => {
                self.launched.unnamed += 1;
                let launch_ms = match self.case().map(|case| &case.run) {
                    Some(CaseRun::Launch { launch_timeout_ms, .. }) => *launch_timeout_ms,
                    None => 0,
                };
                let launching = Launching { pid: None, launch_ms, alive_ms: 0 };
                self.go(now, Phase::ProbeAfterHang(launching), self.brief.settings.kill, Step::KillApp)
            }
            // Somebody took the app off since we put it there.
            FailureKind::AppMissing if self.install == Install::Skipped => {
                if self.is_to_yield() {
                    // To put it back takes longer than the case may.
                    return self.cut(now);
                }
                self.install = Install::Undecided;
                self.fetch(now)
            }
            FailureKind::AppMissing
            | FailureKind::FileMissing
            | FailureKind::SpoolFull
            | FailureKind::Other => {
                self.fail(failure.blame, StepName::Run, failure.reason);
                self.collect(now)
            }
        }
    }

    pub(super) fn ended(&mut self, now: Time, alive: Duration) -> Vec<Step> {
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Watch(launching) => {
                let launching = Launching { alive_ms: self.lived_ms(&launching, alive), ..launching };
                let until = now.after(self.brief.settings.crash_grace);
                self.gather(now, Purpose::Look(launching), until)
            }
            other => self.stay(other),
        }
    }

    pub(super) fn still_alive(&mut self, now: Time) -> Vec<Step> {
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Watch(launching) => {
                let alive_ms = match self.case().map(|case| &case.run) {
                    Some(CaseRun::Launch { stay_ms, .. }) => *stay_ms,
                    None => 0,
                };
                let step = launching.pid.map_or(Step::KillApp, |pid| Step::Kill { pid });
                let phase = Phase::Kill(Launching { alive_ms, ..launching });
                self.go(now, phase, self.brief.settings.kill, step)
            }
            other => self.stay(other),
        }
    }

    pub(super) fn killed(&mut self, now: Time) -> Vec<Step> {
        match std::mem::replace(&mut self.phase, Phase::Clean) {
            Phase::Kill(launching) => self.launch_done(now, launching, LaunchEnd::Stayed),
            Phase::ProbeAfterHang(launching) => self.launch_done(now, launching, LaunchEnd::Hung),
            Phase::Clean => self.finish(now, PhoneLeft::Clean),
            other => self.stay(other),
        }
    }

    pub(super) fn launch_done(&mut self, now: Time, launching: Launching, end: LaunchEnd) -> Vec<Step> {
        let number = u32::try_from(self.launches.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.launches.push(launching.ended(number, end));
        self.after_launch(now)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
