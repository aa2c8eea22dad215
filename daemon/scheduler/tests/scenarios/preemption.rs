//! Idle work gives its phone up to more urgent work: at the end of the case that runs, or at once for crash jobs. What
//! is done stays done, and the victim is the one that costs least.

use super::script::check;

#[test]
fn idle_work_gives_its_phone_up_after_the_case_and_goes_on_later_with_the_rest() {
    check(
        "phone A on r1
         sync r1
         submit idle cases 3
         submit custom
         explain J2
         end J1.1 on A lease 1 yielded 2
         end J2.1 on A lease 2 passed
         end J1.2 on A lease 3 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A gives up J1.1 after its case
         J2 waits: 1 phone fits, busy with other work; it is next
         J1 queued
         J2.1 on A
         A runs J2.1 by lease 2
         J2 passed
         J1.2 on A
         A runs J1.2 by lease 3
         J1 passed
         A rests after 3",
    );
}

#[test]
fn a_job_whose_last_case_was_done_when_it_gave_way_is_over() {
    check(
        "phone A on r1
         sync r1
         submit idle cases 2
         submit custom
         end J1.1 on A lease 1 yielded 2",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A gives up J1.1 after its case
         J1 passed
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn a_case_that_failed_before_its_job_gave_way_is_not_forgotten() {
    check(
        "phone A on r1
         sync r1
         submit idle cases 2
         submit custom
         end J1.1 on A lease 1 yielded 1 failing
         end J2.1 on A lease 2 passed
         end J1.2 on A lease 3 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A gives up J1.1 after its case
         J1 queued
         J2.1 on A
         A runs J2.1 by lease 2
         J2 passed
         J1.2 on A
         A runs J1.2 by lease 3
         J1 failed, job: a case failed
         A rests after 3",
    );
}

#[test]
fn a_crash_job_takes_its_phone_at_once_and_the_agent_has_little_time() {
    check(
        "rule pool general serves crash,custom,idle
         rule yield-within 5
         phone A on r1
         sync r1
         submit idle
         submit crash
         keep r1 4 A:1 J1.1
         keep r1 1 A:1 J1.1
         sync r1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A gives up J1.1 at once
         J1 queued
         A rests after 1
         J2.1 on A
         A runs J2.1 by lease 2",
    );
}

#[test]
fn a_crash_job_hurries_what_was_to_end_after_its_case() {
    check(
        "rule pool general serves crash,custom,idle
         phone A on r1
         sync r1
         submit idle
         submit custom
         submit crash
         end J1.1 on A lease 1 yielded 0",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A gives up J1.1 after its case
         J3 queued
         A gives up J1.1 at once
         J1 queued
         J3.1 on A
         A runs J3.1 by lease 2",
    );
}

#[test]
fn the_victim_is_what_was_interrupted_least_and_of_these_what_began_last() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit idle cases 9
         wait 1
         submit idle cases 9
         wait 1
         submit custom
         end J2.1 on B lease 1 yielded 1
         end J3.1 on B lease 2 passed
         submit custom
         end J1.1 on A lease 1 yielded 1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         B gives up J2.1 after its case
         J2 queued
         J3.1 on B
         B runs J3.1 by lease 2
         J3 passed
         J2.2 on B
         B runs J2.2 by lease 3
         J4 queued
         A gives up J1.1 after its case
         J1 queued
         J4.1 on A
         A runs J4.1 by lease 2",
    );
}

#[test]
fn no_more_phones_are_taken_than_jobs_want() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit idle
         wait 1
         submit idle
         submit custom
         submit custom
         submit custom",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         B gives up J2.1 after its case
         J4 queued
         A gives up J1.1 after its case
         J5 queued",
    );
}

#[test]
fn only_what_gives_way_is_taken_and_nothing_gives_way_to_its_like() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit special
         submit idle
         submit idle prio 9
         submit baseline phone A",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         J4 queued",
    );
}

#[test]
fn a_class_that_takes_nothing_waits_for_the_end() {
    check(
        "rule class custom takes nothing
         phone A on r1
         sync r1
         submit idle
         submit custom
         submit special",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         J3 queued
         A gives up J1.1 after its case",
    );
}

#[test]
fn when_the_phone_that_was_to_come_is_lost_another_is_taken() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit idle cases 3
         wait 1
         submit idle cases 3
         submit custom
         quarantine B
         end J2.1 on B lease 1 yielded 1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         B gives up J2.1 after its case
         B quarantined: by hand
         A gives up J1.1 after its case
         J2 queued
         B quarantined: by hand
         B rests after 1",
    );
}

#[test]
fn a_job_that_found_a_phone_elsewhere_wants_none_taken_any_longer() {
    check(
        "phone A on r1
         phone B on r1
         sync r1
         submit baseline phone B
         submit idle cases 3
         submit custom
         end J1.1 on B lease 1 passed
         end J2.1 on A lease 1 yielded 1",
        "J1.1 on B
         B runs J1.1 by lease 1
         J2.1 on A
         A runs J2.1 by lease 1
         J3 queued
         A gives up J2.1 after its case
         J1 passed
         J3.1 on B
         B runs J3.1 by lease 2
         J2.2 on A
         A runs J2.2 by lease 2",
    );
}

#[test]
fn a_phone_that_a_person_has_borrowed_is_not_asked_for() {
    check(
        "rule pool crash lends custom,idle
         phone A on r1 label crash
         phone B on r1 label crash
         sync r1
         submit idle
         submit custom
         take A by x
         submit crash",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         B gives up J2.1 at once",
    );
}

#[test]
fn whoever_waits_for_a_phone_that_is_lost_asks_for_another() {
    check(
        "rule pool crash lends custom,idle
         phone A on r1 label crash
         phone B on r1 label crash
         sync r1
         submit idle
         submit custom
         submit crash
         take A by x
         end J1.1 on A lease 1 passed",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         J3 queued
         A gives up J1.1 at once
         B gives up J2.1 at once
         J1 passed
         A rests after 1",
    );
    check(
        "rule pool crash lends custom,idle
         phone A on r1 label crash
         phone B on r2 label crash
         sync r1
         sync r2
         submit idle
         submit custom
         restart
         phone B on r2 label crash
         sync r2
         submit crash",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2.1 on B
         B runs J2.1 by lease 1
         A runs J1.1 by lease 1
         B runs J2.1 by lease 1
         J3 queued
         B gives up J2.1 at once",
    );
}
