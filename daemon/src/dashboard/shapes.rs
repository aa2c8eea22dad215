//! States as a shape, a word and a class: nobody has to tell colours apart.

use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::phone::PhoneState;
use maud::{Markup, html};

/// How a state looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Face {
    /// The word beside the shape.
    pub(crate) word: &'static str,
    /// The class that gives it its colour: `good`, `work`, `rest`, `alarm`, `off`.
    pub(crate) tone: &'static str,
    lines: &'static str,
    filled: &'static str,
}

const fn face(word: &'static str, tone: &'static str, lines: &'static str, filled: &'static str) -> Face {
    Face { word, tone, lines, filled }
}

/// A phone that is free.
pub(crate) const READY: Face =
    face("ready", "good", "M4.6 8.2l2.4 2.4l4.4-4.8M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4z", "");
/// A phone or job that runs.
pub(crate) const BUSY: Face = face("busy", "work", "", "M4 2.2v11.6l9.6-5.8z");
/// A phone that will be ready by itself.
pub(crate) const RESTING: Face = face("resting", "rest", "M5.6 3v10M10.4 3v10", "");
/// A phone that a person has to look at.
pub(crate) const ALARM: Face = face("needs hands", "alarm", "M8 6v3.6M8 11.6v.2M8 1.8l6.6 12h-13.2z", "");
/// A phone that is not there.
pub(crate) const OFFLINE: Face = face("offline", "off", "M3.6 3.6l8.8 8.8M12.4 3.6l-8.8 8.8", "");
/// A phone that a person has borrowed.
pub(crate) const TAKEN: Face = face(
    "taken",
    "rest",
    "M8 2.2a2.6 2.6 0 1 0 0 5.2a2.6 2.6 0 1 0 0-5.2zM2.8 14c.4-3.2 2.4-4.6 5.2-4.6s4.8 1.4 5.2 4.6",
    "",
);
/// A phone that charges.
pub(crate) const CHARGING: Face = face("charging", "rest", "", "M9.2 1L3 9.2h4.2L6.4 15l6.4-8.4H8.4z");
/// A job that waits.
pub(crate) const WAITING: Face =
    face("waiting", "rest", "M8 4.6v3.6l2.4 1.6M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4z", "");

/// How a phone's state looks.
pub(crate) fn phone(state: &PhoneState) -> Face {
    match state {
        PhoneState::Ready => READY,
        PhoneState::Busy { .. } => BUSY,
        PhoneState::Releasing { .. } => face("releasing", "work", "M4 2.2v11.6l9.6-5.8z", ""),
        PhoneState::Preparing => face(
            "preparing",
            "rest",
            "M5.2 8h.2M8 8h.2M10.8 8h.2M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4z",
            "",
        ),
        PhoneState::Cooling => face("cooling", "rest", "M8 1.6v12.8M2.5 4.8l11 6.4M13.5 4.8l-11 6.4", ""),
        PhoneState::Charging => CHARGING,
        PhoneState::Recovering => {
            face("recovering", "rest", "M13.4 8a5.4 5.4 0 1 1-1.7-3.9M13.6 1.8v3.4h-3.4", "")
        }
        PhoneState::NeedsHands => ALARM,
        PhoneState::Quarantined { .. } => face("quarantined", "alarm", "M2.4 2.4h11.2v11.2h-11.2zM5 8h6", ""),
        PhoneState::Offline => OFFLINE,
        PhoneState::Taken { .. } => TAKEN,
    }
}

/// How a job's state looks.
pub(crate) fn job(state: &JobState) -> Face {
    match state {
        JobState::Queued => WAITING,
        JobState::Running { .. } => face("running", "work", "", "M4 2.2v11.6l9.6-5.8z"),
        JobState::Ended { outcome: JobOutcome::Passed, .. } => Face { word: "passed", ..READY },
        JobState::Ended { outcome: JobOutcome::Failed { .. }, .. } => FAILED,
        JobState::Ended { outcome: JobOutcome::Cancelled, .. } => {
            face("cancelled", "off", "M3.8 3.8l8.4 8.4M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4z", "")
        }
        JobState::Ended { outcome: JobOutcome::Expired, .. } => {
            Face { word: "expired", tone: "off", ..WAITING }
        }
    }
}

/// Something that failed.
pub(crate) const FAILED: Face =
    face("failed", "alarm", "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2M2.4 2.4h11.2v11.2h-11.2z", "");

/// A crash report.
pub(crate) const CRASH: Face = face("crash", "alarm", "", "M9.2 .8L2.6 8.8l3.8.6L4.4 15.2l8.6-8l-4.2-1z");

impl Face {
    /// The same shape beside another word.
    pub(crate) fn called(self, word: &'static str) -> Self {
        Self { word, ..self }
    }

    /// The shape alone; whoever shows it puts a word beside it.
    pub(crate) fn shape(self) -> Markup {
        html! {
            svg.shape viewBox="0 0 16 16" aria-hidden="true" {
                @if !self.lines.is_empty() { path.lines d=(self.lines) {} }
                @if !self.filled.is_empty() { path.filled d=(self.filled) {} }
            }
        }
    }

    /// Shape and word in the colour of the state.
    pub(crate) fn markup(self) -> Markup {
        html! { span class={ "state " (self.tone) } { (self.shape()) span.word { (self.word) } } }
    }
}

/// A battery drawn to its charge. The figure stands beside it.
pub(crate) fn battery(level_percent: u8) -> Markup {
    let level = f64::from(level_percent.min(100));
    let class = if level_percent < 20 { "battery low" } else { "battery" };
    html! {
        svg class=(class) viewBox="0 0 26 12" aria-hidden="true" {
            rect.case x="0.6" y="0.6" width="21.8" height="10.8" rx="2.6" {}
            path.cap d="M24 4v4" {}
            rect.charge x="2.2" y="2.2" width=(format!("{:.1}", level * 0.186)) height="7.6" rx="1.2" {}
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_wire::id::{AttemptId, JobId};

    use super::*;

    #[test]
    fn no_two_states_of_a_phone_share_a_shape() {
        let attempt = AttemptId { job: JobId(1), number: 1 };
        let states = [
            PhoneState::Offline,
            PhoneState::Preparing,
            PhoneState::Ready,
            PhoneState::Busy { attempt },
            PhoneState::Releasing { attempt },
            PhoneState::Cooling,
            PhoneState::Charging,
            PhoneState::Recovering,
            PhoneState::NeedsHands,
            PhoneState::Quarantined { until: None },
            PhoneState::Taken { by: "team-video".parse().unwrap(), until: None },
        ];
        let shapes: std::collections::BTreeSet<_> =
            states.iter().map(|state| (phone(state).lines, phone(state).filled)).collect();
        assert_eq!(shapes.len(), states.len());
        for state in &states {
            assert_eq!(phone(state).word, state.as_str().replace('_', " "));
        }
    }

    #[test]
    fn a_battery_is_drawn_to_its_charge() {
        assert!(battery(100).into_string().contains("width=\"18.6\""));
        assert!(battery(255).into_string().contains("width=\"18.6\""));
        assert!(battery(19).into_string().contains("battery low"));
    }
}
