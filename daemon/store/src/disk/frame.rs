//! How groups of changes lie in the journal: frames with a digest, each naming the one before. What reads and writes
//! the file is `engine`.

use std::sync::Arc;

use crate::api::Revision;
use crate::key::Key;
use crate::state::{Fingerprint, Slot};

/// The newest format this program writes and reads.
pub(super) const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"holdfast";

/// Bytes of the file's head: magic and format.
pub(super) const HEAD_BYTES: usize = 12;

/// What every frame begins with: a place to look for frames behind a damaged one.
pub(super) const MARK: &[u8; 8] = b"\xf5frame\r\n";

/// Mark, length of the body, digest of the frame before, own digest.
pub(super) const FRAME_HEAD_BYTES: usize = 8 + 4 + DIGEST_BYTES + DIGEST_BYTES;

/// Longest body that can be right: a group and everything around its entries. More is damage, not data.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

const DIGEST_BYTES: usize = 16;

/// Flag, revision, entries, bytes, sum.
const BODY_HEAD_BYTES: usize = 1 + 8 + 8 + 8 + 16;

/// Names a frame: whoever names it has read everything before it too.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// The digest that stands before the first frame.
pub(super) const BEFORE_ALL: Digest = [0; DIGEST_BYTES];

/// The head of a file.
pub(super) fn head() -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..].copy_from_slice(&FORMAT.to_be_bytes());
    bytes
}

/// The format that a file's head names; none when it is no head.
pub(super) fn format_of(bytes: &[u8]) -> Option<u32> {
    bytes.strip_prefix(MAGIC)?.first_chunk().map(|format| u32::from_be_bytes(*format))
}

/// A frame under construction.
pub(super) struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    /// An empty frame that comes after another.
    pub(super) fn after(before: Digest) -> Self {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&before);
        bytes.extend_from_slice(&[0; DIGEST_BYTES + BODY_HEAD_BYTES]);
        Self { bytes }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds what a key becomes; nothing when it is removed.
    pub(super) fn add(&mut self, key: &Key, new: Option<&Slot>) {
        self.bytes.push(u8::from(new.is_some()));
        self.bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(key);
        if let Some(slot) = new {
            self.bytes.extend_from_slice(&slot.version.0.to_be_bytes());
            self.bytes.extend_from_slice(&slot.digest.to_be_bytes());
            self.bytes.extend_from_slice(&u32::try_from(slot.value.len()).unwrap_or(u32::MAX).to_be_bytes());
            self.bytes.extend_from_slice(&slot.value);
        }
    }

    /// The finished frame with its digest. With a state it completes what came before; without, more follows before
    /// anything counts.
    pub(super) fn finish(mut self, state: Option<(Revision, Fingerprint)>) -> (Vec<u8>, Digest) {
        if let Some((revision, fingerprint)) = state {
            let mut body = Vec::with_capacity(BODY_HEAD_BYTES);
            body.push(1);
            body.extend_from_slice(&revision.0.to_be_bytes());
            body.extend_from_slice(&fingerprint.entries.to_be_bytes());
            body.extend_from_slice(&fingerprint.bytes.to_be_bytes());
            body.extend_from_slice(&fingerprint.sum.to_be_bytes());
            self.bytes[FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + BODY_HEAD_BYTES].copy_from_slice(&body);
        }
        let length = u32::try_from(self.bytes.len() - FRAME_HEAD_BYTES).unwrap_or(u32::MAX);
        self.bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let digest = digest(&self.bytes[8..12 + DIGEST_BYTES], &self.bytes[FRAME_HEAD_BYTES..]);
        self.bytes[12 + DIGEST_BYTES..FRAME_HEAD_BYTES].copy_from_slice(&digest);
        (self.bytes, digest)
    }
}

/// The head of a frame that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHead {
    /// Bytes of its body.
    pub(super) body_bytes: usize,
    /// The frame before.
    pub(super) before: Digest,
    /// Its own digest.
    pub(super) digest: Digest,
}

