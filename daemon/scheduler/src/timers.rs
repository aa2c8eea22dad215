//! What happens by itself, and when.

use std::collections::BTreeSet;

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
    /// An attempt has not ended in its time.
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
pub(crate) struct Timers(BTreeSet<(Time, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Time, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn unset(&mut self, at: Time, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// The first of those whose time has come.
    pub(crate) fn due(&mut self, now: Time) -> Option<Timer> {
        let (at, _) = self.0.first()?;
        if *at > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }
}
