//! Jobs by number, in pages: numbers only grow, so that a page is filled once, and given back when its jobs are gone.

use std::collections::VecDeque;

use holdfast_wire::id::JobId;

/// Jobs of one page.
const PAGE: u64 = 512;

/// Values by job number.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// The number of the first page that is kept.
    first: u64,
    pages: VecDeque<Option<Page<T>>>,
    count: usize,
}

#[derive(Debug)]
struct Page<T> {
    used: usize,
    slots: Box<[Option<T>]>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { first: 0, pages: VecDeque::new(), count: 0 }
    }
}

impl<T> Table<T> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, job: JobId) -> Option<&T> {
        self.pages.get(self.page_of(job)?)?.as_ref()?.slots.get(slot_of(job))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, job: JobId) -> Option<&mut T> {
        let page = self.page_of(job)?;
        self.pages.get_mut(page)?.as_mut()?.slots.get_mut(slot_of(job))?.as_mut()
    }

    pub(crate) fn insert(&mut self, job: JobId, value: T) {
        let number = job.0 / PAGE;
        if self.pages.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.pages.push_front(None);
            self.first -= 1;
        }
        let place = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        while self.pages.len() <= place {
            self.pages.push_back(None);
        }
        let page = self.pages[place].get_or_insert_with(Page::empty);
        let slot = &mut page.slots[slot_of(job)];
        if slot.replace(value).is_none() {
            page.used += 1;
            self.count += 1;
        }
    }

    pub(crate) fn remove(&mut self, job: JobId) -> Option<T> {
        let place = self.page_of(job)?;
        let page = self.pages.get_mut(place)?.as_mut()?;
        let value = page.slots.get_mut(slot_of(job))?.take()?;
        page.used -= 1;
        self.count -= 1;
        if page.used == 0 {
            self.pages[place] = None;
            while self.pages.front().is_some_and(Option::is_none) {
                self.pages.pop_front();
                self.first += 1;
            }
        }
        Some(value)
    }

    /// Every value, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, &T)> {
        self.pages.iter().zip(self.first..).flat_map(|(page, number)| {
            let slots = page.iter().flat_map(|page| page.slots.iter());
            slots
                .zip(0..)
                .filter_map(move |(slot, place)| Some((JobId(number * PAGE + place), slot.as_ref()?)))
        })
    }

    fn page_of(&self, job: JobId) -> Option<usize> {
        usize::try_from((job.0 / PAGE).checked_sub(self.first)?).ok()
    }
}

impl<T> Page<T> {
    fn empty() -> Self {
        Self { used: 0, slots: (0..PAGE).map(|_| None).collect() }
    }
}

fn slot_of(job: JobId) -> usize {
    (job.0 % PAGE) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_and_go_with_their_jobs() {
        let mut table = Table::default();
        for number in [700, 1, 2_000, 1_999] {
            table.insert(JobId(number), number);
        }
        assert_eq!(table.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1, 700, 1_999, 2_000]);
        assert_eq!(table.remove(JobId(1)), Some(1));
        assert_eq!(table.remove(JobId(1)), None);
        assert_eq!((table.len(), table.first), (3, 1), "the first page is given back");
        assert_eq!(table.get(JobId(700)), Some(&700));
        assert_eq!(table.get(JobId(9_999_999)), None);
        table.insert(JobId(3), 3);
        assert_eq!(table.get(JobId(3)), Some(&3));
    }
}
