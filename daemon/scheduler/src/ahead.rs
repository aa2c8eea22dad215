//! The next job of a phone that is soon to be free, handed to its agent ahead: chosen as if the phone were free now, it
//! begins there without another word as soon as the attempt before it is over. Giving phones that are free is not here
//! (`matching`, `lease`).
//!
//! A staged job belongs to its phone until its rack has said that it will not begin, and counts for its owner like one
//! that runs; so no other phone can get it meanwhile. It is taken back for whoever goes before it, for a phone that is
//! free at once, and when the attempt before it takes much longer than was expected. Whether the agent began it before it
//! heard of that is known from what the agent says alone: see [`NextPhase`].

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::id::{AttemptId, JobId, LeaseNumber};
use holdfast_wire::phone::Readiness;
use holdfast_wire::sync::Staged;
use holdfast_wire::time::Time;

use crate::fleet::{Phone, Presence, Touch};
use crate::kinds::PhoneId;
use crate::lease::{run_limit, work};
use crate::place::Place;
use crate::record::{Hold, HoldPhase, Next, NextPhase};
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// What is left of an attempt when the next job is staged, as one part of so many of its usual length: what may come to
/// be more urgent meanwhile, and what other phones may do sooner, is then little against what it waited already.
const LEAD_PART: u64 = 10;

/// The shortest lead: an order and the first bytes of a build need about so long. Milliseconds.
const LEAD_MIN_MS: u64 = 2_000;

/// The longest lead: most builds are fetched in this time. Milliseconds.
const LEAD_MAX_MS: u64 = 30_000;

/// How often a phone that is soon to be free is looked at again for as long as nothing is staged there: jobs come.
/// Milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;

/// About how often it is looked at in all: the farm's speed is worth more than a job that comes late.
const LOOKS: u64 = 4;

/// Looks that fall into one such span are done at once, so that the brain is woken once for all of them. Milliseconds.
const TICK_MS: i64 = 500;

/// What is known of phones that are soon to be free.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Phones to be looked at, by when, with the lease that they had.
    looks: BTreeMap<i64, Vec<(PhoneId, LeaseNumber)>>,
    /// Phones with a staged job, by where that stood in the order of service.
    pub(crate) staged: BTreeSet<(Place, PhoneId)>,
    /// Phones for which a job is to be chosen in this turn.
    pub(crate) near: Vec<PhoneId>,
    /// Phones that came free in this turn.
    pub(crate) freed: Vec<PhoneId>,
    /// Whether a job that was to get a free phone did not need it in the end: another that is staged may.
    pub(crate) is_one_left: bool,
}

impl Phone {
    /// Whether its rack has yet to say if a staged attempt has begun.
    pub(crate) fn is_unsure(&self) -> bool {
        matches!(self.record.next, Some(Next { phase: NextPhase::Unsure { .. }, .. }))
            && self.record.hold.is_none()
    }

    pub(crate) fn is_staged(&self) -> bool {
        matches!(self.record.next, Some(Next { phase: NextPhase::Staged, .. }))
    }
}

impl Scheduler {
    /// An attempt begins that usually takes so long: the phone is looked at again when it is soon to be free.
    pub(crate) fn watch(&mut self, phone: PhoneId, mean_ms: u64) {
        if !self.policy.stage_ahead {
            return;
        }
        let lead_ms = lead_ms(mean_ms);
        if mean_ms <= lead_ms {
            self.ahead.near.push(phone);
        }
        self.look_in(phone, mean_ms.saturating_sub(lead_ms).max(LOOK_EVERY_MS));
    }

    pub(crate) fn look_in(&mut self, phone: PhoneId, span_ms: u64) {
        let lease = self.phones[phone].record.last_lease;
        let at = self.now.as_unix_ms().saturating_add_unsigned(span_ms);
        let tick = at.div_euclid(TICK_MS) + 1;
        let phones = self.ahead.looks.entry(tick).or_default();
        if phones.is_empty() {
            self.timers.set(Time::from_unix_ms(tick.saturating_mul(TICK_MS)), Timer::Ahead);
        }
        phones.push((phone, lease));
    }

