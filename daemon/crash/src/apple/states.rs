//! Registers of the crashed thread and the instructions around the crash.

use super::convert::Source;
use crate::tape::Node;
use std::fmt::{Result, Write};

/// Instruction bytes in a row; half of them stand before the dash.
const ROW_BYTES: usize = 16;

pub(super) fn write_state(page: &mut String, source: &Source<'_>) -> Result {
    let crashed = source.report.crashed_thread;
    let position = source.report.threads.iter().position(|thread| Some(thread.index) == crashed);
    let thread = position.zip(source.node(&["threads"])).and_then(|(at, threads)| threads.items().nth(at));
    // Newer releases keep the state beside the threads.
    let state = thread.and_then(|thread| thread.get("threadState")).or_else(|| source.node(&["threadState"]));
    let (Some(state), Some(index)) = (state, crashed) else {
        return writeln!(page, "No thread state (register information) available");
    };
    let flavor = state.get("flavor").and_then(Node::str).unwrap_or_default();
    if flavor.starts_with("x86") {
        writeln!(page, "Thread {index} crashed with X86 Thread State (64-bit):")?;
        write_x86(page, state)?;
    } else {
        writeln!(page, "Thread {index} crashed with ARM Thread State (64-bit):")?;
        write_arm(page, state)?;
    }
    let stream = thread.and_then(|thread| thread.get("instructionState")?.get("instructionStream"));
    match stream {
        Some(stream) => write_instructions(page, index, stream),
        None => Ok(()),
    }
}

fn value(state: Node<'_>, name: &str) -> Option<u64> {
    state.get(name)?.get("value")?.u64()
}

fn write_arm(page: &mut String, state: Node<'_>) -> Result {
    let numbered = state.get("x").map(Node::items).unwrap_or_default();
    let numbered = numbered.enumerate().filter_map(|(number, register)| {
        Some(cell(&format!("x{number}"), register.get("value").and_then(Node::u64)?))
    });
    let numbered: Vec<String> = numbered.collect();
    let (full_rows, rest) = numbered.split_at(numbered.len() / 4 * 4);
    let mut rows: Vec<Vec<String>> = full_rows.chunks(4).map(<[String]>::to_vec).collect();
    let named = |names: &[&str]| -> Vec<String> {
        names.iter().filter_map(|name| Some(cell(name, value(state, name)?))).collect()
    };
    rows.push([rest.to_vec(), named(&["fp", "lr"])].concat());
    let flags = value(state, "cpsr").map(|flags| format!("{:>5}: 0x{flags:08x}", "cpsr"));
    rows.push(named(&["sp", "pc"]).into_iter().chain(flags).collect());
    let syndrome = value(state, "esr").map(|syndrome| {
        let description = state.get("esr").and_then(|esr| esr.get("description")).and_then(Node::str);
        format!("{:>5}: 0x{syndrome:08x} {}", "esr", description.unwrap_or_default())
    });
    rows.push(named(&["far"]).into_iter().chain(syndrome).collect());
    for row in rows.iter().filter(|row| !row.is_empty()) {
        writeln!(page, " {}", row.concat())?;
    }
    Ok(())
}

fn cell(name: &str, value: u64) -> String {
    format!("{name:>5}: 0x{value:016x}")
}

fn write_x86(page: &mut String, state: Node<'_>) -> Result {
    const NAMES: [&str; 19] = [
        "rax", "rbx", "rcx", "rdx", "rdi", "rsi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15", "rip", "rflags", "cr2",
    ];
    let cells: Vec<String> = NAMES
        .iter()
        .filter_map(|name| {
            let value = value(state, name)?;
            let shown = if *name == "rflags" { "rfl" } else { name };
            Some(cell(shown, value))
        })
        .collect();
    for row in cells.chunks(4) {
        writeln!(page, "{}", row.concat())?;
    }
    writeln!(page)?;
    let number = |name: &str| value(state, name).unwrap_or_default();
    writeln!(page, "Logical CPU:     {}", number("cpu"))?;
    // What the trap was stands with the error that it left.
    let description = state.get("trap").and_then(|trap| trap.get("description")).and_then(Node::str);
    writeln!(page, "Error Code:      0x{:08x} {}", number("err"), description.unwrap_or_default())?;
    writeln!(page, "Trap Number:     {}", number("trap"))
}

/// Bytes as figures and as letters; the one that was to be executed stands in brackets, its row is marked.
fn write_instructions(page: &mut String, index: u32, stream: Node<'_>) -> Result {
    let bytes: Vec<u64> =
        stream.get("bytes").map(Node::items).unwrap_or_default().filter_map(Node::u64).collect();
    let bytes: Vec<u8> = bytes.into_iter().filter_map(|byte| u8::try_from(byte).ok()).collect();
    if bytes.is_empty() {
        return Ok(());
    }
    let place = stream.get("offset").and_then(Node::u64).and_then(|offset| usize::try_from(offset).ok());
    writeln!(page, "\nThread {index} instruction stream:")?;
    for (row, line) in bytes.chunks(ROW_BYTES).enumerate() {
        let mut figures = String::from(" ");
        let mut closed = false;
        for (column, byte) in line.iter().enumerate() {
            let is_place = place == Some(row * ROW_BYTES + column);
            let before = match column {
                _ if is_place => "[",
                _ if closed => "]",
                0 => " ",
                _ if column == ROW_BYTES / 2 => "-",
                _ => " ",
            };
            write!(figures, "{before}{byte:02x}")?;
            closed = is_place;
        }
        if closed {
            figures.push(']');
        }
        let letters: String = line
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        let mark = match place {
            Some(place) if place / ROW_BYTES == row => "\t<==",
            _ => "",
        };
        writeln!(page, "{figures:<49}  {letters}{mark}")?;
    }
    Ok(())
}
