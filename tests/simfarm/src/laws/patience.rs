//! Laws of patience: nobody is overtaken for ever, and nobody gives way again and again.
//!
//! The bound of waiting follows from how a class is lifted. A job of a class with a time of `lift_after` waits for that
//! time at most like the others of its class. From then on only strict work and jobs that were lifted before it are begun
//! on a phone that it takes; so it starts as soon as the first such phone is through with what ran or was staged there at
//! that moment, and with those. Nothing that comes later counts, however much of it comes. Not lifted are jobs of strict classes, which
//! wait for their like alone, and jobs of a class without such a time or of an owner beyond its quota, which are promised
//! nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use holdfast_scheduler::record::HoldPhase;
use holdfast_wire::id::JobId;

use super::Sight;
use super::preempting::may_take;
use super::sight::{LIFTED, Seen, Waiting};
use crate::broken::{Verdict, holds};
use crate::fit::{Fit, demanded};

/// What it costs to take a phone: whether it is only lent, the rank of what runs there (the lowest first), how often that
/// gave way before.
type Cost = (bool, Reverse<(bool, u8)>, u32);

/// Once a job is lifted, nothing but strict work and older lifted jobs is begun on a phone that it takes. Jobs of
/// one comparison take turns there whatever their age, those of several phones keep what they have, and what was staged
/// before may have begun already.
pub(super) fn nobody_overtakes_what_has_waited_too_long(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "nobody_overtakes_what_has_waited_too_long";
    for (job, phones) in sight.book.last.choices() {
        let is_strict = sight.rule(job.spec.class).strict;
        if is_strict || job.spec.phones > 1 {
            continue;
        }
        let is_lifted = sight.urgency(job, false).0 == LIFTED;
        let term_of = job.spec.requirements.steps();
        let term = demanded(&term_of, job.submitted_at, sight.now);
        for udid in phones {
            let Some(phone) = sight.phone(udid) else { continue };
            let given = sight.fit(job, term, phone);
            for waiting in sight.waiting().iter().filter(|waiting| has_waited(sight, waiting)) {
                let is_older = is_lifted && job.id < waiting.job.id;
                let is_turn = job.spec.compare.is_some() && job.spec.compare == waiting.job.spec.compare;
                let wanted = sight.fit(waiting.job, waiting.term, phone);
                let is_its = wanted == Fit::Native || (wanted == Fit::Lent && given == Fit::Lent);
                if is_older || is_turn || !is_its || !sight.accepts(waiting, phone) {
                    continue;
                }
                holds(LAW, false, || {
                    format!(
                        "{} ({}) got {udid}, and {} has been lifted and waits for it",
                        job.id, job.spec.class, waiting.job.id
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// Whether a job waits that has been lifted and may begin, and waited before this event.
fn has_waited(sight: &Sight<'_>, waiting: &Waiting<'_>) -> bool {
    let is_counted = !sight.is_uncounted(waiting.job.spec.owner.as_ref());
    let is_new = || sight.book.last.jobs.iter().any(|(_, after)| after.id == waiting.job.id);
    waiting.urgency.0 == LIFTED
        && waiting.may_begin
        && waiting.job.spec.phones == 1
        && is_counted
        && !is_new()
}

/// The cheapest gives way: what is only lent, else the lowest class, and of that what has given way least. So it is never
/// the same job again and again while another would do.
pub(super) fn the_cheapest_gives_way(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "the_cheapest_gives_way";
    for phone in told_now(sight) {
        let Some(own) = cost(sight, phone) else { continue };
        let takers: Vec<&Waiting<'_>> =
            sight.waiting().iter().filter(|one| may_take(sight, one, phone).is_some()).collect();
        let is_active = |other: &&Seen<'_>| {
            matches!(other.record.hold.as_ref().map(|hold| hold.phase), Some(HoldPhase::Active { .. }))
        };
        let cheaper = |taker: &Waiting<'_>| {
            let others = sight.phones.iter().filter(is_active);
            let mut others = others.filter(|other| may_take(sight, taker, other).is_some());
            others.find(|other| cost(sight, other).is_some_and(|cost| cost < own))
        };
        let is_cheapest = takers.is_empty() || takers.iter().any(|taker| cheaper(taker).is_none());
        holds(LAW, is_cheapest, || {
            let other = takers.first().and_then(|taker| cheaper(taker)).map(|phone| phone.status.udid);
            format!("{} gives way ({own:?}), though {other:?} would be cheaper", phone.status.udid)
        })?;
    }
    Ok(())
}

fn cost(sight: &Sight<'_>, phone: &Seen<'_>) -> Option<Cost> {
    let (victim, _) = sight.runs_on(phone)?;
    let pool = sight.policy.pools.iter().find(|pool| Some(&pool.name) == phone.status.pool)?;
    let is_lent = victim.spec.requirements.pool.is_none() && !pool.serves.contains(&victim.spec.class);
    let rule = sight.rule(victim.spec.class);
    Some((!is_lent, Reverse((!rule.strict, rule.rank)), victim.yielded))
}

/// A job asks for one phone at a time: as many jobs wait that may take them as phones are told to give way, each for one
/// of its own. What gives way is then given to whoever goes first, so that no two jobs take a phone from each other for
/// ever.
pub(super) fn each_that_gives_way_does_so_for_one_job(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "each_that_gives_way_does_so_for_one_job";
    let told: Vec<&Seen<'_>> = told_now(sight).collect();
    let mut taken: BTreeMap<JobId, usize> = BTreeMap::new();
    for place in 0..told.len() {
        holds(LAW, is_for_one(sight, &told, place, &mut taken, &mut Vec::new()), || {
            let names: Vec<_> = told.iter().map(|phone| phone.status.udid.to_string()).collect();
            format!("{} are told to give way, for fewer jobs that wait", names.join(", "))
        })?;
    }
    Ok(())
}

/// Finds a job for a phone that gives way, moving those found before to other jobs.
fn is_for_one(
    sight: &Sight<'_>,
    told: &[&Seen<'_>],
    place: usize,
    taken: &mut BTreeMap<JobId, usize>,
    looked: &mut Vec<JobId>,
) -> bool {
    for one in sight.waiting() {
        if looked.contains(&one.job.id) || may_take(sight, one, told[place]).is_none() {
            continue;
        }
        looked.push(one.job.id);
        let before = taken.get(&one.job.id).copied();
        if before.is_none_or(|before| is_for_one(sight, told, before, taken, looked)) {
            taken.insert(one.job.id, place);
            return true;
        }
    }
    false
}

/// Phones that this event has told to give way to somebody, and that had not been told before.
fn told_now<'a>(sight: &'a Sight<'_>) -> impl Iterator<Item = &'a Seen<'a>> {
    sight.book.last.yields.iter().filter_map(|udid| {
        let phone = sight.phone(udid)?;
        let (victim, _) = sight.runs_on(phone)?;
        let was_told = sight.book.last.phones.iter().any(|(before, after)| {
            let hold = before.as_ref().and_then(|before| before.hold.as_ref());
            after.facts.udid == *udid
                && hold.is_some_and(|hold| matches!(hold.phase, HoldPhase::Yielding { .. }))
        });
        (!was_told && sight.window_is_open(victim.spec.class)).then_some(phone)
    })
}
