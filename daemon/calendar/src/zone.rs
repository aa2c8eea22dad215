//! A time zone: what its wall clock shows, and when it first shows it.
//!
//! Everything about daylight saving is decided here and by the two rules of `schedule.rs`.
//! Zones come from the database inside the program, never from the machine's own.

use std::time::Duration;

use holdfast_wire::time::Time;
use jiff::civil::{Date, DateTime, Time as Clock};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::CalendarError;

/// Twice the longest step back that a wall clock ever took, the day that the date line gave to some.
const OVERLAP_MAX: SignedDuration = SignedDuration::from_hours(48);

/// A zone of the IANA database.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    name: String,
    rules: TimeZone,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Zone {
    pub(crate) fn parse(name: &str) -> Result<Self, CalendarError> {
        let unknown = || CalendarError::UnknownZone { zone: name.to_owned() };
        let rules = TimeZoneDatabase::bundled().get(name.trim()).map_err(|_| unknown())?;
        let name = rules.iana_name().filter(|_| !rules.is_unknown()).ok_or_else(unknown)?;
        Ok(Self { name: name.to_owned(), rules })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the wall clock shows at `at`.
    pub(crate) fn wall(&self, at: Time) -> DateTime {
        self.rules.to_datetime(timestamp(at))
    }

    /// What is added to UTC at `at`.
    pub(crate) fn offset(&self, at: Time) -> Offset {
        self.rules.to_offset(timestamp(at))
    }

    /// The first moment at which the wall clock shows `wall` or later: the wall time itself; of two,
    /// the earlier; and for a time that a gap leaves out, the end of the gap. Later walls never give
    /// earlier moments. None beyond the years that can be written.
    pub(crate) fn first_reaching(&self, wall: DateTime) -> Option<Time> {
        match self.rules.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(wall).ok().map(Time::from)
            }
            AmbiguousOffset::Gap { after, .. } => {
                let before_gap = after.to_timestamp(wall).ok()?;
                let mut changes = self.rules.following(before_gap);
                let end = changes.find(|change| change.offset().to_datetime(change.timestamp()) > wall)?;
                Some(end.timestamp().into())
            }
        }
    }

    /// The next moment (strictly after) at which the offset from UTC changes.
    pub(crate) fn change_after(&self, at: Time) -> Option<Time> {
        let mut offset = self.offset(at);
        let mut changes = self.rules.following(timestamp(at));
        let change =
            changes.find(|change| std::mem::replace(&mut offset, change.offset()) != change.offset())?;
        Some(change.timestamp().into())
    }

    /// The latest time that the wall clock has shown up to `at`: more than it shows now while it
    /// runs through the hour of an overlap for the second time.
    pub(crate) fn furthest_wall(&self, at: Time) -> DateTime {
        let (now, instant) = (self.wall(at), timestamp(at.after(Duration::from_millis(1))));
        let recent = instant.checked_sub(OVERLAP_MAX).unwrap_or(Timestamp::MIN);
        let changes = self.rules.preceding(instant).take_while(|change| change.timestamp() > recent);
        let shown_before = changes.filter_map(|change| {
            let just_before = change.timestamp().checked_sub(SignedDuration::from_secs(1)).ok()?;
            Some(self.rules.to_offset(just_before).to_datetime(change.timestamp()))
        });
        shown_before.fold(now, DateTime::max)
    }

    /// When a day begins: as soon as the wall clock first reaches its midnight.
    pub(crate) fn start_of(&self, day: Date) -> Option<Time> {
        self.first_reaching(day.to_datetime(Clock::midnight()))
    }

    /// When a day ends, which is when the next begins.
    pub(crate) fn end_of(&self, day: Date) -> Option<Time> {
        self.start_of(day.tomorrow().ok()?)
    }

    /// The day that has begun last.
    pub(crate) fn day_of(&self, at: Time) -> Date {
        let shown = self.wall(at).date();
        match (shown.tomorrow(), self.end_of(shown)) {
            (Ok(tomorrow), Some(end)) if end <= at => tomorrow,
            _ => shown,
        }
    }
}

/// The same instant for the zone database; beyond the years that it knows, the nearest that it knows.
fn timestamp(at: Time) -> Timestamp {
    let ms = at.as_unix_ms();
    Timestamp::from_millisecond(ms).unwrap_or(if ms > 0 { Timestamp::MAX } else { Timestamp::MIN })
}