impl FrameHead {
    /// Reads a head; none when it is no frame's.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MARK)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (before, rest) = rest.split_first_chunk::<DIGEST_BYTES>()?;
        let (digest, _) = rest.split_first_chunk::<DIGEST_BYTES>()?;
        let body_bytes = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let right = (BODY_HEAD_BYTES..=BODY_BYTES_MAX).contains(&body_bytes);
        right.then_some(Self { body_bytes, before: *before, digest: *digest })
    }

    /// Whether this is the body that was written under this head.
    pub(super) fn fits(&self, body: &[u8]) -> bool {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut head = [0; 4 + DIGEST_BYTES];
        head[..4].copy_from_slice(&length);
        head[4..].copy_from_slice(&self.before);
        body.len() == self.body_bytes && digest(&head, body) == self.digest
    }
}

fn digest(head: &[u8], body: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    let mut first = BEFORE_ALL;
    first.copy_from_slice(&hasher.finalize().as_bytes()[..DIGEST_BYTES]);
    first
}

/// What a body says of the state after it; none when more follows before anything counts.
pub(super) fn state_of(body: &[u8]) -> Option<(Revision, Fingerprint)> {
    let rest = body.strip_prefix(&[1])?;
    let (revision, rest) = rest.split_first_chunk::<8>()?;
    let (entries, rest) = rest.split_first_chunk::<8>()?;
    let (bytes, rest) = rest.split_first_chunk::<8>()?;
    let (sum, _) = rest.split_first_chunk::<16>()?;
    let fingerprint = Fingerprint {
        entries: u64::from_be_bytes(*entries),
        sum: u128::from_be_bytes(*sum),
        bytes: u64::from_be_bytes(*bytes),
    };
    Some((Revision(u64::from_be_bytes(*revision)), fingerprint))
}

/// The changes in a body whose digest is right. None stands for a change that makes no sense, which only a program
/// with a mistake can have written.
pub(super) fn changes(body: &[u8]) -> impl Iterator<Item = Option<(Key, Option<Slot>)>> {
    let mut rest = body.get(BODY_HEAD_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let read = change(rest);
        rest = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(change, _)| change))
    })
}

type Read<'a> = ((Key, Option<Slot>), &'a [u8]);

fn change(bytes: &[u8]) -> Option<Read<'_>> {
    let (&[tag, key_bytes], rest) = bytes.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(key_bytes))?;
    let key = Key::new(key).ok()?;
    match tag {
        0 => Some(((key, None), rest)),
        1 => {
            let (version, rest) = rest.split_first_chunk::<8>()?;
            let (digest, rest) = rest.split_first_chunk::<16>()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            let slot = Slot {
                value: Arc::from(value),
                version: Revision(u64::from_be_bytes(*version)),
                digest: u128::from_be_bytes(*digest),
            };
            Some(((key, Some(slot)), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_changed_byte_is_noticed() {
        let (one, two) = (Key::new("job/1").unwrap(), Key::new("job/2").unwrap());
        let slot = Slot::new(&one, vec![7; 300].into(), Revision(9));
        let mut frame = Frame::after([3; 16]);
        frame.add(&one, Some(&slot));
        frame.add(&two, None);
        let fingerprint = Fingerprint { entries: 1, sum: slot.digest, bytes: 305 };
        let (bytes, digest) = frame.finish(Some((Revision(9), fingerprint)));
        let head = FrameHead::read(&bytes).unwrap();
        let body = &bytes[FRAME_HEAD_BYTES..];
        assert!(head.fits(body) && head.digest == digest && head.before == [3; 16]);
        assert_eq!(state_of(body), Some((Revision(9), fingerprint)));
        let read: Vec<_> = changes(body).map(Option::unwrap).collect();
        assert_eq!((&read[0].0, read[0].1.as_ref().unwrap().digest), (&one, slot.digest));
        assert_eq!((&read[1].0, read[1].1.is_none()), (&two, true));
        for byte in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[byte] ^= 1;
            let noticed = FrameHead::read(&bad).is_none_or(|head| !head.fits(&bad[FRAME_HEAD_BYTES..]));
            assert!(noticed, "byte {byte}");
        }
    }
}
