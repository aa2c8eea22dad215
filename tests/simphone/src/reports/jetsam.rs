//! The report of kind 298: the kernel killed for memory. It has no stack and no bundle id; the victim is the process
//! with a `reason`. Other deaths are in [`crash`](super::crash).

use serde_json::{Value, json};

use super::leave::Death;
use super::report::{About, Header, Report, body_time, dashed, file_time, header_time, two_parts};
use super::system;
use crate::behave::{Process, mixed};
use crate::phone::random_uuid;

/// Memory is counted in pages of this many bytes.
const PAGE_BYTES: u64 = 16_384;

/// The kernel keeps this many bytes of a process' name.
const NAME_BYTES: usize = 32;

/// What one foreground app may use before `per-process-limit`: half of the memory is about right.
const LIMIT_SHARE: u64 = 2;

/// The report of a death for memory, with the processes that still run.
pub(super) fn report(
    about: &About,
    death: &Death,
    reason: &str,
    running: &[std::sync::Arc<Process>],
    written: jiff::Timestamp,
) -> Report {
    let incident = random_uuid();
    let total = about.memory_bytes / PAGE_BYTES;
    let victim = victim(about, death, reason, total);
    let mut processes: Vec<Value> = running.iter().map(|process| other(process, total)).collect();
    processes.insert(processes.len() / 2, victim);
    // Not the victim: whoever is largest while the report is made.
    let largest = running.iter().max_by_key(|process| pages(process, total));
    let body = json!({
        "crashReporterKey": format!("{:016x}{:016x}{:08x}", mixed(system::number_of(&about.udid)), 0, 0),
        "product": about.product_type,
        "kernel": format!("Darwin Kernel Version {}.6.0: root:xnu/RELEASE_ARM64_T{:04X}", about.ios_major + 6, about.chip_id),
        "incident": incident,
        "date": body_time(&about.zoned(death.died)),
        "build": about.os_version(),
        "bug_type": "298",
        "timeDelta": 12,
        "genCounter": 0,
        "memoryStatus": {
            "compressorSize": total / 9,
            "compressions": 1_204_331,
            "decompressions": 402_118,
            "zoneMapCap": about.memory_bytes / 3,
            "zoneMapSize": about.memory_bytes / 40,
            "largestZone": "APFS_4K_OBJS",
            "largestZoneSize": 40_255_488,
            "pageSize": PAGE_BYTES,
            "uncompressed": total / 4,
            "memoryPages": {
                "active": total / 4, "throttled": 0, "fileBacked": total / 6, "wired": total / 5,
                "anonymous": total / 3, "purgeable": 411, "inactive": total / 5, "free": total / 70,
                "speculative": 902,
            },
        },
        "largestProcess": largest.map_or_else(|| short(&death.app.executable_name), |process| short(&process.name)),
        "processes": processes,
    });
    let header = Header {
        app_name: None,
        timestamp: header_time(&about.zoned(written)),
        app_version: None,
        slice_uuid: None,
        build_version: None,
        platform: None,
        bundle_id: None,
        share_with_app_devs: None,
        is_first_party: None,
        bug_type: "298".to_owned(),
        os_version: about.os_version(),
        roots_installed: (about.ios_major >= 16).then_some(0),
        name: None,
        app_cohort: None,
        is_beta: None,
        incident_id: incident.clone(),
    };
    Report {
        bug_type: "298",
        process: "JetsamEvent".to_owned(),
        stem: format!("JetsamEvent-{}", file_time(&about.zoned(death.died))),
        signature: mixed(system::number_of(&format!("{reason}{}", death.app.executable_name))),
        text: two_parts(&header, &body),
    }
}

fn victim(about: &About, death: &Death, reason: &str, total: u64) -> Value {
    let rpages = total / LIMIT_SHARE;
    let age = death.died.duration_since(death.launched);
    json!({
        "uuid": dashed(&death.app.slice_uuid.unwrap_or_default()),
        "states": ["frontmost"],
        "killDelta": 8_214,
        "genCount": 0,
        "age": u64::try_from(age.as_nanos()).unwrap_or_default(),
        "purgeable": 0,
        "fds": 50,
        "coalition": 400 + u64::from(death.pid),
        "rpages": rpages,
        "lifetimeMax": rpages,
        "priority": 100,
        "reason": reason,
        "physicalPages": { "internal": [rpages / 2, rpages / 3] },
        "freeze_skip_reason:": "none",
        "pid": death.pid,
        "cpuTime": age.as_secs_f64() * 0.31,
        "name": short(&death.app.executable_name),
        "csFlags": 570_434_305,
        "idleDelta": about.uptime_seconds(death.died),
    })
}

fn other(process: &Process, total: u64) -> Value {
    let rpages = pages(process, total);
    json!({
        "uuid": dashed(&system::image_uuid(&process.path, "")),
        "states": if process.app().is_some() { json!(["suspended"]) } else { json!(["daemon", "idle"]) },
        "purgeable": 0,
        "fds": 50,
        "coalition": 60 + process.pid,
        "rpages": rpages,
        "lifetimeMax": rpages + rpages / 8,
        "priority": 0,
        "physicalPages": { "internal": [rpages / 2, rpages / 4] },
        "freeze_skip_reason:": "none",
        "pid": process.pid,
        "cpuTime": f64::from(process.pid) / 7.0,
        "name": short(&process.name),
        "csFlags": 570_434_305,
    })
}

fn pages(process: &Process, total: u64) -> u64 {
    200 + mixed(system::number_of(&process.name)) % (total / 60)
}

/// The name as the kernel keeps it.
fn short(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}
