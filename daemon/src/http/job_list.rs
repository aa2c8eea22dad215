//! The list of jobs: running first, then waiting in the order of service, then ended, newest first. The first page
//! fixes that order; a cursor goes on in it, whatever comes, goes or changes state in the meantime. What a page says
//! of a job is how it is now. Nothing is copied: the order is the sets of the picture of the first page.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use holdfast_scheduler::Place;
use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;
use imbl::OrdSet;

use super::problem::Refusal;
use crate::snapshot::{ENDED_MAX, EndedKey, Snapshot, merged};

/// Listings that are remembered for their cursors; the one that was used longest ago is forgotten first.
const LISTINGS_MAX: usize = 256;

/// A listing that nobody has gone on with for so long is forgotten.
const LISTING_LASTS: Duration = Duration::from_secs(900);

/// Pages of a listing from which it can go on: the last ones, so that an answer that was lost can be asked for again.
const PAGES_REMEMBERED: usize = 4;

/// Jobs that are looked at for one page. A page that finds too few that are wanted among them is short, and goes on.
pub const LOOKED_AT_MAX: usize = 20_000;

/// The order that a first page fixed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Order(Arc<Fixed>);

#[derive(Debug)]
struct Fixed {
    running: OrdSet<JobId>,
    waiting: Vec<OrdSet<Place>>,
    ended: OrdSet<EndedKey>,
}

/// Which part of the list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Jobs that run.
    Running,
    /// Jobs that wait.
    Waiting,
    /// Jobs that are over.
    Ended,
}

/// Where a page ended: the last job that was looked at, in whichever part of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Among those that run.
    Running(Option<JobId>),
    /// Among those that wait.
    Waiting(Option<Place>),
    /// Among those that are over and in the picture.
    Ended(Option<EndedKey>),
    /// Among those that are over and in the store alone.
    Archive(EndedKey),
    /// There are no more.
    Over,
}

impl Order {
    /// The order of this picture, of one class or all, of one section or all.
    pub fn of(snapshot: &Snapshot, class: Option<JobClass>, section: Option<Section>) -> Self {
        let wants = |this| section.is_none_or(|wanted| wanted == this);
        let classes = JobClass::ALL.into_iter().filter(|one| class.is_none_or(|wanted| wanted == *one));
        Self(Arc::new(Fixed {
            running: if wants(Section::Running) { snapshot.running.clone() } else { OrdSet::new() },
            waiting: if wants(Section::Waiting) {
                classes.map(|class| snapshot.waiting_of(class).queue).collect()
            } else {
                Vec::new()
            },
            ended: if wants(Section::Ended) { snapshot.ended.clone() } else { OrdSet::new() },
        }))
    }

    /// Up to `limit` wanted jobs behind `from`, and where they end. At most [`LOOKED_AT_MAX`] are looked at.
    pub fn page(
        &self,
        from: Position,
        limit: usize,
        mut wanted: impl FnMut(JobId) -> bool,
    ) -> (Vec<JobId>, Position) {
        let (mut found, mut at, mut looked_at) = (Vec::new(), from, 0);
        while let Some(step) = self.step(at, limit.saturating_mul(2).max(64)) {
            for (position, id) in step.next {
                if found.len() == limit || looked_at == LOOKED_AT_MAX {
                    return (found, at);
                }
                looked_at += 1;
                at = position;
                found.extend(Some(id).filter(|id| wanted(*id)));
            }
            at = step.section.unwrap_or(at);
        }
        (found, at)
    }

    /// The next few jobs behind a position. None when what is left is not in the picture.
    fn step(&self, at: Position, few: usize) -> Option<Step> {
        let Fixed { running, waiting, ended } = &*self.0;
        let (next, section): (Vec<_>, Position) = match at {
            Position::Running(last) => {
                let next = running.range(behind(last)).take(few);
                (next.map(|id| (Position::Running(Some(*id)), *id)).collect(), Position::Waiting(None))
            }
            Position::Waiting(last) => {
                let runs = waiting.iter().map(|queue| queue.range(behind(last)).copied());
                let next = merged(runs).take(few);
                let next = next.map(|place| (Position::Waiting(Some(place)), place.job())).collect();
                (next, Position::Ended(None))
            }
            Position::Ended(last) => {
                let next = ended.range(behind(last)).take(few);
                // When the picture has room left, it holds all there are.
                let oldest = ended.get_max().filter(|_| ended.len() >= ENDED_MAX);
                let section = oldest.map_or(Position::Over, |oldest| Position::Archive(*oldest));
                (next.map(|key| (Position::Ended(Some(*key)), key.1)).collect(), section)
            }
            Position::Archive(_) | Position::Over => return None,
        };
        let last = next.len() < few;
        Some(Step { next, section: last.then_some(section) })
    }
}

