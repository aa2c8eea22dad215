//! The queue in front of the receivers: what waits, what is tried again and when, what goes together in one digest, what
//! is given up. Plain records and no clock: the daemon stores what [`Outbox::changes`] names before it acts.
//!
//! A message counts as sent only when its receiver said so; when the daemon dies in between it is sent again. What was
//! accepted once under a key is never accepted anew under it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use crate::event::{DedupeKey, GroupId, ReceiverName};
use crate::message::{DIGEST_ITEMS_MAX, Message, TicketAction};
use crate::rate::{Limit, Room, Sends};

/// Tries before a message is given up: with the waits between them, half a day to a day, so that a receiver may be down
/// overnight.
pub const TRIES_MAX: u32 = 20;

/// The first wait after a failure; each further one is twice as long.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(5);

/// The longest wait between two tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3 * 3600);

/// The longest time for which a receiver's "try again later" is believed.
pub const QUIET_MAX: Duration = Duration::from_secs(3600);

/// Messages that wait for one receiver: beyond them new ones are held back, because nobody would read them.
pub const WAITING_MAX: usize = 5_000;

/// For how long what is done is kept: as long as people look back.
pub const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// What is kept of messages that are done, at most: a month of a large farm on a bad month.
pub const DONE_MAX: usize = 50_000;

/// The longest answer that is kept, bytes.
const ANSWER_BYTES_MAX: usize = 300;

/// The number of an entry: it only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub u64);

/// What is to be told to one receiver, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// To whom.
    pub receiver: ReceiverName,
    /// What is told at most once.
    pub key: DedupeKey,
    /// What else it tells: what is told by it need not be told again under these keys. Comments whose place it took are
    /// among them.
    #[serde(default)]
    pub older_keys: Vec<DedupeKey>,
    /// About which crash group, or which phone; those of one group keep their order.
    pub group: GroupId,
    /// Groups to which the crashes went that it tells of.
    #[serde(default)]
    pub moved_to: Vec<GroupId>,
    /// What is told.
    pub message: Message,
    /// Why it is told, in words.
    #[serde(default)]
    pub why: String,
    /// What became of it.
    pub state: State,
    /// How often it was tried.
    pub tries: u32,
    /// What the receiver, or the way to it, said last; cut, and without secrets.
    pub last_answer: Option<String>,
    /// When it was accepted.
    pub at: Time,
}

impl Entry {
    /// Whether it is still to be told.
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Whether nobody was told and nobody will be.
    pub fn is_untold(&self) -> bool {
        matches!(self.state, State::Held { .. } | State::Failed { .. })
    }
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits.
    Waiting {
        /// Not before then.
        next_try: Time,
        /// Whether it may go alone.
        manner: Manner,
    },
    /// Its receiver has it.
    Sent {
        /// Since then.
        at: Time,
        /// With how many others, in one message.
        together_with: u32,
    },
    /// It was given up.
    Failed {
        /// When.
        at: Time,
        /// Why, in words.
        reason: String,
    },
    /// It was held back.
    Held {
        /// Why, in words.
        reason: String,
    },
}

/// How an entry leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Alone, unless more wait than may be sent.
    Alone,
    /// With all others that are due.
    Digest,
}

/// The ticket of a group at a tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRecord {
    /// At which tracker.
    pub receiver: ReceiverName,
    /// Of which group.
    pub group: GroupId,
    /// What the tracker calls it.
    pub reference: String,
    /// Where people see it.
    pub url: Option<String>,
    /// Whether it is open.
    pub state: TicketState,
    /// When it was last written to.
    pub at: Time,
}

/// Whether a ticket is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// It is open.
    Open,
    /// It is closed.
    Closed,
}

/// What a receiver made of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has it. Trackers name their ticket.
    Accepted {
        /// The ticket, and where people see it.
        ticket: Option<(String, Option<String>)>,
        /// What it said.
        answer: String,
    },
    /// Not now: this message, or this receiver, may be tried again.
    Later {
        /// The receiver wants to be left alone for so long.
        quiet: Option<Duration>,
        /// What it said.
        answer: String,
    },
    /// Never: the same message will be refused again.
    Refused {
        /// What it said.
        answer: String,
    },
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This, and then say [`Outbox::answered`].
    Send(Box<Parcel>),
    /// Nothing before then.
    WakeAt(Time),
    /// Nothing until something is accepted or answered.
    Idle,
}

