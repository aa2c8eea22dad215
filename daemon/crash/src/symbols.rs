//! Puts functions and lines into the frames of a report, and says for which images nobody has them.
//!
//! Where symbols come from is the caller's: it answers one question, what lies at this offset of this image.

use crate::report::{Frame, Image, Report};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Functions that one address may lie in: a damaged table of symbols could name them without end.
const INLINED_MAX: usize = 64;

/// What is asked about one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'r> {
    /// UUID of the image, lower case with dashes.
    pub uuid: &'r str,
    /// File name of the image.
    pub image: &'r str,
    /// Such as `arm64e`, when the report tells.
    pub arch: Option<&'r str>,
    /// Bytes from the image's base to the instruction that is meant: in a caller that of its call.
    pub offset: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There are no symbols for the image.
    NoSymbols,
    /// There are, and they know nothing of the address.
    Nothing,
    /// The functions that the address lies in, innermost first: all but the last were inlined into the one after them.
    Functions(Vec<Function>),
}

/// A function at an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name as people write it.
    pub name: String,
    /// Where it begins, in bytes from the image's base; an inlined one begins in many places.
    pub begins: Option<u64>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it, from 1.
    pub line: Option<u32>,
}

/// An image whose frames have no names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissingSymbols {
    /// File name of the image.
    pub image: String,
    /// UUID of the dSYM that would name them, lower case with dashes.
    pub uuid: String,
}

/// Names the frames of all stacks, as far as `find` knows them. Frames that have a source line already stay as they are.
///
/// An address on a stack is where a call returns to, which may be the next line or the next function; so the byte before
/// it is looked up. A thread's innermost frame is where the thread was, and so is the one that a signal interrupted, below
/// `_sigtramp`; the innermost of an exception's backtrace is a return address like the others.
pub fn symbolicate(report: &mut Report, mut find: impl FnMut(Wanted<'_>) -> Found) {
    let images = std::mem::take(&mut report.images);
    let archs: BTreeMap<&str, &str> = images.iter().filter_map(uuid_and_arch).collect();
    let mut known: BTreeSet<Arc<str>> = report.symbolicated.drain(..).collect();
    let mut ask = |uuid: &Arc<str>, frame: &Frame, offset: u64| {
        let image = frame.image.as_deref().unwrap_or("?");
        let found = find(Wanted { uuid, image, arch: archs.get(uuid.as_ref()).copied(), offset });
        if found != Found::NoSymbols {
            known.insert(uuid.clone());
        }
        found
    };
    for thread in &mut report.threads {
        name_frames(&mut thread.frames, Innermost::WhereItWas, &mut ask);
    }
    name_frames(&mut report.last_exception_backtrace, Innermost::ReturnAddress, &mut ask);
    report.symbolicated = known.into_iter().collect();
    report.images = images;
}

/// The app's images that have frames without names and no symbols, in the order of their names.
pub fn missing_symbols(report: &Report) -> Vec<MissingSymbols> {
    let stacks = report.threads.iter().map(|thread| &thread.frames).chain([&report.last_exception_backtrace]);
    let nameless = stacks.flatten().filter(|frame| frame.in_app && frame.symbol.is_none());
    let missing: BTreeSet<MissingSymbols> = nameless
        .filter_map(|frame| Some((frame, frame.image_uuid.as_ref()?)))
        .filter(|(_, uuid)| !report.symbolicated.contains(uuid))
        .map(|(frame, uuid)| MissingSymbols {
            image: frame.image.as_deref().unwrap_or("?").to_owned(),
            uuid: uuid.to_string(),
        })
        .collect();
    missing.into_iter().collect()
}

/// What the innermost address of a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Innermost {
    WhereItWas,
    ReturnAddress,
}

fn uuid_and_arch(image: &Image) -> Option<(&str, &str)> {
    Some((image.uuid.as_deref()?, image.arch.as_deref()?))
}

fn name_frames(
    frames: &mut Vec<Frame>,
    innermost: Innermost,
    ask: &mut impl FnMut(&Arc<str>, &Frame, u64) -> Found,
) {
    let mut where_it_was = innermost == Innermost::WhereItWas;
    let mut named = Vec::with_capacity(frames.len());
    for frame in frames.drain(..) {
        let back = u64::from(!where_it_was);
        // A function that was inlined has the address of the one below it.
        where_it_was = where_it_was && frame.inlined || is_signal_handler_of_system(&frame);
        let is_told = frame.line.is_some() || frame.inlined;
        let place = frame.image_uuid.as_ref().zip(frame.offset).filter(|_| !is_told);
        let found = place.map(|(uuid, offset)| ask(uuid, &frame, offset.saturating_sub(back)));
        match found {
            Some(Found::Functions(functions)) if !functions.is_empty() => put(&mut named, &frame, functions),
            Some(Found::Functions(_) | Found::Nothing | Found::NoSymbols) | None => named.push(frame),
        }
    }
    *frames = named;
}

/// The function of the system that calls an app's signal handler: no call led to it, so the frame below it is no caller.
fn is_signal_handler_of_system(frame: &Frame) -> bool {
    !frame.in_app && frame.symbol.as_deref() == Some("_sigtramp")
}

