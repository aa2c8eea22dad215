//! Phones, builds, jobs and rules with good values. What happens to them is not here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::Event;
use holdfast_scheduler::policy::{Members, Policy, Pool, Quarantine, Retries};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::id::{AttemptId, BlobHash, BuildHash, LeaseNumber, RackId, Udid};
use holdfast_wire::job::{JobClass, JobSpec};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};
use holdfast_wire::phone::{PhoneFacts, PhoneReport, Readiness};
use holdfast_wire::time::Time;

/// Pool `crash` takes what is labelled so, pool `general` the rest; small budgets, so that a test reaches them.
pub(crate) fn policy() -> Policy {
    let mut classes = Policy::default_classes();
    classes.values_mut().filter(|class| !class.strict).for_each(|class| {
        class.lift_after = Some(Duration::from_secs(3_600));
    });
    Policy {
        classes,
        rack_silent_after: Duration::from_secs(30),
        // Jobs here end as soon as they begin, so that each would be staged: tests of that turn it on.
        stage_ahead: false,
        attempt_overhead: Duration::from_secs(600),
        retries: Retries { job: 0, phone: 2, rack: 2, farm: 2 },
        quarantine: Quarantine { after_failures: 2, lasts: Duration::from_secs(900) },
        ..Policy::with_pools(vec![
            Pool {
                name: "crash".parse().unwrap(),
                serves: vec![JobClass::Crash],
                lends: vec![],
                only: vec![],
                members: Members::Listed {
                    phones: vec![],
                    racks: vec![],
                    slots: vec![],
                    labels: vec!["crash".parse().unwrap()],
                },
            },
            Pool {
                name: "general".parse().unwrap(),
                serves: vec![JobClass::Baseline, JobClass::Custom, JobClass::Special, JobClass::Idle],
                lends: vec![],
                only: vec![],
                members: Members::Rest,
            },
        ])
    }
}

/// A ready iPhone 13 with iOS 16.7 in slot `s-<udid>`.
pub(crate) fn phone(udid: &str) -> PhoneReport {
    PhoneReport {
        facts: PhoneFacts {
            udid: udid.parse().unwrap(),
            name: format!("phone {udid}"),
            product_type: "iPhone14,5".to_owned(),
            model: "iPhone 13".to_owned(),
            chip: Some("A15".to_owned()),
            region: Some("LL/A".to_owned()),
            os_version: "16.7".parse().unwrap(),
            os_build: "20H19".to_owned(),
            slot: format!("s-{udid}").parse().unwrap(),
            labels: vec![],
            battery: None,
            storage: None,
            pairing: holdfast_wire::phone::Pairing::Paired,
            passcode_locked: false,
            developer_mode: None,
            usb_speed_bps: None,
            apps: vec![],
            crash_files_waiting: BTreeMap::new(),
            crash_limits: Vec::new(),
            clock_offset_ms: None,
            simulated: true,
        },
        readiness: Readiness::Ready,
        reason: String::new(),
        since: Time::default(),
    }
}

/// A job of one launch on build 140, which wants iOS 15.
pub(crate) fn spec(class: JobClass) -> JobSpec {
    JobSpec {
        class,
        build: Arc::new(BuildIdentity {
            hash: BuildHash::new([7; 32]),
            size_bytes: 1,
            bundle_id: "dev.holdfast.demo".parse().unwrap(),
            executable: "Demo".to_owned(),
            version: "1.4.0".to_owned(),
            build_number: "140".to_owned(),
            uuids: vec![],
            minimum_os: Some("15.0".to_owned()),
        }),
        cases: Arc::new(vec![Case {
            name: "cold-launch".parse().unwrap(),
            owner: "launch-team".parse().unwrap(),
            run: CaseRun::Launch { launches: 1, stay_ms: 1_000, launch_timeout_ms: 9_000, arguments: vec![] },
        }]),
        requirements: Arc::default(),
        priority: 0,
        owner: None,
        start_by: None,
        phones: 1,
        compare: None,
        content: None,
    }
}

pub(crate) fn ended(attempt: AttemptId, phone: Udid, lease: LeaseNumber, end: AttemptEnd) -> Event {
    let rack: RackId = "r1".parse().unwrap();
    Event::AttemptEnded { rack, attempt, phone, lease, end, report: BlobHash::new([1; 32]) }
}

pub(crate) fn end_of(word: &str) -> AttemptEnd {
    let blame = match word {
        "passed" => return AttemptEnd::Passed,
        "revoked" => return AttemptEnd::Revoked,
        "job" => Blame::Job,
        "phone" => Blame::Phone,
        "rack" => Blame::Rack,
        "farm" => Blame::Farm,
        other => panic!("no such end: {other}"),
    };
    AttemptEnd::Failed { blame, step: StepName::Run, reason: format!("the {word} failed") }
}
