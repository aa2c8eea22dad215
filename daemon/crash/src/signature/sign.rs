//! What a signature is made of: class, process, and the app's own functions on top of the stack.

use super::class::{Stack, class};
use super::normalise::{cut, normalise, normalise_words};
use super::skip::{is_root, is_runtime, is_skipped};
use crate::kind::Kind;
use crate::report::{Frame, JETSAM_NAME_BYTES, Report};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Grows whenever a report may get another signature than before, so that the past is grouped anew.
pub const SIGNATURE_VERSION: u32 = 3;

/// Functions of the app in a signature when nothing is configured. One: a defect keeps its function while its callers
/// come and go with the compiler's inlining and with the screen that it was reached from.
const FRAMES: usize = 1;
/// Functions of the system in a signature that has none of the app: each says less than one of the app.
const SYSTEM_FRAMES: usize = 3;
/// Functions of a stack by which groups are held against each other: what is further down says where, not what.
const STACK_MAX: usize = 16;
/// Bytes of such a name: templates can fill pages.
const STACK_NAME_BYTES: usize = 120;
/// Frames that are looked at; an endless recursion has more and says no more.
const FRAMES_READ_MAX: usize = 600;
/// A function that stands this often on a stack calls itself without end.
const RECURSION_MIN: usize = 16;
/// Functions that call each other in a circle; larger circles are taken for a deep stack.
const CIRCLE_MAX: usize = 16;

/// What may be configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Functions of the app in a signature, from the top; at least one.
    pub frames: usize,
    /// Names of functions that say nothing about a defect, such as an app's own assertions; compared without parameters
    /// (`Chat.fail`, `-[Log fatal:]`), a star stands for any letters.
    pub skip: Vec<String>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { frames: FRAMES, skip: Vec::new() }
    }
}

impl Rules {
    /// Eight hexadecimal digits that stand for these rules: signatures by other rules are not to be compared.
    pub fn fingerprint(&self) -> String {
        let text = std::iter::once(self.frames.to_string()).chain(self.skip.iter().cloned());
        let text: Vec<String> = text.collect();
        let hash = fnv(text.join("\u{1f}").bytes());
        format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
    }
}

/// What two reports of the same defect have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// [`SIGNATURE_VERSION`] at the time.
    pub version: u32,
    /// What ended the process: `watchdog scene-update`, `uncaught NSRangeException`, `bad access`.
    pub class: String,
    /// The process, because other apps have functions of the same name.
    pub process: Option<String>,
    /// The functions that tell, innermost first; an image with an offset where no name is known.
    pub frames: Vec<String>,
}

impl Signature {
    /// Sixteen hexadecimal digits that stand for the whole signature, the same in every release and on every machine.
    pub fn id(&self) -> String {
        // Two of a million groups share one in 1 of 37 million farms.
        format!("{:016x}", fnv(format!("{}|{self}", self.version).bytes()))
    }
}

/// FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv>.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl fmt::Display for Signature {
    /// `Chat | uncaught NSRangeException | -[ChatRoom open:]`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} | {}", self.process.as_deref().unwrap_or("-"), self.class)?;
        self.frames.iter().try_for_each(|frame| write!(formatter, " | {frame}"))
    }
}

/// The signature of a report; none when nothing ended, such as in usage figures, or nothing is known.
///
/// It says nothing of addresses, threads' order, numbers in sentences, closures and specialisations, so that it stays
/// from run to run and from build to build. Frames of the app that no symbols have named are told by image and offset,
/// and so are the same within one build alone.
pub fn signature(report: &Report, rules: &Rules) -> Option<Signature> {
    let (class, stack) = class(report)?;
    let frames = match stack {
        Stack::Telling => telling_frames(report, rules),
        Stack::Silent => Vec::new(),
    };
    Some(Signature { version: SIGNATURE_VERSION, class, process: process(report), frames })
}

/// The functions on top of the stack that tells, innermost first, named as in signatures: of the app and of the system,
/// without those that say nothing. At most [`STACK_MAX`].
pub fn stack(report: &Report, rules: &Rules) -> Vec<String> {
    let stack = report.main_stack();
    let stack = stack.get(..FRAMES_READ_MAX).unwrap_or(stack);
    named_frames(stack.iter(), |frame, name| {
        is_root(name) || is_skipped(name, &rules.skip) || !frame.in_app && is_runtime(name)
    })
    .map(|name| cut(&name, STACK_NAME_BYTES).to_owned())
    .take(STACK_MAX)
    .collect()
}