    /// Some phones are to be looked at by now.
    pub(crate) fn look_at_ends(&mut self) {
        let tick = self.now.as_unix_ms().div_euclid(TICK_MS);
        while let Some(first) = self.ahead.looks.first_entry().filter(|first| *first.key() <= tick) {
            for (phone, lease) in first.remove() {
                self.look_at_end(phone, lease);
            }
        }
    }

    fn look_at_end(&mut self, id: PhoneId, lease: LeaseNumber) {
        if self.phones[id].record.last_lease != lease {
            return;
        }
        match self.stands(id) {
            Some(Standing::Early { left_ms }) => self.look_in(id, left_ms),
            Some(Standing::Near { left_ms } | Standing::Overdue { left_ms })
                if self.phones[id].is_staged() =>
            {
                self.look_in(id, left_ms);
            }
            Some(Standing::Near { left_ms }) => {
                self.ahead.near.push(id);
                self.look_in(id, LOOK_EVERY_MS.max(left_ms / LOOKS));
            }
            Some(Standing::Overdue { .. }) => {}
            None | Some(Standing::LongOverdue) => self.take_back(id),
        }
    }

    /// How far the attempt on a phone is; none when none runs there undisturbed.
    pub(crate) fn stands(&self, id: PhoneId) -> Option<Standing> {
        let Some(Hold { attempt, phase: HoldPhase::Active { .. } }) = &self.phones[id].record.hold else {
            return None;
        };
        let slot = self.jobs.get(attempt.job)?;
        let since = slot.record.attempt(attempt.number).map_or(self.now, |attempt| attempt.leased_at);
        let gone_ms = u64::try_from(self.now.since(since).as_millis()).unwrap_or(u64::MAX);
        let mean_ms = self.paces.mean_ms(slot);
        let lead_ms = lead_ms(mean_ms);
        let long_overdue_ms = mean_ms.saturating_add(2 * lead_ms).saturating_add(1);
        let left_ms = long_overdue_ms.saturating_sub(gone_ms);
        Some(if gone_ms.saturating_add(lead_ms) < mean_ms {
            Standing::Early { left_ms: mean_ms - lead_ms - gone_ms }
        } else if gone_ms <= mean_ms.saturating_add(lead_ms) {
            Standing::Near { left_ms }
        } else if left_ms > 0 {
            Standing::Overdue { left_ms }
        } else {
            Standing::LongOverdue
        })
    }

    /// Phones that came free in this turn are noted: a staged job may take one of them at once.
    pub(crate) fn note_freed(&mut self, phones: &[PhoneId]) {
        if !self.ahead.staged.is_empty() {
            self.ahead.freed.extend(phones);
        }
    }

    /// The last thing of a turn, when every job that could begin has: what is staged is looked at again where something
    /// changed, and jobs are chosen for phones that are soon to be free.
    pub(crate) fn stage(&mut self) {
        if !self.ahead.staged.is_empty() {
            self.review();
            self.take_back_for_free();
        }
        while !self.ahead.near.is_empty() {
            for phone in std::mem::take(&mut self.ahead.near) {
                self.stage_on(phone);
            }
            if !self.gangs.is_empty() {
                // What counts for an owner now may keep its job of several phones from beginning: those are let go of.
                self.dispatch();
            }
        }
    }

    fn stage_on(&mut self, id: PhoneId) {
        let phone = &self.phones[id];
        if !self.may_stage_on(phone) {
            return;
        }
        let before = match &phone.record.next {
            None => phone.record.last_lease,
            Some(Next { lease, phase: NextPhase::Withdrawn, .. }) => *lease,
            Some(_) => return,
        };
        let Some((lane, place)) = self.first_of(id, &self.kinds.list[phone.kind].native) else { return };
        if self.lanes.list[lane].key.phones > 1 {
            // It gathers phones as they come free.
            return;
        }
        let job = self.preferred(id, lane, place);
        let Some(slot) = self.jobs.get(job) else { return };
        let Some(standing) = self.standing(slot) else { return };
        // The most urgent of all take whichever phone is first, and so does one that a phone is on its way to.
        let takes_the_first = self.rule(slot.record.spec.class).strict || slot.summons.is_some();
        let expires = slot.record.spec.start_by.is_some_and(|by| by < self.now.after(LATEST));
        if takes_the_first || expires || self.choose(slot).is_some() {
            return;
        }
        let attempts = u32::try_from(slot.record.attempts.len()).unwrap_or(u32::MAX);
        let attempt = AttemptId { job, number: attempts.saturating_add(1) };
        let (owner, usual_ms) = (slot.owner, slot.usual_ms);
        self.leave(job);
        self.charge_begin(owner, 1, usual_ms);
        let lease = before.next();
        self.phones[id].record.next = Some(Next { attempt, lease, phase: NextPhase::Staged });
        self.note_staged(id, job, standing);
        self.changed(id, Touch::Ordered);
    }

