//! Crash groups: which crashes are one defect, what operators decide about them, and that nothing of it is lost; over
//! the API with imported reports, and for what takes several builds on the book of groups alone.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use holdfast_wire::api::CrashView;
use holdfast_wire::build::{Build, BuildIdentity, Origin};
use holdfast_wire::crash::CrashSource;
use holdfast_wire::group::{CrashSignature, GroupDeed, GroupState};
use holdfast_wire::id::{BuildHash, CrashId, GroupId};
use holdfast_wire::time::Time;
use holdfastd::groups::{GroupRecord, GroupRefused, Groups, Known, News};
use imbl::OrdMap;
use serde_json::{Value, json};
use support::Daemon;

/// A report whose crashed thread has these functions of the app, innermost first.
fn report(number: u32, functions: &[&str]) -> Vec<u8> {
    let header = json!({ "app_name": "Chat", "bug_type": "309", "os_version": "iPhone OS 17.2 (21C62)",
        "incident_id": format!("7E1C0000-0000-4000-8000-{number:012}"), "bundleID": "example.chat" });
    let frames: Vec<Value> = functions
        .iter()
        .zip(1..)
        .map(|(name, place)| json!({ "imageIndex": 0, "imageOffset": place * 64, "symbol": name, "symbolLocation": 4 }))
        .collect();
    let body = json!({
        "procName": "Chat", "procPath": "/private/var/containers/Bundle/Application/A/Chat.app/Chat",
        "pid": 400 + number, "captureTime": "2026-11-20 10:00:00.0000 +0000", "modelCode": "iPhone13,2",
        "exception": { "type": "EXC_BAD_ACCESS", "signal": "SIGSEGV" }, "faultingThread": 0,
        "threads": [{ "triggered": true, "frames": frames }],
        "usedImages": [{ "source": "P", "name": "Chat", "base": 4_294_967_296_u64, "size": 65_536,
            "uuid": "4a1e0000-0000-3000-8000-000000000001",
            "path": "/private/var/containers/Bundle/Application/A/Chat.app/Chat" }],
    });
    format!("{header}\n{body}").into_bytes()
}

