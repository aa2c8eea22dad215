//! Owners share the farm: in turns by weight, at most so many jobs at once, so many phone-minutes a day.

use super::script::check;

#[test]
fn owners_take_turns_however_much_one_of_them_asks_for() {
    check(
        "phone A on r1
         submit custom owner chat
         submit custom owner chat
         submit custom owner chat
         submit custom owner video
         submit custom owner video
         queue",
        "J1 queued
         J2 queued
         J3 queued
         J4 queued
         J5 queued
         waiting: J1 J4 J2 J5 J3",
    );
}

#[test]
fn an_owner_of_twice_the_weight_gets_twice_the_turns() {
    check(
        "rule owner chat weight 2
         submit custom owner chat
         submit custom owner chat
         submit custom owner chat
         submit custom owner chat
         submit custom owner video
         submit custom owner video
         queue",
        "J1 queued
         J2 queued
         J3 queued
         J4 queued
         J5 queued
         J6 queued
         waiting: J1 J5 J2 J3 J6 J4",
    );
}

#[test]
fn jobs_without_an_owner_share_as_one() {
    check(
        "submit custom
         submit custom
         submit custom owner video
         queue",
        "J1 queued
         J2 queued
         J3 queued
         waiting: J1 J3 J2",
    );
}

#[test]
fn a_newcomer_is_served_from_now_on_and_not_for_the_past() {
    check(
        "phone A on r1
         sync r1
         submit custom owner chat
         submit custom owner chat
         submit custom owner chat
         end J1.1 on A lease 1 passed
         end J2.1 on A lease 2 passed
         submit custom owner chat
         submit custom owner video
         submit custom owner video
         queue",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J1 passed
         J2.1 on A
         A runs J2.1 by lease 2
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 3
         J4 queued
         J5 queued
         J6 queued
         waiting: J5 J4 J6",
    );
}

#[test]
fn urgency_goes_before_turns() {
    check(
        "submit custom owner chat
         submit custom owner chat prio 1
         submit custom owner video
         submit baseline owner chat
         queue",
        "J1 queued
         J2 queued
         J3 queued
         J4 queued
         waiting: J4 J2 J1 J3",
    );
}

