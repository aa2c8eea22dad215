//! The order of commits from a mirror: real repositories, made with the git program in folders of each test's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use holdfast_wire::api::CrashView;
use holdfast_wire::build::{Build, BuildIdentity, Origin};
use holdfast_wire::crash::CrashSource;
use holdfast_wire::group::{CrashSignature, GroupView};
use holdfast_wire::id::{AttemptId, BuildHash, BundleId, CaseName, CrashId, JobId};
use holdfast_wire::time::Time;
use holdfastd::commits::{History, Mirror, Standing, look, read};
use holdfastd::farm::Ask;
use holdfastd::groups::{BuildRuns, Hunt, Known, row, view};
use holdfastd::snapshot::Snapshot;
use support::Daemon;

const APP: &str = "example.chat";
const GROUP: &str = "00000000000000aa";

/// A repository with a branch `trunk`, whose commits are made by hand.
struct Repository {
    folder: PathBuf,
}

impl Repository {
    fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let made = Self { folder };
        made.git(&["init", "--quiet", "--bare", "--initial-branch=trunk"], 0);
        made
    }

    fn git(&self, arguments: &[&str], at: i64) -> String {
        let date = format!("{} +0000", 1_700_000_000 + at);
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
        command.env("GIT_COMMITTER_NAME", "Robot").env("GIT_COMMITTER_EMAIL", "robot@example.com");
        let author = if at % 2 == 0 { "Ada" } else { "Ben" };
        command.env("GIT_AUTHOR_NAME", author).env("GIT_AUTHOR_EMAIL", format!("{author}@example.com"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A commit with these parents, and its hash; those with an even number are Ada's.
    fn commit(&self, number: i64, parents: &[&str]) -> String {
        let tree = self.git(&["mktree"], 0);
        let message = format!("change {number}");
        let mut arguments = vec!["commit-tree", &tree, "-m", &message];
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        let hash = self.git(&arguments, number);
        self.git(&["update-ref", &format!("refs/heads/b{number}"), &hash], 0);
        hash
    }

    /// So many commits in a row.
    fn line(&self, count: i64) -> Vec<String> {
        let mut hashes: Vec<String> = Vec::new();
        for number in 0..count {
            let parents: Vec<&str> = hashes.last().map(String::as_str).into_iter().collect();
            let hash = self.commit(number, &parents);
            hashes.push(hash);
        }
        hashes
    }
}

fn wanted(commits: &[&str]) -> BTreeSet<String> {
    commits.iter().map(|&commit| commit.to_owned()).collect()
}

async fn history(folder: &Path, commits: &[&str], known: Option<&History>) -> History {
    read(folder, &wanted(commits), known, Time::from_unix_ms(1)).await
}

fn place(history: &History, said: &str) -> u32 {
    match history.standing(said) {
        Some(Standing::At(place)) => place,
        other => panic!("{said}: {other:?}"),
    }
}

fn hash(number: u8) -> BuildHash {
    BuildHash::new([number; 32])
}

/// A build of trunk; what is uploaded later has a higher number.
fn build(number: u8, commit: &str) -> Build {
    let identity = BuildIdentity {
        hash: hash(number),
        size_bytes: 1,
        bundle_id: APP.parse().unwrap(),
        executable: "Chat".to_owned(),
        version: "1.0".to_owned(),
        build_number: number.to_string(),
        uuids: vec![format!("4a1e0000-0000-3000-8000-{number:012}")],
        minimum_os: None,
    };
    let (commit, branch) = (Some(commit.to_owned()), Some("trunk".to_owned()));
    let origin = Origin { commit, branch, author: None, parents: Vec::new() };
    Build { identity, origin, uploaded_at: Time::from_unix_ms(i64::from(number) * 1_000), symbols: None }
}

fn crash(of: u8) -> CrashView {
    let attempt = AttemptId { job: JobId(9), number: u32::from(of) };
    let json = serde_json::json!({
        "origin": CrashSource {
            id: CrashId::new([of; 32]),
            phone: None,
            rack: None,
            path: String::new(),
            size_bytes: 0,
            collected_at: Time::from_unix_ms(i64::from(of)),
            attempt: Some(attempt),
        },
        "kind": "crash", "process": "Chat", "bundle_id": APP, "malformed": [], "case": "cold-launch",
        "build": hash(of), "slice_uuid": format!("4a1e0000-0000-3000-8000-{of:012}"),
        "signature": CrashSignature {
            id: GROUP.parse().unwrap(),
            words: "Chat | bad access | Room.open".to_owned(),
            version: 2,
            rules: "0".to_owned(),
            stack: Vec::new(),
        },
    });
    serde_json::from_value(json).unwrap()
}

/// A picture with these builds, every one tested twice, of which some crash.
fn picture(builds: &[Build], bad: &[u8], history: History) -> Snapshot {
    let case: CaseName = "cold-launch".parse().unwrap();
    let mut snapshot = Snapshot::default();
    for build in builds {
        snapshot.put_build(Arc::new(build.clone()));
        let mut runs = BuildRuns::new(build.identity.hash);
        (0..2).for_each(|number| runs.count(AttemptId { job: JobId(1), number }, case.clone()));
        snapshot.runs.insert(build.identity.hash, Arc::new(runs));
    }
    snapshot.put_history(APP.parse().unwrap(), Arc::new(history));
    for of in bad {
        let mut crash = crash(*of);
        let mut groups = snapshot.groups.clone();
        groups.file(&mut crash, Known { crashes: &snapshot.crashes, builds: &snapshot.builds }).unwrap();
        snapshot.groups = groups;
        snapshot.put_crash(Arc::new(crash));
    }
    snapshot
}

fn shown(snapshot: &Snapshot) -> GroupView {
    let hunt = Hunt { branch: None, demands: Default::default() };
    view(snapshot, snapshot.groups.get(&GROUP.parse().unwrap()).unwrap(), &hunt, Time::from_unix_ms(0))
}

/// The builds in question by number.
fn order(snapshot: &Snapshot) -> Vec<u8> {
    let stats = snapshot.groups.stats(snapshot.groups.get(&GROUP.parse().unwrap()).unwrap());
    row(snapshot, &stats).unwrap().builds.iter().map(|build| build.identity.hash.as_bytes()[0]).collect()
}

#[tokio::test]
async fn commits_stand_as_the_mirror_has_them_by_whole_hashes_and_their_beginnings() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(folder.path().join("chat.git"));
    let line = repository.line(4);
    // 0 ← side ← merge, 3 ← merge.
    let side = repository.commit(10, &[&line[0]]);
    let merge = repository.commit(11, &[&line[3], &side]);
    // A branch whose name looks like a beginning of a hash is not what an uploader meant.
    repository.git(&["update-ref", "refs/heads/0123abc", &line[0]], 0);
    let short = &line[2][..12];
    let nowhere = "0123456789012345678901234567890123456789";
    let asked =
        [&line[0], &line[3], short, &side, &merge, nowhere, "0123abc", "trunk", "HEAD", "--all", "c1"];
    let found = history(&repository.folder, &asked, None).await;
    assert_eq!(found.trouble, None);
    let [first, third, last] = [place(&found, &line[0]), place(&found, short), place(&found, &line[3])];
    assert!(first < third && third < last && last < place(&found, &merge));
    assert!(first < place(&found, &side) && place(&found, &side) < place(&found, &merge));
    let commit = found.commit(short).unwrap();
    assert_eq!((commit.author.as_str(), commit.subject.as_str()), ("Ada <Ada@example.com>", "change 2"));
    for (said, expected) in [
        (nowhere, Standing::Missing),
        ("0123abc", Standing::Missing),
        ("trunk", Standing::NoHash),
        ("HEAD", Standing::NoHash),
        ("--all", Standing::NoHash),
        ("c1", Standing::NoHash),
    ] {
        assert_eq!(found.standing(said), Some(expected), "{said}");
    }
    // The same out of a repository with a work tree.
    let tree = folder.path().join("tree");
    repository.git(&["clone", "--quiet", "--branch=b11", ".", tree.to_str().unwrap()], 0);
    assert_eq!(place(&history(&tree, &[&merge], None).await, &merge), 5);
}

#[tokio::test]
async fn what_is_no_mirror_is_told_with_its_mend_and_what_was_read_before_still_counts() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(folder.path().join("chat.git"));
    let line = repository.line(2);
    let found = history(&repository.folder, &[&line[1]], None).await;
    std::fs::write(folder.path().join("file"), "no repository").unwrap();
    let none = folder.path().join("none.git");
    for (wrong, expected) in [
        (none.as_path(), "none.git is not there; make it with `git clone --mirror URL "),
        (folder.path(), "is no git repository; make one with `git clone --mirror URL "),
        (&folder.path().join("file"), "is no git repository"),
    ] {
        let told = history(wrong, &[&line[1]], Some(&found)).await;
        assert!(told.trouble.as_ref().is_some_and(|trouble| trouble.contains(expected)), "{told:?}");
        assert_eq!((&told.commits, &told.named), (&found.commits, &found.named));
    }
    // A damaged one is told in git's own words.
    std::fs::write(repository.folder.join("config"), "[core\n").unwrap();
    let told = history(&repository.folder, &[&line[1]], Some(&found)).await.trouble.unwrap();
    assert!(told.contains("git says: ") && told.contains("config"), "{told}");
}

