//! Rules, an event and what was told before → who is told what, and what is held back and why. A function: the same
//! arguments give the same decisions, so `rules test` shows exactly what would happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_wire::time::Time;

use crate::event::{Change, DedupeKey, Event, GroupId, ReceiverName};
use crate::message::{Message, Ticket, TicketAction};
use crate::outbox::{Letter, Manner, Outbox, TicketState};
use crate::rules::Rules;
use crate::rules::model::AlsoTicket;
use crate::text;

/// What was told before about a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The keys that were accepted.
    pub keys: BTreeSet<DedupeKey>,
    /// The tickets of the group: their state, and when they were last written to.
    pub tickets: BTreeMap<ReceiverName, (TicketState, Time)>,
    /// Trackers whose ticket is being opened.
    pub opening: BTreeSet<ReceiverName>,
}

impl Told {
    /// What the queue knows of a group.
    pub fn of(outbox: &Outbox, group: &GroupId) -> Self {
        let tickets = outbox.tickets(group);
        Self {
            keys: outbox.keys(group).cloned().collect(),
            tickets: tickets.map(|ticket| (ticket.receiver.clone(), (ticket.state, ticket.at))).collect(),
            opening: outbox.opening(group).cloned().collect(),
        }
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This is told.
    Send(Box<Letter>),
    /// This is not.
    Held {
        /// What would have been told: it goes on record under its key, to [`NOBODY`] when it came to no receiver.
        letter: Box<Letter>,
        /// Why, in words.
        reason: String,
    },
}

/// The receiver of what was held back before it came to one.
pub const NOBODY: &str = "-";

/// Who is told of an event.
#[must_use]
pub fn decide(rules: &Rules, event: &Event, told: &Told) -> Vec<Decision> {
    if let Some(reason) = held_back(rules, event) {
        return vec![held(event, None, reason)];
    }
    let mut decisions = Vec::new();
    if event.change == Change::Fixed {
        close(rules, event, told, &mut decisions);
    } else {
        match (event.why_urgent(), &rules.urgent) {
            (Some(why), Some(route)) => {
                for receiver in &route.to {
                    decisions.push(chat(rules, event, told, receiver, why));
                }
                if route.ticket == AlsoTicket::Yes {
                    decisions.push(ticket(rules, event, told));
                }
            }
            (Some(_), None) | (None, _) => decisions.push(ticket(rules, event, told)),
        }
    }
    let alone = |decision: &Decision| matches!(decision, Decision::Send(_));
    if !event.is_urgent() || event.change == Change::Fixed || !decisions.iter().any(alone) {
        decisions.extend(digest(rules, event, told));
    }
    if decisions.is_empty() {
        decisions.push(held(event, None, "no route of the rules is for it".to_owned()));
    }
    decisions
}

/// Why nobody is told at all.
fn held_back(rules: &Rules, event: &Event) -> Option<String> {
    if let Some(filter) = rules.hold_back.iter().find(|filter| filter.matcher.fits(event)) {
        return Some(format!("held back: {}", filter.reason));
    }
    let listed = rules.only.is_empty() || rules.only.iter().any(|matcher| matcher.fits(event));
    (!listed).then(|| "held back: it is not on the list of what is told (`only`)".to_owned())
}

fn held(event: &Event, receiver: Option<&ReceiverName>, reason: String) -> Decision {
    let receiver = receiver.cloned().unwrap_or_else(|| ReceiverName::from(NOBODY));
    let key = DedupeKey(format!("held/{receiver}/{}/{}/{}", event.group, word(event.change), build(event)));
    let letter = letter(event, &receiver, key, Message::about(event), String::new(), event.at);
    Decision::Held { letter, reason }
}

fn build(event: &Event) -> &str {
    event.build.as_ref().map_or("-", |build| &build.hash)
}

fn word(change: Change) -> &'static str {
    match change {
        Change::New | Change::AgainInAnotherBuild => "seen",
        Change::Regressed => "regressed",
        Change::Fixed => "fixed",
    }
}

/// To a chat at once, with a call to the author.
fn chat(rules: &Rules, event: &Event, told: &Told, receiver: &ReceiverName, why: &str) -> Decision {
    // Once per group and build, whatever changed.
    let key = DedupeKey(format!("chat/{receiver}/{}/{}", event.group, build(event)));
    if told.keys.contains(&key) {
        return held(
            event,
            Some(receiver),
            format!("{receiver} was told of this group in this build before"),
        );
    }
    let mut message = Message::about(event);
    let mention = event.author().and_then(|author| rules.mention(receiver, author));
    let called = match (&mention, event.author()) {
        (Some(mention), _) => format!("{} is called", mention.name),
        (None, Some(author)) => format!("{author} has no id for {receiver}, so nobody is called"),
        (None, None) => "the build names no author, so nobody is called".to_owned(),
    };
    message.mentions.extend(mention);
    let why = format!("urgent, because it is {why}; {called}");
    Decision::Send(letter(event, receiver, key, message, why, event.at))
}

