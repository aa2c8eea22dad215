//! The queue under random loads, answers, restarts and clocks: never more than the limit in any window, nothing accepted
//! is lost or told as new twice, and those of one group keep their order.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_notify::TicketAction;
use holdfast_notify::event::{DedupeKey, GroupId, ReceiverName};
use holdfast_notify::message::{Message, Ticket};
use holdfast_notify::outbox::{
    Accepted, BACKOFF_FIRST, EntryId, KEPT, Letter, Manner, Next, Outbox, Outcome, State, Stored, TRIES_MAX,
    TicketState,
};
use holdfast_notify::rate::Limit;
use holdfast_wire::time::Time;
use proptest::prelude::*;
use support::{at, event};

fn letter(receiver: &str, group: &str, key: &str, due: i64) -> Letter {
    Letter {
        receiver: ReceiverName::from(receiver),
        key: DedupeKey::from(key),
        also: Vec::new(),
        group: GroupId::from(group),
        message: Message::about(&event()),
        why: String::new(),
        due: at(due),
        manner: Manner::Alone,
    }
}

fn ticket(group: &str, key: &str, action: TicketAction) -> Letter {
    let mut letter = letter("t", group, key, 0);
    letter.message.ticket =
        Some(Ticket { action, marker: format!("holdfast-{group}"), assignees: Vec::new(), module: None });
    letter
}

fn limits(messages: u32) -> BTreeMap<ReceiverName, Vec<Limit>> {
    let limit = vec![Limit { messages, window_ms: 60_000 }];
    ["a", "b", "t"].into_iter().map(|name| (ReceiverName::from(name), limit.clone())).collect()
}

#[test]
fn the_ticket_of_an_emptied_group_is_that_of_the_other_where_this_gets_none() {
    let accept = |outbox: &mut Outbox, group: &str| {
        outbox.accept(at(0), ticket(group, &format!("ticket/t/{group}"), TicketAction::Open));
    };
    let (from, to, receiver) = (GroupId::from("g1"), GroupId::from("g2"), ReceiverName::from("t"));
    for other_opens in [false, true] {
        let mut outbox = outbox(10);
        accept(&mut outbox, "g1");
        let Next::Send(parcel) = outbox.next(at(0)) else { panic!("it is due") };
        let opened = Outcome::Accepted { ticket: Some(("T-1".to_owned(), None)), answer: String::new() };
        outbox.answered(at(1), parcel.id, opened, 0.0);
        if other_opens {
            accept(&mut outbox, "g2");
        }
        outbox.hand_over_tickets(&from, &to);
        let found = outbox.ticket(&receiver, &to).map(|ticket| ticket.reference.as_str());
        assert_eq!(found, (!other_opens).then_some("T-1"));
        let stored = outbox.changes().tickets.iter().any(|ticket| ticket.group == to);
        assert_eq!(stored, !other_opens, "it is kept over a restart");
    }
}

fn outbox(messages: u32) -> Outbox {
    let mut outbox = Outbox::default();
    outbox.set_limits(limits(messages));
    outbox
}

fn good() -> Outcome {
    Outcome::Accepted { ticket: None, answer: "ok".to_owned() }
}

fn later() -> Outcome {
    Outcome::Later { quiet: None, answer: "status 500".to_owned() }
}

/// What is on disk: only what the queue named as changed.
#[derive(Default, Clone)]
struct Disk {
    entries: BTreeMap<EntryId, holdfast_notify::Entry>,
    tickets: BTreeMap<(ReceiverName, GroupId), holdfast_notify::outbox::TicketRecord>,
    sends: BTreeMap<ReceiverName, holdfast_notify::rate::Sends>,
}

