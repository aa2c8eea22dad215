//! The attempt by example: each line is what happens and what the brain then orders. Yields are in `yields.rs`, laws
//! that hold for every order of events in `laws.rs`.

#[expect(dead_code, reason = "one case is enough here")]
mod common;

use common::{Play, check};

#[test]
fn a_good_attempt_runs_from_check_to_clean() {
    check(
        Play::new(2),
        "
        begin                -> check
        checked              -> list
        listed               -> fetch
        fetched              -> install
        installed            -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> launch 30000
        launched 101         -> watch 101 3000
        alive                -> kill 101
        killed               -> list
        listed               -> kill-app
        killed               -> finish passed, clean, crashes=, launches=stayed stayed
        ",
    );
}

#[test]
fn a_build_that_is_on_the_phone_is_not_installed_again() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> list
        listed               -> kill-app
        killed               -> finish passed, clean, crashes=, launches=stayed
        ",
    );
}

#[test]
fn a_build_that_somebody_took_off_is_put_back() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        failed app-missing   -> fetch
        fetched              -> install
        installed            -> launch 30000
        failed app-missing   -> list
        listed               -> kill-app
        killed               -> finish failed job run, clean, crashes=, launches=
        ",
    );
}

#[test]
fn a_crash_is_told_from_an_exit_by_its_report_and_deleted_only_when_confirmed() {
    check(
        Play::new(2),
        "
        begin                -> check
        checked              -> list
        listed old.ips       -> fetch
        fetched              -> install
        installed            -> launch 30000
        launched 100         -> watch 100 3000
        ended 200            -> list
        listed old.ips App-1.ips -> pull App-1.ips
        pulled 1 pid=100     -> store 1 of J7.1
        stored               -> launch 30000
        launched 101         -> watch 101 3000
        ended 200            -> list
        listed old.ips App-1.ips -> rest
        +1000                -> list
        listed old.ips App-1.ips -> rest
        +4500                -> list
        listed old.ips App-1.ips -> list
        listed old.ips App-1.ips -> pull old.ips
        pulled 2             -> store 2 of nobody
        stored               -> rest
        confirmed 2          ->
        confirmed 1          -> delete App-1.ips
        deleted              -> delete old.ips
        deleted              -> kill-app
        killed               -> finish failed job run, clean, crashes=1, launches=crashed exited
        ",
    );
}

#[test]
fn a_report_that_comes_late_is_waited_for() {
    check(
        Play::new(1),
        "
        begin                -> check
        checked              -> list
        listed               -> fetch
        fetched              -> install
        installed            -> launch 30000
        launched 100         -> watch 100 3000
        ended 10             -> list
        listed               -> rest
        +1000                -> list
        listed App-1.ips     -> pull App-1.ips
        pulled 1             -> store 1 of J7.1
        stored               -> list
        listed App-1.ips.synced -> pull App-1.ips.synced
        pulled 1             -> store 1 of J7.1
        stored               -> rest
        confirmed 1          -> delete App-1.ips
        deleted              -> delete App-1.ips.synced
        deleted              -> kill-app
        killed               -> finish failed job run, clean, crashes=1, launches=crashed
        ",
    );
}

#[test]
fn a_daemon_that_is_away_keeps_no_phone_and_the_file_stays() {
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
        pulled 5 pid=9 process=SpringBoard -> store 5 of J7.1
        stored               -> rest
        +30000               -> kill-app
        killed               -> finish passed, clean, crashes=5, launches=stayed
        ",
    );
}

#[test]
fn an_app_that_hangs_is_told_from_a_phone_that_hangs() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        failed silent        -> kill-app
        killed               -> list
        listed               -> kill-app
        killed               -> finish failed job run, clean, crashes=, launches=hung
        ",
    );
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        +45000               -> kill-app
        failed silent        -> list
        failed silent        -> kill-app
        +20000               -> finish failed phone run, dirty, crashes=, launches=
        ",
    );
}

#[test]
fn a_failure_is_blamed_once_and_the_phone_is_cleaned_all_the_same() {
    check(
        Play::new(1),
        "
        begin                -> check
        checked              -> list
        listed               -> fetch
        +900000              -> list
        failed other         -> kill-app
        killed               -> finish failed farm fetch, clean, crashes=, launches=
        ",
    );
    check(
        Play::new(1),
        "
        begin                -> check
        checked hot          -> list
        listed               -> kill-app
        killed               -> finish failed phone check, clean, crashes=, launches=
        ",
    );
    check(
        Play::new(1),
        "
        begin                -> check
        checked full         -> list
        listed               -> kill-app
        killed               -> finish failed phone check, clean, crashes=, launches=
        ",
    );
}

#[test]
fn a_revoked_attempt_stops_takes_what_is_there_and_waits_for_nobody() {
    check(
        Play::new(3).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        revoked              -> list
        listed App-1.ips     -> pull App-1.ips
        pulled 1 pid=100     -> store 1 of J7.1
        stored               -> kill-app
        killed               -> finish revoked, clean, crashes=1, launches=
        ",
    );
}

#[test]
fn a_phone_that_comes_back_in_time_gives_its_reports_but_runs_no_more() {
    check(
        Play::new(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        lost                 -> rest
        +4000                ->
        returned             -> list
        listed App-1.ips     -> pull App-1.ips
        pulled 1 pid=100     -> store 1 of J7.1
        stored               -> rest
        confirmed 1          -> delete App-1.ips
        deleted              -> kill-app
        killed               -> finish failed phone run, clean, crashes=1, launches=
        ",
    );
    check(
        Play::new(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        lost                 -> rest
        +10000               -> finish failed phone run, dirty, crashes=, launches=
        ",
    );
}

#[test]
fn a_phone_lost_after_the_last_launch_costs_no_result() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> list
        listed               -> kill-app
        lost                 -> rest
        +10000               -> finish passed, dirty, crashes=, launches=stayed
        ",
    );
}

#[test]
fn the_limit_of_the_whole_ends_the_run() {
    check(
        Play::new(1000).with_build_on_phone().with_limit(10_000),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        +9000                ->
        killed               -> launch 30000
        +1000                -> list
        listed               -> kill-app
        killed               -> finish failed job run, clean, crashes=, launches=stayed
        ",
    );
}

#[test]
fn what_was_taken_before_is_deleted_without_another_pull() {
    check(
        Play::new(1).with_build_on_phone().with_confirmed("old.ips", 9).with_waiting("young.ips", 8),
        "
        begin                -> check
        checked              -> list
        listed old.ips young.ips -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> list
        listed old.ips young.ips -> rest
        +30000               -> delete old.ips
        failed other         -> kill-app
        killed               -> finish passed, clean, crashes=, launches=stayed
        ",
    );
}
