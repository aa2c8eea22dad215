//! A JSON reader that never gives up: what can be had is had, what is wrong is noted with its offset.
//!
//! Report files are cut off, carry invalid escapes and lose braces, and their registers exceed what a signed or a
//! floating number holds; a strict reader returns nothing for these. Numbers therefore stay text until somebody asks.
//! Depth, values and faults are bounded, and every byte is looked at a bounded number of times.
//! What the values mean is not known here.

use crate::tape::{Tape, Value};
use std::borrow::Cow;

/// Nesting that a report may have; the deepest real ones (stackshots) have nine levels.
const DEPTH_MAX: usize = 64;
/// Values kept of one file: about ten times what the largest known stackshot holds, and 50 MB at the worst.
const NODES_MAX: usize = 1_000_000;
/// Faults noted for one file: more tell a reader nothing new.
const FAULTS_MAX: usize = 32;

/// Something wrong with the file, at this byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) what: String,
}

/// What a line break inside a string means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineBreak {
    /// It belongs to the string: bodies edited by hand have them.
    Belongs,
    /// The string lost its closing quote: a header stands on one line.
    EndsString,
}

/// Which members of objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    /// Those that a report is made of.
    Known,
    /// All: for somebody who writes the file anew in another form.
    All,
}

/// Whether a value is built or only passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

