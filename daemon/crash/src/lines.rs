//! Single lines of text reports: frames, images, thread titles, `name [pid]`.
//!
//! Which line belongs to which section is known in [`crate::text`] and [`crate::microstackshot`].

use crate::images::plain_uuid;
use crate::report::{Frame, Image};

/// A line that begins or describes a thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ThreadLine<'a> {
    /// `Thread 3 name:  Dispatch queue: com.apple.main-thread`
    Name(u32, &'a str),
    /// `Thread 3:`, `Thread 3:: name`, `Thread 3 Crashed:: Dispatch queue: x`, `Thread 3 Attributed:`
    Start { index: u32, blamed: Blamed, name: &'a str },
    /// `Thread 3 crashed with ARM Thread State (64-bit):` and other titles that no frames follow.
    Other,
}

/// Whether a thread's title blames it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blamed {
    Yes,
    No,
}

pub(crate) fn thread_line(line: &str) -> Option<ThreadLine<'_>> {
    let rest = line.strip_prefix("Thread ")?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
    let (index, rest) = rest.split_at_checked(digits)?;
    let index = index.parse().ok()?;
    if let Some(name) = rest.strip_prefix(" name:") {
        return Some(ThreadLine::Name(index, name.trim()));
    }
    let (title, name) = rest.split_once(':')?;
    let name = name.trim_start_matches(':').trim();
    match title.trim() {
        "" => Some(ThreadLine::Start { index, blamed: Blamed::No, name }),
        "Crashed" | "Attributed" | "Highlighted" => {
            Some(ThreadLine::Start { index, blamed: Blamed::Yes, name })
        }
        _ => Some(ThreadLine::Other),
    }
}

/// Thread name and queue of `name  Dispatch queue: queue`.
pub(crate) fn name_and_queue(text: &str) -> (Option<String>, Option<String>) {
    let (name, queue) = text.split_once("Dispatch queue:").unwrap_or((text, ""));
    let filled = |part: &str| Some(part.trim().to_owned()).filter(|part| !part.is_empty());
    (filled(name), filled(queue))
}

/// `Chat [692]`; the name is unknown when the phone wrote question marks.
pub(crate) fn name_and_pid(text: &str) -> (Option<String>, Option<u64>) {
    let (name, pid) = match text.rsplit_once(" [") {
        Some((name, pid)) => (name, pid.trim_end_matches(']').parse().ok()),
        None => (text, None),
    };
    (known(name), pid)
}

/// Text that is neither empty nor question marks.
pub(crate) fn known(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.starts_with("???")).then(|| text.to_owned())
}

/// `1.0 (1)` as its two parts, the one in brackets second.
pub(crate) fn two_versions(text: &str) -> (Option<String>, Option<String>) {
    match text.split_once('(') {
        Some((first, second)) => (known(first), known(second.trim_end_matches([')', ' ']))),
        None => (known(text), None),
    }
}

/// `iPhone OS 14.2 (Build 18B5072f)` in the form that headers use.
pub(crate) fn os_version(text: &str) -> Option<String> {
    known(&text.replace("(Build ", "("))
}

/// `3   Chat  0x0000000102268e70 0x10211c000 + 1363568`, or a symbol in place of the base.
pub(crate) fn frame_line(line: &str) -> Option<Frame> {
    let line = line.trim();
    let digits = line.find(|letter: char| !letter.is_ascii_digit()).filter(|digits| *digits > 0)?;
    let rest = line.get(digits..)?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let (image, address, location) = split_at_address(rest)?;
    let mut frame = Frame { image: known(image).map(Into::into), address: Some(address), ..Frame::default() };
    read_location(&mut frame, location.trim());
    Some(frame)
}

/// Image names may have spaces, so the address is what looks like one.
fn split_at_address(rest: &str) -> Option<(&str, u64, &str)> {
    let mut from = 0;
    loop {
        let at = from + rest.get(from..)?.find("0x")?;
        let before = rest.get(..at)?;
        if before.ends_with([' ', '\t']) {
            let token = rest.get(at..)?.split([' ', '\t']).next()?;
            if let Some(address) = hex(token) {
                let image = before.trim();
                return (!image.is_empty()).then_some((image, address, rest.get(at + token.len()..)?));
            }
        }
        from = at + 2;
    }
}

/// `0x10211c000 + 1363568`, `symbol + 12`, `symbol + 12 (file.m:7)`, `0x8000 + 30425 (symbol + 101)`.
fn read_location(frame: &mut Frame, location: &str) {
    if let Some((_, offset)) =
        location.split_once(" + ").filter(|(base, _)| *base == "0" || hex(base).is_some())
    {
        let (offset, symbol) = offset.split_once(' ').unwrap_or((offset, ""));
        frame.offset = offset.parse().ok();
        if let Some(symbol) = symbol.strip_prefix('(').and_then(|symbol| symbol.strip_suffix(')')) {
            read_symbol(frame, symbol);
        }
        return;
    }
    let named =
        location.strip_suffix(')').and_then(|open| open.rsplit_once(" (")).and_then(|(symbol, place)| {
            let (file, line) = place.rsplit_once(':')?;
            Some((symbol, file, line.parse().ok()?))
        });
    match named {
        Some((symbol, file, line)) => {
            frame.file = known(file);
            frame.line = Some(line);
            read_symbol(frame, symbol);
        }
        None => read_symbol(frame, location),
    }
}

