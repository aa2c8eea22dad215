//! The text of a cron expression → sets of numbers, with errors that name the field and the mend.
//!
//! The meaning of Unix cron: five fields with the minute first (six: the second first), 0 and 7 are
//! Sunday, and where both a day of the month and a weekday are given, either is enough. As in the
//! common cron daemons, a day field that begins with `*` counts as not given, so that
//! `0 2 */2 * Mon` needs both. When a matching time comes about is `schedule.rs`.

use crate::CalendarError;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Sunday first, as its number is 0.
pub(crate) const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// The words that stand for five fields.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The numbers that each field admits, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Bit 0 is Sunday, bit 6 is Saturday.
    weekdays: u64,
    /// Days of the month and weekdays are both given, so that either is enough.
    either_day: bool,
}

impl Fields {
    pub(crate) fn parse(expression: &str) -> Result<Self, CalendarError> {
        let trimmed = expression.trim();
        let text = match trimmed.strip_prefix('@') {
            None => trimmed,
            Some(_) => SHORTHANDS
                .iter()
                .find_map(|(word, fields)| word.eq_ignore_ascii_case(trimmed).then_some(*fields))
                .ok_or_else(|| CalendarError::Shorthand { found: trimmed.to_owned() })?,
        };
        let mut parts: Vec<&str> = text.split_whitespace().collect();
        match parts.len() {
            5 => parts.insert(0, "0"),
            6 => {}
            found => return Err(CalendarError::FieldCount { expression: trimmed.to_owned(), found }),
        }
        let set = |field: &Field, part: &str| {
            field.set(part).map_err(|wrong| CalendarError::Field {
                expression: trimmed.to_owned(),
                field: field.name,
                found: wrong.found,
                mend: wrong.mend,
            })
        };
        Ok(Self {
            seconds: set(&SECOND, parts[0])?,
            minutes: set(&MINUTE, parts[1])?,
            hours: set(&HOUR, parts[2])?,
            days: set(&DAY, parts[3])?,
            months: set(&MONTH, parts[4])?,
            weekdays: set(&WEEKDAY, parts[5])?,
            either_day: !parts[3].starts_with('*') && !parts[5].starts_with('*'),
        })
    }

    /// Every hour of the day is admitted: the schedule counts time, not hours of the clock.
    pub(crate) fn every_hour(&self) -> bool {
        self.hours == HOUR.all()
    }

    /// The seconds since midnight that are admitted, in order.
    pub(crate) fn seconds_of_day(&self) -> impl Iterator<Item = u32> + '_ {
        let minutes =
            members(self.hours).flat_map(|hour| members(self.minutes).map(move |minute| hour * 60 + minute));
        minutes.flat_map(|minute| members(self.seconds).map(move |second| minute * 60 + second))
    }

    /// That second since midnight is admitted.
    pub(crate) fn admits_second_of_day(&self, second: u32) -> bool {
        let has = |set: u64, number: u32| set & (1 << number) != 0;
        has(self.hours, second / 3_600)
            && has(self.minutes, second / 60 % 60)
            && has(self.seconds, second % 60)
    }

    /// What the `cron` crate is told: one expression, or two of which either is enough.
    pub(crate) fn cron_texts(&self) -> Vec<String> {
        let head = [(&SECOND, self.seconds), (&MINUTE, self.minutes), (&HOUR, self.hours)];
        let head = head.map(|(field, set)| field.text(set)).join(" ");
        let (days, weekdays) = (DAY.text(self.days), WEEKDAY.text(self.weekdays));
        let (month, every) = (MONTH.text(self.months), "*");
        if self.either_day {
            vec![format!("{head} {days} {month} {every}"), format!("{head} {every} {month} {weekdays}")]
        } else {
            vec![format!("{head} {days} {month} {weekdays}")]
        }
    }
}

/// A set of weekdays such as `Mon-Fri` or `Sat,Sun`; bit 0 is Sunday. The error is the part that is
/// wrong, and the mend.
pub(crate) fn weekdays(text: &str) -> Result<u64, (String, String)> {
    WEEKDAY.set(text).map_err(|wrong| (wrong.found, wrong.mend))
}

/// One of the six fields: its numbers and names.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
    names_from: u32,
}

/// The part of a field that is wrong, and the mend.
struct Wrong {
    found: String,
    mend: String,
}

const fn numbers(name: &'static str, first: u32, last: u32) -> Field {
    Field { name, first, last, names: &[], names_from: 0 }
}

const SECOND: Field = numbers("second", 0, 59);
const MINUTE: Field = numbers("minute", 0, 59);
const HOUR: Field = numbers("hour", 0, 23);
const DAY: Field = numbers("day", 1, 31);
const MONTH: Field = Field { names: &MONTHS, names_from: 1, ..numbers("month", 1, 12) };
/// 7 is Sunday as well and becomes 0 while a set is built.
const WEEKDAY: Field = Field { names: &WEEKDAYS, ..numbers("weekday", 0, 6) };
/// The fewest letters that stand for a month or a weekday.
const LETTERS_MIN: usize = 3;

