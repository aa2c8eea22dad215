//! The class of an end: what is asked first, because a killed process was merely somewhere.
//!
//! What ended the process is decided in [`crate::EndedBy`].

use super::normalise::{normalise, normalise_words};
use crate::ended::Cause;
use crate::kind::Kind;
use crate::report::Report;

/// Whether the place in the code belongs to what ended the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    /// The stack shows the defect.
    Telling,
    /// The process was somewhere else by then, or there is no stack.
    Silent,
}

/// The class, and whether the stack belongs to it; none when nothing ended or nothing is known.
pub(crate) fn class(report: &Report) -> Option<(String, Stack)> {
    let (words, stack) = match &report.ended_by.cause {
        Cause::Watchdog { event, .. } => (with("watchdog", event.as_deref()), Stack::Telling),
        Cause::Terminated { namespace, code_hex } => (with(namespace, code_hex.as_deref()), Stack::Silent),
        Cause::OutOfMemory { reason, .. } => (with("jetsam", reason.as_deref()), Stack::Silent),
        Cause::LibraryMissing { library } => {
            let library = library.as_deref().and_then(|path| path.rsplit('/').next());
            (with("library missing", library), Stack::Silent)
        }
        Cause::SymbolMissing { symbol } => {
            let symbol = symbol.as_deref().map(normalise);
            (with("symbol missing", symbol.as_deref()), Stack::Silent)
        }
        Cause::LoaderFailed => ("loader failed".to_owned(), Stack::Silent),
        Cause::PrivacyKeyMissing { key } => (with("privacy key missing", key.as_deref()), Stack::Silent),
        Cause::CodeSigning => ("code signing".to_owned(), Stack::Silent),
        Cause::Thermal => ("thermal".to_owned(), Stack::Silent),
        Cause::ObjectiveCException { name } => (with("uncaught", name.as_deref()), Stack::Telling),
        Cause::RuntimeFailure { exception } | Cause::Exception { exception } => {
            (signal_class(exception).to_owned(), Stack::Telling)
        }
        Cause::BadAccess { .. } => ("bad access".to_owned(), Stack::Telling),
        Cause::ResourceLimit { resource, .. } => (with("too much of", resource.as_deref()), Stack::Telling),
        Cause::Hang => ("hang".to_owned(), Stack::Telling),
        Cause::KernelPanic => (with("panic", sign(report).as_deref()), Stack::Silent),
        Cause::ForcedReset => (with("forced reset", sign(report).as_deref()), Stack::Silent),
        Cause::NothingEnded => return None,
        Cause::Unknown if report.main_stack().is_empty() => return None,
        Cause::Unknown => ("unknown".to_owned(), Stack::Telling),
    };
    // Told of without having been killed for it, which is another thing than a crash at the same place.
    Some(if report.kind == Kind::UserFault { (format!("fault: {words}"), stack) } else { (words, stack) })
}

fn with(what: &str, which: Option<&str>) -> String {
    match which {
        Some(which) => format!("{what} {}", normalise_words_but_codes(which)),
        None => what.to_owned(),
    }
}

/// A code such as `0xdead10cc` is a name and stays.
fn normalise_words_but_codes(text: &str) -> String {
    if text.starts_with("0x") { text.to_owned() } else { normalise_words(text) }
}

/// One defect shows as another signal on another processor: a Swift check traps by `EXC_BREAKPOINT` on one and by
/// `EXC_BAD_INSTRUCTION` on the other.
fn signal_class(exception: &str) -> &str {
    let (name, signal) = exception.split_once(" (").unwrap_or((exception, ""));
    match (name, signal.trim_end_matches(')')) {
        ("EXC_BREAKPOINT" | "EXC_BAD_INSTRUCTION" | "SIGTRAP" | "SIGILL", _) | (_, "SIGTRAP" | "SIGILL") => {
            "trap"
        }
        ("SIGABRT", _) | ("EXC_CRASH", "SIGABRT") => "abort",
        ("SIGSEGV" | "SIGBUS", _) | ("EXC_CRASH", "SIGSEGV" | "SIGBUS") => "bad access",
        (name, _) => name,
    }
}

fn sign(report: &Report) -> Option<String> {
    report.system_message.as_deref().map(normalise_words)
}