fn read_symbol(frame: &mut Frame, text: &str) {
    // A symbolicator of the desktop repeats the image: `main (in Chat)`.
    let text =
        text.strip_suffix(')').and_then(|open| open.rsplit_once(" (in ")).map_or(text, |(symbol, _)| symbol);
    let with_offset =
        text.rsplit_once(" + ").and_then(|(symbol, offset)| Some((symbol, offset.parse().ok()?)));
    match with_offset {
        Some((symbol, offset)) => {
            frame.symbol = known(symbol);
            frame.symbol_offset = Some(offset);
        }
        None => frame.symbol = known(text),
    }
}

/// `61  ??? (libsystem_pthread.dylib + 2240) [0x22f72b8c0]` of a sampled stack.
pub(crate) fn sampled_frame_line(line: &str) -> Option<Frame> {
    let line = line.trim();
    let digits = line.find(|letter: char| !letter.is_ascii_digit()).filter(|digits| *digits > 0)?;
    let rest = line.get(digits..)?.trim();
    let (place, address) = rest
        .strip_suffix(']')
        .and_then(|open| open.rsplit_once(" ["))
        .map_or((rest, None), |(place, address)| (place, hex(address)));
    let image = place.strip_suffix(')').and_then(|open| open.rsplit_once('(')).and_then(|(symbol, image)| {
        let (image, offset) = image.rsplit_once(" + ")?;
        Some((symbol, image, offset.parse().ok()?))
    });
    let mut frame = Frame { address, ..Frame::default() };
    match image {
        Some((symbol, image, offset)) => {
            frame.image = known(image).map(Into::into);
            frame.offset = Some(offset);
            read_location(&mut frame, symbol.trim());
        }
        None => read_symbol(&mut frame, place),
    }
    (frame.symbol.is_some() || frame.image.is_some()).then_some(frame)
}

