//! Schedules, windows and calendars against a slow reference: it walks through real time minute by minute, reads the
//! wall clock with jiff, and knows no cron expression, only sets of numbers. Hand-made examples are
//! `clock_changes.rs`.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use holdfast_calendar::{Calendar, Day, Schedule, Window};
use holdfast_wire::time::Time;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// How long before and after a change of the clock the reference walks, in days.
const AROUND_DAYS: i64 = 2;
/// How long it looks at the wall before it begins to count, in days: longer than any overlap.
const WARM_UP_DAYS: i64 = 2;

/// How many stretches of time each property is tried on; each has thousands of minutes.
const CASES: u32 = 32;

/// Each minute of a stretch of real time: the wall clock then, and the latest that it has shown so far.
struct Walk {
    minutes: Vec<(Time, DateTime)>,
    furthest: Vec<DateTime>,
    zone: String,
}

impl Walk {
    fn around(zone: &str, middle: Timestamp) -> Self {
        let rules = TimeZoneDatabase::bundled().get(zone).unwrap();
        let whole = middle.as_second().div_euclid(60) * 60;
        let first = Timestamp::from_second(whole).unwrap() - SignedDuration::from_hours(24 * AROUND_DAYS);
        let warm_up = WARM_UP_DAYS * 24 * 60;
        let wall = |minute: i64| rules.to_datetime(first + MINUTE * i32::try_from(minute).unwrap());
        let mut highest = (-warm_up..0).map(wall).max().unwrap();
        let (mut minutes, mut furthest) = (Vec::new(), Vec::new());
        for minute in 0..2 * AROUND_DAYS * 24 * 60 {
            let now = first + MINUTE * i32::try_from(minute).unwrap();
            furthest.push(highest.max(wall(minute)));
            highest = highest.max(wall(minute));
            minutes.push((Time::from(now), wall(minute)));
        }
        Self { minutes, furthest, zone: zone.to_owned() }
    }

    fn start(&self) -> Time {
        self.minutes[0].0
    }

    fn end(&self) -> Time {
        self.minutes[self.minutes.len() - 1].0
    }

    /// The firings strictly after the first minute.
    fn firings(&self, rule: &Rule) -> Vec<Time> {
        let mut firings = Vec::new();
        for (place, (at, wall)) in self.minutes.iter().enumerate().skip(1) {
            let fires = if rule.hours.len() == 24 {
                rule.matches(*wall)
            } else {
                let mut unseen = self.furthest[place - 1] + MINUTE;
                let mut fires = false;
                while unseen <= *wall && !fires {
                    fires = rule.matches(unseen);
                    unseen += MINUTE;
                }
                fires
            };
            if fires {
                firings.push(*at);
            }
        }
        firings
    }

    /// Asks `is_open` every minute: the moments at which it changes.
    fn changes(&self, is_open: impl Fn(Time) -> bool) -> Vec<Time> {
        let states: Vec<bool> = self.minutes.iter().map(|(at, _)| is_open(*at)).collect();
        (1..states.len())
            .filter(|place| states[*place] != states[place - 1])
            .map(|place| self.minutes[place].0)
            .collect()
    }

    /// What `next_change` must say at `at`, where the walk shows it.
    fn check_next_change(
        &self,
        changes: &[Time],
        at: Time,
        found: Option<Time>,
    ) -> Result<(), TestCaseError> {
        match changes.iter().find(|change| **change > at) {
            Some(change) => {
                prop_assert_eq!(found, Some(*change), "the change after {} in {}", at, &self.zone)
            }
            None => {
                prop_assert!(found.is_none_or(|change| change > self.end()), "{found:?} after {at} is none")
            }
        }
        Ok(())
    }
}

/// What an expression means, as plain sets; `None` for a day field means that it was not given.
#[derive(Debug, Clone)]
struct Rule {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days: Option<BTreeSet<i8>>,
    months: BTreeSet<i8>,
    weekdays: Option<BTreeSet<i8>>,
}

