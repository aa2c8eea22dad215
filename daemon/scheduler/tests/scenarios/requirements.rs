//! What jobs ask of phones, and how it loosens as they wait.

use super::script::check;

#[test]
fn an_expression_says_which_phones_will_do() {
    check(
        "phone A on r1 ios 15.8
         phone B on r2 ios 17.1 battery 35
         phone C on r2 ios 17.1 battery 80
         sync r1
         sync r2
         submit custom when 'os >= 17 and battery >= 50'
         submit custom when 'not rack = r2'
         submit custom when 'model = \"iPhone 13\" and os = 17'",
        "J1.1 on C
         C runs J1.1 by lease 1
         J2.1 on A
         A runs J2.1 by lease 1
         J3.1 on B
         B runs J3.1 by lease 1",
    );
}

#[test]
fn a_phone_that_has_been_charged_will_do() {
    check(
        "phone A on r1 battery 49
         sync r1
         submit custom when 'battery >= 50'
         phone A on r1 battery 50",
        "J1 queued
         J1.1 on A
         A runs J1.1 by lease 1",
    );
}

#[test]
fn demands_loosen_while_the_job_waits() {
    check(
        "phone A on r1 ios 15.8
         phone B on r1 ios 16.5
         sync r1
         submit custom when 'os >= 17' then '60: os >= 16' then '120: any'
         submit custom when 'os >= 17' then '60: os >= 16' then '120: any'
         keep r1 59
         keep r1 1
         keep r1 59 B:1 J1.1
         keep r1 1 B:1 J1.1",
        "J1 queued
         J2 queued
         J1.1 on B
         B runs J1.1 by lease 1
         J2.1 on A
         A runs J2.1 by lease 1",
    );
}

#[test]
fn what_has_loosened_stays_so_across_a_restart() {
    check(
        "phone A on r1 ios 15.8
         sync r1
         submit custom when 'os >= 17' then '60: any'
         keep r1 30
         restart
         phone A on r1 ios 15.8
         keep r1 29
         keep r1 1",
        "J1 queued
         A rests after 0
         J1.1 on A
         A runs J1.1 by lease 1",
    );
}

#[test]
fn a_phone_that_few_others_want_is_taken_first() {
    check(
        "phone A on r1 ios 17.0
         phone B on r1 ios 15.8
         sync r1
         submit special phone B
         submit special when 'os >= 17' phone A
         submit custom when 'os >= 17'
         end J2.1 on A lease 1 passed
         end J3.1 on A lease 2 passed
         end J1.1 on B lease 1 passed
         submit custom build 9",
        "J1.1 on B
         B runs J1.1 by lease 1
         J2.1 on A
         A runs J2.1 by lease 1
         J3 queued
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 2
         J3 passed
         A rests after 2
         J1 passed
         B rests after 1
         J4.1 on B
         B runs J4.1 by lease 2",
    );
}

#[test]
fn after_two_failures_on_a_rack_the_whole_rack_is_avoided() {
    check(
        "phone A on r1
         phone B on r1
         phone C on r1
         sync r1
         submit custom
         end J1.1 on A lease 1 phone
         phone D on r2
         end J1.2 on B lease 1 phone
         explain J1
         sync r2",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1.2 on B
         A rests after 1
         B runs J1.2 by lease 1
         J1.3 on C
         B rests after 1
         C runs J1.3 by lease 1
         J1 does not wait",
    );
    check(
        "phone A on r1
         phone B on r1
         phone C on r1
         phone D on r2
         sync r1
         sync r2
         submit custom phone D
         submit custom
         end J2.1 on A lease 1 phone
         end J2.2 on B lease 1 phone
         end J1.1 on D lease 1 passed",
        "J1.1 on D
         D runs J1.1 by lease 1
         J2.1 on A
         A runs J2.1 by lease 1
         J2.2 on B
         A rests after 1
         B runs J2.2 by lease 1
         J2 queued
         B rests after 1
         J1 passed
         J2.3 on D
         D runs J2.3 by lease 2",
    );
}
