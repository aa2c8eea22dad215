//! `classes` and `windows` of the pools file: how each class is served, and the windows of time in which one starts.
//! What follows from them is `daemon/scheduler`'s, when a window is open is `daemon/calendar`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_calendar::{Calendar, CalendarError, Day, Schedule, Window};
use holdfast_scheduler::Policy;
use holdfast_scheduler::policy::ClassPolicy;
use holdfast_wire::id::NAME_BYTES_MAX;
use holdfast_wire::job::JobClass;
use holdfast_wire::sync::YieldWhen;
use schemars::JsonSchema;
use serde::Deserialize;

use super::once::{Lift, Once, Span};
use super::yaml::{Mistake, Source};

/// The largest rank: there are five classes, so this leaves gaps to sort by.
const RANK_MAX: u8 = 99;

/// The longest that a job may wait before it is lifted: 30 days.
pub(super) const LIFT_S_MAX: u64 = 30 * 86_400;

/// How each class is served; what is left out stays as it is by default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawClasses {
    /// Trunk commits and monkey runs.
    crash: RawClass,
    /// Pushes to a feature branch and their merge-base.
    baseline: RawClass,
    /// A team's own cases.
    custom: RawClass,
    /// One dimension in depth.
    special: RawClass,
    /// Re-runs in idle time.
    idle: RawClass,
}

/// How one class is served.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawClass {
    /// 0 is served first; classes of one rank share, and age decides between their jobs.
    rank: Option<u8>,
    /// Whether no lifted job of another class goes before it.
    strict: Option<bool>,
    /// Seconds after which a waiting job goes before everything that is not strict, or `never`.
    lift_after_s: Option<Lift>,
    /// Whether it gives its phone up to classes of a better rank that are not preemptible.
    preemptible: Option<bool>,
    /// How it takes a phone from preemptible work.
    takes: Option<RawTakes>,
    /// Its jobs start only while this window is open.
    window: Option<String>,
}

/// How a class takes a phone from preemptible work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawTakes {
    /// Now: the case that runs is broken off.
    AtOnce,
    /// When the case that runs is done.
    CaseDone,
    /// Not at all: it waits for the end.
    Never,
}

/// A window of time: open while any of its spans is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindow {
    /// The time zone of its days, and of every span that names none, like `Europe/Berlin`.
    #[serde(default = "utc")]
    zone: String,
    /// When it is open.
    #[serde(default)]
    spans: Vec<RawSpan>,
    /// Days on which it is open from midnight to midnight (2026-12-25).
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    open_on: Vec<Day>,
    /// Days on which it stays shut, whatever the spans say.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    shut_on: Vec<Day>,
}

pub(super) fn utc() -> String {
    "UTC".to_owned()
}

/// A span: `hours` by the clock, or `cron` that opens it and `lasts` (or `lasts_s`) that says for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSpan {
    /// By the clock, with the weekdays on which it opens: `22:00-06:00 Mon-Fri`.
    hours: Option<String>,
    /// When it opens, as a cron expression of five or six fields.
    cron: Option<String>,
    /// For how long, in words: `8h`.
    lasts: Option<Span>,
    /// For how long, in seconds.
    lasts_s: Option<u64>,
    /// Its own time zone.
    zone: Option<String>,
}

