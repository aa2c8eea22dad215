//! The next job of a phone that is soon to be free is handed to its agent ahead, and taken back when it should not begin
//! there after all. Attempts here are over as soon as they begin, so that the next one is soon expected to be.

use super::script::check;

/// One phone, one attempt that was over at once, another that runs, and a job behind it.
const STAGED: &str = "rule stage-ahead yes
    phone A on r1
    sync r1
    submit custom
    end J1.1 on A lease 1 passed
    submit custom
    submit custom
    wait 2";

/// What that leads to.
const STAGED_SO: &str = "J1.1 on A
    A runs J1.1 by lease 1
    J1 passed
    A rests after 1
    J2.1 on A
    A runs J2.1 by lease 2
    J3 queued
    A runs J2.1 by lease 2, then J3.1 by lease 3";

fn check_staged(scenario: &str, expected: &str) {
    check(&format!("{STAGED}\n{scenario}"), &format!("{STAGED_SO}\n{expected}"));
}

#[test]
fn what_is_staged_begins_when_the_attempt_before_it_is_over() {
    check_staged(
        "explain J3
         queue
         end J2.1 on A lease 2 passed
         explain J3
         sync r1 A:3 J3.1
         end J3.1 on A lease 3 passed",
        "J3 waits: next on phone A, behind J2.1
         waiting:
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 3
         J3 does not wait
         J3 passed
         A rests after 3",
    );
}

#[test]
fn nothing_is_staged_unless_the_rules_say_so() {
    check_staged(
        "rule stage-ahead no
         sync r1 A:2-3 J2.1
         end J2.1 on A lease 2 passed",
        "A runs J2.1 by lease 2, not by lease 3
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 4",
    );
}

#[test]
fn a_crash_job_takes_the_phone_and_not_what_was_staged() {
    check(
        "rule stage-ahead yes
         rule pool general serves crash,custom,idle
         phone A on r1
         sync r1
         submit idle
         end J1.1 on A lease 1 passed
         submit idle
         submit idle
         wait 2
         submit crash
         explain J3
         end J2.1 on A lease 2 yielded 0
         explain J3
         sync r1 idle A:2
         end J4.1 on A lease 4 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2.1 on A
         A runs J2.1 by lease 2
         J3 queued
         A runs J2.1 by lease 2, then J3.1 by lease 3
         J4 queued
         A gives up J2.1 at once, not by lease 3
         J3 waits: it was to be next on phone A, behind J2.1, and is being taken back
         J2 queued
         A rests after 2, not by lease 3
         J3 waits: rack r1 has yet to say whether it begins on A
         J4.1 on A
         A runs J4.1 by lease 4, then J2.2 by lease 5
         J4 passed
         J2.2 on A
         A runs J2.2 by lease 5, then J3.1 by lease 6",
    );
}

#[test]
fn a_more_urgent_job_is_staged_in_its_place_once_the_rack_has_given_it_back() {
    check_staged(
        "submit custom prio 5
         sync r1 A:2 J2.1
         sync r1 A:2-3 J2.1
         end J2.1 on A lease 2 passed",
        "J4 queued
         A runs J2.1 by lease 2, not by lease 3
         A runs J2.1 by lease 2, then J4.1 by lease 4, not by lease 3
         J2 passed
         J4.1 on A
         A runs J4.1 by lease 4, then J3.1 by lease 5",
    );
}

#[test]
fn what_had_begun_before_the_rack_heard_that_it_was_taken_back_goes_on() {
    check_staged(
        "submit custom prio 5
         end J2.1 on A lease 2 passed
         sync r1 A:3 J3.1
         end J3.1 on A lease 3 passed",
        "J4 queued
         A runs J2.1 by lease 2, not by lease 3
         J2 passed
         A rests after 2, not by lease 3
         J3.1 on A
         A runs J3.1 by lease 3, then J4.1 by lease 4
         J3 passed
         J4.1 on A
         A runs J4.1 by lease 4",
    );
}

#[test]
fn one_that_began_and_ended_before_its_rack_was_heard_counts() {
    check_staged(
        "cancel J2
         end J2.1 on A lease 2 revoked
         submit custom prio 5
         end J3.1 on A lease 3 passed
         sync r1 idle A:3",
        "J2 cancelled
         J3 queued
         A rests after 3, not by lease 3
         J2.1 late
         A rests after 3, not by lease 3
         J4 queued
         J3.1 late
         J4.1 on A
         A runs J4.1 by lease 4, then J3.2 by lease 5",
    );
}

