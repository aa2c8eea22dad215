//! How a report file is put together: which JSON documents and which text it holds, and what is wrong with it.
//!
//! What the documents mean is read elsewhere; JSON itself is read in [`crate::json`].

use crate::json::{Fault, LineBreak, Members, Reader};
use crate::tape::{Node, Tape};
use serde::{Deserialize, Serialize};

/// Bytes read of one file. The largest reports known have 2 MB; what lies beyond this is named as unread.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Documents read of one file: usage figures have one a line.
const DOCUMENTS_MAX: usize = 10_000;
/// Within this many bytes the phone's own reader wants to see `bug_type`.
const HEADER_BYTES: usize = 1024;
/// Lines that look like a header and are examined, so that a file of braces costs no more than its length.
const HEADER_CANDIDATES_MAX: usize = 64;
/// A member that only a body has.
const BODY_MEMBERS: [&str; 12] = [
    "threads",
    "usedImages",
    "exception",
    "procName",
    "procPath",
    "termination",
    "processes",
    "memoryStatus",
    "panicString",
    "processByPid",
    "binaryImages",
    "captureTime",
];
/// How a line of a text report begins.
const TEXT_MARKS: [&str; 14] = [
    "Incident Identifier:",
    "Hardware Model:",
    "Process:",
    "Command:",
    "Identifier:",
    "Exception Type:",
    "Exception Codes:",
    "Date/Time:",
    "OS Version:",
    "Crashed Thread:",
    "Thread 0",
    "Binary Images:",
    "panic(",
    "*** Panic Report ***",
];

/// How a report file is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// A JSON header and a JSON body: iOS 15 and later.
    TwoPartJson,
    /// A JSON header and a text: older crashes, and resource reports to this day.
    HeaderAndText,
    /// A JSON header and nothing after it.
    HeaderOnly,
    /// One JSON document that is the body, perhaps with the header's members in it.
    BodyOnly,
    /// A text without a header.
    LegacyText,
    /// A copy from the Console: a translation first, the JSON somewhere below.
    ConsoleCopy,
    /// A header and many JSON documents, one a line.
    JsonLines,
    /// A JSON header and a property list, which is not read.
    HeaderAndPlist,
    /// JSON whose beginning is missing.
    Fragment,
    /// Nothing in it can be read.
    Unreadable,
}

/// Bytes `start..end` of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Bytes from the beginning of the file.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// Something wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malformed {
    /// Where.
    pub place: Place,
    /// What, as a sentence without its full stop.
    pub what: String,
}

/// The parts of a file.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) container: Container,
    /// The first document is the header, unless the container says otherwise.
    tape: Tape<'a>,
    /// What follows the header, or the whole of a legacy text.
    pub(crate) text: Option<&'a [u8]>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) unread: Vec<ByteRange>,
}

impl<'a> Parts<'a> {
    /// A member of the header.
    pub(crate) fn header(&self, name: &str) -> Option<Node<'_>> {
        self.tape.document(0)?.get(name)
    }

    /// A member of the body. A broken body may have fallen into several documents; a file may be body and header in one.
    pub(crate) fn body(&self, name: &str) -> Option<Node<'_>> {
        let later = (1..self.tape.documents()).find_map(|number| self.tape.document(number)?.get(name));
        later.or_else(|| self.header(name))
    }

    fn new(container: Container) -> Parts<'a> {
        Parts { container, tape: Tape::default(), text: None, faults: Vec::new(), unread: Vec::new() }
    }
}

/// Takes a file apart. Never fails: at worst everything is unread and a fault says so.
pub(crate) fn take_apart(bytes: &[u8], members: Members) -> Parts<'_> {
    let (bytes, beyond) = bytes.split_at_checked(FILE_BYTES_MAX).unwrap_or((bytes, &[]));
    let mut parts = take_apart_bounded(bytes, members);
    if !beyond.is_empty() {
        let what = format!("the file is larger than {FILE_BYTES_MAX} bytes; the rest was not read");
        parts.faults.push(Fault { offset: bytes.len(), what });
        parts.unread.push(ByteRange { start: bytes.len(), end: bytes.len() + beyond.len() });
    }
    parts
}

fn take_apart_bounded(bytes: &[u8], members: Members) -> Parts<'_> {
    let start = content_start(bytes);
    let Some(first) = bytes.get(start) else {
        return unreadable(bytes, "the file is empty");
    };
    if *first == b'{' {
        return json_parts(bytes, start, members);
    }
    if let Some(header) = embedded_header(bytes) {
        let mut parts = json_parts(bytes, header, members);
        parts.container = Container::ConsoleCopy;
        return parts;
    }
    if is_text_report(bytes) {
        let mut parts = Parts::new(Container::LegacyText);
        parts.text = Some(bytes);
        return parts;
    }
    fragment(bytes, members)
        .unwrap_or_else(|| unreadable(bytes, "this is neither JSON nor the text of a report"))
}

