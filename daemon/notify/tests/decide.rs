//! Who is told of what: each line of the table changes one thing about the same crash.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;

use holdfast_notify::decide::{Told, moved_key};
use holdfast_notify::event::{
    Change, DedupeKey, Event, FirstBad, Flow, GroupId, Origin, OsStage, Phase, ReceiverName,
};
use holdfast_notify::outbox::{Stored, TicketState};
use holdfast_notify::phones::phone_of;
use holdfast_notify::rules::{Raw, Rules};
use holdfast_notify::{Decision, Message, Outbox, PhoneTrouble, Trouble, decide, decide_phone};
use support::{at, build, event};

const RULES: &str = "
receivers:
- {name: chat, kind: slack, url: {env: U}}
- {name: gl, kind: gitlab, token: {env: T}, project: a/b}
- {name: jira, kind: jira, base: 'https://j', token: {env: T}, project: A}
people:
- {email: ann@example.com, name: Ann, ids: {chat: U1, gl: '7'}}
owners:
- {path: 'src/chat/**', owner: ann@example.com}
- {module: Mooring, owner: bob@example.com, tracker: jira}
urgent: {to: [chat]}
tickets: {tracker: gl, comment_every_minutes: 30}
hold_back:
- {match: {simulated: true}, reason: pretend phones}
- {match: {os_beta: true, kind: crash}, reason: betas}
- {match: {signature: 'TestCrash$'}, reason: the debug menu}
- {match: {phone: 'bad-*'}, reason: a broken phone}
";

fn rules(yaml: &str) -> Rules {
    serde_yaml::from_str::<Raw>(yaml).unwrap().check().unwrap()
}

/// One decision as a line: who, under which key, and why.
fn line(decision: &Decision) -> String {
    match decision {
        Decision::Send(letter) => {
            let why = &letter.why;
            let calls: Vec<&str> =
                letter.message.mentions.iter().map(|mention| mention.id.as_str()).collect();
            let ticket = letter.message.ticket.as_ref();
            let ticket = ticket.map_or_else(String::new, |t| format!(" {:?} {:?}", t.action, t.assignees));
            let wait = letter.due.since(at(0)).as_secs();
            format!("send {} [{}] calls {calls:?}{ticket} after {wait} s: {why}", letter.receiver, letter.key)
        }
        Decision::Held { letter, reason } => format!("held {}: {reason}", letter.receiver),
    }
}

fn lines(change: impl Fn(&mut Event), told: &Told) -> Vec<String> {
    let mut event = event();
    change(&mut event);
    decide(&rules(RULES), &event, told).iter().map(line).collect()
}

fn ticket(state: TicketState) -> Told {
    let mut told = Told::default();
    told.tickets.insert(ReceiverName::from("gl"), (state, at(-600_000)));
    told
}

/// A name, what is changed about the crash, and the only decision.
type Example = (&'static str, fn(&mut Event), &'static str);

#[test]
fn each_crash_finds_its_way() {
    let table: Vec<Example> = vec![
        (
            "beside the main flow",
            |_| {},
            "send gl [ticket/gl/g1] calls [] Open [\"7\"] after 0 s: a ticket is opened for ann@example.com: owner rule \
             path src/chat/**",
        ),
        (
            "the second rule",
            |event| event.stack[1].file = Some("src/video/x.cpp".to_owned()),
            "send jira [ticket/jira/g1] calls [] Open [] after 0 s: a ticket is opened for bob@example.com, who has no id \
             there, so nobody is assigned: owner rule module Mooring",
        ),
        (
            "no rule",
            |event| event.stack.clear(),
            "held gl: no owner rule fits, and there is no default_owner",
        ),
        (
            "in the main flow",
            |event| event.flow = Flow::Main,
            "send chat [chat/chat/g1/b1] calls [\"U1\"] after 0 s: urgent, because it is in the main flow; Ann is called",
        ),
        (
            "at launch, by a stranger",
            |event| {
                event.phase = Some(Phase::InLaunch);
                event.build = Some(build("b2"));
                event
                    .build
                    .as_mut()
                    .into_iter()
                    .for_each(|build| build.author = Some("eve@example.com".to_owned()));
            },
            "send chat [chat/chat/g1/b2] calls [] after 0 s: urgent, because it is at launch; eve@example.com has no id \
             for chat, so nobody is called",
        ),
        (
            "before main, without a build",
            |event| {
                event.phase = Some(Phase::BeforeMain);
                event.build = None;
            },
            "send chat [chat/chat/g1/-] calls [] after 0 s: urgent, because it is before main; the build names no author, \
             so nobody is called",
        ),
        ("simulated", |event| event.origin = Origin::Simulated, "held -: held back: pretend phones"),
        ("a beta", |event| event.os_stage = OsStage::Beta, "held -: held back: betas"),
        (
            "a beta, but no crash",
            |event| {
                event.os_stage = OsStage::Beta;
                event.kind = "hang".to_owned();
                event.stack.clear();
            },
            "held gl: no owner rule fits, and there is no default_owner",
        ),
        (
            "by signature",
            |event| event.title = "abort in TestCrash".to_owned(),
            "held -: held back: the debug menu",
        ),
        (
            "a broken phone alone",
            |event| event.phones = vec!["bad-1".to_owned()],
            "held -: held back: a broken phone",
        ),
    ];
    for (name, change, expected) in table {
        assert_eq!(lines(change, &Told::default()), [expected], "{name}");
    }
}

