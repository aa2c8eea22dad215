//! Phones, builds and jobs with good values, by number. What happens to them is not here.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::id::{BlobHash, BuildHash, Owner, RackId, Udid};
use holdfast_wire::job::{JobClass, JobSpec, Requirements};
use holdfast_wire::phone::{Battery, Pairing, PhoneFacts, Storage};
use holdfast_wire::requirement::Fallback;
use holdfast_wire::time::Time;

use crate::scenario::{JobWish, PhoneMake};

/// The instant at which every simulated farm begins: an hour and a half before midnight in UTC, so that days change.
pub const BEGINNING_MS: i64 = 1_795_213_800_000;

/// Owners by number.
pub const OWNERS: [&str; 4] = ["team-a", "team-b", "team-video", "team-c"];

/// Labels that phones may have.
pub const LABELS: [&str; 3] = ["crash", "video", "old"];

const MODELS: [(&str, &str, &str); 3] = [
    ("iPhone14,5", "iPhone 13", "A15"),
    ("iPhone15,4", "iPhone 15", "A16"),
    ("iPhone16,1", "iPhone 15 Pro", "A17"),
];

const SYSTEMS: [&str; 3] = ["16.7", "17.2", "18.0"];

/// What jobs ask of phones: a pool or field, an expression, and what will do later.
const WANTS: usize = 14;

/// A good name.
pub fn name<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a good name"))
}

/// A rack by number.
pub fn rack_id(number: usize) -> RackId {
    name(&format!("rack-{number}"))
}

/// A phone by number.
pub fn udid(number: usize) -> Udid {
    name(&format!("phone-{number}"))
}

/// An owner by number.
pub fn owner(number: usize) -> Owner {
    name(OWNERS[number % OWNERS.len()])
}

/// What a phone tells of itself.
pub fn facts(number: usize, make: &PhoneMake) -> PhoneFacts {
    let (product_type, model, chip) = MODELS[make.model % MODELS.len()];
    PhoneFacts {
        udid: udid(number),
        name: format!("simulated {number}"),
        product_type: product_type.to_owned(),
        model: model.to_owned(),
        chip: Some(chip.to_owned()),
        region: None,
        os_version: name(SYSTEMS[make.system % SYSTEMS.len()]),
        os_build: "20H19".to_owned(),
        slot: name(&format!("slot-{number}")),
        labels: make.labels.iter().map(|label| name(LABELS[label % LABELS.len()])).collect(),
        battery: Some(Battery { level_percent: make.battery_percent, charging: true, ..Battery::default() }),
        storage: Some(Storage { free_bytes: 50_000_000_000, total_bytes: 128_000_000_000 }),
        pairing: Pairing::Paired,
        passcode_locked: false,
        developer_mode: None,
        usb_speed_bps: None,
        apps: Vec::new(),
        crash_files_waiting: BTreeMap::new(),
        crash_limits: Vec::new(),
        clock_offset_ms: None,
        simulated: true,
    }
}

/// A build by number; every third one wants a newer system.
pub fn build(number: u8) -> BuildIdentity {
    BuildIdentity {
        hash: BuildHash::new([number; 32]),
        size_bytes: 1_000,
        bundle_id: name("dev.holdfast.demo"),
        executable: "Demo".to_owned(),
        version: "1.4.0".to_owned(),
        build_number: number.to_string(),
        uuids: Vec::new(),
        minimum_os: (number % 3 == 2).then(|| "17.0".to_owned()),
    }
}

/// The key under which a wish is submitted, and by which its job is known again.
pub fn key_of(number: usize) -> BlobHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    BlobHash::new(bytes)
}

/// The job of a wish.
pub fn spec(number: usize, wish: &JobWish, now: Time) -> JobSpec {
    let cases = wish.cases.iter().enumerate().map(|(place, case)| Case {
        name: name(&format!("case-{place}-{}", case.stay_ms)),
        owner: name("launch-team"),
        run: CaseRun::Launch {
            launches: case.launches,
            stay_ms: case.stay_ms,
            launch_timeout_ms: 20_000,
            arguments: Vec::new(),
        },
    });
    JobSpec {
        class: JobClass::ALL[wish.class % JobClass::ALL.len()],
        build: Arc::new(build(wish.build)),
        cases: Arc::new(cases.collect()),
        requirements: Arc::new(requirements(wish.wants)),
        priority: wish.priority,
        owner: wish.owner.map(owner),
        start_by: wish.start_within_s.map(|within| now.after(Duration::from_secs(within))),
        phones: wish.phones,
        compare: wish.compare.map(|number| name(&format!("compare-{number}"))),
        content: Some(Box::new(key_of(number))),
    }
}

/// Requirements by number.
pub fn requirements(number: usize) -> Requirements {
    let plain = Requirements::default();
    let asks = |expression: &str, fallbacks: &[(u64, &str)]| Requirements {
        expression: Some(name(expression)),
        fallbacks: fallbacks
            .iter()
            .map(|(after_s, expression)| Fallback { after_s: *after_s, expression: name(expression) })
            .collect(),
        ..Requirements::default()
    };
    match number % WANTS {
        0..=3 => plain,
        4 => asks("model = \"iPhone 13\"", &[]),
        5 => asks("os >= 17", &[]),
        6 => asks("battery >= 50", &[(900, "any")]),
        7 => Requirements { labels: vec![name("video")], ..plain },
        8 => Requirements { phone: Some(udid(1)), ..plain },
        9 => Requirements { rack: Some(rack_id(0)), ..plain },
        10 => Requirements { pool: Some(name("general")), ..plain },
        11 => asks("chip = A17", &[(120, "model = \"iPhone 13\""), (600, "any")]),
        12 => asks("not label = crash and not model = \"iPhone 15\"", &[(300, "not label = crash")]),
        _ => asks("os >= 18 or label = old", &[(60, "any")]),
    }
}

/// How many different requirements there are.
pub fn wants() -> usize {
    WANTS
}
