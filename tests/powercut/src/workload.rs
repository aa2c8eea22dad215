//! What the recorded program writes, and what must therefore be found after a crash.
//!
//! Several writers each commit their transactions one after another. Transaction `n` of a writer is
//! the same in every run, so that the contents after it are known. After a crash, each writer's data
//! must be exactly as after one of its transactions: the last acknowledged one, or the one that was
//! begun then. Who runs it is `bin/workload.rs`; nothing here touches a disk.

use std::collections::BTreeMap;

use crate::disk::Dice;

/// How many writers commit at the same time.
pub const WRITERS: usize = 4;

/// A further writer, for transactions of many megabytes, each over a dozen and more of sled's segments.
pub const BULK_WRITER: usize = WRITERS;

/// Keys in each transaction of [`BULK_WRITER`], with values as large as they may be.
const BULK_KEYS: usize = 240;

/// Keys of one writer beside its counters: few, so that values are overwritten and space is reused.
const KEYS: u64 = 24;

/// Everything in a store, as plain bytes.
pub type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// One change: a value, or a removal.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// The changes of a writer's transaction, counted from 1; no key twice.
#[must_use]
pub fn transaction(writer: usize, number: u64) -> Vec<Change> {
    let mut dice = Dice((writer as u64) << 32 | number);
    let counter = number.to_string().into_bytes();
    // Two counters far apart in key order: half a transaction shows as a difference between them.
    let mut changes = BTreeMap::from([
        (first_counter(writer), Some(counter.clone())),
        (format!("zz/w{writer}").into_bytes(), Some(counter)),
    ]);
    if writer == BULK_WRITER {
        for index in 0..BULK_KEYS {
            let keep = !number.is_multiple_of(3) || index % 2 == 0;
            let letter = u8::try_from(dice.below(256)).unwrap_or_default();
            changes
                .insert(format!("w{writer}/b{index:03}").into_bytes(), keep.then(|| vec![letter; 32 * 1024]));
        }
        return changes.into_iter().collect();
    }
    for _ in 0..=dice.below(4) {
        let key = format!("w{writer}/k{:02}", dice.below(KEYS)).into_bytes();
        let value = (dice.below(5) > 0).then(|| value(&mut dice, writer));
        changes.insert(key, value);
    }
    changes.into_iter().collect()
}

/// What a writer's data is after this many of its transactions.
#[must_use]
pub fn expected(writer: usize, transactions: u64) -> Contents {
    let mut contents = Contents::new();
    for number in 1..=transactions {
        for (key, value) in transaction(writer, number) {
            match value {
                Some(value) => contents.insert(key, value),
                None => contents.remove(&key),
            };
        }
    }
    contents
}

/// How many transactions of a writer the store says it holds.
#[must_use]
pub fn transactions_in(contents: &Contents, writer: usize) -> u64 {
    let counter = contents.get(&first_counter(writer));
    counter.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0)
}

/// What each writer began and what was acknowledged to it, according to the marks so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    begun: [u64; WRITERS + 1],
    acknowledged: [u64; WRITERS + 1],
}

impl Ledger {
    /// Takes in a mark: `begin WRITER NUMBER` or `ack WRITER NUMBER`; others are not its business.
    pub fn take(&mut self, mark: &str) {
        let mut words = mark.split_whitespace();
        let (kind, writer, number) = (words.next(), words.next(), words.next());
        let parsed =
            writer.and_then(|w| w.parse::<usize>().ok()).zip(number.and_then(|n| n.parse::<u64>().ok()));
        let Some((writer, number)) = parsed.filter(|(writer, _)| *writer <= BULK_WRITER) else { return };
        match kind {
            Some("begin") => self.begun[writer] = self.begun[writer].max(number),
            Some("ack") => self.acknowledged[writer] = self.acknowledged[writer].max(number),
            Some(_) | None => {}
        }
    }

