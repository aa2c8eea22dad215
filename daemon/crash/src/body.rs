//! JSON bodies about one process: crashes, hangs, faults and resource exceptions of iOS 15 and later, and every header.
//!
//! Whatever key a body has is read, whatever its `bug_type` says: these kinds share one layout.

use crate::container::{Container, Parts};
use crate::images::{mark_app_images, plain_uuid, shared_uuid};
use crate::kind::Kind;
use crate::moment::Moment;
use crate::report::{
    ApplicationInfo, Exception, Frame, Image, Report, Termination, Thread, UncaughtException,
};
use crate::tape::{Items, Node};
use std::borrow::Cow;
use std::sync::Arc;

/// Reads the header: present in every container but the legacy text.
pub(crate) fn read_header(report: &mut Report, parts: &Parts<'_>) {
    report.bug_type = parts
        .header("bug_type")
        .or_else(|| parts.body("bug_type"))
        .and_then(Node::words)
        .map(Cow::into_owned);
    report.kind = report.bug_type.as_deref().map_or(Kind::Unknown, Kind::of_bug_type);
    let text = |names: &[&str]| names.iter().find_map(|name| filled(parts.header(name)));
    report.process = text(&["app_name", "name"]);
    report.bundle_id = text(&["bundleID"]);
    report.app_version = text(&["app_version"]);
    report.app_build = text(&["build_version"]);
    report.os_version = text(&["os_version"]);
    report.incident_id = text(&["incident_id"]);
    report.slice_uuid = text(&["slice_uuid"]).and_then(|uuid| plain_uuid(&uuid));
    report.written_at = text(&["timestamp"]).and_then(|time| Moment::parse(&time));
}

/// Reads the body; what the header said stays unless the body knows better.
pub(crate) fn read_body(report: &mut Report, parts: &Parts<'_>) {
    let text = |name: &str| filled(parts.body(name));
    let moment = |name: &str| parts.body(name).and_then(Node::str).and_then(Moment::parse);
    if report.process.is_none() {
        report.process = text("procName");
    }
    set(&mut report.process_path, text("procPath"));
    set(&mut report.device_model, text("modelCode").or_else(|| text("product")));
    if report.incident_id.is_none() {
        report.incident_id = text("incident");
    }
    report.pid = parts.body("pid").and_then(Node::u64);
    report.captured_at = moment("captureTime").or_else(|| moment("date"));
    report.launched_at = moment("procLaunch");
    report.role = text("procRole");
    report.parent_process = text("parentProc");
    report.kernel_triage = text("ktriageinfo");
    report.notes = parts.body("reportNotes").map(sentences_of).unwrap_or_default();
    if let Some(bundle) = parts.body("bundleInfo") {
        set(&mut report.bundle_id, filled(bundle.get("CFBundleIdentifier")));
        set(&mut report.app_version, filled(bundle.get("CFBundleShortVersionString")));
        set(&mut report.app_build, filled(bundle.get("CFBundleVersion")));
    }
    if report.os_version.is_none() {
        report.os_version = parts.body("osVersion").and_then(os_version).or_else(|| text("build"));
    }
    report.exception = parts.body("exception").and_then(exception);
    report.termination = parts.body("termination").and_then(termination);
    report.uncaught = parts.body("exceptionReason").and_then(uncaught);
    report.application_info = parts.body("asi").map(application_info).unwrap_or_default();
    // The same text twice in some releases, under two spellings; hand-made files have a third.
    report.vm_region_info =
        text("vmRegionInfo").or_else(|| text("vmregioninfo")).or_else(|| text("vmregion_info"));
    read_stacks(report, parts);
    let headless = matches!(report.container, Container::BodyOnly | Container::Fragment);
    if headless && report.kind == Kind::Unknown && report.exception.is_some() {
        report.kind = Kind::Crash;
    }
}

/// Text that says something.
pub(crate) fn filled(node: Option<Node<'_>>) -> Option<String> {
    filled_words(node).map(Cow::into_owned)
}