impl Disk {
    fn keep(&mut self, outbox: &mut Outbox) {
        let changes = outbox.changes();
        // Through their stored form, as the daemon keeps them.
        for entry in changes.entries {
            let text = serde_json::to_string(&entry).unwrap();
            self.entries.insert(entry.id, serde_json::from_str(&text).unwrap());
        }
        for ticket in changes.tickets {
            self.tickets.insert((ticket.receiver.clone(), ticket.group.clone()), ticket);
        }
        for (name, sends) in changes.sends {
            let text = serde_json::to_string(&sends).unwrap();
            self.sends.insert(name, serde_json::from_str(&text).unwrap());
        }
        for id in changes.gone {
            self.entries.remove(&id);
        }
    }

    fn start(&self, messages: u32) -> Outbox {
        let mut outbox = Outbox::restore(Stored {
            entries: self.entries.values().cloned().collect(),
            tickets: self.tickets.values().cloned().collect(),
            sends: self.sends.clone().into_iter().collect(),
        });
        outbox.set_limits(limits(messages));
        outbox
    }
}

#[derive(Debug, Clone)]
enum Step {
    Accept { receiver: bool, group: u8, number: u8 },
    Send { fails: bool },
    Wait(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0..4_u8, 0..40_u8).prop_map(|(receiver, group, number)| Step::Accept { receiver, group, number }),
        6 => prop::bool::weighted(0.3).prop_map(|fails| Step::Send { fails }),
        2 => (0..30_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// What a run left behind, for its laws.
#[derive(Default)]
struct Seen {
    attempts: BTreeMap<ReceiverName, Vec<Time>>,
    delivered: Vec<(Time, EntryId)>,
}

fn serve(outbox: &mut Outbox, disk: &mut Disk, now: i64, fails: bool, seen: &mut Seen) -> Option<Next> {
    let next = outbox.next(at(now));
    let Next::Send(parcel) = next else { return Some(next) };
    // Recorded before it leaves.
    disk.keep(outbox);
    seen.attempts.entry(parcel.receiver.clone()).or_default().push(at(now));
    if !fails {
        seen.delivered.extend(parcel.entries.iter().map(|id| (at(now), *id)));
    }
    outbox.answered(at(now), parcel.id, if fails { later() } else { good() }, 0.5);
    disk.keep(outbox);
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_laws_of_the_queue_hold(steps in prop::collection::vec(step(), 1..150), messages in 1_u32..6) {
        let mut outbox = outbox(messages);
        let (mut disk, mut seen, mut now) = (Disk::default(), Seen::default(), 0);
        let mut accepted: BTreeMap<DedupeKey, EntryId> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Accept { receiver, group, number } => {
                    let receiver = if receiver { "a" } else { "b" };
                    let key = format!("{receiver}/{group}/{number}");
                    let found = outbox.accept(at(now), letter(receiver, &group.to_string(), &key, now));
                    disk.keep(&mut outbox);
                    let key = DedupeKey::from(key.as_str());
                    match (found, accepted.get(&key)) {
                        (Accepted::New(id), None) => drop(accepted.insert(key, id)),
                        (Accepted::Already(id), Some(known)) => prop_assert_eq!(id, *known),
                        (found, known) => return Err(TestCaseError::fail(format!("{found:?} for {known:?}"))),
                    }
                }
                Step::Send { fails } => drop(serve(&mut outbox, &mut disk, now, fails, &mut seen)),
                Step::Wait(ms) => now += ms,
                Step::Restart => outbox = disk.start(messages),
            }
        }
        // Faults stop, and everything must arrive.
        for _ in 0..2_000 {
            match serve(&mut outbox, &mut disk, now, false, &mut seen) {
                Some(Next::WakeAt(wake)) => {
                    prop_assert!(wake > at(now), "a wake lies ahead");
                    now = wake.as_unix_ms() - at(0).as_unix_ms();
                }
                Some(Next::Idle) => break,
                Some(Next::Send(_)) | None => {}
            }
        }
        for times in seen.attempts.values() {
            for run in times.windows(messages as usize + 1) {
                prop_assert!(run[messages as usize].since(run[0]) >= Duration::from_secs(60), "{run:?}");
            }
        }
        for (key, id) in &accepted {
            let entry = outbox.entry(*id).unwrap();
            let told = seen.delivered.iter().filter(|(_, sent)| sent == id).count();
            match &entry.state {
                State::Sent { .. } => prop_assert_eq!(told, 1, "{} is told once when every answer came", key),
                State::Failed { .. } => prop_assert!(entry.tries >= TRIES_MAX, "{}", key),
                other => return Err(TestCaseError::fail(format!("{key} is {other:?}"))),
            }
        }
        let mut last: BTreeMap<(ReceiverName, GroupId), EntryId> = BTreeMap::new();
        for (_, id) in &seen.delivered {
            let entry = outbox.entry(*id).unwrap();
            let before = last.insert((entry.receiver.clone(), entry.group.clone()), *id);
            prop_assert!(before.is_none_or(|before| before < *id), "{before:?} was told before {id:?}");
        }
    }
}

