//! Firings and windows where the wall clock jumps, as tables: each expected moment is worked out by hand from the
//! zone's published change, none from the code. The same over many zones and changes is `properties.rs`.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::time::Duration;

use holdfast_calendar::{Calendar, Day, Missed, Schedule, Window};
use holdfast_wire::time::Time;

fn at(text: &str) -> Time {
    Time::try_from(text.to_owned()).unwrap()
}

/// One schedule, from a moment on: its next firings, in UTC.
fn fires(expression: &str, zone: &str, after: &str, expected: &[&str]) {
    let schedule = Schedule::parse(expression, zone).unwrap();
    let expected: Vec<Time> = expected.iter().map(|text| at(text)).collect();
    let found = schedule.next(at(after), expected.len());
    let words = |times: &[Time]| times.iter().map(Time::to_string).collect::<Vec<_>>();
    assert_eq!(words(&found), words(&expected), "{expression} in {zone} after {after}");
}

#[test]
fn new_york_fires_once_where_an_hour_is_missing() {
    let before = "2026-03-07T12:00:00Z";
    // 02:00 to 03:00 on 8 March is missing; the clock then shows 03:00, which is 07:00 in UTC.
    fires("30 2 * * *", "America/New_York", before, &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]);
    fires("0 30 2 * * *", "America/New_York", before, &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]);
    // Four times of one gap are one firing.
    fires("*/15 2 * * *", "America/New_York", before, &["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"]);
    // What is due at 03:00 anyway comes once.
    fires("30 2,3 * * *", "America/New_York", before, &["2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"]);
    fires("0 2,3 * * *", "America/New_York", before, &["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"]);
    fires("59 1 * * *", "America/New_York", before, &["2026-03-08T06:59:00Z", "2026-03-09T05:59:00Z"]);
}

