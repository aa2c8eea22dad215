//! JSON bodies about the whole phone: memory shortages (298), panics (210), forced resets (151), stackshots (288, 509),
//! services that did not check in (409, whose stackshot lies one level deeper).
//!
//! Of the hundreds of processes in a stackshot only the accused or frontmost one's threads are read.

use crate::body::filled;
use crate::container::Parts;
use crate::images::plain_uuid;
use crate::kind::Kind;
use crate::report::{Frame, Image, Jetsam, JetsamProcess, Report, Thread};
use crate::tape::Node;
use std::borrow::Cow;

/// Lines of a panic that say what happened; the rest are registers and zones.
const PANIC_LINES: usize = 1;

/// Reads what the body has of these; does nothing for a body about one process.
pub(crate) fn read_system(report: &mut Report, parts: &Parts<'_>) {
    if let Some(list) = parts.body("processes").filter(|node| node.is_list()) {
        let page_size =
            parts.body("memoryStatus").and_then(|status| status.get("pageSize")).and_then(Node::u64);
        let largest = filled(parts.body("largestProcess"));
        report.jetsam = Some(jetsam(list, page_size, largest));
    }
    let panic = filled(parts.body("panicString"));
    let reset = || if report.kind == Kind::ForceReset { filled(parts.body("string")) } else { None };
    let update = || {
        let error = filled(parts.header("restore_error")).map(|error| format!("error {error}"));
        let said: Vec<String> = [filled(parts.header("restore_type")), error].into_iter().flatten().collect();
        Some(said.join(", ")).filter(|said| !said.is_empty())
    };
    let reason = || filled(parts.body("reason")).or_else(update);
    report.system_message =
        panic.as_deref().map(panic_sign).or_else(|| reset().as_deref().map(panic_sign)).or_else(reason);
    let stackshot = parts.body("stackshot");
    let table = |name: &str| parts.body(name).or_else(|| stackshot?.get(name));
    if let Some(processes) = table("processByPid") {
        let frontmost = parts.body("frontmostPids").and_then(|list| list.items().next()).and_then(Node::u64);
        read_process_of_stackshot(report, frontmost, processes, table("binaryImages"));
    }
}

fn jetsam(processes: Node<'_>, page_size: Option<u64>, largest: Option<String>) -> Jetsam {
    let bytes = |node: Node<'_>, name: &str| node.get(name).and_then(Node::u64)?.checked_mul(page_size?);
    let process = |node: Node<'_>| JetsamProcess {
        name: filled(node.get("name")),
        pid: node.get("pid").and_then(Node::u64),
        uuid: filled(node.get("uuid")).and_then(|uuid| plain_uuid(&uuid)),
        reason: filled(node.get("reason")),
        memory_bytes: bytes(node, "rpages"),
        memory_bytes_max: bytes(node, "lifetimeMax"),
        states: node
            .get("states")
            .map(|list| list.items().filter_map(Node::words).map(Cow::into_owned).collect())
            .unwrap_or_default(),
    };
    let in_front = |node: &Node<'_>| {
        node.get("states").is_some_and(|states| states.items().any(|state| state.str() == Some("frontmost")))
    };
    Jetsam {
        page_size,
        largest,
        process_count: processes.items().count(),
        victims: processes.items().filter(|node| filled(node.get("reason")).is_some()).map(process).collect(),
        frontmost: processes.items().filter(in_front).map(process).collect(),
    }
}

/// The sentence of a panic: its first line without `panic(cpu 4 caller 0xfffffff0148c0c90): `.
pub(crate) fn panic_sign(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(PANIC_LINES).collect();
    let line = lines.join(" ");
    let said = match line.strip_prefix("panic(").and_then(|rest| rest.split_once("): ")) {
        Some((_, said)) => said,
        None => &line,
    };
    said.trim().to_owned()
}

/// The process that a stackshot accuses, by its `pid` or, when that is -1, by its name; else the frontmost one.
fn read_process_of_stackshot(
    report: &mut Report,
    frontmost: Option<u64>,
    processes: Node<'_>,
    images: Option<Node<'_>>,
) {
    let by_pid = |pid: u64| processes.get(&pid.to_string());
    let by_name = || {
        let name = report.process.as_deref()?;
        let is_named = |node: &Node<'_>| node.get("procname").and_then(Node::str) == Some(name);
        processes.members().map(|(_, process)| process).find(is_named)
    };
    let accused = match report.pid {
        Some(pid) => by_pid(pid).or_else(by_name),
        None => by_name().or_else(|| frontmost.and_then(by_pid)),
    };
    let Some(process) = accused else { return };
    let images: Vec<Image> = images.map(|list| list.items().map(image).collect()).unwrap_or_default();
    if report.pid.is_some() {
        report.process = filled(process.get("procname"));
    }
    let threads = process.get("threadById").into_iter().flat_map(Node::members);
    report.threads = (0..)
        .zip(threads)
        .map(|(index, (_, node))| Thread {
            index,
            name: filled(node.get("name")),
            queue: filled(node.get("dispatch_queue_label")),
            triggered: false,
            frames: ["kernelFrames", "userFrames"]
                .iter()
                .filter_map(|name| node.get(name))
                .flat_map(Node::items)
                .map(|pair| frame(pair, &images))
                .collect(),
        })
        .collect();
    report.images = images;
}

/// `[uuid, base, sourceLetter]`.
fn image(node: Node<'_>) -> Image {
    let item = |position: usize| node.items().nth(position);
    Image {
        uuid: filled(item(0)).and_then(|uuid| plain_uuid(&uuid)).map(Into::into),
        base: item(1).and_then(Node::u64),
        source: filled(item(2)),
        ..Image::default()
    }
}

/// `[imageIndex, offset]`, sometimes with more after it, the offset sometimes as text.
fn frame(node: Node<'_>, images: &[Image]) -> Frame {
    let position = node.items().next().and_then(Node::u64).and_then(|index| usize::try_from(index).ok());
    let image = position.and_then(|position| images.get(position));
    let offset = node.items().nth(1).and_then(Node::u64);
    Frame {
        image_uuid: image.and_then(|image| image.uuid.clone()),
        offset,
        address: offset
            .zip(image.and_then(|image| image.base))
            .and_then(|(offset, base)| base.checked_add(offset)),
        ..Frame::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_of_a_panic_is_its_sentence() {
        let table = [
            (
                "panic(cpu 4 caller 0xfffffff0148c0c90): \"i2c3 timed out\" @I2C.cpp:430\nDebugger",
                "\"i2c3 timed out\" @I2C.cpp:430",
            ),
            ("panic(cpu 1 caller 0xfffffff02e156784): btn_rst\nDebugger message: panic", "btn_rst"),
            (
                "userspace watchdog timeout: no successful checkins from backboardd\nx",
                "userspace watchdog timeout: no successful checkins from backboardd",
            ),
            ("", ""),
        ];
        for (text, sign) in table {
            assert_eq!(panic_sign(text), sign);
        }
    }
}
