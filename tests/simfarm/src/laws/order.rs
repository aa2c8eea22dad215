//! Laws about who is served: what is given fits, limits are kept, whoever goes first is served first, nothing idles.

use holdfast_scheduler::Scheduler;

use super::Sight;
use crate::broken::{Verdict, holds};
use crate::fit::{Fit, demanded};
use crate::laws::sight::{BEYOND_QUOTA, Waiting};

/// A job is given only phones that fit it, by rules and facts as they are at that moment.
pub(super) fn what_is_given_fits(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "what_is_given_fits";
    for (job, phones) in sight.book.last.choices() {
        let steps = job.spec.requirements.steps();
        let term = demanded(&steps, job.submitted_at, sight.now);
        for udid in phones {
            let phone = sight.phone(udid);
            let fits = phone.is_some_and(|phone| sight.fit(job, term, phone) != Fit::No);
            holds(LAW, fits, || format!("{} got {udid}, which does not fit it", job.id))?;
        }
    }
    Ok(())
}

/// A job begins only while its class's window is open, and its owner runs no more jobs at once than it may.
pub(super) fn limits_are_kept(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "limits_are_kept";
    for (job, _) in sight.book.last.choices() {
        let open = sight.window_is_open(job.spec.class);
        holds(LAW, open, || format!("{} begins while the window of {} is shut", job.id, job.spec.class))?;
        let owner = job.spec.owner.as_ref();
        let (runs, _) = sight.book.runs(owner);
        holds(LAW, sight.has_room(owner, 0), || format!("{} begins, and {owner:?} runs {runs}", job.id))?;
    }
    Ok(())
}