#[tokio::test]
async fn nothing_that_a_repository_names_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(folder.path().join("chat.git"));
    let line = repository.line(3);
    let trap = folder.path().join("trap");
    let program = folder.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", trap.display())).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let program = program.to_str().unwrap();
    for setting in ["core.fsmonitor", "core.pager", "gpg.program", "core.sshCommand", "core.editor"] {
        repository.git(&["config", setting, program], 0);
    }
    // A part of the history is said to be elsewhere, where a program would fetch it.
    for (setting, value) in [
        ("log.showSignature", "true"),
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "ssh://nobody@127.0.0.1/chat.git"),
        ("remote.origin.uploadpack", program),
    ] {
        repository.git(&["config", setting, value], 0);
    }
    for hook in ["reference-transaction", "post-checkout", "pre-auto-gc"] {
        std::fs::create_dir_all(repository.folder.join("hooks")).unwrap();
        std::fs::copy(program, repository.folder.join("hooks").join(hook)).unwrap();
    }
    let nowhere = "0123456789012345678901234567890123456789";
    let found = history(&repository.folder, &[&line[2], nowhere], None).await;
    assert_eq!((found.commits.len(), found.standing(nowhere)), (3, Some(Standing::Missing)), "{found:?}");
    assert!(!trap.exists(), "a program of the repository was run");
}

