//! The brain by example: what happens on the left, what is decided on the right. Here is the life of jobs and phones;
//! each further rule of the scheduler has a file of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../farm/mod.rs"]
mod farm;
#[path = "../script/mod.rs"]
mod script;

mod comparisons;
mod gangs;
mod leases;
mod lending;
mod preemption;
mod requirements;
mod sharing;
mod staging;
mod windows;

use script::check;

#[test]
fn a_job_runs_and_ends_once() {
    check(
        "submit baseline
         explain J1
         phone A on r1
         sync r1
         end J1.1 on A lease 1 passed
         end J1.1 on A lease 1 passed",
        "J1 queued
         J1 waits: no phone is known to the farm; start an agent on a rack
         J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J1.1 late",
    );
}

#[test]
fn classes_go_in_order_and_crash_jobs_have_phones_of_their_own() {
    check(
        "phone A on r1
         phone C on r1 label crash
         submit idle
         submit custom
         submit special
         submit baseline
         submit crash
         explain J1
         sync r1
         end J4.1 on A lease 1 passed
         end J2.1 on A lease 2 passed
         end J3.1 on A lease 3 passed",
        "J1 queued
         J2 queued
         J3 queued
         J4 queued
         J5 queued
         J1 waits: 1 phone fits, 0 busy with other work; 1 phone: offline: the agent of rack r1 is not heard; 3 jobs go before it
         J5.1 on C
         J4.1 on A
         A runs J4.1 by lease 1
         C runs J5.1 by lease 1
         J4 passed
         J2.1 on A
         A runs J2.1 by lease 2
         J2 passed
         J3.1 on A
         A runs J3.1 by lease 3
         J3 passed
         J1.1 on A
         A runs J1.1 by lease 4",
    );
}

#[test]
fn inside_a_class_priority_then_deadline_then_age() {
    check(
        "phone A on r1
         submit custom
         submit custom by 7200
         submit custom prio 5
         sync r1
         end J3.1 on A lease 1 passed
         end J2.1 on A lease 2 passed",
        "J1 queued
         J2 queued
         J3 queued
         J3.1 on A
         A runs J3.1 by lease 1
         J3 passed
         J2.1 on A
         A runs J2.1 by lease 2
         J2 passed
         J1.1 on A
         A runs J1.1 by lease 3",
    );
}

#[test]
fn a_job_that_waited_too_long_goes_before_all_but_crash_jobs() {
    check(
        "phone A on r1
         submit idle
         wait 3600
         submit baseline prio 9
         sync r1",
        "J1 queued
         J2 queued
         J1.1 on A
         A runs J1.1 by lease 1",
    );
}

#[test]
fn requirements_are_met_or_named() {
    check(
        "phone A on r1 ios 16.7
         phone B on r1 ios 17.2 label fast
         sync r1
         submit baseline ios-min 17.3
         explain J1
         submit baseline label quiet
         explain J2
         submit baseline model iPhone99,1
         explain J3
         submit baseline ios-max 16 label fast
         explain J4
         submit baseline ios-max 16
         submit baseline label fast ios-min 17",
        "J1 queued
         J1 waits: no phone of the farm fits: 2 phones: the job wants iOS 17.3 or newer
         J2 queued
         J2 waits: no phone of the farm fits: 2 phones: the job wants the label quiet
         J3 queued
         J3 waits: no phone of the farm fits: 2 phones: the job wants model iPhone99,1
         J4 queued
         J4 waits: no phone of the farm fits: 1 phone: the job wants iOS 16 or older; 1 phone: the job wants the label fast
         J5.1 on A
         A runs J5.1 by lease 1
         J6.1 on B
         B runs J6.1 by lease 1",
    );
}

#[test]
fn a_phone_that_has_the_build_is_preferred_then_the_one_that_rested_longest() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom
         wait 2
         end J1.1 on A lease 1 passed
         submit custom
         end J2.1 on A lease 2 passed
         submit custom build 141
         submit custom build 142
         wait 2
         end J3.1 on B lease 1 passed
         wait 2
         end J4.1 on A lease 3 passed
         submit custom build 143",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 passed
         A rests after 1
         J2.1 on A
         A runs J2.1 by lease 2
         J2 passed
         A rests after 2
         J3.1 on B
         B runs J3.1 by lease 1
         J4.1 on A
         A runs J4.1 by lease 3
         J3 passed
         B rests after 1
         J4 passed
         A rests after 3
         J5.1 on B
         B runs J5.1 by lease 2",
    );
}

#[test]
fn a_retry_goes_to_another_phone_while_there_is_one() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom phone A
         submit custom
         end J2.1 on B lease 1 phone
         explain J2
         phone A on r1 state offline
         end J1.1 on A lease 1 passed
         explain J2",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J2 queued
         B rests after 1
         J2 waits: it is to be tried again; 2 phones fit, 1 busy with other work; 1 phone: the job failed there before, and another phone may do; it is next
         J1 passed
         J2.2 on B
         A rests after 1
         B runs J2.2 by lease 2
         J2 does not wait",
    );
}

