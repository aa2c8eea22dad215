//! The next job of a phone that is soon to be free, handed to its agent ahead: chosen as if the phone were free now, it
//! begins there without another word as soon as the attempt before it is over. Giving phones that are free is not here
//! (`matching`, `lease`).
//!
//! A staged job belongs to its phone until its rack has said that it will not begin, and counts for its owner like one
//! that runs; so no other phone can get it meanwhile. It is taken back for whoever goes before it, for a phone that is
//! free at once, and when the attempt before it takes much longer than was expected. Whether the agent began it before it
//! heard of that is known from what the agent says alone: see [`NextPhase`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use holdfast_wire::id::{AttemptId, JobId, LeaseNumber};
use holdfast_wire::outcome::{AttemptEnd, Blame};
use holdfast_wire::phone::Readiness;
use holdfast_wire::sync::{HeldLease, Staged};
use holdfast_wire::time::Time;

use crate::decision::Decision;
use crate::fleet::{Phone, Presence, RackNumber, Touch};
use crate::kinds::PhoneId;
use crate::lanes::{LaneId, Shut};
use crate::lease::{run_limit, unreported, work};
use crate::place::Place;
use crate::record::{AttemptRecord, Hold, HoldPhase, Next, NextPhase};
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// What is left of an attempt when the next job is staged, as one part of so many of its usual length: what may come to
/// be more urgent meanwhile, and what other phones may do sooner, is then little against what it waited already.
const LEAD_PART: u64 = 10;

/// The shortest lead: an order and the first bytes of a build need about so long. Milliseconds.
const LEAD_MIN_MS: u64 = 2_000;

/// The longest lead: most builds are fetched in this time. Milliseconds.
const LEAD_MAX_MS: u64 = 30_000;

/// How often a phone that is soon to be free is looked at again: jobs come, and attempts take longer. Milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;

/// Looks that fall into one such span are done at once, so that the brain is woken once for all of them. Milliseconds.
const TICK_MS: i64 = 500;

/// Staged jobs behind a more urgent one that are looked at for a phone that it takes.
const OUTBID_LOOKS: usize = 64;

/// What is known of phones that are soon to be free.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Phones to be looked at, by when, with the lease that they had.
    looks: BTreeMap<i64, Vec<(PhoneId, LeaseNumber)>>,
    /// Phones with a staged job, by where that stood in the order of service.
    pub(crate) staged: BTreeSet<(Place, PhoneId)>,
    /// Phones for which a job is to be chosen in this turn.
    near: Vec<PhoneId>,
    /// Phones that came free in this turn.
    freed: Vec<PhoneId>,
    /// Whether a job that was to get a free phone did not need it in the end: another that is staged may.
    pub(crate) is_one_left: bool,
}

impl Phone {
    /// Whether its rack has yet to say if a staged attempt has begun.
    pub(crate) fn is_unsure(&self) -> bool {
        matches!(self.record.next, Some(Next { phase: NextPhase::Unsure { .. }, .. }))
            && self.record.hold.is_none()
    }

    fn is_staged(&self) -> bool {
        matches!(self.record.next, Some(Next { phase: NextPhase::Staged, .. }))
    }
}