#[tokio::test]
async fn builds_are_in_the_order_of_their_commits_and_what_lies_between_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(folder.path().join("chat.git"));
    let line = repository.line(8);
    // Uploaded in another order than committed: 1 is commit 0, 2 is commit 6, 3 is commit 2, 4 is commit 5.
    let builds = [build(1, &line[0]), build(2, &line[6]), build(3, &line[2]), build(4, &line[5][..10])];
    let commits: Vec<&str> = builds.iter().filter_map(|build| build.origin.commit.as_deref()).collect();
    let found = history(&repository.folder, &commits, None).await;
    let snapshot = picture(&builds, &[4, 2], found);
    assert_eq!(order(&snapshot), [1, 3, 4]);
    let group = shown(&snapshot);
    assert_eq!(group.last_good.unwrap().build, hash(3));
    let bad = group.first_bad.unwrap();
    assert_eq!((bad.build, bad.author.as_deref()), (hash(4), Some("Ben <Ben@example.com>")));
    let between = group.between.unwrap();
    assert_eq!((between.count, between.without_build), (3, 2));
    let told: Vec<_> = between
        .commits
        .iter()
        .map(|one| (one.commit.as_str(), one.subject.as_str(), one.author.as_str(), one.build))
        .collect();
    let (ada, ben) = ("Ada <Ada@example.com>", "Ben <Ben@example.com>");
    let expected = [
        (line[5].as_str(), "change 5", ben, Some(hash(4))),
        (line[4].as_str(), "change 4", ada, None),
        (line[3].as_str(), "change 3", ben, None),
    ];
    assert_eq!(told, expected);
    assert!(group.doubts.is_empty(), "{:?}", group.doubts);
}

#[tokio::test]
async fn nobody_is_called_for_commits_of_several_of_which_there_is_no_build() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(folder.path().join("chat.git"));
    let line = repository.line(6);
    let found = history(&repository.folder, &[&line[1], &line[2], &line[5]], None).await;
    let called = |good: &str, bad: &str| {
        let builds = [build(1, good), build(2, bad)];
        let mut snapshot = picture(&builds, &[2], found.clone());
        // Good often enough, and bad every time.
        let case: CaseName = "cold-launch".parse().unwrap();
        let mut runs = BuildRuns::new(hash(1));
        (0..60).for_each(|number| runs.count(AttemptId { job: JobId(1), number }, case.clone()));
        snapshot.runs.insert(hash(1), Arc::new(runs));
        let mut runs = BuildRuns::new(hash(2));
        runs.count(AttemptId { job: JobId(9), number: 2 }, case);
        snapshot.runs.insert(hash(2), Arc::new(runs));
        let group = snapshot.groups.get(&GROUP.parse().unwrap()).unwrap().clone();
        holdfastd::notices::first_bad(&snapshot, &group)
    };
    let next = called(&line[1], &line[2]).unwrap();
    assert_eq!(
        (next.commit.as_str(), next.author.as_deref()),
        (line[2].as_str(), Some("Ada <Ada@example.com>"))
    );
    let far = called(&line[2], &line[5]).unwrap();
    assert_eq!((far.commit.as_str(), far.author), (line[5].as_str(), None), "three commits of two people");
}

