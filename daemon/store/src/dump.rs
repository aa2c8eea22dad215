//! The logical dump of a store: JSON lines that a person can read and a program can check.
//!
//! ```text
//! {"holdfast_dump":1,"revision":7}
//! {"key":{"text":"phone/a"},"version":3,"value":{"text":"{\"v\":1}"},"check":"1f0c…"}
//! {"entries":1,"blake3":"af13…"}
//! ```
//!
//! Keys are in order. `check` is the first 16 bytes of BLAKE3 over key, version and value, so that an
//! altered line is named; the last line covers all bytes before it. Where dumps come from and go to
//! is not known here.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::api::Revision;
use crate::error::StoreError;
use crate::key::Key;
use crate::memory::MemoryStore;
use crate::plan::VALUE_BYTES_MAX;
use crate::state::{Slot, State};

/// The newest dump format.
const DUMP_FORMAT: u32 = 1;

/// Longest line read: a value in hex with room for the rest. Longer ones are no dump of ours.
const LINE_BYTES_MAX: usize = 4 * VALUE_BYTES_MAX * 2;

/// What a dump holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The revision of the store.
    pub revision: Revision,
    /// How many entries.
    pub entries: u64,
    /// BLAKE3 of everything before the last line, in hex.
    pub blake3: String,
}

impl MemoryStore {
    /// A store in memory with the contents of a dump.
    ///
    /// # Errors
    /// [`StoreError::Dump`] names the line that is wrong.
    pub fn from_dump(from: impl BufRead) -> Result<Self, StoreError> {
        read(from).map(|(state, _)| Self::holding(state))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    holdfast_dump: u32,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Bytes,
    version: u64,
    value: Bytes,
    check: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    entries: u64,
    blake3: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bytes {
    Text(String),
    Hex(String),
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(hex(bytes)),
        }
    }

    fn into_vec(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Hex(digits) => unhex(&digits),
        }
    }
}

/// Writes a state as a dump.
pub(crate) fn write(state: &State, to: impl Write) -> Result<Summary, StoreError> {
    let mut to = Hashed { to: std::io::BufWriter::new(to), hasher: blake3::Hasher::new() };
    to.line(&Head { holdfast_dump: DUMP_FORMAT, revision: state.revision.0 })?;
    let mut entries = 0;
    for (key, slot) in state.iter() {
        to.line(&Line {
            key: Bytes::of(key),
            version: slot.version.0,
            value: Bytes::of(&slot.value),
            check: format!("{:032x}", slot.digest),
        })?;
        entries += 1;
    }
    let blake3 = to.hasher.finalize().to_hex().to_string();
    to.line(&Trailer { entries, blake3: blake3.clone() })?;
    to.to.flush().map_err(write_error)?;
    Ok(Summary { revision: state.revision, entries, blake3 })
}

/// Reads and checks a whole dump.
pub(crate) fn read(from: impl BufRead) -> Result<(State, Summary), StoreError> {
    let mut lines = Lines { from, hasher: blake3::Hasher::new(), number: 0 };
    let Some(first) = lines.next()? else { return Err(lines.wrong("the file is empty")) };
    let head: Head =
        serde_json::from_str(&first).map_err(|_| lines.wrong("this is no dump of a Holdfast store"))?;
    if head.holdfast_dump != DUMP_FORMAT {
        let detail = format!("dump format {} is not known, only {DUMP_FORMAT} is", head.holdfast_dump);
        return Err(lines.wrong(detail));
    }
    lines.hash(&first);
    let mut state = State::at(Revision(head.revision));
    let mut last: Option<Key> = None;
    let mut entries = 0;
    loop {
        let Some(text) = lines.next()? else {
            return Err(lines.wrong("the dump ends without its last line"));
        };
        if text.starts_with("{\"entries\"") {
            let summary = check_trailer(&mut lines, &text, state.revision, entries)?;
            return Ok((state, summary));
        }
        lines.hash(&text);
        let (key, slot) = parse_line(&text, state.revision).map_err(|detail| lines.wrong(detail))?;
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(lines.wrong(format!("the key `{key}` is out of order")));
        }
        last = Some(key.clone());
        state.set(key, Some(slot));
        entries += 1;
    }
}

fn parse_line(text: &str, newest: Revision) -> Result<(Key, Slot), String> {
    let line: Line = serde_json::from_str(text).map_err(|error| format!("not an entry: {error}"))?;
    let key = line.key.into_vec().ok_or("the key is not hex")?;
    let key = Key::new(key).map_err(|error| error.to_string())?;
    let value = line.value.into_vec().ok_or("the value is not hex")?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("the value of `{key}` has {} bytes, more than {VALUE_BYTES_MAX}", value.len()));
    }
    let version = Revision(line.version);
    if version > newest || version == Revision::ZERO {
        return Err(format!("the version {version} of `{key}` is not one of revisions 1 to {newest}"));
    }
    let slot = Slot::new(&key, value.into(), version);
    if format!("{:032x}", slot.digest) != line.check {
        return Err(format!("the entry `{key}` was altered: it does not fit its check"));
    }
    Ok((key, slot))
}