#[test]
fn a_message_whose_answer_was_lost_is_sent_again_under_the_same_key() {
    let mut outbox = outbox(5);
    let mut disk = Disk::default();
    outbox.accept(at(0), letter("a", "g", "k", 0));
    let Next::Send(first) = outbox.next(at(0)) else { panic!("it is due") };
    disk.keep(&mut outbox);
    let mut outbox = disk.start(5);
    let Next::Send(second) = outbox.next(at(1)) else { panic!("it waits again") };
    assert_eq!((first.key, first.id), (second.key, second.id));
    assert_eq!(outbox.entry(second.id).unwrap().tries, 2);
}

#[test]
fn a_restart_does_not_burst() {
    let mut outbox = outbox(2);
    let mut disk = Disk::default();
    for number in [0, 10] {
        outbox.accept(at(number), letter("a", &format!("g{number}"), &format!("k{number}"), number));
        let Next::Send(parcel) = outbox.next(at(number)) else { panic!("there is room") };
        outbox.answered(at(number + 10), parcel.id, good(), 0.0);
    }
    outbox.accept(at(20), letter("a", "g9", "k9", 20));
    disk.keep(&mut outbox);
    let mut outbox = disk.start(2);
    // The first was sent at 0, and may have arrived as late as its answer.
    assert_eq!(outbox.next(at(100)), Next::WakeAt(at(60_010)));
}

#[test]
fn more_than_may_be_sent_goes_in_one_digest() {
    let mut outbox = outbox(3);
    for number in 0..14 {
        outbox.accept(at(0), letter("a", &format!("g{number}"), &format!("k{number}"), 0));
    }
    let Next::Send(first) = outbox.next(at(0)) else { panic!("there is room") };
    assert_eq!(first.entries.len(), 10);
    assert_eq!(first.message.title, "10 messages in one, 4 more wait");
    assert_eq!(first.message.items.len(), 10);
    outbox.answered(at(5), first.id, good(), 0.0);
    assert!(
        first
            .entries
            .iter()
            .all(|id| { matches!(outbox.entry(*id).unwrap().state, State::Sent { together_with: 9, .. }) })
    );
    let Next::Send(second) = outbox.next(at(10)) else { panic!("there is room") };
    assert_eq!(second.entries.len(), 4);
    assert_ne!(first.key, second.key);
}

#[test]
fn a_receiver_that_wants_quiet_gets_it_and_others_do_not_wait_for_it() {
    let mut outbox = outbox(5);
    outbox.accept(at(0), letter("a", "g", "k1", 0));
    outbox.accept(at(0), letter("b", "g", "k2", 0));
    let Next::Send(parcel) = outbox.next(at(0)) else { panic!("it is due") };
    assert_eq!(parcel.receiver, ReceiverName::from("a"));
    let quiet = Some(Duration::from_secs(600));
    outbox.answered(at(0), parcel.id, Outcome::Later { quiet, answer: "locked out".to_owned() }, 0.0);
    let Next::Send(parcel) = outbox.next(at(0)) else { panic!("the other is due") };
    assert_eq!(parcel.receiver, ReceiverName::from("b"));
    outbox.answered(at(0), parcel.id, good(), 0.0);
    assert!(matches!(outbox.next(at(10_000)), Next::WakeAt(wake) if wake == at(600_000)));
    assert!(matches!(outbox.next(at(600_000)), Next::Send(_)));
}

