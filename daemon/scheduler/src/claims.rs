//! Which rack has a phone. A phone is on one bus, but reports come late and over bad networks: two racks may say that they
//! have it. The one that had it first keeps it until it says that it has not, or is silent; meanwhile nobody is ordered to
//! begin anything there. What else a report tells is not here (`events`).

use holdfast_wire::phone::{PhoneReport, Readiness};

use crate::decision::Decision;
use crate::fleet::{Changed, Phone, Presence, RackNumber, Touch};
use crate::kinds::PhoneId;
use crate::lease::rest;
use crate::scheduler::Scheduler;

/// What racks other than its own say of a phone that they have, the last that was heard last.
pub(crate) type Claims = Vec<(RackNumber, PhoneReport)>;

impl Scheduler {
    /// A rack speaks of a phone that is on another one, as far as is known.
    pub(crate) fn claimed(&mut self, id: PhoneId, rack: RackNumber, report: PhoneReport) {
        let claims = &mut self.phones[id].claims;
        let before = claims.len();
        claims.retain(|(other, _)| *other != rack);
        // The rack that a phone has left says so for ever.
        if report.readiness != Readiness::Offline {
            claims.push((rack, report));
        } else if claims.len() == before {
            return;
        }
        let is_claimed = !claims.is_empty();
        if is_claimed {
            self.claimed.insert(id);
            self.follow(id);
        } else {
            self.claimed.remove(&id);
        }
        self.changed(id, Touch::Shown);
    }

    /// Puts a phone on the rack that says it has it, once its own has not and nothing counts there any more. Says
    /// whether it did. The caller says that the phone has changed.
    pub(crate) fn follow(&mut self, id: PhoneId) -> bool {
        let phone = &self.phones[id];
        // Its own rack may have begun what was staged there: it says so next, or is given up.
        let may_work = phone.counting().is_some() || phone.is_unsure();
        if phone.claims.is_empty() || may_work || self.says_it_has(phone) {
            return false;
        }
        let Some(at) = phone.claims.iter().rposition(|(rack, _)| self.may_be_heard(*rack)) else {
            return false;
        };
        let (before, now) = (phone.rack, self.now);
        let phone = &mut self.phones[id];
        let (number, report) = phone.claims.remove(at);
        if phone.readiness != Readiness::Offline {
            // Its word stands until it takes it back: it is silent now, and may not be for ever.
            let word = PhoneReport {
                facts: (*phone.record.facts).clone(),
                readiness: phone.readiness.clone(),
                reason: phone.reason.clone(),
                since: phone.since,
            };
            phone.claims.insert(0, (before, word));
        }
        // A phone is on one bus only, so the old rack can have nothing running on it.
        let order = rest(phone);
        if phone.record.hold.take().is_some() || phone.record.next.is_some() {
            self.turn.out.push(Decision::Order { rack: self.racks[before].id.clone(), order });
        }
        self.fence_next(id);
        self.forget_next(id);
        if self.phones[id].claims.is_empty() {
            self.claimed.remove(&id);
        }
        self.move_phone(id, before, number);
        let rack = self.racks[number].id.clone();
        self.phones[id].report(&rack, number, report, now);
        self.look_at(id, Changed::Lasting);
        self.touch(id, Touch::Recorded);
        true
    }

    /// A rack is heard again, or has fallen silent: what it says of phones that others have counts, or no longer.
    pub(crate) fn weigh_claims(&mut self) {
        for id in self.claimed.clone() {
            self.follow(id);
            self.changed(id, Touch::Shown);
        }
    }

    /// Whether another rack that may be heard says that it has the phone too.
    pub(crate) fn is_disputed(&self, phone: &Phone) -> bool {
        phone.claims.iter().any(|(rack, _)| self.may_be_heard(*rack))
    }

    /// Why a phone that two racks say they have gets no work.
    pub(crate) fn dispute(&self, phone: &Phone) -> Option<String> {
        let (other, _) = phone.claims.iter().rfind(|(rack, _)| self.may_be_heard(*rack))?;
        let (own, other) = (&phone.record.rack, &self.racks[*other].id);
        Some(format!(
            "racks {own} and {other} both say that they have it; it works again once one of them says that it has not"
        ))
    }

    /// Whether a phone is somewhere else than where it is thought to be.
    pub(crate) fn has_left(&self, phone: &Phone) -> bool {
        !self.says_it_has(phone) && self.is_disputed(phone)
    }

    /// Whether the phone's own rack has it by the last that it said, and has not fallen silent since.
    fn says_it_has(&self, phone: &Phone) -> bool {
        phone.readiness != Readiness::Offline && self.may_be_heard(phone.rack)
    }

    fn may_be_heard(&self, rack: RackNumber) -> bool {
        self.racks[rack].presence != Presence::Silent
    }

    /// A phone is on another rack than before.
    fn move_phone(&mut self, id: PhoneId, before: RackNumber, after: RackNumber) {
        self.racks[before].phones.remove(&id);
        self.racks[before].releasing.remove(&id);
        self.racks[before].unsure.remove(&id);
        self.racks[after].phones.insert(id);
        // Whoever kept away from it for the sake of its rack may take it now.
        self.turn.recheck = true;
        self.turn.racks.insert(before);
        self.turn.racks.insert(after);
    }
}
