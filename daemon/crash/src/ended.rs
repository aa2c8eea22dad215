//! What ended the process: one cause, and the sentence that a developer reads.
//!
//! Causes are asked in the order in which they explain more: who ended it and why, then the loader, then an uncaught
//! exception, then the signal. The stack is never asked: a killed process was merely somewhere.

use crate::codes::{jetsam_reason, known_code};
use crate::kind::Kind;
use crate::report::{Jetsam, Report, Termination, UncaughtException};
use serde::{Deserialize, Serialize};

/// Addresses below this are a null pointer plus the offset of a field.
const NULL_PAGE: u64 = 0x4000;
/// A sentence of a library is cut here in `words`; the whole stays in the report.
const SAID_CHARS: usize = 300;
/// How the code of a stackshot says that nothing crashed: the user or a diagnosis asked for it.
const ASKED_FOR: &str = "0xbaaaaaad";
/// The watchdog's event when a service of the system is silent; other events are named by the phone.
const SERVICE_CHECKIN: &str = "service-checkin";

/// What ended the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedBy {
    /// The class to group by.
    pub cause: Cause,
    /// One sentence without its full stop.
    pub words: String,
}

impl EndedBy {
    /// Nothing in the report tells.
    pub(crate) fn unknown() -> EndedBy {
        EndedBy { cause: Cause::Unknown, words: "the report does not tell".to_owned() }
    }
}

/// The class of an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Cause {
    /// The system's patience ran out.
    Watchdog {
        /// Such as `scene-update`, `process-launch`.
        event: Option<String>,
        /// How long the app was given, in seconds as written.
        allowance_seconds: Option<String>,
    },
    /// Another process of the system ended it by a code that has a name.
    Terminated {
        /// Such as `RUNNINGBOARD`.
        namespace: String,
        /// Such as `0xdead10cc`.
        code_hex: Option<String>,
    },
    /// The phone was short of memory, or the process passed its own limit.
    OutOfMemory {
        /// Such as `per-process-limit`.
        reason: Option<String>,
        /// The process that was killed, cut at 32 bytes.
        victim: Option<String>,
    },
    /// The loader did not find a library.
    LibraryMissing {
        /// Path or name of the library.
        library: Option<String>,
    },
    /// The loader did not find a symbol.
    SymbolMissing {
        /// Name of the symbol.
        symbol: Option<String>,
    },
    /// The loader gave up for another reason.
    LoaderFailed,
    /// `Info.plist` doesn't say why private data is used.
    PrivacyKeyMissing {
        /// Such as `NSCameraUsageDescription`.
        key: Option<String>,
    },
    /// The signature of the code was refused.
    CodeSigning,
    /// The phone was too hot or the process used too much processor time while it was.
    Thermal,
    /// An Objective-C exception that nobody caught.
    ObjectiveCException {
        /// Such as `NSInvalidArgumentException`.
        name: Option<String>,
    },
    /// A language runtime or a library stopped the process and said why.
    RuntimeFailure {
        /// The exception's type and signal, such as `EXC_BREAKPOINT (SIGTRAP)`.
        exception: String,
    },
    /// Memory that can't be read or written.
    BadAccess {
        /// The address, if the report has it.
        address: Option<u64>,
    },
    /// Any other exception or signal.
    Exception {
        /// The exception's type and signal.
        exception: String,
    },
    /// A resource limit was passed.
    ResourceLimit {
        /// Such as `disk writes`.
        resource: Option<String>,
        /// Whether the process was killed for it.
        killed: bool,
    },
    /// The main thread did not answer.
    Hang,
    /// The kernel stopped.
    KernelPanic,
    /// The phone was reset from outside.
    ForcedReset,
    /// Nothing ended: stacks were taken because somebody asked, or the file only tells figures.
    NothingEnded,
    /// The report does not tell.
    Unknown,
}

