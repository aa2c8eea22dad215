//! The sysmontap channel: what every process uses, once an interval. Where the numbers come from is told in
//! [`usage`](super::usage).

use std::sync::Arc;

use super::sampling::{self, Sampler};
use super::{latency, usage};
use crate::archive::Object;
use crate::behave::{self, Process, mixed};
use crate::dtx::{Answer, Call, Channel, Events};
use crate::phone::Phone;
use crate::service::BoxFuture;

pub(super) const NAME: &str = "com.apple.instruments.server.services.sysmontap";

/// What can be asked of a process.
pub(super) const PROCESS_ATTRIBUTES: &[&str] = &[
    "memVirtualSize",
    "cpuUsage",
    "procStatus",
    "appSleep",
    "uid",
    "vmPageIns",
    "memRShrd",
    "ctxSwitch",
    "memCompressed",
    "intWakeups",
    "cpuTotalSystem",
    "responsiblePID",
    "physFootprint",
    "cpuTotalUser",
    "sysCallsUnix",
    "memResidentSize",
    "sysCallsMach",
    "memPurgeable",
    "diskBytesRead",
    "machPortCount",
    "__suddenTerm",
    "__arch",
    "memRPrvt",
    "msgSent",
    "ppid",
    "threadCount",
    "memAnon",
    "diskBytesWritten",
    "pgid",
    "faults",
    "msgRecv",
    "__restricted",
    "pid",
    "__sandbox",
    "name",
    "startAbsTime",
    "procAge",
];

/// What can be asked of the whole phone.
pub(super) const SYSTEM_ATTRIBUTES: &[&str] = &[
    "threadCount",
    "diskBytesRead",
    "diskBytesWritten",
    "diskReadOps",
    "diskWriteOps",
    "netBytesIn",
    "netBytesOut",
    "netPacketsIn",
    "netPacketsOut",
    "physMemSize",
    "vmFreeCount",
    "vmUsedCount",
    "vmWireCount",
    "vmCompressorPageCount",
    "vmExtPageCount",
    "vmIntPageCount",
    "vmPurgeableCount",
    "vmSpeculativeCount",
    "__vmSwapUsage",
];

/// Cores of every phone of this simulation.
const CPUS: u64 = 6;

/// Memory is counted in pages of this many bytes.
const PAGE_BYTES: u64 = 16_384;

/// How often a sample is sent when nothing else is asked for.
const INTERVAL_MS: u64 = 1_000;

/// `CPU_TYPE_ARM64`.
const CPU_TYPE: u64 = 0x0100_000C;

/// What a client wants to have sampled.
#[derive(Debug, Clone, Default)]
struct Config {
    interval_ms: u64,
    processes: Vec<String>,
    system: Vec<String>,
    cpu_usage: bool,
}

/// The channel.
pub(super) struct Sysmontap {
    phone: Arc<Phone>,
    events: Events,
    config: Option<Config>,
    running: Option<Sampler>,
}

impl Sysmontap {
    pub(super) fn new(phone: Arc<Phone>, events: Events) -> Self {
        Self { phone, events, config: None, running: None }
    }

    /// Without a configuration nothing is sent, as on a real phone.
    fn start(&mut self) {
        let Some(config) = self.config.clone() else { return };
        let phone = Arc::clone(&self.phone);
        let interval_ms = config.interval_ms;
        let sample =
            move |number| if number == 0 { heartbeat(&phone) } else { sample(&phone, &config, number) };
        self.running = Some(sampling::start(self.events.clone(), interval_ms, sample));
    }
}

impl Channel for Sysmontap {
    fn call<'a>(&'a mut self, call: &'a Call) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            latency(&self.phone).await;
            match call.selector.as_str() {
                "setConfig:" => self.config = Some(Config::read(call.argument(0))),
                "start" => self.start(),
                "stop" => self.running = None,
                _ => return Err(call.not_understood()),
            }
            Ok(None)
        })
    }
}

