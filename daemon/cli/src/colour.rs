//! Which words are coloured for people, and whether any are. How tables and fields are laid out is `output`'s.

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::Color;

/// What a word tells at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Somebody should look.
    Bad,
    /// At work.
    Busy,
    /// Passes by itself, or was wanted so.
    Passing,
    /// The first class.
    Urgent,
    /// The last class.
    Quiet,
}

/// Columns and fields whose words are coloured.
const COLOURED: [&str; 3] = ["state", "class", "agent"];

/// The words of states, outcomes and classes; what is not here has no colour.
const WORDS: [(&str, Tone); 22] = [
    ("ready", Tone::Good),
    ("passed", Tone::Good),
    ("online", Tone::Good),
    ("failed", Tone::Bad),
    ("offline", Tone::Bad),
    ("needs_hands", Tone::Bad),
    ("quarantined", Tone::Bad),
    ("silent", Tone::Bad),
    ("running", Tone::Busy),
    ("busy", Tone::Busy),
    ("preparing", Tone::Passing),
    ("releasing", Tone::Passing),
    ("cooling", Tone::Passing),
    ("charging", Tone::Passing),
    ("recovering", Tone::Passing),
    ("taken", Tone::Passing),
    ("cancelled", Tone::Passing),
    ("expired", Tone::Passing),
    ("crash", Tone::Urgent),
    ("baseline", Tone::Busy),
    ("idle", Tone::Quiet),
    ("queued", Tone::Quiet),
];

/// Whether standard output takes colours: a terminal does, unless `NO_COLOR` or its like says otherwise.
pub fn wanted() -> bool {
    AutoStream::choice(&std::io::stdout()) != ColorChoice::Never
}

/// What the first word of a cell or field tells; none for text that is not coloured.
pub fn tone(column: &str, text: &str) -> Option<Tone> {
    let first = text.split(' ').next().filter(|_| COLOURED.contains(&column))?;
    WORDS.iter().find(|(word, _)| *word == first).map(|(_, tone)| *tone)
}

impl Tone {
    /// In a table.
    pub fn in_table(self) -> Color {
        match self {
            Self::Good => Color::DarkGreen,
            Self::Bad => Color::DarkRed,
            Self::Busy => Color::DarkCyan,
            Self::Passing => Color::DarkYellow,
            Self::Urgent => Color::DarkMagenta,
            Self::Quiet => Color::DarkGrey,
        }
    }

    /// The first word of a text in its colour.
    pub fn painted(self, text: &str) -> String {
        let (first, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
        let colour = match self {
            Self::Good => AnsiColor::Green,
            Self::Bad => AnsiColor::Red,
            Self::Busy => AnsiColor::Cyan,
            Self::Passing => AnsiColor::Yellow,
            Self::Urgent => AnsiColor::Magenta,
            Self::Quiet => AnsiColor::BrightBlack,
        };
        let style = Style::new().fg_color(Some(colour.into()));
        format!("{style}{first}{style:#}{rest}")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_wire::job::{JobClass, JobOutcome};
    use holdfast_wire::outcome::Blame;
    use holdfast_wire::phone::PhoneState;

    use super::*;

    #[test]
    fn every_state_and_outcome_and_the_first_and_last_class_have_a_colour() {
        let attempt = "J1.1".parse().unwrap();
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
            PhoneState::Taken { by: "mira".parse().unwrap(), until: None },
        ];
        let failed = JobOutcome::Failed { blame: Blame::Job, reason: String::new() };
        let outcomes = [JobOutcome::Passed, failed, JobOutcome::Cancelled, JobOutcome::Expired];
        let words = states.iter().map(PhoneState::as_str).chain(outcomes.iter().map(JobOutcome::as_str));
        for word in words {
            assert!(tone("state", word).is_some(), "{word}");
        }
        for class in [JobClass::Crash, JobClass::Idle] {
            assert!(tone("class", class.as_str()).is_some(), "{class}");
        }
        assert_eq!(tone("state", "busy since today"), Some(Tone::Busy));
        assert_eq!(tone("name", "ready"), None, "a phone's name is no state");
        assert_eq!(tone("state", "readyish"), None);
    }

    #[test]
    fn only_the_first_word_is_painted() {
        assert_eq!(Tone::Good.painted("ready since noon"), "\u{1b}[32mready\u{1b}[0m since noon");
    }
}
