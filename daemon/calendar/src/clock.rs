//! Spans by the wall clock, such as `22:00-06:00 Mon-Fri`: the text, and when each begins and ends.
//!
//! Both ends are read off the wall, so such a night is an hour shorter or longer when the clocks change.

use holdfast_wire::time::Time;
use jiff::civil::{Date, Time as Clock};

use crate::CalendarError;
use crate::expression::weekdays;
use crate::zone::Zone;

/// Minutes of a day, which `24:00` stands for.
const DAY_MINUTES: u16 = 24 * 60;

/// From one time of the day to another, on some weekdays; the weekday is that of the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockSpan {
    text: String,
    /// In minutes since midnight.
    from: u16,
    /// In minutes since midnight; the next day's when not after `from`.
    until: u16,
    /// Bit 0 is Sunday.
    weekdays: u64,
}

impl ClockSpan {
    /// Reads `22:00-06:00`, alone or with weekdays behind: `22:00-06:00 Mon-Fri`, `00:00-24:00 Sat,Sun`.
    pub(crate) fn parse(text: &str) -> Result<Self, CalendarError> {
        let text = text.trim();
        let wrong = |found: &str, mend: &str| CalendarError::Clock {
            window: text.to_owned(),
            found: found.to_owned(),
            mend: mend.to_owned(),
        };
        let (clock, days) = text.split_once(char::is_whitespace).unwrap_or((text, "*"));
        let (from, until) = clock
            .split_once('-')
            .ok_or_else(|| wrong(clock, "is no span of the clock: write two times, as in 22:00-06:00"))?;
        let minutes = |text: &str| {
            minutes_of_day(text)
                .ok_or_else(|| wrong(text, "is no time of the day: write hours and minutes, as in 06:00"))
        };
        let (from, until) = (minutes(from)?, minutes(until)?);
        if from == DAY_MINUTES {
            return Err(wrong(clock, "begins at the end of a day: write 00:00"));
        }
        if from == until {
            return Err(wrong(clock, "begins when it ends: write 00:00-24:00 for whole days"));
        }
        let days: String = days.split_whitespace().collect();
        let weekdays = weekdays(&days).map_err(|(found, mend)| wrong(&found, &mend))?;
        Ok(Self { text: text.to_owned(), from, until, weekdays })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Such a span begins on the weekday of `day`.
    pub(crate) fn begins_on(&self, day: Date) -> bool {
        let number = day.weekday().to_sunday_zero_offset();
        self.weekdays & (1 << number) != 0
    }

    /// The span that begins on `day`. Its ends fall together when a gap of the clock swallows it.
    pub(crate) fn on(&self, day: Date, zone: &Zone) -> Option<(Time, Time)> {
        let last_day = if self.until <= self.from { day.tomorrow().ok()? } else { day };
        let end = match self.until {
            DAY_MINUTES => zone.end_of(last_day)?,
            minutes => zone.first_reaching(last_day.to_datetime(clock(minutes)))?,
        };
        Some((zone.first_reaching(day.to_datetime(clock(self.from)))?, end))
    }
}

/// `06:00` → 360; `24:00` is the end of the day.
fn minutes_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |part: &str| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
    Some(hours * 60 + minutes).filter(|minutes| *minutes <= DAY_MINUTES)
}

fn clock(minutes: u16) -> Clock {
    let small = |number: u16| i8::try_from(number).unwrap_or(0);
    Clock::new(small(minutes / 60), small(minutes % 60), 0, 0).unwrap_or(Clock::midnight())
}