/// To the owner's tracker.
fn ticket(rules: &Rules, event: &Event, told: &Told) -> Decision {
    let Some(route) = &rules.tickets else {
        return held(event, None, "the rules name no tracker (`tickets`)".to_owned());
    };
    let Some((owner, tracker, because)) = rules.owner(event) else {
        let reason = "no owner rule fits, and there is no default_owner".to_owned();
        return held(event, Some(&route.tracker), reason);
    };
    let tracker = tracker.unwrap_or(&route.tracker);
    let known = told.tickets.get(tracker);
    let opening = told.opening.contains(tracker);
    let (action, key, due) = match (known, event.change) {
        (None, _) if !opening => (TicketAction::Open, format!("ticket/{tracker}/{}", event.group), event.at),
        (Some((TicketState::Closed, at)), Change::Regressed) => {
            // Once for every time it was closed, whichever builds show it.
            let key = format!("reopen/{tracker}/{}/{}", event.group, at.as_unix_ms());
            (TicketAction::Reopen, key, event.at)
        }
        (Some((TicketState::Closed, _)), Change::New | Change::AgainInAnotherBuild | Change::Fixed) => {
            let reason = "its ticket is closed, and this build is not newer than the mend".to_owned();
            return held(event, Some(tracker), reason);
        }
        (Some((TicketState::Open, _)) | None, _) => {
            let key = format!("comment/{tracker}/{}/{}/{}", event.group, word(event.change), build(event));
            let quiet = Duration::from_secs(u64::from(route.comment_every_minutes) * 60);
            let due = known.map_or(event.at, |(_, at)| at.after(quiet)).max(event.at);
            (TicketAction::Comment, key, due)
        }
    };
    let key = DedupeKey(key);
    if told.keys.contains(&key) {
        return held(event, Some(tracker), "its ticket says so already".to_owned());
    }
    let mut message = Message::about(event);
    let assignee = rules.mention(tracker, owner).map(|mention| mention.id);
    let assigned = if assignee.is_some() { "" } else { ", who has no id there, so nobody is assigned" };
    message.facts.push(("Owner".to_owned(), format!("{} ({because})", text::one_line(owner, 200))));
    message.ticket = Some(Ticket {
        action,
        marker: marker(&event.group),
        assignees: assignee.into_iter().collect(),
        module: event.top_frame().map(|frame| frame.module.clone()),
    });
    let does = match action {
        TicketAction::Open => "a ticket is opened",
        TicketAction::Comment => "its ticket gets a comment",
        TicketAction::Reopen => "its ticket is opened again",
        TicketAction::Close => "its ticket is closed",
    };
    let why = format!("{does} for {owner}{assigned}: {because}");
    Decision::Send(letter(event, tracker, key, message, why, due))
}

/// Every ticket of a group that is fixed is closed.
fn close(rules: &Rules, event: &Event, told: &Told, decisions: &mut Vec<Decision>) {
    let known = told.tickets.iter().filter(|(tracker, _)| rules.receivers.contains_key(*tracker));
    let open = known.filter(|(_, (state, _))| *state == TicketState::Open);
    let marks = open.map(|(tracker, (_, at))| (tracker, at.as_unix_ms()));
    let opening = told.opening.iter().filter(|tracker| !told.tickets.contains_key(*tracker));
    for (tracker, mark) in marks.chain(opening.map(|tracker| (tracker, 0))) {
        // A ticket that is opened again can be closed again.
        let key = DedupeKey(format!("close/{tracker}/{}/{mark}", event.group));
        if told.keys.contains(&key) {
            decisions.push(held(event, Some(tracker), "its ticket is being closed already".to_owned()));
            continue;
        }
        let mut message = Message::about(event);
        message.ticket = Some(Ticket {
            action: TicketAction::Close,
            marker: marker(&event.group),
            assignees: Vec::new(),
            module: None,
        });
        let why = "the group is fixed, so its ticket is closed".to_owned();
        decisions.push(Decision::Send(letter(event, tracker, key, message, why, event.at)));
    }
    if decisions.is_empty() {
        decisions.push(held(event, None, "the group is fixed and has no open ticket".to_owned()));
    }
}

fn digest(rules: &Rules, event: &Event, told: &Told) -> Vec<Decision> {
    let Some(route) = &rules.digest else { return Vec::new() };
    let due = next_round(event.at, route.every_minutes);
    let letters = route.to.iter().map(|receiver| {
        let key =
            DedupeKey(format!("digest/{receiver}/{}/{}/{}", event.group, word(event.change), build(event)));
        if told.keys.contains(&key) {
            return held(event, Some(receiver), format!("{receiver} has it in a digest already"));
        }
        let why = format!("collected for the digest at {due}");
        let letter = letter(event, receiver, key, Message::about(event), why, due);
        Decision::Send(Box::new(Letter { manner: Manner::Digest, ..*letter }))
    });
    letters.collect()
}

/// The next round instant: digests of all groups leave together. Seven minutes past, because robots refuse more around
/// full and half hours.
fn next_round(now: Time, every_minutes: u32) -> Time {
    const PAST_MS: i64 = 7 * 60_000;
    let every = i64::from(every_minutes.max(1)) * 60_000;
    let past = if every > PAST_MS { PAST_MS } else { 0 };
    let rounds = (now.as_unix_ms() - past).div_euclid(every) + 1;
    Time::from_unix_ms(rounds * every + past)
}

fn letter(
    event: &Event,
    receiver: &ReceiverName,
    key: DedupeKey,
    message: Message,
    why: String,
    due: Time,
) -> Box<Letter> {
    let (receiver, group, manner) = (receiver.clone(), event.group.clone(), Manner::Alone);
    Box::new(Letter { receiver, key, group, message, why, due, manner })
}

/// The label by which a group's ticket is found again: every tracker takes such a word.
pub fn marker(group: &GroupId) -> String {
    let word: String = group
        .0
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("holdfast-{}", text::cut(&word, text::Count::Bytes, 100).trim_end_matches('…'))
}