#[test]
fn each_blame_has_its_own_budget_and_the_job_has_none() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit custom
         end J1.1 on A lease 1 rack
         end J1.2 on B lease 1 farm
         end J1.3 on B lease 2 rack
         end J1.4 on A lease 2 rack
         submit custom
         end J2.1 on A lease 3 job",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1.2 on B
         A rests after 1
         B runs J1.2 by lease 1
         J1.3 on B
         B runs J1.3 by lease 2
         J1.4 on A
         A runs J1.4 by lease 2
         B rests after 2
         J1 failed, rack: 3 attempts failed, the last in run: the rack failed
         A rests after 2
         J2.1 on A
         A runs J2.1 by lease 3
         J2 failed, job: the job failed
         A rests after 3",
    );
}

#[test]
fn a_job_that_is_begun_again_and_again_is_given_up_in_the_end() {
    let ends: String = (1..=32).map(|n| format!("end J1.{n} on A lease {n} revoked\n")).collect();
    let runs = (1..=32).map(|n| format!("J1.{n} on A\nA runs J1.{n} by lease {n}\n"));
    check(
        &format!("phone A on r1\nsync r1\nsubmit custom\n{ends}"),
        &format!(
            "{}J1 failed, farm: 32 attempts came to nothing; look at the attempts, then submit it again
             A rests after 32",
            runs.collect::<String>()
        ),
    );
}

#[test]
fn a_phone_that_fails_again_and_again_is_kept_from_work_for_a_while() {
    check(
        "phone A on r1
         sync r1
         submit custom
         end J1.1 on A lease 1 phone
         end J1.2 on A lease 2 phone
         explain J1
         keep r1 899
         explain J1
         keep r1 1
         quarantine A
         end J1.3 on A lease 3 passed
         submit custom
         release A",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1.2 on A
         A runs J1.2 by lease 2
         J1 queued
         A quarantined: 2 attempts in a row failed through this phone, the last in run: the phone failed
         A rests after 2
         J1 waits: it is to be tried again; 1 phone fits, 0 busy with other work; 1 phone: quarantined: 2 attempts in a row failed through this phone, the last in run: the phone failed; it is next
         J1 waits: it is to be tried again; 1 phone fits, 0 busy with other work; 1 phone: quarantined: 2 attempts in a row failed through this phone, the last in run: the phone failed; it is next
         J1.3 on A
         A runs J1.3 by lease 3
         A quarantined: by hand
         J1 passed
         A quarantined: by hand
         A rests after 3
         J2 queued
         J2.1 on A
         A runs J2.1 by lease 4",
    );
}

#[test]
fn a_silent_rack_loses_its_work_and_is_fenced_when_it_returns() {
    check(
        "phone A on r1
         sync r1
         submit custom
         phone B on r2
         sync r2
         wait 29
         sync r2
         wait 1
         end J1.1 on A lease 1 passed
         end J1.2 on B lease 1 passed
         sync r1 A:1 J1.1
         submit custom phone A
         explain J2
         sync r1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1.2 on B
         A rests after 1
         B runs J1.2 by lease 1
         J1.1 late
         A rests after 1
         J1 passed
         B rests after 1
         J2.1 on A
         A runs J2.1 by lease 2
         J2 does not wait",
    );
}

#[test]
fn a_phone_is_not_given_away_before_its_rack_has_shown_it_free() {
    check(
        "phone A on r1
         sync r1
         submit custom
         sync r1 A:1 J1.1
         cancel J1
         submit custom
         explain J2
         sync r1 A:1 J1.1
         sync r1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 cancelled
         A rests after 1
         J2 queued
         J2 waits: 1 phone fits, 0 busy with other work; 1 phone: releasing: J1.1 was given up; its rack has yet to show the phone clean; it is next
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn an_attempt_that_does_not_end_in_time_is_given_up() {
    check(
        "phone A on r1
         sync r1
         submit custom
         keep r1 609 A:1 J1.1
         keep r1 1 A:1 J1.1
         explain J1
         sync r1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J1 queued
         A rests after 1
         J1 waits: it is to be tried again; 1 phone fits, 0 busy with other work; 1 phone: releasing: J1.1 was given up; its rack has yet to show the phone clean; it is next
         J1.2 on A
         A runs J1.2 by lease 2",
    );
}

#[test]
fn a_job_that_is_not_started_in_time_expires() {
    check(
        "submit custom by 60
         wait 59
         wait 1",
        "J1 queued
         J1 expired",
    );
}

#[test]
fn a_restart_changes_nothing_that_was_told() {
    check(
        "phone A on r1
         sync r1
         submit custom
         submit custom
         restart
         explain J2
         phone A on r1
         sync r1 A:1 J1.1
         end J1.1 on A lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A runs J1.1 by lease 1
         J2 waits: 1 phone fits, 0 busy with other work; 1 phone: offline: the agent of rack r1 is not heard, and J1.1 may still run there; it is next
         J1 passed
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn a_phone_that_is_moved_to_another_rack_is_one_phone() {
    check(
        "phone A on r1
         sync r1
         sync r2
         submit custom
         phone A on r2
         submit custom
         end J1.1 on A lease 1 phone
         phone A on r1 state offline
         explain J1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J1 queued
         A rests after 1
         J1.2 on A
         A runs J1.2 by lease 2
         J1 does not wait",
    );
}
