//! Spans that open again and again: by a schedule for some time, or from one time of the day to another.
//!
//! Days that are exceptions to several windows at once are `calendar.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_wire::time::Time;
use jiff::ToSpan;
use jiff::civil::Date;

use crate::clock::ClockSpan;
use crate::zone::Zone;
use crate::{CalendarError, Day, Schedule};

/// The longest that one span stays open: a leap year. Longer is a mistake in the unit.
const OPEN_MAX: Duration = Duration::from_secs(366 * 86_400);
/// A window whose spans meet without a seam for this long is taken never to shut. It is longer than any
/// pattern of weekdays, months and leap years takes to show its gap.
pub(crate) const HORIZON: Duration = Duration::from_secs(9 * 366 * 86_400);
/// The length of a local day, in which a schedule's times of the day are alike.
const DAY_SECONDS: u32 = 86_400;

/// A span that opens again and again and stays open for a while, less days on which it doesn't open.
///
/// Spans that meet or overlap are one. A span is open at its first moment and shut at its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    opening: Opening,
    left_out: BTreeSet<Day>,
}

/// A stretch of time during which a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first moment; some moment of the stretch when it was asked for in the midst of it.
    pub(crate) start: Time,
    /// The first moment after it; none when it never ends.
    pub(crate) end: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Opening {
    /// Opens at each firing, for elapsed time.
    Firings {
        schedule: Box<Schedule>,
        open: Duration,
        /// The last second of the day of each run of firings that are at most `open` apart.
        run_ends: Vec<u32>,
    },
    /// Opens and shuts by the wall clock.
    Clock { span: ClockSpan, zone: Zone },
}

impl Window {
    /// Opens at each firing of `schedule` and stays open for `open` of elapsed time, whatever the wall clock
    /// does meanwhile. A firing on a day that is left out (in the schedule's zone) doesn't open it; a span that
    /// began the evening before runs on into such a day.
    ///
    /// # Errors
    /// [`CalendarError::Duration`] when `open` is under a second or above 366 days.
    pub fn new(
        schedule: Schedule,
        open: Duration,
        left_out: impl IntoIterator<Item = Day>,
    ) -> Result<Self, CalendarError> {
        if open < Duration::from_secs(1) || open > OPEN_MAX {
            return Err(CalendarError::Duration { seconds: open.as_secs(), seconds_max: OPEN_MAX.as_secs() });
        }
        let run_ends = run_ends(schedule.fields().seconds_of_day(), open);
        let opening = Opening::Firings { schedule: Box::new(schedule), open, run_ends };
        Ok(Self { opening, left_out: left_out.into_iter().collect() })
    }

    /// Open by the wall clock of a zone: `22:00-06:00`, `22:00-06:00 Mon-Fri`, `00:00-24:00 Sat,Sun`. Weekdays
    /// are those on which it opens; a night that opens on Friday is open until Saturday morning, until the wall
    /// clock first says so. It doesn't open on days that are left out.
    ///
    /// # Errors
    /// [`CalendarError`] says which part cannot be read and the mend, or that the zone is not known.
    pub fn by_clock(
        text: &str,
        zone: &str,
        left_out: impl IntoIterator<Item = Day>,
    ) -> Result<Self, CalendarError> {
        let opening = Opening::Clock { span: ClockSpan::parse(text)?, zone: Zone::parse(zone)? };
        Ok(Self { opening, left_out: left_out.into_iter().collect() })
    }

    /// The text it was made of: the cron expression, or the span by the clock.
    pub fn text(&self) -> &str {
        match &self.opening {
            Opening::Firings { schedule, .. } => schedule.expression(),
            Opening::Clock { span, .. } => span.text(),
        }
    }

    /// The name of its zone.
    pub fn zone(&self) -> &str {
        self.in_zone().name()
    }

    /// Work may be done at `at`.
    pub fn is_open(&self, at: Time) -> bool {
        self.first_span(at).is_some_and(|(start, _)| start <= at)
    }

    /// The next moment (strictly after) at which [`Window::is_open`] changes. None when there is never one, also
    /// when it stays open for the next nine years.
    pub fn next_change(&self, at: Time) -> Option<Time> {
        let span = self.span(at)?;
        if span.start > at { Some(span.start) } else { span.end }
    }

