//! Who is told of what: each line of the table changes one thing about the same crash.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use holdfast_notify::event::{Change, DedupeKey, Event, Flow, Origin, OsStage, Phase, ReceiverName};
use holdfast_notify::outbox::TicketState;
use holdfast_notify::rules::{Raw, Rules};
use holdfast_notify::{Decision, Told, decide};
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