#[test]
fn a_broken_phone_does_not_hide_what_another_saw() {
    let told = lines(|event| event.phones = vec!["bad-1".to_owned(), "lab-2".to_owned()], &Told::default());
    assert!(told[0].starts_with("send gl"), "{told:?}");
}

#[test]
fn a_chat_hears_once_per_group_and_build() {
    let mut told = Told::default();
    told.keys.insert(DedupeKey::from("chat/chat/g1/b1"));
    let main = |event: &mut Event| event.flow = Flow::Main;
    assert_eq!(lines(main, &told), ["held chat: chat was told of this group in this build before"]);
    let other = lines(
        |event| {
            main(event);
            event.build = Some(build("b2"));
            event.change = Change::AgainInAnotherBuild;
        },
        &told,
    );
    assert!(other[0].starts_with("send chat [chat/chat/g1/b2]"), "{other:?}");
}

#[test]
fn a_ticket_is_commented_closed_and_opened_again() {
    let again = |event: &mut Event| {
        event.change = Change::AgainInAnotherBuild;
        event.build = Some(build("b2"));
    };
    let regressed = |event: &mut Event| event.change = Change::Regressed;
    let fixed = |event: &mut Event| event.change = Change::Fixed;
    let (open, closed) = (ticket(TicketState::Open), ticket(TicketState::Closed));
    let found = lines(again, &open);
    // It was written to ten minutes ago, and half an hour must pass.
    assert!(
        found[0].starts_with("send gl [comment/gl/g1/seen/b2] calls [] Comment [\"7\"] after 1200 s"),
        "{found:?}"
    );
    let found = lines(again, &closed);
    assert_eq!(found, ["held gl: its ticket is closed, and this build is not newer than the mend"]);
    let found = lines(regressed, &closed);
    assert!(found[0].starts_with("send gl [reopen/gl/g1/1794999400000] calls [] Reopen"), "{found:?}");
    let found = lines(fixed, &open);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("send gl [close/gl/g1/1794999400000] calls [] Close"), "{found:?}");
    assert_eq!(lines(fixed, &closed), ["held -: the group is fixed and has no open ticket"]);
    // While the ticket is being opened nothing opens a second one.
    let mut opening = Told::default();
    opening.opening.insert(ReceiverName::from("gl"));
    let found = lines(again, &opening);
    assert!(found[0].contains("Comment"), "{found:?}");
    let found = lines(fixed, &opening);
    assert!(found[0].starts_with("send gl [close/gl/g1/0] calls [] Close"), "{found:?}");
}

#[test]
fn the_list_of_what_is_told_leaves_out_all_others() {
    let rules = rules(&format!("{RULES}only:\n- {{bundle_id: 'com.other.*'}}\n"));
    let found: Vec<String> = decide(&rules, &event(), &Told::default()).iter().map(line).collect();
    assert_eq!(found, ["held -: held back: it is not on the list of what is told (`only`)"]);
}

#[test]
fn an_author_of_the_first_bad_commit_goes_before_that_of_the_build() {
    let found = lines(
        |event| {
            event.flow = Flow::Main;
            event.first_bad = Some(holdfast_notify::event::FirstBad {
                commit: "feedfacefeedface".to_owned(),
                author: Some("bob@example.com".to_owned()),
                percent: 95,
            });
        },
        &Told::default(),
    );
    assert!(found[0].ends_with("bob@example.com has no id for chat, so nobody is called"), "{found:?}");
}

