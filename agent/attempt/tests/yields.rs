//! A phone given up for more urgent work, by example: each line is what happens and what the brain then orders; and
//! what the apps of a job are told of each other. Laws that hold for every order of events are in `laws.rs`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "some words are for other scenarios")]
mod common;

use common::{Play, check, facts};
use holdfast_attempt::{Attempt, Event, Step};
use holdfast_wire::time::Time;

#[test]
fn a_yield_waits_for_the_case_that_runs_and_begins_no_other() {
    check(
        Play::new(2).with_cases(3).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        yield case-done      ->
        alive                -> kill 100
        yield case-done      ->
        killed               -> launch 30000
        launched 101         -> watch 101 3000
        alive                -> kill 101
        killed               -> list
        listed other.ips     -> pull other.ips
        pulled 5 pid=9 process=SpringBoard -> store 5 of J7.1 in case-1
        stored               -> rest
        yield case-done      ->
        confirmed 5          -> delete other.ips
        deleted              -> kill-app
        yield at-once        ->
        killed               -> finish yielded 1, clean, crashes=5, launches=stayed stayed
        ",
    );
}

#[test]
fn a_yield_says_that_a_case_failed_before() {
    check(
        Play::new(1).with_cases(3).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        failed silent        -> kill-app
        killed               -> list
        listed               -> launch 30000
        launched 101         -> watch 101 3000
        yield case-done      ->
        alive                -> kill 101
        killed               -> list
        listed               -> kill-app
        killed               -> finish yielded 2 failed, clean, crashes=, launches=hung stayed
        ",
    );
}

#[test]
fn a_yield_at_once_breaks_the_case_off_and_keeps_what_was_measured() {
    check(
        Play::new(2).with_cases(3).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> launch 30000
        launched 101         -> watch 101 3000
        alive                -> kill 101
        killed               -> list
        listed               -> launch 30000
        launched 102         -> watch 102 3000
        alive                -> kill 102
        killed               -> launch 30000
        yield at-once        -> list
        listed App-1.ips     -> pull App-1.ips
        pulled 1 pid=102     -> store 1 of J7.1 in case-2
        stored               -> kill-app
        killed               -> finish yielded 1, clean, crashes=1, launches=stayed stayed stayed
        ",
    );
}

#[test]
fn a_yield_at_once_overtakes_one_that_waits_for_the_case_or_for_the_daemon() {
    check(
        Play::new(2).with_cases(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        yield case-done      ->
        yield at-once        -> list
        +10000               -> kill-app
        killed               -> finish yielded 0, clean, crashes=, launches=
        ",
    );
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> list
        listed other.ips     -> pull other.ips
        pulled 5             -> store 5 of J7.1
        stored               -> rest
        yield at-once        -> kill-app
        killed               -> finish passed, clean, crashes=5, launches=stayed
        ",
    );
}

#[test]
fn a_yield_at_once_cuts_short_what_is_collected_and_blames_nobody_for_it() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> list
        listed a.ips b.ips   -> pull a.ips
        yield at-once        ->
        +9999                ->
        +1                   -> kill-app
        killed               -> finish passed, clean, crashes=, launches=stayed
        ",
    );
}

#[test]
fn a_yield_before_the_first_case_waits_for_nothing() {
    for before in ["", "checked -> list", "checked -> list \n listed -> fetch"] {
        for when in ["case-done", "at-once"] {
            let told = format!(
                "begin -> check
                {before}
                yield {when}         -> list
                listed               -> kill-app
                killed               -> finish yielded 0, clean, crashes=, launches="
            );
            check(Play::new(2), &told);
        }
    }
}

#[test]
fn a_yield_ends_as_the_attempt_would_have_when_every_case_is_done() {
    check(
        Play::new(1).with_cases(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        failed silent        -> kill-app
        killed               -> list
        listed               -> launch 30000
        launched 101         -> watch 101 3000
        yield case-done      ->
        alive                -> kill 101
        killed               -> list
        yield at-once        ->
        listed               -> kill-app
        killed               -> finish failed job run, clean, crashes=, launches=hung stayed
        ",
    );
}

#[test]
fn a_phone_in_trouble_is_told_even_when_it_was_to_yield() {
    check(
        Play::new(1).with_cases(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        yield case-done      ->
        alive                -> kill 100
        killed               -> list
        failed other         -> kill-app
        killed               -> finish failed phone collect, clean, crashes=, launches=stayed
        ",
    );
    check(
        Play::new(1).with_cases(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        yield case-done      ->
        failed app-missing   -> list
        listed               -> kill-app
        killed               -> finish yielded 0, clean, crashes=, launches=
        ",
    );
}

#[test]
fn a_lease_that_is_taken_back_from_one_that_yields_is_revoked() {
    check(
        Play::new(2).with_cases(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        yield at-once        -> list
        revoked              -> list
        yield at-once        ->
        listed               -> kill-app
        killed               -> finish revoked, clean, crashes=, launches=
        ",
    );
}

#[test]
fn the_phones_of_a_gang_are_told_to_each_app() {
    let mut play = Play::new(1).with_build_on_phone();
    play.brief.work.with = ["phone-b", "phone-a"].iter().map(|phone| phone.parse().unwrap()).collect();
    assert_eq!(told_at_launch(&play, "HOLDFAST_PEERS").as_deref(), Some("phone-b,phone-a"));
    assert_eq!(told_at_launch(&Play::new(1).with_build_on_phone(), "HOLDFAST_PEERS"), None);
}

fn told_at_launch(play: &Play, name: &str) -> Option<String> {
    let now = Time::from_unix_ms(0);
    let (mut attempt, _) = Attempt::begin(now, play.brief.clone());
    let _list = attempt.apply(now, Event::Checked(Box::new(facts("good"))));
    let steps = attempt.apply(now, Event::Listed(Vec::new()));
    let [Step::Launch { environment, .. }] = steps.as_slice() else { panic!("no launch in {steps:?}") };
    assert_eq!(environment.get("HOLDFAST_ATTEMPT").map(String::as_str), Some("J7.1"));
    environment.get(name).cloned()
}