/// Decides what ended the process, from everything else that was read.
pub(crate) fn ended_by(report: &Report) -> EndedBy {
    let found = whole_phone(report)
        .or_else(|| report.termination.as_ref().and_then(|termination| terminated(report, termination)))
        .or_else(|| legacy_code(report))
        .or_else(|| uncaught(report))
        .or_else(|| resource(report))
        .or_else(|| exception(report))
        .or_else(|| namespace_alone(report.termination.as_ref()?));
    match found {
        Some((cause, words)) => EndedBy { cause, words },
        None => EndedBy::unknown(),
    }
}

type Found = Option<(Cause, String)>;

fn whole_phone(report: &Report) -> Found {
    if let Some(jetsam) = &report.jetsam {
        return Some(out_of_memory(jetsam));
    }
    let message = report.system_message.as_deref().map(cut).unwrap_or_default();
    match report.kind {
        Kind::Panic => Some((Cause::KernelPanic, after_colon("kernel panic", &message))),
        Kind::ForceReset => Some((Cause::ForcedReset, after_colon("the phone was reset", &message))),
        Kind::Stackshot => {
            let code = report.exception.as_ref().and_then(|exception| exception.codes.as_deref());
            let words = match code {
                Some(code) if code != ASKED_FOR => {
                    after_colon(&format!("stacks of all processes, code {code}"), &message)
                }
                _ => after_colon("stacks of all processes, asked for", &message),
            };
            Some((Cause::NothingEnded, words))
        }
        Kind::Hang => Some(hang(report)),
        Kind::Update | Kind::Analytics | Kind::StreamStall => {
            Some((Cause::NothingEnded, after_colon(report.kind.words(), &message)))
        }
        Kind::Crash
        | Kind::Jetsam
        | Kind::CpuResource
        | Kind::DiskWrites
        | Kind::Wakeups
        | Kind::ResourceException
        | Kind::UserFault
        | Kind::Watchdog
        | Kind::Unknown => None,
    }
}

/// A hang is over when it is reported: nothing ended.
fn hang(report: &Report) -> (Cause, String) {
    let lasted = report.resource.as_ref().and_then(|resource| resource.duration.as_deref());
    let lasted = lasted.map(|lasted| format!(" for {lasted}")).unwrap_or_default();
    (Cause::Hang, format!("the main thread did not answer{lasted}"))
}

fn out_of_memory(jetsam: &Jetsam) -> (Cause, String) {
    let Some(victim) = jetsam.victims.first() else {
        let cause = Cause::OutOfMemory { reason: None, victim: None };
        return (cause, "memory was short; the report names no process that was killed for it".to_owned());
    };
    let name = victim.name.as_deref().unwrap_or("a process");
    let reason = victim.reason.as_deref().unwrap_or("no reason given");
    let mut words = format!("{name} was killed for memory: {}", jetsam_reason(reason));
    if let Some(bytes) = victim.memory_bytes {
        words.push_str(&format!(", at {} MiB", bytes / (1024 * 1024)));
    }
    if jetsam.victims.len() > 1 {
        words.push_str(&format!(" (and {} more)", jetsam.victims.len() - 1));
    }
    (Cause::OutOfMemory { reason: victim.reason.clone(), victim: victim.name.clone() }, words)
}

