//! The queue of messages and its records. What is in it is `daemon/notify`'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_notify::decide::{Told, moved_key};
use holdfast_notify::event::{GroupId, ReceiverName};
use holdfast_notify::outbox::{EntryId, Letter, State, Stored, TicketRecord};
use holdfast_notify::phones::phone_of;
use holdfast_notify::rate::{Room, Sends};
use holdfast_notify::rules::Receiver;
use holdfast_notify::{
    Decision, Event, Next, Outbox, Outcome, PhoneTrouble, Rules, decide, decide_phone, outbox,
};
use holdfast_store::codec::{Kind, decode, encode};
use holdfast_store::{Entry, Key, Op, StoreError};
use holdfast_wire::notice::{NoticePlan, NoticeState, NoticeView, ReceiverLimit, ReceiverView};
use holdfast_wire::time::Time;

/// Messages, by number.
pub(crate) const NOTICE: Kind = Kind::new("notice");
/// Tickets, by the number of their key.
pub(crate) const TICKET: Kind = Kind::new("notice-ticket");
/// When receivers were last spoken to, by name.
pub(crate) const SENDS: Kind = Kind::new("notice-sends");

/// The shape of the records so far.
const VERSION: u32 = 1;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    outbox: Outbox,
}

/// What has to be recorded and shown.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// To be recorded.
    pub(crate) ops: Vec<Op>,
    /// As readers see them.
    pub(crate) views: Vec<Arc<NoticeView>>,
    /// What is forgotten.
    pub(crate) gone: Vec<u64>,
}

impl Desk {
    /// The queue as it was recorded.
    ///
    /// # Errors
    /// A record is damaged or newer than this program.
    pub(crate) fn restore(notices: &[Entry], tickets: &[Entry], sends: &[Entry]) -> Result<Self, StoreError> {
        fn read<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
            decode(&entry.key, &entry.value, VERSION)
        }
        let stored = Stored {
            entries: notices.iter().map(read).collect::<Result<_, _>>()?,
            tickets: tickets.iter().map(read).collect::<Result<_, _>>()?,
            sends: sends.iter().map(read).collect::<Result<_, _>>()?,
        };
        Ok(Self { outbox: Outbox::restore(stored) })
    }

    /// Takes the receivers of new rules in.
    pub(crate) fn follow(&mut self, rules: &Rules) {
        self.outbox.set_limits(rules.limits());
    }

    /// Decides about an event. Says whether anything is new to be sent.
    pub(crate) fn tell(&mut self, rules: &Rules, event: &Event, now: Time) -> bool {
        let told = Told::of(&self.outbox, &event.group);
        let told = match &event.moved_to {
            Some(heir) => told.and_heir(&self.outbox, heir),
            None => told,
        };
        let news = self.take_in(decide(rules, event, &told), now);
        if let Some(heir) = &event.moved_to {
            self.outbox.hand_over_tickets(&event.group, heir);
        }
        news
    }

    /// Decides about a phone that loses crash reports. Says whether anything is new to be sent.
    pub(crate) fn tell_of_phone(&mut self, rules: &Rules, phone: &PhoneTrouble, now: Time) -> bool {
        let decisions = decide_phone(rules, phone, |key| self.outbox.knows(key));
        self.take_in(decisions, now)
    }

    /// Crashes of these builds, or all, count into another group from now on: who was told of them is not told again.
    pub(crate) fn follow_crashes(&mut self, from: &str, to: &str, builds: Option<&BTreeSet<String>>) {
        let (from, to) = (GroupId::from(from), GroupId::from(to));
        self.outbox.follow(&from, &to, |receiver, key| moved_key(receiver, key, &from, &to, builds));
    }

    fn take_in(&mut self, decisions: Vec<Decision>, now: Time) -> bool {
        let mut news = false;
        for decision in decisions {
            match decision {
                Decision::Send(letter) => {
                    self.outbox.accept(now, *letter);
                    news = true;
                }
                Decision::Held { letter, reason } => {
                    self.outbox.hold(now, *letter, reason);
                }
            }
        }
        news
    }

    /// What the rules would make of an event for which nothing was told yet.
    pub(crate) fn plan(&self, rules: &Rules, event: &Event) -> Vec<NoticePlan> {
        let known: Vec<_> = self.outbox.keys(&event.group).collect();
        let plan = |told: bool, letter: &Letter, reason: String| NoticePlan {
            told,
            receiver: letter.receiver.to_string(),
            reason,
            key: letter.key.to_string(),
            title: letter.message.title.clone(),
            calls: calls(letter),
            due: letter.due,
            told_before: known.contains(&&letter.key),
        };
        let decisions = decide(rules, event, &Told::default());
        let plans = decisions.iter().map(|decision| match decision {
            Decision::Send(letter) => plan(true, letter, letter.why.clone()),
            Decision::Held { letter, reason } => plan(false, letter, reason.clone()),
        });
        plans.collect()
    }

    /// The receivers of the rules, by name, and how often each may be spoken to.
    pub(crate) fn receivers(&self, rules: &Rules, now: Time) -> Vec<ReceiverView> {
        let view = |receiver: &Receiver| {
            let (waiting, sends) = self.outbox.queue(&receiver.name);
            let limits = receiver.limits.iter().map(|limit| ReceiverLimit {
                messages: limit.messages,
                window_ms: limit.window_ms,
                used: sends.map_or(0, |sends| sends.used(*limit, now)),
            });
            let room = sends.map(|sends| sends.room(&receiver.limits, now));
            ReceiverView {
                name: receiver.name.to_string(),
                kind: receiver.setup.word().to_owned(),
                waiting: waiting as u64,
                limits: limits.collect(),
                not_before: match room {
                    Some(Room::NotBefore(at)) => Some(at),
                    Some(Room::Messages(_)) | None => None,
                },
                wants_quiet: sends.and_then(|sends| sends.quiet_until).is_some_and(|until| until > now),
                last_sent: sends.and_then(|sends| sends.at.back().copied()),
            }
        };
        rules.receivers.values().map(view).collect()
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, now: Time) -> Next {
        self.outbox.next(now)
    }

    /// The crash group of a message.
    pub(crate) fn group_of(&self, id: EntryId) -> String {
        self.outbox.entry(id).map(|entry| entry.group.to_string()).unwrap_or_default()
    }

    /// What a receiver said.
    pub(crate) fn answered(&mut self, now: Time, id: EntryId, outcome: Outcome, jitter: f64) {
        self.outbox.answered(now, id, outcome, jitter);
    }

    /// Forgets what was done long ago.
    pub(crate) fn prune(&mut self, now: Time) {
        self.outbox.prune(now);
    }

    /// Every message as readers see it.
    pub(crate) fn views(&self) -> impl Iterator<Item = Arc<NoticeView>> {
        self.outbox.entries().map(|entry| Arc::new(view(entry)))
    }

    /// What changed since the last call.
    ///
    /// # Errors
    /// The store's, when a record cannot be formed.
    pub(crate) fn changed(&mut self) -> Result<Changed, StoreError> {
        let changes = self.outbox.changes();
        let mut changed = Changed::default();
        for entry in &changes.entries {
            changed.ops.push(Op::put(NOTICE.number(entry.id.0), encode(VERSION, entry)?));
            changed.views.push(Arc::new(view(entry)));
        }
        for ticket in &changes.tickets {
            changed.ops.push(Op::put(ticket_key(ticket)?, encode(VERSION, ticket)?));
        }
        for sends in &changes.sends {
            let sends: &(ReceiverName, Sends) = sends;
            changed.ops.push(Op::put(SENDS.name(&sends.0.0)?, encode(VERSION, sends)?));
        }
        for id in changes.gone {
            changed.ops.push(Op::delete(NOTICE.number(id.0)));
            changed.gone.push(id.0);
        }
        Ok(changed)
    }
}

