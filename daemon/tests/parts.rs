//! Facts from which more follows than one transaction of the store holds: everything is recorded all the same, and a
//! daemon that dies in between leaves a farm that the next one goes on with.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_scheduler::Event;
use holdfast_store::codec::{Kind, encode};
use holdfast_store::{MemoryStore, OPS_MAX, Op, SledStore, Store};
use holdfast_wire::id::{JobId, RackId};
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::phone::PhoneReport;
use holdfastd::clock::Clock;
use holdfastd::config::FarmConfig;
use holdfastd::farm::{Ask, Farm, FarmError, Loop};
use holdfastd::snapshot::Snapshot;
use serde_json::json;
use support::{Daemon, End, Mortal, PATIENCE, live_jobs, ready};
use tokio::task::JoinHandle;

/// Jobs that end at once: three records each, they fill several transactions.
const EXPIRING: u64 = 5_200;

/// As many as fill three transactions, for a test that lives through each of them several times.
const EXPIRING_IN_THREE: u64 = 2_800;

/// Phones that get work at once: with their jobs they have three or four records each.
const PHONES: u64 = 1_500;

/// Records that many jobs wait; they had to start long ago when so wanted.
async fn with_waiting_jobs(store: &impl Store, jobs: u64, start_by: Option<&str>) {
    let spec = json!({
        "class": "custom", "cases": [], "requirements": {}, "priority": 0, "owner": "team-a", "start_by": start_by,
        "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": "1",
            "build_number": "1", "uuids": [], "minimum_os": null },
    });
    let put = |number: u64| {
        let job = json!({ "id": format!("J{number}"), "spec": spec, "submitted_at": "2001-02-03T04:05:06Z",
            "state": { "state": "queued" }, "attempts": [] });
        Op::put(Kind::new("job").number(number), encode(1, &job).unwrap())
    };
    let ops: Vec<Op> = (1..=jobs).map(put).collect();
    for ops in ops.chunks(OPS_MAX) {
        store.commit(Vec::new(), ops.to_vec()).await.unwrap();
    }
}

/// The same in a store of today's version: one start has moved them to where they are kept now.
async fn kept_with_waiting_jobs(jobs: u64, start_by: Option<&str>) -> Arc<MemoryStore> {
    let kept = Arc::new(MemoryStore::new());
    with_waiting_jobs(&*kept, jobs, start_by).await;
    let immortal = Mortal::new(kept.clone(), usize::MAX, End::AfterCommit);
    let config = FarmConfig::from(support::policy());
    drop(Loop::restore(immortal, config, Arc::new(Clock::default())).await.unwrap());
    assert_eq!(numbers(&*kept, "job").await.len(), 0);
    kept
}

/// The numbers of a kind of records.
async fn numbers(store: &impl Store, kind: &'static str) -> BTreeSet<u64> {
    let kind = Kind::new(kind);
    let page = store.scan_prefix(&kind.prefix(), None, usize::MAX).await.unwrap();
    page.entries.iter().map(|entry| kind.number_of(&entry.key).unwrap()).collect()
}

fn is_expired(snapshot: &Snapshot, number: u64) -> bool {
    let job = snapshot.jobs.get(&JobId(number));
    job.is_some_and(|job| matches!(job.state, JobState::Ended { outcome: JobOutcome::Expired, .. }))
}

#[tokio::test]
async fn thousands_of_jobs_that_end_at_one_moment_are_all_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path().join("store")).await.unwrap();
    with_waiting_jobs(&store, EXPIRING, Some("2001-02-03T05:00:00Z")).await;
    store.close().await.unwrap();
    drop(store);

    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let mut follow = daemon.app.farm.follow();
    let shown = follow.wait_for(|snapshot| is_expired(snapshot, EXPIRING));
    drop(tokio::time::timeout(PATIENCE, shown).await.unwrap().unwrap());
    let build = daemon.with_build().await;
    assert_eq!(daemon.submit(&build, "custom").await, format!("J{}", EXPIRING + 1));
    daemon.kill().await;

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let snapshot = daemon.app.farm.snapshot();
    assert!((1..=EXPIRING).all(|number| is_expired(&snapshot, number)), "after a restart");
    assert!(!is_expired(&snapshot, EXPIRING + 1));
    daemon.kill().await;
}