/// Reads values one after the other from a file.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// The same, if all of it is UTF-8: then no string needs to be looked at again.
    text: Option<&'a str>,
    at: usize,
    pub(crate) tape: Tape<'a>,
    line_break: LineBreak,
    members: Members,
    nodes_left: usize,
    lists_open: usize,
    objects_open: usize,
    pub(crate) faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize, members: Members) -> Reader<'a> {
        Reader {
            bytes,
            text: std::str::from_utf8(bytes).ok(),
            at,
            tape: Tape::for_bytes(bytes.len()),
            line_break: LineBreak::Belongs,
            members,
            nodes_left: NODES_MAX,
            lists_open: 0,
            objects_open: 0,
            faults: Vec::new(),
        }
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n' | 0)) {
            self.at += 1;
        }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// One document; the caller has seen that something other than space comes next.
    pub(crate) fn document(&mut self, line_break: LineBreak) {
        self.line_break = line_break;
        let position = self.tape.len();
        if self.value(Cow::Borrowed(""), 0, Keep::Yes) == Keep::Yes {
            self.tape.root_at(position);
        } else {
            // Nothing is kept any more, but that there was a document is.
            let position = self.tape.open(Cow::Borrowed(""), Value::Null);
            self.tape.root_at(position);
        }
    }

    /// The members of an object whose opening brace is missing.
    pub(crate) fn fragment(&mut self) {
        self.line_break = LineBreak::Belongs;
        let position = self.tape.open(Cow::Borrowed(""), Value::Object);
        while self.peek().is_some() {
            self.object(self.at, 0, Keep::Yes);
            self.skip_space();
        }
        self.tape.close(position);
        self.tape.root_at(position);
    }

    pub(crate) fn fault(&mut self, offset: usize, what: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { offset, what: what.into() });
        }
    }

    /// The value that comes next, onto the tape; `Keep::No` when it was only passed over.
    fn value(&mut self, key: Cow<'a, str>, depth: usize, keep: Keep) -> Keep {
        let keep = self.keep_within_bounds(keep);
        self.skip_space();
        let start = self.at;
        let value = match self.peek() {
            None => {
                self.fault(start, "the file ends where a value should be");
                Value::Null
            }
            Some(b'{' | b'[') if depth >= DEPTH_MAX => {
                self.fault(start, format!("nested deeper than {DEPTH_MAX} levels; the rest is passed over"));
                self.skip_brackets();
                Value::Null
            }
            Some(b'{') => {
                self.at += 1;
                let position = self.open(key, Value::Object, keep);
                self.objects_open += 1;
                self.object(start, depth, keep);
                self.objects_open -= 1;
                self.close(position);
                return keep;
            }
            Some(b'[') => {
                self.at += 1;
                let position = self.open(key, Value::List, keep);
                self.lists_open += 1;
                self.list(start, depth, keep);
                self.lists_open -= 1;
                self.close(position);
                return keep;
            }
            Some(b'"') => self.string(keep).map_or(Value::Null, Value::Text),
            Some(_) => self.word(),
        };
        self.open(key, value, keep);
        keep
    }

    #[inline]
    fn open(&mut self, key: Cow<'a, str>, value: Value<'a>, keep: Keep) -> Option<usize> {
        (keep == Keep::Yes).then(|| self.tape.open(key, value))
    }

    fn close(&mut self, position: Option<usize>) {
        if let Some(position) = position {
            self.tape.close(position);
        }
    }

    /// Once the budget is spent, the rest of the file is checked but no longer kept.
    fn keep_within_bounds(&mut self, keep: Keep) -> Keep {
        if keep == Keep::No || self.nodes_left == 0 {
            return Keep::No;
        }
        self.nodes_left -= 1;
        if self.nodes_left == 0 {
            self.fault(self.at, format!("more than {NODES_MAX} values; the rest is passed over"));
        }
        Keep::Yes
    }

    /// Members up to the closing brace, or up to where the brace is missed.
    fn object(&mut self, start: usize, depth: usize, keep: Keep) {
        let mut comma_due = false;
        loop {
            self.skip_space();
            match self.peek() {
                None => {
                    self.fault(
                        self.at,
                        format!("the file ends inside the object that began at byte {start}"),
                    );
                    return;
                }
                Some(b'}') => {
                    self.at += 1;
                    return;
                }
                Some(b',') => {
                    self.at += 1;
                    comma_due = false;
                }
                Some(b'"') => {
                    if comma_due {
                        self.fault(self.at, "a comma is missing before this member");
                    }
                    comma_due = true;
                    self.member(depth, keep);
                }
                Some(b'{') => {
                    self.fault(
                        self.at,
                        format!("the object that began at byte {start} is not closed before this one"),
                    );
                    // At the top there is nobody to give the brace to, so it is stepped over.
                    if self.lists_open + self.objects_open == 0 {
                        self.at += 1;
                    }
                    return;
                }
                Some(b']') if self.lists_open > 0 => {
                    self.fault(
                        self.at,
                        format!("the object that began at byte {start} is not closed before this bracket"),
                    );
                    return;
                }
                Some(_) => {
                    self.fault(self.at, "this is no member of an object");
                    self.junk();
                }
            }
        }
    }

    fn member(&mut self, depth: usize, keep: Keep) {
        let key = self.string(Keep::Yes).unwrap_or_default();
        self.skip_space();
        if self.peek() == Some(b':') {
            self.at += 1;
        } else {
            self.fault(self.at, format!("member {key:?} has no value"));
            return;
        }
        let unread = keep == Keep::Yes && self.members == Members::Known && is_unread_member(&key);
        self.value(key, depth + 1, if unread { Keep::No } else { keep });
    }

    /// Items up to the closing bracket, or up to where the bracket is missed.
    fn list(&mut self, start: usize, depth: usize, keep: Keep) {
        let mut comma_due = false;
        loop {
            self.skip_space();
            let before = self.at;
            match self.peek() {
                None => {
                    self.fault(self.at, format!("the file ends inside the list that began at byte {start}"));
                    return;
                }
                Some(b']') => {
                    self.at += 1;
                    return;
                }
                Some(b',') => {
                    self.at += 1;
                    comma_due = false;
                    continue;
                }
                Some(b'}') if self.objects_open > 0 => {
                    self.fault(
                        self.at,
                        format!("the list that began at byte {start} is not closed before this brace"),
                    );
                    return;
                }
                Some(b':' | b'}') => {
                    self.fault(self.at, "this is no item of a list");
                    self.at += 1;
                    continue;
                }
                Some(_) => {}
            }
            if comma_due {
                self.fault(self.at, "a comma is missing before this item");
            }
            comma_due = true;
            let is_text = self.peek() == Some(b'"');
            let position = self.tape.len();
            self.value(Cow::Borrowed(""), depth + 1, keep);
            self.skip_space();
            if is_text && self.peek() == Some(b':') && self.objects_open > 0 {
                self.fault(
                    before,
                    format!("the list that began at byte {start} is not closed before this member"),
                );
                self.at = before;
                self.tape.truncate(position);
                return;
            }
        }
    }

    /// A number, `true`, `false` or `null`; anything else is a fault that reads as null.
    fn word(&mut self) -> Value<'a> {
        let start = self.at;
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'_'))
        {
            self.at += 1;
        }
        let word = match self.text {
            Some(text) => text.get(start..self.at),
            None => self.bytes.get(start..self.at).and_then(|bytes| std::str::from_utf8(bytes).ok()),
        };
        match word.unwrap_or("") {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number if is_number(number) => Value::Number(number),
            _ => {
                self.fault(start, "this is no JSON value");
                if self.at == start {
                    self.junk();
                }
                Value::Null
            }
        }
    }

    /// Steps over at least one byte, up to something that may begin or end a value.
    fn junk(&mut self) {
        self.at += 1;
        while !matches!(self.peek(), None | Some(b'{' | b'}' | b'[' | b']' | b'"' | b',' | b'\n')) {
            self.at += 1;
        }
    }

    /// The string that begins here, unescaped.
    fn string(&mut self, keep: Keep) -> Option<Cow<'a, str>> {
        let quote = self.at;
        // Nearly every string has no escape and stands in a file that is UTF-8.
        let end = plain_end(self.bytes, quote + 1);
        if self.bytes.get(end) == Some(&b'"')
            && let Some(plain) = self.text.and_then(|text| text.get(quote + 1..end))
        {
            self.at = end + 1;
            return (keep == Keep::Yes).then_some(Cow::Borrowed(plain));
        }
        self.at += 1;
        let mut plain_from = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            match self.peek() {
                None => {
                    self.fault(quote, "the file ends inside this string");
                    break;
                }
                Some(b'"') => break,
                Some(b'\n') if self.line_break == LineBreak::EndsString => {
                    self.fault(quote, "this string is not closed on its line");
                    break;
                }
                Some(b'\\') => {
                    let mut text = unescaped.take().unwrap_or_default();
                    text.push_str(&self.lossy(plain_from, self.at));
                    self.escape(&mut text);
                    plain_from = self.at;
                    unescaped = (keep == Keep::Yes).then_some(text);
                }
                Some(_) => self.at = plain_end(self.bytes, self.at + 1),
            }
        }
        let end = self.at;
        if self.peek() == Some(b'"') {
            self.at += 1;
        }
        if keep == Keep::No {
            return None;
        }
        let tail = self.lossy(plain_from, end);
        Some(match unescaped {
            None => tail,
            Some(text) => Cow::Owned(text + &tail),
        })
    }

    fn lossy(&self, from: usize, to: usize) -> Cow<'a, str> {
        match self.text.and_then(|text| text.get(from..to)) {
            Some(text) => Cow::Borrowed(text),
            None => String::from_utf8_lossy(self.bytes.get(from..to).unwrap_or_default()),
        }
    }

    /// The escape that begins here; an invalid one is kept as it was written.
    fn escape(&mut self, text: &mut String) {
        let start = self.at;
        let Some(&letter) = self.bytes.get(start + 1) else {
            self.fault(start, "the file ends inside an escape");
            self.at += 1;
            return;
        };
        self.at += 2;
        match letter {
            b'"' | b'\\' | b'/' => text.push(char::from(letter)),
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => match self.unicode_escape() {
                Some(character) => text.push(character),
                None => {
                    self.fault(start, "this escape names no character");
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            },
            _ => {
                self.fault(start, "this escape does not exist in JSON; it was kept as written");
                text.push('\\');
                // Left for the plain run, because it may be the first byte of a longer character.
                self.at -= 1;
            }
        }
    }

    /// Four hexadecimal digits, or twice four when the first are the first half of a pair.
    fn unicode_escape(&mut self) -> Option<char> {
        let first = self.hex4(self.at)?;
        self.at += 4;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
            return None;
        }
        let second = self.hex4(self.at + 2).filter(|half| (0xdc00..0xe000).contains(half))?;
        self.at += 6;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// Steps over a value by counting brackets, without recursion.
    fn skip_brackets(&mut self) {
        let mut open = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string(Keep::No);
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }
}

