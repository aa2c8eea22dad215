//! Which build brought a crash: the row of builds in question, what the farm asks itself, and that it asks once.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use holdfast_wire::api::CrashView;
use holdfast_wire::build::{Build, BuildIdentity, Origin};
use holdfast_wire::case::Case;
use holdfast_wire::crash::CrashSource;
use holdfast_wire::group::{CrashSignature, SeenInBuild};
use holdfast_wire::id::{AttemptId, BuildHash, CaseName, CrashId, GroupId, JobId};
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;
use holdfastd::farm::{Ask, Submitted};
use holdfastd::groups::{BuildRuns, Hunt, Known, Search, row, search, view};
use holdfastd::snapshot::Snapshot;
use support::Daemon;

fn hash(number: u8) -> BuildHash {
    BuildHash::new([number; 32])
}

fn case() -> CaseName {
    "cold-launch".parse().unwrap()
}

fn build(number: u8, branch: &str, parents: &[&str]) -> Build {
    let identity = BuildIdentity {
        hash: hash(number),
        size_bytes: 1,
        bundle_id: "example.chat".parse().unwrap(),
        executable: "Chat".to_owned(),
        version: "1.0".to_owned(),
        build_number: number.to_string(),
        uuids: vec![format!("4a1e0000-0000-3000-8000-{number:012}")],
        minimum_os: None,
    };
    let origin = Origin {
        commit: Some(format!("c{number}")),
        branch: Some(branch.to_owned()),
        author: Some("ada".to_owned()),
        parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
    };
    Build { identity, origin, uploaded_at: Time::from_unix_ms(i64::from(number) * 1_000), symbols: None }
}

fn crash(number: u8, of: u8, attempt: Option<AttemptId>) -> CrashView {
    CrashView {
        origin: CrashSource {
            id: CrashId::new([number; 32]),
            phone: None,
            rack: None,
            path: String::new(),
            size_bytes: 0,
            collected_at: Time::from_unix_ms(i64::from(number)),
            attempt,
        },
        kind: "crash".to_owned(),
        process: Some("Chat".to_owned()),
        bundle_id: Some("example.chat".to_owned()),
        ended_by: None,
        top_frame: None,
        captured_at: None,
        malformed: Vec::new(),
        launch_phase: None,
        os_version: None,
        app_version: None,
        device_model: None,
        slice_uuid: Some(format!("4a1e0000-0000-3000-8000-{of:012}")),
        happened_at: None,
        build: Some(hash(of)),
        case: Some(case()),
        signature: Some(CrashSignature {
            id: "00000000000000aa".parse().unwrap(),
            words: "Chat | bad access | Room.open".to_owned(),
            version: 2,
            rules: "0".to_owned(),
            stack: Vec::new(),
        }),
        group: None,
        placed_by_hand: false,
        incident: None,
        twin_of: None,
        missing_symbols: None,
        top_file: None,
    }
}