async fn import(daemon: &Daemon, number: u32, functions: &[&str]) -> Value {
    let answer = daemon.upload(Method::POST, "/api/v1/crashes?name=a.ips", report(number, functions)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()
}

async fn groups(daemon: &Daemon, state: &str) -> Vec<Value> {
    let page = daemon.get(&format!("/api/v1/groups?state={state}")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    page.json()["items"].as_array().unwrap().clone()
}

async fn act(daemon: &Daemon, group: &str, deed: Value) -> support::Answer {
    daemon.post_with(&format!("/api/v1/groups/{group}?by=ada"), &[], deed.to_string()).await
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

#[tokio::test]
async fn reports_of_one_defect_are_one_group_and_stay_so_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    // Callers differ from report to report, the function that crashed does not.
    let one = import(&daemon, 1, &["Room.open(id:)", "Room.show()"]).await;
    let two = import(&daemon, 2, &["Room.open(id:)", "Feed.tap()"]).await;
    let other = import(&daemon, 3, &["Feed.decode()"]).await;
    assert_eq!(one["group"], two["group"]);
    assert_ne!(one["group"], other["group"]);
    assert_eq!((&one["origin"]["phone"], &one["origin"]["attempt"]), (&Value::Null, &Value::Null));
    let again =
        daemon.upload(Method::POST, "/api/v1/crashes", report(1, &["Room.open(id:)", "Room.show()"])).await;
    assert_eq!((again.status, &again.json()["origin"]["id"]), (StatusCode::OK, &one["origin"]["id"]));

    let named =
        act(&daemon, text(&one, "group"), json!({ "do": "rename", "name": "Rooms do not open" })).await;
    assert_eq!(named.status, StatusCode::OK, "{}", named.text());
    let before = groups(&daemon, "open").await;
    daemon.kill().await;
    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    assert_eq!(groups(&daemon, "open").await, before);
    let room = daemon.get(&format!("/api/v1/groups/{}", &text(&one, "group")[..6])).await.json();
    assert_eq!((text(&room, "title"), &room["count"]), ("Rooms do not open", &json!(2)));
    assert_eq!(text(&room, "signature"), "Chat | bad access | Room.open");
    assert_eq!(room["os_versions"], json!([{ "what": "iPhone OS 17.2 (21C62)", "count": 2 }]));
    let audit = daemon.get("/api/v1/audit").await.json();
    assert_eq!(audit["items"][0]["act"]["deed"]["do"], "rename");
    assert_eq!(audit["items"][0]["by"], "ada");
}

#[tokio::test]
async fn a_group_is_merged_taken_out_and_split_and_links_to_it_stay() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on_disk(folder.path(), "d1").await;
    let one = import(&daemon, 1, &["Room.open(id:)", "Room.show()", "Room.tap()"]).await;
    let two = import(&daemon, 2, &["Room.enter(id:)", "Room.show()", "Room.tap()"]).await;
    let (room, enter) = (text(&one, "group"), text(&two, "group"));
    // They share all but the top function.
    let suggested = daemon.get(&format!("/api/v1/groups/{room}/suggestions")).await.json();
    assert_eq!(suggested["merge"], json!([]), "the top counts most: {suggested}");
    // Inlining that came and went is what people merge.
    let inlined = import(&daemon, 9, &["Room.check()", "Room.open(id:)", "Room.show()", "Room.tap()"]).await;
    let suggested = daemon.get(&format!("/api/v1/groups/{room}/suggestions")).await.json();
    assert_eq!(suggested["merge"][0]["group"], inlined["group"], "{suggested}");
    assert_eq!(suggested["split"], json!([]));
    let gone = act(&daemon, text(&inlined, "group"), json!({ "do": "ignore" })).await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text());

    let merged = act(&daemon, enter, json!({ "do": "merge", "into": room })).await;
    assert_eq!(merged.status, StatusCode::OK, "{}", merged.text());
    assert_eq!(merged.json()["state"], json!({ "state": "merged", "into": room }));
    let whole = daemon.get(&format!("/api/v1/groups/{room}")).await.json();
    assert_eq!((&whole["count"], &whole["absorbed"]), (&json!(2), &json!([enter])));
    // What comes later counts there, too, and nobody is shown the group that went.
    let third = import(&daemon, 3, &["Room.enter(id:)", "Feed.tap()"]).await;
    assert_eq!((groups(&daemon, "open").await.len(), groups(&daemon, "all").await.len()), (1, 2));
    assert_eq!(groups(&daemon, "ignored").await[0]["id"], inlined["group"]);
    let crashes = daemon.get(&format!("/api/v1/groups/{room}/crashes")).await.json();
    assert_eq!(crashes["items"].as_array().unwrap().len(), 3);
    for (group, deed, status) in [
        (enter, json!({ "do": "ignore" }), StatusCode::CONFLICT),
        (room, json!({ "do": "merge", "into": enter }), StatusCode::UNPROCESSABLE_ENTITY),
        (room, json!({ "do": "merge", "into": "0000000000000000" }), StatusCode::NOT_FOUND),
        (room, json!({ "do": "split" }), StatusCode::UNPROCESSABLE_ENTITY),
        (room, json!({ "do": "split", "group": "0000000000000000" }), StatusCode::UNPROCESSABLE_ENTITY),
        (room, json!({ "do": "rename", "name": "a\nb" }), StatusCode::UNPROCESSABLE_ENTITY),
        (room, json!({ "do": "explode" }), StatusCode::UNPROCESSABLE_ENTITY),
        ("0000000000000000", json!({ "do": "reopen" }), StatusCode::NOT_FOUND),
    ] {
        let refused = act(&daemon, group, deed.clone()).await;
        assert_eq!(refused.status, status, "{deed}: {}", refused.text());
    }
    daemon.kill().await;

    let daemon = Daemon::on_disk(folder.path(), "d2").await;
    let out = act(&daemon, room, json!({ "do": "split", "group": enter })).await;
    assert_eq!((out.status, &out.json()["count"]), (StatusCode::OK, &json!(1)), "{}", out.text());
    let enter = daemon.get(&format!("/api/v1/groups/{enter}")).await.json();
    assert_eq!((&enter["count"], &enter["state"]), (&json!(2), &json!({ "state": "open" })));

    // Of the two crashes in it, one is another defect after all; the next like it goes with it.
    let id = &third["origin"]["id"];
    let split = act(&daemon, text(&enter, "id"), json!({ "do": "split", "crashes": [id] })).await;
    assert_eq!((split.status, &split.json()["count"]), (StatusCode::OK, &json!(1)), "{}", split.text());
    let moved = daemon.get(&format!("/api/v1/crashes/{}", id.as_str().unwrap())).await.json();
    let new = text(&moved["crash"], "group").to_owned();
    assert_ne!(new, text(&enter, "id"));
    let fourth = import(&daemon, 4, &["Room.enter(id:)", "Feed.tap()"]).await;
    let fifth = import(&daemon, 5, &["Room.enter(id:)", "Room.show()", "Room.tap()", "Room.more()"]).await;
    assert_eq!((text(&fourth, "group"), text(&fifth, "group")), (new.as_str(), text(&enter, "id")));
}