/// Where line and column of each fault are, in one pass over the file.
pub(crate) fn places(bytes: &[u8], mut faults: Vec<Fault>) -> Vec<Malformed> {
    faults.sort_by_key(|fault| fault.offset);
    let (mut line, mut line_start, mut seen) = (1, 0, 0);
    let mut found = Vec::with_capacity(faults.len());
    for fault in faults {
        let offset = fault.offset.min(bytes.len());
        for (position, _) in
            bytes.iter().enumerate().take(offset).skip(seen).filter(|(_, byte)| **byte == b'\n')
        {
            line += 1;
            line_start = position + 1;
        }
        seen = offset;
        let on_line = bytes.get(line_start..offset).unwrap_or_default();
        // A continuation byte of UTF-8 begins no character.
        let column = 1 + on_line.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        found.push(Malformed { place: Place { offset, line, column }, what: fault.what });
    }
    found
}

/// Past a byte order mark and space.
fn content_start(bytes: &[u8]) -> usize {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0);
    let rest = bytes.get(mark..).unwrap_or_default();
    mark + rest.iter().take_while(|byte| is_space(byte)).count()
}

fn unreadable<'a>(bytes: &[u8], what: &str) -> Parts<'a> {
    let mut parts = Parts::new(Container::Unreadable);
    parts.faults.push(Fault { offset: 0, what: what.to_owned() });
    if !bytes.is_empty() {
        parts.unread.push(ByteRange { start: 0, end: bytes.len() });
    }
    parts
}

/// Reads documents from here on, and sorts out what follows the last of them.
fn json_parts(bytes: &[u8], start: usize, members: Members) -> Parts<'_> {
    let mut reader = Reader::new(bytes, start, members);
    let header_on_a_line = first_line_is_whole(bytes, start);
    let mut parts = Parts::new(Container::TwoPartJson);
    let line_break = if header_on_a_line { LineBreak::EndsString } else { LineBreak::Belongs };
    reader.document(line_break);
    loop {
        reader.skip_space();
        match reader.peek() {
            None => break,
            Some(b'{') if reader.tape.documents() < DOCUMENTS_MAX => reader.document(LineBreak::Belongs),
            Some(b',' | b'}' | b']') if (2..DOCUMENTS_MAX).contains(&reader.tape.documents()) => {
                reader.fault(reader.at(), "the body was closed before this");
                reader.fragment();
            }
            Some(_) => {
                rest(&mut parts, reader.tape.documents(), bytes, reader.at());
                break;
            }
        }
    }
    parts.faults = reader.faults;
    parts.tape = reader.tape;
    parts.container = json_container(&parts);
    if parts.container == Container::HeaderAndPlist {
        let offset = parts.unread.first().map_or(0, |range| range.start);
        let what = "the body is a property list; only the header was read".to_owned();
        parts.faults.push(Fault { offset, what });
    }
    parts
}

/// After the documents: the text of a header-and-text report, or bytes that are kept unread.
fn rest<'a>(parts: &mut Parts<'a>, documents: usize, bytes: &'a [u8], at: usize) {
    let Some(left) = bytes.get(at..) else { return };
    let is_plist = left.starts_with(b"<?xml") || left.starts_with(b"bplist");
    if documents == 1 && !is_plist {
        parts.text = Some(left);
    } else {
        parts.unread.push(ByteRange { start: at, end: bytes.len() });
    }
}

fn json_container(parts: &Parts<'_>) -> Container {
    let first_is_body = BODY_MEMBERS.iter().any(|name| parts.header(name).is_some());
    match parts.tape.documents() {
        _ if parts.text.is_some() => Container::HeaderAndText,
        1 if !parts.unread.is_empty() => Container::HeaderAndPlist,
        1 if first_is_body => Container::BodyOnly,
        1 => Container::HeaderOnly,
        // A broken body falls into several documents without being lines.
        2 => Container::TwoPartJson,
        _ if BODY_MEMBERS.iter().any(|name| parts.body(name).is_some()) => Container::TwoPartJson,
        _ => Container::JsonLines,
    }
}

/// A header on one line looks like `{"…`; a pretty-printed one has a line end right after the brace.
fn first_line_is_whole(bytes: &[u8], start: usize) -> bool {
    let line = bytes.get(start..).unwrap_or_default().split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.contains(&b'"')
}

/// Where the JSON header lies in a file that begins with text: below `Full Report`, or at a line that looks like one.
fn embedded_header(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    let mut below_title = false;
    let mut candidates = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        let trimmed = line.trim_ascii();
        if trimmed == b"Full Report" {
            below_title = true;
        }
        if trimmed.starts_with(b"{") {
            candidates += 1;
            let window = bytes.get(offset..).unwrap_or_default();
            let window = window.get(..HEADER_BYTES).unwrap_or(window);
            if below_title || contains(window, b"\"bug_type\"") {
                let indent = line.len() - line.trim_ascii_start().len();
                return Some(offset + indent);
            }
            if candidates >= HEADER_CANDIDATES_MAX {
                return None;
            }
        }
        offset += line.len() + 1;
    }
    None
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn is_text_report(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii_start();
        TEXT_MARKS.iter().any(|mark| line.starts_with(mark.as_bytes()))
    })
}

