//! Sets of small numbers, one bit each: which kinds of phones fit which lanes of jobs.

/// A set of small numbers. Two sets are equal when they have the same members, however they came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn set(&mut self, place: usize) {
        let word = place / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (place % 64);
    }

    pub(crate) fn clear(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word &= !(1 << (place % 64));
        }
        // Empty words at the end would make equal sets differ.
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(crate) fn put(&mut self, place: usize, is_member: bool) {
        if self.has(place) == is_member {
            return;
        }
        if is_member {
            self.set(place);
        } else {
            self.clear(place);
        }
    }

    pub(crate) fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Every member, smallest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(place, word)| Ones { word: *word, base: place * 64 })
    }

    /// Every member of both, smallest first.
    pub(crate) fn both<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let words = self.0.iter().zip(&other.0).enumerate();
        words.flat_map(|(place, (one, other))| Ones { word: one & other, base: place * 64 })
    }
}

/// The members of one word.
struct Ones {
    word: u64,
    base: usize,
}

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.word == 0 {
            return None;
        }
        let place = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.base + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_listed_in_order_whatever_came_and_went() {
        let mut bits = Bits::default();
        for place in [200, 3, 64, 3] {
            bits.set(place);
        }
        let mut other = Bits::default();
        other.set(64);
        other.set(3);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [3, 64, 200]);
        assert_eq!(bits.both(&other).collect::<Vec<_>>(), [3, 64]);
        bits.clear(200);
        assert_eq!(bits, other, "an empty end does not make sets differ");
        assert!(bits.has(64) && !bits.has(65) && bits.count() == 2);
    }
}
