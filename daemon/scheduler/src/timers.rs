//! What happens by itself, and when.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;

use crate::fleet::RackNumber;
use crate::kinds::PhoneId;

/// Something that happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A job was not started in time.
    Expire(JobId),
    /// A job's requirements loosen, or it need no longer wait for one phone.
    Loosen(JobId),
    /// An attempt may not have ended in its time.
    Deadline(PhoneId),
    /// A rack has not spoken.
    Silence(RackNumber),
    /// A phone may work again.
    Parole(PhoneId),
    /// A borrowed phone comes back.
    Return(PhoneId),
    /// The oldest jobs of a class have waited too long.
    Lift(JobClass),
    /// A window opens or closes for a class.
    Window(JobClass),
    /// A new day begins for quotas.
    Midnight,
    /// Some phones are soon to be free.
    Ahead,
}

/// What happens next.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Time, Timer)>,
    /// Deadlines of attempts by themselves: one is set for nearly every attempt and nearly none is met, so they are kept
    /// where that is cheapest. They are not taken out; [`Timers::unset`] does not know them.
    deadlines: BinaryHeap<Reverse<(Time, PhoneId)>>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Time, timer: Timer) {
        match timer {
            Timer::Deadline(phone) => self.deadlines.push(Reverse((at, phone))),
            Timer::Expire(_)
            | Timer::Loosen(_)
            | Timer::Silence(_)
            | Timer::Parole(_)
            | Timer::Return(_)
            | Timer::Lift(_)
            | Timer::Window(_)
            | Timer::Midnight
            | Timer::Ahead => {
                self.set.insert((at, timer));
            }
        }
    }

    pub(crate) fn unset(&mut self, at: Time, timer: Timer) {
        self.set.remove(&(at, timer));
    }

    /// The first of those whose time has come.
    pub(crate) fn due(&mut self, now: Time) -> Option<(Time, Timer)> {
        let (at, _) = self.first()?;
        if at > now {
            return None;
        }
        self.pop()
    }

    /// What comes first, and when.
    pub(crate) fn first(&self) -> Option<(Time, Timer)> {
        let deadline = self.deadlines.peek().map(|Reverse((at, phone))| (*at, Timer::Deadline(*phone)));
        self.set.first().copied().into_iter().chain(deadline).min()
    }

    /// Takes what comes first.
    pub(crate) fn pop(&mut self) -> Option<(Time, Timer)> {
        let first = self.first()?;
        if matches!(first, (_, Timer::Deadline(_))) {
            self.deadlines.pop();
        } else {
            self.set.pop_first();
        }
        Some(first)
    }
}
