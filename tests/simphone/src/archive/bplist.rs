//! Looks a binary property list over before it is parsed: a few hundred bytes can stand for a list that is nested a
//! million times or that unfolds to more than the memory, because its objects refer to each other.
//! The parsing itself is done by the `plist` crate.

/// The first bytes of every binary property list.
const MAGIC: &[u8] = b"bplist00";

/// The trailer at the end: sizes, number of objects, root, where the table of offsets is.
const TRAILER_BYTES: usize = 32;

/// Why the bytes are not worth parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not a binary property list.
    #[error("not a binary property list, or one that is cut off")]
    Malformed,
    /// An object holds itself.
    #[error("an object holds itself")]
    Cyclic,
    /// Nested deeper than allowed.
    #[error("nested too deep")]
    TooDeep,
    /// It would unfold to more objects than allowed.
    #[error("it would unfold to too many objects")]
    TooLarge,
}

/// Says whether the list is at most `depth_max` deep and unfolds to at most `objects_max` objects.
///
/// # Errors
/// [`Unfit`] says why not. Lists that pass may still be refused by the parser.
pub fn check(bytes: &[u8], depth_max: usize, objects_max: u64) -> Result<(), Unfit> {
    let table = Table::read(bytes).ok_or(Unfit::Malformed)?;
    let mut sizes: Vec<Size> = vec![Size::Unknown; table.count];
    table.measure(table.root, depth_max, objects_max, &mut sizes).map(|_| ())
}

#[derive(Clone, Copy)]
enum Size {
    Unknown,
    InProgress,
    /// Objects after unfolding, and levels.
    Known(u64, usize),
}

struct Table<'a> {
    bytes: &'a [u8],
    offsets: &'a [u8],
    offset_bytes: usize,
    reference_bytes: usize,
    count: usize,
    root: usize,
}

impl<'a> Table<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let body = bytes.len().checked_sub(TRAILER_BYTES)?;
        if !bytes.starts_with(MAGIC) || body < MAGIC.len() {
            return None;
        }
        let trailer = bytes.get(body..)?;
        let number = |at: usize| usize::try_from(big_endian(trailer.get(at..at + 8)?)?).ok();
        let offset_bytes = usize::from(*trailer.get(6)?);
        let reference_bytes = usize::from(*trailer.get(7)?);
        let (count, root, table_at) = (number(8)?, number(16)?, number(24)?);
        let sane = (1..=8).contains(&offset_bytes) && (1..=8).contains(&reference_bytes) && root < count;
        let offsets = bytes.get(table_at..table_at.checked_add(count.checked_mul(offset_bytes)?)?)?;
        sane.then_some(Self { bytes: &bytes[..body], offsets, offset_bytes, reference_bytes, count, root })
    }

    /// Recurses at most `depth_left` levels.
    fn measure(
        &self,
        object: usize,
        depth_left: usize,
        objects_max: u64,
        sizes: &mut [Size],
    ) -> Result<(u64, usize), Unfit> {
        match sizes.get(object).copied().ok_or(Unfit::Malformed)? {
            Size::InProgress => return Err(Unfit::Cyclic),
            Size::Known(_, levels) if levels > depth_left => return Err(Unfit::TooDeep),
            Size::Known(objects, levels) => return Ok((objects, levels)),
            Size::Unknown => sizes[object] = Size::InProgress,
        }
        let Some(depth_below) = depth_left.checked_sub(1) else { return Err(Unfit::TooDeep) };
        let (mut objects, mut levels) = (1_u64, 1_usize);
        let children = self.children(object).ok_or(Unfit::Malformed)?;
        for child in children.chunks_exact(self.reference_bytes) {
            let child =
                big_endian(child).and_then(|child| usize::try_from(child).ok()).ok_or(Unfit::Malformed)?;
            let (below, levels_below) = self.measure(child, depth_below, objects_max, sizes)?;
            objects = objects.saturating_add(below);
            levels = levels.max(levels_below + 1);
            if objects > objects_max {
                return Err(Unfit::TooLarge);
            }
        }
        sizes[object] = Size::Known(objects, levels);
        Ok((objects, levels))
    }

    /// The references inside an object; none for anything but arrays, sets and dictionaries.
    fn children(&self, object: usize) -> Option<&'a [u8]> {
        let at = object * self.offset_bytes;
        let offset = usize::try_from(big_endian(self.offsets.get(at..at + self.offset_bytes)?)?).ok()?;
        let marker = *self.bytes.get(offset)?;
        let per_entry = match marker >> 4 {
            0xA | 0xC => 1,
            0xD => 2,
            _ => return Some(&[]),
        };
        let (entries, start) = match marker & 0x0F {
            0x0F => {
                // The count follows as an integer object: 0x1n, then 2^n bytes.
                let length = 1_usize << (*self.bytes.get(offset + 1)? & 0x0F).min(4);
                let digits = self.bytes.get(offset + 2..offset + 2 + length)?;
                (usize::try_from(big_endian(digits)?).ok()?, offset + 2 + length)
            }
            few => (usize::from(few), offset + 1),
        };
        let length = entries.checked_mul(per_entry)?.checked_mul(self.reference_bytes)?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

fn big_endian(digits: &[u8]) -> Option<u64> {
    // Counts are sometimes written with 16 bytes, of which the first 8 are zero.
    let (high, low) = digits.split_at(digits.len().saturating_sub(8));
    let fits = high.iter().all(|digit| *digit == 0);
    fits.then(|| low.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}