/// What (namespace, code, watchdog event) say. `SIGNAL` says nothing that the exception doesn't say better.
fn terminated(report: &Report, termination: &Termination) -> Found {
    let namespace = termination.namespace.as_deref()?;
    let text = termination.all_text();
    match (namespace, termination.code) {
        ("SIGNAL", _) => None,
        (_, Some(0x8bad_f00d)) => Some(watchdog(&text, report)),
        ("WATCHDOG", _) => Some(silent_service(termination, &text)),
        ("DYLD", code) => Some(loader(code, termination, &text)),
        ("TCC", _) => {
            let key = word_with(&text, "UsageDescription");
            let what = key.as_deref().unwrap_or("the key that explains the use of private data");
            let words = format!("private data was used, but Info.plist lacks {what}");
            Some((Cause::PrivacyKeyMissing { key }, words))
        }
        ("JETSAM", code) => {
            let reason = code
                .and_then(crate::codes::jetsam_code)
                .map(str::to_owned)
                .or_else(|| termination.indicator.clone());
            let words =
                format!("killed for memory: {}", reason.as_deref().map_or("no reason given", jetsam_reason));
            Some((Cause::OutOfMemory { reason, victim: report.process.clone() }, words))
        }
        ("CODESIGNING", _) => {
            let said = termination.indicator.clone().unwrap_or_default();
            Some((Cause::CodeSigning, after_colon("the signature of the code was refused", &said)))
        }
        (_, Some(0xc000_10ff)) => Some((Cause::Thermal, named_code(namespace, termination))),
        (_, Some(code)) if known_code(code).is_some() => {
            let cause =
                Cause::Terminated { namespace: namespace.to_owned(), code_hex: termination.code_hex.clone() };
            Some((cause, named_code(namespace, termination)))
        }
        _ => None,
    }
}

/// Any namespace that nothing else explained.
fn namespace_alone(termination: &Termination) -> Found {
    let namespace = termination.namespace.as_deref()?;
    let cause = Cause::Terminated { namespace: namespace.to_owned(), code_hex: termination.code_hex.clone() };
    let said =
        termination.indicator.clone().or_else(|| termination.reasons.first().cloned()).unwrap_or_default();
    Some((cause, after_colon(&named_code(namespace, termination), &cut(&said))))
}

fn named_code(namespace: &str, termination: &Termination) -> String {
    let code = termination.code_hex.as_deref().unwrap_or("no code");
    match termination.code.and_then(known_code) {
        Some(meaning) => format!("{meaning} ({namespace} {code})"),
        None => format!("ended by {namespace}, {code}"),
    }
}

/// The event stands as `WatchdogEvent: scene-update`, the patience as `time allowance of 10.00 seconds`.
fn watchdog(text: &str, report: &Report) -> (Cause, String) {
    let said = report
        .application_info
        .iter()
        .flat_map(|info| &info.lines)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("\n");
    let both = [text, said.as_str()];
    let event = both.iter().find_map(|text| {
        let named = text.split_once("WatchdogEvent:").and_then(|(_, rest)| first_word(rest));
        named.or_else(|| text.split_once(" watchdog transgression").and_then(|(before, _)| last_word(before)))
    });
    let allowance = both
        .iter()
        .find_map(|text| text.split_once("time allowance of ").and_then(|(_, rest)| first_word(rest)));
    let doing = match event.as_deref() {
        Some("process-launch" | "scene-create") => "launching took too long",
        Some("process-exit") => "quitting took too long",
        Some("scene-update") => "updating its scene took too long",
        _ => "it did not answer in time",
    };
    let mut words = format!("watchdog: {doing}");
    if let Some(seconds) = &allowance {
        words.push_str(&format!(", {seconds} s were allowed"));
    }
    if let Some(event) = &event {
        words.push_str(&format!(" ({event})"));
    }
    (Cause::Watchdog { event, allowance_seconds: allowance }, words)
}

/// The watchdog of user space names the service as `checkin with service: SpringBoard (0 induced crashes) …`.
fn silent_service(termination: &Termination, text: &str) -> (Cause, String) {
    let service = after(text, "checkin with service: ").and_then(|rest| first_word(&rest));
    let mut words = match &service {
        Some(service) => format!("watchdog: the service {service} did not check in"),
        None => "watchdog: a service did not check in".to_owned(),
    };
    if let Some(said) = &termination.indicator {
        words.push_str(&format!(" ({})", cut(said)));
    }
    (Cause::Watchdog { event: Some(SERVICE_CHECKIN.to_owned()), allowance_seconds: None }, words)
}