#[test]
fn without_rules_nothing_is_told_and_the_reason_is() {
    let found: Vec<String> = decide(&rules("{}"), &event(), &Told::default()).iter().map(line).collect();
    assert_eq!(found, ["held -: the rules name no tracker (`tickets`)"]);
}

#[test]
fn a_digest_leaves_on_its_round_instant_for_all_groups() {
    let rules = rules(&format!("{RULES}digest: {{to: [chat], every_minutes: 60}}\n"));
    let mut other = event();
    other.group = "g2".into();
    other.at = at(60_000);
    for event in [event(), other] {
        let found: Vec<String> = decide(&rules, &event, &Told::default()).iter().map(line).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        // 11:06:40 and 11:07:40 → 11:07 and 12:07.
        assert!(found[1].contains("collected for the digest at 2026-11-18T1"), "{found:?}");
        assert!(found[1].contains(":07:00.000Z"), "{found:?}");
    }
}

fn bad(event: &mut Event) {
    event.change = Change::Named;
    event.first_bad = Some(FirstBad {
        commit: "c0ffee00c0ffee00".to_owned(),
        author: Some("ann@example.com".to_owned()),
        percent: 93,
    });
}

/// What the queue knows after these decisions.
fn told_of(decisions: Vec<Decision>) -> Told {
    let mut outbox = Outbox::default();
    for decision in decisions {
        match decision {
            Decision::Send(letter) => outbox.accept(at(0), *letter),
            Decision::Held { letter, reason } => outbox.hold(at(0), *letter, reason),
        };
    }
    Told::of(&outbox, &GroupId::from("g1"))
}

#[test]
fn who_was_told_of_a_group_is_told_of_its_commit_once() {
    let urgent = |event: &mut Event| event.flow = Flow::Main;
    let seen = |change: &dyn Fn(&mut Event)| {
        let mut event = event();
        change(&mut event);
        decide(&rules(RULES), &event, &Told::default())
    };
    // Nobody knows of the group.
    let held = "held -: nobody was told of the group, or all know c0ffee00c0ff already";
    assert_eq!(lines(bad, &Told::default()), [held]);
    // A chat does, or a tracker.
    let chat = "send chat [named/chat/g1/c0ffee00c0ffee00] calls [\"U1\"] after 0 s: chat was told of the group, and now its \
                commit is known; Ann is called";
    assert_eq!(lines(bad, &told_of(seen(&urgent))), [chat]);
    let ticket = "send gl [named/gl/g1/c0ffee00c0ffee00] calls [] Comment [\"7\"] after 0 s: its ticket gets a comment: the \
                  commit that brought it is known";
    assert_eq!(lines(bad, &told_of(seen(&|_| {}))), [ticket]);
    // Whoever has heard it, alone or with the crash itself, does not hear it again.
    let named = |event: &mut Event| {
        urgent(event);
        bad(event);
        event.change = Change::New;
    };
    assert_eq!(lines(bad, &told_of(seen(&named))), [held]);
    let mut follow_up = event();
    bad(&mut follow_up);
    let mut all = seen(&urgent);
    all.extend(decide(&rules(RULES), &follow_up, &told_of(seen(&urgent))));
    assert_eq!(lines(bad, &told_of(all)), [held]);
    // The message names what it is about.
    let message = Message::about(&follow_up);
    assert!(
        message.title.starts_with("the commit that brought it is found: EXC_BAD_ACCESS"),
        "{}",
        message.title
    );
    let fact = ("First bad commit".to_owned(), "c0ffee00c0ff by ann@example.com, 93 % sure".to_owned());
    assert!(message.facts.contains(&fact), "{:?}", message.facts);
}

#[test]
fn the_ticket_of_a_group_without_crashes_says_where_they_went() {
    let moved = |event: &mut Event| {
        event.change = Change::Moved;
        event.moved_to = Some(GroupId::from("g2"));
    };
    let goes_on =
        "send gl [moved/gl/g1/g2] calls [] Comment [] after 0 s: its ticket goes on as that of group g2";
    assert_eq!(lines(moved, &ticket(TicketState::Open)), [goes_on]);
    let mut told = ticket(TicketState::Open);
    told.heirs.insert(ReceiverName::from("gl"));
    let closed = "send gl [moved/gl/g1/g2] calls [] Close [] after 0 s: its ticket is closed, because its crashes count with \
                  group g2";
    assert_eq!(lines(moved, &told), [closed]);
    let held = "held -: its crashes went to group g2, and it has no open ticket";
    assert_eq!(lines(moved, &Told::default()), [held]);
    assert_eq!(lines(moved, &ticket(TicketState::Closed)), [held]);
}

