//! The schedules file → what the calendar submits, and when. Which firings are due, and the build that a firing finds,
//! are in [`crate::schedules`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_calendar::{CalendarError, Missed, Schedule};
use holdfast_wire::case::Case;
use holdfast_wire::id::{BuildHash, BundleId, CaseName, Owner, ScheduleName};
use holdfast_wire::job::{JobClass, PHONES_PER_JOB_MAX};
use holdfast_wire::requirement::Requirements;
use schemars::JsonSchema;
use serde::Deserialize;

use super::cases::Catalogue;
use super::classes::utc;
use super::yaml::{Mistake, Source};
use crate::http::jobs::CASES_MAX;

/// Schedules, at most: each is looked at whenever one is due.
const SCHEDULES_MAX: usize = 1_000;

/// The latest start that may be asked for, seconds: 30 days. A job that waits longer is forgotten by people.
const START_WITHIN_S_MAX: u64 = 30 * 86_400;

/// Longest name of a branch, bytes: git itself keeps them in file names.
const BRANCH_BYTES_MAX: usize = 250;

/// A schedule, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: ScheduleName,
    /// When it fires.
    pub when: Schedule,
    /// What becomes of firings that nobody was there for.
    pub missed: Missed,
    /// What each firing submits.
    pub job: PlannedJob,
}

/// The job that a firing submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// Who goes first.
    pub class: JobClass,
    /// Which build it tests.
    pub build: Pick,
    /// What it runs.
    pub cases: Arc<Vec<Case>>,
    /// Which phones will do.
    pub requirements: Arc<Requirements>,
    /// Inside the class, higher goes first.
    pub priority: i32,
    /// Who is asked about it.
    pub owner: Option<Owner>,
    /// Phones that it needs at once.
    pub phones: u16,
    /// Not started so long after it was submitted, it is expired.
    pub start_within: Option<Duration>,
}

/// Which build a firing tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    Hash(BuildHash),
    /// The one of a branch that was uploaded last.
    Newest(Branch),
    /// The one of a branch that the fewest jobs have tested; of equals, the newest.
    LeastTested(Branch),
}

/// The builds of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The branch.
    pub name: String,
    /// Builds of this app alone.
    pub bundle_id: Option<BundleId>,
}

impl std::fmt::Display for Pick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (which, branch) = match self {
            Self::Hash(hash) => return write!(f, "build {}", hash.short()),
            Self::Newest(branch) => ("newest", branch),
            Self::LeastTested(branch) => ("least tested", branch),
        };
        write!(f, "the {which} build of branch {}", branch.name)?;
        branch.bundle_id.as_ref().map_or(Ok(()), |app| write!(f, " of {app}"))
    }
}

/// What the calendar submits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "schedules.yaml of Holdfast")]
pub(super) struct Raw {
    /// The schedules.
    schedules: Vec<RawSchedule>,
}

/// A job that is submitted by the calendar.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSchedule {
    /// Its name.
    name: ScheduleName,
    /// When, as a cron expression: five fields (minute hour day month weekday), or six with the second first.
    cron: String,
    /// The time zone of the expression, like `Europe/Berlin`.
    #[serde(default = "utc")]
    zone: String,
    /// What becomes of firings that nobody was there for.
    #[serde(default)]
    #[schemars(with = "MissedWord")]
    missed: Missed,
    /// What each firing submits.
    job: RawJob,
}

/// What becomes of firings while the daemon was down.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the calendar's own type in the schema")]
enum MissedWord {
    /// They are left out.
    Skip,
    /// The latest of them is served, in the name of all.
    RunOnce,
    /// Each is served.
    RunAll,
}

/// The job that a firing submits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawJob {
    /// Who goes first.
    class: JobClass,
    /// Which build it tests.
    build: RawBuild,
    /// Cases of the farm's catalogue, in this order.
    cases: Vec<CaseName>,
    /// Which phones will do.
    #[serde(default)]
    requirements: Requirements,
    /// Inside the class, higher goes first.
    #[serde(default)]
    priority: i32,
    /// Who is asked about it.
    owner: Option<Owner>,
    /// Phones that it needs at once.
    #[serde(default = "one_phone")]
    #[schemars(range(min = 1, max = 16))]
    phones: u16,
    /// Not started so many seconds after it was submitted, it is expired.
    #[schemars(range(min = 1))]
    start_within_s: Option<u64>,
}

fn one_phone() -> u16 {
    1
}

/// A build by its hash, or one of a branch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawBuild {
    /// This very build.
    hash: Option<BuildHash>,
    /// A build of this branch.
    branch: Option<String>,
    /// Which build of the branch.
    pick: Option<RawPick>,
    /// Builds of this app alone.
    bundle_id: Option<BundleId>,
}

/// Which build of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawPick {
    /// The one that was uploaded last.
    Newest,
    /// The one that the fewest jobs have tested; of equals, the newest.
    LeastTested,
}

/// Reads and checks the schedules file. Cases are looked for in the catalogue; without one, they are not looked at.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn read(file: &Path, catalogue: Option<&Catalogue>) -> Result<Vec<Plan>, Vec<Mistake>> {
    let source = Source::read(file).map_err(|mistake| vec![mistake])?;
    parse(&source, catalogue)
}

