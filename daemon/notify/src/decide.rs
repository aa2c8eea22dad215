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
    /// Chats that were told of the group.
    pub chats: BTreeSet<ReceiverName>,
    /// Trackers at which the group has a ticket to which its crashes went.
    pub heirs: BTreeSet<ReceiverName>,
}

impl Told {
    /// What the queue knows of a group.
    pub fn of(outbox: &Outbox, group: &GroupId) -> Self {
        let tickets = outbox.tickets(group);
        Self {
            keys: outbox.keys(group).cloned().collect(),
            tickets: tickets.map(|ticket| (ticket.receiver.clone(), (ticket.state, ticket.at))).collect(),
            opening: outbox.opening(group).cloned().collect(),
            chats: outbox.chats(group).cloned().collect(),
            heirs: BTreeSet::new(),
        }
    }

    /// With what the queue knows of the group to which the crashes went.
    #[must_use]
    pub fn and_heir(self, outbox: &Outbox, heir: &GroupId) -> Self {
        let tickets = outbox.tickets(heir).map(|ticket| ticket.receiver.clone());
        let heirs = tickets.chain(outbox.opening(heir).cloned()).collect();
        Self { heirs, ..self }
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
    let mut decisions = match event.change {
        Change::Fixed => close(rules, event, told),
        // Those who were told are told this too, and nobody else.
        Change::Named => return follow_up(rules, event, told),
        Change::Moved => return moved(rules, event, told),
        Change::New | Change::AgainInAnotherBuild | Change::Again | Change::Regressed => {
            seen(rules, event, told)
        }
    };
    let alone = |decision: &Decision| matches!(decision, Decision::Send(_));
    if !event.is_urgent() || event.change == Change::Fixed || !decisions.iter().any(alone) {
        decisions.extend(digest(rules, event, told));
    }
    if decisions.is_empty() {
        decisions.push(held(event, None, "no route of the rules is for it".to_owned()));
    }
    decisions
}

/// A crash of the group was seen.
fn seen(rules: &Rules, event: &Event, told: &Told) -> Vec<Decision> {
    match (event.why_urgent(), &rules.urgent) {
        (Some(why), Some(route)) => {
            let chats = route.to.iter().map(|receiver| chat(rules, event, told, receiver, why));
            let mut decisions: Vec<Decision> = chats.collect();
            if route.ticket == AlsoTicket::Yes {
                decisions.push(ticket(rules, event, told));
            }
            decisions
        }
        (Some(_), None) | (None, _) => vec![ticket(rules, event, told)],
    }
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
    Decision::Held { letter: Box::new(Letter { also: Vec::new(), ..*letter }), reason }
}

fn build(event: &Event) -> &str {
    event.build.as_ref().map_or("-", |build| &build.hash)
}

fn word(change: Change) -> &'static str {
    match change {
        Change::New | Change::AgainInAnotherBuild | Change::Again => "seen",
        Change::Regressed => "regressed",
        Change::Fixed => "fixed",
        Change::Named => "named",
        Change::Moved => "moved",
    }
}

/// Under which a receiver is told of the commit that brought a group, once.
fn key_of_named(event: &Event, receiver: &ReceiverName) -> Option<DedupeKey> {
    let bad = event.first_bad.as_ref()?;
    Some(DedupeKey(format!("named/{receiver}/{}/{}", event.group, bad.commit)))
}

/// The key under which what was told of a group counts as told of the one to which crashes of it went: for these builds,
/// or for every build. What is about the group itself, such as its ticket, stays with it.
pub fn moved_key(
    receiver: &ReceiverName,
    key: &DedupeKey,
    from: &GroupId,
    to: &GroupId,
    builds: Option<&BTreeSet<String>>,
) -> Option<DedupeKey> {
    for kind in ["chat", "digest", "comment"] {
        let Some(rest) = key.0.strip_prefix(&format!("{kind}/{receiver}/{from}/")) else { continue };
        let build = rest.rsplit('/').next().unwrap_or(rest);
        let goes_along = builds.is_none_or(|builds| builds.contains(build));
        return goes_along.then(|| DedupeKey(format!("{kind}/{receiver}/{to}/{rest}")));
    }
    None
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
    let (message, called) = calling(rules, event, receiver);
    let why = format!("urgent, because it is {why}; {called}");
    Decision::Send(letter(event, receiver, key, message, why, event.at))
}

/// A message that calls the author, and who that is, in words.
fn calling(rules: &Rules, event: &Event, receiver: &ReceiverName) -> (Message, String) {
    let mut message = Message::about(event);
    let mention = event.author().and_then(|author| rules.mention(receiver, author));
    let called = match (&mention, event.author()) {
        (Some(mention), _) => format!("{} is called", mention.name),
        (None, Some(author)) => format!("{author} has no id for {receiver}, so nobody is called"),
        (None, None) => "the build names no author, so nobody is called".to_owned(),
    };
    message.mentions.extend(mention);
    (message, called)
}

