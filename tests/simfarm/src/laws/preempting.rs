//! Laws about taking phones from lesser work.

use std::collections::BTreeMap;

use holdfast_scheduler::record::{HoldPhase, PhoneRecord};
use holdfast_wire::id::{JobId, Udid};
use holdfast_wire::sync::YieldWhen;

use super::Sight;
use crate::broken::{Verdict, holds};
use crate::fit::Fit;
use crate::laws::sight::{BEYOND_QUOTA, Seen, Waiting};

/// Whether a waiting job may take a phone from the work on it, and how soon; none when it may not.
pub(super) fn may_take(sight: &Sight<'_>, waiting: &Waiting<'_>, phone: &Seen<'_>) -> Option<YieldWhen> {
    // What is beyond its owner's quota is below everything, and breaks nothing off.
    if !waiting.may_begin || waiting.job.spec.phones > 1 || waiting.urgency.0 == BEYOND_QUOTA {
        return None;
    }
    let (victim, _) = sight.runs_on(phone)?;
    if victim.spec.phones > 1 || sight.fit(waiting.job, waiting.term, phone) != Fit::Native {
        return None;
    }
    // One that is set apart is free for nobody when the work on it gives way, and of a silent rack nobody knows.
    let is_apart = phone.record.taken.is_some() || phone.record.quarantine.is_some();
    if is_apart || !phone.works || !sight.accepts(waiting, phone) {
        return None;
    }
    let pool = sight.policy.pools.iter().find(|pool| Some(&pool.name) == phone.status.pool);
    let is_lent = victim.spec.requirements.pool.is_none()
        && pool.is_some_and(|pool| !pool.serves.contains(&victim.spec.class));
    if is_lent {
        return Some(YieldWhen::AtOnce);
    }
    let (rule, victims) = (sight.rule(waiting.job.spec.class), sight.rule(victim.spec.class));
    let rank = |rule: &holdfast_scheduler::policy::ClassPolicy| (!rule.strict, rule.rank);
    let lesser = victims.preemptible && !rule.preemptible && rank(rule) < rank(victims);
    rule.takes.filter(|_| lesser)
}

/// A job never waits for work that it may interrupt: either none runs on a phone that fits it, or a phone is on its way
/// to it, or to somebody who goes before it.
pub(super) fn urgent_work_never_waits_for_lesser(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "urgent_work_never_waits_for_lesser";
    let active: Vec<&Seen<'_>> = sight
        .phones
        .iter()
        .filter(|phone| {
            matches!(
                phone.record.hold.as_ref().map(|hold| hold.phase),
                Some(HoldPhase::Active { .. } | HoldPhase::Yielding { when: YieldWhen::CaseDone, .. })
            )
        })
        .collect();
    if active.is_empty() || sight.book.waiting.is_empty() {
        return Ok(());
    }
    let mut taken: BTreeMap<&Udid, JobId> = BTreeMap::new();
    let mut waiting: Vec<&Waiting<'_>> =
        sight.waiting().iter().filter(|one| one.may_begin && one.job.spec.phones == 1).collect();
    let victim_of = |one: &Waiting<'_>| {
        active.iter().find(|phone| {
            let is_active =
                matches!(phone.record.hold.as_ref().map(|hold| hold.phase), Some(HoldPhase::Active { .. }));
            is_active && phone.works && may_take(sight, one, phone).is_some()
        })
    };
    // Whoever finds nothing to interrupt cannot be helped, and takes nothing from those who do.
    waiting.sort_by_cached_key(|one| (victim_of(one).is_none(), one.urgency, one.job.id));
    for one in waiting {
        if sight.is_uncounted(one.job.spec.owner.as_ref()) {
            continue;
        }
        if comes_free_for(sight, one, &mut taken, &mut Vec::new()) {
            continue;
        }
        let victim = victim_of(one);
        holds(LAW, victim.is_none(), || {
            let udid = victim.map(|phone| phone.status.udid.clone());
            format!("{} ({}) waits, and nobody has told {udid:?} to yield", one.job.id, one.job.spec.class)
        })?;
    }
    Ok(())
}

/// Finds a phone that is coming free for a job, moving those who were promised one before to others.
fn comes_free_for<'a>(
    sight: &'a Sight<'_>,
    one: &Waiting<'_>,
    taken: &mut BTreeMap<&'a Udid, JobId>,
    looked: &mut Vec<&'a Udid>,
) -> bool {
    for phone in &sight.phones {
        let udid = phone.status.udid;
        let gives_way = |record: &PhoneRecord| {
            matches!(
                record.hold.as_ref().map(|hold| hold.phase),
                Some(HoldPhase::Yielding { .. } | HoldPhase::Releasing)
            )
        };
        // A report comes before its rack is known to be there again.
        let has_just_given_way = sight.book.last.phones.iter().any(|(before, after)| {
            after.facts.udid == *udid && before.as_ref().is_some_and(|before| gives_way(before))
        });
        let comes = gives_way(phone.record) || phone.record.next.is_some() || has_just_given_way;
        if !comes
            || looked.contains(&udid)
            || sight.fit(one.job, one.term, phone) != Fit::Native
            || !sight.accepts(one, phone)
        {
            continue;
        }
        looked.push(udid);
        let free = match taken.get(udid).copied().and_then(|other| sight.waits(other)) {
            None => true,
            Some(other) => comes_free_for(sight, other, taken, looked),
        };
        if free {
            taken.insert(udid, one.job.id);
            return true;
        }
    }
    false
}

/// Work is told to yield only when somebody waits who may take its phone, or the window of its class is shut. What has
/// been told before may be told to hurry, whoever it was for.
pub(super) fn nobody_yields_for_nothing(sight: &Sight<'_>) -> Verdict {
    const LAW: &str = "nobody_yields_for_nothing";
    for udid in &sight.book.last.yields {
        let Some(phone) = sight.phone(udid) else { continue };
        let Some((victim, _)) = sight.runs_on(phone) else { continue };
        let was_told = sight.book.last.phones.iter().any(|(before, after)| {
            let hold = before.as_ref().and_then(|before| before.hold.as_ref());
            after.facts.udid == *udid
                && hold.is_some_and(|hold| matches!(hold.phase, HoldPhase::Yielding { .. }))
        });
        let shut = was_told || !sight.window_is_open(victim.spec.class);
        let taker = sight.waiting().iter().find(|one| may_take(sight, one, phone).is_some());
        holds(LAW, shut || taker.is_some(), || {
            format!("{} yields {udid} ({}), and nobody waits who may take it", victim.id, victim.spec.class)
        })?;
    }
    Ok(())
}
