//! How entries lie in sled: chunks of values with a digest, and one state record for the whole.
//! What reads and writes them is `engine`.

use std::sync::Arc;

use crate::api::Revision;
use crate::key::{Key, show};
use crate::state::{Fingerprint, Slot, digest};

/// Most bytes of one sled value. A leaf holds up to 17 items before it splits and must stay below
/// 128 KiB with their keys, or sled keeps it in a blob file that it never syncs.
const CHUNK_BYTES: usize = 4096;

/// The newest format this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The sled key of the state record. Entries begin with [`ENTRY`], so it comes last.
pub(super) const STATE_KEY: &[u8] = b"state";

/// First byte of every sled key that belongs to an entry.
const ENTRY: u8 = b'e';

const MAGIC: &[u8; 8] = b"holdfast";
/// Magic, format, revision, entries, bytes, sum.
const STATE_BODY_BYTES: usize = 8 + 4 + 8 + 8 + 8 + 16;
const DIGEST_BYTES: usize = 16;
/// Digest, version, length of the value.
const HEAD_BYTES: usize = DIGEST_BYTES + 8 + 4;

/// How many chunks a value of this length needs.
pub(super) fn chunks(value_bytes: usize) -> usize {
    (HEAD_BYTES + value_bytes).div_ceil(CHUNK_BYTES)
}

/// The sled key of one chunk. The length comes before the key, so that no entry's chunks lie between
/// those of another.
pub(super) fn chunk_key(key: &Key, chunk: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 4);
    bytes.push(ENTRY);
    bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&u16::try_from(chunk).unwrap_or(u16::MAX).to_be_bytes());
    bytes
}

/// The whole record of an entry, to be cut with [`cut`].
pub(super) fn record(slot: &Slot) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + slot.value.len());
    bytes.extend_from_slice(&slot.digest.to_be_bytes());
    bytes.extend_from_slice(&slot.version.0.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(slot.value.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&slot.value);
    bytes
}

/// The chunks of a record, in order.
pub(super) fn cut(record: &[u8]) -> impl Iterator<Item = &[u8]> {
    record.chunks(CHUNK_BYTES)
}

/// Puts chunks, met in sled's order, together again.
#[derive(Default)]
pub(super) struct Assembly {
    open: Option<(Key, Vec<u8>, usize)>,
}

impl Assembly {
    /// Takes the next sled item; answers the entry that it completes, or what is wrong in words.
    pub(super) fn take(&mut self, sled_key: &[u8], bytes: &[u8]) -> Result<Option<(Key, Slot)>, String> {
        let (key, chunk) =
            split_key(sled_key).ok_or_else(|| format!("`{}` is not a record", show(sled_key)))?;
        let (key, mut record, done) = match self.open.take() {
            Some((open, record, done)) if open == key && chunk == done => (open, record, done),
            None if chunk == 0 => (key, Vec::new(), 0),
            Some((open, ..)) => return Err(format!("the record of `{open}` is incomplete")),
            None => return Err(format!("the record of `{key}` has lost its beginning")),
        };
        record.extend_from_slice(bytes);
        let done = done + 1;
        let value_bytes =
            value_bytes(&record).ok_or_else(|| format!("the record of `{key}` is cut short"))?;
        if record.len() < HEAD_BYTES + value_bytes && done < chunks(value_bytes) {
            self.open = Some((key, record, done));
            return Ok(None);
        }
        let slot =
            parse(&key, &record, value_bytes).ok_or_else(|| format!("the record of `{key}` is damaged"))?;
        Ok(Some((key, slot)))
    }

    /// Checks that nothing is left half read.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.open {
            Some((key, ..)) => Err(format!("the record of `{key}` is incomplete")),
            None => Ok(()),
        }
    }
}

/// The state record for what an open must find.
pub(super) fn state_record(revision: Revision, fingerprint: Fingerprint) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STATE_BODY_BYTES + DIGEST_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&revision.0.to_be_bytes());
    bytes.extend_from_slice(&fingerprint.entries.to_be_bytes());
    bytes.extend_from_slice(&fingerprint.bytes.to_be_bytes());
    bytes.extend_from_slice(&fingerprint.sum.to_be_bytes());
    let check = digest(STATE_KEY, &bytes, revision);
    bytes.extend_from_slice(&check.to_be_bytes());
    bytes
}

/// What a state record says.
pub(super) enum StateRecord {
    /// It was written by a program that this one understands.
    Known(Revision, Fingerprint),
    /// It has a newer format.
    Newer(u32),
    /// It is not what was written.
    Damaged,
}

