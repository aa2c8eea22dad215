//! Lists of what happened, newest first, page by page. A cursor says behind which entry a page begins, so that a page stays
//! the same whatever comes in front of it, and nothing has to be remembered for it. What is on a page is not here.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use holdfast_wire::time::Time;
use imbl::OrdSet;

/// A place in such a list: what is older than this entry comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Older<K> {
    /// When the entry happened.
    pub at: Time,
    /// Which it is: of those of one moment, the ones behind it in the order of ids.
    pub id: K,
}

/// `1795231800000-9f2c…`: milliseconds since 1970, and the id.
impl<K: fmt::Display> fmt::Display for Older<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.as_unix_ms(), self.id)
    }
}

/// A text is no place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no place in this list; begin at its first page")]
pub struct NoPlace;

impl<K: FromStr> FromStr for Older<K> {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        // What a phone without a clock dates before 1970 begins with a minus.
        let (at, id) = text.rsplit_once('-').ok_or(NoPlace)?;
        let at = Time::from_unix_ms(at.parse().map_err(|_| NoPlace)?);
        Ok(Self { at, id: id.parse().map_err(|_| NoPlace)? })
    }
}

impl<K: Ord + Clone> Older<K> {
    /// So many entries of a list, from its beginning or behind a place in it, and where it goes on, if it does.
    pub fn page(
        list: &OrdSet<(Reverse<Time>, K)>,
        from: Option<&Self>,
        entries: usize,
    ) -> (Vec<K>, Option<Self>) {
        let begin = from.map(|from| (Reverse(from.at), from.id.clone()));
        let begin = begin.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = list.range((begin, Bound::Unbounded)).peekable();
        let listed: Vec<&(Reverse<Time>, K)> = rest.by_ref().take(entries).collect();
        let last = listed.last().filter(|_| rest.peek().is_some());
        let goes_on = last.map(|(at, id)| Self { at: at.0, id: id.clone() });
        (listed.into_iter().map(|(_, id)| id.clone()).collect(), goes_on)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_it_is_read_and_anything_else_is_none() {
        let place = Older { at: Time::from_unix_ms(1_795_231_800_000), id: 7_u32 };
        assert_eq!(place.to_string(), "1795231800000-7");
        assert_eq!("1795231800000-7".parse(), Ok(place));
        let early = Older { at: Time::from_unix_ms(-5), id: 7_u32 };
        assert_eq!(early.to_string().parse(), Ok(early));
        for text in ["", "7", "x-7", "1795231800000-x", "-", "99999999999999999999-7"] {
            assert_eq!(text.parse::<Older<u32>>(), Err(NoPlace), "{text:?}");
        }
    }

    #[test]
    fn pages_follow_each_other_whatever_comes_in_front() {
        let entry = |at: i64, id: u32| (Reverse(Time::from_unix_ms(at)), id);
        let mut list: OrdSet<_> =
            [(30, 1), (20, 2), (20, 3), (10, 4)].map(|(at, id)| entry(at, id)).into_iter().collect();
        let (first, goes_on) = Older::page(&list, None, 2);
        assert_eq!(first, [1, 2]);
        // One comes in front, and the one that the page ended with goes.
        list.insert(entry(40, 5));
        list.remove(&entry(20, 2));
        let (second, goes_on) = Older::page(&list, Some(&goes_on.unwrap()), 2);
        assert_eq!((second, goes_on), (vec![3, 4], None));
        assert_eq!(Older::<u32>::page(&OrdSet::new(), None, 2), (vec![], None));
    }
}
