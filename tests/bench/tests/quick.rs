//! Every measurement, small and once, so that the harness does not rot: what it starts is what cargo built, and what
//! it says is what the report promises. No figure is judged here: a debug build on a busy machine says nothing of speed.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use holdfast_bench::figures::Figures;
use holdfast_bench::measure::storm::{Coming, Size};
use holdfast_bench::measure::{self, Depth, Setup};

const QUICK: Setup = Setup { depth: Depth::Quick, trace: None, events: None };

/// Each name has a number above its floor.
fn check(figures: &Figures, expected: &[(&str, f64)]) {
    for (name, floor) in expected {
        let number = figures.get(name);
        assert!(number.is_some_and(|number| number > *floor), "{name}: {number:?} in {figures:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_go_through_a_real_daemon_to_light_agents_and_back() {
    let figures = measure::submit::measure(&QUICK).await.unwrap();
    check(&figures, &[("http_submits_per_s", 0.0), ("http_ended_per_s", 0.0), ("store_commits_per_s", 0.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_phone_is_served_behind_a_busy_one() {
    let figures = measure::idle_behind_busy::measure(&QUICK).await.unwrap();
    check(&figures, &[("idle_behind_busy_ms", 0.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_phones_cannot_run_eighty_jobs_of_a_second_faster_than_in_two() {
    let figures = measure::drain::measure(&QUICK).await.unwrap();
    check(&figures, &[("drain_40x80_s", 2.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_that_come_free_are_served_again() {
    let figures = measure::refill::measure(&QUICK).await.unwrap();
    check(&figures, &[("refill_http_per_s", 0.0)]);
    let figures = measure::dispatch::measure(&QUICK).await.unwrap();
    check(&figures, &[("dispatch_p50_ms", 0.0), ("dispatch_p99_ms", 0.0), ("utilisation_percent", 0.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_finds_its_waiting_jobs_again() {
    let figures = measure::restart::measure(&QUICK).await.unwrap();
    check(&figures, &[("restart_10k_s", 0.0)]);
}

#[test]
fn the_brain_alone_serves_the_mix() {
    let figures = measure::brain::measure(&QUICK).unwrap();
    check(
        &figures,
        &[("apply_events_per_s", 0.0), ("growth_phones", 0.0), ("growth_jobs", 0.0), ("refill_per_s", 0.0)],
    );
}

#[test]
fn regret_is_never_below_its_bound() {
    let figures = measure::quality::measure(&QUICK).unwrap();
    check(&figures, &[("regret_percent", -1e-9), ("utilisation_brain_percent", 90.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_there_is_told_and_one_that_is_claims() {
    let figures = measure::skip_locked::measure(&QUICK).await.unwrap();
    let told = figures.remarks.iter().any(|remark| remark.contains("not installed"));
    assert!(
        told || figures.get("skip_locked_claims_per_s").is_some_and(|claims| claims > 0.0),
        "{figures:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_storm_is_stored_once_while_pages_are_read() {
    let size = Size { files: 60, builds: 12, defects: 7, coming: Coming::AtOnce };
    let figures = measure::storm::measure(size).await.unwrap();
    check(
        &figures,
        &[("storm_files_per_s", 0.0), ("storm_page_groups_p99_ms", 0.0), ("storm_dispatch_p50_ms", 0.0)],
    );
    for name in ["storm_lost", "storm_twice", "storm_groups_wrong"] {
        assert_eq!(figures.get(name), Some(0.0), "{name} of {figures:?}");
    }
}