/// The first byte from here on that ends the plain part of a string or may do so, eight bytes at a time.
fn plain_end(bytes: &[u8], from: usize) -> usize {
    const LOWS: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Its lowest high bit stands where the first byte of this value is: subtracting borrows only out of a zero byte, so
    // what comes before the first hit is never wrong.
    let hits = |eight: u64, byte: u8| {
        let zeroes = eight ^ (LOWS * u64::from(byte));
        zeroes.wrapping_sub(LOWS) & !zeroes & HIGHS
    };
    let mut at = from;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let eight = u64::from_le_bytes(*eight);
        let found = hits(eight, b'"') | hits(eight, b'\\') | hits(eight, b'\n');
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let telling = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\n');
    at + rest.iter().position(telling).unwrap_or(rest.len())
}

/// Members whose values are large and never asked for; they are checked but not kept.
fn is_unread_member(key: &str) -> bool {
    matches!(
        key,
        "threadState"
            | "instructionState"
            | "instructionByteStream"
            | "trialInfo"
            | "sharedCache"
            | "extMods"
            | "vmSummary"
            | "postSampleVMStats"
            | "additionalDetails"
            | "codeSigningMonitor"
    )
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
        || digits.starts_with(|first: char| first.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn read(text: &str) -> (Tape<'_>, Vec<Fault>) {
        let mut reader = Reader::new(text.as_bytes(), 0, Members::Known);
        reader.document(LineBreak::Belongs);
        (reader.tape, reader.faults)
    }

    #[test]
    fn numbers_stay_whole_beyond_signed_and_floating_range() {
        let (tape, faults) = read(r#"{"x":18446726482597246976,"y":"0xdead10cc","z":-3,"f":1.5}"#);
        let node = tape.document(0).unwrap();
        assert_eq!(faults, []);
        assert_eq!(node.get("x").unwrap().u64(), Some(18_446_726_482_597_246_976));
        assert_eq!(node.get("y").unwrap().u64(), Some(0xdead_10cc));
        assert_eq!(node.get("z").unwrap().u64(), None);
        assert_eq!(node.get("f").unwrap().words().as_deref(), Some("1.5"));
    }

    #[test]
    fn escapes_are_undone_and_invalid_ones_kept() {
        let table = [
            (r#""a\n\u00e9\ud83d\ude00\/""#, "a\né😀/", 0),
            (r#""bad \ escape""#, "bad \\ escape", 1),
            (r#""half \ud83d.""#, "half \u{fffd}.", 1),
            (r#""\é""#, "\\é", 1),
            (r#""cut off"#, "cut off", 1),
        ];
        for (text, expected, faults_expected) in table {
            let (tape, faults) = read(text);
            assert_eq!(
                (tape.document(0).unwrap().str(), faults.len()),
                (Some(expected), faults_expected),
                "{text}"
            );
        }
    }

    #[test]
    fn the_plain_part_of_a_string_ends_at_the_first_telling_byte() {
        let noise = [b'!', b'#', b'[', b']', 0x0b, 0x8a, 0xdc, 0xa2, 0xff, 0];
        for length in 0..20 {
            for place in 0..=length {
                for byte in *b"\"\\\n" {
                    let mut bytes: Vec<u8> = noise.iter().copied().cycle().skip(place).take(length).collect();
                    bytes.insert(place, byte);
                    bytes.extend(*b"\"\"");
                    for from in 0..=place {
                        assert_eq!(plain_end(&bytes, from), place, "{bytes:?} from {from}");
                    }
                }
            }
        }
        assert_eq!(plain_end(b"abcdefghijk", 2), 11);
    }

    #[test]
    fn broken_structure_keeps_what_was_read_and_says_where() {
        let table = [
            (r#"{"a":1,"b":[1,2"#, r#"{"a":1,"b":[1,2]}"#, 15, "ends inside the list that began at byte 11"),
            (
                r#"{"a":[{"n":1,{"n":2}],"b":3}"#,
                r#"{"a":[{"n":1},{"n":2}],"b":3}"#,
                13,
                "not closed before this one",
            ),
            (r#"{"a":[1,2,"b":3}"#, r#"{"a":[1,2],"b":3}"#, 10, "not closed before this member"),
            (r#"{"a":{"c":[1,2},"b":3}"#, r#"{"a":{"c":[1,2]},"b":3}"#, 14, "not closed before this brace"),
            (r#"{"a":1 "b":3}"#, r#"{"a":1,"b":3}"#, 7, "comma is missing"),
            (r#"{"a":[{"n":1],"b":3}"#, r#"{"a":[{"n":1}],"b":3}"#, 12, "not closed before this bracket"),
            (r#"{"a":@@,"b":3}"#, r#"{"a":null,"b":3}"#, 5, "no JSON value"),
        ];
        for (broken, mended, offset, what) in table {
            let (tape, faults) = read(broken);
            assert_eq!(tape, read(mended).0, "{broken}");
            assert_eq!(faults[0].offset, offset, "{broken}: {faults:?}");
            assert!(faults[0].what.contains(what), "{broken}: {faults:?}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = "[".repeat(100_000);
        let (_, faults) = read(&deep);
        assert!(faults[0].what.contains("nested deeper than 64"), "{faults:?}");
        let wide = format!("[{}0]", "0,".repeat(NODES_MAX));
        let (tape, faults) = read(&wide);
        assert!(tape.document(0).unwrap().items().count() < NODES_MAX);
        assert!(faults[0].what.contains("the rest is passed over"), "{faults:?}");
    }

    #[test]
    fn large_members_that_nobody_asks_for_are_checked_but_not_kept() {
        let (tape, faults) = read(r#"{"threadState":{"x":[{"value":1}]},"id":7}"#);
        assert_eq!((tape.document(0).unwrap().members().count(), faults.len()), (1, 0));
        let (_, faults) = read(r#"{"threadState":{"x":@},"id":7}"#);
        assert_eq!(faults[0].offset, 20);
    }
}