/// Code 1 is a missing library and code 4 a missing symbol; the name stands in the reasons.
fn loader(code: Option<u64>, termination: &Termination, text: &str) -> (Cause, String) {
    let indicator = termination.indicator.as_deref().unwrap_or_default();
    if code == Some(1) || indicator == "Library missing" {
        let library = after(text, "Library not loaded: ")
            .or_else(|| between(text, "could not load inserted library '", "'"));
        let words = after_colon("a library is missing", library.as_deref().unwrap_or_default());
        return (Cause::LibraryMissing { library }, words);
    }
    if code == Some(4) || indicator == "Symbol missing" {
        let symbol = after(text, "Symbol not found: ");
        let words = after_colon("a symbol is missing", symbol.as_deref().unwrap_or_default());
        return (Cause::SymbolMissing { symbol }, words);
    }
    let said = if text.is_empty() { indicator.to_owned() } else { cut(text) };
    (Cause::LoaderFailed, after_colon("the loader gave up", &said))
}

/// Up to iOS 9 the code stood where the exception codes stand, without a namespace.
fn legacy_code(report: &Report) -> Found {
    let codes = report.exception.as_ref()?.codes.as_deref()?;
    let code = crate::lines::hex(codes.split([',', ' ']).next()?)?;
    let meaning = known_code(code)?;
    if code == 0x8bad_f00d {
        return Some(watchdog("", report));
    }
    let code_hex = Some(format!("0x{code:x}"));
    let words = format!("{meaning} (0x{code:x})");
    Some((Cause::Terminated { namespace: "SPRINGBOARD".to_owned(), code_hex }, words))
}

fn uncaught(report: &Report) -> Found {
    let exception = report.uncaught.as_ref()?;
    let name = exception.name.as_deref().unwrap_or("Objective-C exception without a name");
    let words =
        after_colon(&format!("uncaught {name}"), &cut(exception.reason.as_deref().unwrap_or_default()));
    Some((Cause::ObjectiveCException { name: exception.name.clone() }, words))
}

/// The uncaught exception that libraries tell of, or that a backtrace of its own betrays.
pub(crate) fn find_uncaught(report: &Report) -> Option<UncaughtException> {
    let told = report.application_info.iter().flat_map(|info| &info.lines).find_map(|line| {
        let (_, rest) = line.split_once("uncaught exception '")?;
        let (name, rest) = rest.split_once('\'')?;
        let reason = rest.split_once("reason: '").map(|(_, reason)| reason);
        // The reason may itself have quotes, so only the closing one is taken away.
        let reason = reason.map(|reason| reason.trim_end().trim_end_matches('\'').to_owned());
        Some(UncaughtException { name: Some(name.to_owned()), reason })
    });
    let betrayed = || (!report.last_exception_backtrace.is_empty()).then(UncaughtException::default);
    told.or_else(betrayed)
}

fn resource(report: &Report) -> Found {
    if let Some(resource) = &report.resource
        && resource.event.is_some()
    {
        let action = resource.action.as_deref().unwrap_or("none");
        let killed = !action.eq_ignore_ascii_case("none");
        let verdict = if killed { "killed for it" } else { "a warning, it went on" };
        let event = resource.event.as_deref().unwrap_or_default();
        let words = format!(
            "{}; {verdict}",
            after_colon(&format!("too much of {event}"), resource.used.as_deref().unwrap_or_default())
        );
        return Some((Cause::ResourceLimit { resource: resource.event.clone(), killed }, words));
    }
    let exception = report.exception.as_ref()?;
    if exception.exception_type.as_deref() != Some("EXC_RESOURCE") {
        return None;
    }
    let what = exception.subtype.as_deref().unwrap_or("resource");
    let killed = report.termination.is_some() || exception.signal.is_some();
    let words = after_colon(&format!("too much of {what}"), exception.message.as_deref().unwrap_or_default());
    Some((Cause::ResourceLimit { resource: Some(what.to_owned()), killed }, words))
}

