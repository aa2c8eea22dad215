//! Threads and frames.

use super::convert::Form;
use crate::report::{Frame, Report, Thread};
use crate::summary::name_of;
use std::fmt::{Result, Write};

pub(super) fn write_threads(page: &mut String, report: &Report, form: Form) -> Result {
    if report.threads.is_empty() {
        return writeln!(page, "Backtrace not available");
    }
    for (number, thread) in report.threads.iter().enumerate() {
        if number > 0 {
            page.push('\n');
        }
        write_title(page, thread, report.crashed_thread == Some(thread.index), form)?;
        write_frames(page, &thread.frames)?;
    }
    Ok(())
}

fn write_title(page: &mut String, thread: &Thread, is_crashed: bool, form: Form) -> Result {
    let index = thread.index;
    let crashed = if is_crashed { " Crashed" } else { "" };
    let name = thread.name.as_deref().unwrap_or_default();
    let queue = thread.queue.as_ref().map(|queue| format!(" Dispatch queue: {queue}")).unwrap_or_default();
    let has_title = thread.name.is_some() || thread.queue.is_some();
    match form {
        Form::Phone => {
            if has_title {
                writeln!(page, "Thread {index} name:  {name}{queue}")?;
            }
            writeln!(page, "Thread {index}{crashed}:")
        }
        Form::Mac if has_title => writeln!(page, "Thread {index}{crashed}:: {name}{queue}"),
        Form::Mac => writeln!(page, "Thread {index}{crashed}:"),
    }
}

pub(super) fn write_frames(page: &mut String, frames: &[Frame]) -> Result {
    for (number, frame) in frames.iter().enumerate() {
        let image = frame.image.as_deref().unwrap_or("???");
        let address = format!("0x{:x}", frame.address.unwrap_or_default());
        write!(page, "{number:<4}{image:<30}\t{address:>18} ")?;
        write_place(page, frame)?;
    }
    Ok(())
}

/// `symbol + 12 (File.swift:45)`, or base and offset where nobody knows the name.
fn write_place(page: &mut String, frame: &Frame) -> Result {
    let Some(symbol) = &frame.symbol else {
        let base = frame.address.zip(frame.offset).and_then(|(address, offset)| address.checked_sub(offset));
        return match (base, frame.offset) {
            (Some(base), Some(offset)) if frame.image.is_some() => writeln!(page, "0x{base:x} + {offset}"),
            _ => writeln!(page, "???"),
        };
    };
    let offset = frame.symbol_offset.map(|offset| format!(" + {offset}")).unwrap_or_default();
    let inlined = if frame.inlined { " [inlined]" } else { "" };
    let source = match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!(" ({}:{line})", name_of(file)),
        (Some(file), None) => format!(" ({})", name_of(file)),
        (None, _) => String::new(),
    };
    writeln!(page, "{symbol}{inlined}{offset}{source}")
}
