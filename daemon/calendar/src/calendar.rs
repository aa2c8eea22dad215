//! Several windows, days that are open as a whole, and days that stay shut.

use std::collections::BTreeSet;

use holdfast_wire::time::Time;

use crate::window::HORIZON;
use crate::zone::Zone;
use crate::{CalendarError, Day, Window};

/// How many seams between windows are looked over for the next change: nine years of six a day.
/// Windows that take turns more often than that are taken to go on so.
const SEAMS_MAX: usize = 20_000;

/// Open when any of its windows is, and all day long on some days; shut all day long on others, whatever the
/// windows say. A day begins when the wall clock of the calendar's zone first reaches midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    zone: Zone,
    windows: Vec<Window>,
    open_on: BTreeSet<Day>,
    shut_on: BTreeSet<Day>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Shut,
}

impl Calendar {
    /// `zone` is that of the days; each window has its own. A calendar without windows is open on `open_on` alone.
    ///
    /// # Errors
    /// [`CalendarError::UnknownZone`], and [`CalendarError::DayTwice`] when a day is to be open and shut.
    pub fn new(
        zone: &str,
        windows: Vec<Window>,
        open_on: impl IntoIterator<Item = Day>,
        shut_on: impl IntoIterator<Item = Day>,
    ) -> Result<Self, CalendarError> {
        let zone = Zone::parse(zone)?;
        let open_on: BTreeSet<Day> = open_on.into_iter().collect();
        let shut_on: BTreeSet<Day> = shut_on.into_iter().collect();
        match open_on.intersection(&shut_on).next() {
            Some(day) => Err(CalendarError::DayTwice { day: day.to_string() }),
            None => Ok(Self { zone, windows, open_on, shut_on }),
        }
    }

    /// The windows, as given.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Work may be done at `at`.
    pub fn is_open(&self, at: Time) -> bool {
        self.state(at) == State::Open
    }

    /// The next moment (strictly after) at which [`Calendar::is_open`] changes. None when there is never one,
    /// also when it stays open for the next nine years.
    pub fn next_change(&self, at: Time) -> Option<Time> {
        let state = self.state(at);
        let mut seam = at;
        for _ in 0..SEAMS_MAX {
            seam = self.seam_after(seam)?;
            if self.state(seam) != state {
                return Some(seam);
            }
            if seam > at.after(HORIZON) {
                return None;
            }
        }
        None
    }

    fn state(&self, at: Time) -> State {
        let today = Day(self.zone.day_of(at));
        let open = !self.shut_on.contains(&today)
            && (self.open_on.contains(&today) || self.windows.iter().any(|window| window.is_open(at)));
        if open { State::Open } else { State::Shut }
    }

    /// A moment strictly after `at` before which the state cannot change. None when it never does.
    fn seam_after(&self, at: Time) -> Option<Time> {
        let today = self.zone.day_of(at);
        if self.shut_on.contains(&Day(today)) || self.open_on.contains(&Day(today)) {
            return self.zone.end_of(today).filter(|end| *end > at);
        }
        let spans: Vec<_> = self.windows.iter().filter_map(|window| window.span(at)).collect();
        let open_now: Vec<_> = spans.iter().filter(|span| span.start <= at).collect();
        if open_now.is_empty() {
            let opens = spans.iter().map(|span| span.start);
            return opens.chain(self.first_day_after(&self.open_on, at)).min();
        }
        // The window that stays open longest decides; only a day off shuts it before.
        let all_end: Option<Vec<Time>> = open_now.iter().map(|span| span.end).collect();
        let end = all_end.and_then(|ends| ends.into_iter().max());
        end.into_iter().chain(self.first_day_after(&self.shut_on, at)).min()
    }

    /// When the first of these days begins that begins after `at`.
    fn first_day_after(&self, days: &BTreeSet<Day>, at: Time) -> Option<Time> {
        let later = days.range(Day(self.zone.wall(at).date())..);
        later.filter_map(|day| self.zone.start_of(day.0)).find(|start| *start > at)
    }
}