    /// The stretch that is open at `at`, or else the next one, joined with all that meet it.
    pub(crate) fn span(&self, at: Time) -> Option<Span> {
        let (start, mut end) = self.first_span(at)?;
        let horizon = at.max(start).after(HORIZON);
        while end <= horizon {
            // What still is open at the end of a stretch began before it and goes on after it.
            match self.first_span(end) {
                Some((joined, later)) if joined <= end => end = later,
                _ => return Some(Span { start, end: Some(end) }),
            }
        }
        Some(Span { start, end: None })
    }

    /// A span that is open at `at`, or else the next; not yet joined with those that meet it.
    fn first_span(&self, at: Time) -> Option<(Time, Time)> {
        match &self.opening {
            Opening::Firings { schedule, open, run_ends } => {
                let start = self.opening_after(schedule, before(at, *open))?;
                if start > at {
                    return Some((start, start.after(*open)));
                }
                let latest = self.latest_in_run(schedule, start, run_ends);
                Some((start, latest.after(*open)))
            }
            Opening::Clock { span, zone } => {
                // A night that began up to two days before may be open still.
                let mut day = zone.wall(at).date().saturating_sub(2.days());
                loop {
                    if span.begins_on(day) && !self.leaves_out(day) {
                        let (start, end) = span.on(day, zone)?;
                        if end > at && end > start {
                            return Some((start, end));
                        }
                    }
                    day = day.tomorrow().ok()?;
                }
            }
        }
    }

    /// The first firing strictly after `at` on a day that is not left out.
    fn opening_after(&self, schedule: &Schedule, at: Time) -> Option<Time> {
        let mut firing = schedule.next_after(at)?;
        while !self.left_out.is_empty() {
            let zone = schedule.in_zone();
            let day = zone.day_of(firing);
            if !self.leaves_out(day) {
                break;
            }
            let last_moment = before(zone.end_of(day)?, Duration::from_millis(1));
            firing = schedule.next_after(last_moment.max(firing))?;
        }
        Some(firing)
    }

    /// The last firing of the same day that follows `firing` without a moment shut between, as far as the clock
    /// doesn't change meanwhile. It spares a walk over every firing of a busy day.
    fn latest_in_run(&self, schedule: &Schedule, firing: Time, run_ends: &[u32]) -> Time {
        let (zone, fields) = (schedule.in_zone(), schedule.fields());
        let clock = zone.wall(firing).time();
        let number = |part: i8| u32::try_from(part).unwrap_or(0);
        let second = number(clock.hour()) * 3_600 + number(clock.minute()) * 60 + number(clock.second());
        if !fields.admits_second_of_day(second) {
            return firing;
        }
        let run_end = run_ends.iter().find(|end| **end >= second).copied().unwrap_or(second);
        let steady = zone.change_after(firing).map_or(Duration::MAX, |change| change.since(firing));
        let before_change = u64::from(second).saturating_add(steady.as_secs()).saturating_sub(1);
        let last = run_end.min(u32::try_from(before_change).unwrap_or(run_end));
        let latest =
            (second..=last).rev().find(|second| fields.admits_second_of_day(*second)).unwrap_or(second);
        firing.after(Duration::from_secs(u64::from(latest - second)))
    }

    fn leaves_out(&self, day: Date) -> bool {
        self.left_out.contains(&Day(day))
    }

    fn in_zone(&self) -> &Zone {
        match &self.opening {
            Opening::Firings { schedule, .. } => schedule.in_zone(),
            Opening::Clock { zone, .. } => zone,
        }
    }
}

/// The last second of each run of firings of one day that are at most `open` apart.
fn run_ends(seconds: impl Iterator<Item = u32>, open: Duration) -> Vec<u32> {
    let reach = u32::try_from(open.as_secs()).unwrap_or(DAY_SECONDS);
    let mut ends = Vec::new();
    let mut last = None;
    for second in seconds {
        if let Some(last) = last.replace(second).filter(|last| second - last > reach) {
            ends.push(last);
        }
    }
    ends.extend(last);
    ends
}

fn before(at: Time, span: Duration) -> Time {
    let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Time::from_unix_ms(at.as_unix_ms().saturating_sub(ms))
}