impl Rule {
    fn matches(&self, wall: DateTime) -> bool {
        let day = self.days.as_ref().map(|days| days.contains(&wall.day()));
        let weekday = wall.weekday().to_sunday_zero_offset();
        let weekday = self.weekdays.as_ref().map(|weekdays| weekdays.contains(&weekday));
        let right_day = match (day, weekday) {
            (Some(day), Some(weekday)) => day || weekday,
            (given, other) => given.or(other).unwrap_or(true),
        };
        right_day
            && self.months.contains(&wall.month())
            && self.hours.contains(&wall.hour())
            && self.minutes.contains(&wall.minute())
    }

    fn text(&self) -> String {
        let list = |set: &BTreeSet<i8>| set.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        let given = |set: &Option<BTreeSet<i8>>| set.as_ref().map_or("*".to_owned(), list);
        let (minutes, hours, months) = (list(&self.minutes), list(&self.hours), list(&self.months));
        format!("{minutes} {hours} {} {months} {}", given(&self.days), given(&self.weekdays))
    }
}

fn some_of(first: i8, last: i8, most: usize) -> impl Strategy<Value = BTreeSet<i8>> {
    let all: Vec<i8> = (first..=last).collect();
    subsequence(all, 1..=most).prop_map(|set| set.into_iter().collect())
}

fn rule() -> impl Strategy<Value = Rule> {
    let minutes =
        prop_oneof![some_of(0, 59, 4), Just((0..60).step_by(15).collect()), Just((0..60).collect())];
    let hours = prop_oneof![2 => some_of(0, 3, 4), 2 => some_of(0, 23, 6), 1 => Just((0..24).collect())];
    let months = prop_oneof![3 => Just((1..=12).collect()), 1 => some_of(1, 12, 11)];
    let days = prop::option::weighted(0.3, some_of(1, 31, 20));
    let weekdays = prop::option::weighted(0.3, some_of(0, 6, 6));
    (minutes, hours, days, months, weekdays).prop_map(|(minutes, hours, days, months, weekdays)| Rule {
        minutes,
        hours,
        days,
        months,
        weekdays,
    })
}

fn zones() -> &'static [String] {
    static ZONES: OnceLock<Vec<String>> = OnceLock::new();
    ZONES.get_or_init(|| {
        let database = TimeZoneDatabase::bundled();
        let mut names: Vec<String> = database.available().map(|name| name.to_string()).collect();
        names.retain(|name| database.get(name).is_ok_and(|zone| !zone.is_unknown()));
        assert!(names.len() > 400, "the database inside the program is whole: {}", names.len());
        names
    })
}

