//! Names, a phone, and jobs with good values.

use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::policy::{Members, Policy, Pool, Quarantine, Retries};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::id::{BuildHash, CaseName, Owner, PoolName, RackId, Udid};
use holdfast_wire::job::{JobClass, JobSpec};
use holdfast_wire::phone::{Pairing, PhoneFacts, PhoneReport, Readiness};
use holdfast_wire::time::Time;

/// A rack is silent after this time.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);

/// Parses a name that is written here.
fn name<T: std::str::FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(name) => name,
        Err(_) => unreachable!("{text} is a good name"),
    }
}

/// The first rack or the second.
pub fn rack(number: usize) -> RackId {
    name(["rack-1", "rack-2"][number])
}

/// A phone.
pub fn udid(number: usize) -> Udid {
    name(["A", "B"][number])
}

/// One pool for everything; budgets large enough that no job is given up for faults.
pub fn policy() -> Policy {
    let pool: PoolName = name("general");
    let serves = JobClass::ALL.to_vec();
    Policy {
        rack_silent_after: SILENT_AFTER,
        retries: Retries { job: 0, phone: 20, rack: 20, farm: 20 },
        quarantine: Quarantine { after_failures: 20, lasts: Duration::from_secs(1) },
        ..Policy::with_pools(vec![Pool {
            name: pool,
            serves,
            lends: vec![],
            only: vec![],
            members: Members::Rest,
        }])
    }
}

/// What a rack says of a phone that is there, or of one that has left.
pub fn report(phone: usize, is_here: bool) -> PhoneReport {
    let facts = PhoneFacts {
        udid: udid(phone),
        name: "simulated".to_owned(),
        product_type: "iPhone14,5".to_owned(),
        model: "iPhone 13".to_owned(),
        chip: None,
        region: None,
        os_version: name("16.7"),
        os_build: "20H19".to_owned(),
        slot: name("1-1"),
        labels: vec![],
        battery: None,
        storage: None,
        pairing: Pairing::Paired,
        passcode_locked: false,
        developer_mode: None,
        usb_speed_bps: None,
        apps: vec![],
        crash_files_waiting: std::collections::BTreeMap::new(),
        crash_limits: Vec::new(),
        clock_offset_ms: None,
        simulated: true,
    };
    let readiness = if is_here { Readiness::Ready } else { Readiness::Offline };
    PhoneReport { facts, readiness, reason: String::new(), since: Time::default() }
}

/// A job of one launch.
pub fn spec(class: JobClass) -> JobSpec {
    let owner: Owner = name("team");
    let case: CaseName = name("cold-launch");
    JobSpec {
        class,
        build: Arc::new(BuildIdentity {
            hash: BuildHash::new([7; 32]),
            size_bytes: 1,
            bundle_id: name("dev.holdfast.demo"),
            executable: "Demo".to_owned(),
            version: "1".to_owned(),
            build_number: "1".to_owned(),
            uuids: vec![],
            minimum_os: None,
        }),
        cases: Arc::new(vec![Case {
            name: case,
            owner,
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