fn filled_words(node: Option<Node<'_>>) -> Option<Cow<'_, str>> {
    node.and_then(Node::words).filter(|text| !text.is_empty())
}

fn set<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

/// `{"train": "iPhone OS 18.5", "build": "22F76"}`, or already the text that the header uses.
fn os_version(node: Node<'_>) -> Option<String> {
    match (filled(node.get("train")), filled(node.get("build"))) {
        (Some(train), Some(build)) => Some(format!("{train} ({build})")),
        (Some(train), None) => Some(train),
        (None, _) => filled(Some(node)),
    }
}

/// The texts of a list.
fn sentences_of(list: Node<'_>) -> Vec<String> {
    list.items().filter_map(Node::words).map(Cow::into_owned).collect()
}

fn exception(node: Node<'_>) -> Option<Exception> {
    let violations = node
        .get("violations")
        .map(sentences_of)
        .filter(|list| !list.is_empty())
        .map(|list| format!("violations: {}", list.join(", ")));
    let found = Exception {
        exception_type: filled(node.get("type")),
        signal: filled(node.get("signal")),
        codes: filled(node.get("codes")),
        raw_codes: node
            .get("rawCodes")
            .map(|list| list.items().filter_map(Node::u64).collect())
            .unwrap_or_default(),
        subtype: filled(node.get("subtype")),
        message: filled(node.get("message")).or(violations),
    };
    (found != Exception::default()).then_some(found)
}

fn termination(node: Node<'_>) -> Option<Termination> {
    let sentences = |name: &str| -> Vec<String> {
        match node.get(name) {
            Some(list) if list.is_list() => sentences_of(list),
            other => filled(other).into_iter().collect(),
        }
    };
    let code = node.get("code").and_then(Node::u64);
    let found = Termination {
        namespace: filled(node.get("namespace")),
        code,
        code_hex: code.map(|code| format!("0x{code:x}")),
        indicator: filled(node.get("indicator")),
        reasons: sentences("reasons"),
        details: sentences("details"),
        by_process: filled(node.get("byProc")),
        by_pid: node.get("byPid").and_then(Node::u64),
        flags: node.get("flags").and_then(Node::u64),
    };
    (found != Termination::default()).then_some(found)
}

/// Newer releases name the uncaught exception in a member of its own.
fn uncaught(node: Node<'_>) -> Option<UncaughtException> {
    let reason = filled(node.get("composed_message")).or_else(|| filled(node.get("reason")));
    let found = UncaughtException { name: filled(node.get("name")), reason };
    (found != UncaughtException::default()).then_some(found)
}

/// `{image: [sentences]}`; a list or a single sentence is taken as well.
fn application_info(node: Node<'_>) -> Vec<ApplicationInfo> {
    let lines = |node: Node<'_>| -> Vec<String> {
        if node.is_list() {
            sentences_of(node)
        } else {
            node.words().map(Cow::into_owned).into_iter().collect()
        }
    };
    if node.is_object() {
        let of_images = node
            .members()
            .map(|(image, said)| ApplicationInfo { image: Some(image.to_owned()), lines: lines(said) });
        return of_images.filter(|info| !info.lines.is_empty()).collect();
    }
    let lines = lines(node);
    if lines.is_empty() { Vec::new() } else { vec![ApplicationInfo { image: None, lines }] }
}

