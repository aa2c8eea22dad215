//! Crash files taken in the middle of the run, by example: after a case, when the phone's log tells of them, and in a
//! storm. Each line is what happens and what the brain then orders.

#[expect(dead_code, reason = "some words are for other scenarios")]
mod common;

use common::{Play, check};

#[test]
fn after_each_case_what_came_is_taken() {
    check(
        Play::new(1).with_cases(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        alive                -> kill 100
        killed               -> list
        listed other.ips     -> pull other.ips
        pulled 5 pid=9 process=SpringBoard -> store 5 of J7.1 in case-1
        stored               -> launch 30000
        launched 101         -> watch 101 3000
        confirmed 5          ->
        alive                -> kill 101
        killed               -> list
        listed other.ips     -> delete other.ips
        deleted              -> kill-app
        killed               -> finish passed, clean, crashes=5, launches=stayed stayed
        ",
    );
}

#[test]
fn a_watch_is_broken_off_for_what_the_log_tells_of_and_goes_on_where_it_was() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        +1000                ->
        told                 -> list
        listed late.ips      -> pull late.ips
        pulled 5 pid=9 process=SpringBoard -> store 5 of J7.1
        stored               -> watch 100 2000
        told                 ->
        alive                -> kill 100
        killed               -> list
        listed late.ips      -> rest
        confirmed 5          -> delete late.ips
        deleted              -> kill-app
        killed               -> finish passed, clean, crashes=5, launches=stayed
        ",
    );
}

/// What is not urgent waits a while after the last time; near the limit nothing does, and what is confirmed goes first.
#[test]
fn near_the_limit_files_are_taken_and_deleted_at_once() {
    check(
        Play::new(1).with_build_on_phone().with_stay(60_000),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 60000
        told                 -> list
        listed a.ips         -> pull a.ips
        pulled 1 process=SpringBoard -> store 1 of J7.1
        stored               -> watch 100 60000
        told                 ->
        +4999                ->
        +1                   -> list
        listed a.ips         -> watch 100 55000
        confirmed 1          ->
        told-near            ->
        +1000                -> delete a.ips
        deleted              -> list
        listed b.ips         -> pull b.ips
        pulled 2 process=SpringBoard -> store 2 of J7.1
        stored               -> watch 100 54000
        confirmed 2          ->
        +1000                -> delete b.ips
        deleted              -> list
        listed               -> watch 100 53000
        ended 0              -> list
        ",
    );
}

/// The log may be ahead of the folder: the file is looked for once more, and then left to the end of the case.
#[test]
fn a_file_that_is_told_before_it_is_there_is_looked_for_again() {
    check(
        Play::new(1).with_build_on_phone().with_stay(60_000),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 60000
        told                 -> list
        listed               -> watch 100 60000
        +5000                -> list
        listed               -> watch 100 55000
        +5000                ->
        told                 -> list
        listed               -> watch 100 50000
        +5000                -> list
        listed late.ips      -> pull late.ips
        ",
    );
}

/// Too late for the watch, the files are taken after it; nothing wakes anybody for them before.
#[test]
fn what_is_told_as_a_watch_ends_waits_for_its_end() {
    check(
        Play::new(1).with_cases(2).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        +3000                ->
        told                 ->
        +1                   ->
        alive                -> kill 100
        killed               -> list
        listed late.ips      -> pull late.ips
        ",
    );
}

/// A process that dies while files are taken lived until it was last seen; one that is seen again goes on living.
#[test]
fn a_death_aside_is_a_death_of_the_launch() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        told                 -> list
        listed App-1.ips     -> pull App-1.ips
        pulled 1 pid=100     -> store 1 of J7.1
        stored               -> watch 100 3000
        ended 0              -> list
        listed App-1.ips     -> list
        listed App-1.ips     -> rest
        confirmed 1          -> delete App-1.ips
        deleted              -> kill-app
        killed               -> finish failed job run, clean, crashes=1, launches=crashed
        ",
    );
}

/// Trouble aside is no trouble of the attempt; what matters shows itself in the watch.
#[test]
fn what_fails_aside_does_not_end_the_attempt() {
    for trouble in ["failed other", "failed silent", "+10000"] {
        check(
            Play::new(1).with_build_on_phone().with_stay(60_000),
            &format!(
                "
                begin                -> check
                checked              -> list
                listed               -> launch 30000
                launched 100         -> watch 100 60000
                told                 -> list
                {trouble}            -> watch 100 {}
                alive                -> kill 100
                killed               -> list
                listed               -> kill-app
                killed               -> finish passed, clean, crashes=, launches=stayed
                ",
                if trouble.starts_with('+') { 50_000 } else { 60_000 }
            ),
        );
    }
}

#[test]
fn a_storm_is_taken_a_few_at_a_time_and_the_attempt_goes_on() {
    let take = |first: u32, last: u32| -> String {
        let pulls = (first..=last).map(|number| {
            let next =
                if number == last { "then".to_owned() } else { format!("pull storm-{:04}.ips", number + 1) };
            format!("pulled 9 process=SpringBoard -> store 9 of J7.1\nstored -> {next}\n")
        });
        pulls.collect()
    };
    // In the end two cases were begun, and nothing tells which of them brought a report.
    let in_first = |pulls: String| pulls.replace("of J7.1", "of J7.1 in case-1");
    let aside = |first, then: &str| in_first(take(first, first + 15)).replace("then", then);
    check(
        Play::new(1).with_cases(2).with_build_on_phone(),
        &format!(
            "
            begin                -> check
            checked              -> list
            listed               -> launch 30000
            launched 100         -> watch 100 3000
            told                 -> list
            listed many:5000     -> pull storm-0001.ips
            {}
            alive                -> kill 100
            killed               -> list
            listed many:5000     -> pull storm-0017.ips
            {}
            launched 101         -> watch 101 3000
            alive                -> kill 101
            killed               -> list
            listed many:5000     -> pull storm-0033.ips
            {}
            +30000               -> kill-app
            killed               -> finish passed, clean, crashes=9, launches=stayed stayed
            ",
            aside(1, "watch 100 3000"),
            aside(17, "launch 30000"),
            take(33, 232).replace("then", "rest"),
        ),
    );
}

/// The report of the launch is among the newest; when it is there the other thousands wait.
#[test]
fn in_a_storm_the_report_of_the_launch_is_found_first() {
    check(
        Play::new(1).with_build_on_phone(),
        "
        begin                -> check
        checked              -> list
        listed               -> launch 30000
        launched 100         -> watch 100 3000
        ended 10             -> list
        listed a.ips b.ips App-1.ips c.ips -> pull App-1.ips
        pulled 1 pid=100     -> store 1 of J7.1
        stored               -> list
        listed a.ips b.ips App-1.ips c.ips -> pull a.ips
        failed spool-full    -> rest
        +30000               -> kill-app
        killed               -> finish failed job run, clean, crashes=1, launches=crashed
        ",
    );
}
