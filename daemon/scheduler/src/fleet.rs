//! Racks and phones as the brain knows them, what state each is in, and why. What is done with them is not here.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_wire::id::{BuildHash, JobId, LeaseNumber, PoolName, RackId, Udid};
use holdfast_wire::phone::{PhoneFacts, PhoneReport, PhoneState, Readiness};
use holdfast_wire::time::Time;

use crate::bits::Bits;
use crate::claims::Claims;
use crate::kinds::{FreeKey, KindId, PhoneId, VictimKey};
use crate::place::Place;
use crate::policy::Pool;
use crate::record::{Hold, HoldPhase, PhoneRecord, Quarantined};
use crate::scheduler::Scheduler;

/// One rack, by number: racks are never forgotten.
pub(crate) type RackNumber = usize;

/// A phone, as the brain knows it.
#[derive(Debug)]
pub(crate) struct Phone {
    /// Its name, which is asked for more often than the other facts about it, and is the only one that never changes.
    udid: Udid,
    pub(crate) record: PhoneRecord,
    pub(crate) rack: RackNumber,
    pub(crate) readiness: Readiness,
    pub(crate) reason: String,
    /// Since when the readiness is so, in the daemon's clock.
    pub(crate) since: Time,
    /// When the last attempt on it ended: the phone that has rested longest is taken first.
    pub(crate) last_used: Time,
    /// What other racks say that have it too.
    pub(crate) claims: Claims,
    /// Which of the facts that were ever asked about hold.
    pub(crate) truth: Bits,
    pub(crate) kind: KindId,
    /// Whether neither that nor its pool has changed since its kind was found out.
    pub(crate) is_sorted: bool,
    /// Whether that kind knows it.
    pub(crate) is_member: bool,
    /// Its pool, by its place in the policy.
    pub(crate) pool: Option<usize>,
    /// How it is noted in its kind.
    pub(crate) noted: Noted,
    /// The job of several phones that it is kept for.
    pub(crate) gathered: Option<JobId>,
    /// The job for which it has been told to give up what it runs.
    pub(crate) summoned: Option<JobId>,
    /// Where the job stood that is staged on it.
    pub(crate) staged: Option<Place>,
    /// Attempts of one build in a row.
    pub(crate) batch: u32,
    /// What has to be told of it at the end of the turn.
    pub(crate) touch: Touch,
    /// Whether it became free in this turn.
    pub(crate) is_fresh: bool,
    /// When its attempt has to be over.
    pub(crate) deadline: Option<Time>,
    /// When it is looked at for that: then, or before.
    pub(crate) timed_at: Option<Time>,
    /// The build under which it is noted as free.
    pub(crate) freed_build: Option<BuildHash>,
    /// Whether readers know it as one that works.
    pub(crate) is_shown_working: bool,
}

/// How a phone is noted in its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) free: Option<FreeKey>,
    pub(crate) victim: Option<VictimKey>,
    pub(crate) lent_out: Option<VictimKey>,
    pub(crate) yielding: bool,
    pub(crate) working: bool,
    pub(crate) busy: bool,
}

/// What has to be told of a phone at the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Touch {
    Nothing,
    /// Readers look again.
    Shown,
    /// It is recorded.
    Recorded,
    /// It is recorded, and its rack is told what it has to obey.
    Ordered,
}

impl Phone {
    pub(crate) fn new(record: PhoneRecord, rack: RackNumber, now: Time) -> Self {
        Self {
            udid: record.facts.udid.clone(),
            record,
            rack,
            readiness: Readiness::Offline,
            reason: "its rack has not been heard since the daemon started".to_owned(),
            since: now,
            last_used: Time::default(),
            claims: Claims::new(),
            truth: Bits::default(),
            kind: 0,
            is_sorted: false,
            is_member: false,
            pool: None,
            noted: Noted::default(),
            gathered: None,
            summoned: None,
            staged: None,
            batch: 0,
            touch: Touch::Nothing,
            is_fresh: false,
            deadline: None,
            timed_at: None,
            freed_build: None,
            is_shown_working: false,
        }
    }