fn read_stacks(report: &mut Report, parts: &Parts<'_>) {
    let images = parts.body("usedImages").or_else(|| parts.body("binaryImages"));
    report.images = images.map(|list| collect(list.items(), image)).unwrap_or_default();
    let in_app = mark_app_images(report);
    let stack = |frames: Option<Node<'_>>| -> Vec<Frame> {
        frames
            .map(|list| collect(list.items(), |node| frame(node, &report.images, &in_app)))
            .unwrap_or_default()
    };
    let threads = parts.body("threads").map(Node::items).unwrap_or_default();
    let threads: Vec<Thread> =
        (0..).zip(threads).map(|(index, node)| thread(index, node, stack(node.get("frames")))).collect();
    let last_exception = stack(parts.body("lastExceptionBacktrace"));
    let blamed = parts
        .body("faultingThread")
        .or_else(|| parts.body("exception").and_then(|exception| exception.get("crashed_thread")))
        .and_then(Node::u64)
        .and_then(|index| u32::try_from(index).ok());
    let triggered = || threads.iter().find(|thread| thread.triggered).map(|thread| thread.index);
    // An only thread is to blame for what happened, whether or not somebody said so.
    let only = || (threads.len() == 1 && report.exception.is_some()).then_some(0);
    report.crashed_thread = blamed.or_else(triggered).or_else(only);
    report.threads = threads;
    report.last_exception_backtrace = last_exception;
}

fn thread(index: u32, node: Node<'_>, frames: Vec<Frame>) -> Thread {
    Thread {
        index,
        name: filled(node.get("name")),
        queue: filled(node.get("queue")),
        triggered: node.get("triggered").is_some_and(Node::truth),
        frames,
    }
}

fn frame(node: Node<'_>, images: &[Image], in_app: &[bool]) -> Frame {
    let mut found = Frame::default();
    // Hundreds of frames are read this way, so each member is looked at once.
    for (key, value) in node.members() {
        match key {
            "imageIndex" => {
                let position = value.u64().and_then(|index| usize::try_from(index).ok());
                let Some(position) = position else { continue };
                if let Some(image) = images.get(position) {
                    found.image.clone_from(&image.name);
                    found.image_uuid.clone_from(&image.uuid);
                    // Until the offset is known this is the base.
                    found.address = image.base;
                }
                found.in_app = in_app.get(position).copied().unwrap_or(false);
            }
            "imageOffset" => found.offset = value.u64(),
            "symbol" => found.symbol = filled(Some(value)),
            "symbolLocation" => found.symbol_offset = value.u64(),
            "sourceFile" => found.file = filled(Some(value)),
            "sourceLine" => found.line = value.u64().and_then(|line| u32::try_from(line).ok()),
            "inline" => found.inlined = value.truth(),
            _ => {}
        }
    }
    if found.symbol_offset.is_none() {
        split_off_offset(&mut found);
    }
    found.address = found.address.zip(found.offset).and_then(|(base, offset)| base.checked_add(offset));
    found
}

/// What is made of a list's items, in room for just as many.
fn collect<'t, T>(items: Items<'t>, make: impl FnMut(Node<'t>) -> T) -> Vec<T> {
    // Frames are large, and moving them again and again while a stack grows costs as much as reading them.
    let mut made = Vec::with_capacity(items.count());
    made.extend(items.map(make));
    made
}

/// Some producers write `symbol + 32` where the symbol alone belongs.
fn split_off_offset(frame: &mut Frame) {
    let Some(symbol) = &mut frame.symbol else { return };
    let offset =
        symbol.rsplit_once(" + ").and_then(|(name, offset)| Some((name.len(), offset.parse().ok()?)));
    if let Some((end, offset)) = offset {
        symbol.truncate(end);
        frame.symbol_offset = Some(offset);
    }
}

fn image(node: Node<'_>) -> Image {
    let mut found = Image::default();
    for (key, value) in node.members() {
        match key {
            "path" => found.path = filled(Some(value)),
            "name" => found.name = filled_words(Some(value)).map(Arc::from),
            "uuid" => found.uuid = filled_words(Some(value)).and_then(|uuid| shared_uuid(&uuid)),
            "base" => found.base = value.u64(),
            "size" => found.size = value.u64(),
            "arch" => found.arch = filled(Some(value)),
            "source" => found.source = filled(Some(value)),
            _ => {}
        }
    }
    if found.name.is_none() {
        found.name = found.path.as_deref().and_then(|path| path.rsplit('/').next()).map(Arc::from);
    }
    found
}