/// Some zone and some time near the first change of its clock after the start of some year. From 1975 on every
/// offset is of whole minutes, as the walk needs.
fn walk() -> impl Strategy<Value = Walk> {
    (any::<Index>(), 1975_i16..2060, -3_000_i64..3_000)
        .prop_map(|(zone, year, shift)| {
            let name = zone.get(zones());
            let rules = TimeZoneDatabase::bundled().get(name).unwrap();
            let new_year =
                jiff::civil::date(year, 1, 1).at(0, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
            let change = rules.following(new_year).next().map_or(new_year, |change| change.timestamp());
            // Zones that are no more changed for the last time long ago: then any time will do.
            let middle = change + SignedDuration::from_mins(shift);
            Walk::around(name, middle)
        })
        .prop_filter("whole minutes", |walk| walk.minutes.iter().all(|(_, wall)| wall.second() == 0))
}

fn dates_around(walk: &Walk, picks: &[Index]) -> BTreeSet<Day> {
    let first = walk.minutes[0].1.date().saturating_sub(2.days());
    let date = |pick: &Index| first + i64::try_from(pick.index(10)).unwrap().days();
    picks.iter().map(|pick| date(pick).to_string().parse().unwrap()).collect()
}

fn as_day(date: Date) -> Day {
    date.to_string().parse().unwrap()
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {} to {}", self.zone, self.start(), self.end())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn firings_are_those_of_the_walk(walk in walk(), rule in rule(), pick in any::<Index>()) {
        let schedule = Schedule::parse(&rule.text(), &walk.zone).unwrap();
        let expected = walk.firings(&rule);
        let found = schedule.between(walk.start(), walk.end(), usize::MAX);
        prop_assert_eq!(&found, &expected, "{}", rule.text());
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "firings grow");
        prop_assert_eq!(schedule.latest(walk.start(), walk.end()), expected.last().copied());
        // From any moment, also between two minutes, also within an overlap.
        let (minute, _) = walk.minutes[pick.index(walk.minutes.len())];
        for moment in [minute, minute.after(Duration::from_millis(1)), minute.after(Duration::from_millis(59_999))] {
            let next = expected.iter().find(|firing| **firing > moment).copied();
            let found = schedule.next_after(moment);
            if next.is_some() {
                prop_assert_eq!(found, next, "after {}", moment);
            } else {
                prop_assert!(found.is_none_or(|found| found > walk.end()), "{:?}", found);
            }
        }
    }

    #[test]
    fn no_wall_time_of_a_fixed_hour_comes_twice(walk in walk(), rule in rule()) {
        prop_assume!(rule.hours.len() < 24);
        let schedule = Schedule::parse(&rule.text(), &walk.zone).unwrap();
        let rules = TimeZoneDatabase::bundled().get(&walk.zone).unwrap();
        let firings = schedule.between(walk.start(), walk.end(), usize::MAX);
        let walls: Vec<DateTime> = firings
            .iter()
            .map(|firing| rules.to_datetime(Timestamp::from_millisecond(firing.as_unix_ms()).unwrap()))
            .collect();
        prop_assert!(walls.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", walls);
    }

    #[test]
    fn weekday_numbers_are_their_names(set in some_of(0, 7, 8), start in 0_i64..4_000_000_000_000) {
        let names = ["Sun", "mon", "TUE", "Wednesday", "thu", "Fri", "Saturday", "Sunday"];
        let numbers = set.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        let named = set.iter().map(|day| names[usize::try_from(*day).unwrap()]).collect::<Vec<_>>().join(",");
        let [numbers, named] = [numbers, named]
            .map(|days| Schedule::parse(&format!("30 2 * * {days}"), "Europe/Berlin").unwrap())
            .map(|schedule| schedule.next(Time::from_unix_ms(start), 10));
        prop_assert_eq!(numbers, named);
    }

    #[test]
    fn a_window_of_firings_is_open_for_its_time(
        walk in walk(), rule in rule(), minutes in 1_u64..2_000, out in prop::collection::vec(any::<Index>(), 0..3),
        pick in any::<Index>(),
    ) {
        let left_out = dates_around(&walk, &out);
        let schedule = Schedule::parse(&rule.text(), &walk.zone).unwrap();
        let window = Window::new(schedule, Duration::from_secs(minutes * 60), left_out.clone()).unwrap();
        let known = usize::try_from(minutes).unwrap();
        let mut openings = walk.firings(&rule);
        openings.retain(|opening| {
            let place = walk.minutes.iter().position(|(at, _)| at == opening).unwrap();
            !left_out.contains(&as_day(walk.furthest[place].date()))
        });
        // Before that many minutes, openings from ahead of the walk may still hold.
        for (at, _) in walk.minutes.iter().skip(known + 1) {
            let open_ms = i64::try_from(minutes * 60_000).unwrap();
            let after = openings.partition_point(|opening| opening <= at);
            let expected = after > 0 && at.as_unix_ms() - openings[after - 1].as_unix_ms() < open_ms;
            prop_assert_eq!(window.is_open(*at), expected, "{} for {} min at {}", rule.text(), minutes, at);
        }
        let changes = walk.changes(|at| window.is_open(at));
        let (at, _) = walk.minutes[pick.index(walk.minutes.len())];
        walk.check_next_change(&changes, at, window.next_change(at))?;
    }

    #[test]
    fn a_window_by_the_clock_follows_the_wall(
        walk in walk(), from in 0_i32..1_440, length in 1_i32..1_440, weekdays in some_of(0, 6, 7),
        out in prop::collection::vec(any::<Index>(), 0..3), pick in any::<Index>(),
    ) {
        let left_out = dates_around(&walk, &out);
        let until = (from + length) % 1_440;
        let days = weekdays.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        let text = format!("{:02}:{:02}-{:02}:{:02} {days}", from / 60, from % 60, until / 60, until % 60);
        let window = Window::by_clock(&text, &walk.zone, left_out.clone()).unwrap();
        for ((at, _), furthest) in walk.minutes.iter().zip(&walk.furthest) {
            let expected = [0_i64, 1].iter().any(|days_ago| {
                let day = furthest.date() - days_ago.days();
                let begins = day.at(0, 0, 0, 0) + MINUTE * from;
                weekdays.contains(&day.weekday().to_sunday_zero_offset())
                    && !left_out.contains(&as_day(day))
                    && (begins..begins + MINUTE * length).contains(furthest)
            });
            prop_assert_eq!(window.is_open(*at), expected, "{} at {}", text, at);
        }
        let changes = walk.changes(|at| window.is_open(at));
        let (at, _) = walk.minutes[pick.index(walk.minutes.len())];
        walk.check_next_change(&changes, at, window.next_change(at))?;
    }

    #[test]
    fn a_calendar_is_its_windows_and_its_days(
        walk in walk(), rule in rule(), minutes in 1_u64..600, clock in 0..24, picks in prop::collection::vec(any::<Index>(), 5),
    ) {
        let schedule = Schedule::parse(&rule.text(), &walk.zone).unwrap();
        let windows = vec![
            Window::new(schedule, Duration::from_secs(minutes * 60), []).unwrap(),
            Window::by_clock(&format!("{clock:02}:00-12:30 Mon-Thu"), "America/New_York", []).unwrap(),
        ];
        let open_on = dates_around(&walk, &picks[..2]);
        let shut_on = &dates_around(&walk, &picks[2..4]) - &open_on;
        let calendar = Calendar::new(&walk.zone, windows.clone(), open_on.clone(), shut_on.clone()).unwrap();
        for ((at, _), furthest) in walk.minutes.iter().zip(&walk.furthest) {
            let today = as_day(furthest.date());
            let by_window = windows.iter().any(|window| window.is_open(*at));
            let expected = !shut_on.contains(&today) && (open_on.contains(&today) || by_window);
            prop_assert_eq!(calendar.is_open(*at), expected, "at {}", at);
        }
        let changes = walk.changes(|at| calendar.is_open(at));
        let (at, _) = walk.minutes[picks[4].index(walk.minutes.len())];
        walk.check_next_change(&changes, at, calendar.next_change(at))?;
    }
}