#[tokio::test]
async fn what_cannot_be_read_is_not_imported() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_memory(folder.path()).await;
    let refused = daemon.upload(Method::POST, "/api/v1/crashes", b"\x00\x01nothing".to_vec()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
    assert!(daemon.get("/api/v1/crashes").await.json()["items"].as_array().unwrap().is_empty());
    assert!(groups(&daemon, "all").await.is_empty());
}

/// A book with what is known beside it.
#[derive(Default)]
struct Farm {
    groups: Groups,
    crashes: OrdMap<CrashId, Arc<CrashView>>,
    builds: OrdMap<BuildHash, Arc<Build>>,
}

impl Farm {
    fn build(&mut self, number: u8) -> BuildHash {
        let hash = BuildHash::new([number; 32]);
        let identity = BuildIdentity {
            hash,
            size_bytes: 1,
            bundle_id: "example.chat".parse().unwrap(),
            executable: "Chat".to_owned(),
            version: "1.0".to_owned(),
            build_number: number.to_string(),
            uuids: Vec::new(),
            minimum_os: None,
        };
        let uploaded_at = Time::from_unix_ms(i64::from(number) * 1_000);
        let build = Build { identity, origin: Origin::default(), uploaded_at, symbols: None };
        self.builds.insert(hash, Arc::new(build));
        hash
    }

    fn crash(&mut self, number: u8, signature: &str, build: Option<BuildHash>) -> (GroupId, News) {
        let mut crash = crash(number, signature, build);
        let known = Known { crashes: &self.crashes, builds: &self.builds };
        let filed = self.groups.file(&mut crash, known).unwrap();
        self.crashes.insert(crash.origin.id, Arc::new(crash));
        (filed.group, filed.news)
    }

    fn act(&mut self, group: &GroupId, deed: GroupDeed) -> Result<(), GroupRefused> {
        let known = Known { crashes: &self.crashes, builds: &self.builds };
        let done = self.groups.act(group, deed, known, Time::from_unix_ms(10_500))?;
        self.crashes.extend(done.crashes.into_iter().map(|crash| (crash.origin.id, Arc::new(crash))));
        Ok(())
    }

    /// Signs crashes anew and says how many moved.
    fn sign(&mut self, signed: &[(u8, &str)]) -> usize {
        let signed: BTreeMap<_, _> =
            signed.iter().map(|(number, words)| (crash_id(*number), Some(signature(words)))).collect();
        let known = Known { crashes: &self.crashes, builds: &self.builds };
        let done = self.groups.regroup(signed, known);
        self.crashes.extend(done.crashes.into_iter().map(|crash| (crash.origin.id, Arc::new(crash))));
        done.moved
    }

