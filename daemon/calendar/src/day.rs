//! A date without a zone. When it begins and ends depends on the zone: `zone.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::CalendarError;

/// A date of the Gregorian calendar, written `2026-12-25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(pub(crate) jiff::civil::Date);

impl Day {
    /// The day with that year (1 to 9999), month (1 to 12) and day of the month.
    ///
    /// # Errors
    /// [`CalendarError::Day`] when no calendar has it, such as 30 February.
    pub fn new(year: i16, month: i8, day: i8) -> Result<Self, CalendarError> {
        let found = || CalendarError::Day { found: format!("{year:04}-{month:02}-{day:02}") };
        jiff::civil::Date::new(year, month, day).map(Self).map_err(|_| found())
    }
}

impl FromStr for Day {
    type Err = CalendarError;
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let wrong = || CalendarError::Day { found: text.to_owned() };
        // Its own form alone: jiff would read a date with a time behind it, too.
        let plain = text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        let date = if plain && text.len() == 10 { text.parse().ok() } else { None };
        date.map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Day {
    type Error = CalendarError;
    fn try_from(text: String) -> Result<Self, CalendarError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_and_written_in_one_form() {
        let christmas: Day = "2026-12-25".parse().unwrap();
        assert_eq!(christmas, Day::new(2026, 12, 25).unwrap());
        assert_eq!(serde_json::to_string(&christmas).unwrap(), "\"2026-12-25\"");
        assert_eq!(serde_json::from_str::<Day>("\"2026-12-25\"").unwrap(), christmas);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in
            ["", "2026", "2026-12", "2026-13-01", "2026-02-30", "2026-2-3", "25.12.2026", "2026-12-25-1"]
        {
            assert_eq!(text.parse::<Day>(), Err(CalendarError::Day { found: text.to_owned() }), "{text}");
        }
    }
}