    /// A phone that is seen for the first time.
    pub(crate) fn discovered(rack: &RackId, number: RackNumber, report: PhoneReport, now: Time) -> Self {
        let PhoneReport { facts, readiness, reason, since: _ } = report;
        let record = PhoneRecord {
            rack: rack.clone(),
            facts: Arc::new(facts),
            last_lease: LeaseNumber::default(),
            hold: None,
            next: None,
            failures_in_a_row: 0,
            quarantine: None,
            taken: None,
            last_build: None,
            busy_ms: 0,
        };
        Self { readiness, reason, ..Self::new(record, number, now) }
    }

    pub(crate) fn udid(&self) -> &Udid {
        &self.udid
    }

    /// Takes over a report. Says what changed.
    pub(crate) fn report(
        &mut self,
        rack: &RackId,
        number: RackNumber,
        report: PhoneReport,
        now: Time,
    ) -> Changed {
        let PhoneReport { facts, readiness, reason, since: _ } = report;
        if (&readiness, &reason) != (&self.readiness, &self.reason) {
            self.since = now;
        }
        (self.readiness, self.reason) = (readiness, reason);
        let old = &self.record.facts;
        let lasting = self.record.rack != *rack
            || (&old.slot, &old.os_version, &old.os_build, &old.name, &old.labels)
                != (&facts.slot, &facts.os_version, &facts.os_build, &facts.name, &facts.labels)
            || (&old.product_type, &old.model, &old.chip, &old.region)
                != (&facts.product_type, &facts.model, &facts.chip, &facts.region);
        if self.record.rack != *rack {
            self.record.rack = rack.clone();
            self.rack = number;
        }
        self.record.facts = Arc::new(facts);
        if lasting { Changed::Lasting } else { Changed::Passing }
    }

    /// The attempt that counts on it.
    pub(crate) fn counting(&self) -> Option<&Hold> {
        self.record.hold.as_ref().filter(|hold| hold.phase != HoldPhase::Releasing)
    }
}

/// What of a phone has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Something that must outlive the process.
    Lasting,
    /// Only what changes by itself.
    Passing,
}

/// A rack, as the brain knows it.
#[derive(Debug)]
pub(crate) struct Rack {
    pub(crate) id: RackId,
    pub(crate) last_heard: Time,
    pub(crate) presence: Presence,
    pub(crate) phones: BTreeSet<PhoneId>,
    /// Its phones whose attempt was given up and that it has yet to show clean.
    pub(crate) releasing: BTreeSet<PhoneId>,
    /// Its phones of which it has yet to say what became of an attempt that was staged and taken back.
    pub(crate) unsure: BTreeSet<PhoneId>,
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

impl Scheduler {
    /// The phone's state and the reason for it. A pure function of what is known.
    pub(crate) fn state(&self, phone: &Phone) -> (PhoneState, String) {
        let said = || phone.reason.clone();
        if self.racks[phone.rack].presence != Presence::Heard {
            let reason = format!("the agent of rack {} is not heard", phone.record.rack);
            return (PhoneState::Offline, reason);
        }
        match (&phone.record.hold, &phone.readiness) {
            (Some(Hold { attempt, phase: HoldPhase::Active { .. } }), _) => {
                (PhoneState::Busy { attempt: *attempt }, format!("runs {attempt}"))
            }
            (Some(Hold { attempt, phase: HoldPhase::Yielding { .. } }), _) => {
                (PhoneState::Busy { attempt: *attempt }, format!("runs {attempt}, which gives way"))
            }
            (_, Readiness::Offline) => (PhoneState::Offline, said()),
            (Some(Hold { attempt, phase: HoldPhase::Releasing }), _) => (
                PhoneState::Releasing { attempt: *attempt },
                format!("{attempt} was given up; its rack has yet to show the phone clean"),
            ),
            (None, readiness) => match &phone.record.next {
                Some(next) if phone.is_unsure() => (
                    PhoneState::Releasing { attempt: next.attempt },
                    format!("its rack has yet to say whether {} has begun", next.attempt),
                ),
                Some(_) | None => self.state_at_rest(phone, readiness),
            },
        }
    }