fn exception(report: &Report) -> Found {
    let exception = report.exception.as_ref()?;
    let named = match (&exception.exception_type, &exception.signal) {
        (Some(name), Some(signal)) => format!("{name} ({signal})"),
        (Some(name), None) => name.clone(),
        (None, Some(signal)) => signal.clone(),
        (None, None) => return None,
    };
    let said = said(report);
    let bad_access = named.starts_with("EXC_BAD_ACCESS") || named == "SIGSEGV" || named == "SIGBUS";
    if bad_access {
        let address = exception.subtype.as_deref().or(exception.codes.as_deref()).and_then(address_in);
        let hint = access_hint(report, address);
        let place = address.map_or_else(String::new, |address| format!(" at 0x{address:x}"));
        return Some((Cause::BadAccess { address }, format!("bad memory access{place}{hint}, {named}")));
    }
    if let Some(said) = said {
        return Some((
            Cause::RuntimeFailure { exception: named.clone() },
            format!("{}, {named}", cut(&said)),
        ));
    }
    // `EXC_CRASH` only says that the process was ended; whoever did it says more.
    if named.starts_with("EXC_CRASH")
        && let Some(termination) =
            report.termination.as_ref().filter(|it| it.namespace.as_deref() != Some("SIGNAL"))
        && let Some(found) = namespace_alone(termination)
    {
        return Some(found);
    }
    let more = exception.message.as_deref().or(exception.subtype.as_deref()).unwrap_or_default();
    let words = match named.split_once(" (").map_or(named.as_str(), |(name, _)| name) {
        "EXC_BREAKPOINT" => format!("stopped by a trap (a Swift runtime check, an assertion), {named}"),
        "EXC_CRASH" if named.contains("SIGABRT") => format!("the process aborted itself, {named}"),
        "EXC_CRASH" if named.contains("SIGKILL") => format!("killed, {named}"),
        _ => named.clone(),
    };
    Some((Cause::Exception { exception: named }, after_colon(&words, more)))
}

/// What a library said that tells more than `abort() called`.
fn said(report: &Report) -> Option<String> {
    const MARKS: [&str; 7] = [
        "Fatal error",
        "BUG IN ",
        "Assertion failed",
        "terminating ",
        "Precondition failed",
        "fatal error",
        "corruption",
    ];
    let lines = report.application_info.iter().flat_map(|info| &info.lines);
    lines
        .flat_map(|text| text.lines())
        .find(|line| MARKS.iter().any(|mark| line.contains(mark)))
        .map(|line| line.trim().to_owned())
}

fn access_hint(report: &Report, address: Option<u64>) -> &'static str {
    let region = report.vm_region_info.as_deref().unwrap_or_default();
    let in_guard = region.lines().any(|line| {
        line.trim_start().starts_with("--->") && line.to_ascii_lowercase().contains("stack guard")
    });
    match address {
        _ if in_guard => " (stack overflow)",
        Some(address) if address < NULL_PAGE => " (null pointer)",
        _ => "",
    }
}

/// `KERN_INVALID_ADDRESS at 0x0000000000000010`
fn address_in(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(" at 0x")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_hexdigit()).next()?;
    u64::from_str_radix(digits, 16).ok()
}

fn after_colon(head: &str, tail: &str) -> String {
    if tail.is_empty() { head.to_owned() } else { format!("{head}: {tail}") }
}

fn cut(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(SAID_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

fn first_word(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?.trim_end_matches([',', '|', ';']);
    (!word.is_empty()).then(|| word.to_owned())
}

fn last_word(text: &str) -> Option<String> {
    let word = text.rsplit([' ', ':', '\n']).next()?;
    (!word.is_empty()).then(|| word.to_owned())
}

/// The word of a text that has this in it, without quotes and punctuation.
fn word_with(text: &str, part: &str) -> Option<String> {
    let word = text
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .find(|word| word.contains(part))?;
    Some(word.to_owned())
}

/// What follows on the same line.
fn after(text: &str, mark: &str) -> Option<String> {
    let (_, rest) = text.split_once(mark)?;
    let rest = rest.lines().next()?.trim();
    (!rest.is_empty()).then(|| rest.to_owned())
}

fn between(text: &str, mark: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(mark)?;
    rest.split_once(end).map(|(found, _)| found.to_owned())
}