/// The process, of a memory shortage the one that was killed first, of a panic the kernel; cut as a report of a shortage
/// cuts it.
fn process(report: &Report) -> Option<String> {
    let victim = || report.jetsam.as_ref()?.victims.first()?.name.clone();
    let kernel = || matches!(report.kind, Kind::Panic | Kind::ForceReset).then(|| "kernel".to_owned());
    let name = report.process.clone().or_else(victim).or_else(kernel)?;
    Some(cut(&name, JETSAM_NAME_BYTES).to_owned())
}

/// The app's functions on top of the stack; failing these, what libraries said and the system's functions.
fn telling_frames(report: &Report, rules: &Rules) -> Vec<String> {
    let stack = report.main_stack();
    let stack = stack.get(..FRAMES_READ_MAX).unwrap_or(stack);
    let app = named_frames(stack.iter().filter(|frame| frame.in_app), |frame, name| {
        is_root(name) || frame.symbol.is_some() && is_skipped(name, &rules.skip)
    });
    if let Some(recursion) = recursion(stack, rules) {
        return vec![recursion];
    }
    let app: Vec<String> = app.take(rules.frames.max(1)).collect();
    if !app.is_empty() {
        return app;
    }
    let system = named_frames(stack.iter(), |frame, name| {
        is_skipped(name, &rules.skip) || !frame.in_app && is_runtime(name)
    });
    let reason =
        report.uncaught.as_ref().and_then(|uncaught| uncaught.reason.as_deref()).map(normalise_words);
    reason.into_iter().chain(system.take(SYSTEM_FRAMES)).collect()
}

/// Names of frames from the top, without those to be skipped; an equal name after another is the same function, once as
/// itself and once as its closure or its bridge from Objective-C.
fn named_frames<'r>(
    frames: impl Iterator<Item = &'r Frame>,
    skip: impl Fn(&Frame, &str) -> bool,
) -> impl Iterator<Item = String> {
    let mut last = String::new();
    frames
        .filter_map(move |frame| {
            let name = frame_name(frame)?;
            (!name.is_empty() && !skip(frame, &name)).then(|| name.into_owned())
        })
        .filter(move |name| {
            let is_new = *name != last;
            last.clone_from(name);
            is_new
        })
}

/// The function, else image and offset with the beginning of the image's UUID: without symbols no two builds agree.
fn frame_name(frame: &Frame) -> Option<Cow<'_, str>> {
    if let Some(symbol) = &frame.symbol {
        return Some(normalise(symbol));
    }
    let offset = frame.offset?;
    // Outside of every image an offset is an address, which says nothing beyond its own run.
    let image = frame.image.as_deref()?;
    let uuid = frame.image_uuid.as_deref().and_then(|uuid| uuid.split('-').next()).unwrap_or("?");
    Some(Cow::Owned(format!("{image} {uuid}+0x{offset:x}")))
}

/// Of functions that call each other without end the first by name: which of them stands on top is chance.
fn recursion(stack: &[Frame], rules: &Rules) -> Option<String> {
    // A stack that is not deep cannot hold one, and most are not.
    if stack.len() < 2 * RECURSION_MIN {
        return None;
    }
    let names: Vec<String> =
        named_frames(stack.iter().filter(|frame| frame.in_app && frame.symbol.is_some()), |_, name| {
            is_root(name) || is_skipped(name, &rules.skip)
        })
        .collect();
    let direct = |name: &str| {
        let of_name =
            |frame: &&Frame| frame.symbol.as_deref().is_some_and(|symbol| normalise(symbol) == name);
        stack.iter().filter(of_name).count()
    };
    let top = names.first()?;
    let again = names.iter().skip(1).take(CIRCLE_MAX).position(|name| name == top);
    let circle = again.map_or(1, |at| at + 1);
    let mut members: Vec<&String> =
        names.iter().take(circle).filter(|name| direct(name) >= RECURSION_MIN).collect();
    members.sort();
    members.first().map(|name| (*name).clone())
}