/// As [`read`], from a text that is already there.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn parse(source: &Source, catalogue: Option<&Catalogue>) -> Result<Vec<Plan>, Vec<Mistake>> {
    let raw: Raw = source.parse()?;
    let mut mistakes = Vec::new();
    if raw.schedules.len() > SCHEDULES_MAX {
        let what =
            format!("there are {} schedules, and at most {SCHEDULES_MAX} are kept", raw.schedules.len());
        mistakes.push(source.mistake("schedules", what));
    }
    let mut plans: Vec<Plan> = Vec::new();
    for (place, schedule) in raw.schedules.iter().enumerate() {
        let mut at = Place { source, path: format!("schedules[{place}]"), mistakes: &mut mistakes };
        let before = raw.schedules.iter().take(place).position(|other| other.name == schedule.name);
        if let Some(before) = before {
            let what =
                format!("schedule {} is already at schedules[{before}]; give it another name", schedule.name);
            at.wrong("name", what);
        }
        let when = when(&mut at, schedule);
        let job = job(&mut at, &schedule.job, catalogue);
        if let (Some(when), Some(job)) = (when, job) {
            plans.push(Plan { name: schedule.name.clone(), when, missed: schedule.missed, job });
        }
    }
    if mistakes.is_empty() { Ok(plans) } else { Err(mistakes) }
}

/// Where a mistake may be found.
struct Place<'a> {
    source: &'a Source,
    path: String,
    mistakes: &'a mut Vec<Mistake>,
}

impl Place<'_> {
    fn wrong(&mut self, field: &str, what: impl Into<String>) {
        self.mistakes.push(self.source.mistake(&format!("{}.{field}", self.path), what));
    }
}

fn when(at: &mut Place<'_>, raw: &RawSchedule) -> Option<Schedule> {
    match Schedule::parse(&raw.cron, &raw.zone) {
        Ok(when) if when.next_after(holdfast_wire::time::Time::from_unix_ms(0)).is_some() => Some(when),
        Ok(_) => {
            at.wrong(
                "cron",
                format!("\"{}\" never fires: no year has such a day; mend the expression", raw.cron),
            );
            None
        }
        Err(error) => {
            let field = if matches!(error, CalendarError::UnknownZone { .. }) { "zone" } else { "cron" };
            at.wrong(field, error.to_string());
            None
        }
    }
}

fn job(at: &mut Place<'_>, raw: &RawJob, catalogue: Option<&Catalogue>) -> Option<PlannedJob> {
    let cases = cases(at, &raw.cases, catalogue);
    for (field, what) in raw.requirements.mistakes() {
        at.wrong(&format!("job.requirements.{field}"), what);
    }
    if !(1..=PHONES_PER_JOB_MAX).contains(&raw.phones) {
        at.wrong("job.phones", format!("{} is not in 1..={PHONES_PER_JOB_MAX}", raw.phones));
    }
    if let Some(seconds) = raw.start_within_s.filter(|seconds| !(1..=START_WITHIN_S_MAX).contains(seconds)) {
        at.wrong("job.start_within_s", format!("{seconds} is not in 1..={START_WITHIN_S_MAX}"));
    }
    Some(PlannedJob {
        class: raw.class,
        build: pick(at, &raw.build)?,
        cases: Arc::new(cases),
        requirements: Arc::new(raw.requirements.clone()),
        priority: raw.priority,
        owner: raw.owner.clone(),
        phones: raw.phones,
        start_within: raw.start_within_s.map(Duration::from_secs),
    })
}

fn cases(at: &mut Place<'_>, names: &[CaseName], catalogue: Option<&Catalogue>) -> Vec<Case> {
    if !(1..=CASES_MAX).contains(&names.len()) {
        at.wrong("job.cases", format!("a job runs 1 to {CASES_MAX} cases, not {}", names.len()));
    }
    let Some(catalogue) = catalogue else { return Vec::new() };
    let mut cases = Vec::new();
    for (place, name) in names.iter().enumerate() {
        match catalogue.get(name) {
            Some(case) => cases.push(case.clone()),
            None => {
                let known: Vec<&str> = catalogue.cases().map(|case| case.name.as_str()).take(20).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                at.wrong(
                    &format!("job.cases[{place}]"),
                    format!("there is no case {name}; there are: {known}"),
                );
            }
        }
    }
    cases
}

fn pick(at: &mut Place<'_>, raw: &RawBuild) -> Option<Pick> {
    match (&raw.hash, &raw.branch) {
        (Some(hash), None) => {
            if raw.pick.is_some() || raw.bundle_id.is_some() {
                at.wrong(
                    "job.build.hash",
                    "names the very build; take out pick and bundle_id, or say a branch instead",
                );
            }
            Some(Pick::Hash(*hash))
        }
        (None, Some(branch)) => {
            if !(1..=BRANCH_BYTES_MAX).contains(&branch.len()) {
                at.wrong(
                    "job.build.branch",
                    format!("a branch has 1 to {BRANCH_BYTES_MAX} bytes, not {}", branch.len()),
                );
            }
            let of = Branch { name: branch.clone(), bundle_id: raw.bundle_id.clone() };
            match raw.pick {
                Some(RawPick::Newest) | None => Some(Pick::Newest(of)),
                Some(RawPick::LeastTested) => Some(Pick::LeastTested(of)),
            }
        }
        (Some(_), Some(_)) => {
            at.wrong("job.build", "says a hash and a branch; take one of them out");
            None
        }
        (None, None) => {
            at.wrong("job.build", "says no build; write `branch: trunk` and `pick: newest`, or `hash:`");
            None
        }
    }
}
