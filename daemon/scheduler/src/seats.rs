//! Keeps the notes about a phone true to what the phone is: its kind, whether it is free, whether the work on it gives
//! way. Whoever changes a phone says so here, and here alone.

use std::cmp::Reverse;

use holdfast_wire::job::JobSpec;
use holdfast_wire::phone::Readiness;
use holdfast_wire::requirement::Place as Whereabouts;
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;

use crate::fleet::{Changed, Noted, Phone, Presence, Touch};
use crate::kinds::{KindId, KindKey, PhoneId, VictimKey};
use crate::record::{HoldPhase, NextPhase};
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// A phone's wear counts in hours: phones that have worked about as long are alike.
const WEAR_MS: u64 = 3_600_000;

impl Scheduler {
    /// A phone has changed: it is told of at the end of the turn, and the notes about it are made true.
    pub(crate) fn changed(&mut self, id: PhoneId, touch: Touch) {
        self.touch(id, touch);
        self.settle(id);
    }

    pub(crate) fn touch(&mut self, id: PhoneId, touch: Touch) {
        let phone = &mut self.phones[id];
        if phone.touch == Touch::Nothing {
            self.turn.touched.push(id);
        }
        phone.touch = phone.touch.max(touch);
    }

    /// Finds out anew what is true of a phone.
    pub(crate) fn look_at(&mut self, id: PhoneId, changed: Changed) {
        let phone = &self.phones[id];
        let record = &phone.record;
        let pool = self.policy.pool_of(&record.rack, &record.facts).map(|pool| &pool.name);
        let place = Whereabouts { facts: &record.facts, rack: &record.rack, pool };
        let truth = match changed {
            Changed::Lasting => self.kinds.truth(&place),
            Changed::Passing => self.kinds.truth_after_change(&phone.truth, &place),
        };
        let pool = pool.and_then(|name| self.policy.pools.iter().position(|pool| pool.name == *name));
        let phone = &mut self.phones[id];
        (phone.truth, phone.pool, phone.is_sorted) = (truth, pool, false);
    }

    /// Makes the notes about a phone true to what it is.
    pub(crate) fn settle(&mut self, id: PhoneId) {
        let kind = self.kind_of(id);
        // A phone that can work for nobody is kept for nobody, and one that has become another is offered to all.
        if self.phones[id].gathered.is_some()
            && (kind != self.phones[id].kind || !self.may_work(&self.phones[id]))
        {
            self.take_from_gang(id);
        }
        let noted = self.noted_as(id);
        if self.phones[id].summoned.is_some() && !(noted.working && self.is_to_be_had(&self.phones[id])) {
            self.lose_summons(id);
        }
        let phone = &mut self.phones[id];
        let (old_kind, old) = (phone.kind, phone.noted);
        let was_member = phone.is_member;
        (phone.is_member, phone.is_sorted) = (true, true);
        if old_kind == kind && old == noted && was_member {
            return;
        }
        (phone.kind, phone.noted) = (kind, noted);
        self.kinds.put(id, kind);
        let fresh = noted.free.is_some() && (old.free.is_none() || old_kind != kind);
        if fresh && !phone.is_fresh {
            phone.is_fresh = true;
            self.turn.phones.push(id);
        }
        if was_member {
            self.unnote(id, old_kind, old);
        }
        if old_kind != kind || !was_member {
            if let Some(left) = self.kinds.list.get_mut(old_kind) {
                left.members.remove(&id);
            }
            self.kinds.list[kind].members.insert(id);
        }
        self.note(id, kind, noted);
        if (old.working && !noted.working) || old_kind != kind {
            // Whoever counted on this phone may have to make do with another.
            self.turn.recheck = true;
            self.lose_summons(id);
        }
        if old.working != noted.working || old_kind != kind {
            self.judge_gangs();
        }
        // One that was set apart while it ran something is not any more.
        let is_back = old.busy && old.victim.or(old.lent_out).is_none();
        let is_new = old_kind != kind || noted.working && !old.working || is_back;
        if is_new && noted.victim.or(noted.lent_out).is_some() {
            // Whom the phone did not fit before, or who has not heard of it since the daemon started, may take it from
            // the work on it.
            let lanes: Vec<_> = self.kinds.list[kind].native.both(&self.lanes.live).collect();
            self.turn.lanes.extend(lanes);
        }
    }

    fn kind_of(&mut self, id: PhoneId) -> KindId {
        let phone = &self.phones[id];
        if phone.is_sorted {
            return phone.kind;
        }
        if let Some(kind) = self.kinds.list.get(phone.kind)
            && kind.key.pool == phone.pool
            && kind.key.facts == phone.truth
        {
            return phone.kind;
        }
        let (kind, is_new) = self.kinds.find_or_add(KindKey { pool: phone.pool, facts: phone.truth.clone() });
        if is_new {
            for lane in 0..self.lanes.list.len() {
                self.hold_against(lane, kind);
            }
        }
        kind
    }

