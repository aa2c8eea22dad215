//! What operators read and change beside jobs and phones: pools, schedules, owners, the configuration in force. Lists
//! are in [`Page`](crate::api::Page)s; all of them are whole.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::Mistake;
use crate::case::CaseRun;
use crate::id::{
    AttemptId, BuildHash, BundleId, CaseName, JobId, Owner, PoolName, RackId, ScheduleName, Slot, Udid,
};
use crate::job::JobClass;
use crate::sync::YieldWhen;
use crate::time::Time;

/// `GET /api/v1/pools`: a pool with the phones that are in it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolView {
    /// Its name.
    pub name: PoolName,
    /// The classes it serves.
    pub serves: Vec<JobClass>,
    /// Classes that may use its phones while they are idle.
    pub lends: Vec<JobClass>,
    /// The only owners whose jobs it takes; empty: anyone's.
    pub only: Vec<Owner>,
    /// Its phones, by rack and slot.
    pub phones: Vec<PooledPhone>,
}

/// A phone, as its pool shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PooledPhone {
    /// The phone.
    pub udid: Udid,
    /// Its rack.
    pub rack: RackId,
    /// Its slot there.
    pub slot: Slot,
    /// Whether an operator put it here, against or beside what the pools file says.
    pub by_hand: bool,
}

/// `PUT /api/v1/phones/{udid}/pool`: into which pool an operator puts a phone. `DELETE` goes back to the pools file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolChoice {
    /// The pool.
    pub pool: PoolName,
}

/// What a phone's pool is now; the answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolChoiceView {
    /// The phone.
    pub phone: Udid,
    /// Its pool; a phone in none gets no work.
    pub pool: Option<PoolName>,
    /// The pool that an operator chose; none when the pools file decides.
    pub by_hand: Option<PoolName>,
    /// The pool that the pools file gives it.
    pub by_file: Option<PoolName>,
}

/// `GET /api/v1/sources`: what the farm looks up outside itself, and whether that works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourcesView {
    /// The mirrors of the apps' repositories, by app.
    pub mirrors: Vec<MirrorView>,
    /// The symbol server, if there is one.
    #[serde(default)]
    pub symbol_server: Option<SymbolServerView>,
}

/// A server that is asked for the dSYMs that nobody uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SymbolServerView {
    /// Its name and port.
    pub server: String,
    /// dSYMs that it gave since the daemon's start.
    pub found: u64,
    /// dSYMs for which it was asked in vain.
    pub missing: u64,
    /// Why it did not serve the last time it was asked; none when it did, be it to say that it has none.
    pub trouble: Option<String>,
}

/// A mirror of an app's repository: from it come the order of builds and the authors of commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MirrorView {
    /// The app.
    pub app: BundleId,
    /// The folder of the repository.
    pub mirror: String,
    /// When it was read last.
    pub read_at: Time,
    /// Commits that are known of it: those that builds were made of, and what they follow.
    pub commits: u64,
    /// Commits of builds that it does not have, as their uploaders said them; at most twenty.
    pub missing: Vec<String>,
    /// Why it could not be read the last time, and what to do; what was read before still counts.
    pub trouble: Option<String>,
}

/// `GET /api/v1/schedules`: a schedule and how it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduleView {
    /// Its name.
    pub name: ScheduleName,
    /// When, as a cron expression.
    pub cron: String,
    /// In which time zone.
    pub zone: String,
    /// What becomes of firings that nobody was there for: `skip`, `run_once` or `run_all`.
    pub missed: String,
    /// The class of its jobs.
    pub class: JobClass,
    /// Which build its jobs test, in words.
    pub build: String,
    /// Who is asked about its jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Its next firings, at most five; empty when it will never fire again.
    pub next: Vec<Time>,
    /// The last firing that was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fired: Option<Time>,
    /// The job that the last firing submitted; none when it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<JobId>,
    /// Why the last firing submitted nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `POST /api/v1/schedules/{name}/run`: the job that was submitted out of turn. The calendar goes on as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduleRun {
    /// The schedule.
    pub schedule: ScheduleName,
    /// Its job.
    pub job: JobId,
}

/// `GET /api/v1/owners`: an owner's share, limits, and what he uses of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnerView {
    /// Who; none: jobs that name no owner, taken together.
    pub owner: Option<Owner>,
    /// His share while several owners want phones: weight 2 gets twice that of weight 1.
    pub weight: u32,
    /// Jobs of his that may run at once; none: no limit.
    pub running_max: Option<u32>,
    /// Phone-minutes of one UTC day; none: no limit.
    pub minutes_per_day: Option<u32>,
    /// Where these come from.
    pub limits_from: LimitsFrom,
    /// Phone-minutes used this UTC day, rounded down; counted for owners with a quota only.
    pub minutes_used_today: Option<u64>,
    /// Whether the quota of today is used up: his jobs wait below everything else.
    pub over_quota: bool,
    /// Jobs of his that run.
    pub running: usize,
    /// Jobs of his that wait.
    pub waiting: usize,
}

/// Where an owner's share and limits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LimitsFrom {
    /// An operator said them: `holdfast owner quota`.
    Hand,
    /// The owner's entry in the pools file.
    File,
    /// `default_owner` of the pools file.
    Default,
}

