//! Which phones will do for a job, worked out slowly from the rules, the request and the facts: an independent check of
//! what the brain sorts into lanes and kinds. Nothing of the brain's is called here.

use std::time::Duration;

use holdfast_scheduler::policy::{Members, Policy, Pool};
use holdfast_wire::id::{Owner, RackId};
use holdfast_wire::job::JobSpec;
use holdfast_wire::phone::{OsVersion, PhoneFacts};
use holdfast_wire::requirement::{Place, Term};
use holdfast_wire::time::Time;

/// What a phone is to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Its pool serves the job.
    Native,
    /// Its pool lends it.
    Lent,
    /// It is not for it.
    No,
}

/// The pool of a phone.
pub fn pool_of<'a>(policy: &'a Policy, rack: &RackId, facts: &PhoneFacts) -> Option<&'a Pool> {
    let put = policy.overrides.get(&facts.udid);
    if let Some(pool) = policy.pools.iter().find(|pool| put == Some(&pool.name)) {
        return Some(pool);
    }
    policy.pools.iter().find(|pool| match &pool.members {
        Members::Rest => true,
        Members::Listed { phones, racks, slots, labels } => {
            phones.contains(&facts.udid)
                || racks.contains(rack)
                || slots.contains(&facts.slot)
                || labels.iter().any(|label| facts.labels.contains(label))
        }
    })
}

/// What is demanded of phones at a moment.
pub fn demanded(steps: &[(Duration, Term)], submitted_at: Time, now: Time) -> Option<&Term> {
    let mut reached = steps.iter().filter(|(after, _)| submitted_at.after(*after) <= now);
    reached.next_back().or(steps.first()).map(|(_, term)| term)
}

/// What a phone is to a job whose requirements are these by now.
pub fn fit(policy: &Policy, spec: &JobSpec, term: Option<&Term>, rack: &RackId, facts: &PhoneFacts) -> Fit {
    let Some(pool) = pool_of(policy, rack, facts) else { return Fit::No };
    let place = Place { facts, rack, pool: Some(&pool.name) };
    let allows = |only: &[Owner]| spec.owner.as_ref().is_some_and(|owner| only.contains(owner));
    let demanded_elsewhere = policy
        .demands
        .iter()
        .any(|demand| demand.phones.term().holds(&place) && !demand.only.is_empty() && !allows(&demand.only));
    if demanded_elsewhere || !(pool.only.is_empty() || allows(&pool.only)) {
        return Fit::No;
    }
    let minimum: Option<OsVersion> = spec.build.minimum_os.as_ref().and_then(|text| text.parse().ok());
    let installs = minimum.is_none_or(|minimum| !facts.os_version.is_older_than(&minimum));
    if !installs || term.is_some_and(|term| !term.holds(&place)) {
        return Fit::No;
    }
    match &spec.requirements.pool {
        Some(wanted) if *wanted == pool.name => Fit::Native,
        Some(_) => Fit::No,
        None if pool.serves.contains(&spec.class) => Fit::Native,
        None if pool.lends.contains(&spec.class) => Fit::Lent,
        None => Fit::No,
    }
}