    /// Notes that a job is staged on a phone, where it stood so.
    pub(crate) fn note_staged(&mut self, id: PhoneId, job: JobId, standing: Place) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        (slot.is_staged, slot.seat) = (true, id);
        self.lanes.keep(slot.lane);
        self.phones[id].staged = Some(standing);
        self.ahead.staged.insert((standing, id));
    }

    pub(crate) fn unnote_staged(&mut self, id: PhoneId) {
        let Some(standing) = self.phones[id].staged.take() else { return };
        self.ahead.staged.remove(&(standing, id));
        if let Some(slot) = self.staged_job(id).and_then(|job| self.jobs.get(job)) {
            self.lanes.let_go(slot.lane);
        }
    }

    /// Whether the attempt on a phone is one behind which a job may be staged.
    pub(crate) fn may_stage_on(&self, phone: &Phone) -> bool {
        // A rack that was there before the daemon started has time to come back.
        let is_well = match self.racks[phone.rack].presence {
            Presence::Heard => phone.readiness == Readiness::Ready,
            Presence::Expected => phone.is_staged(),
            Presence::Silent => false,
        };
        self.policy.stage_ahead
            && is_well
            && matches!(phone.record.hold, Some(Hold { phase: HoldPhase::Active { .. }, .. }))
            && phone.record.quarantine.is_none()
            && phone.record.taken.is_none()
            && phone.claims.is_empty()
            && phone.summoned.is_none()
            && phone.pool.is_some()
    }

    /// The job that belongs to a phone: staged there, or taken back without its rack having said so yet.
    pub(crate) fn staged_job(&self, id: PhoneId) -> Option<JobId> {
        let next = self.phones[id].record.next.as_ref()?;
        let job = next.attempt.job;
        self.jobs.get(job).is_some_and(|slot| slot.is_staged && slot.seat == id).then_some(job)
    }

    /// What the agent of a phone is told to begin next, and what it is told not to.
    pub(crate) fn next_of(&self, id: PhoneId) -> (Option<Staged>, Option<LeaseNumber>) {
        let record = &self.phones[id].record;
        let Some(next) = &record.next else { return (None, None) };
        let job = self.staged_job(id).and_then(|job| self.jobs.get(job));
        let (NextPhase::Staged, Some(slot)) = (next.phase, job) else { return (None, Some(next.lease)) };
        let limit = self.policy.attempt_overhead.saturating_add(run_limit(&slot.record));
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let work = Box::new(work(&slot.record, next.attempt, limit_ms));
        let withdrawn = LeaseNumber(next.lease.0.saturating_sub(1));
        let withdrawn = (withdrawn > record.last_lease).then_some(withdrawn);
        (Some(Staged { lease: next.lease, work }), withdrawn)
    }
}

/// How far an attempt is, by how long its like usually take.
pub(crate) enum Standing {
    /// It is too early to stage anything.
    Early {
        /// Not for so long.
        left_ms: u64,
    },
    /// It is soon to end.
    Near {
        /// Long overdue in so long.
        left_ms: u64,
    },
    /// It should have ended. Nothing more is staged; what is may begin any moment.
    Overdue {
        /// Long overdue in so long.
        left_ms: u64,
    },
    /// Nobody knows when it ends.
    LongOverdue,
}

/// How long before the expected end of an attempt the next job is staged.
fn lead_ms(mean_ms: u64) -> u64 {
    (mean_ms / LEAD_PART).clamp(LEAD_MIN_MS, LEAD_MAX_MS)
}

/// A staged job begins within this time, or is taken back: one that has to begin sooner is not staged.
const LATEST: std::time::Duration = std::time::Duration::from_millis(4 * LEAD_MAX_MS);