/// The functions of one address, each as a frame of its own.
fn put(named: &mut Vec<Frame>, frame: &Frame, functions: Vec<Function>) {
    let count = functions.len().min(INLINED_MAX);
    for (position, function) in functions.into_iter().take(count).enumerate() {
        let inlined = position + 1 < count;
        let begins = function.begins.filter(|_| !inlined);
        named.push(Frame {
            symbol: Some(function.name),
            symbol_offset: frame.offset.zip(begins).and_then(|(offset, begins)| offset.checked_sub(begins)),
            file: function.file,
            line: function.line.filter(|line| *line > 0),
            inlined,
            ..frame.clone()
        });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    /// A crash in thread 0 with the app at the top and as caller, a thread that waits, and an exception's backtrace.
    const REPORT: &str = r#"{"bug_type":"309","app_name":"Chat","timestamp":"2026-03-02 09:15:31.00 +0800"}
{"procName":"Chat","procPath":"/var/containers/Bundle/Application/A/Chat.app/Chat","faultingThread":0,
"exception":{"type":"EXC_CRASH","signal":"SIGABRT"},
"usedImages":[
 {"source":"P","arch":"arm64","base":4294967296,"size":65536,"uuid":"11111111-1111-3111-8111-111111111111",
  "path":"/var/containers/Bundle/Application/A/Chat.app/Chat","name":"Chat"},
 {"source":"S","arch":"arm64e","base":8589934592,"size":65536,"uuid":"22222222-2222-3222-8222-222222222222",
  "path":"/usr/lib/libSystem.B.dylib","name":"libSystem.B.dylib"}],
"threads":[
 {"frames":[{"imageIndex":0,"imageOffset":256},{"imageIndex":0,"imageOffset":512}]},
 {"frames":[{"imageIndex":1,"imageOffset":64,"symbol":"wait","symbolLocation":4},{"imageIndex":0,"imageOffset":768},
  {"imageIndex":1,"imageOffset":128,"symbol":"_sigtramp","symbolLocation":56},{"imageIndex":0,"imageOffset":896}]}],
"lastExceptionBacktrace":[{"imageIndex":0,"imageOffset":1024}]}"#;

    fn found(name: &str, begins: u64) -> Found {
        let function = |name: &str| Function {
            name: name.to_owned(),
            begins: Some(begins),
            file: Some("Chat.c".to_owned()),
            line: Some(7),
        };
        Found::Functions(vec![function("inner"), function(name)])
    }

    #[test]
    fn the_call_is_looked_up_and_the_innermost_address_of_a_thread_as_it_is() {
        let mut report = crate::read(REPORT.as_bytes());
        let mut asked = Vec::new();
        symbolicate(&mut report, |wanted| {
            asked.push((wanted.image.to_owned(), wanted.arch.map(str::to_owned), wanted.offset));
            Found::NoSymbols
        });
        let app = |offset| ("Chat".to_owned(), Some("arm64".to_owned()), offset);
        let system = |offset| ("libSystem.B.dylib".to_owned(), Some("arm64e".to_owned()), offset);
        let expected = [app(256), app(511), system(64), app(767), system(127), app(896), app(1023)];
        assert_eq!(asked, expected, "what a signal interrupted is looked up as it is");
        assert_eq!(report.symbolicated, []);
    }

    #[test]
    fn inlined_functions_are_frames_of_their_own_and_a_second_time_changes_nothing() {
        let mut report = crate::read(REPORT.as_bytes());
        let before = report.clone();
        let find = |wanted: Wanted<'_>| match wanted.uuid {
            "11111111-1111-3111-8111-111111111111" => found("outer", wanted.offset.saturating_sub(16)),
            _ => Found::NoSymbols,
        };
        symbolicate(&mut report, find);
        let frames = &report.crashed().unwrap().frames;
        let told: Vec<_> = frames
            .iter()
            .map(|frame| (frame.symbol.as_deref().unwrap(), frame.inlined, frame.symbol_offset, frame.line))
            .collect();
        let expected = [
            ("inner", true, None, Some(7)),
            ("outer", false, Some(16), Some(7)),
            ("inner", true, None, Some(7)),
            // The offset is that of the return address, one more than what was looked up.
            ("outer", false, Some(17), Some(7)),
        ];
        assert_eq!(told, expected);
        assert!(frames.iter().all(|frame| frame.in_app && frame.file.as_deref() == Some("Chat.c")));
        assert_eq!(report.threads.get(1).unwrap().frames.first().unwrap().symbol.as_deref(), Some("wait"));
        assert_eq!(report.images, before.images);
        let once = report.clone();
        symbolicate(&mut report, find);
        assert_eq!(report, once);
    }

    #[test]
    fn an_image_misses_its_symbols_until_somebody_has_them() {
        let mut report = crate::read(REPORT.as_bytes());
        let missing = MissingSymbols {
            image: "Chat".to_owned(),
            uuid: "11111111-1111-3111-8111-111111111111".to_owned(),
        };
        assert_eq!(missing_symbols(&report), [missing], "an image is named once, and no image of the system");
        symbolicate(&mut report, |_| Found::Nothing);
        assert_eq!(missing_symbols(&report), [], "its symbols are there, only not for this address");
    }
}