impl Config {
    /// Reads what clients send: `ur` is how often samples are sent, in milliseconds.
    fn read(config: &Object) -> Self {
        let names = |key: &str| {
            let names = config.get(key).and_then(Object::as_array).unwrap_or_default();
            names.iter().filter_map(Object::as_str).map(str::to_owned).collect()
        };
        let number =
            |key: &str| config.get(key).and_then(Object::as_i64).and_then(|it| u64::try_from(it).ok());
        // Samples are taken every `sampleInterval` nanoseconds, and sent no more often than that.
        let taken_ms = number("sampleInterval").map(|nanos| nanos / 1_000_000);
        Self {
            interval_ms: number("ur").into_iter().chain(taken_ms).max().unwrap_or(INTERVAL_MS),
            processes: names("procAttrs"),
            system: names("sysAttrs"),
            cpu_usage: config.get("cpuUsage").and_then(Object::as_bool) == Some(true),
        }
    }
}

/// The first message after the start has no sample: clients take it as the sign that sampling has begun.
fn heartbeat(phone: &Phone) -> Object {
    Object::Array(vec![Object::dictionary([
        ("Type", Object::from(7_u64)),
        ("StartMachAbsTime", Object::from(ticks(phone))),
        ("EndMachAbsTime", Object::from(ticks(phone))),
    ])])
}

/// One message: the system's row, then the processes' row.
fn sample(phone: &Phone, config: &Config, number: u64) -> Object {
    let processes = behave::processes(phone);
    let rows: Vec<(Object, Object)> = processes
        .iter()
        .map(|process| (Object::from(process.pid), Object::Array(values(phone, process, config))))
        .collect();
    let load: f64 = processes.iter().map(|process| usage::of(phone, process).cpu_percent).sum();
    let now = ticks(phone);
    let mut system = vec![
        ("Type", Object::from(33_u64)),
        ("CPUCount", Object::from(CPUS)),
        ("EnabledCPUs", Object::from(CPUS)),
        ("StartMachAbsTime", Object::from(now.saturating_sub(24_000 * config.interval_ms))),
        ("EndMachAbsTime", Object::from(now)),
        ("System", Object::Array(system_values(phone, config, &processes, number))),
    ];
    if config.cpu_usage {
        system.push(("PerCPUUsage", per_cpu(load)));
        system.push((
            "SystemCPUUsage",
            Object::dictionary([
                ("CPU_TotalLoad", Object::from(load)),
                ("CPU_UserLoad", Object::from(-1.0)),
                ("CPU_SystemLoad", Object::from(-1.0)),
                ("CPU_NiceLoad", Object::from(0.0)),
            ]),
        ));
    }
    let processes = Object::dictionary([
        ("Type", Object::from(5_u64)),
        ("StartMachAbsTime", Object::from(now.saturating_sub(24_000 * config.interval_ms))),
        ("EndMachAbsTime", Object::from(now)),
        ("Processes", Object::Dictionary(rows)),
    ]);
    Object::Array(vec![Object::dictionary(system), processes])
}

fn per_cpu(load: f64) -> Object {
    let share = load / f64::from(u32::try_from(CPUS).unwrap_or(1));
    let core = || {
        Object::dictionary([
            ("CPU_TotalLoad", Object::from(share)),
            ("CPU_UserLoad", Object::from(-1.0)),
            ("CPU_SystemLoad", Object::from(-1.0)),
            ("CPU_NiceLoad", Object::from(0.0)),
        ])
    };
    Object::Array((0..CPUS).map(|_| core()).collect())
}

