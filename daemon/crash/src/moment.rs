//! A time stamp as a phone writes it: local time with its offset, both kept.
//!
//! Which of a report's three times means what is said in [`crate::Report`].

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A moment in the phone's own clock. Written as RFC 3339 with the phone's offset (`2025-12-31T00:18:47+03:00`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The moment itself.
    pub at: Timestamp,
    /// What the phone's clock was ahead of UTC.
    pub offset: Offset,
}

impl Moment {
    /// Reads `2025-12-31 00:18:47.00 +0300` and its relatives: no fraction or up to nine digits, `T` instead of the space,
    /// `Z`, `+03:00`. A time without an offset is no moment, and `None`.
    pub fn parse(text: &str) -> Option<Moment> {
        let text = text.trim();
        let (date, rest) = text.split_at_checked(10)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?.trim_start();
        let zone_from = rest.find(['Z', 'z', '+', '-'])?;
        let (clock, zone) = rest.split_at_checked(zone_from)?;
        let civil = DateTime::from_parts(parse_date(date)?, parse_clock(clock.trim_end())?);
        let offset = parse_offset(zone.trim_end())?;
        Some(Moment { at: offset.to_timestamp(civil).ok()?, offset })
    }

    /// How long after `earlier` this was; negative when it was before.
    pub fn since(&self, earlier: &Moment) -> SignedDuration {
        self.at.duration_since(earlier.at)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.at.display_with_offset(self.offset))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        let text = String::deserialize(deserializer)?;
        Moment::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is no time with an offset, such as 2025-12-31T00:18:47+03:00"
            ))
        })
    }
}

fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    if parts.next().is_some() {
        return None;
    }
    Date::new(year, month, day).ok()
}

fn parse_clock(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let second = parts.next().unwrap_or("0").parse().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let nanosecond = format!("{fraction:0<9}").parse().ok()?;
    Time::new(hour, minute, second, nanosecond).ok()
}

fn parse_offset(text: &str) -> Option<Offset> {
    if text.eq_ignore_ascii_case("z") {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits.replace(':', "")),
        ("-", digits) => (-1, digits.replace(':', "")),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { "0" } else { minutes };
    let hours: i32 = hours.parse().ok()?;
    let minutes: i32 = minutes.parse().ok().filter(|minutes| (0..60).contains(minutes))?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_phones_write_is_read() {
        let table = [
            ("2025-12-31 00:18:47.00 +0300", Some("2025-12-31T00:18:47+03:00")),
            ("2022-08-04 01:11:01.2455 +0900", Some("2022-08-04T01:11:01.2455+09:00")),
            ("2024-02-15 10:30:45.123456 +0200", Some("2024-02-15T10:30:45.123456+02:00")),
            ("2015-02-03 20:14:05.504 -0800", Some("2015-02-03T20:14:05.504-08:00")),
            ("2016-05-12 14:57:08 -0500", Some("2016-05-12T14:57:08-05:00")),
            ("2016-05-24T07:59:56Z", Some("2016-05-24T07:59:56Z")),
            ("2024-01-18T08:22:33.112Z", Some("2024-01-18T08:22:33.112Z")),
            ("2024-01-18T08:22:33+05:30", Some("2024-01-18T08:22:33+05:30")),
            ("2024-01-18 08:22:33", None),
            ("Sat Jun 16 14:12:49 2018", None),
            ("2024-13-18 08:22:33 +0000", None),
            ("2024-01-18 08:22:33 +9900", None),
            ("", None),
            ("é", None),
        ];
        for (text, expected) in table {
            let moment = Moment::parse(text);
            assert_eq!(moment.map(|moment| moment.at), expected.map(|text| text.parse().unwrap()), "{text}");
            if let Some(moment) = moment {
                let written = serde_json::to_string(&moment).unwrap();
                assert_eq!(serde_json::from_str::<Moment>(&written).unwrap(), moment, "{text} as {written}");
            }
        }
    }
}
