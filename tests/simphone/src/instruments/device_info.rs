//! The device info channel: processes, and facts about phone and system. Sampling is in
//! [`sysmontap`](super::sysmontap).

use std::sync::Arc;

use super::{latency, sysmontap};
use crate::archive::{NsError, Object};
use crate::behave::{self, Process};
use crate::dtx::{Answer, Call, Channel};
use crate::phone::Phone;
use crate::service::BoxFuture;

pub(super) const NAME: &str = "com.apple.instruments.server.services.deviceinfo";

/// The counter of a phone counts 24 million a second: numerator and denominator towards nanoseconds.
const TIMEBASE: (u64, u64) = (125, 3);

/// `CPU_TYPE_ARM64`.
const CPU_TYPE: u64 = 0x0100_000C;

/// `CPU_SUBTYPE_ARM64E`.
const CPU_SUBTYPE: u64 = 2;

/// The channel.
pub(super) struct DeviceInfo {
    phone: Arc<Phone>,
}

impl DeviceInfo {
    pub(super) fn new(phone: Arc<Phone>) -> Self {
        Self { phone }
    }

    fn answer(&self, call: &Call) -> Answer {
        let phone = &self.phone;
        let answer = match call.selector.as_str() {
            "runningProcesses" => {
                Object::Array(behave::processes(phone).iter().map(|process| running(process)).collect())
            }
            "execnameForPid:" => {
                // No such process is an empty name, not an error.
                let process = behave::process(phone, call.pid(0)?);
                Object::from(process.map(|process| process.path.clone()).unwrap_or_default())
            }
            "isRunningPid:" => Object::Bool(behave::process(phone, call.pid(0)?).is_some()),
            "nameForUID:" | "nameForGID:" => name_of(call)?,
            "systemInformation" => system_information(phone),
            "hardwareInformation" => hardware_information(),
            "networkInformation" => network_information(),
            "machTimeInfo" => mach_time_info(phone),
            "machKernelName" => Object::from(format!("/mach.release.t{:04x}", phone.identity.model.chip_id)),
            "sysmonProcessAttributes" => names(sysmontap::PROCESS_ATTRIBUTES),
            "sysmonSystemAttributes" => names(sysmontap::SYSTEM_ATTRIBUTES),
            // A simulated phone has no performance counters, no trace codes and no files outside its jails.
            "kpepDatabase" | "traceCodesFile" | "directoryListingForPath:" => return Ok(None),
            _ => return Err(call.not_understood()),
        };
        Ok(Some(answer))
    }
}

impl Channel for DeviceInfo {
    fn call<'a>(&'a mut self, call: &'a Call) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            latency(&self.phone).await;
            self.answer(call)
        })
    }
}

fn running(process: &Process) -> Object {
    let mut entries = vec![
        ("pid", Object::from(process.pid)),
        ("name", Object::from(process.name.as_str())),
        ("realAppName", Object::from(process.path.as_str())),
        ("isApplication", Object::Bool(process.app().is_some())),
        ("startDate", Object::date(process.started)),
        ("startPageCount", Object::from(0_u64)),
    ];
    if let Some(app) = process.app() {
        entries.push(("bundleIdentifier", Object::from(app.bundle_id.as_str())));
        entries.push(("foregroundRunning", Object::Bool(true)));
    }
    Object::dictionary(entries)
}

fn name_of(call: &Call) -> Result<Object, NsError> {
    let name = match call.pid(0)? {
        0 => "root",
        25 => "_wireless",
        501 => "mobile",
        _ => "",
    };
    Ok(Object::from(name))
}

fn system_information(phone: &Phone) -> Object {
    let identity = &phone.identity;
    Object::dictionary([
        ("_deviceDisplayName", Object::from(phone.state().name)),
        ("_deviceIdentifier", Object::from(identity.udid.as_str())),
        ("_deviceVersion", Object::from(identity.ios_build.as_str())),
        ("_productType", Object::from(identity.model.product_type)),
        ("_productVersion", Object::from(identity.ios.to_string())),
        ("_xrdeviceClassName", Object::from("XRMobileDevice")),
        ("_rawDeviceDescription", Object::from("simulated")),
    ])
}

fn hardware_information() -> Object {
    Object::dictionary([
        ("numberOfPhysicalCpus", Object::from(6_u64)),
        ("numberOfCpus", Object::from(6_u64)),
        ("hwCPUtype", Object::from(CPU_TYPE)),
        ("hwCPUsubtype", Object::from(CPU_SUBTYPE)),
        ("hwCPU64BitCapable", Object::from(1_u64)),
        ("speedOfCpus", Object::from(0_u64)),
    ])
}

fn network_information() -> Object {
    Object::dictionary([
        ("en0", Object::from("Wi-Fi")),
        ("lo0", Object::from("Loopback")),
        ("pdp_ip0", Object::from("Cellular (pdp_ip0)")),
        ("pdp_ip1", Object::from("Cellular (pdp_ip1)")),
    ])
}

/// Counter, timebase, and the wall clock, in the order that Instruments reads.
fn mach_time_info(phone: &Phone) -> Object {
    let now = phone.clock.now();
    let micros = u64::try_from(now.duration_since(phone.state().boot.at).as_micros()).unwrap_or_default();
    let ticks = Object::from(micros.saturating_mul(24));
    let (numerator, denominator) = TIMEBASE;
    Object::Array(vec![
        ticks.clone(),
        Object::from(numerator),
        Object::from(denominator),
        ticks,
        Object::from(u64::try_from(now.as_second()).unwrap_or_default()),
        Object::from(u64::try_from(now.subsec_microsecond()).unwrap_or_default()),
    ])
}

fn names(names: &[&str]) -> Object {
    Object::Array(names.iter().map(|name| Object::from(*name)).collect())
}
