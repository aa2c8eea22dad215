//! Laws about jobs that are staged on a phone which is soon to be free.

use std::collections::BTreeMap;

use holdfast_scheduler::record::{Hold, HoldPhase, Next, NextPhase};
use holdfast_wire::id::{JobId, Udid};

use super::Sight;
use super::sight::{Seen, Waiting};
use crate::book::Book;
use crate::broken::{Verdict, holds};
use crate::fit::{Fit, demanded};

/// A job that is staged waits, and belongs to one phone; that phone has an attempt before it, or its rack has yet to say
/// what became of it.
pub(super) fn a_staged_job_has_one_phone(book: &Book) -> Verdict {
    const LAW: &str = "a_staged_job_has_one_phone";
    let mut seen: BTreeMap<JobId, &Udid> = BTreeMap::new();
    for (udid, phone) in &book.phones {
        let Some(Next { attempt, lease, phase }) = &phone.next else { continue };
        holds(LAW, *lease > phone.last_lease, || format!("{udid} keeps lease {lease} for {attempt}"))?;
        let good = match phase {
            NextPhase::Staged => matches!(phone.hold, Some(Hold { phase: HoldPhase::Active { .. }, .. })),
            NextPhase::Withdrawing | NextPhase::Withdrawn => phone.hold.is_some(),
            NextPhase::Unsure { .. } => phone.hold.is_none(),
        };
        holds(LAW, good, || format!("{udid} has {:?}, and behind it {attempt} {phase:?}", phone.hold))?;
        if book.staged.get(&attempt.job) == Some(udid) {
            let before = seen.insert(attempt.job, udid);
            holds(LAW, before.is_none(), || format!("{} belongs to {before:?} and {udid}", attempt.job))?;
            holds(LAW, book.waiting.contains_key(&attempt.job), || format!("{attempt} does not wait"))?;
        } else {
            holds(LAW, *phase != NextPhase::Staged, || format!("{attempt} is staged for nobody"))?;
        }
    }
    holds(LAW, seen.len() == book.staged.len(), || format!("{:?} are staged, and {seen:?}", book.staged))
}

/// The number of a lease is for one attempt, also when that is staged and never begins.
pub(super) fn no_lease_is_for_two_attempts(book: &Book) -> Verdict {
    const LAW: &str = "no_lease_is_for_two_attempts";
    match &book.last.twice {
        Some(twice) => holds(LAW, false, || twice.clone()),
        None => Ok(()),
    }
}

/// What is staged is what the phone would run if it were free: it fits there by right, may begin, and no job waits that
/// goes before it and takes this phone; and no phone is free for it.
pub(super) fn what_is_staged_goes_next(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "what_is_staged_goes_next";
    for (udid, id) in sight.book.last.stagings() {
        let (Some(phone), Some(job)) = (sight.phone(udid), sight.book.jobs.get(&id)) else { continue };
        let owner = job.spec.owner.as_ref();
        let steps = job.spec.requirements.steps();
        let term = demanded(&steps, job.submitted_at, sight.now);
        holds(LAW, sight.fit(job, term, phone) == Fit::Native, || format!("{id} is not of {udid}"))?;
        let open = sight.window_is_open(job.spec.class) && sight.has_room(owner, 0);
        holds(LAW, open && !sight.rule(job.spec.class).strict, || format!("{id} may not be staged"))?;
        let beyond = sight.is_beyond_quota(owner, sight.staged_now_ms(owner));
        let urgency = sight.urgency(job, beyond);
        for other in sight.waiting().iter().filter(|other| other.may_begin) {
            if sight.is_uncounted(other.job.spec.owner.as_ref()) || sight.is_uncounted(owner) {
                continue;
            }
            let goes_before = other.job.spec.phones == 1
                && sight.fit(other.job, other.term, phone) == Fit::Native
                && other.urgency < urgency
                && sight.accepts(other, phone);
            holds(LAW, !goes_before, || {
                format!("{id} is staged on {udid}, and {} goes first", other.job.id)
            })?;
        }
    }
    Ok(())
}

/// No phone stays free that a staged job takes: that job, or one that takes the phone too, is taken back from the phone
/// that is busy. Excepted are phones that are kept for a job on several, and jobs
/// that take more phones as time passes: nobody looks again for the little while that they are staged.
pub(super) fn no_phone_idles_while_a_staged_job_fits(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "no_phone_idles_while_a_staged_job_fits";
    for (id, udid) in &sight.book.staged {
        let staged_phase = Some(NextPhase::Staged);
        if phase_on(sight, udid) != staged_phase {
            continue;
        }
        let Some(staged) = sight.staged(*id) else { continue };
        if staged.job.spec.requirements.steps().len() > 1 || staged.job.spec.compare.is_some() {
            continue;
        }
        let takes = |one: &Waiting<'_>, phone: &Seen<'_>| {
            sight.fit(one.job, one.term, phone) == Fit::Native && sight.accepts(one, phone)
        };
        let is_kept = |phone: &Seen<'_>| {
            sight
                .waiting()
                .iter()
                .any(|other| other.job.spec.phones > 1 && sight.fit(other.job, other.term, phone) != Fit::No)
        };
        let comes = |phone: &Seen<'_>| {
            let others = sight.book.staged.iter().filter(|(_, udid)| phase_on(sight, udid) != staged_phase);
            others.filter_map(|(other, _)| sight.staged(*other)).any(|other| takes(&other, phone))
        };
        let free = sight.phones.iter().filter(|phone| phone.is_free);
        let mut idle = free.filter(|phone| takes(&staged, phone) && !is_kept(phone) && !comes(phone));
        let idle = idle.next().map(|phone| phone.status.udid);
        holds(LAW, idle.is_none(), || format!("{id} is staged on {udid}, and {idle:?} is free for it"))?;
    }
    Ok(())
}

fn phase_on(sight: &Sight<'_>, udid: &Udid) -> Option<NextPhase> {
    sight.book.phones.get(udid)?.next.as_ref().map(|next| next.phase)
}
