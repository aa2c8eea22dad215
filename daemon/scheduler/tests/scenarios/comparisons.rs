//! Comparisons: branch and merge-base run on the very same phone and take turns.

use super::script::check;

#[test]
fn jobs_of_a_comparison_wait_for_the_phone_where_it_began() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit baseline compare m1 build 1
         submit baseline compare m1 build 2
         explain J2
         submit baseline
         end J1.1 on A lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J2 waits: 2 phones fit; it waits for phone A, where what it is compared with ran; it is next
         J3.1 on B
         B runs J3.1 by lease 1
         J1 passed
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn builds_of_a_comparison_take_turns() {
    check(
        "phone A on r1
         sync r1
         submit baseline compare m1 build 1
         submit baseline compare m1 build 1
         submit baseline compare m1 build 1
         submit baseline compare m1 build 2
         submit baseline compare m1 build 2
         end J1.1 on A lease 1 passed
         end J4.1 on A lease 2 passed
         end J2.1 on A lease 3 passed
         end J5.1 on A lease 4 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         J4 queued
         J5 queued
         J1 passed
         J4.1 on A
         A runs J4.1 by lease 2
         J4 passed
         J2.1 on A
         A runs J2.1 by lease 3
         J2 passed
         J5.1 on A
         A runs J5.1 by lease 4
         J5 passed
         J3.1 on A
         A runs J3.1 by lease 5",
    );
}

#[test]
fn it_waits_for_that_phone_only_so_long() {
    check(
        "rule compare-wait 60
         phone A on r1
         phone B on r1
         sync r1
         submit baseline compare m1 build 1
         submit baseline compare m1 build 2
         keep r1 59 A:1 J1.1
         keep r1 1 A:1 J1.1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J2.1 on B
         B runs J2.1 by lease 1",
    );
}

#[test]
fn a_phone_that_is_gone_is_not_waited_for() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit baseline compare m1 build 1
         end J1.1 on A lease 1 passed
         quarantine A
         submit baseline compare m1 build 2",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         A quarantined: by hand
         J2.1 on B
         B runs J2.1 by lease 1",
    );
}

#[test]
fn a_restart_forgets_no_comparison() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit baseline phone A
         submit baseline compare m1 build 1
         end J2.1 on B lease 1 passed
         end J1.1 on A lease 1 passed
         restart
         phone A on r1
         phone B on r1
         sync r1
         submit baseline compare m1 build 2",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J2 passed
         B rests after 1
         J1 passed
         A rests after 1
         A rests after 1
         B rests after 1
         J3.1 on B
         B runs J3.1 by lease 2",
    );
}

#[test]
fn a_restart_forgets_neither_where_a_comparison_began_last_nor_whose_turn_it_is() {
    // The older of the two jobs that made it a home began last.
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom phone B
         submit baseline compare m1 build 1 phone B
         submit baseline compare m1 build 2 phone A
         end J3.1 on A lease 1 passed
         end J1.1 on B lease 1 passed
         end J2.1 on B lease 2 passed
         restart
         phone A on r1
         phone B on r1
         sync r1
         submit baseline phone B
         submit baseline compare m1 build 1
         submit baseline compare m1 build 2
         end J4.1 on B lease 3 passed",
        "J1.1 on B
         B runs J1.1 by lease 1
         J2 queued
         J3.1 on A
         A runs J3.1 by lease 1
         J3 passed
         A rests after 1
         J1 passed
         J2.1 on B
         B runs J2.1 by lease 2
         J2 passed
         B rests after 2
         A rests after 1
         B rests after 2
         J4.1 on B
         B runs J4.1 by lease 3
         J5 queued
         J6 queued
         J4 passed
         J6.1 on B
         B runs J6.1 by lease 4",
    );
}

#[test]
fn a_lent_phone_goes_to_the_work_of_its_own_pool_before_the_other_build() {
    check(
        "rule class special rank 2
         rule pool fast serves custom lends special
         phone F on r1 label fast
         sync r1
         submit custom compare m1 build 1
         submit custom compare m1 build 1
         submit special compare m1 build 2
         end J1.1 on F lease 1 passed
         end J2.1 on F lease 2 passed",
        "J1.1 on F
         F runs J1.1 by lease 1
         J2 queued
         J3 queued
         J1 passed
         J2.1 on F
         F runs J2.1 by lease 2
         J2 passed
         J3.1 on F
         F runs J3.1 by lease 3",
    );
}
