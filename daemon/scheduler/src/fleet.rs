//! Which racks and phones are there, and what state each is in. What is done with them is not here.

use std::collections::BTreeMap;

use holdfast_wire::id::{LeaseNumber, PoolName, RackId, Udid};
use holdfast_wire::phone::{PhoneFacts, PhoneReport, PhoneState, Readiness};
use holdfast_wire::time::Time;

use crate::policy::Policy;
use crate::record::{Hold, HoldPhase, PhoneRecord, Quarantined};

/// A phone, as the brain knows it.
#[derive(Debug, Clone)]
pub(crate) struct Phone {
    pub(crate) record: PhoneRecord,
    pub(crate) readiness: Readiness,
    pub(crate) reason: String,
    /// Since when the readiness is so, in the daemon's clock.
    pub(crate) since: Time,
    /// When the last attempt on it ended: the phone that has rested longest is taken first.
    pub(crate) last_used: Time,
    /// What another rack said of it while this one still had the lease: taken up when the lease is over.
    pub(crate) elsewhere: Option<Box<(RackId, PhoneReport)>>,
}

impl Phone {
    /// A phone that was known before the daemon started and has not been heard of since.
    pub(crate) fn remembered(record: PhoneRecord, now: Time) -> Self {
        Self {
            record,
            readiness: Readiness::Offline,
            reason: "its rack has not been heard since the daemon started".to_owned(),
            since: now,
            last_used: Time::default(),
            elsewhere: None,
        }
    }

    /// A phone that is seen for the first time.
    pub(crate) fn discovered(rack: &RackId, report: PhoneReport, now: Time) -> Self {
        let PhoneReport { facts, readiness, reason, since: _ } = report;
        let record = PhoneRecord {
            rack: rack.clone(),
            facts,
            last_lease: LeaseNumber::default(),
            hold: None,
            failures_in_a_row: 0,
            quarantine: None,
        };
        Self { record, readiness, reason, since: now, last_used: Time::default(), elsewhere: None }
    }

    /// Takes over a report. Says whether something changed that must outlive the process.
    pub(crate) fn report(&mut self, rack: &RackId, report: PhoneReport, now: Time) -> Worth {
        let PhoneReport { facts, readiness, reason, since: _ } = report;
        if (&readiness, &reason) != (&self.readiness, &self.reason) {
            self.since = now;
        }
        (self.readiness, self.reason) = (readiness, reason);
        let old = &self.record.facts;
        let moved = self.record.rack != *rack
            || (&old.slot, &old.os_version, &old.os_build, &old.name, &old.labels, &old.product_type)
                != (
                    &facts.slot,
                    &facts.os_version,
                    &facts.os_build,
                    &facts.name,
                    &facts.labels,
                    &facts.product_type,
                );
        self.record.rack = rack.clone();
        self.record.facts = facts;
        if moved { Worth::Recording } else { Worth::Showing }
    }
}

/// Whether a change must outlive the process, or only be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    Recording,
    Showing,
}

/// A rack, as the brain knows it.
#[derive(Debug, Clone)]
pub(crate) struct Rack {
    pub(crate) last_heard: Time,
    pub(crate) presence: Presence,
}

/// Whether a rack's agent is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It spoke since the daemon started, and not too long ago.
    Heard,
    /// It was there before the daemon started and has time to come back.
    Expected,
    /// It is silent.
    Silent,
}

/// Every rack and phone.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) phones: BTreeMap<Udid, Phone>,
    pub(crate) racks: BTreeMap<RackId, Rack>,
}