/// When a phone is given to a job, no job waited before this event that goes before it, takes this phone, and may begin.
/// A phone that is only lent goes to nobody while a job waits whose pool it is.
pub(super) fn who_goes_first_is_served_first(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "who_goes_first_is_served_first";
    for (job, phones) in sight.book.last.choices() {
        let owner = job.spec.owner.as_ref();
        let steps = job.spec.requirements.steps();
        let term = demanded(&steps, job.submitted_at, sight.now);
        let beyond = sight.is_beyond_quota(owner, sight.given_now_ms(owner));
        let urgency = sight.urgency(job, beyond);
        for udid in phones {
            let Some(phone) = sight.phone(udid) else { continue };
            let given = sight.fit(job, term, phone);
            for other in sight.waiting().iter().filter(|other| other.may_begin) {
                if sight.is_uncounted(other.job.spec.owner.as_ref()) || sight.is_uncounted(owner) {
                    continue;
                }
                // A job on several phones takes them as they come free: it does not wait for this one alone.
                if other.job.spec.phones > 1 {
                    continue;
                }
                // One that has only begun to wait may miss a phone that it did not take a moment before.
                let is_new = sight.book.last.jobs.iter().any(|(_, after)| after.id == other.job.id);
                if is_new {
                    continue;
                }
                let wanted = sight.fit(other.job, other.term, phone);
                let goes_before = match (given, wanted) {
                    (_, Fit::No) | (Fit::Native, Fit::Lent) => false,
                    // What was lent and kept for a job on several phones before others came stays so.
                    (Fit::Lent, _) if job.spec.phones > 1 => false,
                    (Fit::Lent, Fit::Native) => true,
                    _ => other.urgency < urgency,
                };
                // Whether it took the phone before another job of its comparison began somewhere.
                let compare = other.job.spec.compare.as_ref();
                let mut grants = sight.book.last.grants();
                let was_moved =
                    compare.is_some() && grants.any(|(one, _)| one.spec.compare.as_ref() == compare);
                let robbed = goes_before && !was_moved && sight.accepts(other, phone);
                holds(LAW, !robbed, || {
                    format!(
                        "{} ({} {urgency:?}) got {udid} ({given:?}), while {} ({} {:?}, {wanted:?}) waits for it",
                        job.id, job.spec.class, other.job.id, other.job.spec.class, other.urgency
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// No phone is free while a job waits that it fits and that may begin; excepted are phones that are kept for a job on
/// several phones (one that may begin, and whose owner has not used up its quota), from jobs that do not go before that one
/// there, and phones that the job itself does not take: it waits for that of its comparison, or failed there and may run
/// elsewhere.
pub(super) fn no_phone_idles_while_a_job_fits(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "no_phone_idles_while_a_job_fits";
    let free: Vec<_> = sight.phones.iter().filter(|phone| phone.is_free).collect();
    if free.is_empty() || sight.book.waiting.is_empty() {
        return Ok(());
    }
    let takes = |waiting: &Waiting<'_>, phone| {
        sight.fit(waiting.job, waiting.term, phone) != Fit::No && sight.accepts(waiting, phone)
    };
    for waiting in sight.waiting().iter().filter(|waiting| waiting.may_begin) {
        if sight.is_uncounted(waiting.job.spec.owner.as_ref()) {
            continue;
        }
        let wanted = usize::from(waiting.job.spec.phones);
        let fitting: Vec<_> = free.iter().filter(|phone| takes(waiting, phone)).collect();
        let gangs_before = |phone: &&&&crate::laws::sight::Seen<'_>| {
            sight.waiting().iter().any(|gang| {
                let wanted = sight.fit(gang.job, gang.term, phone);
                let goes_before = match (wanted, sight.fit(waiting.job, waiting.term, phone)) {
                    (Fit::No, _) => false,
                    (Fit::Native, Fit::Lent) => true,
                    _ => gang.urgency <= waiting.urgency,
                };
                let keeps = gang.job.spec.phones > 1 && gang.may_begin && gang.urgency.0 != BEYOND_QUOTA;
                keeps && gang.job.id != waiting.job.id && goes_before
            })
        };
        // What is only lent is left to those whose pool it is, also while it is kept for one of them.
        let is_left = |phone: &&&&crate::laws::sight::Seen<'_>| {
            sight.fit(waiting.job, waiting.term, phone) == Fit::Lent
                && sight.waiting().iter().any(|other| {
                    other.may_begin
                        && sight.fit(other.job, other.term, phone) == Fit::Native
                        && sight.accepts(other, phone)
                })
        };
        let idle: Vec<_> = fitting.iter().filter(|phone| !gangs_before(phone) && !is_left(phone)).collect();
        holds(LAW, idle.len() < wanted, || {
            let names: Vec<_> = idle.iter().map(|phone| phone.status.udid.to_string()).collect();
            format!(
                "{} ({}, {:?}) waits while {} is free for it",
                waiting.job.id,
                waiting.job.spec.class,
                waiting.urgency,
                names.join(", ")
            )
        })?;
    }
    Ok(())
}

/// The places of waiting jobs are in the order of class, lifted jobs, priority and deadline that the rules promise.
pub(super) fn the_queue_is_in_order(sight: &Sight<'_>, brain: &Scheduler) -> Verdict {
    const LAW: &str = "the_queue_is_in_order";
    let mut placed: Vec<(holdfast_scheduler::Place, &Waiting<'_>)> = Vec::new();
    for waiting in sight.waiting().iter() {
        let place = brain.place(waiting.job.id);
        holds(LAW, place.is_some(), || format!("{} waits and has no place", waiting.job.id))?;
        placed.extend(place.map(|place| (place, waiting)));
    }
    placed.sort_unstable_by_key(|(place, _)| *place);
    for pair in placed.windows(2) {
        let [(_, first), (_, second)] = pair else { continue };
        // Whether a quota is used up counts when a phone is given, and moves nobody in the queue.
        let (before, behind) = (sight.urgency(first.job, false), sight.urgency(second.job, false));
        holds(LAW, before <= behind, || {
            format!("{} {before:?} stands before {} {behind:?}", first.job.id, second.job.id)
        })?;
    }
    Ok(())
}
