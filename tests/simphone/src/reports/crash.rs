//! The body of a report of kind 309: signal, exception, watchdog, missing library.
//! Deaths for memory are in [`jetsam`](super::jetsam).

use serde_json::{Value, json};

use super::binary::Binary;
use super::leave::Death;
use super::report::{About, Header, Report, body_time, dashed, file_time, header_time, two_parts};
use super::stack::{Frame, Stacks, other_threads, stacks};
use super::system::{self, IMAGES};
use crate::behave::{CrashSignal, Ending, mixed};
use crate::install::AppKind;
use crate::phone::random_uuid;

/// Where the main executable may lie: every launch slides it by another number of pages from here.
const APP_BASE: u64 = 0x1_0000_0000;

/// 0x8badf00d.
const WATCHDOG_CODE: u64 = 0x8BAD_F00D;

/// The report of a death, written at `written` of the phone's clock.
pub(super) fn report(
    about: &About,
    death: &Death,
    binary: Option<&Binary>,
    written: jiff::Timestamp,
) -> Report {
    let stacks = stacks(&death.ending, binary, death.launch_number);
    let end = End::of(death, &stacks);
    let incident = random_uuid();
    let mut images = Images::new(about, death, binary);
    let body = body(about, death, &stacks, &end, &mut images, &incident);
    let uuid = images.app_uuid;
    let text = two_parts(&header(about, death, &uuid, &incident, written), &body);
    let process = death.app.executable_name.clone();
    let stem = format!("{process}-{}", file_time(&about.zoned(death.died)));
    let signature = mixed(stacks.blamed ^ system::number_of(&format!("{}{}", end.kind, end.signature)));
    Report { bug_type: "309", process, stem, signature, text }
}

fn header(about: &About, death: &Death, uuid: &[u8; 16], incident: &str, written: jiff::Timestamp) -> Header {
    let app = &death.app;
    Header {
        app_name: Some(app.executable_name.clone()),
        timestamp: header_time(&about.zoned(written)),
        app_version: Some(app.version.clone()),
        slice_uuid: Some(dashed(uuid)),
        build_version: Some(app.build.clone()),
        platform: Some(2),
        bundle_id: Some(app.bundle_id.clone()),
        share_with_app_devs: Some(0),
        is_first_party: Some(u8::from(app.kind == AppKind::System)),
        bug_type: "309".to_owned(),
        os_version: about.os_version(),
        roots_installed: (about.ios_major >= 16).then_some(0),
        name: Some(app.executable_name.clone()),
        app_cohort: (about.ios_major >= 26).then(String::new),
        is_beta: (about.ios_major >= 26).then_some(0),
        incident_id: incident.to_owned(),
    }
}

fn body(
    about: &About,
    death: &Death,
    stacks: &Stacks,
    end: &End,
    images: &mut Images<'_>,
    incident: &str,
) -> Value {
    let app = &death.app;
    let threads = threads(death, stacks, end, images);
    let exception: Option<Vec<Value>> =
        stacks.exception.as_ref().map(|frames| frames.iter().map(|frame| images.frame(*frame)).collect());
    let mut body = json!({
        "uptime": about.uptime_seconds(death.died),
        "procRole": "Foreground",
        "version": 2,
        "userID": 501,
        "deployVersion": 210,
        "modelCode": about.product_type,
        "coalitionID": 400 + u64::from(death.pid),
        "osVersion": {
            "isEmbedded": true,
            "train": about.train,
            "releaseType": "User",
            "build": about.ios_build,
        },
        "captureTime": body_time(&about.zoned(death.died)),
        "procLaunch": body_time(&about.zoned(death.launched)),
        "procStartAbsTime": about.ticks(death.launched),
        "procExitAbsTime": about.ticks(death.died),
        "incident": incident,
        "pid": death.pid,
        "cpuType": "ARM-64",
        "bug_type": "309",
        "procName": app.executable_name,
        "procPath": app.executable_path(),
        "bundleInfo": {
            "CFBundleShortVersionString": app.version,
            "CFBundleVersion": app.build,
            "CFBundleIdentifier": app.bundle_id,
        },
        "storeInfo": {
            "deviceIdentifierForVendor": dashed(&system::image_uuid(&about.udid, &app.bundle_id)),
            "thirdParty": app.kind == AppKind::User,
        },
        "parentProc": "launchd",
        "parentPid": 1,
        "coalitionName": app.bundle_id,
        "crashReporterKey": format!("{:016x}{:016x}{:08x}", mixed(system::number_of(&about.udid)), 0, 0),
        "basebandVersion": "4.02.01",
        "exception": end.exception,
        "termination": end.termination,
        "faultingThread": 0,
        "threads": threads,
        "vmSummary": "ReadOnly portion of Libraries: Total=840.2M resident=0K(0%)\nWritable regions: Total=512.6M\n",
        "legacyInfo": { "threadTriggered": { "queue": "com.apple.main-thread" } },
        "logWritingSignature": format!("{:016x}{:016x}{:08x}", mixed(death.launch_number), mixed(end.signature_number()), 0),
        "trialInfo": { "rollouts": [], "experiments": [] },
    });
    if let Some(frames) = exception {
        body["lastExceptionBacktrace"] = Value::Array(frames);
    }
    if let Some(said) = &end.said {
        body["asi"] = said.clone();
    }
    if matches!(death.ending, Ending::BeforeMain { .. }) {
        body["fatalDyldError"] = json!(1);
    }
    add_by_version(&mut body, about);
    body["usedImages"] = images.list();
    body["sharedCache"] = json!({
        "base": system::shared_cache_base(images.slide),
        "size": system::SHARED_CACHE_BYTES,
        "uuid": dashed(&system::image_uuid("dyld_shared_cache_arm64e", &about.ios_build)),
    });
    body
}

