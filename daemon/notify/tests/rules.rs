//! The rules file: the sample of the repository is good, and every mistake is told where it stands.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;

use holdfast_notify::event::ReceiverName;
use holdfast_notify::rules::{Mistake, Raw, Rules};

fn check(text: &str) -> Result<Rules, Vec<Mistake>> {
    serde_yaml::from_str::<Raw>(text).unwrap_or_else(|error| panic!("{error}\n{text}")).check()
}

#[test]
fn the_sample_of_the_repository_is_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/notify.yaml");
    let rules = check(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(rules.receivers.len(), 12, "the sample shows every kind");
    let chat = ReceiverName::from("stability-chat");
    assert_eq!(rules.urgent.as_ref().unwrap().to, std::slice::from_ref(&chat));
    let mention = rules.mention(&chat, "Ann Smith <Ann@users.noreply.example.com>").unwrap();
    assert_eq!((mention.name.as_str(), mention.id.as_str()), ("Ann", "ou_7d8a6e6df7621556ce0d21922b676706"));
    let jira = ReceiverName::from("jira");
    assert_eq!(rules.owners[1].tracker.as_ref(), Some(&jira));
    assert_eq!(rules.limits()[&chat].len(), 2, "Feishu counts minutes and seconds");
}

#[test]
fn every_mistake_is_told_where_it_stands() {
    let slack = "receivers:\n- {name: s, kind: slack, url: {env: S}}\n";
    let table = [
        ("receivers:\n- {name: s, kind: slack}\n".to_owned(), "receivers[0]", "`url` is missing"),
        ("receivers:\n- {name: s, kind: slack, url: {}}\n".to_owned(), "receivers[0].url", "one place"),
        (
            "receivers:\n- {name: a b, kind: slack, url: {env: S}}\n".to_owned(),
            "receivers[0].name",
            "a name has",
        ),
        (
            "receivers:\n- {name: s, kind: slack, url: {env: S}, host: x}\n".to_owned(),
            "receivers[0].host",
            "knows url only",
        ),
        (
            "receivers:\n- {name: s, kind: slack, url: {env: S}, per_minute: 0}\n".to_owned(),
            "receivers[0].per_minute",
            "1 to 1000",
        ),
        (
            "receivers:\n- {name: g, kind: github, token: {env: T}, project: mooring}\n".to_owned(),
            "receivers[0].project",
            "owner/name",
        ),
        (
            "receivers:\n- {name: j, kind: jira, token: {env: T}, project: A, base: 'https://u@x'}\n"
                .to_owned(),
            "receivers[0].base",
            "holds no user",
        ),
        (
            "receivers:\n- {name: m, kind: email, host: h, from: nobody, to: [a@b.de]}\n".to_owned(),
            "receivers[0].from",
            "no e-mail address",
        ),
        (
            "receivers:\n- {name: w, kind: webhook, url: {env: S}}\n".to_owned(),
            "receivers[0]",
            "`secret` is missing",
        ),
        (format!("{slack}urgent: {{to: [t]}}\n"), "urgent.to[0]", "no receiver t"),
        (format!("{slack}tickets: {{tracker: s}}\n"), "tickets.tracker", "keeps no tickets"),
        (format!("{slack}people:\n- {{email: a, ids: {{t: x}}}}\n"), "people[0].ids.t", "no receiver t"),
        (format!("{slack}owners:\n- {{owner: a}}\n"), "owners[0]", "would own all"),
        (
            format!("{slack}hold_back:\n- {{match: {{signature: '('}}, reason: x}}\n"),
            "hold_back[0].match.signature",
            "no regular expression",
        ),
        (
            format!("{slack}hold_back:\n- {{match: {{}}, reason: x}}\n"),
            "hold_back[0].match",
            "fit everything",
        ),
        (
            format!("{slack}digest: {{to: [s], every_minutes: 0}}\n"),
            "digest.every_minutes",
            "between 1 minute",
        ),
    ];
    for (text, path, what) in table {
        let mistakes = check(&text).err().unwrap_or_else(|| panic!("no mistake in\n{text}"));
        assert_eq!(mistakes.len(), 1, "{mistakes:?}\n{text}");
        assert_eq!(mistakes[0].path, path, "{mistakes:?}");
        assert!(mistakes[0].what.contains(what), "{mistakes:?}");
    }
}

#[test]
fn a_receiver_with_a_mistake_is_not_missed_as_well() {
    let text = "receivers:\n- {name: s, kind: slack}\nurgent: {to: [s]}\n";
    assert_eq!(check(text).unwrap_err().len(), 1);
}

#[test]
fn a_secret_cannot_be_written_into_the_file() {
    let text = "receivers:\n- {name: s, kind: slack, url: 'https://hooks.example.com/canary'}\n";
    assert!(serde_yaml::from_str::<Raw>(text).is_err());
}