#[tokio::test]
async fn a_commit_that_the_mirror_has_not_is_told_until_it_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Repository::new(folder.path().join("upstream.git"));
    let line = upstream.line(3);
    let mirror = Repository { folder: folder.path().join("chat.git") };
    upstream.git(&["clone", "--quiet", "--mirror", ".", mirror.folder.to_str().unwrap()], 0);
    let fourth = upstream.commit(4, &[&line[2]]);
    let daemon = Daemon::in_memory(folder.path()).await;
    let farm = daemon.app.farm.clone();
    // The newest commit was uploaded first.
    for (number, commit) in [(1, &fourth), (2, &line[0]), (3, &line[2])] {
        let build = Box::new(build(number, commit));
        farm.ask(|answer| Ask::Build { build, answer }).await.unwrap();
    }
    let crash = Box::new(crash(1));
    farm.ask(|answer| Ask::Crash { crash, answer }).await.unwrap();
    let mirrors = [Mirror { bundle_id: APP.parse().unwrap(), folder: mirror.folder.clone() }];
    look(&farm, &mirrors, &daemon.app.clock).await.unwrap();
    let group = daemon.get(&format!("/api/v1/groups/{GROUP}")).await.json();
    let doubt = group["doubts"][0].as_str().unwrap();
    assert!(doubt.starts_with(&format!("commit {fourth} is not in the mirror ")), "{doubt}");
    assert!(doubt.contains("; fetch it: git -C "), "{doubt}");
    assert_eq!(group["odds"]["builds"], 1, "by its upload it is the oldest");
    let sources = daemon.get("/api/v1/sources").await.json();
    assert_eq!((&sources["mirrors"][0]["app"], &sources["mirrors"][0]["commits"]), (&APP.into(), &3.into()));
    assert_eq!(sources["mirrors"][0]["missing"][0], fourth.as_str());
    let page = daemon.get(&format!("/groups/{GROUP}")).await.text();
    assert!(page.contains("is not in the mirror"), "{page}");

    // Its head moves, and the branch of before is gone.
    mirror.git(&["fetch", "--quiet", "--prune", "origin"], 0);
    let known = farm.snapshot().histories.get(&APP.parse::<BundleId>().unwrap()).unwrap().clone();
    let asked = wanted(&[&fourth, &line[0], &line[2]]);
    let history = Arc::new(read(&mirror.folder, &asked, Some(&known), Time::from_unix_ms(2)).await);
    let app = APP.parse().unwrap();
    farm.ask(|answer| Ask::History { app, history, answer }).await.unwrap();
    let group = daemon.get(&format!("/api/v1/groups/{GROUP}")).await.json();
    assert_eq!(
        (&group["doubts"], &group["odds"]["builds"]),
        (&serde_json::Value::Null, &3.into()),
        "{group}"
    );
    std::fs::remove_dir_all(&mirror.folder).unwrap();
    look(&farm, &mirrors, &daemon.app.clock).await.unwrap();
    let sources = daemon.get("/api/v1/sources").await.json();
    let trouble = sources["mirrors"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains("chat.git is not there; make it with"), "{trouble}");
    assert_eq!(sources["mirrors"][0]["commits"], 4, "what was read stays");
}

#[tokio::test]
async fn builds_without_a_mirror_or_a_commit_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(folder.path().join("chat.git"));
    let line = repository.line(3);
    let mut unnamed = build(2, "");
    unnamed.origin.commit = None;
    let builds = [build(1, &line[0]), unnamed, build(3, &line[2]), build(4, &line[1])];
    let found = history(&repository.folder, &[&line[0], &line[1], &line[2]], None).await;
    assert_eq!(order(&picture(&builds, &[3], found)), [1, 2, 4, 3]);
    assert_eq!(order(&picture(&builds, &[3], History::default())), [1, 2, 3]);
}
