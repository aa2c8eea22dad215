//! The JSON of every message between agent and daemon, as a person has read it. Older agents speak it, so a
//! snapshot that changes is a change of the protocol: say so in `CHANGES.md` beside the manifest.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::crash::{CrashLimit, CrashOrigin, Fullness};
use holdfast_wire::id::{BlobHash, BuildHash, CrashId, LeaseNumber};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::{
    AttemptEnd, AttemptReport, Blame, CaseResult, LaunchEnd, LaunchResult, StepName,
};
use holdfast_wire::phone::{Battery, InstalledApp, Pairing, PhoneFacts, PhoneReport, Readiness, Storage};
use holdfast_wire::sync::{
    AttemptProgress, HeldLease, IdlePhone, Order, OutboxEntry, OutboxItem, PROTOCOL, PhoneOrder,
    RefusedEntry, Staged, SyncReply, SyncRequest, Version, Work, YieldWhen,
};
use holdfast_wire::time::Time;
use serde::Serialize;
use serde::de::DeserializeOwned;

const UDID: &str = "00008110-000A2D8E3C41801E";

fn at(second: i64) -> Time {
    Time::from_unix_ms(1_795_000_000_000 + second * 1_000)
}

fn facts() -> PhoneFacts {
    PhoneFacts {
        udid: UDID.parse().unwrap(),
        name: "Slot 7".to_owned(),
        product_type: "iPhone14,5".to_owned(),
        model: "iPhone 13".to_owned(),
        chip: Some("A15".to_owned()),
        region: Some("LL/A".to_owned()),
        os_version: "16.7.2".parse().unwrap(),
        os_build: "20H115".to_owned(),
        slot: "1-1.4".parse().unwrap(),
        labels: vec!["crash".parse().unwrap()],
        battery: Some(Battery {
            level_percent: 81,
            charging: true,
            temperature_celsius: Some(29.5),
            health_percent: Some(93),
            cycles: Some(411),
        }),
        storage: Some(Storage { free_bytes: 60_000_000_000, total_bytes: 128_000_000_000 }),
        pairing: Pairing::Paired,
        passcode_locked: false,
        developer_mode: Some(true),
        usb_speed_bps: Some(480_000_000),
        apps: vec![InstalledApp {
            bundle_id: "dev.holdfast.demo".parse().unwrap(),
            version: "1.4.0".to_owned(),
            build_number: "140".to_owned(),
        }],
        crash_files_waiting: BTreeMap::from([("Demo".to_owned(), 2)]),
        crash_limits: vec![CrashLimit {
            bug_type: "309".to_owned(),
            process: "Demo".to_owned(),
            waiting: 16,
            limit: Some(25),
            fullness: Fullness::Near,
            swallowed: 2,
            refused: 1,
            last_lost_at: Some(at(7)),
        }],
        clock_offset_ms: Some(-120),
        simulated: true,
    }
}

fn build() -> BuildIdentity {
    BuildIdentity {
        hash: BuildHash::new([0xb1; 32]),
        size_bytes: 6_800,
        bundle_id: "dev.holdfast.demo".parse().unwrap(),
        executable: "Demo".to_owned(),
        version: "1.4.0".to_owned(),
        build_number: "140".to_owned(),
        uuids: vec!["4c4c4454-5555-3144-a11c-1c0758a9fdce".to_owned()],
        minimum_os: Some("15.0".to_owned()),
    }
}

fn report() -> AttemptReport {
    let launch =
        |number, end| LaunchResult { number, pid: Some(300 + number), launch_ms: 410, alive_ms: 3_000, end };
    AttemptReport {
        attempt: "J17.2".parse().unwrap(),
        phone: UDID.parse().unwrap(),
        lease: LeaseNumber(9),
        end: AttemptEnd::Failed {
            blame: Blame::Job,
            step: StepName::Run,
            reason: "1 of 3 launches crashed".to_owned(),
        },
        cases: vec![CaseResult {
            case: "cold-launch".parse().unwrap(),
            failure: Some("1 of 3 launches crashed".to_owned()),
            launches: vec![
                launch(1, LaunchEnd::Stayed),
                launch(2, LaunchEnd::Crashed { crash: CrashId::new([0xc4; 32]) }),
                LaunchResult { number: 3, pid: None, launch_ms: 30_000, alive_ms: 0, end: LaunchEnd::Hung },
            ],
        }],
        crashes: vec![CrashId::new([0xc4; 32])],
        started_at: at(0),
        ended_at: at(25),
    }
}