/// What later versions of iOS add.
fn add_by_version(body: &mut Value, about: &About) {
    if about.ios_major >= 16 {
        body["roots_installed"] = json!(0);
        body["isLocked"] = json!(0);
        body["wasUnlockedSinceBoot"] = json!(1);
        body["codeSigningMonitor"] = json!(0);
    }
    if about.ios_major >= 17 {
        body["bootSessionUUID"] = json!(about.boot_id);
        body["throttleTimeout"] = json!(5);
    }
    if about.ios_major >= 26 {
        body["developerMode"] = json!(1);
        body["isBeta"] = json!(0);
        body["trmStatus"] = json!(8192);
    }
}

fn threads(death: &Death, stacks: &Stacks, end: &End, images: &mut Images<'_>) -> Value {
    let id = 4_000 + u64::from(death.pid) * 7;
    let frames: Vec<Value> = stacks.faulting.iter().map(|frame| images.frame(*frame)).collect();
    let state = thread_state(death, end, images, stacks.faulting.first());
    let mut threads = vec![
        json!({ "triggered": true, "id": id, "threadState": state, "queue": "com.apple.main-thread", "frames": frames }),
    ];
    for (number, (name, stack)) in (1..).zip(other_threads()) {
        let frames: Vec<Value> = stack.iter().map(|frame| images.frame(*frame)).collect();
        let mut thread = json!({ "id": id + number, "frames": frames });
        if let Some(name) = name {
            thread["name"] = json!(name);
        }
        threads.push(thread);
    }
    Value::Array(threads)
}

/// The registers, all of them 64 bits without a sign.
fn thread_state(death: &Death, end: &End, images: &Images<'_>, top: Option<&Frame>) -> Value {
    let seed = mixed(u64::from(death.pid) ^ mixed(death.launch_number));
    let register = |number: u64| json!({ "value": mixed(seed ^ number) >> (number % 5 * 9) });
    let registers: Vec<Value> = (0..29).map(register).collect();
    let pc = top.map_or(0, |frame| images.address(*frame));
    json!({
        "x": registers,
        "flavor": "ARM_THREAD_STATE64",
        "lr": { "value": pc + 16 },
        "cpsr": { "value": 0x4000_1000_u64 },
        "fp": { "value": 0x1_6B00_0000_u64 + (seed & 0xFF_FFF0) },
        "sp": { "value": 0x1_6B00_0000_u64 + (seed & 0xFF_FFF0) - 0x80 },
        "esr": { "value": end.esr.0, "description": end.esr.1 },
        "pc": { "value": pc, "matchesCrashFrame": 1 },
        "far": { "value": end.far },
    })
}

/// The images of one report, numbered as its frames name them.
struct Images<'a> {
    about: &'a About,
    death: &'a Death,
    slide: u64,
    app_base: u64,
    app_bytes: u64,
    app_uuid: [u8; 16],
    used: Vec<Used>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Used {
    App,
    System(usize),
}

impl<'a> Images<'a> {
    fn new(about: &'a About, death: &'a Death, binary: Option<&Binary>) -> Self {
        let number = mixed(u64::from(death.pid) ^ system::number_of(&about.boot_id));
        Self {
            about,
            death,
            slide: system::slide(&about.udid, &about.boot_id),
            app_base: APP_BASE + number % 0x1000 * 0x4000,
            app_bytes: binary.map_or(0x4000, |binary| binary.text_bytes),
            app_uuid: binary.map_or_else(|| death.app.slice_uuid.unwrap_or_default(), |binary| binary.uuid),
            used: Vec::new(),
        }
    }