/// JSON whose beginning is missing: read from the first member that is whole.
fn fragment(bytes: &[u8], members: Members) -> Option<Parts<'_>> {
    // The very first name may itself be cut, so that only its closing quote is there.
    let first_quote = bytes.iter().position(|byte| *byte == b'"')?;
    let colon = (first_quote + 1..bytes.len()).find(|at| {
        let after = bytes.get(*at..).unwrap_or_default();
        after.starts_with(b"\":") || after.starts_with(b"\" :")
    })?;
    let quote = bytes.get(..colon)?.iter().rposition(|byte| *byte == b'"')?;
    let mut reader = Reader::new(bytes, quote, members);
    reader.fault(0, "the beginning of the report is missing");
    reader.fragment();
    let document = reader.tape.document(0)?;
    let is_report = BODY_MEMBERS.iter().chain(&["bug_type"]).any(|name| document.get(name).is_some());
    is_report.then(|| {
        let mut parts = Parts::new(Container::Fragment);
        parts.tape = reader.tape;
        parts.faults = reader.faults;
        parts.unread.push(ByteRange { start: 0, end: quote });
        parts
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn every_container_is_told_apart_and_gives_its_header() {
        let header = r#"{"bug_type":"309","name":"Chat"}"#;
        let body = r#"{"pid":7,"threads":[]}"#;
        let pretty =
            "{\n  \"bug_type\" : \"309\",\n  \"name\" : \"Chat\"\n}\n{\n  \"pid\" : 7, \"threads\" : []\n}";
        let table = [
            (format!("{header}\n{body}"), Container::TwoPartJson, 0, Some(7)),
            (format!("\u{feff}{header}{body}\n"), Container::TwoPartJson, 0, Some(7)),
            (pretty.to_owned(), Container::TwoPartJson, 0, Some(7)),
            (format!("{header}\n{body}\ntrailing text"), Container::TwoPartJson, 0, Some(7)),
            (format!("{header}\nProcess: Chat [7]\n"), Container::HeaderAndText, 0, None),
            (header.to_owned(), Container::HeaderOnly, 0, None),
            (format!("{header}\n\n"), Container::HeaderOnly, 0, None),
            (r#"{"bug_type":"309","pid":7,"threads":[]}"#.to_owned(), Container::BodyOnly, 0, Some(7)),
            (format!("{header}\n{{\"a\":1}}\n{{\"pid\":7}}\n"), Container::JsonLines, 0, Some(7)),
            (format!("{header}\n<?xml version=\"1.0\"?>"), Container::HeaderAndPlist, 1, None),
            (
                format!(
                    "-----\nTranslated Report (Full Report Below)\n-----\nProcess: Chat [7]\n\nFull Report\n-----\n{header}\n{body}"
                ),
                Container::ConsoleCopy,
                0,
                Some(7),
            ),
            (format!("copied by hand:\n{header}\n{body}"), Container::ConsoleCopy, 0, Some(7)),
            ("Process: Chat [7]\n".to_owned(), Container::LegacyText, 0, None),
            (r#"at","bug_type":"309","pid":7,"threads":[]}"#.to_owned(), Container::Fragment, 1, Some(7)),
            (format!("{{\"bug_type\":\"309\",\"name\":\"Chat\n{body}"), Container::TwoPartJson, 2, Some(7)),
            (r#"{"bug_type":"309","na"#.to_owned(), Container::HeaderOnly, 3, None),
            (format!("{header}\n{{\"threads\":[]}},\"pid\":7}}"), Container::TwoPartJson, 1, Some(7)),
            (String::new(), Container::Unreadable, 1, None),
            ("hello\n".to_owned(), Container::Unreadable, 1, None),
        ];
        for (file, container, faults, pid) in table {
            let parts = take_apart(file.as_bytes(), Members::Known);
            assert_eq!(parts.container, container, "{file}");
            assert_eq!(parts.faults.len(), faults, "{file}: {:?}", parts.faults);
            assert_eq!(parts.body("pid").and_then(Node::u64), pid, "{file}");
            let has_json = !matches!(container, Container::LegacyText | Container::Unreadable);
            assert_eq!(parts.header("bug_type").is_some(), has_json, "{file}");
        }
    }

    #[test]
    fn places_count_lines_and_characters() {
        let bytes = "a\nbé@\n\nz".as_bytes();
        let faults = [5, 8, 0, 99].map(|offset| Fault { offset, what: String::new() });
        let found: Vec<_> =
            places(bytes, faults.to_vec()).iter().map(|it| (it.place.line, it.place.column)).collect();
        assert_eq!(found, [(1, 1), (2, 3), (4, 1), (4, 2)]);
    }

    #[test]
    fn what_lies_beyond_the_size_limit_is_named() {
        let mut file = br#"{"bug_type":"309"}"#.to_vec();
        file.resize(FILE_BYTES_MAX + 5, b' ');
        let parts = take_apart(&file, Members::Known);
        assert_eq!(parts.header("bug_type").and_then(Node::str), Some("309"));
        assert_eq!(parts.unread, [ByteRange { start: FILE_BYTES_MAX, end: FILE_BYTES_MAX + 5 }]);
        assert!(parts.faults.first().unwrap().what.contains("larger than"));
    }
}