/// The classes as configured, and their mistakes.
pub(super) fn classes(
    source: &Source,
    raw: &RawClasses,
    lift_after_s: u64,
    windows: &Once<String, RawWindow>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<JobClass, ClassPolicy> {
    let classes: BTreeMap<JobClass, ClassPolicy> = JobClass::ALL
        .into_iter()
        .map(|class| (class, class_of(class, raw.of(class), lift_after_s)))
        .collect();
    for (class, served) in &classes {
        let said = raw.of(*class);
        let mut wrong = |field: &str, what: String| {
            mistakes.push(source.mistake(&format!("classes.{class}.{field}"), what));
        };
        if served.rank > RANK_MAX {
            wrong("rank", format!("{} is not in 0..={RANK_MAX}", served.rank));
        }
        if served.strict && served.preemptible {
            wrong(
                "preemptible",
                format!("{class} is strict, so it gives its phone to nobody; take out one of them"),
            );
        }
        if served.preemptible && served.takes.is_some() {
            let what = "a preemptible class takes no phone from others; say `takes: never`, or leave it out";
            wrong("takes", what.to_owned());
        }
        if let Some(Lift::AfterSeconds(seconds)) = said.lift_after_s {
            if served.strict {
                wrong("lift_after_s", format!("{class} is strict and needs no lift; leave it out"));
            } else if !(1..=LIFT_S_MAX).contains(&seconds) {
                wrong("lift_after_s", format!("{seconds} is not in 1..={LIFT_S_MAX}; or say `never`"));
            }
        }
        if let Some(window) = said.window.as_ref().filter(|window| !windows.0.contains_key(*window)) {
            let known: Vec<&str> = windows.0.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            wrong("window", format!("there is no window {window}; there are: {known}"));
        }
        let before =
            classes.iter().find(|(_, other)| served.strict && !other.strict && other.rank <= served.rank);
        if let Some((other, by)) = before {
            wrong(
                if said.rank.is_some() { "rank" } else { "strict" },
                format!(
                    "{class} is strict, and {other}, which is not, has rank {}, which is no worse than {}; strict \
                     classes come first",
                    by.rank, served.rank
                ),
            );
        }
    }
    classes
}

fn class_of(class: JobClass, raw: &RawClass, lift_after_s: u64) -> ClassPolicy {
    let by_default = ClassPolicy::of(class);
    let strict = raw.strict.unwrap_or(by_default.strict);
    let preemptible = raw.preemptible.unwrap_or(by_default.preemptible);
    let lift_after = match raw.lift_after_s {
        Some(Lift::AfterSeconds(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Lift::Never) => None,
        // Strict work needs no lift, and what gives its phone up to anyone would not keep it for having waited.
        None => (!strict && !preemptible).then(|| Duration::from_secs(lift_after_s)),
    };
    let takes = match raw.takes {
        Some(RawTakes::AtOnce) => Some(YieldWhen::AtOnce),
        Some(RawTakes::CaseDone) => Some(YieldWhen::CaseDone),
        Some(RawTakes::Never) => None,
        None => by_default.takes.filter(|_| !preemptible),
    };
    let rank = raw.rank.unwrap_or(by_default.rank);
    ClassPolicy { rank, strict, lift_after, preemptible, takes, window: raw.window.clone() }
}

impl RawClasses {
    fn of(&self, class: JobClass) -> &RawClass {
        match class {
            JobClass::Crash => &self.crash,
            JobClass::Baseline => &self.baseline,
            JobClass::Custom => &self.custom,
            JobClass::Special => &self.special,
            JobClass::Idle => &self.idle,
        }
    }
}

/// The windows as configured, and their mistakes.
pub(super) fn windows(
    source: &Source,
    raw: &Once<String, RawWindow>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, Calendar> {
    let mut windows = BTreeMap::new();
    for (name, window) in &raw.0 {
        let path = format!("windows.{name}");
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !plain {
            let what = format!("a window's name has 1 to {NAME_BYTES_MAX} letters, digits, '_' and '-' only");
            mistakes.push(source.mistake(&path, what));
            continue;
        }
        if window.spans.is_empty() && window.open_on.is_empty() {
            mistakes
                .push(source.mistake(&path, "the window is never open; give it spans, or days in open_on"));
            continue;
        }
        let before = mistakes.len();
        let spans: Vec<Window> = window
            .spans
            .iter()
            .enumerate()
            .filter_map(|(place, span)| {
                let path = format!("{path}.spans[{place}]");
                open_span(source, &path, span, &window.zone, mistakes)
            })
            .collect();
        match Calendar::new(&window.zone, spans, window.open_on.clone(), window.shut_on.clone()) {
            Ok(calendar) if mistakes.len() == before => {
                windows.insert(name.clone(), calendar);
            }
            Ok(_) => {}
            Err(error) => {
                let field = match &error {
                    CalendarError::DayTwice { .. } => "shut_on",
                    _ => "zone",
                };
                let path = format!("{path}.{field}");
                // A span without a zone of its own has said so already.
                let told = mistakes.iter().any(|mistake| mistake.path == path);
                if !told {
                    mistakes.push(source.mistake(&path, error.to_string()));
                }
            }
        }
    }
    windows
}

fn open_span(
    source: &Source,
    path: &str,
    raw: &RawSpan,
    window_zone: &str,
    mistakes: &mut Vec<Mistake>,
) -> Option<Window> {
    let zone = raw.zone.as_deref().unwrap_or(window_zone);
    // A zone that is wrong is told where it stands: at the span, or once at the window.
    let zone_path = match raw.zone {
        Some(_) => format!("{path}.zone"),
        None => format!("{}.zone", path.rsplit_once(".spans").map_or(path, |(window, _)| window)),
    };
    let mut wrong = |field: &str, error: &CalendarError| {
        let at = match error {
            CalendarError::UnknownZone { .. } => zone_path.clone(),
            _ => format!("{path}.{field}"),
        };
        if !mistakes.iter().any(|mistake| mistake.path == at) {
            mistakes.push(source.mistake(&at, error.to_string()));
        }
    };
    let lasts = match (raw.lasts, raw.lasts_s) {
        (Some(Span(lasts)), None) => Some(lasts),
        (None, Some(seconds)) => Some(Duration::from_secs(seconds)),
        (Some(_), Some(_)) => {
            mistakes.push(
                source.mistake(&format!("{path}.lasts_s"), "lasts says so already; take one of them out"),
            );
            return None;
        }
        (None, None) => None,
    };
    match (&raw.hours, &raw.cron, lasts) {
        (Some(hours), None, None) => {
            Window::by_clock(hours, zone, []).map_err(|error| wrong("hours", &error)).ok()
        }
        (None, Some(cron), Some(lasts)) => {
            let schedule = Schedule::parse(cron, zone).map_err(|error| wrong("cron", &error)).ok()?;
            let field = if raw.lasts.is_some() { "lasts" } else { "lasts_s" };
            Window::new(schedule, lasts, []).map_err(|error| wrong(field, &error)).ok()
        }
        (None, Some(_), None) => {
            mistakes.push(source.mistake(path, "says when it opens but not for how long; add `lasts: 8h`"));
            None
        }
        (Some(_), _, _) => {
            let what = "hours say both ends; take out cron, lasts and lasts_s, or hours";
            mistakes.push(source.mistake(&format!("{path}.hours"), what));
            None
        }
        (None, None, _) => {
            let what = "says no time; write `hours: 22:00-06:00 Mon-Fri`, or cron and lasts";
            mistakes.push(source.mistake(path, what));
            None
        }
    }
}

/// What is legal but odd about classes and windows.
pub(super) fn oddities(policy: &Policy) -> Vec<String> {
    let mut odd = Vec::new();
    for (class, served) in &policy.classes {
        if served.strict && served.window.is_some() {
            odd.push(format!(
                "classes.{class}: it is strict, and outside its window its jobs wait all the same"
            ));
        }
        let behind = policy
            .classes
            .iter()
            .find(|(_, other)| served.preemptible && !other.preemptible && other.rank > served.rank);
        if let Some((other, _)) = behind {
            odd.push(format!(
                "classes.{class}: it is preemptible but served before {other}, which therefore cannot take its phones"
            ));
        }
    }
    for name in policy.windows.keys() {
        if !policy.classes.values().any(|served| served.window.as_ref() == Some(name)) {
            odd.push(format!("windows.{name}: no class uses it"));
        }
    }
    odd
}