    fn frame(&mut self, frame: Frame) -> Value {
        match frame {
            Frame::App(offset) => json!({ "imageOffset": offset, "imageIndex": self.index(Used::App) }),
            Frame::System(symbol) => json!({
                "imageOffset": symbol.start() + symbol.location(),
                "symbol": symbol.name(),
                "symbolLocation": symbol.location(),
                "imageIndex": self.index(Used::System(symbol.image)),
            }),
        }
    }

    fn address(&self, frame: Frame) -> u64 {
        match frame {
            Frame::App(offset) => self.app_base + offset,
            Frame::System(symbol) => {
                let base = system::shared_cache_base(self.slide) + IMAGES[symbol.image].offset;
                base + symbol.start() + symbol.location()
            }
        }
    }

    fn index(&mut self, image: Used) -> usize {
        self.used.iter().position(|used| *used == image).unwrap_or_else(|| {
            self.used.push(image);
            self.used.len() - 1
        })
    }

    /// Every image that a frame named, and the app in any case.
    fn list(&mut self) -> Value {
        self.index(Used::App);
        let images = self.used.iter().map(|used| match used {
            Used::App => json!({
                "source": "P",
                "arch": "arm64",
                "base": self.app_base,
                "size": self.app_bytes,
                "uuid": dashed(&self.app_uuid),
                "path": self.death.app.executable_path(),
                "name": self.death.app.executable_name,
                "CFBundleIdentifier": self.death.app.bundle_id,
                "CFBundleShortVersionString": self.death.app.version,
                "CFBundleVersion": self.death.app.build,
            }),
            Used::System(image) => {
                let image = &IMAGES[*image];
                json!({
                    "source": "P",
                    "arch": "arm64e",
                    "base": system::shared_cache_base(self.slide) + image.offset,
                    "size": image.bytes,
                    "uuid": dashed(&system::image_uuid(image.name, &self.about.ios_build)),
                    "path": image.path,
                    "name": image.name,
                })
            }
        });
        Value::Array(images.collect())
    }
}

/// How a death is told: `exception`, `termination`, and what the libraries said.
struct End {
    exception: Value,
    termination: Value,
    said: Option<Value>,
    kind: &'static str,
    /// What tells causes of one kind apart beside the place.
    signature: String,
    far: u64,
    esr: (u64, &'static str),
}

impl End {
    fn of(death: &Death, stacks: &Stacks) -> Self {
        match &death.ending {
            Ending::Signal { signal, .. } => Self::signal(*signal, death, stacks),
            Ending::Exception { name, reason, .. } => Self::exception(death, name, reason),
            Ending::DiskFull { .. } => Self::exception(
                death,
                "NSFileHandleOperationException",
                "*** -[NSConcreteFileHandle writeData:]: No space left on device",
            ),
            Ending::Watchdog { event, .. } => Self::watchdog(death, event),
            Ending::BeforeMain { library } => Self::missing_library(death, library),
            // These leave no report of this kind; a general one is the harmless answer.
            Ending::Never | Ending::Exit { .. } | Ending::Jetsam { .. } => {
                Self::signal(CrashSignal::Abort, death, stacks)
            }
        }
    }

    fn signal(signal: CrashSignal, death: &Death, stacks: &Stacks) -> Self {
        let far = mixed(death.launch_number) & 0xFFF8;
        let (kind, name, indicator) = match signal {
            CrashSignal::Segv => ("EXC_BAD_ACCESS", "SIGSEGV", "Segmentation fault: 11"),
            CrashSignal::Bus => ("EXC_BAD_ACCESS", "SIGBUS", "Bus error: 10"),
            CrashSignal::Trap => ("EXC_BREAKPOINT", "SIGTRAP", "Trace/BPT trap: 5"),
            CrashSignal::Abort => ("EXC_CRASH", "SIGABRT", "Abort trap: 6"),
            CrashSignal::Illegal => ("EXC_BAD_INSTRUCTION", "SIGILL", "Illegal instruction: 4"),
        };
        let (codes, subtype) = match signal {
            CrashSignal::Segv => ([1, far], Some(format!("KERN_INVALID_ADDRESS at {far:#018x}"))),
            CrashSignal::Bus => ([2, far], Some(format!("KERN_PROTECTION_FAILURE at {far:#018x}"))),
            CrashSignal::Trap | CrashSignal::Illegal => ([1, APP_BASE + stacks.blamed], None),
            CrashSignal::Abort => ([0, 0], None),
        };
        let by = match signal {
            CrashSignal::Abort => death.app.executable_name.as_str(),
            _ => "exc handler",
        };
        let mut exception = exception(kind, name, codes);
        if let Some(subtype) = subtype {
            exception["subtype"] = json!(subtype);
        }
        Self {
            exception,
            termination: json!({
                "flags": 0, "code": signal.number(), "namespace": "SIGNAL", "indicator": indicator,
                "byProc": by, "byPid": death.pid,
            }),
            said: (signal == CrashSignal::Abort).then(|| json!({ "libsystem_c.dylib": ["abort() called"] })),
            kind,
            signature: name.to_owned(),
            far,
            esr: match signal {
                CrashSignal::Trap => (0xF200_0001, "(Breakpoint) brk 1"),
                CrashSignal::Abort => (0x5600_0080, " Address size fault"),
                _ => (0x9200_0006, "(Data Abort) byte read Translation fault"),
            },
        }
    }