#[test]
fn an_owner_runs_no_more_jobs_at_once_than_it_may() {
    check(
        "rule owner chat running 1
         phone A on r1
         phone B on r1
         sync r1
         submit custom owner chat
         submit custom owner chat
         explain J2
         submit custom owner video
         end J1.1 on A lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J2 waits: 2 phones fit; chat runs as many jobs at once as it may; it is next
         J3.1 on B
         B runs J3.1 by lease 1
         J1 passed
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn whom_its_owner_holds_back_is_told_when_the_owner_may_go_on() {
    // B is free all the time. Each job takes about as long as the one before it.
    check(
        "rule owner chat running 1
         phone A on r1
         phone B on r1
         sync r1
         submit custom owner chat
         submit custom owner chat
         submit custom owner chat
         submit custom owner chat phones 2
         eta J2
         eta J3
         eta J4
         hope J3
         hope J4",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J4 queued
         J2 starts in about 63 s: its owner runs as many jobs at once as it may
         J3 starts in about 126 s: its owner runs as many jobs at once as it may
         when J4 starts cannot be said
         J3 may start
         J4 never starts: it needs 2 phones at once, and chat may hold 1; raise it with `holdfast owner quota` or in the \
         pools file",
    );
}

#[test]
fn beyond_its_minutes_of_the_day_an_owner_goes_below_everything() {
    // What it has used decides, not what it has asked for.
    check(
        "rule owner chat minutes 1
         phone A on r1
         sync r1
         submit custom owner chat
         submit custom owner chat prio 9
         submit idle
         end J1.1 on A lease 1 passed
         queue",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J1 passed
         J2.1 on A
         A runs J2.1 by lease 2
         waiting: J3",
    );
    check(
        "rule owner chat minutes 1
         phone A on r1
         sync r1
         submit custom owner chat
         submit custom owner chat prio 9
         submit idle
         keep r1 60 A:1 J1.1
         end J1.1 on A lease 1 passed
         queue
         submit custom owner chat prio 10
         submit custom owner video",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J1 passed
         J3.1 on A
         A runs J3.1 by lease 2
         waiting: J2
         J4 queued
         J5 queued
         A gives up J3.1 after its case",
    );
}

#[test]
fn a_new_day_brings_new_minutes_and_a_restart_does_not() {
    check(
        "rule owner chat minutes 1
         rule class custom lift never
         phone A on r1
         sync r1
         submit custom owner chat
         keep r1 60 A:1 J1.1
         end J1.1 on A lease 1 passed
         wait 60
         submit custom owner chat prio 9
         submit custom owner video
         queue
         restart
         queue
         wait 85300
         queue",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2 queued
         J3 queued
         waiting: J3 J2
         A rests after 1
         waiting: J3 J2
         waiting: J2 J3",
    );
}

#[test]
fn of_several_owners_whom_a_new_day_lets_through_the_first_of_all_their_jobs_has_the_choice() {
    check(
        "rule owner chat minutes 1
         rule owner team minutes 1
         rule class custom lift never
         phone A on r1
         phone B on r1
         sync r1
         submit custom owner chat
         submit custom owner team
         keep r1 70 A:1 J1.1 B:1 J2.1
         end J1.1 on A lease 1 passed
         end J2.1 on B lease 1 passed
         wait 85200
         sync r1
         submit custom owner video
         submit custom owner video phones 2
         submit custom owner chat prio 1
         submit custom owner team prio 2
         queue
         keep r1 200 A:2 J3.1
         queue",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J1 passed
         A rests after 1
         J2 passed
         B rests after 1
         J3.1 on A
         A runs J3.1 by lease 2
         J4 queued
         J5 queued
         J6 queued
         waiting: J4 J6 J5
         J6.1 on B
         B runs J6.1 by lease 2
         waiting: J5 J4",
    );
}

#[test]
fn minutes_of_a_day_that_a_clock_set_back_has_yet_to_reach_again_are_not_forgotten() {
    check(
        "rule owner chat minutes 1
         rule class custom lift never
         wait 85390
         phone A on r1
         sync r1
         submit custom owner chat
         keep r1 70 A:1 J1.1
         end J1.1 on A lease 1 passed
         wait 60
         submit custom owner chat prio 9
         submit custom owner video
         queue
         back 130
         restart
         queue
         wait 130
         queue",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2 queued
         J3 queued
         waiting: J3 J2
         A rests after 1
         waiting: J2 J3
         waiting: J3 J2",
    );
}

#[test]
fn a_crash_job_asks_for_no_quota() {
    check(
        "rule owner chat minutes 0
         submit baseline
         submit crash owner chat
         submit baseline owner chat
         queue",
        "J1 queued
         J2 queued
         J3 queued
         waiting: J2 J1 J3",
    );
}

#[test]
fn idle_jobs_re_run_what_was_tested_least() {
    check(
        "submit idle build 1
         submit idle build 1
         submit idle build 1
         submit idle build 2
         submit idle build 2
         queue",
        "J1 queued
         J2 queued
         J3 queued
         J4 queued
         J5 queued
         waiting: J1 J4 J2 J5 J3",
    );
}

#[test]
fn classes_of_one_rank_share_by_age() {
    check(
        "rule class special rank 2
         submit special
         submit custom
         submit special
         queue",
        "J1 queued
         J2 queued
         J3 queued
         waiting: J1 J2 J3",
    );
}

#[test]
fn a_lifted_job_overtakes_all_but_strict_classes_and_the_oldest_of_them_goes_first() {
    check(
        "rule class custom lift 100
         rule class baseline lift never
         submit custom
         wait 50
         submit custom prio 5
         submit baseline prio 9
         submit crash
         wait 49
         queue
         wait 1
         queue
         wait 50
         queue",
        "J1 queued
         J2 queued
         J3 queued
         J4 queued
         waiting: J4 J3 J2 J1
         waiting: J4 J1 J3 J2
         waiting: J4 J1 J2 J3",
    );
}

#[test]
fn short_jobs_of_one_build_go_in_a_row_up_to_a_bound() {
    check(
        "rule batch 2
         phone A on r1
         submit custom build 1
         submit custom build 2
         submit custom build 1
         submit custom build 1
         sync r1
         end J1.1 on A lease 1 passed
         end J3.1 on A lease 2 passed
         end J2.1 on A lease 3 passed",
        "J1 queued
         J2 queued
         J3 queued
         J4 queued
         J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         J3.1 on A
         A runs J3.1 by lease 2
         J3 passed
         J2.1 on A
         A runs J2.1 by lease 3
         J2 passed
         J4.1 on A
         A runs J4.1 by lease 4",
    );
}

#[test]
fn a_lifted_job_is_not_passed_over_for_one_of_the_build_that_is_on_the_phone() {
    check(
        "rule batch 2
         rule class custom lift 100
         phone A on r1
         sync r1
         submit custom build 1
         submit custom build 2
         submit custom build 1
         keep r1 100 A:1 J1.1
         end J1.1 on A lease 1 passed
         end J2.1 on A lease 2 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J1 passed
         J2.1 on A
         A runs J2.1 by lease 2
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 3",
    );
}

#[test]
fn other_rules_leave_no_trace_of_the_old_order_among_the_jobs_of_an_owner() {
    // The phone that is kept for J4 goes to whichever of its owner's jobs is first by now: none comes free meanwhile.
    check(
        "rule owner chat running 1
         phone A on r1
         phone B on r1
         submit custom phone A owner chat
         sync r1
         submit custom owner chat
         submit baseline owner chat
         submit idle phones 2
         rule class baseline rank 3
         cancel J1",
        "J1 queued
         J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J4 queued
         J1 cancelled
         J2.1 on B
         A rests after 1
         B runs J2.1 by lease 1",
    );
}
