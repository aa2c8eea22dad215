//! Which job goes to which phone: the first job in the order of service for which a fitting phone is free.
//! Giving the phone away is not here (`lease`).

use std::collections::BTreeSet;

use holdfast_wire::api::Obstacle;
use holdfast_wire::id::{JobId, Udid};
use holdfast_wire::phone::PhoneState;
use holdfast_wire::requirement::Place;

use crate::fleet::Phone;
use crate::queue::Shape;
use crate::record::JobRecord;
use crate::scheduler::Scheduler;

/// A job and the phone it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pairing {
    pub(crate) job: JobId,
    pub(crate) phone: Udid,
}

impl Scheduler {
    /// The next pairing, if a waiting job fits a free phone.
    pub(crate) fn next_pairing(&self) -> Option<Pairing> {
        if self.queue.is_empty() {
            return None;
        }
        let free: Vec<(&Udid, &Phone)> =
            self.fleet.phones.iter().filter(|(_, phone)| self.is_free(phone)).collect();
        if free.is_empty() {
            return None;
        }
        let mut best = None;
        for (shape, keys) in self.queue.shapes() {
            let fitting: Vec<_> =
                free.iter().filter(|(_, phone)| self.obstacle_of_shape(shape, phone).is_none()).collect();
            if fitting.is_empty() {
                continue;
            }
            // Jobs of one shape differ only in the phones that they avoid, so mostly the first one settles it.
            for key in keys {
                if best.as_ref().is_some_and(|(least, _)| *least < *key) {
                    break;
                }
                let Some(job) = self.jobs.get(&key.job()) else { continue };
                let avoided = self.avoided(job, shape);
                let chosen = fitting
                    .iter()
                    .filter(|(udid, _)| !avoided.contains(udid))
                    .min_by_key(|(udid, phone)| (lacks_build(job, phone), phone.last_used, *udid));
                if let Some((udid, _)) = chosen {
                    best = Some((*key, Pairing { job: key.job(), phone: (*udid).clone() }));
                    break;
                }
            }
        }
        best.map(|(_, pairing)| pairing)
    }

    /// Whether a phone may be given a lease now.
    fn is_free(&self, phone: &Phone) -> bool {
        phone.record.hold.is_none() && self.fleet.state(phone).0 == PhoneState::Ready
    }

    /// What keeps every job of a shape off a phone, however free it is.
    pub(crate) fn obstacle_of_shape(&self, shape: &Shape, phone: &Phone) -> Option<Obstacle> {
        let facts = &phone.record.facts;
        let pool = self.policy.pool_of(&phone.record.rack, facts);
        let served = pool.filter(|pool| match &shape.requirements.pool {
            Some(wanted) => pool.name == *wanted,
            None => pool.serves.contains(&shape.class),
        });
        if served.is_none() {
            return Some(Obstacle::Pool { pool: pool.map(|pool| pool.name.clone()) });
        }
        if let Some(mismatch) = shape.requirements.mismatch(&Place {
            facts,
            rack: &phone.record.rack,
            pool: pool.map(|pool| &pool.name),
        }) {
            return Some(Obstacle::Requirement { mismatch });
        }
        let too_new = shape.build_minimum_os.as_ref().filter(|minimum| facts.os_version.is_older_than(minimum));
        too_new.map(|minimum| Obstacle::BuildTooNew { minimum_os: minimum.to_string() })
    }

    /// Phones that the job keeps away from: it failed there, and elsewhere is a phone that could still take it.
    pub(crate) fn avoided<'a>(&self, job: &'a JobRecord, shape: &Shape) -> BTreeSet<&'a Udid> {
        let failed_on = job.failed_on();
        if failed_on.is_empty() {
            return failed_on;
        }
        let has_alternative = self.fleet.phones.iter().any(|(udid, phone)| {
            !failed_on.contains(udid)
                && matches!(
                    self.fleet.state(phone).0,
                    PhoneState::Ready | PhoneState::Busy { .. } | PhoneState::Releasing { .. }
                )
                && self.obstacle_of_shape(shape, phone).is_none()
        });
        if has_alternative { failed_on } else { BTreeSet::new() }
    }
}

/// A phone that has the build already is preferred: it saves the install.
fn lacks_build(job: &JobRecord, phone: &Phone) -> bool {
    let build = &job.spec.build;
    !phone.record.facts.apps.iter().any(|app| {
        app.bundle_id == build.bundle_id
            && app.version == build.version
            && app.build_number == build.build_number
    })
}