#[test]
fn new_york_fires_once_where_an_hour_comes_twice() {
    let before = "2026-10-31T12:00:00Z";
    // 01:00 to 02:00 on 1 November comes twice, at 05:00 and at 06:00 in UTC.
    fires("30 1 * * *", "America/New_York", before, &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    fires("0 2 * * *", "America/New_York", before, &["2026-11-01T07:00:00Z", "2026-11-02T07:00:00Z"]);
    // Asked in the midst of the second round, what was due in the first is over; 02:00 is not.
    fires("0,30 1,2 * * *", "America/New_York", "2026-11-01T06:10:00Z", &["2026-11-01T07:00:00Z"]);
    fires("30 1 * * *", "America/New_York", "2026-11-01T06:10:00Z", &["2026-11-02T06:30:00Z"]);
    fires(
        "* 1 * * *",
        "America/New_York",
        "2026-11-01T05:58:00Z",
        &["2026-11-01T05:59:00Z", "2026-11-02T06:00:00Z"],
    );
}

#[test]
fn schedules_of_every_hour_keep_their_distance() {
    fires(
        "*/30 * * * *",
        "America/New_York",
        "2026-11-01T04:45:00Z",
        &[
            "2026-11-01T05:00:00Z",
            "2026-11-01T05:30:00Z",
            "2026-11-01T06:00:00Z",
            "2026-11-01T06:30:00Z",
            "2026-11-01T07:00:00Z",
        ],
    );
    fires(
        "30 * * * *",
        "America/New_York",
        "2026-03-08T06:00:00Z",
        &["2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z", "2026-03-08T08:30:00Z"],
    );
}

#[test]
fn london_berlin_and_utc() {
    // London jumps at 01:00 UTC on 29 March and 25 October 2026.
    fires(
        "30 1 * * *",
        "Europe/London",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    fires(
        "30 1 * * *",
        "Europe/London",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    fires(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    fires("30 1 * * *", "UTC", "2026-03-28T12:00:00Z", &["2026-03-29T01:30:00Z"]);
}

#[test]
fn lord_howe_jumps_by_half_an_hour() {
    // 02:00 → 02:30 on 4 October 2026 at 15:30 UTC the day before; 02:00 → 01:30 on 5 April 2026 at 15:00 UTC the day before.
    let zone = "Australia/Lord_Howe";
    fires("15 2 * * *", zone, "2026-10-03T12:00:00Z", &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
    fires("45 1 * * *", zone, "2026-04-04T12:00:00Z", &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]);
    // The minute on the wall counts: 01:00, then 02:00 an hour and a half later.
    fires("0 * * * *", zone, "2026-04-04T13:30:00Z", &["2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z"]);
}

#[test]
fn apia_left_a_whole_day_out() {
    // 30 December 2011 is missing: after 29 December 23:59:59 (UTC-10) came 31 December 00:00 (UTC+14).
    let before = "2011-12-29T20:00:00Z";
    fires("0 9 * * *", "Pacific/Apia", before, &["2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"]);
    fires("0 0 * * *", "Pacific/Apia", before, &["2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]);
    fires(
        "0 * * * *",
        "Pacific/Apia",
        "2011-12-30T09:00:00Z",
        &["2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"],
    );
}

#[test]
fn weekdays_are_those_of_unix() {
    // 21 November 2026 is a Saturday.
    let before = "2026-11-21T12:00:00Z";
    for sunday in ["0 2 * * 0", "0 2 * * 7", "0 2 * * Sun", "0 2 * * sunday", "@weekly"] {
        let hour = if sunday == "@weekly" { "2026-11-22T00:00:00Z" } else { "2026-11-22T02:00:00Z" };
        fires(sunday, "UTC", before, &[hour]);
    }
    fires("0 2 * * 1", "UTC", before, &["2026-11-23T02:00:00Z", "2026-11-30T02:00:00Z"]);
    fires("0 2 * * 1-5", "UTC", "2026-11-26T12:00:00Z", &["2026-11-27T02:00:00Z", "2026-11-30T02:00:00Z"]);
    fires("0 2 * * Sat-Sun", "UTC", before, &["2026-11-22T02:00:00Z", "2026-11-28T02:00:00Z"]);
    // A day of the month or a weekday: either is enough. Friday 27 November, Tuesday 1 December.
    fires(
        "0 2 1 * Fri",
        "UTC",
        before,
        &["2026-11-27T02:00:00Z", "2026-12-01T02:00:00Z", "2026-12-04T02:00:00Z"],
    );
}

#[test]
fn what_never_comes_is_said_at_once() {
    for never in ["0 0 30 2 *", "* * 30 2 *", "*/5 * 31 Apr,Jun,Sep,Nov *"] {
        assert_eq!(
            Schedule::parse(never, "Europe/Berlin").unwrap().next_after(at("2026-01-01T00:00:00Z")),
            None
        );
    }
    fires("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
}

#[test]
fn what_was_missed_is_served_as_configured() {
    let schedule = Schedule::parse("0 * * * *", "UTC").unwrap();
    let (after, until) = (at("2026-11-21T00:00:00Z"), at("2026-11-21T03:00:00Z"));
    let hours = ["2026-11-21T01:00:00Z", "2026-11-21T02:00:00Z", "2026-11-21T03:00:00Z"].map(at);
    assert_eq!(Missed::Skip.to_serve(&schedule, after, until, 10), []);
    assert_eq!(Missed::RunOnce.to_serve(&schedule, after, until, 10), [hours[2]]);
    assert_eq!(Missed::RunAll.to_serve(&schedule, after, until, 10), hours);
    assert_eq!(Missed::RunAll.to_serve(&schedule, after, until, 2), hours[..2]);
    assert_eq!(Missed::RunOnce.to_serve(&schedule, hours[2], until, 10), []);
    assert_eq!(serde_json::to_string(&Missed::RunOnce).unwrap(), "\"run_once\"");
}

/// A window's next changes from a moment at which it is shut: opens, shuts, opens…
fn changes(window: &Window, after: &str, expected: &[&str]) {
    let mut moment = at(after);
    assert!(!window.is_open(moment), "{} is shut at {after}", window.text());
    for (number, change) in expected.iter().enumerate() {
        moment = window.next_change(moment).unwrap();
        assert_eq!(moment.to_string(), at(change).to_string(), "change {number} of {}", window.text());
        assert_eq!(window.is_open(moment), number % 2 == 0, "{change}");
    }
}

#[test]
fn a_window_by_the_clock_shuts_when_the_wall_says_so() {
    let nights = Window::by_clock("22:00-06:00 Sat", "America/New_York", []).unwrap();
    // Seven hours in March, eight on any night, nine in November.
    changes(
        &nights,
        "2026-03-07T12:00:00Z",
        &["2026-03-08T03:00:00Z", "2026-03-08T10:00:00Z", "2026-03-15T02:00:00Z", "2026-03-15T10:00:00Z"],
    );
    changes(&nights, "2026-10-31T12:00:00Z", &["2026-11-01T02:00:00Z", "2026-11-01T11:00:00Z"]);
}

#[test]
fn a_window_of_firings_stays_open_for_elapsed_time() {
    let schedule = Schedule::parse("0 22 * * Sat", "America/New_York").unwrap();
    let nights = Window::new(schedule, Duration::from_secs(8 * 3_600), []).unwrap();
    changes(&nights, "2026-03-07T12:00:00Z", &["2026-03-08T03:00:00Z", "2026-03-08T11:00:00Z"]);
    changes(&nights, "2026-10-31T12:00:00Z", &["2026-11-01T02:00:00Z", "2026-11-01T10:00:00Z"]);
}

#[test]
fn days_left_out_do_not_open_a_window() {
    let christmas: Day = "2026-12-25".parse().unwrap();
    let nights = Window::by_clock("22:00-06:00", "UTC", [christmas]).unwrap();
    let cron = Window::new(
        Schedule::parse("0 22 * * *", "UTC").unwrap(),
        Duration::from_secs(8 * 3_600),
        [christmas],
    )
    .unwrap();
    for window in [nights, cron] {
        changes(
            &window,
            "2026-12-24T12:00:00Z",
            &["2026-12-24T22:00:00Z", "2026-12-25T06:00:00Z", "2026-12-26T22:00:00Z", "2026-12-27T06:00:00Z"],
        );
    }
}

#[test]
fn a_run_of_firings_ends_where_an_hour_comes_twice() {
    // Every half hour until 01:30; the second round of that hour has no firings, the next is at 02:00.
    let schedule = Schedule::parse("*/30 0-3 * * *", "America/New_York").unwrap();
    let window = Window::new(schedule, Duration::from_secs(1_800), []).unwrap();
    changes(
        &window,
        "2026-10-31T12:00:00Z",
        &["2026-11-01T04:00:00Z", "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z", "2026-11-01T09:00:00Z"],
    );
}

#[test]
fn a_day_that_has_begun_does_not_end_by_setting_the_clock_back() {
    // In Saint John's the clock went from 00:01 on 29 October 2006 back to 23:01, at 02:31 UTC.
    let always = Window::by_clock("00:00-24:00", "UTC", []).unwrap();
    let shut_on = "2006-10-28".parse::<Day>().unwrap();
    let calendar = Calendar::new("America/St_Johns", vec![always], [], [shut_on]).unwrap();
    let noon = at("2006-10-28T15:00:00Z");
    assert!(!calendar.is_open(noon));
    assert_eq!(calendar.next_change(noon), Some(at("2006-10-29T02:30:00Z")));
    assert!(calendar.is_open(at("2006-10-29T03:00:00Z")), "the clock shows 23:30 on the 28th again");
}