#[test]
fn what_was_told_of_crashes_goes_with_them() {
    let [chat, from, to] = ["chat", "g1", "g2"];
    let only = BTreeSet::from(["b1".to_owned()]);
    let table = [
        ("chat/chat/g1/b1", Some("chat/chat/g2/b1")),
        ("chat/chat/g1/b2", None),
        ("chat/chat/g11/b1", None),
        ("chat/other/g1/b1", None),
        ("digest/chat/g1/seen/b1", Some("digest/chat/g2/seen/b1")),
        ("comment/chat/g1/seen/b1", Some("comment/chat/g2/seen/b1")),
        ("ticket/chat/g1", None),
        ("named/chat/g1/b1", None),
    ];
    for (key, expected) in table {
        let (receiver, from, to) = (ReceiverName::from(chat), GroupId::from(from), GroupId::from(to));
        let found = moved_key(&receiver, &DedupeKey::from(key), &from, &to, Some(&only));
        assert_eq!(found, expected.map(DedupeKey::from), "{key}");
    }
    // In the queue: the author of the crash is not called for it again, nor after a restart.
    let mut urgent = event();
    urgent.flow = Flow::Main;
    let mut outbox = Outbox::default();
    for decision in decide(&rules(RULES), &urgent, &Told::default()) {
        let Decision::Send(letter) = decision else { continue };
        outbox.accept(at(0), *letter);
    }
    let (from, to) = (GroupId::from(from), GroupId::from(to));
    outbox.follow(&from, &to, |receiver, key| moved_key(receiver, key, &from, &to, None));
    let again = Outbox::restore(Stored { entries: outbox.changes().entries, ..Stored::default() });
    urgent.group = to.clone();
    for outbox in [&outbox, &again] {
        let lines: Vec<String> =
            decide(&rules(RULES), &urgent, &Told::of(outbox, &to)).iter().map(line).collect();
        assert_eq!(lines, ["held chat: chat was told of this group in this build before"]);
    }
}

#[test]
fn phones_that_lose_crashes_are_told_of_once_a_day() {
    let with = |more: &str| rules(&format!("{RULES}{more}"));
    let phones = "phones: {to: [chat]}\n";
    let near = PhoneTrouble {
        trouble: Trouble::Near,
        at: at(0),
        udid: "00008110-1".to_owned(),
        name: "lab-7".to_owned(),
        place: Some("rack r1, slot 1-2".to_owned()),
        bug_type: "309".to_owned(),
        process: "Mooring".to_owned(),
        waiting: 18,
        limit: Some(25),
        lost: 2,
        link: None,
        origin: Origin::Real,
    };
    let lines = |rules: &Rules, phone: &PhoneTrouble, told: &[DedupeKey]| -> Vec<String> {
        decide_phone(rules, phone, |key| told.contains(key)).iter().map(line).collect()
    };
    let day = at(0).as_unix_ms() / 86_400_000;
    let key = |day: i64| DedupeKey(format!("phone/chat/00008110-1/309/near/{day}"));
    let told = format!(
        "send chat [{}] calls [] after 0 s: `phones`: it will soon write no more reports; told once a day",
        key(day)
    );
    assert_eq!(lines(&with(phones), &near, &[]), [told]);
    assert!(lines(&with(phones), &near, &[key(day)]).is_empty(), "it was told today");
    assert_eq!(lines(&with(phones), &near, &[key(day - 1)]).len(), 1, "it was told yesterday");
    assert!(lines(&rules(RULES), &near, &[]).is_empty(), "no rule is about phones");
    let lost = PhoneTrouble { trouble: Trouble::Lost, ..near.clone() };
    assert_eq!(lines(&with(phones), &lost, &[key(day)]).len(), 1, "another trouble is news");
    for held in [
        PhoneTrouble { origin: Origin::Simulated, ..near.clone() },
        PhoneTrouble { name: "bad-3".to_owned(), ..near.clone() },
    ] {
        let found = lines(&with(phones), &held, &[]);
        assert!(found[0].starts_with("held chat: held back: "), "{found:?}");
    }
    let Decision::Send(letter) = decide_phone(&with(phones), &lost, |_| false).remove(0) else { return };
    assert_eq!(letter.message.title, "lab-7 lost crashes of Mooring: 2 were not written");
    assert_eq!(phone_of(&letter.group), Some("00008110-1"));
}
