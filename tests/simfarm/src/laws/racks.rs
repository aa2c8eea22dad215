//! Laws about where things are: phones, as reports come late and over bad networks, so that two racks may say that they
//! have one; and comparisons.

use holdfast_scheduler::Scheduler;
use holdfast_scheduler::record::{HoldPhase, Next, NextPhase};
use holdfast_wire::id::{RackId, Udid};

use crate::book::Book;
use crate::broken::{Verdict, holds};

/// Racks that are heard and said last that they have a phone.
fn having<'a>(book: &'a Book, brain: &'a Scheduler, phone: &Udid) -> Vec<&'a RackId> {
    let said = book.said.get(phone).into_iter().flatten();
    let having = said.filter(|(rack, has)| **has && brain.rack_by_name(rack).is_some_and(|rack| rack.online));
    having.map(|(rack, _)| rack).collect()
}

/// Work is given on a rack only when that rack, by the last it said, has the phone, and no other that is heard says so
/// too.
pub(super) fn work_goes_where_the_phone_is(book: &Book, brain: &Scheduler) -> Verdict {
    const LAW: &str = "work_goes_where_the_phone_is";
    for (job, phones) in book.last.choices() {
        for phone in phones {
            let rack =
                job.attempts.iter().rev().find(|attempt| attempt.phone == *phone).map(|last| &last.rack);
            let having = having(book, brain, phone);
            holds(LAW, having.len() == 1 && having.first().copied() == rack, || {
                format!(
                    "{} got {phone} on {rack:?}, and those who say that they have it are {having:?}",
                    job.id
                )
            })?;
        }
    }
    Ok(())
}

/// A comparison is at home where the last of its jobs began, and that is recorded, so that a restart does not forget it.
pub(super) fn a_comparison_is_at_home_where_it_began(book: &Book) -> Verdict {
    const LAW: &str = "a_comparison_is_at_home_where_it_began";
    for (name, _) in &book.last.begun {
        let home = book.homes.get(name);
        // Of several that began at once the record says which was the last.
        let mut begun = book.last.begun.iter().filter(|(other, _)| other == name);
        holds(LAW, begun.any(|(_, phone)| Some(phone) == home), || {
            format!("{name} is at home on {home:?}, and its jobs began on {:?}", book.last.begun)
        })?;
    }
    Ok(())
}

/// A phone that one rack says it has, of those that are heard, is taken to be there, once nothing counts elsewhere, nor
/// may for all that is known of what was staged there.
pub(super) fn a_phone_is_where_a_rack_has_it(book: &Book, brain: &Scheduler) -> Verdict {
    const LAW: &str = "a_phone_is_where_a_rack_has_it";
    for (udid, record) in &book.phones {
        let counts = record.hold.as_ref().is_some_and(|hold| hold.phase != HoldPhase::Releasing)
            || matches!(record.next, Some(Next { phase: NextPhase::Unsure { .. }, .. }));
        if let [rack] = having(book, brain, udid)[..]
            && !counts
        {
            let known = brain.phone(udid).map(|phone| phone.rack.clone());
            holds(LAW, known.as_ref() == Some(rack), || {
                format!("{rack} alone has {udid}, and it is taken to be on {known:?}")
            })?;
        }
    }
    Ok(())
}