/// The values of a process in the order of the attributes that were asked for.
fn values(phone: &Phone, process: &Process, config: &Config) -> Vec<Object> {
    let used = usage::of(phone, process);
    let salt = mixed(process.pid.into());
    let value = |name: &str| match name {
        "pid" => Object::from(process.pid),
        "name" => Object::from(process.name.as_str()),
        "ppid" => Object::from(if process.pid == 1 { 0_u64 } else { 1 }),
        "pgid" | "responsiblePID" => Object::from(process.pid),
        "uid" => Object::from(if process.app().is_some() { 501_u64 } else { 0 }),
        "procStatus" => Object::from(2_u64),
        "__arch" => Object::from(CPU_TYPE),
        "cpuUsage" => Object::from(used.cpu_percent),
        "cpuTotalUser" => Object::from(used.cpu_nanos / 4 * 3),
        "cpuTotalSystem" => Object::from(used.cpu_nanos / 4),
        "procAge" => Object::from(used.age_nanos),
        "startAbsTime" => Object::from(ticks(phone).saturating_sub(used.age_nanos / 125 * 3)),
        "physFootprint" => Object::from(used.footprint_bytes),
        "memAnon" => Object::from(used.footprint_bytes / 10 * 9),
        "memResidentSize" => Object::from(used.footprint_bytes / 10 * 16),
        "memRPrvt" => Object::from(used.footprint_bytes / 10 * 8),
        "memRShrd" => Object::from(used.footprint_bytes / 10 * 6),
        "memVirtualSize" => Object::from(417_000_000_000 + used.footprint_bytes * 8),
        "memCompressed" | "memPurgeable" => Object::from(used.footprint_bytes / 64),
        "threadCount" => Object::from(used.threads),
        "diskBytesRead" => Object::from(used.read_bytes),
        "diskBytesWritten" => Object::from(used.written_bytes),
        "machPortCount" => Object::from(90 + salt % 400),
        "appSleep" | "__suddenTerm" | "__restricted" => Object::Bool(false),
        "__sandbox" => Object::Bool(process.app().is_some()),
        // Counters that only grow.
        "ctxSwitch" | "intWakeups" | "vmPageIns" | "faults" | "msgSent" | "msgRecv" | "sysCallsUnix"
        | "sysCallsMach" => Object::from(salt % 5_000 + used.age_nanos / 20_000_000),
        _ => Object::Null,
    };
    config.processes.iter().map(|name| value(name)).collect()
}

fn system_values(phone: &Phone, config: &Config, processes: &[Arc<Process>], number: u64) -> Vec<Object> {
    let used: Vec<usage::Usage> = processes.iter().map(|process| usage::of(phone, process)).collect();
    let sum = |value: fn(&usage::Usage) -> u64| used.iter().map(value).sum::<u64>();
    let memory = phone.identity.model.memory_bytes;
    let pages = memory / PAGE_BYTES;
    let used_pages = sum(|it| it.footprint_bytes) / PAGE_BYTES + pages / 3;
    let value = |name: &str| match name {
        "physMemSize" => Object::from(memory),
        "threadCount" => Object::from(sum(|it| it.threads)),
        "diskBytesRead" => Object::from(sum(|it| it.read_bytes)),
        "diskBytesWritten" => Object::from(sum(|it| it.written_bytes)),
        "diskReadOps" => Object::from(sum(|it| it.read_bytes) / 16_384),
        "diskWriteOps" => Object::from(sum(|it| it.written_bytes) / 16_384),
        "netBytesIn" => Object::from(8_400_000 + number * 2_100),
        "netBytesOut" => Object::from(1_900_000 + number * 700),
        "netPacketsIn" => Object::from(9_100 + number * 3),
        "netPacketsOut" => Object::from(6_600 + number * 2),
        "vmUsedCount" => Object::from(used_pages.min(pages)),
        "vmFreeCount" => Object::from(pages.saturating_sub(used_pages)),
        "vmWireCount" | "vmExtPageCount" => Object::from(pages / 5),
        "vmIntPageCount" => Object::from(pages / 4),
        "vmCompressorPageCount" => Object::from(pages / 9),
        "vmPurgeableCount" | "vmSpeculativeCount" => Object::from(pages / 80),
        "__vmSwapUsage" => Object::from(0_u64),
        _ => Object::Null,
    };
    config.system.iter().map(|name| value(name)).collect()
}

/// The phone's counter.
fn ticks(phone: &Phone) -> u64 {
    let since = phone.clock.now().duration_since(phone.state().boot.at).as_micros();
    u64::try_from(since).unwrap_or_default().saturating_mul(24)
}