impl Scheduler {
    // ---- when to look ----

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
            None | Some(Standing::Overdue) if !self.phones[id].is_staged() => return,
            None | Some(Standing::LongOverdue) => return self.take_back(id),
            Some(Standing::Early { left_ms }) => return self.look_in(id, left_ms),
            Some(Standing::Near) => self.ahead.near.push(id),
            Some(Standing::Overdue) => {}
        }
        self.look_in(id, LOOK_EVERY_MS);
    }

    /// How far the attempt on a phone is; none when none runs there undisturbed.
    fn stands(&self, id: PhoneId) -> Option<Standing> {
        let Some(Hold { attempt, phase: HoldPhase::Active { .. } }) = &self.phones[id].record.hold else {
            return None;
        };
        let slot = self.jobs.get(attempt.job)?;
        let since = slot.record.attempt(attempt.number).map_or(self.now, |attempt| attempt.leased_at);
        let gone_ms = u64::try_from(self.now.since(since).as_millis()).unwrap_or(u64::MAX);
        let mean_ms = self.paces.mean_ms(slot);
        let lead_ms = lead_ms(mean_ms);
        Some(if gone_ms.saturating_add(lead_ms) < mean_ms {
            Standing::Early { left_ms: mean_ms - lead_ms - gone_ms }
        } else if gone_ms <= mean_ms.saturating_add(lead_ms) {
            Standing::Near
        } else if gone_ms <= mean_ms.saturating_add(2 * lead_ms) {
            Standing::Overdue
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

    // ---- staging ----

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

    fn unnote_staged(&mut self, id: PhoneId) {
        let Some(standing) = self.phones[id].staged.take() else { return };
        self.ahead.staged.remove(&(standing, id));
        if let Some(slot) = self.staged_job(id).and_then(|job| self.jobs.get(job)) {
            self.lanes.let_go(slot.lane);
        }
    }

    /// Whether the attempt on a phone is one behind which a job may be staged.
    fn may_stage_on(&self, phone: &Phone) -> bool {
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

    // ---- taking back ----

    /// Phones that have changed in this turn may no longer be right for what is staged there.
    fn review(&mut self) {
        for place in 0..self.turn.touched.len() {
            let id = self.turn.touched[place];
            if self.phones[id].is_staged() && !self.is_right(id) {
                self.take_back(id);
            }
        }
    }

    fn is_right(&self, id: PhoneId) -> bool {
        let phone = &self.phones[id];
        let Some(slot) = self.staged_job(id).and_then(|job| self.jobs.get(job)) else { return false };
        let lane = &self.lanes.list[slot.lane];
        self.may_stage_on(phone)
            && lane.shut == Shut::default()
            && lane.native.has(phone.kind)
            && self.accepts(slot, id)
            // Jobs that the phone did not fit before may go before it.
            && self.goes_before(id).next().is_none()
    }

    /// Lanes that the phone serves, with a job that goes before the one that is or was staged there: any, when the phone
    /// has come to be of a pool that does not serve that one.
    fn goes_before(&self, id: PhoneId) -> impl Iterator<Item = LaneId> {
        let own = self.staged_job(id).and_then(|job| self.jobs.get(job));
        let place = own.map(|slot| {
            if self.is_lent_to(&self.phones[id], &slot.record.spec) {
                return Place::LAST;
            }
            self.phones[id].staged.unwrap_or_else(|| self.own_place(slot))
        });
        let lanes = self.kinds.list[self.phones[id].kind].native.both(&self.lanes.live);
        lanes.filter(move |lane| {
            let is_before = |other: Place| place.is_some_and(|place| other < place);
            is_before(self.lanes.heads[*lane])
                && self.first_taker(*lane, id).is_some_and(|(first, _)| is_before(first))
        })
    }

    /// Phones that nobody took: a staged job which fits one of them need not wait for its own.
    fn take_back_for_free(&mut self) {
        let mut freed = std::mem::take(&mut self.ahead.freed);
        if std::mem::take(&mut self.ahead.is_one_left) {
            let kinds = self.kinds.with_free.iter().map(|kind| &self.kinds.list[kind]);
            freed.extend(kinds.filter_map(|kind| kind.free.first()).map(|(_, _, phone)| *phone));
        }
        freed.sort_unstable();
        freed.dedup();
        freed.retain(|phone| self.phones[*phone].noted.free.is_some());
        let free = freed;
        if free.is_empty() {
            return;
        }
        let staged = self.ahead.staged.iter().map(|(_, phone)| *phone);
        let fits = |id: &PhoneId| {
            let slot = self.staged_job(*id).and_then(|job| self.jobs.get(job));
            slot.is_some_and(|slot| {
                let lane = &self.lanes.list[slot.lane];
                let takes = |phone: &PhoneId| {
                    lane.fits(self.phones[*phone].kind)
                        && self.accepts(slot, *phone)
                        && self.is_open(lane, *phone)
                };
                free.iter().any(takes)
            })
        };
        let claimed: Vec<PhoneId> = staged.filter(fits).take(free.len()).collect();
        for id in claimed {
            self.take_back(id);
        }
    }

    /// A job waits that finds no phone: the last of those staged behind it gives up one that this job takes.
    pub(crate) fn outbid(&mut self, job: JobId) {
        let Some(slot) = self.jobs.get(job).filter(|slot| slot.is_waiting && slot.summons.is_none()) else {
            return;
        };
        let Some(place) = self.standing(slot).filter(|_| slot.record.spec.phones == 1) else { return };
        let lane = &self.lanes.list[slot.lane];
        let lesser = (Bound::Excluded((place, PhoneId::MAX)), Bound::Unbounded);
        let mut behind = self.ahead.staged.range(lesser).rev().take(OUTBID_LOOKS);
        let found =
            behind.find(|(_, phone)| lane.native.has(self.phones[*phone].kind) && self.accepts(slot, *phone));
        if let Some((_, phone)) = found {
            self.take_back(*phone);
        }
    }

    /// Takes back everything that is staged, or that of some class.
    pub(crate) fn take_back_where(&mut self, holds: impl Fn(&crate::waiting::Slot) -> bool) {
        let staged = self.ahead.staged.iter().map(|(_, phone)| *phone);
        let is_meant = |id: &PhoneId| {
            let slot = self.staged_job(*id).and_then(|job| self.jobs.get(job));
            slot.is_some_and(&holds)
        };
        let phones: Vec<PhoneId> = staged.filter(is_meant).collect();
        for id in phones {
            self.take_back(id);
        }
    }

    /// The agent is told not to begin what is staged. The job stays with the phone until it is known that it did not.
    pub(crate) fn take_back(&mut self, id: PhoneId) {
        if !self.phones[id].is_staged() {
            return;
        }
        self.unnote_staged(id);
        let phone = &mut self.phones[id];
        if let Some(next) = &mut phone.record.next {
            next.phase = NextPhase::Withdrawing;
        }
        self.racks[phone.rack].unsure.insert(id);
        self.changed(id, Touch::Ordered);
    }

    /// The job that belongs to a phone waits again, at its old place.
    fn let_wait(&mut self, id: PhoneId) {
        let Some(job) = self.staged_job(id) else { return };
        self.unnote_staged(id);
        let Some(slot) = self.jobs.get_mut(job) else { return };
        (slot.is_staged, slot.seat) = (false, usize::MAX);
        let (owner, usual_ms) = (slot.owner, slot.usual_ms);
        self.charge_end(owner, usual_ms, std::time::Duration::ZERO);
        self.wait(job);
        self.turn.out.push(Decision::JobMoved(job));
    }

    /// The job goes on without the phone, which may have begun it for all that is known: that attempt counts no longer,
    /// and its lease is given up.
    pub(crate) fn fence_next(&mut self, id: PhoneId) {
        let now = self.now;
        let Some(next) = self.phones[id].record.next.clone() else { return };
        if let Some(slot) = self.staged_job(id).and_then(|job| self.jobs.get_mut(job)) {
            let phone = &self.phones[id];
            std::sync::Arc::make_mut(&mut slot.record).attempts.push(AttemptRecord {
                phone: phone.udid().clone(),
                rack: phone.record.rack.clone(),
                lease: next.lease,
                leased_at: now,
                ended: Some(unreported(AttemptEnd::Revoked, now)),
            });
            self.touch_job(next.attempt.job);
            self.let_wait(id);
        }
        if let Some(Next { phase: phase @ NextPhase::Staged, .. }) = &mut self.phones[id].record.next {
            *phase = NextPhase::Withdrawing;
            let rack = self.phones[id].rack;
            self.racks[rack].unsure.insert(id);
        }
    }

    /// Nothing of what was staged is left on the phone: its job waits again, if it still belongs to it.
    pub(crate) fn forget_next(&mut self, id: PhoneId) {
        self.let_wait(id);
        let phone = &mut self.phones[id];
        if let Some(next) = phone.record.next.take() {
            phone.record.last_lease = phone.record.last_lease.max(next.lease);
        }
        self.ahead.is_one_left |= self.racks[phone.rack].unsure.remove(&id);
    }

    // ---- when the attempt before is over ----

    /// Whether the agent goes on with what is staged, given how the attempt before it ended.
    pub(crate) fn goes_on(&self, id: PhoneId, end: &AttemptEnd) -> bool {
        let is_trouble = matches!(end, AttemptEnd::Failed { blame, .. } if *blame != Blame::Job);
        self.phones[id].is_staged() && self.phones[id].claims.is_empty() && !is_trouble
    }

    /// What is staged has begun, or is to begin now.
    pub(crate) fn begin_next(&mut self, id: PhoneId) {
        let now = self.now;
        let Some(job) = self.staged_job(id) else { return };
        // Whoever goes before it by now may break it off.
        let before: Vec<LaneId> = self.goes_before(id).collect();
        self.turn.lanes.extend(before);
        self.unnote_staged(id);
        let phone = &mut self.phones[id];
        phone.record.hold = None;
        (phone.since, phone.last_used) = (now, now);
        self.ahead.is_one_left |= self.racks[phone.rack].unsure.remove(&id);
        if let Some(slot) = self.jobs.get_mut(job) {
            slot.is_staged = false;
        }
        self.begin(job, &[id]);
    }

    /// Nothing holds the phone any longer: says what that makes of what was staged behind it.
    pub(crate) fn next_is_alone(&mut self, id: PhoneId) {
        let until = self.now.after(self.policy.rack_silent_after);
        if !self.phones[id].claims.is_empty() {
            // It may have begun before the phone left.
            self.fence_next(id);
        }
        let Some(next) = &mut self.phones[id].record.next else { return };
        match next.phase {
            // Its end was such that the agent waits for an order.
            NextPhase::Staged | NextPhase::Withdrawn => self.forget_next(id),
            NextPhase::Withdrawing => next.phase = NextPhase::Unsure { until },
            NextPhase::Unsure { .. } => {}
        }
    }

    /// A rack has said what it holds: what was taken back there will not begin, or has begun.
    pub(crate) fn hear_of_next(&mut self, rack: RackNumber, held: &[HeldLease]) {
        for id in self.racks[rack].unsure.clone() {
            let phone = &self.phones[id];
            let (Some(next), Some(lease)) =
                (&phone.record.next, held.iter().find(|lease| lease.phone == *phone.udid()))
            else {
                continue;
            };
            match next.phase {
                NextPhase::Withdrawing => {
                    let is_first = lease.lease == phone.record.last_lease;
                    if is_first && lease.withdrawn >= Some(next.lease) {
                        self.is_withdrawn(id);
                    }
                }
                NextPhase::Unsure { .. } if lease.lease == next.lease => self.has_begun(id),
                NextPhase::Unsure { .. } | NextPhase::Staged | NextPhase::Withdrawn => {}
            }
        }
    }

    fn is_withdrawn(&mut self, id: PhoneId) {
        self.let_wait(id);
        let phone = &mut self.phones[id];
        if let Some(next) = &mut phone.record.next {
            next.phase = NextPhase::Withdrawn;
        }
        self.ahead.is_one_left |= self.racks[phone.rack].unsure.remove(&id);
        self.changed(id, Touch::Recorded);
        if matches!(self.stands(id), Some(Standing::Near)) {
            // Whoever goes before it may be staged now.
            self.ahead.near.push(id);
        }
    }

    fn has_begun(&mut self, id: PhoneId) {
        if self.staged_job(id).is_some() {
            return self.begin_next(id);
        }
        // Nobody wants it any more.
        let Some(next) = self.phones[id].record.next.take() else { return };
        let phone = &mut self.phones[id];
        phone.record.last_lease = next.lease;
        phone.record.hold = Some(Hold { attempt: next.attempt, phase: HoldPhase::Releasing });
        let rack = &mut self.racks[phone.rack];
        rack.unsure.remove(&id);
        rack.releasing.insert(id);
        self.changed(id, Touch::Ordered);
    }

    /// A rack says that nothing runs on a phone of which it had yet to say whether it goes on, nor will.
    pub(crate) fn hear_it_rests(&mut self, id: PhoneId, obeyed: LeaseNumber) {
        if !self.phones[id].is_unsure() {
            return;
        }
        if self.phones[id].record.next.as_ref().is_some_and(|next| obeyed >= next.lease) {
            // It may have begun, and been lost.
            self.fence_next(id);
        }
        self.forget_next(id);
        self.changed(id, Touch::Ordered);
    }

    /// The attempt that was staged is over, says its rack, which had yet to say that it had begun. Says whether that
    /// is to be taken in as the end of an attempt that counts.
    pub(crate) fn has_begun_and_ended(&mut self, id: PhoneId, attempt: AttemptId, lease: LeaseNumber) {
        let is_it = self.phones[id].is_unsure()
            && self.phones[id]
                .record
                .next
                .as_ref()
                .is_some_and(|next| next.attempt == attempt && next.lease == lease);
        if is_it {
            self.has_begun(id);
        }
    }

    /// A rack is given up, or has not said in time what became of what was staged.
    pub(crate) fn give_next_up(&mut self, id: PhoneId) {
        let Some(Next { phase: NextPhase::Unsure { until }, .. }) = self.phones[id].record.next else {
            return;
        };
        self.fence_next(id);
        if until <= self.now {
            self.forget_next(id);
        }
        self.changed(id, Touch::Ordered);
    }
}

/// How far an attempt is, by how long its like usually take.
enum Standing {
    /// It is too early to stage anything.
    Early {
        /// Not for so long.
        left_ms: u64,
    },
    /// It is soon to end.
    Near,
    /// It should have ended. Nothing more is staged; what is may begin any moment.
    Overdue,
    /// Nobody knows when it ends.
    LongOverdue,
}

/// How long before the expected end of an attempt the next job is staged.
fn lead_ms(mean_ms: u64) -> u64 {
    (mean_ms / LEAD_PART).clamp(LEAD_MIN_MS, LEAD_MAX_MS)
}

/// A staged job begins within this time, or is taken back: one that has to begin sooner is not staged.
const LATEST: std::time::Duration = std::time::Duration::from_millis(4 * LEAD_MAX_MS);