fn ticket_key(ticket: &TicketRecord) -> Result<Key, StoreError> {
    TICKET.name(&format!("{}/{}", ticket.receiver, ticket.group))
}

/// Who is called, or gets the ticket.
fn calls(letter: &Letter) -> Vec<String> {
    let assignees = letter.message.ticket.iter().flat_map(|ticket| ticket.assignees.iter().cloned());
    letter.message.mentions.iter().map(|mention| mention.name.clone()).chain(assignees).collect()
}

fn view(entry: &outbox::Entry) -> NoticeView {
    let (state, reason, next_try, ended_at) = match &entry.state {
        State::Waiting { next_try, .. } => (NoticeState::Waiting, entry.why.clone(), Some(*next_try), None),
        State::Sent { at, together_with: 0 } => (NoticeState::Sent, entry.why.clone(), None, Some(*at)),
        State::Sent { at, together_with } => {
            let reason = format!("{} (in one message with {together_with} others)", entry.why);
            (NoticeState::Sent, reason, None, Some(*at))
        }
        State::Failed { at, reason } => (NoticeState::Failed, reason.clone(), None, Some(*at)),
        State::Held { reason } => (NoticeState::Held, reason.clone(), None, None),
    };
    NoticeView {
        id: entry.id.0,
        at: entry.at,
        receiver: entry.receiver.to_string(),
        phone: phone_of(&entry.group).and_then(|udid| udid.parse().ok()),
        group: phone_of(&entry.group).map_or_else(|| entry.group.to_string(), |_| String::new()),
        key: entry.key.to_string(),
        title: entry.message.title.clone(),
        state,
        reason,
        tries: entry.tries,
        next_try,
        ended_at,
        last_answer: entry.last_answer.clone(),
    }
}
