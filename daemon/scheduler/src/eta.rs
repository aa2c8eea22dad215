//! When a waiting job is expected to start: jobs that go before it are played through on the phones that fit, each at
//! the pace that was learned. The range is as wide as such guesses have turned out to be wrong in simulation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use holdfast_wire::api::Eta;
use holdfast_wire::id::JobId;
use holdfast_wire::time::Time;

use crate::explain::AHEAD_MAX;
use crate::kinds::PhoneId;
use crate::pace::whole;
use crate::scheduler::Scheduler;
use crate::waiting::Slot;

/// Phones that are played through one by one; of more, these stand for all.
const PHONES_MAX: usize = 512;

/// Out of a hundred starts, so many have fallen inside the range in simulation.
const CONFIDENCE_PERCENT: u8 = 80;

/// The earliest start, as a part of the expected wait.
const EARLIEST: f64 = 0.3;

/// The latest start, as a multiple of the expected wait.
const LATEST: f64 = 3.0;

/// Room on top of the latest start: orders have to travel, and phones to be cleaned. Milliseconds.
const ROOM_MS: f64 = 15_000.0;

impl Scheduler {
    /// When a waiting job is expected to start; none when nothing that works fits it, or it does not wait.
    pub fn eta(&self, now: Time, id: JobId) -> Option<Eta> {
        let slot = self.jobs.get(id).filter(|slot| slot.is_waiting || slot.is_staged)?;
        if slot.is_staged { Some(self.eta_of_staged(now, slot)) } else { self.eta_of(now, slot) }
    }

    /// One that has its phone waits for the attempt there, and for nothing else.
    fn eta_of_staged(&self, now: Time, slot: &Slot) -> Eta {
        let wait_ms = self.ends_in(now, slot.seat);
        Eta {
            earliest: later(now, wait_ms * EARLIEST),
            likely: later(now, wait_ms),
            latest: later(now, wait_ms * LATEST + ROOM_MS),
            confidence_percent: CONFIDENCE_PERCENT,
            words: format!("it is next on phone {}", self.phones[slot.seat].udid()),
        }
    }

    pub(crate) fn eta_of(&self, now: Time, slot: &Slot) -> Option<Eta> {
        let lane = &self.lanes.list[slot.lane];
        let phones: Vec<PhoneId> = self.fitting(lane).flat_map(|kind| kind.members.iter().copied()).collect();
        let working: Vec<PhoneId> =
            phones.into_iter().filter(|phone| self.phones[*phone].noted.working).collect();
        if working.len() < usize::from(lane.key.phones) {
            return None;
        }
        let own_turn_ms = self.own_turn(now, slot)?;
        let (load, mean_ms) = self.load_before(slot);
        let wait_ms = self.play(now, slot, &working, load, mean_ms).max(own_turn_ms);
        let opens = if lane.shut.window { self.window_of(lane.key.class).1 } else { None };
        let begin = opens.map_or(0.0, |at| at.since(now).as_secs_f64() * 1_000.0);
        let likely = begin + wait_ms;
        let spread = self.pace(&slot.record.spec).spread_ms;
        let latest = begin + wait_ms * LATEST + spread + ROOM_MS;
        let before = match whole(load.round()) {
            0 => "nothing goes before it".to_owned(),
            1 => "about 1 job goes before it".to_owned(),
            jobs => format!("about {jobs} jobs go before it"),
        };
        let words = match working.len() {
            _ if own_turn_ms > 0.0 && wait_ms <= own_turn_ms => {
                "its owner runs as many jobs at once as it may".to_owned()
            }
            1 => format!("{before} on the 1 phone that works and fits"),
            phones => format!("{before} on {phones} phones that work and fit"),
        };
        Some(Eta {
            earliest: later(now, begin + wait_ms * EARLIEST),
            likely: later(now, likely),
            latest: later(now, latest),
            confidence_percent: CONFIDENCE_PERCENT,
            words,
        })
    }

    /// How many jobs go before it on the phones that fit it, with their mean duration. Jobs that may also use other
    /// phones count in part.
    fn load_before(&self, slot: &Slot) -> (f64, f64) {
        let own = &self.lanes.list[slot.lane];
        let place = self.counted(slot);
        let (mut load, mut work_ms) = (0.0, 0.0);
        let mut counted = 0;
        for (id, lane) in self.lanes.list.iter().enumerate() {
            if self.lanes.heads[id] >= place || counted >= AHEAD_MAX {
                continue;
            }
            let all: u32 = self.fitting(lane).map(|kind| kind.working).sum();
            let common = lane.kinds();
            let common = common.filter(|kind| own.fits(*kind));
            let common: u32 = common.map(|kind| self.kinds.list[kind].working).sum();
            if common == 0 || all == 0 {
                continue;
            }
            let before = self.before(lane, place, AHEAD_MAX - counted);
            counted += before;
            let part = before as f64 * f64::from(common) / f64::from(all);
            let first = lane.parts.jobs().next().and_then(|first| self.jobs.get(first.job()));
            let pace = first.map_or(0.0, |first| self.pace(&first.record.spec).mean_ms);
            load += part * f64::from(lane.key.phones);
            work_ms += part * f64::from(lane.key.phones) * pace;
        }
        let mean = if load > 0.0 { work_ms / load } else { self.pace(&slot.record.spec).mean_ms };
        (load, mean)
    }

