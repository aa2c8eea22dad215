//! Leases, and what operators do with phones: borrow them, take leases away, and what a rack knows to be lost.

use super::script::check;

#[test]
fn a_borrowed_phone_ends_what_it_runs_and_gets_no_more() {
    check(
        "phone A on r1
         sync r1
         submit custom
         take A by video
         end J1.1 on A lease 1 passed
         submit custom
         explain J2
         release A",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2 queued
         J2 waits: 1 phone fits, 0 busy with other work; 1 phone: taken by video until it is released; it is next
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn a_borrowed_phone_comes_back_by_itself_also_across_a_restart() {
    check(
        "phone A on r1
         sync r1
         take A by video for 60
         submit custom
         keep r1 30
         restart
         phone A on r1
         keep r1 29
         keep r1 1",
        "J1 queued
         A rests after 0
         J1.1 on A
         A runs J1.1 by lease 1",
    );
}

#[test]
fn a_lease_that_is_taken_away_blames_nobody_and_its_job_waits_again() {
    check(
        "phone A on r1
         sync r1
         submit custom
         revoke A
         explain J1
         end J1.1 on A lease 1 passed
         end J1.2 on A lease 2 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 queued
         A rests after 1
         J1 waits: it is to be tried again; 1 phone fits, 0 busy with other work; 1 phone: releasing: J1.1 was given up; its rack has yet to show the phone clean; it is next
         J1.1 late
         J1.2 on A
         A runs J1.2 by lease 2
         J1 passed
         A rests after 2",
    );
}

#[test]
fn an_attempt_that_its_rack_has_lost_is_tried_again_without_waiting_for_its_deadline() {
    check(
        "phone A on r1
         sync r1
         submit custom
         sync r1 idle A:0
         sync r1 idle A:1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1.2 on A
         A runs J1.2 by lease 2",
    );
}

#[test]
fn a_restart_gives_racks_time_to_come_back() {
    check(
        "phone A on r1
         sync r1
         submit custom
         restart
         wait 29
         sync r1 A:1 J1.1
         wait 29
         sync r1 A:1 J1.1
         end J1.1 on A lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1",
    );
    check(
        "phone A on r1
         sync r1
         submit custom
         restart
         wait 30",
        "J1.1 on A
         A runs J1.1 by lease 1
         A runs J1.1 by lease 1
         J1 queued
         A rests after 1",
    );
}

#[test]
fn what_was_given_up_stays_so_across_a_restart() {
    check(
        "phone A on r1
         sync r1
         submit custom
         cancel J1
         restart
         phone A on r1
         submit custom
         sync r1 A:1 J1.1
         sync r1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 cancelled
         A rests after 1
         A rests after 1
         J2 queued
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn yielding_survives_a_restart() {
    check(
        "phone A on r1
         sync r1
         submit idle cases 3
         submit custom
         restart
         phone A on r1
         sync r1 A:1 J1.1
         end J1.1 on A lease 1 yielded 1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A gives up J1.1 after its case
         A gives up J1.1 after its case
         J1 queued
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn a_phone_that_two_racks_say_they_have_gets_no_work_until_one_says_that_it_has_not() {
    check(
        "phone A on r1
         sync r1
         sync r2
         phone A on r2
         submit custom
         explain J1
         phone A on r2 state offline",
        "J1 queued
         J1 waits: 1 phone fits, 0 busy with other work; 1 phone: preparing: racks r1 and r2 both say that they have it; it works again once one of them says that it has not; it is next
         J1.1 on A
         A runs J1.1 by lease 1",
    );
    check(
        "phone A on r1
         sync r1
         sync r2
         phone A on r2
         submit custom
         phone A on r1 state offline
         explain J1
         end J1.1 on A lease 1 rack
         explain J1",
        "J1 queued
         J1.1 on A
         A runs J1.1 by lease 1
         J1 does not wait
         J1.2 on A
         A runs J1.2 by lease 2
         J1 does not wait",
    );
}

#[test]
fn a_late_word_of_the_rack_that_a_phone_has_left_counts_only_until_its_next() {
    check(
        "phone A on r1
         sync r1
         sync r2
         keep r2 40
         phone A on r2
         phone A on r2 state offline
         submit custom
         sync r1",
        "J1 queued
         J1.1 on A
         A runs J1.1 by lease 1",
    );
}

#[test]
fn a_late_word_during_an_attempt_does_not_move_its_phone() {
    check(
        "phone A on r1
         sync r1
         sync r2
         submit custom
         phone A on r2
         end J1.1 on A lease 1 passed
         submit custom
         phone A on r2 state offline",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2 queued
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}