/// The commit that brought a group is known: whoever was told of the group is told of it, once.
fn follow_up(rules: &Rules, event: &Event, told: &Told) -> Vec<Decision> {
    let Some(bad) = &event.first_bad else {
        return vec![held(event, None, "no commit is named".to_owned())];
    };
    let mut decisions = Vec::new();
    let known = |receiver: &&ReceiverName| rules.receivers.contains_key(*receiver);
    let is_new = |key: &DedupeKey| !told.keys.contains(key);
    for receiver in told.chats.iter().filter(known) {
        let Some(key) = key_of_named(event, receiver).filter(is_new) else { continue };
        let (message, called) = calling(rules, event, receiver);
        let why = format!("{receiver} was told of the group, and now its commit is known; {called}");
        decisions.push(Decision::Send(letter(event, receiver, key, message, why, event.at)));
    }
    for tracker in trackers(told).into_iter().filter(known) {
        let Some(key) = key_of_named(event, tracker).filter(is_new) else { continue };
        let assignee = event.author().and_then(|author| rules.mention(tracker, author));
        let message = with_ticket(event, TicketAction::Comment, assignee.map(|mention| mention.id));
        let why = "its ticket gets a comment: the commit that brought it is known".to_owned();
        decisions.push(Decision::Send(letter(event, tracker, key, message, why, event.at)));
    }
    if decisions.is_empty() {
        let commit = bad.commit.get(..12).unwrap_or(&bad.commit);
        let reason = format!("nobody was told of the group, or all know {commit} already");
        decisions.push(held(event, None, reason));
    }
    decisions
}

/// No crash is left in a group: its ticket says where they went, and is closed where another ticket goes on.
fn moved(rules: &Rules, event: &Event, told: &Told) -> Vec<Decision> {
    let Some(to) = &event.moved_to else {
        return vec![held(event, None, "it is not known where its crashes went".to_owned())];
    };
    let mut decisions = Vec::new();
    for tracker in trackers(told).into_iter().filter(|tracker| rules.receivers.contains_key(*tracker)) {
        let key = DedupeKey(format!("moved/{tracker}/{}/{to}", event.group));
        if told.keys.contains(&key) {
            continue;
        }
        // One that is being opened has no name yet by which the other group could go on with it.
        let goes_on = !told.heirs.contains(tracker) && told.tickets.contains_key(tracker);
        let (action, does) = if goes_on {
            (TicketAction::Comment, "its ticket goes on as that of")
        } else {
            (TicketAction::Close, "its ticket is closed, because its crashes count with")
        };
        let why = format!("{does} group {to}");
        let message = with_ticket(event, action, None);
        decisions.push(Decision::Send(letter(event, tracker, key, message, why, event.at)));
    }
    if decisions.is_empty() {
        decisions.push(held(
            event,
            None,
            format!("its crashes went to group {to}, and it has no open ticket"),
        ));
    }
    decisions
}

/// Where the group has an open ticket, or one that is being opened.
fn trackers(told: &Told) -> BTreeSet<&ReceiverName> {
    let open = told.tickets.iter().filter(|(_, (state, _))| *state == TicketState::Open);
    open.map(|(tracker, _)| tracker).chain(&told.opening).collect()
}

fn with_ticket(event: &Event, action: TicketAction, assignee: Option<String>) -> Message {
    let mut message = Message::about(event);
    message.ticket = Some(Ticket {
        action,
        marker: marker(&event.group),
        assignees: assignee.into_iter().collect(),
        module: event.top_frame().map(|frame| frame.module.clone()),
    });
    message
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
        (
            Some((TicketState::Closed, _)),
            Change::New
            | Change::AgainInAnotherBuild
            | Change::Again
            | Change::Fixed
            | Change::Named
            | Change::Moved,
        ) => {
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
    let assignee = rules.mention(tracker, owner).map(|mention| mention.id);
    let assigned = if assignee.is_some() { "" } else { ", who has no id there, so nobody is assigned" };
    let mut message = with_ticket(event, action, assignee);
    message.facts.push(("Owner".to_owned(), format!("{} ({because})", text::one_line(owner, 200))));
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
fn close(rules: &Rules, event: &Event, told: &Told) -> Vec<Decision> {
    let mut decisions = Vec::new();
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
    decisions
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
    // Whoever is told of a group whose commit is known need not be told of the commit alone.
    let also = key_of_named(event, receiver).filter(|named| *named != key).into_iter().collect();
    let (receiver, group, manner) = (receiver.clone(), event.group.clone(), Manner::Alone);
    Box::new(Letter { receiver, key, also, group, message, why, due, manner })
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