    /// How long it takes until the jobs before it have begun and enough phones are free for it, milliseconds.
    fn play(&self, now: Time, slot: &Slot, working: &[PhoneId], load: f64, mean_ms: f64) -> f64 {
        let stand_for = working.len().min(PHONES_MAX);
        let scale = stand_for as f64 / working.len() as f64;
        let step = working.len().div_ceil(PHONES_MAX);
        let free_in = working.iter().step_by(step).map(|phone| Reverse(whole(self.free_in(now, *phone))));
        let mut phones: BinaryHeap<Reverse<u64>> = free_in.collect();
        for _ in 0..whole(load * scale) {
            if let Some(Reverse(at)) = phones.pop() {
                phones.push(Reverse(at + whole(mean_ms)));
            }
        }
        last_of(slot.record.spec.phones, &mut phones) as f64
    }

    /// How long until its owner may run it, milliseconds: the owner's jobs that go before it take their turns on as many
    /// phones as the owner may hold. None when the owner may never hold as many as it needs.
    fn own_turn(&self, now: Time, slot: &Slot) -> Option<f64> {
        let share = &self.shares.list[slot.owner];
        let Some(most) = share.rule.running_max else { return Some(0.0) };
        let needs = u32::from(slot.record.spec.phones);
        if needs > most {
            return None;
        }
        let place = self.own_place(slot);
        let before = share.waiting.iter().take_while(|other| **other < place).take(AHEAD_MAX);
        let before: Vec<&Slot> = before.filter_map(|other| self.jobs.get(other.job())).collect();
        let asked: u32 = before.iter().map(|slot| u32::from(slot.record.spec.phones)).sum();
        if share.running + asked + needs <= most {
            return Some(0.0);
        }
        let held = self.phones.iter().enumerate().filter_map(|(phone, seen)| {
            let job = seen.counting()?.attempt.job;
            self.jobs.get(job).filter(|held| held.owner == slot.owner).map(|_| phone)
        });
        let ends = held.map(|phone| Reverse(whole(self.ends_in(now, phone))));
        let free = (share.running..most).take(AHEAD_MAX).map(|_| Reverse(0));
        let mut turns: BinaryHeap<Reverse<u64>> = ends.chain(free).collect();
        for job in before {
            let phones = job.record.spec.phones;
            let ends_at = last_of(phones, &mut turns) + whole(self.pace(&job.record.spec).mean_ms);
            turns.extend((0..phones).map(|_| Reverse(ends_at)));
        }
        Some(last_of(slot.record.spec.phones, &mut turns) as f64)
    }

    /// How long until a phone is free, milliseconds: also what is staged on it has to end.
    fn free_in(&self, now: Time, phone: PhoneId) -> f64 {
        let next = self.staged_job(phone).and_then(|job| self.jobs.get(job));
        let next_ms = next.map_or(0.0, |slot| self.pace(&slot.record.spec).mean_ms);
        self.ends_in(now, phone) + next_ms
    }

    /// How long until the attempt on a phone ends, milliseconds.
    fn ends_in(&self, now: Time, phone: PhoneId) -> f64 {
        let Some(hold) = self.phones[phone].counting() else { return 0.0 };
        let Some(slot) = self.jobs.get(hold.attempt.job) else { return 0.0 };
        let since = slot.record.attempts.last().map_or(now, |attempt| attempt.leased_at);
        let pace = self.pace(&slot.record.spec);
        let gone = now.since(since).as_secs_f64() * 1_000.0;
        // One that takes longer than usual is as likely to end soon as to go on.
        (pace.mean_ms - gone).max(pace.spread_ms / 2.0)
    }
}

/// Takes so many phones, the soonest first: when the last of them is free.
fn last_of(phones: u16, free_at: &mut BinaryHeap<Reverse<u64>>) -> u64 {
    (0..phones).map_while(|_| free_at.pop()).last().map_or(0, |Reverse(at)| at)
}

fn later(now: Time, ms: f64) -> Time {
    now.after(std::time::Duration::from_millis(whole(ms)))
}