/// What leaves at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The entry that answers for it.
    pub id: EntryId,
    /// Every entry in it, that one first.
    pub entries: Vec<EntryId>,
    /// To whom.
    pub receiver: ReceiverName,
    /// The key: the same at every try, so that receivers that look at it know a repetition.
    pub key: DedupeKey,
    /// What is told.
    pub message: Message,
    /// The ticket that exists already.
    pub ticket: Option<String>,
}

/// What became of a message that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It waits under this number.
    New(EntryId),
    /// The same key was accepted before, under this number.
    Already(EntryId),
    /// It took the place of an older comment that still waits.
    Instead(EntryId),
    /// It is on record and held back, because too much waits.
    Held(EntryId),
}

/// What must be stored before anything is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries, as they are now.
    pub entries: Vec<Entry>,
    /// Tickets, as they are now.
    pub tickets: Vec<TicketRecord>,
    /// What is remembered of receivers.
    pub sends: Vec<(ReceiverName, Sends)>,
    /// Entries that are forgotten.
    pub gone: Vec<EntryId>,
}

/// What was stored.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The tickets.
    pub tickets: Vec<TicketRecord>,
    /// What is remembered of receivers.
    pub sends: Vec<(ReceiverName, Sends)>,
}

/// The queue.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    entries: BTreeMap<EntryId, Entry>,
    keys: BTreeMap<DedupeKey, EntryId>,
    groups: BTreeMap<GroupId, BTreeSet<EntryId>>,
    tickets: BTreeMap<(ReceiverName, GroupId), TicketRecord>,
    sends: BTreeMap<ReceiverName, Sends>,
    limits: BTreeMap<ReceiverName, Vec<Limit>>,
    waiting: BTreeMap<ReceiverName, BTreeSet<EntryId>>,
    /// One parcel at a time for each receiver: that keeps the order, and what a receiver is told after is not on its way.
    in_flight: BTreeMap<ReceiverName, Vec<EntryId>>,
    dirty_entries: BTreeSet<EntryId>,
    dirty_tickets: BTreeSet<(ReceiverName, GroupId)>,
    dirty_sends: BTreeSet<ReceiverName>,
    gone: Vec<EntryId>,
    last: u64,
    now: Option<Time>,
}

impl Outbox {
    /// The queue from what was stored. What was on its way waits again.
    pub fn restore(stored: Stored) -> Self {
        let mut outbox = Self::default();
        for entry in stored.entries {
            outbox.last = outbox.last.max(entry.id.0);
            for group in entry.moved_to.iter().chain([&entry.group]) {
                outbox.groups.entry(group.clone()).or_default().insert(entry.id);
            }
            for key in entry.older_keys.iter().chain([&entry.key]) {
                outbox.keys.insert(key.clone(), entry.id);
            }
            if matches!(entry.state, State::Waiting { .. }) {
                outbox.waiting.entry(entry.receiver.clone()).or_default().insert(entry.id);
            }
            outbox.entries.insert(entry.id, entry);
        }
        for ticket in stored.tickets {
            outbox.tickets.insert((ticket.receiver.clone(), ticket.group.clone()), ticket);
        }
        outbox.sends = stored.sends.into_iter().collect();
        outbox
    }

    /// The receivers that there are, with their limits. What waits for any other is given up at the next call of
    /// [`Outbox::next`].
    pub fn set_limits(&mut self, limits: BTreeMap<ReceiverName, Vec<Limit>>) {
        self.limits = limits;
    }