#[test]
fn a_staged_job_counts_for_its_owners_limit() {
    check(
        "rule stage-ahead yes
         rule owner o running 1
         phone A on r1
         phone B on r1
         sync r1
         submit custom phone A
         end J1.1 on A lease 1 passed
         submit custom phone A
         submit custom phone B
         submit custom phone A owner o
         submit custom phone B owner o
         wait 2
         end J3.1 on B lease 1 passed
         rule owner o running 0
         sync r1 A:2-3 J2.1
         end J2.1 on A lease 2 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2.1 on A
         A runs J2.1 by lease 2
         J3.1 on B
         B runs J3.1 by lease 1
         J4 queued
         J5 queued
         A runs J2.1 by lease 2, then J4.1 by lease 3
         J3 passed
         B rests after 1
         A runs J2.1 by lease 2, not by lease 3
         J2 passed
         A rests after 3",
    );
}

#[test]
fn nothing_begins_on_a_phone_that_an_operator_has_taken() {
    check_staged(
        "take A by ann
         sync r1 A:2-3 J2.1
         end J2.1 on A lease 2 passed
         explain J3
         release A",
        "A runs J2.1 by lease 2, not by lease 3
         J2 passed
         A rests after 3
         J3 waits: 1 phone fits, 0 busy with other work; 1 phone: taken by ann until it is released; it is next
         J3.1 on A
         A runs J3.1 by lease 4",
    );
}

#[test]
fn after_a_failure_that_blames_the_phone_the_staged_job_waits_again() {
    check_staged(
        "end J2.1 on A lease 2 phone
         end J2.2 on A lease 4 phone",
        "J2.2 on A
         A runs J2.2 by lease 4, then J3.1 by lease 5
         J2 queued
         A quarantined: 2 attempts in a row failed through this phone, the last in run: the phone failed
         A rests after 5",
    );
}

#[test]
fn what_is_staged_is_so_after_a_restart_of_the_daemon() {
    check_staged(
        "restart
         explain J3
         phone A on r1
         sync r1 A:3 J3.1
         end J2.1 on A lease 2 passed
         end J3.1 on A lease 3 passed",
        "A runs J2.1 by lease 2, then J3.1 by lease 3
         J3 waits: next on phone A, behind J2.1
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 3
         J3 passed
         A rests after 3",
    );
}

#[test]
fn what_was_being_taken_back_is_so_after_a_restart_of_the_daemon() {
    check_staged(
        "cancel J3
         restart
         phone A on r1
         sync r1 A:2 J2.1
         end J2.1 on A lease 2 passed
         sync r1 A:3 J3.1
         submit custom
         sync r1",
        "J3 cancelled
         A runs J2.1 by lease 2, not by lease 3
         A runs J2.1 by lease 2, not by lease 3
         J2 passed
         A rests after 3, not by lease 3
         A rests after 3
         J4 queued
         J4.1 on A
         A runs J4.1 by lease 4",
    );
}

#[test]
fn what_its_phone_keeps_waiting_is_taken_back_and_goes_to_another() {
    check_staged(
        "wait 4
         sync r1 A:2-3 J2.1
         phone B on r1",
        "A runs J2.1 by lease 2, not by lease 3
         J3.1 on B
         B runs J3.1 by lease 1",
    );
}

#[test]
fn a_phone_that_is_free_sooner_gets_the_job_when_it_is_given_back() {
    check_staged(
        "phone B on r1
         sync r1 A:2-3 J2.1",
        "A runs J2.1 by lease 2, not by lease 3
         J3.1 on B
         B runs J3.1 by lease 1",
    );
}

#[test]
fn a_job_of_a_strict_class_takes_the_first_phone_and_is_not_staged() {
    check(
        "rule stage-ahead yes
         phone A on r1 label crash
         sync r1
         submit crash
         end J1.1 on A lease 1 passed
         submit crash
         submit crash
         wait 2
         end J2.1 on A lease 2 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2.1 on A
         A runs J2.1 by lease 2
         J3 queued
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 3",
    );
}

#[test]
fn a_rack_that_falls_silent_keeps_no_staged_job() {
    check_staged(
        "phone B on r2
         wait 20
         sync r2
         wait 9",
        "A runs J2.1 by lease 2, not by lease 3
         J3 queued
         J2.2 on B
         A rests after 3, not by lease 3
         B runs J2.2 by lease 1, then J3.2 by lease 2",
    );
}