fn origin() -> CrashOrigin {
    CrashOrigin {
        id: BlobHash::new([0xc4; 32]).into(),
        phone: UDID.parse().unwrap(),
        rack: "rack-1".parse().unwrap(),
        path: "Demo-2026-11-21-033046.ips".to_owned(),
        size_bytes: 36_512,
        collected_at: at(24),
        attempt: Some("J17.2".parse().unwrap()),
        case: Some("cold-launch".parse().unwrap()),
    }
}

fn request() -> SyncRequest {
    let entry = |id: &str, what| OutboxEntry { id: id.parse().unwrap(), what };
    SyncRequest {
        protocol: PROTOCOL,
        rack: "rack-1".parse().unwrap(),
        agent_start: "a1b2c3d4e5f60718".parse().unwrap(),
        number: 42,
        agent_version: "0.1.0".to_owned(),
        daemon_start: Some("0102030405060708".parse().unwrap()),
        orders_seen: Version(7),
        phones_version: Version(3),
        phones: vec![PhoneReport {
            facts: facts(),
            readiness: Readiness::Ready,
            reason: String::new(),
            since: at(-60),
        }],
        held: vec![HeldLease {
            phone: UDID.parse().unwrap(),
            lease: LeaseNumber(9),
            attempt: "J17.2".parse().unwrap(),
            withdrawn: Some(LeaseNumber(10)),
        }],
        idle: vec![IdlePhone { phone: "00008110-0015609F7C746C69".parse().unwrap(), obeyed: LeaseNumber(4) }],
        entries: vec![
            entry("e1", OutboxItem::AttemptEnded { report: report() }),
            entry("e2", OutboxItem::CrashTaken { origin: origin() }),
        ],
        progress: vec![AttemptProgress {
            attempt: "J17.2".parse().unwrap(),
            step: StepName::Run,
            percent: 42,
            note: "launch 2 of 3".to_owned(),
        }],
        wait_ms: 20_000,
    }
}

fn reply() -> SyncReply {
    let work = Work {
        attempt: "J18.1".parse().unwrap(),
        class: JobClass::Baseline,
        build: build().into(),
        cases: Arc::new(vec![Case {
            name: "cold-launch".parse().unwrap(),
            owner: "launch-team".parse().unwrap(),
            run: CaseRun::Launch {
                launches: 3,
                stay_ms: 3_000,
                launch_timeout_ms: 30_000,
                arguments: vec![],
            },
        }]),
        limit_ms: 900_000,
        with: vec![],
    };
    let order =
        |phone: &str, order| PhoneOrder { phone: phone.parse().unwrap(), order, next: None, withdrawn: None };
    let staged = Staged {
        lease: LeaseNumber(11),
        work: Box::new(Work { attempt: "J19.1".parse().unwrap(), ..work.clone() }),
    };
    SyncReply {
        daemon_start: "0102030405060708".parse().unwrap(),
        now: at(26),
        orders_version: Version(8),
        orders: vec![
            PhoneOrder {
                next: Some(staged),
                withdrawn: Some(LeaseNumber(10)),
                ..order(UDID, Order::Run { lease: LeaseNumber(9), work: Box::new(work) })
            },
            order(
                "00008110-00112233445566EE",
                Order::Yield {
                    lease: LeaseNumber(3),
                    attempt: "J20.1".parse().unwrap(),
                    when: YieldWhen::CaseDone,
                },
            ),
            order("00008110-0015609F7C746C69", Order::Rest { through: LeaseNumber(4) }),
        ],
        phones_seen: Version(3),
        confirmed: vec!["e1".parse().unwrap()],
        refused: vec![RefusedEntry {
            id: "e2".parse().unwrap(),
            reason: "its bytes are not here".to_owned(),
        }],
    }
}

/// Whether a message comes back from its JSON as it was.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T) {
    let text = serde_json::to_string(message).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *message);
}

#[test]
fn a_request_of_an_agent() {
    round_trip(&request());
    insta::assert_json_snapshot!("sync_request", request());
}

#[test]
fn an_answer_to_an_agent() {
    round_trip(&reply());
    insta::assert_json_snapshot!("sync_reply", reply());
}

#[test]
fn a_newer_agent_may_say_more() {
    // A field that this daemon does not know is no reason to refuse a rack that was upgraded first.
    let mut value = serde_json::to_value(request()).unwrap();
    value["a_field_of_tomorrow"] = serde_json::json!(1);
    assert_eq!(serde_json::from_value::<SyncRequest>(value).unwrap(), request());
}
