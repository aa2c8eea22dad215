//! The values of a JSON file in the order in which they stand there, in one list: a whole report costs one allocation
//! and not one for each of its objects.
//!
//! How they are read is known in [`crate::json`], what they mean elsewhere.

use std::borrow::Cow;

/// All values of a file, each followed by those inside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tape<'a> {
    entries: Vec<Entry<'a>>,
    roots: Vec<usize>,
}

/// One value and how far what lies inside it reaches.
#[derive(Debug, Clone, PartialEq)]
struct Entry<'a> {
    /// Empty for what is no member of an object.
    key: Cow<'a, str>,
    value: Value<'a>,
    /// The position after the last value inside this one.
    end: usize,
}

/// One JSON value, borrowed from the file where nothing had to be unescaped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    List,
    Object,
}

impl<'a> Tape<'a> {
    /// A tape with room for what a file of this many bytes usually holds.
    pub(crate) fn for_bytes(count: usize) -> Tape<'a> {
        // Real crashes keep a value of about 29 bytes, large ones fewer.
        Tape { entries: Vec::with_capacity((count / 24).min(ENTRIES_AT_FIRST)), roots: Vec::new() }
    }

    /// Adds a value; what is added from now on until [`Tape::close`] lies inside it.
    #[inline]
    pub(crate) fn open(&mut self, key: Cow<'a, str>, value: Value<'a>) -> usize {
        let position = self.entries.len();
        self.entries.push(Entry { key, value, end: position + 1 });
        position
    }

    /// Nothing more lies inside the value at this position.
    pub(crate) fn close(&mut self, position: usize) {
        let end = self.entries.len();
        if let Some(entry) = self.entries.get_mut(position) {
            entry.end = end;
        }
    }

    /// Where the next value will stand.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets everything from this position on.
    pub(crate) fn truncate(&mut self, position: usize) {
        self.entries.truncate(position);
    }

    /// The value at this position is a whole document.
    pub(crate) fn root_at(&mut self, position: usize) {
        self.roots.push(position);
    }

    /// How many documents there are.
    pub(crate) fn documents(&self) -> usize {
        self.roots.len()
    }

    /// A whole document.
    pub(crate) fn document(&self, number: usize) -> Option<Node<'_>> {
        let at = *self.roots.get(number)?;
        (at < self.entries.len()).then_some(Node { entries: &self.entries, at })
    }
}

/// Entries for which room is made before anything is read, so that a large file of blanks takes none.
const ENTRIES_AT_FIRST: usize = 16_384;

/// A value on the tape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'t> {
    entries: &'t [Entry<'t>],
    at: usize,
}

impl<'t> Node<'t> {
    fn entry(self) -> Option<&'t Entry<'t>> {
        self.entries.get(self.at)
    }

    fn value(self) -> &'t Value<'t> {
        self.entry().map_or(&Value::Null, |entry| &entry.value)
    }

    fn inside(self) -> Items<'t> {
        match self.entry() {
            Some(entry) => Items { entries: self.entries, at: self.at + 1, end: entry.end },
            None => Items::default(),
        }
    }

    /// The first member of this name; `None` too when this is no object.
    pub(crate) fn get(self, name: &str) -> Option<Node<'t>> {
        self.members().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Names and values; nothing when this is no object.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'t str, Node<'t>)> {
        let inside = if matches!(self.value(), Value::Object) { self.inside() } else { Items::default() };
        inside.map(|node| (node.entry().map_or("", |entry| entry.key.as_ref()), node))
    }

    /// The items of a list; nothing when this is no list.
    pub(crate) fn items(self) -> Items<'t> {
        if self.is_list() { self.inside() } else { Items::default() }
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self.value(), Value::List)
    }

    pub(crate) fn is_object(self) -> bool {
        matches!(self.value(), Value::Object)
    }

    pub(crate) fn str(self) -> Option<&'t str> {
        match self.value() {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List | Value::Object => None,
        }
    }

    /// Text, or a number or truth value as it was written: several fields drift between these from release to release.
    pub(crate) fn words(self) -> Option<Cow<'t, str>> {
        match self.value() {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Number(digits) => Some(Cow::Borrowed(digits)),
            Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
            Value::Null | Value::List | Value::Object => None,
        }
    }

    /// A whole number, also when it was written as text (`"78"`, `"0xdead10cc"`).
    pub(crate) fn u64(self) -> Option<u64> {
        match self.value() {
            Value::Number(digits) => digits.parse().ok(),
            Value::Text(text) => match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => text.parse().ok(),
            },
            Value::Null | Value::Bool(_) | Value::List | Value::Object => None,
        }
    }

    /// `true`, or any number but zero: flags are truth values up to iOS 12 and numbers later.
    pub(crate) fn truth(self) -> bool {
        matches!(self.value(), Value::Bool(true)) || self.u64().is_some_and(|number| number != 0)
    }
}

/// The values inside another one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Items<'t> {
    entries: &'t [Entry<'t>],
    at: usize,
    end: usize,
}

impl<'t> Iterator for Items<'t> {
    type Item = Node<'t>;

    #[inline]
    fn next(&mut self) -> Option<Node<'t>> {
        if self.at >= self.end {
            return None;
        }
        let node = Node { entries: self.entries, at: self.at };
        self.at = node.entry()?.end;
        Some(node)
    }
}