    /// All that was acknowledged, of all writers.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.iter().sum()
    }

    /// Whether these contents are allowed; if not, why.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn judge(&self, contents: &Contents) -> Result<(), Wrong> {
        for writer in 0..=BULK_WRITER {
            let found = transactions_in(contents, writer);
            let (acknowledged, begun) = (self.acknowledged[writer], self.begun[writer]);
            if found < acknowledged {
                return Err(Wrong::Lost { writer, acknowledged, found });
            }
            if found > begun {
                return Err(Wrong::Invented { writer, begun, found });
            }
            let own = |key: &[u8]| {
                key.starts_with(format!("w{writer}/").as_bytes()) || key == format!("zz/w{writer}").as_bytes()
            };
            let found_now: BTreeMap<&[u8], &[u8]> = contents
                .iter()
                .filter(|(key, _)| own(key))
                .map(|(key, value)| (&key[..], &value[..]))
                .collect();
            let expected = expected(writer, found);
            let expected_now: BTreeMap<&[u8], &[u8]> =
                expected.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            if found_now != expected_now {
                let mut keys = expected_now.keys().chain(found_now.keys());
                let key = keys
                    .find(|key| expected_now.get(*key) != found_now.get(*key))
                    .copied()
                    .unwrap_or_default();
                return Err(Wrong::Half { writer, found, key: String::from_utf8_lossy(key).into_owned() });
            }
        }
        Ok(())
    }
}

/// What a store did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Acknowledged transactions are gone.
    #[error("writer {writer} was told of {acknowledged} transactions and {found} are there")]
    Lost {
        /// Whose.
        writer: usize,
        /// The last one acknowledged.
        acknowledged: u64,
        /// The last one there.
        found: u64,
    },
    /// There is more than was ever begun.
    #[error("writer {writer} began {begun} transactions and {found} are there")]
    Invented {
        /// Whose.
        writer: usize,
        /// The last one begun.
        begun: u64,
        /// The last one there.
        found: u64,
    },
    /// A transaction is there in part, or a part of the data is gone.
    #[error("writer {writer} has {found} transactions, but `{key}` is not as after that one")]
    Half {
        /// Whose.
        writer: usize,
        /// The last one that the counter names.
        found: u64,
        /// The first key that differs.
        key: String,
    },
    /// A job is not where it has to be, in words.
    #[error("{0}")]
    Job(String),
    /// The store can't be opened, read or written.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
}

fn first_counter(writer: usize) -> Vec<u8> {
    format!("w{writer}/last").into_bytes()
}

/// Mostly records of some hundred bytes, some large ones, a few as large as values may be; but those
/// of the last writer are mostly large, so that large ones lie side by side.
fn value(dice: &mut Dice, writer: usize) -> Vec<u8> {
    let range = if writer == WRITERS - 1 { 60 } else { 20 };
    let bytes = match dice.below(range) {
        0..=13 => 50 + dice.below(300),
        14..=17 => 2000 + dice.below(3000),
        18 => 12_000,
        _ => 32 * 1024,
    };
    let letter = u8::try_from(dice.below(256)).unwrap_or_default();
    let mut value = vec![letter; usize::try_from(bytes).unwrap_or_default()];
    // Distinct at both ends, so that a mixture of two values is never taken for one of them.
    let mark = dice.roll().to_be_bytes();
    value[..8].copy_from_slice(&mark);
    let end = value.len() - 8;
    value[end..].copy_from_slice(&mark);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judge_finds_what_it_should() {
        let mut ledger = Ledger::default();
        for mark in ["begin 0 1", "ack 0 1", "begin 0 2", "open-begin", "ack 9 9"] {
            ledger.take(mark);
        }
        assert_eq!(ledger.judge(&expected(0, 1)), Ok(()));
        assert_eq!(ledger.judge(&expected(0, 2)), Ok(()), "begun may be there");
        let lost = ledger.judge(&Contents::new());
        assert_eq!(lost, Err(Wrong::Lost { writer: 0, acknowledged: 1, found: 0 }));
        assert!(matches!(ledger.judge(&expected(0, 3)), Err(Wrong::Invented { .. })));
        for key in expected(0, 2).keys().filter(|key| !key.ends_with(b"last")) {
            let mut half = expected(0, 2);
            half.remove(key);
            assert!(matches!(ledger.judge(&half), Err(Wrong::Half { .. })));
        }
    }
}