    /// Takes a message in, not to leave before `due`.
    pub fn accept(&mut self, now: Time, letter: Letter) -> Accepted {
        if let Some(id) = self.keys.get(&letter.key).copied() {
            return if self.is_untold(id) { self.revive(now, id, letter) } else { Accepted::Already(id) };
        }
        if let Some(id) = self.superseded(&letter) {
            for key in letter.also.iter().chain([&letter.key]) {
                self.keys.insert(key.clone(), id);
            }
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.older_keys.push(std::mem::replace(&mut entry.key, letter.key));
                entry.older_keys.extend(letter.also);
                entry.message = letter.message;
                entry.why = letter.why;
            }
            self.dirty_entries.insert(id);
            return Accepted::Instead(id);
        }
        let waiting = self.waiting.entry(letter.receiver.clone()).or_default();
        let full = waiting.len() >= WAITING_MAX;
        let state = if full {
            State::Held { reason: format!("{WAITING_MAX} messages wait for {} already", letter.receiver) }
        } else {
            State::Waiting { next_try: letter.due.max(now), manner: letter.manner }
        };
        let id = self.put(now, letter, state);
        if full {
            return Accepted::Held(id);
        }
        Accepted::New(id)
    }

    fn is_untold(&self, id: EntryId) -> bool {
        self.entries.get(&id).is_some_and(Entry::is_untold)
    }

    /// What was held back or given up once may go now: the rules or the receiver are others.
    fn revive(&mut self, now: Time, id: EntryId, letter: Letter) -> Accepted {
        let waiting = self.waiting.entry(letter.receiver.clone()).or_default();
        if waiting.len() >= WAITING_MAX {
            return Accepted::Held(id);
        }
        waiting.insert(id);
        for key in &letter.also {
            self.keys.insert(key.clone(), id);
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.tries = 0;
            entry.older_keys.extend(letter.also);
            entry.why = letter.why;
            entry.receiver = letter.receiver;
            entry.message = letter.message;
            entry.state = State::Waiting { next_try: letter.due.max(now), manner: letter.manner };
        }
        self.dirty_entries.insert(id);
        Accepted::New(id)
    }

    /// Crashes of a group count into another one from now on: what was told of them there counts as told here.
    /// `renamed` gives the key that a told one has in the new group; none for what does not go with the crashes.
    pub fn follow(
        &mut self,
        from: &GroupId,
        to: &GroupId,
        renamed: impl Fn(&ReceiverName, &DedupeKey) -> Option<DedupeKey>,
    ) {
        let ids: Vec<EntryId> = self.groups.get(from).into_iter().flatten().copied().collect();
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.is_untold()) else { continue };
            let told = entry.older_keys.iter().chain([&entry.key]);
            let new: Vec<DedupeKey> = told
                .filter_map(|key| renamed(&entry.receiver, key))
                .filter(|key| !self.keys.contains_key(key))
                .collect();
            if new.is_empty() {
                continue;
            }
            for key in &new {
                self.keys.insert(key.clone(), id);
            }
            entry.older_keys.extend(new);
            if entry.group != *to && !entry.moved_to.contains(to) {
                entry.moved_to.push(to.clone());
            }
            self.groups.entry(to.clone()).or_default().insert(id);
            self.dirty_entries.insert(id);
        }
    }

    /// The tickets of a group are from now on those of another one too, where that has none and is to get none.
    pub fn hand_over_tickets(&mut self, from: &GroupId, to: &GroupId) {
        let opening: BTreeSet<ReceiverName> = self.opening(to).cloned().collect();
        let handed: Vec<TicketRecord> = self
            .tickets(from)
            .filter(|ticket| ticket.state == TicketState::Open && !opening.contains(&ticket.receiver))
            .filter(|ticket| self.ticket(&ticket.receiver, to).is_none())
            .map(|ticket| TicketRecord { group: to.clone(), ..ticket.clone() })
            .collect();
        for ticket in handed {
            let key = (ticket.receiver.clone(), to.clone());
            self.tickets.insert(key.clone(), ticket);
            self.dirty_tickets.insert(key);
        }
    }

    /// Puts on record what was held back, and why.
    pub fn hold(&mut self, now: Time, letter: Letter, reason: String) -> Accepted {
        match self.keys.get(&letter.key) {
            Some(id) => Accepted::Already(*id),
            None => Accepted::Held(self.put(now, letter, State::Held { reason })),
        }
    }

    fn put(&mut self, now: Time, letter: Letter, state: State) -> EntryId {
        self.last += 1;
        let id = EntryId(self.last);
        if matches!(state, State::Waiting { .. }) {
            self.waiting.entry(letter.receiver.clone()).or_default().insert(id);
        }
        for key in letter.also.iter().chain([&letter.key]) {
            self.keys.insert(key.clone(), id);
        }
        self.groups.entry(letter.group.clone()).or_default().insert(id);
        let Letter { receiver, key, also, group, mut message, why, due: _, manner: _ } = letter;
        if !matches!(state, State::Waiting { .. }) {
            message.shed();
        }
        let entry = Entry {
            id,
            receiver,
            key,
            older_keys: also,
            group,
            moved_to: Vec::new(),
            message,
            why,
            state,
            tries: 0,
            last_answer: None,
            at: now,
        };
        self.entries.insert(id, entry);
        self.dirty_entries.insert(id);
        id
    }

    /// The comment on the same ticket that waits and says the same thing with older numbers.
    fn superseded(&self, letter: &Letter) -> Option<EntryId> {
        let comments = |message: &Message| {
            message.ticket.as_ref().is_some_and(|ticket| ticket.action == TicketAction::Comment)
        };
        let busy = self.in_flight.get(&letter.receiver);
        let about = self.groups.get(&letter.group)?.iter().rev().filter_map(|id| self.entries.get(id));
        let last = about
            .filter(|entry| entry.receiver == letter.receiver && entry.group == letter.group)
            .find(|entry| entry.waits())?;
        let free = !busy.is_some_and(|busy| busy.contains(&last.id));
        (free && comments(&letter.message) && comments(&last.message)).then_some(last.id)
    }

    /// What to do at `now`.
    #[must_use]
    pub fn next(&mut self, now: Time) -> Next {
        self.watch_clock(now);
        let mut wake: Option<Time> = None;
        let receivers: Vec<ReceiverName> =
            self.waiting.iter().filter(|(_, ids)| !ids.is_empty()).map(|(name, _)| name.clone()).collect();
        for receiver in receivers {
            if self.in_flight.contains_key(&receiver) {
                continue;
            }
            let Some(limits) = self.limits.get(&receiver).cloned() else {
                self.give_up_all(now, &receiver);
                continue;
            };
            let (due, later) = self.due(now, &receiver);
            let Some(first) = due.first().copied() else {
                wake = earlier(wake, later);
                continue;
            };
            match self.sends.entry(receiver.clone()).or_default().room(&limits, now) {
                Room::NotBefore(at) => wake = earlier(wake, Some(at)),
                Room::Messages(room) => {
                    return Next::Send(Box::new(self.parcel(now, &receiver, first, &due, room, &limits)));
                }
            }
        }
        wake.map_or(Next::Idle, Next::WakeAt)
    }

    /// What a receiver said to a parcel. `jitter` is between 0 and 1: waits differ, so that many messages that failed
    /// together don't come back together.
    pub fn answered(&mut self, now: Time, id: EntryId, outcome: Outcome, jitter: f64) {
        let Some(receiver) = self.entries.get(&id).map(|entry| entry.receiver.clone()) else { return };
        let Some(entries) = self.in_flight.remove(&receiver) else { return };
        let sends = self.sends.entry(receiver.clone()).or_default();
        sends.arrived(now);
        self.dirty_sends.insert(receiver.clone());
        match outcome {
            Outcome::Accepted { ticket, answer } => {
                let together_with = u32::try_from(entries.len().saturating_sub(1)).unwrap_or(u32::MAX);
                for id in &entries {
                    self.finish(*id, State::Sent { at: now, together_with }, &answer);
                }
                self.note_ticket(now, id, ticket);
            }
            // What is wrong may be one of them alone: they come again, together or each for itself.
            Outcome::Refused { answer } if entries.len() > 1 => {
                for id in &entries {
                    self.again(now, *id, &answer, jitter);
                }
            }
            Outcome::Refused { answer } => {
                for id in &entries {
                    let reason = format!("{receiver} refuses it: {answer}");
                    self.finish(*id, State::Failed { at: now, reason }, &answer);
                }
            }
            Outcome::Later { quiet, answer } => {
                if let Some(quiet) = quiet {
                    sends.quiet_until = Some(now.after(quiet.min(QUIET_MAX)));
                }
                for id in &entries {
                    self.again(now, *id, &answer, jitter);
                }
            }
        }
    }

    /// Forgets what has been done for longer than [`KEPT`], and the oldest beyond [`DONE_MAX`].
    pub fn prune(&mut self, now: Time) {
        let mut spare = self.entries.len().saturating_sub(DONE_MAX);
        let mut is_spare = move || {
            let is_spare = spare > 0;
            spare = spare.saturating_sub(1);
            is_spare
        };
        let old: Vec<EntryId> = self
            .entries
            .values()
            .filter(|entry| !entry.waits() && (is_spare() || entry.at.after(KEPT) <= now))
            .map(|entry| entry.id)
            .collect();
        for id in old {
            if let Some(entry) = self.entries.remove(&id) {
                for key in entry.older_keys.iter().chain([&entry.key]) {
                    self.keys.remove(key);
                }
                for group in entry.moved_to.iter().chain([&entry.group]) {
                    if let Some(ids) = self.groups.get_mut(group) {
                        ids.remove(&id);
                        if ids.is_empty() {
                            self.groups.remove(group);
                        }
                    }
                }
            }
            self.dirty_entries.remove(&id);
            self.gone.push(id);
        }
    }

    /// What changed since the last call: to be stored before a parcel leaves.
    #[must_use]
    pub fn changes(&mut self) -> Changes {
        let entries = std::mem::take(&mut self.dirty_entries);
        let tickets = std::mem::take(&mut self.dirty_tickets);
        let sends = std::mem::take(&mut self.dirty_sends);
        Changes {
            entries: entries.iter().filter_map(|id| self.entries.get(id).cloned()).collect(),
            tickets: tickets.iter().filter_map(|key| self.tickets.get(key).cloned()).collect(),
            sends: sends
                .into_iter()
                .filter_map(|name| Some((name.clone(), self.sends.get(&name)?.clone())))
                .collect(),
            gone: std::mem::take(&mut self.gone),
        }
    }

    /// Every entry, newest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().rev()
    }

    /// One entry.
    pub fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The ticket of a group at a tracker.
    pub fn ticket(&self, receiver: &ReceiverName, group: &GroupId) -> Option<&TicketRecord> {
        self.tickets.get(&(receiver.clone(), group.clone()))
    }

    /// The tickets of a group.
    pub fn tickets(&self, group: &GroupId) -> impl Iterator<Item = &TicketRecord> {
        self.tickets.values().filter(move |ticket| ticket.group == *group)
    }

    /// The keys about a group that were told, or are about to be.
    pub fn keys(&self, group: &GroupId) -> impl Iterator<Item = &DedupeKey> {
        let told = self.about(group).filter(|entry| !entry.is_untold());
        told.flat_map(|entry| entry.older_keys.iter().chain([&entry.key]))
    }

    /// How many messages wait for a receiver, and when it was spoken to.
    pub fn queue(&self, receiver: &ReceiverName) -> (usize, Option<&Sends>) {
        (self.waiting.get(receiver).map_or(0, BTreeSet::len), self.sends.get(receiver))
    }

    /// Whether something was accepted or held back under a key.
    pub fn knows(&self, key: &DedupeKey) -> bool {
        self.keys.contains_key(key)
    }

    /// The chats and mailboxes that were told of a group at once, or are about to be.
    pub fn chats(&self, group: &GroupId) -> impl Iterator<Item = &ReceiverName> {
        let told = self.about(group).filter(|entry| !entry.is_untold() && entry.message.ticket.is_none());
        // What was collected for a digest called nobody.
        told.filter(|entry| !entry.key.0.starts_with("digest/")).map(|entry| &entry.receiver)
    }

    fn about(&self, group: &GroupId) -> impl Iterator<Item = &Entry> {
        self.groups.get(group).into_iter().flatten().filter_map(|id| self.entries.get(id))
    }

    /// The trackers at which a ticket of a group is being opened.
    pub fn opening(&self, group: &GroupId) -> impl Iterator<Item = &ReceiverName> {
        self.about(group).filter_map(|entry| {
            let opens =
                entry.message.ticket.as_ref().is_some_and(|ticket| ticket.action == TicketAction::Open);
            let waits = matches!(entry.state, State::Waiting { .. });
            (opens && waits && entry.group == *group).then_some(&entry.receiver)
        })
    }

    fn watch_clock(&mut self, now: Time) {
        if self.now.is_some_and(|before| now < before) || self.now.is_none() {
            for sends in self.sends.values_mut() {
                sends.turned_back(now, QUIET_MAX);
            }
            for entry in self.entries.values_mut() {
                if let State::Waiting { next_try, manner: Manner::Alone } = &mut entry.state
                    && entry.tries > 0
                {
                    *next_try = (*next_try).min(now.after(BACKOFF_MAX));
                }
            }
        }
        self.now = Some(now);
    }

    /// The entries of a receiver that may leave now, in order, and when the next may otherwise. One that waits keeps the
    /// later ones of its group behind it.
    fn due(&self, now: Time, receiver: &ReceiverName) -> (Vec<EntryId>, Option<Time>) {
        let (mut due, mut later, mut blocked) = (Vec::new(), None, BTreeSet::new());
        let ids = self.waiting.get(receiver).into_iter().flatten();
        for entry in ids.filter_map(|id| self.entries.get(id)) {
            let State::Waiting { next_try, manner } = entry.state else { continue };
            if blocked.contains(&entry.group) {
                continue;
            }
            if next_try <= now {
                due.push(entry.id);
                // A ticket's next word waits for the answer to this one.
                if entry.message.ticket.is_some() {
                    blocked.insert(&entry.group);
                }
            } else {
                // What waits for its digest lets the urgent past.
                if manner == Manner::Alone {
                    blocked.insert(&entry.group);
                }
                later = earlier(later, Some(next_try));
            }
        }
        (due, later)
    }

    fn parcel(
        &mut self,
        now: Time,
        receiver: &ReceiverName,
        first: EntryId,
        due: &[EntryId],
        room: u32,
        limits: &[Limit],
    ) -> Parcel {
        let together = self.together(first, due, room);
        let messages: Vec<&Message> =
            together.iter().filter_map(|id| Some(&self.entries.get(id)?.message)).collect();
        let message = match messages.as_slice() {
            [one] => (*one).clone(),
            several => Message::digest(several, due.len().saturating_sub(several.len())),
        };
        let head = self.entries.get(&first);
        let group = head.map(|entry| entry.group.clone());
        // A digest is another message when other entries are in it, and has another key then.
        let key = match (together.as_slice(), head) {
            ([_], Some(head)) => head.key.clone(),
            (several, _) => {
                let ids: Vec<String> = several.iter().map(|id| id.0.to_string()).collect();
                DedupeKey(format!("several/{receiver}/{}", ids.join("+")))
            }
        };
        let ticket = group
            .and_then(|group| self.tickets.get(&(receiver.clone(), group)))
            .map(|ticket| ticket.reference.clone());
        for id in &together {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.tries += 1;
            }
            self.dirty_entries.insert(*id);
        }
        let sends = self.sends.entry(receiver.clone()).or_default();
        sends.trim(limits, now);
        sends.sent(now);
        self.dirty_sends.insert(receiver.clone());
        self.in_flight.insert(receiver.clone(), together.clone());
        Parcel { id: first, entries: together, receiver: receiver.clone(), key, message, ticket }
    }

    /// Which of the due entries go in one message: all that want to, and all when more wait than may be sent. Tickets
    /// always go alone.
    fn together(&self, first: EntryId, due: &[EntryId], room: u32) -> Vec<EntryId> {
        let chats = |id: &&EntryId| self.entries.get(id).is_some_and(|entry| entry.message.ticket.is_none());
        let wants_digest = |id: &EntryId| {
            self.entries
                .get(id)
                .is_some_and(|entry| matches!(entry.state, State::Waiting { manner: Manner::Digest, .. }))
        };
        if !due.first().as_ref().is_some_and(chats) {
            return vec![first];
        }
        let crowded = due.iter().filter(chats).count() > room as usize;
        if crowded {
            // In order, and nothing is overtaken.
            return due.iter().filter(chats).take(DIGEST_ITEMS_MAX).copied().collect();
        }
        if wants_digest(&first) {
            return due
                .iter()
                .filter(chats)
                .filter(|id| wants_digest(id))
                .take(DIGEST_ITEMS_MAX)
                .copied()
                .collect();
        }
        vec![first]
    }

    fn finish(&mut self, id: EntryId, state: State, answer: &str) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.state = state;
        entry.message.shed();
        entry.last_answer = Some(crate::text::one_line(answer, ANSWER_BYTES_MAX));
        if let Some(waiting) = self.waiting.get_mut(&entry.receiver) {
            waiting.remove(&id);
        }
        self.dirty_entries.insert(id);
    }

    fn again(&mut self, now: Time, id: EntryId, answer: &str, jitter: f64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.tries >= TRIES_MAX {
            let reason = format!("given up after {TRIES_MAX} tries: {answer}");
            return self.finish(id, State::Failed { at: now, reason }, answer);
        }
        let wait = now.after(backoff(entry.tries, jitter));
        if let State::Waiting { next_try, .. } = &mut entry.state {
            *next_try = wait;
        }
        entry.last_answer = Some(crate::text::one_line(answer, ANSWER_BYTES_MAX));
        self.dirty_entries.insert(id);
    }

    fn note_ticket(&mut self, now: Time, id: EntryId, named: Option<(String, Option<String>)>) {
        let Some(entry) = self.entries.get(&id) else { return };
        let Some(ticket) = &entry.message.ticket else { return };
        let key = (entry.receiver.clone(), entry.group.clone());
        let known = self.tickets.get(&key);
        let Some((reference, url)) =
            named.or_else(|| known.map(|known| (known.reference.clone(), known.url.clone())))
        else {
            return;
        };
        let state = match ticket.action {
            TicketAction::Open | TicketAction::Reopen => TicketState::Open,
            TicketAction::Close => TicketState::Closed,
            TicketAction::Comment => known.map_or(TicketState::Open, |known| known.state),
        };
        let url = url.or_else(|| known.and_then(|known| known.url.clone()));
        let (receiver, group) = key.clone();
        self.tickets.insert(key.clone(), TicketRecord { receiver, group, reference, url, state, at: now });
        self.dirty_tickets.insert(key);
    }

    fn give_up_all(&mut self, now: Time, receiver: &ReceiverName) {
        let ids: Vec<EntryId> = self.waiting.get(receiver).into_iter().flatten().copied().collect();
        for id in ids {
            let reason = format!("there is no receiver {receiver} any more");
            self.finish(id, State::Failed { at: now, reason: reason.clone() }, &reason);
        }
    }
}

/// A message on its way into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub receiver: ReceiverName,
    /// What is told at most once.
    pub key: DedupeKey,
    /// What else it tells, and need not be told after it.
    pub also: Vec<DedupeKey>,
    /// About which group.
    pub group: GroupId,
    /// What is told.
    pub message: Message,
    /// Why it is told, in words.
    pub why: String,
    /// Not before then.
    pub due: Time,
    /// Whether it may go alone.
    pub manner: Manner,
}

/// The wait after so many tries: doubling, up to [`BACKOFF_MAX`]; between half of it and all of it.
fn backoff(tries: u32, jitter: f64) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(20));
    let whole = doubled.min(BACKOFF_MAX);
    whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

fn earlier(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
