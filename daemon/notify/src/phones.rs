//! A phone that is about to lose crash reports, or has lost some: who is told of it, at most once a day for each phone,
//! kind of report and trouble. What is told of crashes is in [`crate::decide`].

use std::fmt;

use holdfast_wire::time::Time;

use crate::decide::Decision;
use crate::event::{DedupeKey, GroupId, Link, Origin, ReceiverName};
use crate::message::{LINE_BYTES_MAX, Message, Severity};
use crate::outbox::{Letter, Manner};
use crate::rules::Rules;
use crate::text;

/// Milliseconds of a day: what is told once a day is told anew from midnight (UTC) on.
const DAY_MS: i64 = 86_400_000;

/// What stands before a phone's id where a crash group's would stand.
const PHONE: &str = "phone/";

/// A phone and its reports of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneTrouble {
    /// What is the matter.
    pub trouble: Trouble,
    /// When it was seen.
    pub at: Time,
    /// The phone's id.
    pub udid: String,
    /// Its name.
    pub name: String,
    /// Where it is: rack and slot, in words.
    pub place: Option<String>,
    /// The kind of report, as phones number them: `309`.
    pub bug_type: String,
    /// Whose reports they are.
    pub process: String,
    /// How many wait on the phone.
    pub waiting: u32,
    /// How many it keeps.
    pub limit: Option<u32>,
    /// How many it has lost, as far as is known.
    pub lost: u32,
    /// Where more can be read.
    pub link: Option<Link>,
    /// Whether it is a pretend phone.
    pub origin: Origin,
}

/// What may be the matter with a phone's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It will soon write no more of them.
    Near,
    /// It did not write some.
    Lost,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Near => "near",
            Self::Lost => "lost",
        })
    }
}

/// Where a phone stands in place of a crash group.
pub fn place_of(udid: &str) -> GroupId {
    GroupId(format!("{PHONE}{udid}"))
}

/// The phone that a message is about, when it is about none of the crash groups.
pub fn phone_of(group: &GroupId) -> Option<&str> {
    group.0.strip_prefix(PHONE)
}

/// Who is told. Nothing when no rule is about phones, or all know; `told` says whether a key was accepted before.
#[must_use]
pub fn decide_phone(rules: &Rules, phone: &PhoneTrouble, told: impl Fn(&DedupeKey) -> bool) -> Vec<Decision> {
    let Some(route) = &rules.phones else { return Vec::new() };
    let mut decisions = Vec::new();
    let filter = rules.hold_back.iter().find(|filter| filter.matcher.fits_phone(&phone.name, phone.origin));
    for receiver in &route.to {
        let day = phone.at.as_unix_ms().div_euclid(DAY_MS);
        let PhoneTrouble { udid, bug_type, trouble, .. } = phone;
        let key = DedupeKey(format!("phone/{receiver}/{udid}/{bug_type}/{trouble}/{day}"));
        if told(&key) {
            continue;
        }
        let letter = letter(phone, receiver, key);
        decisions.push(match filter {
            Some(filter) => Decision::Held {
                letter,
                reason: format!("held back: {}; mend `hold_back` to be told of it", filter.reason),
            },
            None => Decision::Send(letter),
        });
    }
    decisions
}

fn letter(phone: &PhoneTrouble, receiver: &ReceiverName, key: DedupeKey) -> Box<Letter> {
    let why = match phone.trouble {
        Trouble::Near => "`phones`: it will soon write no more reports; told once a day",
        Trouble::Lost => "`phones`: it did not write reports of crashes; told once a day",
    };
    Box::new(Letter {
        receiver: receiver.clone(),
        key,
        also: Vec::new(),
        group: place_of(&phone.udid),
        message: message(phone),
        why: why.to_owned(),
        due: phone.at,
        manner: Manner::Alone,
    })
}

fn message(phone: &PhoneTrouble) -> Message {
    let PhoneTrouble { name, bug_type, process, waiting, lost, .. } = phone;
    let simulated = match phone.origin {
        Origin::Real => "",
        Origin::Simulated => "[simulated] ",
    };
    let of = phone.limit.map_or_else(|| waiting.to_string(), |limit| format!("{waiting} of {limit}"));
    let title = match phone.trouble {
        Trouble::Near => format!("{simulated}{name} is near its limit of crash files: {of} of {process}"),
        Trouble::Lost => format!("{simulated}{name} lost crashes of {process}: {lost} were not written"),
    };
    let what_to_do = "see that its rack's agent runs and that the daemon takes its files in; those that wait are \
                      deleted once the farm has them";
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| {
        facts.push((name.to_owned(), text::one_line(&value, LINE_BYTES_MAX)));
    };
    add("Phone", format!("{name} ({})", phone.udid));
    if let Some(place) = &phone.place {
        add("Place", place.clone());
    }
    add("Reports", format!("{bug_type} of {process}"));
    add("Waiting on it", of);
    add("Lost so far", lost.to_string());
    add("What to do", what_to_do.to_owned());
    Message {
        severity: match phone.trouble {
            Trouble::Near => Severity::Notice,
            Trouble::Lost => Severity::Urgent,
        },
        title: text::one_line(&title, LINE_BYTES_MAX),
        facts,
        stack: Vec::new(),
        items: Vec::new(),
        links: phone.link.iter().cloned().collect(),
        mentions: Vec::new(),
        ticket: None,
    }
}