/// The next few jobs of a list.
struct Step {
    next: Vec<(Position, JobId)>,
    /// Where it goes on behind them, when they are the last of their section.
    section: Option<Position>,
}

fn behind<T>(last: Option<T>) -> (Bound<T>, Bound<T>) {
    (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

/// Listings under way.
#[derive(Debug)]
pub struct JobListings<F> {
    inner: Mutex<Inner<F>>,
}

#[derive(Debug)]
struct Inner<F> {
    next: u64,
    /// The one that was used longest ago first.
    kept: VecDeque<Kept<F>>,
}

#[derive(Debug)]
struct Kept<F> {
    number: u64,
    listing: Listing<F>,
    pages: VecDeque<(u64, Position)>,
    used: Time,
}

/// A list that a first page has fixed.
#[derive(Debug, Clone)]
pub struct Listing<F> {
    /// Its order.
    pub order: Order,
    /// Which jobs of it are wanted.
    pub filter: F,
}

/// A place in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    number: u64,
    page: u64,
}

impl<F> Default for JobListings<F> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { next: 1, kept: VecDeque::new() }) }
    }
}

impl<F: Clone> JobListings<F> {
    /// Remembers a new listing that goes on at this position.
    pub fn keep(&self, listing: Listing<F>, position: Position, now: Time) -> Cursor {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next;
        inner.next += 1;
        let pages = VecDeque::from([(1, position)]);
        inner.kept.push_back(Kept { number, listing, pages, used: now });
        if inner.kept.len() > LISTINGS_MAX {
            inner.kept.pop_front();
        }
        Cursor { number, page: 1 }
    }

    /// The listing of a cursor and where it goes on.
    ///
    /// # Errors
    /// It is no longer remembered.
    pub fn find(&self, cursor: Cursor, now: Time) -> Result<(Listing<F>, Position), Refusal> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.kept.retain(|kept| kept.used.after(LISTING_LASTS) > now);
        let place = inner.kept.iter().position(|kept| kept.number == cursor.number);
        let mut kept = place.and_then(|place| inner.kept.remove(place)).ok_or_else(gone)?;
        kept.used = now;
        let page = kept.pages.iter().find(|(page, _)| *page == cursor.page).map(|(_, position)| *position);
        let listing = kept.listing.clone();
        inner.kept.push_back(kept);
        page.map(|position| (listing, position)).ok_or_else(gone)
    }

    /// The cursor behind another one's page, which ends at this position.
    pub fn go_on(&self, cursor: Cursor, position: Position) -> Cursor {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Cursor { page: cursor.page + 1, ..cursor };
        if let Some(kept) = inner.kept.iter_mut().find(|kept| kept.number == cursor.number)
            && !kept.pages.iter().any(|(page, _)| *page == next.page)
        {
            kept.pages.push_back((next.page, position));
            if kept.pages.len() > PAGES_REMEMBERED {
                kept.pages.pop_front();
            }
        }
        next
    }
}

fn gone() -> Refusal {
    let detail = "the list of this cursor is no longer remembered; begin again without a cursor";
    Refusal::new(StatusCode::GONE, "cursor-gone", "The cursor is too old", detail)
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.number, self.page)
    }
}