    fn exception(death: &Death, name: &str, reason: &str) -> Self {
        let said = format!(
            "*** Terminating app due to uncaught exception '{name}', reason: '{reason}'\nterminating with uncaught exception of type NSException"
        );
        Self {
            exception: exception("EXC_CRASH", "SIGABRT", [0, 0]),
            termination: json!({
                "flags": 0, "code": 6, "namespace": "SIGNAL", "indicator": "Abort trap: 6",
                "byProc": death.app.executable_name, "byPid": death.pid,
            }),
            said: Some(json!({ "CoreFoundation": [said], "libsystem_c.dylib": ["abort() called"] })),
            kind: "NSException",
            signature: name.to_owned(),
            far: 0,
            esr: (0x5600_0080, " Address size fault"),
        }
    }

    fn watchdog(death: &Death, event: &str) -> Self {
        let bundle_id = &death.app.bundle_id;
        let pid = death.pid;
        // The description of the context, cut at its commas and line ends, as iOS does it.
        let reasons = [
            format!(
                "<RBSTerminateContext| domain:10 code:0x8BADF00D explanation:{event} watchdog transgression: app<{bundle_id}>:{pid} exhausted real (wall clock) time allowance of 10.00 seconds"
            ),
            format!(
                "ProcessVisibility: {}",
                if event == "scene-update" { "Background" } else { "Foreground" }
            ),
            "ProcessState: Running".to_owned(),
            format!("WatchdogEvent: {event}"),
            "WatchdogVisibility: Foreground".to_owned(),
            "WatchdogCPUStatistics: (".to_owned(),
            "\"Elapsed total CPU time (seconds): 13.240 (user 8.130".to_owned(),
            "system 5.110)".to_owned(),
            "22% CPU\"".to_owned(),
            "\"Elapsed application CPU time (seconds): 0.412".to_owned(),
            "1% CPU\"".to_owned(),
            ") reportType:CrashLog maxTerminationResistance:Interactive>".to_owned(),
        ];
        Self {
            exception: exception("EXC_CRASH", "SIGKILL", [0, 0]),
            termination: json!({
                "flags": 6, "code": WATCHDOG_CODE, "namespace": "FRONTBOARD", "reasons": reasons,
            }),
            said: None,
            kind: "watchdog",
            signature: event.to_owned(),
            far: 0,
            esr: (0x5600_0080, " Address size fault"),
        }
    }

    fn missing_library(death: &Death, library: &str) -> Self {
        let path = death.app.executable_path();
        let folder = &death.app.path;
        let tried = library.replace("@rpath", &format!("{folder}/Frameworks"));
        let reasons = [
            format!("Library not loaded: {library}"),
            format!("Referenced from: {path}"),
            format!("Reason: tried: '{tried}' (no such file), '/usr/lib/swift/{library}' (no such file)"),
        ];
        Self {
            exception: exception("EXC_CRASH", "SIGABRT", [0, 0]),
            termination: json!({
                "flags": 518, "code": 1, "namespace": "DYLD", "indicator": "Library missing",
                "details": ["(terminated at launch; ignore backtrace)"], "reasons": reasons,
                "byProc": death.app.executable_name, "byPid": death.pid,
            }),
            said: None,
            kind: "DYLD",
            signature: library.to_owned(),
            far: 0,
            esr: (0x5600_0080, " Address size fault"),
        }
    }

    fn signature_number(&self) -> u64 {
        system::number_of(&self.signature)
    }
}

fn exception(kind: &str, signal: &str, codes: [u64; 2]) -> Value {
    json!({
        "codes": format!("{:#018x}, {:#018x}", codes[0], codes[1]),
        "rawCodes": codes,
        "type": kind,
        "signal": signal,
    })
}