    /// How the phone should be noted.
    fn noted_as(&mut self, id: PhoneId) -> Noted {
        let phone = &self.phones[id];
        let record = &phone.record;
        let heard = self.racks[phone.rack].presence == Presence::Heard;
        let in_pool = phone.pool.is_some();
        let free = in_pool && phone.gathered.is_none() && self.may_work(phone);
        let mut noted = Noted {
            free: free.then(|| (record.busy_ms / WEAR_MS, phone.last_used.as_unix_ms(), id)),
            ..Noted::default()
        };
        let deadline = match record.hold.as_ref().map(|hold| hold.phase) {
            Some(HoldPhase::Active { deadline }) => {
                noted.busy = heard;
                if heard && self.is_to_be_had(phone) {
                    (noted.victim, noted.lent_out) = self.victim(phone, id);
                }
                Some(deadline)
            }
            Some(HoldPhase::Yielding { deadline, when }) => {
                noted.busy = heard;
                noted.yielding = heard && when == YieldWhen::CaseDone && self.is_to_be_had(phone);
                Some(deadline)
            }
            Some(HoldPhase::Releasing) => None,
            None => match record.next.as_ref().map(|next| next.phase) {
                Some(NextPhase::Unsure { until }) => Some(until),
                Some(NextPhase::Staged | NextPhase::Withdrawing | NextPhase::Withdrawn) | None => None,
            },
        };
        noted.working = heard
            && in_pool
            && (noted.busy
                || ((record.hold.is_some() || record.next.is_some())
                    && phone.readiness != Readiness::Offline)
                || self.may_work(phone));
        self.set_deadline(id, deadline);
        noted
    }

    /// Whether nobody has the phone set apart: else it is free for no job when the work on it gives way.
    fn is_to_be_had(&self, phone: &Phone) -> bool {
        phone.record.taken.is_none() && phone.record.quarantine.is_none()
    }

    /// How the phone may be taken from the work on it: as work that gives way, or as one that is only lent.
    fn victim(&self, phone: &Phone, id: PhoneId) -> (Option<VictimKey>, Option<VictimKey>) {
        let Some(hold) = phone.counting() else { return (None, None) };
        let Some(job) = self.jobs.get(hold.attempt.job).map(|slot| &slot.record) else { return (None, None) };
        // Of several phones that one job holds together none is worth taking.
        if job.spec.phones > 1 {
            return (None, None);
        }
        let since = job.attempts.last().map_or(0, |attempt| attempt.leased_at.as_unix_ms());
        let key = (Reverse(self.ranks[job.spec.class as usize]), job.yielded, Reverse(since), id);
        let is_lent = self.is_lent_to(phone, &job.spec);
        let gives_way = self.rule(job.spec.class).preemptible;
        (gives_way.then_some(key), is_lent.then_some(key))
    }

    /// Whether a phone is of a pool that does not serve such a job.
    pub(crate) fn is_lent_to(&self, phone: &Phone, spec: &JobSpec) -> bool {
        let pool = self.pool(phone.pool);
        spec.requirements.pool.is_none() && pool.is_some_and(|pool| !pool.serves.contains(&spec.class))
    }

    fn set_deadline(&mut self, id: PhoneId, deadline: Option<Time>) {
        let phone = &mut self.phones[id];
        phone.deadline = deadline;
        // Nearly every attempt ends long before its deadline: a timer that is set already serves for the next ones, and is
        // set anew when it fires too early.
        if let Some(deadline) = deadline
            && phone.timed_at.is_none_or(|at| deadline < at)
        {
            phone.timed_at = Some(deadline);
            self.timers.set(deadline, Timer::Deadline(id));
        }
    }

    /// The attempt on a phone may have to be over by now.
    pub(crate) fn look_at_deadline(&mut self, id: PhoneId, at: Time) {
        if self.renew_deadline(id, at) {
            return;
        }
        let phone = &mut self.phones[id];
        (phone.timed_at, phone.deadline) = (None, None);
        self.give_up(id, "the attempt did not end in its time");
    }

    /// Nobody is woken for the deadline of an attempt that is over.
    pub(crate) fn drop_old_deadlines(&mut self) {
        while let Some((at, Timer::Deadline(id))) = self.timers.first()
            && self.phones[id].deadline != Some(at)
        {
            self.timers.pop();
            self.renew_deadline(id, at);
        }
    }

    /// Sets a timer anew that was for an attempt that is over, or has become longer. Says whether it was.
    fn renew_deadline(&mut self, id: PhoneId, at: Time) -> bool {
        let phone = &mut self.phones[id];
        if phone.timed_at != Some(at) {
            return true;
        }
        if phone.deadline == Some(at) {
            return false;
        }
        phone.timed_at = None;
        let deadline = phone.deadline;
        self.set_deadline(id, deadline);
        true
    }

    fn unnote(&mut self, id: PhoneId, kind_id: KindId, noted: Noted) {
        let kind = &mut self.kinds.list[kind_id];
        if let Some(key) = noted.free {
            kind.free.remove(&key);
            let build = self.phones[id].freed_build.take();
            if let Some(build) = build
                && let Some(keys) = self.free_builds.get_mut(&build)
            {
                keys.remove(&key);
                if keys.is_empty() {
                    self.free_builds.remove(&build);
                }
            }
        }
        if let Some(key) = noted.victim {
            kind.victims.remove(&key);
        }
        if let Some(key) = noted.lent_out {
            kind.lent_out.remove(&key);
        }
        if noted.yielding {
            kind.yielding.remove(&id);
        }
        kind.working -= u32::from(noted.working);
        kind.busy -= u32::from(noted.busy);
        self.kinds.note(kind_id);
    }

    fn note(&mut self, id: PhoneId, kind_id: KindId, noted: Noted) {
        let kind = &mut self.kinds.list[kind_id];
        kind.free.extend(noted.free);
        kind.victims.extend(noted.victim);
        kind.lent_out.extend(noted.lent_out);
        if noted.yielding {
            kind.yielding.insert(id);
        }
        kind.working += u32::from(noted.working);
        kind.busy += u32::from(noted.busy);
        self.kinds.note(kind_id);
        let phone = &mut self.phones[id];
        if let (Some(key), Some(build)) = (noted.free, phone.record.last_build) {
            self.free_builds.entry(build).or_default().insert(key);
            phone.freed_build = Some(build);
        }
    }
}