impl Field {
    fn all(&self) -> u64 {
        (self.first..=self.last).fold(0, |set, number| set | 1 << number)
    }

    /// For a week has no end, weekdays may run over it: `Fri-Mon`.
    fn wraps(&self) -> bool {
        self.name == WEEKDAY.name
    }

    fn set(&self, text: &str) -> Result<u64, Wrong> {
        text.split(',').try_fold(0, |set, part| Ok(set | self.part(part)?))
    }

    /// One part of a list: `*`, `*/5`, `7`, `1-5`, `0-30/10`, `5/10`.
    fn part(&self, part: &str) -> Result<u64, Wrong> {
        let wrong = |mend: String| Wrong { found: part.to_owned(), mend };
        if let Some(mend) = self.unsupported(part) {
            return Err(wrong(mend));
        }
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => (range, Some(self.step(step).map_err(wrong)?)),
        };
        let (from, to) = match range.split_once('-') {
            None if range == "*" => (self.first, self.last),
            None => {
                let only = self.number(range).map_err(wrong)?;
                (only, if step.is_some() { self.last } else { only })
            }
            Some((from, to)) => (self.number(from).map_err(wrong)?, self.number(to).map_err(wrong)?),
        };
        let span = self.last - self.first + 1;
        if from > to && !self.wraps() {
            return Err(wrong(format!(
                "runs backwards: write {from}-{last},{first}-{to}",
                last = self.last,
                first = self.first
            )));
        }
        let length = if from > to { to + span - from } else { to - from };
        let steps = (0..=length).step_by(step.unwrap_or(1));
        Ok(steps.fold(0, |set, ahead| set | 1 << (self.first + (from - self.first + ahead) % span)))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let Self { name, first, last, .. } = self;
        let word = text.to_ascii_lowercase();
        if word.len() >= LETTERS_MIN
            && let Some(place) = self.names.iter().position(|name| name.starts_with(&word))
        {
            return Ok(self.names_from + u32::try_from(place).unwrap_or(0));
        }
        let known =
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        match known {
            Some(7) if self.wraps() => Ok(0),
            Some(number) if (*first..=*last).contains(&number) => Ok(number),
            _ if self.wraps() => {
                Err("is no weekday: write 0 to 7 (0 and 7 are Sunday) or a name such as Mon".into())
            }
            _ if self.names.is_empty() => Err(format!("is no {name}: write a number from {first} to {last}")),
            _ => Err(format!("is no {name}: write a number from {first} to {last} or a name such as Jan")),
        }
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let Self { name, first, last, .. } = self;
        let span = last - first + 1;
        match text.parse::<u32>() {
            Ok(step) if (1..=span).contains(&step) => Ok(step as usize),
            Ok(0) => Err("never gets on: write a step of 1 or more".into()),
            Ok(_) => Err(format!(
                "steps past the end, since each round of the {name} field begins anew at {first}: \
                 write a step of at most {span}, or {first} for once a round"
            )),
            Err(_) => Err("has no step after the slash: write a number, as in */15".into()),
        }
    }

    /// Marks of other cron dialects, which would be read wrongly in silence.
    fn unsupported(&self, part: &str) -> Option<String> {
        let upper = part.to_ascii_uppercase();
        let digits_and = |letter: char| {
            upper.contains(letter)
                && upper
                    .chars()
                    .all(|mark| mark == letter || mark == 'L' || mark == '-' || mark.is_ascii_digit())
        };
        if part.is_empty() {
            Some("is an empty part of a list: take the comma out".into())
        } else if part.contains('?') {
            Some("uses ?, which is not supported: write *".into())
        } else if part.contains('#') {
            Some(
                "uses #, which is not supported: write days of the month, such as 1-7 for a first week"
                    .into(),
            )
        } else if digits_and('L') {
            Some("uses L, which is not supported: write the day itself, such as 28, or Sat".into())
        } else if digits_and('W') {
            Some("uses W, which is not supported: write the weekdays, such as Mon-Fri".into())
        } else {
            None
        }
    }

    /// The set as the `cron` crate reads it: weekdays by name, for its numbers begin at 1.
    fn text(&self, set: u64) -> String {
        if set == self.all() {
            return "*".into();
        }
        let name = |number: u32| match self.wraps() {
            true => WEEKDAYS[number as usize % WEEKDAYS.len()][..LETTERS_MIN].to_uppercase(),
            false => number.to_string(),
        };
        members(set).map(name).collect::<Vec<_>>().join(",")
    }
}

fn members(set: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |number| set & (1 << number) != 0)
}
