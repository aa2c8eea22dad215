//! What a person may write and what they are told when it is wrong, as tables; and calendars by example.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::time::Duration;

use holdfast_calendar::{Calendar, CalendarError, Day, Schedule, Window};
use holdfast_wire::time::Time;

fn at(text: &str) -> Time {
    Time::try_from(text.to_owned()).unwrap()
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

#[test]
fn a_wrong_expression_names_the_field_and_the_mend() {
    let refused = [
        ("", "has 0 fields"),
        ("0 2 * *", "has 4 fields"),
        ("0 0 2 * * Mon 2027", "has 7 fields: write five (minute hour day month weekday"),
        (
            "60 2 * * *",
            "the minute field of \"60 2 * * *\": \"60\" is no minute: write a number from 0 to 59",
        ),
        ("0 24 * * *", "the hour field of \"0 24 * * *\": \"24\" is no hour: write a number from 0 to 23"),
        ("61 0 2 * * *", "the second field"),
        ("0 2 0 * *", "the day field of \"0 2 0 * *\": \"0\" is no day: write a number from 1 to 31"),
        (
            "0 2 * 13 *",
            "the month field of \"0 2 * 13 *\": \"13\" is no month: write a number from 1 to 12 or a name",
        ),
        ("0 2 * Ja *", "\"Ja\" is no month"),
        (
            "0 2 * * 8",
            "the weekday field of \"0 2 * * 8\": \"8\" is no weekday: write 0 to 7 (0 and 7 are Sunday)",
        ),
        ("0 2 * * Montag", "\"Montag\" is no weekday"),
        ("0 22-6 * * *", "\"22-6\" runs backwards: write 22-23,0-6"),
        ("0 2 * Nov-Feb *", "\"Nov-Feb\" runs backwards: write 11-12,1-2"),
        ("*/90 * * * *", "\"*/90\" steps past the end"),
        ("*/0 * * * *", "\"*/0\" never gets on"),
        ("*/ * * * *", "\"*/\" has no step"),
        ("1,,2 * * * *", "\"\" is an empty part of a list"),
        ("-5 * * * *", "\"-5\" is no minute"),
        ("+5 * * * *", "\"+5\" is no minute"),
        ("0 2 ? * Mon", "the day field of \"0 2 ? * Mon\": \"?\" uses ?, which is not supported: write *"),
        ("0 2 L * *", "\"L\" uses L, which is not supported"),
        ("0 2 15W * *", "\"15W\" uses W, which is not supported"),
        ("0 2 LW * *", "not supported"),
        ("0 2 * * 5L", "\"5L\" uses L, which is not supported"),
        ("0 2 * * Mon#1", "\"Mon#1\" uses #, which is not supported"),
        ("@reboot", "\"@reboot\" is no schedule: write @hourly"),
        ("@every 5m", "\"@every 5m\" is no schedule"),
    ];
    for (expression, expected) in refused {
        let said = Schedule::parse(expression, "UTC").unwrap_err().to_string();
        assert!(said.contains(expected), "{expression}: {said}");
    }
}

#[test]
fn an_unknown_zone_is_said_with_an_example() {
    for zone in ["Mars/Olympus", "", "EST5EDT4,M3.2.0,M11.1.0", "+02:00", "Etc/Unknown"] {
        let said = Schedule::parse("0 2 * * *", zone).unwrap_err();
        assert_eq!(said, CalendarError::UnknownZone { zone: zone.to_owned() });
        assert!(said.to_string().contains("such as Europe/Berlin"), "{said}");
    }
    assert_eq!(Schedule::parse("0 2 * * *", "europe/berlin").unwrap().zone(), "Europe/Berlin");
}

#[test]
fn forms_that_mean_the_same_fire_alike() {
    let same = [
        ("@hourly", "0 * * * *"),
        ("@DAILY", "0 0 * * *"),
        ("@weekly", "0 0 * * Sun"),
        ("@monthly", "0 0 0 1 * *"),
        ("@annually", "0 0 1 Jan *"),
        ("*/20 * * * *", "0,20,40 * * * *"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("10-30/10 * * * *", "10,20,30 * * * *"),
        ("0 2 * * Fri-Mon", "0 2 * * 5,6,0,1"),
        ("0 2 * * 5-7", "0 2 * * 0,5,6"),
        ("0 2 * * 0-6/2", "0 2 * * Sun,Tue,Thu,Sat"),
        ("0 2 * january,APR 1", "0 2 * 1,4 MONDAY"),
        ("  0   2 *  * * ", "0 2 * * *"),
        // A day field that begins with * is not given: both halves must hold.
        ("0 2 */1 * Mon", "0 2 * * Mon"),
    ];
    let after = at("2026-11-21T12:34:56.789Z");
    for (one, other) in same {
        let [one, other] = [one, other].map(|text| Schedule::parse(text, "Europe/Berlin").unwrap());
        assert_eq!(one.next(after, 20), other.next(after, 20), "{one} and {other}");
    }
}

#[test]
fn six_fields_begin_with_the_second() {
    let schedule = Schedule::parse("*/20 30 2 * * *", "UTC").unwrap();
    let expected =
        ["2026-11-22T02:30:00Z", "2026-11-22T02:30:20Z", "2026-11-22T02:30:40Z", "2026-11-23T02:30:00Z"];
    assert_eq!(schedule.next(at("2026-11-21T12:00:00Z"), 4), expected.map(at));
    assert_eq!(schedule.next_after(at("2026-11-22T02:30:20.001Z")), Some(at(expected[2])));
    assert_eq!(schedule.next_after(at("2026-11-22T02:30:19.999Z")), Some(at(expected[1])));
}

#[test]
fn schedules_are_equal_when_written_alike() {
    let berlin = Schedule::parse("0 2 * * *", "Europe/Berlin").unwrap();
    assert_eq!(berlin, Schedule::parse(" 0 2 * * * ", "europe/berlin").unwrap());
    assert_ne!(berlin, Schedule::parse("0 2 * * *", "Europe/Paris").unwrap());
    assert_ne!(berlin, Schedule::parse("0 3 * * *", "Europe/Berlin").unwrap());
    assert_eq!(berlin.to_string(), "0 2 * * * (Europe/Berlin)");
    assert_eq!(format!("{berlin:?}"), "Schedule { expression: \"0 2 * * *\", zone: \"Europe/Berlin\" }");
}

#[test]
fn the_ends_of_time_are_answered() {
    let schedule = Schedule::parse("0 2 * * *", "America/New_York").unwrap();
    assert_eq!(schedule.next_after(Time::from_unix_ms(i64::MAX)), None);
    assert_eq!(schedule.next_after(at("2101-01-01T12:00:00Z")), None);
    // Calendars begin in 1970.
    assert_eq!(schedule.next_after(Time::from_unix_ms(i64::MIN)), Some(at("1970-01-01T07:00:00Z")));
    let window = Window::by_clock("22:00-06:00", "America/New_York", []).unwrap();
    assert_eq!(window.next_change(Time::from_unix_ms(i64::MAX)), None);
    window.is_open(Time::from_unix_ms(i64::MIN));
    window.next_change(Time::from_unix_ms(i64::MIN));
}

#[test]
fn a_wrong_window_names_the_part_and_the_mend() {
    let refused = [
        ("", "\"\" is no span of the clock: write two times, as in 22:00-06:00"),
        ("22:00", "\"22:00\" is no span"),
        ("22-6", "\"22\" is no time of the day"),
        ("22:00-25:00", "\"25:00\" is no time of the day: write hours and minutes, as in 06:00"),
        ("22:00-24:01", "\"24:01\" is no time"),
        ("22:60-23:00", "\"22:60\" is no time"),
        ("24:00-06:00", "begins at the end of a day: write 00:00"),
        ("08:00-08:00", "begins when it ends: write 00:00-24:00"),
        ("22:00-06:00 Mon-Fry", "\"Mon-Fry\" is no weekday"),
        ("22:00-06:00 Mon,,Tue", "is an empty part of a list"),
    ];
    for (text, expected) in refused {
        let said = Window::by_clock(text, "UTC", []).unwrap_err().to_string();
        assert!(said.contains(expected), "{text}: {said}");
    }
    assert_eq!(
        Window::by_clock("22:00-06:00  Mon, Tue ", "UTC", []).unwrap().text(),
        "22:00-06:00  Mon, Tue"
    );
    let schedule = Schedule::parse("0 22 * * *", "UTC").unwrap();
    for seconds in [0, 367 * 86_400] {
        let said = Window::new(schedule.clone(), Duration::from_secs(seconds), []).unwrap_err();
        assert_eq!(said, CalendarError::Duration { seconds, seconds_max: 366 * 86_400 });
    }
}

#[test]
fn what_is_always_open_never_changes() {
    let hourly = |minutes: u64| {
        let schedule = Schedule::parse("0 * * * *", "Europe/Berlin").unwrap();
        Window::new(schedule, Duration::from_secs(minutes * 60), []).unwrap()
    };
    let second = Schedule::parse("* * * * * *", "UTC").unwrap();
    let windows = [
        Window::by_clock("00:00-24:00", "Australia/Lord_Howe", []).unwrap(),
        hourly(60),
        hourly(61),
        Window::new(second, Duration::from_secs(1), []).unwrap(),
    ];
    let now = at("2026-11-21T12:00:00Z");
    for window in windows {
        assert!(window.is_open(now));
        assert_eq!(window.next_change(now), None, "{}", window.text());
    }
    assert_eq!(hourly(59).next_change(now), Some(at("2026-11-21T12:59:00Z")));
    // Two halves of the day take turns and leave nothing between.
    let halves = ["08:00-20:00", "20:00-08:00"].map(|half| Window::by_clock(half, "UTC", []).unwrap());
    let calendar = Calendar::new("UTC", halves.to_vec(), [], []).unwrap();
    assert!(calendar.is_open(now));
    assert_eq!(calendar.next_change(now), None);
    let but_one = Calendar::new("UTC", halves.to_vec(), [], [day("2030-07-01")]).unwrap();
    assert_eq!(but_one.next_change(now), Some(at("2030-07-01T00:00:00Z")));
    assert_eq!(but_one.next_change(at("2030-07-01T00:00:00Z")), Some(at("2030-07-02T00:00:00Z")));
}

#[test]
fn what_is_never_open_never_changes() {
    let never = Schedule::parse("0 0 30 2 *", "UTC").unwrap();
    let window = Window::new(never, Duration::from_secs(60), []).unwrap();
    let now = at("2026-11-21T12:00:00Z");
    assert!(!window.is_open(now));
    assert_eq!(window.next_change(now), None);
    let empty = Calendar::new("UTC", vec![], [], []).unwrap();
    assert!(!empty.is_open(now));
    assert_eq!(empty.next_change(now), None);
}

#[test]
fn a_calendar_joins_nights_weekends_and_holidays() {
    let nights = Window::by_clock("20:00-06:00 Mon-Fri", "Europe/Berlin", []).unwrap();
    let weekends = Window::by_clock("00:00-24:00 Sat,Sun", "Europe/Berlin", []).unwrap();
    let (christmas, release) = (day("2026-12-25"), day("2026-12-20"));
    let calendar = Calendar::new("Europe/Berlin", vec![nights, weekends], [christmas], [release]).unwrap();
    // Friday 18 December evening until Sunday the 20th, which stays shut; Monday night; and from Thursday night on
    // through Christmas, a Friday, and the weekend behind it to Monday morning.
    let expected = [
        "2026-12-18T19:00:00Z",
        "2026-12-19T23:00:00Z",
        "2026-12-21T19:00:00Z",
        "2026-12-22T05:00:00Z",
        "2026-12-22T19:00:00Z",
        "2026-12-23T05:00:00Z",
        "2026-12-23T19:00:00Z",
        "2026-12-24T05:00:00Z",
        "2026-12-24T19:00:00Z",
        "2026-12-27T23:00:00Z",
        "2026-12-28T19:00:00Z",
    ];
    let mut moment = at("2026-12-18T12:00:00Z");
    for (number, change) in expected.iter().enumerate() {
        moment = calendar.next_change(moment).unwrap();
        assert_eq!(moment.to_string(), at(change).to_string(), "change {number}");
        assert_eq!(calendar.is_open(moment), number % 2 == 0, "{change}");
    }
}

#[test]
fn a_day_cannot_be_open_and_shut() {
    let christmas = day("2026-12-25");
    let said = Calendar::new("UTC", vec![], [christmas], [christmas]).unwrap_err();
    assert_eq!(said.to_string(), "2026-12-25 is listed both as open and as shut: take it out of one list");
}
