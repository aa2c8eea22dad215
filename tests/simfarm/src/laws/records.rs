//! Laws about what is recorded: leases, jobs, cases done, gangs, and what readers are told.

use std::collections::BTreeMap;

use holdfast_scheduler::record::{HoldPhase, JobRecord};
use holdfast_scheduler::{Event, Scheduler};
use holdfast_wire::id::{AttemptId, Udid};
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::time::Time;

use crate::book::{Book, shown};
use crate::broken::{Verdict, holds};

/// The attempts of a job that count now, with their phones.
fn counting(job: &JobRecord) -> Vec<(AttemptId, &Udid)> {
    let JobState::Running { attempt, phone, others } = &job.state else { return Vec::new() };
    let all =
        std::iter::once((*attempt, phone)).chain(others.iter().map(|other| (other.attempt, &other.phone)));
    let is_open = |number: &u32| {
        let place = usize::try_from(*number).unwrap_or(0).wrapping_sub(1);
        job.attempts.get(place).is_some_and(|attempt| attempt.ended.is_none())
    };
    all.filter(|(number, _)| is_open(number))
        .map(|(number, phone)| (AttemptId { job: job.id, number }, phone))
        .collect()
}

/// A phone is held by one attempt at most, and an attempt that counts holds exactly the phone that its job says.
pub(super) fn no_phone_is_under_two_leases(book: &Book) -> Verdict {
    const LAW: &str = "no_phone_is_under_two_leases";
    let mut held: BTreeMap<&Udid, AttemptId> = BTreeMap::new();
    for job in book.running.values() {
        for (attempt, phone) in counting(job) {
            let before = held.insert(phone, attempt);
            holds(LAW, before.is_none(), || format!("{phone} is held by {before:?} and {attempt}"))?;
        }
    }
    for (udid, phone) in &book.phones {
        let hold = phone.hold.as_ref().filter(|hold| hold.phase != HoldPhase::Releasing);
        let by_phone = hold.map(|hold| hold.attempt);
        let by_job = held.get(udid).copied();
        holds(LAW, by_phone == by_job, || {
            format!("{udid} is held by {by_phone:?}, as its record says, and by {by_job:?}, as jobs say")
        })?;
    }
    Ok(())
}

/// The number of a phone's lease grows by one with every lease, and never falls.
pub(super) fn leases_only_grow(book: &Book) -> Verdict {
    const LAW: &str = "leases_only_grow";
    for (before, after) in &book.last.phones {
        let (old, new) = (before.as_ref().map_or(0, |phone| phone.last_lease.0), after.last_lease.0);
        // One that was set aside is used up also when it never began.
        let aside = before.as_ref().and_then(|phone| phone.next.as_ref()).map_or(old, |next| next.lease.0);
        holds(LAW, old <= new && new <= aside + 1, || {
            format!("{} goes from lease {old} to {new}", after.facts.udid)
        })?;
    }
    for (job, phones) in book.last.grants() {
        for phone in phones {
            let lease =
                job.attempts.iter().rev().find(|attempt| attempt.phone == *phone).map(|last| last.lease);
            let newest = book.phones.get(phone).map(|phone| phone.last_lease);
            holds(LAW, lease == newest, || format!("{} got {phone} by {lease:?} of {newest:?}", job.id))?;
        }
    }
    Ok(())
}

/// Every submission that was answered is one job, with its number; and every job is waiting, running or over.
pub(super) fn no_job_is_lost(book: &Book) -> Verdict {
    const LAW: &str = "no_job_is_lost";
    for (key, id) in &book.promised {
        let job = book.jobs.get(id);
        let is_it = job.is_some_and(|job| job.spec.content.as_deref() == Some(key));
        holds(LAW, is_it, || format!("{id} was promised, and is {:?}", job.map(|job| &job.state)))?;
    }
    for (before, after) in &book.last.jobs {
        let same = before.as_ref().is_none_or(|before| before.spec == after.spec);
        holds(LAW, same, || format!("{} is another job than before", after.id))?;
    }
    let ended = book.jobs.values().filter(|job| matches!(job.state, JobState::Ended { .. })).count();
    let all = book.waiting.len() + book.running.len() + ended;
    holds(LAW, all == book.jobs.len(), || format!("{all} of {} jobs are counted", book.jobs.len()))
}

/// A job that is over stays as it ended, and an attempt that is over stays so.
pub(super) fn an_outcome_never_changes(book: &Book) -> Verdict {
    const LAW: &str = "an_outcome_never_changes";
    for (before, after) in &book.last.jobs {
        let Some(before) = before else { continue };
        if matches!(before.state, JobState::Ended { .. }) {
            holds(LAW, before.state == after.state, || format!("{} ended twice: {after:?}", after.id))?;
        }
        let kept = before.attempts.iter().zip(&after.attempts).all(|(old, new)| {
            (old.ended.is_none() || old.ended == new.ended)
                && (&old.phone, old.lease, old.leased_at) == (&new.phone, new.lease, new.leased_at)
        });
        holds(LAW, kept && before.attempts.len() <= after.attempts.len(), || {
            format!("attempts of {} changed: {before:?} {after:?}", after.id)
        })?;
    }
    Ok(())
}