    fn state(&self, group: &GroupId) -> GroupState {
        self.groups.get(group).unwrap().record.state.clone()
    }

    fn count(&self, group: &GroupId) -> usize {
        self.groups.stats(self.groups.get(group).unwrap()).crashes.len()
    }

    /// What a daemon knows that starts with what was recorded.
    fn restarted(&self) -> Groups {
        let records: Vec<GroupRecord> = self.groups.iter().map(|group| group.record.clone()).collect();
        Groups::restore(records, self.crashes.values().map(|crash| &**crash))
    }
}

fn crash_id(number: u8) -> CrashId {
    CrashId::new([number; 32])
}

fn signature(words: &str) -> CrashSignature {
    // Whatever stands for the words, sixteen digits long.
    let id =
        format!("{:016x}", words.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte)));
    let stack = words.split_whitespace().map(str::to_owned).collect();
    CrashSignature {
        id: id.parse().unwrap(),
        words: words.to_owned(),
        version: 1,
        rules: "0".to_owned(),
        stack,
    }
}

fn crash(number: u8, words: &str, build: Option<BuildHash>) -> CrashView {
    CrashView {
        origin: CrashSource {
            id: crash_id(number),
            phone: None,
            rack: None,
            path: String::new(),
            size_bytes: 0,
            collected_at: Time::from_unix_ms(i64::from(number)),
            attempt: None,
        },
        kind: "crash".to_owned(),
        process: Some("Chat".to_owned()),
        bundle_id: None,
        ended_by: None,
        top_frame: None,
        captured_at: None,
        malformed: Vec::new(),
        launch_phase: None,
        os_version: None,
        app_version: None,
        device_model: None,
        slice_uuid: None,
        happened_at: None,
        build,
        case: None,
        signature: Some(signature(words)),
        group: None,
        placed_by_hand: false,
        incident: None,
        twin_of: None,
        missing_symbols: None,
        top_file: None,
    }
}

#[test]
fn a_fixed_group_is_reopened_by_a_build_that_has_the_mend_alone() {
    let mut farm = Farm::default();
    let (old, mended, newer) = (farm.build(1), farm.build(5), farm.build(9));
    let (group, news) = farm.crash(1, "open", Some(old));
    assert_eq!(news, News::First);
    farm.act(&group, GroupDeed::Fix { build: Some(mended) }).unwrap();
    assert_eq!(farm.crash(2, "open", Some(old)).1, News::Again);
    assert_eq!(farm.crash(3, "open", None).1, News::Again, "nobody knows of which build it is");
    assert!(matches!(farm.state(&group), GroupState::Fixed { .. }));
    assert_eq!(farm.crash(4, "open", Some(newer)).1, News::Regressed(newer));
    assert!(matches!(farm.state(&group), GroupState::Regressed { build, .. } if build == newer));
    assert_eq!(farm.crash(5, "open", Some(newer)).1, News::Again);
    assert_eq!(farm.crash(6, "open", Some(mended)).1, News::InBuild(mended));

    // Without a build, the mend is in what is uploaded after it was said.
    farm.act(&group, GroupDeed::Fix { build: None }).unwrap();
    assert_eq!(farm.crash(7, "open", Some(newer)).1, News::Again);
    let next = farm.build(11);
    assert_eq!(farm.crash(8, "open", Some(next)).1, News::Regressed(next));
    let unknown = BuildHash::new([77; 32]);
    assert_eq!(
        farm.act(&group, GroupDeed::Fix { build: Some(unknown) }),
        Err(GroupRefused::NoBuild(unknown))
    );
}