/// Reads a state record; the format first, because a newer one may look different after it.
pub(super) fn read_state(bytes: &[u8]) -> StateRecord {
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return StateRecord::Damaged };
    match rest.first_chunk().map(|format| u32::from_be_bytes(*format)) {
        Some(format) if format > FORMAT => return StateRecord::Newer(format),
        Some(FORMAT) => {}
        Some(_) | None => return StateRecord::Damaged,
    }
    let numbers = (|| {
        let (revision, rest) = rest.get(4..)?.split_first_chunk::<8>()?;
        let (entries, rest) = rest.split_first_chunk::<8>()?;
        let (bytes, rest) = rest.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<16>()?;
        let fingerprint = Fingerprint {
            entries: u64::from_be_bytes(*entries),
            bytes: u64::from_be_bytes(*bytes),
            sum: u128::from_be_bytes(*sum),
        };
        Some((Revision(u64::from_be_bytes(*revision)), fingerprint))
    })();
    match numbers {
        Some((revision, fingerprint)) if state_record(revision, fingerprint) == bytes => {
            StateRecord::Known(revision, fingerprint)
        }
        Some(_) | None => StateRecord::Damaged,
    }
}

fn split_key(sled_key: &[u8]) -> Option<(Key, usize)> {
    let (key_bytes, rest) = sled_key.strip_prefix(&[ENTRY])?.split_first()?;
    let (key, chunk) = rest.split_at_checked(usize::from(*key_bytes))?;
    let chunk = u16::from_be_bytes(chunk.try_into().ok()?);
    Some((Key::new(key).ok()?, usize::from(chunk)))
}

fn value_bytes(record: &[u8]) -> Option<usize> {
    let length = record.get(DIGEST_BYTES + 8..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*length)).ok()
}

fn parse(key: &Key, record: &[u8], value_bytes: usize) -> Option<Slot> {
    let (check, rest) = record.split_first_chunk::<DIGEST_BYTES>()?;
    let (version, _) = rest.split_first_chunk::<8>()?;
    let value = record.get(HEAD_BYTES..)?;
    if value.len() != value_bytes {
        return None;
    }
    let slot = Slot::new(key, Arc::from(value), Revision(u64::from_be_bytes(*version)));
    (slot.digest == u128::from_be_bytes(*check)).then_some(slot)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn chunked(key: &Key, slot: &Slot) -> Vec<(Vec<u8>, Vec<u8>)> {
        let whole = record(slot);
        cut(&whole).enumerate().map(|(chunk, bytes)| (chunk_key(key, chunk), bytes.to_vec())).collect()
    }

    #[test]
    fn values_of_every_size_come_back_whole() {
        let key = Key::new("job/1").unwrap();
        for bytes in [0, 1, 4067, 4068, 4069, 8164, 8165, crate::VALUE_BYTES_MAX] {
            let slot = Slot::new(&key, vec![7; bytes].into(), Revision(9));
            let items = chunked(&key, &slot);
            assert_eq!(items.len(), chunks(bytes), "{bytes} bytes");
            let mut assembly = Assembly::default();
            let mut found = None;
            for (sled_key, bytes) in &items {
                assert!(found.is_none(), "complete only at the last chunk");
                found = assembly.take(sled_key, bytes).unwrap();
            }
            let (found_key, found) = found.unwrap();
            assert_eq!((found_key, found.value, found.version), (key.clone(), slot.value, slot.version));
            assembly.finish().unwrap();
        }
    }

    #[test]
    fn every_changed_byte_of_a_record_is_noticed_and_names_its_key() {
        let key = Key::new("job/1").unwrap();
        let slot = Slot::new(&key, vec![7; 5000].into(), Revision(9));
        let items = chunked(&key, &slot);
        for (item, byte) in (0..items.len()).flat_map(|item| (0..items[item].1.len()).map(move |b| (item, b)))
        {
            let mut items = items.clone();
            items[item].1[byte] ^= 1;
            let mut assembly = Assembly::default();
            let outcome = items
                .iter()
                .try_for_each(|(sled_key, bytes)| assembly.take(sled_key, bytes).map(drop))
                .and_then(|()| assembly.finish());
            assert!(outcome.unwrap_err().contains("job/1"), "item {item}, byte {byte}");
        }
    }

    #[test]
    fn a_state_record_is_known_newer_or_damaged() {
        let fingerprint = Fingerprint { entries: 3, sum: 77, bytes: 12 };
        let good = state_record(Revision(5), fingerprint);
        assert!(
            matches!(read_state(&good), StateRecord::Known(Revision(5), found) if found == fingerprint),
            "what was written is read"
        );
        let mut newer = good.clone();
        newer[11] = 2;
        assert!(matches!(read_state(&newer), StateRecord::Newer(2)));
        for byte in 12..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            assert!(matches!(read_state(&bad), StateRecord::Damaged), "byte {byte}");
        }
        assert!(matches!(read_state(&good[..good.len() - 1]), StateRecord::Damaged));
    }
}
