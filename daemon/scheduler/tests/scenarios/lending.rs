//! A pool lends its phones while they are idle and takes them back at once; some serve certain owners only.

use super::script::check;

#[test]
fn an_idle_phone_of_another_pool_is_borrowed_and_taken_back_at_once() {
    check(
        "rule pool crash lends custom
         phone C on r1 label crash
         sync r1
         submit custom cases 3
         submit crash
         end J1.1 on C lease 1 yielded 1
         end J2.1 on C lease 2 passed",
        "J1.1 on C
         C runs J1.1 by lease 1
         J2 queued
         C gives up J1.1 at once
         J1 queued
         J2.1 on C
         C runs J2.1 by lease 2
         J2 passed
         J1.2 on C
         C runs J1.2 by lease 3",
    );
}

#[test]
fn the_own_pool_is_used_before_a_borrowed_phone() {
    check(
        "rule pool crash lends custom
         phone A on r1
         phone C on r1 label crash
         phone B on r1
         sync r1
         submit custom
         submit custom
         submit custom
         submit custom",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3.1 on C
         C runs J3.1 by lease 1
         J4 queued",
    );
}

#[test]
fn a_phone_is_lent_only_to_the_classes_named() {
    check(
        "rule pool crash lends idle
         phone C on r1 label crash
         sync r1
         submit custom
         submit idle",
        "J1 queued
         J2.1 on C
         C runs J2.1 by lease 1",
    );
}

#[test]
fn a_pool_serves_its_own_work_first_whatever_the_rank_of_the_borrower() {
    check(
        "rule pool nightly serves idle lends baseline
         phone N on r1 label nightly
         submit baseline prio 9
         submit idle
         sync r1
         end J2.1 on N lease 1 passed",
        "J1 queued
         J2 queued
         J2.1 on N
         N runs J2.1 by lease 1
         J2 passed
         J1.1 on N
         N runs J1.1 by lease 2",
    );
}

#[test]
fn what_is_native_work_is_not_taken_by_a_borrower() {
    check(
        "rule pool nightly serves idle lends baseline
         phone N on r1 label nightly
         sync r1
         submit idle
         submit baseline",
        "J1.1 on N
         N runs J1.1 by lease 1
         J2 queued",
    );
}

#[test]
fn a_pool_may_serve_certain_owners_only() {
    check(
        "rule pool fast serves custom only video
         phone F on r1 label fast
         sync r1
         submit custom
         submit custom owner chat
         explain J2
         submit custom owner video",
        "J1 queued
         J2 queued
         J2 waits: no phone of the farm fits: 1 phone: it serves only video
         J3.1 on F
         F runs J3.1 by lease 1",
    );
}

#[test]
fn a_phone_may_demand_certain_owners_wherever_it_is() {
    check(
        "rule demand 'label = quiet' only video,chat
         phone Q on r1 label quiet
         phone A on r1
         sync r1
         submit custom phone Q
         explain J1
         submit custom owner chat phone Q
         submit custom",
        "J1 queued
         J1 waits: no phone of the farm fits: 1 phone: it serves only video, chat; 1 phone: the job wants phone Q
         J2.1 on Q
         Q runs J2.1 by lease 1
         J3.1 on A
         A runs J3.1 by lease 1",
    );
}

#[test]
fn a_pool_that_is_asked_for_takes_the_place_of_those_that_serve_the_class() {
    check(
        "phone A on r1
         phone C on r1 label crash
         sync r1
         submit crash pool general
         submit crash pool general",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued",
    );
}