impl std::str::FromStr for Cursor {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parsed = text
            .split_once('-')
            .and_then(|(number, page)| Some(Self { number: number.parse().ok()?, page: page.parse().ok()? }));
        parsed.ok_or_else(|| {
            Refusal::mistake("cursor", "is none of this list; pass the `next_cursor` of a page as it is")
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_scheduler::{Event, Policy, Scheduler};
    use holdfast_wire::job::JobSpec;
    use proptest::prelude::*;

    use super::*;

    struct Farm {
        brain: Scheduler,
        picture: Snapshot,
        now: Time,
    }

    impl Farm {
        fn new() -> Self {
            let (now, none) = (Time::from_unix_ms(1_000_000), Vec::new());
            let (brain, _) = Scheduler::restore(Policy::with_pools(Vec::new()), now, none).unwrap();
            Self { brain, picture: Snapshot::default(), now }
        }

        fn apply(&mut self, event: Event) {
            self.now = self.now.after(Duration::from_secs(60));
            let decisions = self.brain.apply(self.now, event);
            self.picture.take(&self.brain, &decisions);
        }

        fn step(&mut self, step: &Step) {
            match step {
                Step::Submit { class, priority } => {
                    let spec = Box::new(spec(JobClass::ALL[*class], *priority));
                    self.apply(Event::JobSubmitted { job: self.brain.next_job(), spec });
                }
                Step::Cancel(number) => self.apply(Event::JobCancelled { job: JobId(*number) }),
                Step::Forget(number) => self.picture.forget_job(JobId(*number)),
            }
        }

        /// What a first page lists now, made the slow way.
        fn model(&self) -> Vec<JobId> {
            let waiting = self.brain.queue();
            let mut ended: Vec<EndedKey> =
                self.picture.jobs.values().filter_map(|job| crate::archive::ended_key(job)).collect();
            ended.sort();
            waiting.into_iter().chain(ended.into_iter().map(|(_, id)| id)).collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Submit { class: usize, priority: i32 },
        Cancel(u64),
        Forget(u64),
    }

    fn spec(class: JobClass, priority: i32) -> JobSpec {
        let json = serde_json::json!({
            "class": class, "cases": [], "requirements": {}, "priority": priority, "owner": null, "start_by": null,
            "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": "1",
                "build_number": "1", "uuids": [], "minimum_os": null }
        });
        serde_json::from_value(json).unwrap()
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_usize..5, -1..2_i32).prop_map(|(class, priority)| Step::Submit { class, priority }),
            2 => (1_u64..40).prop_map(Step::Cancel),
            1 => (1_u64..40).prop_map(Step::Forget),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn a_list_is_what_its_first_page_saw_whatever_happens_between_its_pages(
            before in steps(), between in steps(), limit in 1_usize..7, few in 1_usize..5,
        ) {
            let mut farm = Farm::new();
            before.iter().for_each(|step| farm.step(step));
            let expected = farm.model();
            let order = Order::of(&farm.picture, None, None);
            let (mut seen, mut at) = (Vec::new(), Position::Running(None));
            let mut between = between.chunks(few);
            while at != Position::Over {
                let (page, next) = order.page(at, limit, |_| true);
                prop_assert!(page.len() <= limit && (!page.is_empty() || next == Position::Over));
                seen.extend(page);
                at = next;
                between.next().into_iter().flatten().for_each(|step| farm.step(step));
            }
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn the_picture_kept_up_to_date_is_the_queue_of_the_brain(steps in steps()) {
            let mut farm = Farm::new();
            for step in &steps {
                farm.step(step);
                prop_assert_eq!(farm.picture.queue().collect::<Vec<_>>(), farm.brain.queue());
                prop_assert_eq!(farm.picture.queue_len(), farm.brain.queue().len());
            }
        }
    }

    #[test]
    fn cursors_go_on_from_the_last_pages_and_are_forgotten_by_age_and_number() {
        let listings: JobListings<()> = JobListings::default();
        let listing = || Listing { order: Order::of(&Snapshot::default(), None, None), filter: () };
        let at = |number| Position::Running(Some(JobId(number)));
        let now = Time::from_unix_ms(0);
        let first = listings.keep(listing(), at(1), now);
        let mut cursor = first;
        for number in 2..=5 {
            cursor = listings.go_on(cursor, at(number));
        }
        assert_eq!(listings.find(cursor, now).unwrap().1, at(5));
        assert_eq!(listings.find(cursor.to_string().parse().unwrap(), now).unwrap().1, at(5));
        assert_eq!(listings.find(first, now).unwrap_err().0.status, 410, "only the last pages");
        assert_eq!(listings.find(cursor, now.after(LISTING_LASTS)).unwrap_err().0.status, 410, "too old");
        let first = listings.keep(listing(), at(1), now);
        for _ in 0..LISTINGS_MAX {
            listings.keep(listing(), at(1), now);
        }
        assert_eq!(listings.find(first, now).unwrap_err().0.status, 410, "too many");
    }
}