    fn state_at_rest(&self, phone: &Phone, readiness: &Readiness) -> (PhoneState, String) {
        if let Some(taken) = &phone.record.taken {
            let reason = format!("{} has it: {}", taken.by, taken.reason);
            return (PhoneState::Taken { by: taken.by.clone(), until: taken.until }, reason);
        }
        if let Some(Quarantined { reason, until, .. }) = &phone.record.quarantine {
            return (PhoneState::Quarantined { until: *until }, reason.clone());
        }
        if let Some(reason) = self.dispute(phone) {
            return (PhoneState::Preparing, reason);
        }
        let state = match readiness {
            Readiness::Ready => PhoneState::Ready,
            Readiness::Preparing => PhoneState::Preparing,
            Readiness::Cooling => PhoneState::Cooling,
            Readiness::Charging => PhoneState::Charging,
            Readiness::Recovering => PhoneState::Recovering,
            Readiness::NeedsHands => PhoneState::NeedsHands,
            Readiness::Offline => PhoneState::Offline,
        };
        let reason = if state == PhoneState::Ready { String::new() } else { phone.reason.clone() };
        (state, reason)
    }

    /// Since when the phone's state is so.
    fn since(&self, phone: &Phone) -> Time {
        let rack = &self.racks[phone.rack];
        match (rack.presence, &phone.record.quarantine, &phone.record.taken) {
            (Presence::Silent, _, _) => rack.last_heard,
            (_, _, Some(taken)) => phone.since.max(taken.since),
            (_, Some(Quarantined { since, .. }), _) => phone.since.max(*since),
            (_, None, None) => phone.since,
        }
    }

    /// The phone as readers see it.
    pub(crate) fn status<'a>(&'a self, phone: &'a Phone) -> PhoneStatus<'a> {
        let (state, reason) = self.state(phone);
        PhoneStatus {
            udid: phone.udid(),
            facts: &phone.record.facts,
            rack: &phone.record.rack,
            pool: self.pool(phone.pool).map(|pool| &pool.name),
            state,
            reason,
            since: self.since(phone),
            failures_in_a_row: phone.record.failures_in_a_row,
        }
    }

    pub(crate) fn rack_status<'a>(&'a self, rack: &'a Rack) -> RackStatus<'a> {
        let working = rack.phones.iter().filter(|phone| {
            let phone = &self.phones[**phone];
            phone.noted.busy || phone.noted.free.is_some() || phone.gathered.is_some()
        });
        RackStatus {
            id: &rack.id,
            online: rack.presence == Presence::Heard,
            last_heard: rack.last_heard,
            phones: rack.phones.len(),
            phones_working: working.count(),
        }
    }

    /// The pool at a place in the policy.
    pub(crate) fn pool(&self, place: Option<usize>) -> Option<&Pool> {
        self.policy.pools.get(place?)
    }

    /// Whether a phone may be given a lease now.
    pub(crate) fn may_work(&self, phone: &Phone) -> bool {
        phone.record.hold.is_none()
            && phone.record.next.is_none()
            && phone.readiness == Readiness::Ready
            && phone.record.quarantine.is_none()
            && phone.record.taken.is_none()
            && self.racks[phone.rack].presence == Presence::Heard
            && (phone.claims.is_empty() || !self.is_disputed(phone))
    }
}

/// A phone as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneStatus<'a> {
    /// Its name.
    pub udid: &'a Udid,
    /// What is known of it.
    pub facts: &'a Arc<PhoneFacts>,
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
