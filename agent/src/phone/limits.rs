//! How near a phone is to its limits of waiting crash files: what its log and its lists say is brought to the shelves,
//! people are warned, and files are collected at once. The counting itself is the brain's (`agent/attempt`).

use std::time::Duration;

use holdfast_attempt::{Event, Told};
use holdfast_device::Phone;
use holdfast_wire::crash::{CrashFile, Fullness};
use tokio::time::Instant;

use super::PhoneTask;

/// From one look at an idle phone to the next when its log tells of files: in a storm it is still looked at whole.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Looks after the log has told of a file: the first may come before the file.
const LOOKS_OWED: u8 = 2;

impl<P: Phone> PhoneTask<P> {
    /// The phone's log has told of crash files: an idle phone is looked at, an attempt decides for itself.
    pub(super) async fn log_spoke(&mut self) -> Vec<Event> {
        let notes = self.plug.as_ref().map(|plug| plug.ears.take()).unwrap_or_default();
        let now = self.shared.clock.now();
        let before = self.shelves.told();
        let told = notes.iter().map(|note| self.shelves.heard(now, note)).max();
        let Some(told) = told else { return Vec::new() };
        self.looks_owed = LOOKS_OWED;
        let pause = if told == Told::NearLimit { Duration::ZERO } else { LOOK_PAUSE };
        self.due = self.due.min(Instant::now() + pause);
        if self.limits_changed(&before) {
            self.tell_report().await;
        }
        vec![Event::ToldOfCrashes(told)]
    }

    /// The crash folder was listed. Says whether people are to be told something new.
    pub(super) fn crash_files_listed(&mut self, files: &[CrashFile]) -> bool {
        let now = self.shared.clock.now();
        let before = self.shelves.told();
        if let Some(facts) = &self.memory.facts {
            self.shelves.is_of(facts.os_version.major());
        }
        // Also what an agent before this one saw: a time stamp that moved meanwhile is seen.
        self.shelves.knew(self.memory.confirmed.iter().map(|known| &known.file));
        self.shelves.listed(now, files);
        self.limits_changed(&before)
    }

    /// When a phone is to be looked at again after a look that went well.
    pub(super) fn next_look(&self, is_more: bool, every: Duration) -> Instant {
        Instant::now() + if self.looks_owed > 0 || is_more { LOOK_PAUSE.min(every) } else { every }
    }

    fn limits_changed(&mut self, before: &[holdfast_wire::crash::CrashLimit]) -> bool {
        let told = self.shelves.told();
        if told == before {
            return false;
        }
        for one in &told {
            let known = before.iter().find(|known| {
                (known.bug_type.as_str(), known.process.as_str())
                    == (one.bug_type.as_str(), one.process.as_str())
            });
            let fuller = known.is_none_or(|known| known.fullness < one.fullness);
            let lost = known.map_or(0, |known| known.swallowed + known.refused) < one.swallowed + one.refused;
            if (fuller && one.fullness > Fullness::Room) || lost {
                tracing::warn!(
                    phone = %self.memory.phone,
                    kind = one.bug_type,
                    process = one.process,
                    waiting = one.waiting,
                    limit = one.limit,
                    swallowed = one.swallowed,
                    refused = one.refused,
                    "its crash files near the limit at which it writes no more"
                );
            }
        }
        if self.memory.note_lost(self.shelves.lost()) {
            self.save();
        }
        true
    }
}
