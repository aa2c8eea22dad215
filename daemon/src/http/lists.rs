//! Lists that do not shift. Where entries change their places, the first page fixes a picture, and its cursor goes on in
//! that very picture, whatever comes, goes or changes state in the meantime. Where they stay, newest first, a cursor names
//! the entry behind which it goes on, and nothing is remembered.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use holdfast_wire::api::Page;
use holdfast_wire::time::Time;
use imbl::OrdSet;
use serde::Deserialize;

use super::problem::Refusal;
use crate::older::Older;

/// Entries of a page unless asked otherwise.
const LIMIT: usize = 50;

/// Entries of a page at most.
const LIMIT_MAX: usize = 200;

/// Listings that are remembered for their cursors; the oldest is forgotten first.
const LISTINGS_MAX: usize = 1_024;

/// How much of a list is wanted.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Entries of this page, 1 to 200; 50 unless said.
    pub limit: Option<usize>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Listings under way: for each the ids in the order of its first page.
#[derive(Debug)]
pub struct Listings<K> {
    inner: Mutex<Inner<K>>,
}

#[derive(Debug)]
struct Inner<K> {
    next: u64,
    kept: VecDeque<(u64, Arc<Vec<K>>)>,
}

impl<K> Default for Listings<K> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { next: 1, kept: VecDeque::new() }) }
    }
}

impl<K: Clone> Listings<K> {
    /// One page: of a new listing, or of the one that the cursor names. `show` gives none for what is gone.
    ///
    /// # Errors
    /// The cursor is none of ours, or its listing has been forgotten.
    pub fn page<T>(
        &self,
        paging: &Paging,
        list: impl FnOnce() -> Vec<K>,
        mut show: impl FnMut(&K) -> Option<T>,
    ) -> Result<Page<T>, Refusal> {
        let limit = limit(paging.limit)?;
        let (mut number, keys, start) = match &paging.cursor {
            None => (None, Arc::new(list()), 0),
            Some(cursor) => {
                let (number, start) = parse(cursor)?;
                (Some(number), self.find(number)?, start)
            }
        };
        let mut items = Vec::with_capacity(limit.min(keys.len()));
        let mut position = start;
        while let Some(key) = keys.get(position).filter(|_| items.len() < limit) {
            items.extend(show(key));
            position += 1;
        }
        let next_cursor = (position < keys.len()).then(|| {
            let number = *number.get_or_insert_with(|| self.keep(keys.clone()));
            format!("{number}-{position}")
        });
        Ok(Page { items, next_cursor })
    }

    fn keep(&self, keys: Arc<Vec<K>>) -> u64 {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next;
        inner.next += 1;
        inner.kept.push_back((number, keys));
        if inner.kept.len() > LISTINGS_MAX {
            inner.kept.pop_front();
        }
        number
    }

    fn find(&self, number: u64) -> Result<Arc<Vec<K>>, Refusal> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let found = inner.kept.binary_search_by_key(&number, |(number, _)| *number).ok();
        let found = found.and_then(|place| inner.kept.get(place));
        found.map(|(_, keys)| keys.clone()).ok_or_else(|| {
            let detail = "the list of this cursor is no longer remembered; begin again without a cursor";
            Refusal::new(StatusCode::GONE, "cursor-gone", "The cursor is too old", detail)
        })
    }
}

/// One page of a list that stands newest first, from its beginning or behind the entry that the cursor names. `show` gives
/// none for what is gone.
///
/// # Errors
/// The cursor is none of such a list.
pub fn newest_first<K, T>(
    paging: &Paging,
    list: &OrdSet<(Reverse<Time>, K)>,
    show: impl FnMut(&K) -> Option<T>,
) -> Result<Page<T>, Refusal>
where
    K: Ord + Clone + fmt::Display + FromStr,
{
    let from = paging.cursor.as_deref().map(str::parse::<Older<K>>).transpose().map_err(|_| no_cursor())?;
    let (listed, goes_on) = Older::page(list, from.as_ref(), limit(paging.limit)?);
    let items = listed.iter().filter_map(show).collect();
    Ok(Page { items, next_cursor: goes_on.map(|older| older.to_string()) })
}

/// Entries of a page.
///
/// # Errors
/// It is none, or more than a page may have.
pub(crate) fn limit(wanted: Option<usize>) -> Result<usize, Refusal> {
    let limit = wanted.unwrap_or(LIMIT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Refusal::mistake("limit", format!("{limit} is not in 1..={LIMIT_MAX}")))
}

fn parse(cursor: &str) -> Result<(u64, usize), Refusal> {
    cursor
        .split_once('-')
        .and_then(|(number, position)| Some((number.parse().ok()?, position.parse().ok()?)))
        .ok_or_else(no_cursor)
}

fn no_cursor() -> Refusal {
    Refusal::mistake("cursor", "is none of this list; pass the `next_cursor` of a page as it is")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn paging(limit: usize, cursor: Option<String>) -> Paging {
        Paging { limit: Some(limit), cursor }
    }

    #[test]
    fn a_list_goes_on_in_the_picture_of_its_first_page() {
        let listings = Listings::default();
        let mut farm = vec![1, 2, 3, 4, 5];
        let first = listings.page(&paging(2, None), || farm.clone(), |key| Some(*key)).unwrap();
        assert_eq!(first.items, [1, 2]);
        // One comes at the front, one goes from the middle.
        farm.insert(0, 9);
        let second = listings
            .page(&paging(2, first.next_cursor), || farm.clone(), |key| (*key != 4).then_some(*key))
            .unwrap();
        assert_eq!(second.items, [3, 5]);
        assert_eq!(second.next_cursor, None);
    }

    #[test]
    fn a_cursor_that_is_unknown_is_refused_in_words() {
        let listings = Listings::<u8>::default();
        let refused = |cursor: &str| {
            let page = listings.page(&paging(2, Some(cursor.to_owned())), Vec::new, |key| Some(*key));
            page.unwrap_err().0.status
        };
        assert_eq!((refused("7-2"), refused("x")), (410, 422));
    }
}