impl Fleet {
    /// The phone's state and the reason for it. A pure function of what is known.
    pub(crate) fn state(&self, phone: &Phone) -> (PhoneState, String) {
        let rack = self.racks.get(&phone.record.rack).map(|rack| rack.presence);
        let said = || phone.reason.clone();
        if rack != Some(Presence::Heard) {
            let reason = format!("the agent of rack {} is not heard", phone.record.rack);
            return (PhoneState::Offline, reason);
        }
        match (&phone.record.hold, &phone.readiness) {
            (Some(Hold { attempt, phase: HoldPhase::Active { .. } }), _) => {
                (PhoneState::Busy { attempt: *attempt }, format!("runs {attempt}"))
            }
            (_, Readiness::Offline) => (PhoneState::Offline, said()),
            (Some(Hold { attempt, phase: HoldPhase::Releasing }), _) => (
                PhoneState::Releasing { attempt: *attempt },
                format!("{attempt} was given up; its rack has yet to show the phone clean"),
            ),
            (None, _) if phone.record.quarantine.is_some() => {
                let reason = phone.record.quarantine.as_ref().map(|q| q.reason.clone());
                let until = phone.record.quarantine.as_ref().and_then(|q| q.until);
                (PhoneState::Quarantined { until }, reason.unwrap_or_default())
            }
            (None, Readiness::Ready) => (PhoneState::Ready, String::new()),
            (None, Readiness::Preparing) => (PhoneState::Preparing, said()),
            (None, Readiness::Cooling) => (PhoneState::Cooling, said()),
            (None, Readiness::Charging) => (PhoneState::Charging, said()),
            (None, Readiness::Recovering) => (PhoneState::Recovering, said()),
            (None, Readiness::NeedsHands) => (PhoneState::NeedsHands, said()),
        }
    }

    /// Since when the phone's state is so.
    fn since(&self, phone: &Phone) -> Time {
        let rack = self.racks.get(&phone.record.rack);
        match (rack, &phone.record.quarantine) {
            (Some(Rack { presence: Presence::Silent, last_heard }), _) => *last_heard,
            (_, Some(Quarantined { since, .. })) => phone.since.max(*since),
            (_, None) => phone.since,
        }
    }

    /// The phone as readers see it.
    pub(crate) fn status<'a>(&'a self, policy: &'a Policy, phone: &'a Phone) -> PhoneStatus<'a> {
        let (state, reason) = self.state(phone);
        PhoneStatus {
            udid: &phone.record.facts.udid,
            facts: &phone.record.facts,
            rack: &phone.record.rack,
            pool: policy.pool_of(&phone.record.rack, &phone.record.facts).map(|pool| &pool.name),
            state,
            reason,
            since: self.since(phone),
            failures_in_a_row: phone.record.failures_in_a_row,
        }
    }

    /// Every rack as readers see it.
    pub(crate) fn rack_statuses(&self) -> impl Iterator<Item = RackStatus<'_>> {
        self.racks.iter().map(|(id, rack)| {
            let here = || self.phones.values().filter(|phone| phone.record.rack == *id);
            let works =
                |phone: &&Phone| matches!(self.state(phone).0, PhoneState::Ready | PhoneState::Busy { .. });
            RackStatus {
                id,
                online: rack.presence == Presence::Heard,
                last_heard: rack.last_heard,
                phones: here().count(),
                phones_working: here().filter(works).count(),
            }
        })
    }
}

/// A phone as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneStatus<'a> {
    /// Its name.
    pub udid: &'a Udid,
    /// What is known of it.
    pub facts: &'a PhoneFacts,
    /// Its rack.
    pub rack: &'a RackId,
    /// Its pool; a phone in none gets no work.
    pub pool: Option<&'a PoolName>,
    /// Its state.
    pub state: PhoneState,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// Failures in a row that blame it.
    pub failures_in_a_row: u32,
}

/// A rack as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RackStatus<'a> {
    /// Its name.
    pub id: &'a RackId,
    /// Whether its agent is heard.
    pub online: bool,
    /// When it last spoke.
    pub last_heard: Time,
    /// Phones known on it.
    pub phones: usize,
    /// Phones that are ready or busy.
    pub phones_working: usize,
}
