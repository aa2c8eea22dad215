//! The next matching time on a wall clock: the only file that knows the `cron` crate.
//!
//! The crate is asked about wall clocks only, as if each were in UTC: in a zone with daylight
//! saving it leaves out the firings of a gap and doubles those of an overlap. Zones are `schedule.rs`.

use chrono::{DateTime as ChronoDateTime, Utc};
use cron::Schedule as Cron;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::expression::Fields;

/// The wall clock times that match an expression, to the second.
#[derive(Debug, Clone)]
pub(crate) struct Walls {
    by_day: Cron,
    /// The other half of an expression that names days of the month and weekdays: either is enough.
    by_weekday: Option<Cron>,
}

impl Walls {
    /// None when the crate refuses what `expression.rs` wrote, which would be a fault of ours.
    pub(crate) fn new(fields: &Fields) -> Option<Self> {
        let mut halves = fields.cron_texts().into_iter().map(|text| text.parse::<Cron>());
        let by_day = halves.next()?.ok()?;
        let by_weekday = halves.next().transpose().ok()?;
        Some(Self { by_day, by_weekday })
    }

    /// The first matching wall time strictly after; whole seconds. None when there is none up to
    /// the year 2100: the crate's calendar has the years 1970 to 2100.
    pub(crate) fn after(&self, wall: DateTime) -> Option<DateTime> {
        let after =
            ChronoDateTime::<Utc>::from_timestamp(Offset::UTC.to_timestamp(wall).ok()?.as_second(), 0)?;
        let by_day = self.by_day.after(&after).next();
        let by_weekday = self.by_weekday.as_ref().and_then(|half| half.after(&after).next());
        let next = by_day.into_iter().chain(by_weekday).min()?;
        Some(Offset::UTC.to_datetime(Timestamp::from_second(next.timestamp()).ok()?))
    }
}