#[test]
fn waits_double_and_a_message_is_given_up_with_its_reason() {
    let mut outbox = outbox(5);
    outbox.accept(at(0), letter("a", "g", "k", 0));
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..TRIES_MAX {
        let parcel = loop {
            match outbox.next(at(now)) {
                Next::Send(parcel) => break parcel,
                Next::WakeAt(wake) => {
                    waits.push(wake.since(at(now)));
                    now = wake.as_unix_ms() - at(0).as_unix_ms();
                }
                Next::Idle => panic!("it waits"),
            }
        };
        outbox.answered(at(now), parcel.id, later(), 1.0);
    }
    assert_eq!(waits[..3], [BACKOFF_FIRST, BACKOFF_FIRST * 2, BACKOFF_FIRST * 4]);
    assert!(waits.iter().sum::<Duration>() > Duration::from_secs(86_400), "a receiver may be down overnight");
    let entry = outbox.entries().next().unwrap();
    let State::Failed { reason, .. } = &entry.state else { panic!("{entry:?}") };
    assert_eq!(reason, "given up after 20 tries: status 500");
    assert_eq!(outbox.next(at(now)), Next::Idle);
    // What was never told may be told when it happens again.
    assert!(matches!(outbox.accept(at(now), letter("a", "g", "k", 0)), Accepted::New(_)));
    assert!(matches!(outbox.next(at(now)), Next::Send(_)));
}

#[test]
fn comments_that_wait_are_one_with_the_newest_numbers() {
    let mut outbox = outbox(9);
    outbox.accept(at(0), ticket("g", "open", TicketAction::Open));
    let Next::Send(open) = outbox.next(at(0)) else { panic!("it is due") };
    outbox.accept(at(1), ticket("g", "c1", TicketAction::Comment));
    assert!(matches!(outbox.accept(at(2), ticket("g", "c2", TicketAction::Comment)), Accepted::Instead(_)));
    assert!(matches!(outbox.accept(at(3), ticket("g", "c1", TicketAction::Comment)), Accepted::Already(_)));
    let named = Some(("17".to_owned(), Some("https://t/17".to_owned())));
    outbox.answered(at(4), open.id, Outcome::Accepted { ticket: named, answer: String::new() }, 0.0);
    let record = outbox.ticket(&ReceiverName::from("t"), &GroupId::from("g")).unwrap();
    assert_eq!((record.reference.as_str(), record.state), ("17", TicketState::Open));
    let Next::Send(comment) = outbox.next(at(5)) else { panic!("it is due") };
    assert_eq!(comment.ticket.as_deref(), Some("17"), "the comment knows its ticket");
    assert_eq!(comment.key, DedupeKey::from("c2"));
    outbox.answered(at(6), comment.id, good(), 0.0);
    outbox.accept(at(7), ticket("g", "close", TicketAction::Close));
    let Next::Send(close) = outbox.next(at(8)) else { panic!("it is due") };
    outbox.answered(at(9), close.id, good(), 0.0);
    let record = outbox.ticket(&ReceiverName::from("t"), &GroupId::from("g")).unwrap();
    assert_eq!(record.state, TicketState::Closed);
}

#[test]
fn what_is_held_back_is_on_record_and_may_go_when_the_rules_change() {
    let mut outbox = outbox(5);
    outbox.hold(at(0), letter("a", "g", "k", 0), "betas".to_owned());
    assert_eq!(outbox.next(at(0)), Next::Idle);
    assert_eq!(outbox.keys(&GroupId::from("g")).count(), 0, "nobody was told");
    assert!(matches!(outbox.accept(at(1), letter("a", "g", "k", 0)), Accepted::New(_)));
    assert!(matches!(outbox.next(at(1)), Next::Send(_)));
}