/// `PUT /api/v1/owners/{owner}/limits`: what an operator says an owner's share and limits are, all of them, until
/// `DELETE` goes back to the pools file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnerLimits {
    /// Share, 1 to 1000.
    #[serde(default = "one")]
    pub weight: u32,
    /// Jobs that may run at once, from 1; no limit when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_max: Option<u32>,
    /// Phone-minutes of one UTC day, from 1; no limit when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes_per_day: Option<u32>,
}

impl fmt::Display for OwnerLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weight, running_max, minutes_per_day } = self;
        write!(f, "weight {weight}")?;
        running_max.map_or(Ok(()), |most| write!(f, ", {most} running"))?;
        minutes_per_day.map_or(Ok(()), |most| write!(f, ", {most} minutes a day"))
    }
}

fn one() -> u32 {
    1
}

/// `GET /api/v1/cases`: a case of the catalogue, and how it has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaseView {
    /// Its name.
    pub name: CaseName,
    /// Who is asked when it fails.
    pub owner: Owner,
    /// What it does on the phone.
    pub run: CaseRun,
    /// How it has gone.
    #[serde(default)]
    pub stats: CaseStats,
}

/// How a case has gone so far, whatever job it was run for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaseStats {
    /// How often it was run.
    pub runs: u64,
    /// How often it passed.
    pub passed: u64,
    /// How often it failed.
    pub failed: u64,
    /// How often it went otherwise than the run before it on the very same build: what flakes.
    pub flaky: u64,
    /// Of a hundred runs, how many passed, rounded down; none when it was never run.
    pub passed_percent: Option<u8>,
    /// Of a hundred runs, how many failed, rounded up; none when it was never run.
    pub failed_percent: Option<u8>,
    /// Of a hundred runs, how many were flaky, rounded up; none when it was never run.
    pub flaky_percent: Option<u8>,
    /// Runs that are remembered one by one, at most fifty: the last ones.
    pub recent_runs: u64,
    /// How many of these failed.
    pub recent_failed: u64,
    /// The last failures among these, newest first, at most five.
    pub last_failures: Vec<CaseFailure>,
}

impl CaseStats {
    /// In a few words: `passed 96 % of 50 runs, flaky 4 %`.
    pub fn words(&self) -> String {
        let (Some(passed), Some(flaky)) = (self.passed_percent, self.flaky_percent) else {
            return "never run".to_owned();
        };
        let runs = if self.runs == 1 { "run" } else { "runs" };
        let flakes = if self.flaky == 0 { String::new() } else { format!(", flaky {flaky} %") };
        format!("passed {passed} % of {} {runs}{flakes}", self.runs)
    }
}

/// One failure of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaseFailure {
    /// When the daemon knew.
    pub at: Time,
    /// On which build.
    pub build: BuildHash,
    /// In which attempt; none for runs of before this was kept.
    pub attempt: Option<AttemptId>,
}

/// `GET /api/v1/config`: the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigView {
    /// Since when it is in force: the start of the daemon or the last reload that was taken.
    pub loaded_at: Time,
    /// The files it was read from.
    pub files: Vec<ConfigFile>,
    /// What is legal but odd in them.
    pub warnings: Vec<String>,
    /// How classes are served, first served first.
    pub classes: Vec<ClassView>,
    /// Windows of time, by name.
    pub windows: Vec<WindowView>,
    /// The last reload that was refused; none when there was none since the last one that was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedReload>,
}

/// A file of the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigFile {
    /// Its path on the daemon's machine.
    pub path: String,
    /// What it is: `daemon`, `pools`, `schedules` or `cases`.
    pub kind: String,
    /// Whether a reload reads it again; `holdfastd.yaml` itself is read at the start only.
    pub reloaded: bool,
}

/// How one class is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClassView {
    /// The class.
    pub class: JobClass,
    /// 0 is served first.
    pub rank: u8,
    /// Whether no lifted job of another class goes before it.
    pub strict: bool,
    /// Seconds after which a waiting job goes before everything that is not strict; none: never.
    pub lift_after_s: Option<u64>,
    /// Whether it gives its phone up to classes of a better rank.
    pub preemptible: bool,
    /// How it takes a phone from preemptible work; none: it waits for the end.
    pub takes: Option<YieldWhen>,
    /// The window in which its jobs start; none: always.
    pub window: Option<String>,
}

/// A window of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WindowView {
    /// Its name.
    pub name: String,
    /// Whether it is open now.
    pub open: bool,
    /// When that changes; none: never.
    pub changes_at: Option<Time>,
}

/// A reload that was refused whole; what was in force before still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedReload {
    /// When.
    pub at: Time,
    /// Every mistake: the place is file, line, column and path.
    pub mistakes: Vec<Mistake>,
}

/// `POST /api/v1/config/reload`: what a reload changed. A bad set of files is answered with a problem instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reloaded {
    /// Since when the new configuration is in force.
    pub loaded_at: Time,
    /// What changed, in words, one line each; empty when nothing did.
    pub changes: Vec<String>,
    /// What is legal but odd in the files.
    pub warnings: Vec<String>,
}