async fn live(store: Mortal<MemoryStore>) -> Result<(Farm, JoinHandle<Result<(), FarmError>>), FarmError> {
    let config = FarmConfig::from(support::policy());
    let (farm_loop, farm) = Loop::restore(store, config, Arc::new(Clock::default())).await?;
    Ok((farm, tokio::spawn(farm_loop.run())))
}

#[tokio::test]
async fn a_daemon_that_dies_between_the_parts_of_a_turn_leaves_a_farm() {
    for end in [End::BeforeCommit, End::AfterCommit] {
        for commits in 1.. {
            let kept = kept_with_waiting_jobs(EXPIRING_IN_THREE, Some("2001-02-03T05:00:00Z")).await;
            let all: BTreeSet<u64> = (1..=EXPIRING_IN_THREE).collect();
            let (farm, mut running) = live(Mortal::new(kept.clone(), commits, end)).await.unwrap();
            let mut follow = farm.follow();
            let shown = follow.wait_for(|snapshot| is_expired(snapshot, EXPIRING_IN_THREE));
            let survived = tokio::select! {
                died = &mut running => died.unwrap().is_ok(),
                shown = tokio::time::timeout(PATIENCE, shown) => shown.unwrap().is_ok(),
            };
            running.abort();
            let (waiting, over) = (live_jobs(&*kept).await, numbers(&*kept, "ended").await);
            assert!(
                waiting.is_disjoint(&over) && &waiting | &over == all,
                "{end:?} {commits}: each job is in one place"
            );
            assert!(!survived || waiting.is_empty(), "{end:?} {commits}: shown before it was recorded");
            if survived {
                assert_eq!(commits, 4, "three transactions held it");
                break;
            }
            let (farm, running) = live(Mortal::new(kept.clone(), usize::MAX, end)).await.unwrap();
            let all_over =
                |snapshot: &Snapshot| (1..=EXPIRING_IN_THREE).all(|number| is_expired(snapshot, number));
            let mut follow = farm.follow();
            drop(
                tokio::time::timeout(PATIENCE, follow.wait_for(|snapshot| all_over(snapshot)))
                    .await
                    .unwrap()
                    .unwrap(),
            );
            running.abort();
            let _aborted = running.await;
        }
    }
}

#[tokio::test]
async fn a_phone_and_its_job_are_recorded_together() {
    let rack: RackId = "r1".parse().unwrap();
    let report = |number: u64| -> PhoneReport { ready(&format!("P{number}"), &format!("1-{number}")) };
    let reported = |number| Event::PhoneReported { rack: rack.clone(), report: Box::new(report(number)) };
    for commits in 1.. {
        let kept = kept_with_waiting_jobs(PHONES, None).await;
        let (farm, running) = live(Mortal::new(kept.clone(), commits, End::BeforeCommit)).await.unwrap();
        let synced = Event::RackSynced { rack: rack.clone(), held: Vec::new(), idle: Vec::new() };
        let events: Vec<Event> = (1..=PHONES).map(reported).chain([synced]).collect();
        let told = farm.ask(|answer| Ask::Tell { events, audit: None, answer }).await;
        running.abort();
        let _aborted = running.await;
        let (farm, running) = live(Mortal::new(kept, usize::MAX, End::BeforeCommit)).await.unwrap();
        let runs = farm.snapshot().running.len();
        running.abort();
        let _aborted = running.await;
        if told.is_ok() {
            assert_eq!((runs, commits), (usize::try_from(PHONES).unwrap(), 3), "two transactions held it");
            break;
        }
    }
}