#[test]
fn groups_follow_a_new_version_of_signatures_and_keep_their_ids() {
    let mut farm = Farm::default();
    let (open, _) = farm.crash(1, "open-1", None);
    farm.crash(2, "open-1", None);
    farm.crash(3, "open-1", None);
    let (enter, _) = farm.crash(4, "enter-1", None);
    let (lone, _) = farm.crash(5, "lone-1", None);
    farm.act(&open, GroupDeed::Rename { name: Some("Rooms".to_owned()) }).unwrap();

    // Another name for the same crashes moves none of them.
    assert_eq!(farm.sign(&[(1, "open-2"), (2, "open-2"), (3, "open-2"), (4, "enter-2"), (5, "lone-2")]), 0);
    assert_eq!((farm.count(&open), farm.count(&enter), farm.count(&lone)), (3, 1, 1));
    assert_eq!(farm.crash(6, "open-2", None).0, open);

    // One crash turns out to be another defect, and two groups to be one.
    assert_eq!(farm.sign(&[(3, "enter-2"), (5, "open-2")]), 2);
    assert_eq!((farm.count(&open), farm.count(&enter)), (4, 2));
    assert_eq!(farm.state(&lone), GroupState::Merged { into: open.clone() }, "a link to it leads on");
    assert_eq!(farm.groups.get(&open).unwrap().record.name.as_deref(), Some("Rooms"));
    let restarted = farm.restarted();
    for group in farm.groups.iter() {
        assert_eq!(restarted.get(&group.record.id), Some(group));
    }
}

#[test]
fn a_part_of_a_group_that_is_signed_anew_does_not_take_the_group_with_it() {
    let mut farm = Farm::default();
    let (group, _) = farm.crash(1, "Chat+0x40", None);
    farm.crash(2, "Chat+0x40", None);
    farm.crash(3, "Chat+0x40", None);
    assert_eq!(farm.sign(&[(1, "open")]), 1);
    assert_eq!(farm.count(&group), 2);
    // When the symbols of all came, the group that most of it went to stands for it.
    assert_eq!(farm.sign(&[(2, "open"), (3, "open")]), 2);
    let open = farm.crash(4, "open", None).0;
    assert_eq!(farm.state(&group), GroupState::Merged { into: open.clone() });
    assert_eq!(farm.count(&open), 4);
}

#[test]
fn what_was_placed_by_hand_stays_where_it_was_put() {
    let mut farm = Farm::default();
    let (group, _) = farm.crash(1, "open show tap", None);
    farm.crash(2, "open show tap", None);
    farm.act(&group, GroupDeed::Split { group: None, crashes: vec![crash_id(2)] }).unwrap();
    let placed = farm.crashes[&crash_id(2)].group.clone().unwrap();
    assert_ne!(placed, group);
    assert_eq!(farm.sign(&[(1, "open-2"), (2, "open-2")]), 0);
    assert_eq!((farm.count(&group), farm.count(&placed)), (1, 1));
    let everything = GroupDeed::Split { group: None, crashes: vec![crash_id(1)] };
    assert_eq!(farm.act(&group, everything), Err(GroupRefused::Everything));
    assert!(matches!(
        farm.act(&group, GroupDeed::Split { group: None, crashes: vec![crash_id(2)] }),
        Err(GroupRefused::NotInside { .. })
    ));
}

#[test]
fn merging_follows_groups_that_were_merged_before() {
    let mut farm = Farm::default();
    let (a, b, c) = (farm.crash(1, "a", None).0, farm.crash(2, "b", None).0, farm.crash(3, "c", None).0);
    farm.act(&a, GroupDeed::Merge { into: b.clone() }).unwrap();
    farm.act(&b, GroupDeed::Merge { into: c.clone() }).unwrap();
    assert_eq!(farm.count(&c), 3);
    assert_eq!(farm.state(&a), GroupState::Merged { into: c.clone() });
    assert_eq!(farm.act(&c, GroupDeed::Merge { into: a.clone() }), Err(GroupRefused::Same(c.clone())));
    assert_eq!(farm.crash(4, "a", None), (c.clone(), News::Again));
    farm.act(&c, GroupDeed::Split { group: Some(a.clone()), crashes: Vec::new() }).unwrap();
    assert_eq!((farm.count(&a), farm.count(&c)), (2, 2));
}