#[test]
fn at_every_change_of_every_zone_a_fixed_hour_fires_once_a_day() {
    let until: Timestamp = "2029-01-01T00:00:00Z".parse().unwrap();
    let mut seen = 0;
    for name in zones() {
        let rules = TimeZoneDatabase::bundled().get(name).unwrap();
        let changes: Vec<Timestamp> = rules
            .following("2025-01-01T00:00:00Z".parse().unwrap())
            .map(|change| change.timestamp())
            .take_while(|change| *change < until)
            .collect();
        for change in changes {
            let just_before = rules.to_datetime(change - SignedDuration::from_mins(1));
            let just_after = rules.to_datetime(change);
            // A time that the change leaves out or doubles, as well as its neighbours.
            for clock in [just_before, just_after, just_before + MINUTE * 15, just_after - MINUTE * 15] {
                let text = format!("{} {} * * *", clock.minute(), clock.hour());
                let schedule = Schedule::parse(&text, name).unwrap();
                let around = SignedDuration::from_hours(50);
                let firings =
                    schedule.between((change - around).into(), (change + around).into(), usize::MAX);
                let due = |firing: &Time| {
                    let wall = rules.to_datetime(Timestamp::from_millisecond(firing.as_unix_ms()).unwrap());
                    if wall.time() == clock.time() {
                        wall.date()
                    } else {
                        due_in_gap(just_before + MINUTE, clock)
                    }
                };
                let days: BTreeSet<Date> = firings.iter().map(due).collect();
                assert!(firings.len() >= 4, "{text} in {name} around {change}: {firings:?}");
                assert_eq!(days.len(), firings.len(), "{text} in {name} around {change}: {firings:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 1_000, "zones with daylight saving were looked at: {seen}");
}

/// The day that a time of the day in a gap belongs to, when the gap begins at `gap`.
fn due_in_gap(gap: DateTime, clock: DateTime) -> Date {
    if clock.time() < gap.time() { gap.date().tomorrow().unwrap() } else { gap.date() }
}
