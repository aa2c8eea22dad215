//! Windows of time: jobs of a class start only while its window is open, and what runs when it shuts ends with its case.

use super::script::check;

#[test]
fn idle_jobs_start_when_their_window_opens_and_give_their_phones_back_when_it_shuts() {
    check(
        "rule window nights 00:20-00:30
         rule class idle window nights
         phone A on r1
         sync r1
         submit idle cases 5
         explain J1
         keep r1 199
         keep r1 1
         keep r1 599 A:1 J1.1
         keep r1 1 A:1 J1.1
         end J1.1 on A lease 1 yielded 4
         explain J1",
        "J1 queued
         J1 waits: 1 phone fits; window nights is shut until 1970-01-01T00:20:00.000Z; it is next
         J1.1 on A
         A runs J1.1 by lease 1
         A gives up J1.1 after its case
         J1 queued
         A rests after 1
         J1 waits: 1 phone fits; window nights is shut until 1970-01-02T00:20:00.000Z; it is next",
    );
}

#[test]
fn a_shut_window_keeps_nobody_else_waiting() {
    check(
        "rule window nights 00:20-00:30
         rule class baseline window nights
         phone A on r1
         sync r1
         submit baseline prio 9
         submit special
         end J2.1 on A lease 1 passed
         submit special
         keep r1 200 A:2 J3.1
         end J3.1 on A lease 2 passed",
        "J1 queued
         J2.1 on A
         A runs J2.1 by lease 1
         J2 passed
         A rests after 1
         J3.1 on A
         A runs J3.1 by lease 2
         J3 passed
         J1.1 on A
         A runs J1.1 by lease 3",
    );
}

#[test]
fn a_job_whose_window_opens_takes_what_gives_way() {
    check(
        "rule window early 00:20-00:30
         rule class custom window early
         phone A on r1
         sync r1
         submit idle cases 9
         submit custom
         keep r1 200 A:1 J1.1",
        "J1.1 on A
         A runs J1.1 by lease 1
         J2 queued
         A gives up J1.1 after its case",
    );
}