/// `0x1007d4000 - 0x1007dbfff Chat arm64  <82d1…> /private/var/…/Chat`, and the forms of the Mac:
/// `+com.example.chat (1.0 - 1) <82D1…-…> /Users/…`, `0x104e78000 - ??? Chat <…> /usr/bin/Chat`.
pub(crate) fn image_line(line: &str) -> Option<Image> {
    let (start, rest) = line.trim().split_once(" - ")?;
    let base = if start.trim() == "0" { 0 } else { hex(start.trim())? };
    let rest = rest.trim_start();
    let (end, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let size = match hex(end) {
        Some(last) => last.checked_sub(base)?.checked_add(1),
        None if end == "???" => None,
        None => return None,
    };
    let uuid_at = rest.rfind('<').and_then(|open| Some((open, open + rest.get(open..)?.find('>')?)));
    let (described, uuid, path) = match uuid_at {
        Some((open, close)) => {
            (rest.get(..open)?, rest.get(open + 1..close).and_then(plain_uuid), rest.get(close + 1..)?.trim())
        }
        None => rest.rfind(" /").map_or((rest, None, ""), |at| {
            (rest.get(..at).unwrap_or(rest), None, rest.get(at..).unwrap_or("").trim())
        }),
    };
    let (name, arch) = name_and_arch(described);
    let path = known(path);
    let file_name = path.as_deref().and_then(|path| path.rsplit('/').next()).and_then(known);
    Some(Image {
        name: file_name.or(name).map(Into::into),
        path,
        uuid: uuid.map(Into::into),
        base: Some(base),
        size,
        arch,
        source: None,
    })
}

/// `+App Name arm64` or `com.example.name (1.0 - 1)`.
fn name_and_arch(text: &str) -> (Option<String>, Option<String>) {
    let text = text.trim().trim_start_matches('+');
    let text = if text.ends_with(')') { text.rsplit_once(" (").map_or(text, |(name, _)| name) } else { text };
    match text.trim().rsplit_once(' ') {
        Some((name, arch)) if arch.starts_with("arm") || arch.starts_with("x86_64") || arch == "i386" => {
            (known(name), Some(arch.to_owned()))
        }
        _ => (known(text), None),
    }
}

/// A number with `0x` before it.
pub(crate) fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// image | address | offset | symbol | offset in symbol | file:line
    fn shown(frame: Option<Frame>) -> String {
        let Some(frame) = frame else { return "none".to_owned() };
        let hex = |number: Option<u64>| number.map(|number| format!("{number:x}")).unwrap_or_default();
        let place =
            frame.file.zip(frame.line).map(|(file, line)| format!("{file}:{line}")).unwrap_or_default();
        [
            frame.image.as_deref().unwrap_or_default().to_owned(),
            hex(frame.address),
            hex(frame.offset),
            frame.symbol.unwrap_or_default(),
            hex(frame.symbol_offset),
            place,
        ]
        .join("|")
    }

    #[test]
    fn frames_of_every_producer_are_read() {
        let table = [
            ("3   Chat  \t0x0000000102268e70 0x102000000 + 16", "Chat|102268e70|10|||"),
            ("0   App Namespace   0x0000000102268e70 0x10211c000 + 16", "App Namespace|102268e70|10|||"),
            ("1   Chat  0x10 -[Room open:] + 32", "Chat|10||-[Room open:]|20|"),
            ("1   Chat  0x10 Room.open() + 32 (Room.swift:17)", "Chat|10||Room.open()|20|Room.swift:17"),
            ("1   Chat  0x10 main (main.m:16)", "Chat|10||main||main.m:16"),
            ("5   Chat  0x0000f6d9 0x8000 + 30425 (-[Room open] + 101)", "Chat|f6d9|76d9|-[Room open]|65|"),
            ("0   ???   0x00007fff6a685dfa 0 + 140734978612730", "|7fff6a685dfa|7fff6a685dfa|||"),
            ("12  ...ng.Name.Of.Something  0x20 a + b + 1", "...ng.Name.Of.Something|20||a + b|1|"),
            ("1   Chat  0x10 -[Room open:] (in Chat) (Room.m:17)", "Chat|10||-[Room open:]||Room.m:17"),
            ("2   Chat  0x10 operator+ (Vector const&) + 8", "Chat|10||operator+ (Vector const&)|8|"),
            ("rip: 0x00000001090a0132", "none"),
            ("10 apples", "none"),
            ("", "none"),
        ];
        for (line, expected) in table {
            assert_eq!(shown(frame_line(line)), expected, "{line}");
        }
    }

    #[test]
    fn sampled_frames_are_read() {
        let table = [
            (
                "  61  ??? (libsystem_pthread.dylib + 2240) [0x22f72b8c0]",
                "libsystem_pthread.dylib|22f72b8c0|8c0|||",
            ),
            ("  18  Room.open() + 20 (Chat + 16) [0x104f30868]", "Chat|104f30868|10|Room.open()|14|"),
            ("  1  <Kernel mode>", "|||<Kernel mode>||"),
            ("words", "none"),
        ];
        for (line, expected) in table {
            assert_eq!(shown(sampled_frame_line(line)), expected, "{line}");
        }
    }

    #[test]
    fn images_of_every_producer_are_read() {
        let uuid = Some("82d13d98-219e-3040-b62a-07a297007a7c".into());
        let image = |name: &str, path: Option<&str>, base, size, arch: Option<&str>| Image {
            name: Some(name.into()),
            path: path.map(str::to_owned),
            uuid: uuid.clone(),
            base: Some(base),
            size,
            arch: arch.map(str::to_owned),
            source: None,
        };
        let table = [
            (
                "0x1000 - 0x1fff My Chat arm64e  <82d13d98219e3040b62a07a297007a7c> /var/My Chat.app/My Chat",
                image("My Chat", Some("/var/My Chat.app/My Chat"), 0x1000, Some(0x1000), Some("arm64e")),
            ),
            (
                "   0x1000 -   0x1fff +com.example.chat (1.0 - 1) <82D13D98-219E-3040-B62A-07A297007A7C> /a/Chat",
                image("Chat", Some("/a/Chat"), 0x1000, Some(0x1000), None),
            ),
            (
                "   0x1000 -   ???  Chat <82D13D98-219E-3040-B62A-07A297007A7C>  /usr/bin/Chat",
                image("Chat", Some("/usr/bin/Chat"), 0x1000, None, None),
            ),
            (
                "0x0 - 0xffffffffffffffff x (*) <82d13d98219e3040b62a07a297007a7c> ???",
                image("x", None, 0, None, None),
            ),
        ];
        for (line, expected) in table {
            assert_eq!(image_line(line), Some(expected), "{line}");
        }
        assert_eq!(image_line("__TEXT  102018000-10201c000 [   16K] r-x/r-x"), None);
    }

    #[test]
    fn titles_of_threads_are_told_apart() {
        let start = |index, blamed, name| Some(ThreadLine::Start { index, blamed, name });
        let table = [
            ("Thread 3:", start(3, Blamed::No, "")),
            ("Thread 3 Crashed:", start(3, Blamed::Yes, "")),
            ("Thread 3 Attributed:", start(3, Blamed::Yes, "")),
            ("Thread 3 Crashed:: Dispatch queue: q", start(3, Blamed::Yes, "Dispatch queue: q")),
            ("Thread 3:: worker", start(3, Blamed::No, "worker")),
            ("Thread 3 name:  Dispatch queue: q", Some(ThreadLine::Name(3, "Dispatch queue: q"))),
            ("Thread 0 crashed with ARM Thread State (64-bit):", Some(ThreadLine::Other)),
            ("Thread pool exhausted: 7", None),
        ];
        for (line, expected) in table {
            assert_eq!(thread_line(line), expected, "{line}");
        }
        assert_eq!(
            name_and_queue("worker  Dispatch queue: q"),
            (Some("worker".to_owned()), Some("q".to_owned()))
        );
    }
}
