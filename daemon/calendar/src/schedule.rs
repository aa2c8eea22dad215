//! The firings of a cron expression in a time zone, each exactly once.
//!
//! Where the wall clock jumps, two rules say what happens:
//!
//! * A schedule that names hours (`30 2 * * *`, `0 */2 * * *`) fires **when the wall clock first
//!   reaches** the time. A time that a gap leaves out fires at the end of the gap; several such times
//!   of one gap are one firing. A time that an overlap shows twice fires at the first.
//! * A schedule for every hour (`*/15 * * * *`, `@hourly`) fires **whenever the wall clock shows**
//!   a matching time: both times in an overlap, and nothing is made up for a gap, so that where clocks
//!   jump by whole hours the time between firings stays what it is on any day. A jump by half an
//!   hour (Lord Howe) shifts an hourly schedule by that half hour, as the minute on the wall counts.

use std::fmt;

use holdfast_wire::time::Time;
use jiff::civil::DateTime;

use crate::CalendarError;
use crate::expression::Fields;
use crate::walls::Walls;
use crate::zone::Zone;

/// No firing lies before: two days before 1970, which is then still ahead in every zone.
const FIRST_MS: i64 = -2 * 86_400_000;

/// A cron expression in a time zone.
///
/// Five fields (minute, hour, day of the month, month, weekday) or six with the second first; lists,
/// ranges and steps; names of months and weekdays; `@hourly` and the like. Weekdays are counted as in Unix:
/// 0 and 7 are Sunday. Firings begin with the year 1970 and end with the year 2100.
#[derive(Clone)]
pub struct Schedule {
    expression: String,
    zone: Zone,
    fields: Fields,
    walls: Walls,
}

impl Schedule {
    /// Reads an expression such as `0 22 * * Mon-Fri` and the IANA name of a zone such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`CalendarError`] names the field, what was found there and the mend; or the zone that is not known.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, CalendarError> {
        let fields = Fields::parse(expression)?;
        let expression = expression.trim().to_owned();
        let walls = Walls::new(&fields).ok_or_else(|| CalendarError::Field {
            expression: expression.clone(),
            field: "whole",
            found: expression.clone(),
            mend: "cannot be computed: write it as five plain fields".to_owned(),
        })?;
        Ok(Self { expression, zone: Zone::parse(zone)?, fields, walls })
    }

    /// The expression as it was written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The name of the zone, as the time zone database spells it.
    pub fn zone(&self) -> &str {
        self.zone.name()
    }

    /// The first firing strictly after `at`. None when there is never one, such as on 30 February.
    pub fn next_after(&self, at: Time) -> Option<Time> {
        let at = at.max(Time::from_unix_ms(FIRST_MS));
        if self.fields.every_hour() { self.next_shown(at) } else { self.next_first_reached(at) }
    }

    /// The next `count` firings strictly after; fewer when there are no more.
    pub fn next(&self, after: Time, count: usize) -> Vec<Time> {
        self.firings(after).take(count).collect()
    }

    /// The firings in (`after`, `until`], the earliest first and at most `max` of them: what was missed.
    pub fn between(&self, after: Time, until: Time, max: usize) -> Vec<Time> {
        self.firings(after).take_while(|firing| *firing <= until).take(max).collect()
    }

    /// The last firing in (`after`, `until`].
    pub fn latest(&self, after: Time, until: Time) -> Option<Time> {
        let fires_after = |at: i64| self.next_after(Time::from_unix_ms(at)).filter(|firing| *firing <= until);
        let mut latest = fires_after(after.as_unix_ms())?;
        // `latest` is a firing, and none follows `none_after`; halving costs some forty questions.
        let mut none_after = until.as_unix_ms();
        while latest.as_unix_ms() < none_after {
            let middle = latest.as_unix_ms() + (none_after - latest.as_unix_ms()) / 2;
            match fires_after(middle) {
                Some(later) => latest = later,
                None => none_after = middle,
            }
        }
        Some(latest)
    }

    pub(crate) fn in_zone(&self) -> &Zone {
        &self.zone
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    fn firings(&self, after: Time) -> impl Iterator<Item = Time> + '_ {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last))
    }

    /// The rule for schedules that name hours.
    fn next_first_reached(&self, at: Time) -> Option<Time> {
        let mut passed = whole_second(self.zone.wall(at));
        loop {
            let wall = self.walls.after(passed)?;
            let firing = self.zone.first_reaching(wall)?;
            if firing > at {
                return Some(firing);
            }
            // The wall clock runs through an overlap for the second time: go on where it has not been.
            let unseen = self.zone.furthest_wall(at).saturating_sub(jiff::SignedDuration::from_secs(1));
            passed = wall.max(unseen);
        }
    }

    /// The rule for schedules of every hour: goes from one stretch of constant offset to the next.
    fn next_shown(&self, at: Time) -> Option<Time> {
        let mut stretch = at;
        let mut passed = whole_second(self.zone.wall(at));
        loop {
            let wall = self.walls.after(passed)?;
            let firing = Time::from(self.zone.offset(stretch).to_timestamp(wall).ok()?);
            match self.zone.change_after(stretch) {
                Some(change) if change <= firing => {
                    stretch = change;
                    passed = self.zone.wall(change).saturating_sub(jiff::SignedDuration::from_secs(1));
                }
                _ => return Some(firing),
            }
        }
    }
}

/// The expression and the zone say everything else.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.zone == other.zone
    }
}

impl Eq for Schedule {}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expression, zone, .. } = self;
        f.debug_struct("Schedule").field("expression", expression).field("zone", &zone.name()).finish()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression, self.zone())
    }
}

fn whole_second(wall: DateTime) -> DateTime {
    let clock = wall.time();
    wall.date().at(clock.hour(), clock.minute(), clock.second(), 0)
}