#[test]
fn what_waits_for_a_receiver_that_is_gone_is_given_up() {
    let mut outbox = outbox(5);
    outbox.accept(at(0), letter("gone", "g", "k", 0));
    assert_eq!(outbox.next(at(0)), Next::Idle);
    let State::Failed { reason, .. } = &outbox.entries().next().unwrap().state else {
        panic!("it is given up")
    };
    assert_eq!(reason, "there is no receiver gone any more");
}

#[test]
fn a_digest_waits_for_its_round_and_lets_the_urgent_past() {
    let mut outbox = outbox(5);
    for number in 0..3 {
        let mut letter = letter("a", "g", &format!("d{number}"), 50_000);
        letter.manner = Manner::Digest;
        outbox.accept(at(0), letter);
    }
    assert_eq!(outbox.next(at(0)), Next::WakeAt(at(50_000)));
    outbox.accept(at(10), letter("a", "g", "urgent", 10));
    let Next::Send(urgent) = outbox.next(at(10)) else { panic!("it is due") };
    assert_eq!(urgent.key, DedupeKey::from("urgent"));
    outbox.answered(at(11), urgent.id, good(), 0.0);
    let Next::Send(digest) = outbox.next(at(50_000)) else { panic!("it is due") };
    assert_eq!(digest.entries.len(), 3);
}

#[test]
fn what_is_done_is_small_and_forgotten_when_nobody_looks_back_any_more() {
    let mut outbox = outbox(5);
    let mut disk = Disk::default();
    outbox.accept(at(0), letter("a", "g", "k1", 0));
    outbox.hold(at(0), letter("a", "g", "k2", 0), "betas".to_owned());
    let Next::Send(parcel) = outbox.next(at(0)) else { panic!("it is due") };
    assert!(!parcel.message.stack.is_empty());
    outbox.answered(at(1), parcel.id, good(), 0.0);
    assert!(outbox.entries().all(|entry| entry.message.stack.is_empty() && !entry.message.title.is_empty()));
    outbox.accept(at(2), letter("b", "g", "k3", 1_000_000));
    disk.keep(&mut outbox);
    let late = i64::try_from(KEPT.as_millis()).unwrap();
    outbox.prune(at(late - 1));
    assert_eq!(outbox.entries().count(), 3);
    outbox.prune(at(late));
    disk.keep(&mut outbox);
    let left: Vec<_> = outbox.entries().map(|entry| entry.key.clone()).collect();
    assert_eq!(left, [DedupeKey::from("k3")], "what waits stays");
    assert_eq!(disk.entries.len(), 1);
}

#[test]
fn one_bad_message_does_not_take_a_whole_digest_with_it() {
    let mut outbox = outbox(2);
    for number in 0..3 {
        outbox.accept(at(0), letter("a", &format!("g{number}"), &format!("k{number}"), 0));
    }
    let Next::Send(digest) = outbox.next(at(0)) else { panic!("there is room") };
    assert_eq!(digest.entries.len(), 3);
    outbox.answered(at(1), digest.id, Outcome::Refused { answer: "no".to_owned() }, 0.0);
    assert!(outbox.entries().all(holdfast_notify::Entry::waits));
    // Alone, a refusal is final.
    let mut outbox = Outbox::default();
    outbox.set_limits(limits(2));
    outbox.accept(at(0), letter("a", "g", "k", 0));
    let Next::Send(one) = outbox.next(at(0)) else { panic!("there is room") };
    outbox.answered(at(1), one.id, Outcome::Refused { answer: "no".to_owned() }, 0.0);
    assert!(matches!(outbox.entry(one.id).unwrap().state, State::Failed { .. }));
}