fn check_trailer<R: BufRead>(
    lines: &mut Lines<R>,
    text: &str,
    revision: Revision,
    entries: u64,
) -> Result<Summary, StoreError> {
    let trailer: Trailer =
        serde_json::from_str(text).map_err(|error| lines.wrong(format!("not the last line: {error}")))?;
    if trailer.entries != entries {
        return Err(lines.wrong(format!("{} entries were written, {entries} are here", trailer.entries)));
    }
    if lines.hasher.finalize().to_hex().as_str() != trailer.blake3 {
        return Err(lines.wrong("the lines before do not fit the checksum"));
    }
    if lines.next()?.is_some() {
        return Err(lines.wrong("there is more after the last line"));
    }
    Ok(Summary { revision, entries, blake3: trailer.blake3 })
}

struct Hashed<W: Write> {
    to: std::io::BufWriter<W>,
    hasher: blake3::Hasher,
}

impl<W: Write> Hashed<W> {
    fn line(&mut self, line: &impl Serialize) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(line).map_err(|source| StoreError::Encode { source })?;
        text.push(b'\n');
        self.hasher.update(&text);
        self.to.write_all(&text).map_err(write_error)
    }
}

struct Lines<R> {
    from: R,
    hasher: blake3::Hasher,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; a last line without an end was cut off.
    fn next(&mut self) -> Result<Option<String>, StoreError> {
        self.number += 1;
        let mut bytes = Vec::new();
        let mut limited = std::io::Read::take(&mut self.from, LINE_BYTES_MAX as u64);
        limited
            .read_until(b'\n', &mut bytes)
            .map_err(|source| StoreError::DumpFile { action: "read", source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.pop() != Some(b'\n') {
            return Err(self.wrong("the line is cut off or too long"));
        }
        String::from_utf8(bytes).map(Some).map_err(|_| self.wrong("the line is not UTF-8"))
    }

    fn hash(&mut self, text: &str) {
        self.hasher.update(text.as_bytes());
        self.hasher.update(b"\n");
    }

    fn wrong(&self, detail: impl Into<String>) -> StoreError {
        StoreError::Dump { line: self.number, detail: detail.into() }
    }
}

fn write_error(source: std::io::Error) -> StoreError {
    StoreError::DumpFile { action: "write", source }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn state() -> State {
        let mut state = State::at(Revision(9));
        for (key, value, version) in
            [(&b"job/\0\x01"[..], &b"{}"[..], 2), (b"phone/a", b"\xff\0", 9), (b"phone/\xf0", b"", 1)]
        {
            let key = Key::new(key).unwrap();
            let slot = Slot::new(&key, value.into(), Revision(version));
            state.set(key, Some(slot));
        }
        state
    }

    fn dump() -> String {
        let mut bytes = Vec::new();
        write(&state(), &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_was_exported_is_imported() {
        let (read, summary) = read(dump().as_bytes()).unwrap();
        assert_eq!(read.fingerprint(), state().fingerprint());
        assert_eq!((summary.entries, summary.revision), (3, Revision(9)));
    }

    #[test]
    fn a_wrong_dump_is_refused_and_the_line_named() {
        let good = dump();
        let lines: Vec<&str> = good.lines().collect();
        let without = |skip: usize| -> String {
            let kept = lines.iter().enumerate().filter(|(i, _)| *i != skip);
            kept.map(|(_, line)| format!("{line}\n")).collect()
        };
        for (name, text, line) in [
            ("empty", String::new(), 1),
            ("not a dump", "hello\n".to_owned(), 1),
            ("newer", good.replacen("dump\":1", "dump\":2", 1), 1),
            ("value altered", good.replacen("\"ff00\"", "\"ff01\"", 1), 3),
            ("version altered", good.replacen("\"version\":2", "\"version\":3", 1), 2),
            ("revision altered", good.replacen("\"revision\":9", "\"revision\":10", 1), 5),
            ("entry lost", without(2), 4),
            ("last line lost", without(4), 5),
            ("swapped", format!("{}\n{}\n{}\n{}\n{}\n", lines[0], lines[2], lines[1], lines[3], lines[4]), 3),
            ("more after it", format!("{good}{}\n", lines[1]), 6),
            ("cut inside a line", good[..good.len() - 5].to_owned(), 5),
        ] {
            match read(text.as_bytes()) {
                Err(StoreError::Dump { line: found, detail }) => assert_eq!(found, line, "{name}: {detail}"),
                other => assert!(other.is_err(), "{name} was accepted"),
            }
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let good = dump();
        for end in 0..good.len() {
            assert!(read(&good.as_bytes()[..end]).is_err(), "cut at byte {end}");
        }
    }
}
