//! The laws of the farm, held after every event. Each is a function with a name and a sentence; what they look at is the
//! book (what was recorded), the brain's public picture of phones, and the slow check of what fits.

mod ahead;
mod order;
mod patience;
mod preempting;
mod racks;
mod records;
mod sight;

use holdfast_scheduler::{Event, Scheduler};
use holdfast_wire::time::Time;

use crate::book::Book;
use crate::broken::Verdict;
pub use sight::Sight;

/// Holds every law after an event.
///
/// # Errors
/// The first law that is broken.
pub fn hold(book: &Book, brain: &Scheduler, now: Time, event: Option<&Event>) -> Verdict {
    records::no_phone_is_under_two_leases(book)?;
    records::leases_only_grow(book)?;
    records::no_job_is_lost(book)?;
    records::an_outcome_never_changes(book)?;
    records::done_cases_stay_done(book, event)?;
    records::all_of_a_gang_or_none(book)?;
    records::readers_are_told_of_every_change(book, brain)?;
    records::owners_are_counted(book, brain, now)?;
    ahead::a_staged_job_has_one_phone(book)?;
    ahead::no_lease_is_for_two_attempts(book)?;
    let sight = Sight::of(book, brain, now);
    racks::work_goes_where_the_phone_is(book, brain)?;
    racks::a_phone_is_where_a_rack_has_it(book, brain)?;
    racks::a_comparison_is_at_home_where_it_began(book)?;
    patience::nobody_overtakes_what_has_waited_too_long(&sight)?;
    patience::the_cheapest_gives_way(&sight)?;
    patience::each_that_gives_way_does_so_for_one_job(&sight)?;
    order::what_is_given_fits(&sight)?;
    order::limits_are_kept(&sight)?;
    order::who_goes_first_is_served_first(&sight)?;
    order::no_phone_idles_while_a_job_fits(&sight)?;
    order::the_queue_is_in_order(&sight, brain)?;
    ahead::what_is_staged_goes_next(&sight)?;
    ahead::no_phone_idles_while_a_staged_job_fits(&sight)?;
    preempting::urgent_work_never_waits_for_lesser(&sight)?;
    preempting::nobody_yields_for_nothing(&sight)
}