/// Cases that a yielded attempt has done count once and for all: never lost, never counted twice; and a job has passed
/// only when all of its cases are done.
pub(super) fn done_cases_stay_done(book: &Book, event: Option<&Event>) -> Verdict {
    const LAW: &str = "done_cases_stay_done";
    for (before, after) in &book.last.jobs {
        let Some(before) = before else { continue };
        let told = match event {
            Some(Event::AttemptEnded { attempt, end: AttemptEnd::Yielded { cases_done, .. }, .. })
                if attempt.job == after.id
                    && counting(before).iter().any(|(counts, _)| counts == attempt) =>
            {
                *cases_done
            }
            Some(_) | None => 0,
        };
        let (old, new) = (before.cases_done, after.cases_done);
        let all = u32::try_from(after.spec.cases.len()).unwrap_or(u32::MAX);
        holds(LAW, new == (old + told).min(all), || {
            format!("{} had {old} cases done, was told of {told}, and has {new}", after.id)
        })?;
        if let JobState::Ended { outcome: JobOutcome::Passed, .. } = after.state {
            let last = after.attempts.iter().any(|attempt| {
                matches!(attempt.ended.as_ref().map(|ended| &ended.end), Some(AttemptEnd::Passed))
            });
            holds(LAW, last || new == all, || format!("{} passed with {new} of {all} cases", after.id))?;
        }
    }
    Ok(())
}

/// A job that needs several phones gets all of them in one decision, or none.
pub(super) fn all_of_a_gang_or_none(book: &Book) -> Verdict {
    const LAW: &str = "all_of_a_gang_or_none";
    for (job, phones) in book.last.grants() {
        let mut different: Vec<&Udid> = phones.clone();
        different.sort_unstable();
        different.dedup();
        let wanted = usize::from(job.spec.phones);
        holds(LAW, different.len() == wanted && phones.len() == wanted, || {
            format!("{} wants {wanted} phones and got {phones:?}", job.id)
        })?;
        let counts = counting(job).len();
        holds(LAW, counts == wanted, || format!("{} wants {wanted} phones and runs on {counts}", job.id))?;
    }
    for job in book.running.values().filter(|job| job.spec.phones > 1) {
        let newest = job.attempts.len().saturating_sub(usize::from(job.spec.phones));
        let good = job.attempts.iter().skip(newest).all(|attempt| match &attempt.ended {
            None => true,
            Some(ended) => ended.end == AttemptEnd::Passed,
        });
        holds(LAW, good, || format!("{} goes on with a part of its phones: {job:?}", job.id))?;
    }
    Ok(())
}

/// Whoever looks only at what is said to have changed knows as much as whoever looks at everything.
pub(super) fn readers_are_told_of_every_change(book: &Book, brain: &Scheduler) -> Verdict {
    const LAW: &str = "readers_are_told_of_every_change";
    for phone in brain.phones() {
        let (known, is) = (book.picture.phones.get(phone.udid), shown(&phone));
        holds(LAW, known == Some(&is), || format!("{} is {is}, and readers know {known:?}", phone.udid))?;
    }
    for rack in brain.racks() {
        let is = (rack.online, rack.phones, rack.phones_working);
        let known = book.picture.racks.get(rack.id);
        holds(LAW, known == Some(&is), || format!("{} is {is:?}, and readers know {known:?}", rack.id))?;
    }
    for id in book.waiting.keys() {
        let (known, is) = (book.picture.places.get(id), brain.place(*id));
        holds(LAW, known == is.as_ref(), || format!("{id} stands at {is:?}, and readers know {known:?}"))?;
    }
    Ok(())
}

/// What an owner runs is counted once: as many attempts as jobs say. What it has used today is what was recorded.
pub(super) fn owners_are_counted(book: &Book, brain: &Scheduler, now: Time) -> Verdict {
    const LAW: &str = "owners_are_counted";
    let today = now.as_unix_ms().div_euclid(86_400_000);
    for usage in brain.owners() {
        let (running, _) = book.runs(Some(usage.owner));
        holds(LAW, usage.running == running, || {
            format!("{} runs {} attempts, and {} are counted", usage.owner, running, usage.running)
        })?;
        if usage.rule.minutes_per_day.is_some() {
            let used = book.owners.get(usage.owner).filter(|used| used.day == today);
            let used_ms = used.map_or(0, |used| used.used_ms);
            holds(LAW, usage.used_ms == used_ms, || {
                format!("{} has used {used_ms} ms, and {} are counted", usage.owner, usage.used_ms)
            })?;
        }
    }
    Ok(())
}
