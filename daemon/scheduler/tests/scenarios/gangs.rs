//! Jobs that need several phones at once: all or nothing, without waiting for each other and without starving.

use super::script::check;

#[test]
fn a_job_of_two_phones_starts_on_both_or_on_none() {
    check(
        "phone A on r1
         sync r1
         submit custom phones 2
         explain J1
         phone B on r1
         end J1.1 on A lease 1 passed
         end J1.2 on B lease 1 passed",
        "J1 queued
         J1 waits: 1 phone fits; it needs 2 phones at once and fewer work; it is next
         J1.1 on A, B
         A runs J1.1 by lease 1
         B runs J1.2 by lease 1
         J1.1 on A, B
         A rests after 1
         J1 passed
         B rests after 1",
    );
}

#[test]
fn phones_that_come_free_are_kept_for_it_so_that_small_jobs_cannot_starve_it() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom
         submit custom
         submit custom phones 2
         submit custom
         end J1.1 on A lease 1 passed
         explain J4
         end J2.1 on B lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         J4 queued
         J1 passed
         A rests after 1
         J4 waits: 2 phones fit, 1 busy with other work; 1 phone: held free for J3, which needs several phones; 1 job goes before it
         J2 passed
         J3.1 on A, B
         A runs J3.1 by lease 2
         B runs J3.2 by lease 2",
    );
}

#[test]
fn a_more_urgent_job_takes_a_phone_that_is_kept() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom
         submit custom
         submit custom phones 2
         end J1.1 on A lease 1 passed
         submit baseline
         end J2.1 on B lease 1 passed
         end J4.1 on A lease 2 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         J1 passed
         A rests after 1
         J4.1 on A
         A runs J4.1 by lease 2
         J2 passed
         B rests after 1
         J4 passed
         J3.1 on B, A
         A runs J3.2 by lease 3
         B runs J3.1 by lease 2",
    );
}

#[test]
fn two_such_jobs_do_not_wait_for_each_other() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom phone A
         submit custom phone B
         submit custom phones 2
         submit custom phones 2
         end J1.1 on A lease 1 passed
         end J2.1 on B lease 1 passed
         end J3.1 on A lease 2 passed
         end J3.2 on B lease 2 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         J4 queued
         J1 passed
         A rests after 1
         J2 passed
         J3.1 on A, B
         A runs J3.1 by lease 2
         B runs J3.2 by lease 2
         J3.1 on A, B
         A rests after 2
         J3 passed
         J4.1 on A, B
         A runs J4.1 by lease 3
         B runs J4.2 by lease 3",
    );
}

#[test]
fn when_one_of_its_phones_fails_the_others_are_given_up_and_all_begin_again() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom phones 2
         end J1.1 on A lease 1 rack
         sync r1",
        "J1.1 on A, B
         A runs J1.1 by lease 1
         B runs J1.2 by lease 1
         J1 queued
         A rests after 1
         B rests after 1
         J1.3 on A, B
         A runs J1.3 by lease 2
         B runs J1.4 by lease 2",
    );
}

#[test]
fn a_job_that_can_have_fewer_phones_than_it_needs_keeps_none() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom
         submit custom phones 2
         quarantine B
         submit custom
         end J1.1 on A lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         B quarantined: by hand
         J3 queued
         J1 passed
         J3.1 on A
         A runs J3.1 by lease 2",
    );
}

#[test]
fn its_members_are_told_of_each_other_and_cancelling_frees_them_all() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom phones 2
         cancel J1
         submit custom
         sync r1 A:1 J1.1",
        "J1.1 on A, B
         A runs J1.1 by lease 1
         B runs J1.2 by lease 1
         J1 cancelled
         A rests after 1
         B rests after 1
         J2 queued
         J2.1 on B
         B runs J2.1 by lease 2",
    );
}

#[test]
fn nothing_is_kept_for_it_once_its_owner_has_used_up_its_quota() {
    check(
        "rule owner chat minutes 3
         phone A on r1
         phone B on r1
         sync r1
         submit custom
         submit custom owner chat
         submit custom phones 2 owner chat
         end J1.1 on A lease 1 passed
         submit idle
         keep r1 200 B:1 J2.1
         end J2.1 on B lease 1 passed
         submit custom
         submit idle
         end J4.1 on A lease 2 passed
         end J6.1 on A lease 3 passed
         end J5.1 on B lease 2 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         J1 passed
         A rests after 1
         J4 queued
         J2 passed
         J4.1 on A
         A runs J4.1 by lease 2
         B rests after 1
         J5.1 on B
         B runs J5.1 by lease 2
         J6 queued
         J4 passed
         J6.1 on A
         A runs J6.1 by lease 3
         J6 passed
         A rests after 3
         J5 passed
         J3.1 on A, B
         A runs J3.1 by lease 4
         B runs J3.2 by lease 3",
    );
}

#[test]
fn a_phone_of_its_own_pool_stays_kept_and_is_not_lent_when_its_comparison_comes_to_be_at_home_elsewhere() {
    check(
        "rule pool general lends crash
         phone A on r1
         phone B on r1
         phone C on r1
         sync r1
         submit custom phone C
         submit baseline phones 3 compare c
         submit crash
         submit crash compare d
         submit baseline prio 1 compare c
         end J1.1 on C lease 1 passed",
        "J1.1 on C
         C runs J1.1 by lease 1
         J2 queued
         J3 queued
         J4 queued
         J5.1 on A
         A runs J5.1 by lease 1
         J1 passed
         J3.1 on C
         C runs J3.1 by lease 2",
    );
}