/// A picture with these builds, runs of them, and crashes in them.
fn picture(builds: &[Build], runs: &[(u8, u32)], crashes: &[(u8, Option<AttemptId>)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for build in builds {
        snapshot.put_build(Arc::new(build.clone()));
    }
    for (number, count) in runs {
        let mut runs = BuildRuns::new(hash(*number));
        (0..*count).for_each(|attempt| runs.count(AttemptId { job: JobId(1), number: attempt }, case()));
        snapshot.runs.insert(hash(*number), Arc::new(runs));
    }
    for (number, (of, attempt)) in (1..).zip(crashes) {
        let mut crash = crash(number, *of, *attempt);
        let mut groups = snapshot.groups.clone();
        groups.file(&mut crash, Known { crashes: &snapshot.crashes, builds: &snapshot.builds }).unwrap();
        snapshot.groups = groups;
        snapshot.put_crash(Arc::new(crash));
    }
    snapshot
}

fn rows(snapshot: &Snapshot) -> Vec<(String, u32, u32)> {
    let group: GroupId = "00000000000000aa".parse().unwrap();
    let stats = snapshot.groups.stats(snapshot.groups.get(&group).unwrap());
    let row = row(snapshot, &stats).unwrap();
    let shown = row.builds.iter().zip(&row.seen);
    shown.map(|(build, seen)| (build.origin.commit.clone().unwrap(), seen.attempts, seen.crashed)).collect()
}

#[test]
fn the_row_goes_from_a_little_before_the_last_good_build_to_the_first_bad_one() {
    let attempt = |number| Some(AttemptId { job: JobId(9), number });
    let builds: Vec<Build> =
        (1..=9).map(|number| build(number, if number == 6 { "feature" } else { "trunk" }, &[])).collect();
    // Two crashes of one attempt are one; what crashed before it was counted ran all the same.
    let snapshot =
        picture(&builds, &[(4, 2), (8, 2), (9, 1)], &[(8, attempt(1)), (8, attempt(1)), (9, attempt(2))]);
    let of = |commit: &str, attempts, crashed| (commit.to_owned(), attempts, crashed);
    assert_eq!(
        rows(&snapshot),
        [
            of("c1", 0, 0),
            of("c2", 0, 0),
            of("c3", 0, 0),
            of("c4", 2, 0),
            of("c5", 0, 0),
            of("c7", 0, 0),
            of("c8", 2, 1)
        ]
    );
}

#[test]
fn commits_are_in_the_order_of_their_parents_whenever_they_were_uploaded() {
    let builds = [
        build(1, "trunk", &["c3"]),
        build(2, "trunk", &["c1"]),
        build(3, "trunk", &["never uploaded"]),
        build(4, "trunk", &["c2", "c1"]),
        // A mistake of an uploader loses no build.
        build(5, "trunk", &["c5"]),
    ];
    let snapshot = picture(&builds, &[], &[(4, None)]);
    let order: Vec<String> = rows(&snapshot).into_iter().map(|(commit, ..)| commit).collect();
    assert_eq!(order, ["c3", "c1", "c2", "c4"]);
    let circle = [build(1, "trunk", &["c2"]), build(2, "trunk", &["c1"]), build(3, "trunk", &[])];
    assert_eq!(rows(&picture(&circle, &[], &[(2, None)])).len(), 3);
}

#[test]
fn the_last_good_build_goes_by_the_order_of_commits_too() {
    // Uploaded 1, 2, 3, 4; committed 1, 3, 2, 4: what was uploaded last before the crash came after it.
    let builds = [
        build(1, "trunk", &[]),
        build(2, "trunk", &["c3"]),
        build(3, "trunk", &["c1"]),
        build(4, "trunk", &["c2"]),
    ];
    let snapshot = picture(&builds, &[(1, 2), (2, 2), (3, 2), (4, 2)], &[(3, None), (4, None)]);
    let group = snapshot.groups.get(&"00000000000000aa".parse().unwrap()).unwrap();
    let hunt = Hunt { branch: None, demands: Default::default() };
    let shown = view(&snapshot, group, &hunt, Time::from_unix_ms(0));
    let commit = |seen: Option<SeenInBuild>| seen.and_then(|seen| seen.commit);
    assert_eq!(commit(shown.last_good), Some("c1".to_owned()));
    assert_eq!(commit(shown.first_bad), Some("c3".to_owned()));
}

#[test]
fn nothing_is_asked_when_nobody_knows_what_the_crash_ran() {
    let builds: Vec<Build> = (1..=4).map(|number| build(number, "trunk", &[])).collect();
    let snapshot = picture(&builds, &[], &[(4, Some(AttemptId { job: JobId(9), number: 1 }))]);
    let hunt = Hunt { branch: Some("trunk".to_owned()), demands: Default::default() };
    assert_eq!(Search::default().wishes(&snapshot, &hunt, Time::from_unix_ms(0)), []);
}

#[tokio::test]
async fn a_crash_on_trunk_makes_the_farm_ask_itself_once() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let farm = daemon.app.farm.clone();
    for number in 1..=6 {
        let build = Box::new(build(number, "trunk", &[]));
        farm.ask(|answer| Ask::Build { build, answer }).await.unwrap();
    }
    let body = format!(r#"{{"class":"crash","build":"{}","cases":["cold-launch"]}}"#, hash(6));
    let submitted = daemon.post_with("/api/v1/jobs", &[], body).await;
    assert_eq!(submitted.status, 201, "{}", submitted.text());
    let job: JobId = submitted.json()["id"].as_str().unwrap().parse().unwrap();
    let crash = Box::new(crash(1, 6, Some(AttemptId { job, number: 1 })));
    let kept = farm.ask(|answer| Ask::Crash { crash, answer }).await.unwrap();
    assert_eq!(kept.build, Some(hash(6)));

    let hunt = Hunt { branch: Some("trunk".to_owned()), demands: Default::default() };
    let wished = Search::default().wishes(&farm.snapshot(), &hunt, daemon.app.clock.now());
    assert_eq!(wished.len(), 1);
    for branch in [None, Some("feature".to_owned())] {
        let other = Hunt { branch, ..hunt.clone() };
        assert_eq!(Search::default().wishes(&farm.snapshot(), &other, daemon.app.clock.now()), []);
    }
    let middle = wished[0].spec.build.hash;
    assert!((2..=5).map(hash).any(|hash| hash == middle), "half-way tells most: {middle:?}");
    let searching = tokio::spawn(search(farm.clone(), daemon.app.clock.clone(), hunt.clone()));
    let mut pictures = farm.follow();
    let asked = |snapshot: &Snapshot| {
        let jobs = snapshot.jobs.values().filter(|job| job.spec.class == JobClass::Idle);
        jobs.map(|job| (job.spec.build.hash, job.spec.cases[0].name.clone())).collect::<Vec<_>>()
    };
    // Something changes, and the farm looks.
    let body = format!(r#"{{"class":"custom","build":"{}","cases":["cold-launch"]}}"#, hash(1));
    daemon.post_with("/api/v1/jobs", &[], body).await;
    let seen = pictures.wait_for(|snapshot| !asked(snapshot).is_empty());
    let seen = tokio::time::timeout(support::PATIENCE, seen).await.unwrap().unwrap().clone();
    assert_eq!(asked(&seen), [(middle, case())]);
    searching.abort();
    assert!(searching.await.unwrap_err().is_cancelled());

    // Another start of the search asks the same, which is the same job.
    let again = Search::default().wishes(&farm.snapshot(), &hunt, daemon.app.clock.now());
    assert_eq!(again[0].key, wished[0].key);
    let group = daemon.get("/api/v1/groups/00000000000000aa").await.json();
    assert_eq!(
        (&group["odds"]["builds"], &group["odds"]["is_certain"]),
        (&6.into(), &false.into()),
        "{group}"
    );
    // Nobody is to look at a group that is ignored, the farm neither.
    let ignored =
        daemon.post_with("/api/v1/groups/00000000000000aa", &[], r#"{"do":"ignore"}"#.to_owned()).await;
    assert_eq!(ignored.status, 200, "{}", ignored.text());
    assert_eq!(Search::default().wishes(&farm.snapshot(), &hunt, daemon.app.clock.now()), []);
    drop((pictures, seen, farm));
    daemon.kill().await;
}

#[test]
fn a_commit_that_is_found_is_told_when_it_is_new() {
    let attempt = |number| Some(AttemptId { job: JobId(9), number });
    let builds: Vec<Build> = (1..=3).map(|number| build(number, "trunk", &[])).collect();
    let crashes = [(3, attempt(1)), (3, attempt(2)), (3, attempt(3))];
    let hunt = Hunt { branch: Some("trunk".to_owned()), demands: Default::default() };
    let group: GroupId = "00000000000000aa".parse().unwrap();
    let (early, late) =
        (picture(&builds, &[(3, 3)], &crashes), picture(&builds, &[(2, 40), (3, 3)], &crashes));
    let mut search = Search::default();
    let mut named = |snapshot: &Snapshot, hunt: &Hunt| search.named(snapshot, hunt, Time::from_unix_ms(0));
    assert_eq!(named(&early, &hunt), [], "not certain yet");
    let elsewhere = Hunt { branch: Some("feature".to_owned()), ..hunt.clone() };
    assert_eq!(named(&late, &elsewhere), [], "nobody looks after it");
    assert_eq!(named(&late, &hunt), [group]);
    assert_eq!(named(&late, &hunt), [], "it was told");
}

#[tokio::test]
async fn a_crash_is_of_the_case_that_its_agent_names_when_the_job_has_several() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let farm = daemon.app.farm.clone();
    let build = Box::new(build(1, "trunk", &[]));
    farm.ask(|answer| Ask::Build { build, answer }).await.unwrap();
    let body = format!(r#"{{"class":"crash","build":"{}","cases":["cold-launch"]}}"#, hash(1));
    let submitted = daemon.post_with("/api/v1/jobs", &[], body).await;
    let one: JobId = submitted.json()["id"].as_str().unwrap().parse().unwrap();
    let mut spec = farm.snapshot().jobs.get(&one).unwrap().spec.clone();
    let mut cases = spec.cases.to_vec();
    cases.push(Case { name: "feed".parse().unwrap(), ..cases[0].clone() });
    (spec.cases, spec.content) = (Arc::new(cases), None);
    let spec = Box::new(spec);
    let submitted = farm.ask(|answer| Ask::Submit { spec, key: None, answer }).await.unwrap();
    let Submitted::New { job: several, .. } = submitted else { unreachable!("{submitted:?}") };
    let table = [
        (several, Some("feed"), Some("feed")),
        (several, Some("of another job"), None),
        (several, None, None),
        // There is no doubt in which case that was.
        (one, None, Some("cold-launch")),
        (one, Some("feed"), Some("cold-launch")),
    ];
    for (number, (job, said, expected)) in (1..).zip(table) {
        let said = said.and_then(|said| said.replace(' ', "-").parse().ok());
        let crash = crash(number, 1, Some(AttemptId { job, number: 1 }));
        let crash = Box::new(CrashView { case: said, ..crash });
        let kept = farm.ask(|answer| Ask::Crash { crash, answer }).await.unwrap();
        assert_eq!(kept.case.as_ref().map(ToString::to_string).as_deref(), expected, "crash {number}");
    }
}

#[test]
fn an_author_is_called_only_when_the_odds_are_good_and_a_build_before_ran_well() {
    let attempt = |number| Some(AttemptId { job: JobId(9), number });
    let builds: Vec<Build> = (1..=3).map(|number| build(number, "trunk", &[])).collect();
    let crashes = [(3, attempt(1)), (3, attempt(2)), (3, attempt(3))];
    let table = [
        (&[(2, 40), (3, 3)][..], Some("c3")),
        // Either of two may have brought it.
        (&[(1, 40), (3, 3)], None),
        // Nothing is known of the time before.
        (&[(3, 3)], None),
    ];
    for (runs, expected) in table {
        let snapshot = picture(&builds, runs, &crashes);
        let group = snapshot.groups.get(&"00000000000000aa".parse().unwrap()).unwrap();
        let found = holdfastd::notices::first_bad(&snapshot, group);
        assert_eq!(found.as_ref().map(|bad| bad.commit.as_str()), expected, "{runs:?} {found:?}");
        assert!(found.is_none_or(|bad| bad.percent >= 90 && bad.author.as_deref() == Some("ada")));
    }
}
