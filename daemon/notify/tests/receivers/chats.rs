//! Chats and the generic webhook.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_notify::outbox::Outcome;
use ring::hmac;
use serde_json::json;

use crate::server::{Answer, Came, Line, Server, digest, json, nasty, parcel, plain, words};

/// A signature by a recipe that is written out here once more, from the documents.
fn hmac(key: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    STANDARD.encode(hmac::sign(&key, message.as_bytes()))
}

/// The first text of a Feishu card.
fn feishu_text(came: &Came) -> String {
    came.json()["card"]["body"]["elements"][0]["content"].as_str().unwrap().to_owned()
}

fn feishu(came: &Came) -> Answer {
    if came.body.len() > 20 * 1024 {
        return json(200, &json!({"code": 11246, "msg": "card too large"}));
    }
    let body = came.json();
    let (time, sign) = (body["timestamp"].as_str().unwrap_or(""), body["sign"].as_str().unwrap_or(""));
    if sign != hmac(&format!("{time}\nSECxyz"), "") || time != "1795000000" {
        return json(
            200,
            &json!({"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}),
        );
    }
    let text = feishu_text(came);
    assert_eq!(body["card"]["schema"], "2.0");
    assert_eq!(text.matches("<at id=").count(), 1, "nobody else is called: {text}");
    assert!(text.contains("<at id=ou_ann></at>"), "{text}");
    assert_eq!(text.matches("```").count() % 2, 0, "code ends: {text}");
    json(200, &json!({"code": 0, "msg": "success", "data": {}}))
}

#[tokio::test]
async fn feishu_takes_signed_cards_within_its_size() {
    let server = Server::start(feishu).await;
    let url = format!("{}/open-apis/bot/v2/hook/canary-key-0001", server.base);
    let line = Line::new(
        "{name: r, kind: feishu, url: {env: U}, secret: {env: S}}",
        &[("U", &url), ("S", "SECxyz")],
    );
    for message in [plain("ou_ann"), nasty("ou_ann")] {
        let outcome = line.send(&parcel(message)).await;
        assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    }
    let text = feishu_text(&server.came()[0]);
    assert!(text.contains("ChatRoom::send(Message const&) room.cpp:12"), "{text}");
    // The wrong secret: an operator mends it, so it waits; and it is not shown.
    let wrong = Line::new(
        "{name: r, kind: feishu, url: {env: U}, secret: {env: S}}",
        &[("U", &url), ("S", "SECother1234")],
    );
    let outcome = wrong.send(&parcel(plain("ou_ann"))).await;
    assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
    let mut called = digest();
    called.mentions[0].id = "ou_ann".to_owned();
    let outcome = line.send(&parcel(called)).await;
    assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    let text = feishu_text(server.came().last().unwrap());
    assert_eq!(text.matches('•').count(), 10, "all of the digest is told");
}

/// What is said of a refusal tells an operator what to do: the word, the status and body of the answer, and the advice.
#[tokio::test]
async fn every_refusal_says_what_to_do_next() {
    let code = |name: &str, code: i64| (200, json!({ name: code, "msg": "no", "errmsg": "no" }).to_string());
    let table = [
        ("feishu", code("code", 19_021), "later", "mend `secret`, and see that the clock is right"),
        ("feishu", code("code", 19_022), "later", "not on the robot's list of addresses; add it"),
        ("feishu", code("code", 11_232), "later", "too often; it goes by itself later, lower `per_minute`"),
        ("feishu", code("code", 11_246), "refused", "what it said tells why"),
        ("dingtalk", code("errcode", 310_000), "later", "mend `keyword` or `secret`"),
        ("dingtalk", code("errcode", 130_101), "later", "too often"),
        ("wecom", code("errcode", 93_000), "later", "mend `url`"),
        ("wecom", code("errcode", 45_009), "later", "too often"),
        ("wecom", (200, "<html>a proxy".to_owned()), "later", "something else answered in its place"),
        ("slack", (404, "no_service".to_owned()), "refused", "nothing is there; mend its address"),
        ("slack", (403, "invalid_token".to_owned()), "later", "give it the right, or name another"),
        ("slack", (429, String::new()), "later", "too often"),
        ("slack", (200, "hello".to_owned()), "later", "something else answered in its place"),
        ("teams", (401, String::new()), "later", "mend its secret"),
        ("teams", (413, String::new()), "refused", "too large"),
        ("teams", (503, String::new()), "later", "it is tried again by itself"),
        ("teams", (301, String::new()), "refused", "it has moved; mend its address"),
    ];
    for (kind, (status, body), word, advice) in table {
        let said = body.clone();
        let server = Server::start(move |_| (status, Vec::new(), said.clone())).await;
        let line = Line::new(&format!("{{name: r, kind: {kind}, url: {{env: U}}}}"), &[("U", &server.base)]);
        let outcome = line.send(&parcel(plain("u"))).await;
        assert_eq!(words(&outcome).0, word, "{kind} {body}: {outcome:?}");
        assert!(words(&outcome).1.contains(advice), "{kind} {body}: {outcome:?}");
        assert!(words(&outcome).1.contains(&format!("(status {status}")), "{kind} {body}: {outcome:?}");
    }
}

#[tokio::test]
async fn feishu_is_left_alone_when_it_says_too_often() {
    let server = Server::start(|_| json(200, &json!({"code": 11232, "msg": "frequency limited psm"}))).await;
    let line = Line::new("{name: r, kind: feishu, url: {env: U}}", &[("U", &server.base)]);
    let outcome = line.send(&parcel(plain("u"))).await;
    let Outcome::Later { quiet: Some(quiet), answer } = outcome else { panic!("{outcome:?}") };
    assert_eq!(quiet, Duration::from_secs(10));
    assert!(answer.contains("11232"), "{answer}");
}

fn dingtalk(came: &Came) -> Answer {
    let time = came.query.get("timestamp").cloned().unwrap_or_default();
    let expected = hmac("SECxyz", &format!("{time}\nSECxyz"));
    let refused = |why: &str| json(200, &json!({"errcode": 310_000, "errmsg": why}));
    if came.query.get("sign") != Some(&expected) || time != "1795000000123" {
        return refused("sign not match");
    }
    if came.query.get("access_token").map(String::as_str) != Some("canary-token-77") {
        return json(200, &json!({"errcode": 300_001, "errmsg": "token is not exist"}));
    }
    let body = came.json();
    let text = body["markdown"]["text"].as_str().unwrap();
    let title = body["markdown"]["title"].as_str().unwrap();
    if !text.contains("Holdfast") || !title.contains("Holdfast") {
        return refused("keywords not in content");
    }
    if came.body.len() > 20_000 {
        return json(200, &json!({"errcode": 460_101, "errmsg": "message too long, exceed 20000 bytes"}));
    }
    // A call works only when it stands in both places.
    assert_eq!(body["at"]["atMobiles"], json!(["13800000000"]));
    assert!(text.contains("@13800000000"), "{text}");
    assert_eq!(body["at"]["isAtAll"], false);
    assert!(!text.contains("@all"), "{text}");
    json(200, &json!({"errcode": 0, "errmsg": "ok"}))
}

#[tokio::test]
async fn dingtalk_takes_its_own_signature_keyword_and_calls() {
    let server = Server::start(dingtalk).await;
    let url = format!("{}/robot/send?access_token=canary-token-77", server.base);
    let yaml = "{name: r, kind: dingtalk, url: {env: U}, secret: {env: S}, keyword: Holdfast}";
    let line = Line::new(yaml, &[("U", &url), ("S", "SECxyz")]);
    for message in [plain("13800000000"), nasty("13800000000")] {
        let outcome = line.send(&parcel(message)).await;
        assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    }
    let wrong =
        Line::new(yaml, &[("U", &format!("{}/robot/send?access_token=other", server.base)), ("S", "SECxyz")]);
    let outcome = wrong.send(&parcel(plain("13800000000"))).await;
    assert!(matches!(&outcome, Outcome::Refused { answer } if answer.contains("300001")), "{outcome:?}");
}

#[tokio::test]
async fn dingtalk_locks_out_for_ten_minutes() {
    let server = Server::start(|_| json(200, &json!({"errcode": 130_101, "errmsg": "send too fast"}))).await;
    let line = Line::new("{name: r, kind: dingtalk, url: {env: U}}", &[("U", &server.base)]);
    let outcome = line.send(&parcel(plain("1"))).await;
    assert!(
        matches!(outcome, Outcome::Later { quiet: Some(quiet), .. } if quiet == Duration::from_secs(600))
    );
}

fn wecom(came: &Came) -> Answer {
    if came.query.get("key").map(String::as_str) != Some("canary-693axxx6-7aoc") {
        return json(200, &json!({"errcode": 93_000, "errmsg": "invalid webhook url"}));
    }
    let body = came.json();
    let content = body["markdown"]["content"].as_str().unwrap();
    if content.len() > 4_096 {
        return json(200, &json!({"errcode": 40_058, "errmsg": "markdown.content exceed max length 4096"}));
    }
    assert_eq!(content.matches("<@").count(), 1, "nobody else is called: {content}");
    assert!(content.contains("<@ann>"), "{content}");
    assert_eq!(content.matches('`').count() % 2, 0, "code ends: {content}");
    json(200, &json!({"errcode": 0, "errmsg": "ok"}))
}

#[tokio::test]
async fn wecom_counts_bytes_and_takes_the_worst_digest_whole() {
    let server = Server::start(wecom).await;
    let url = format!("{}/cgi-bin/webhook/send?key=canary-693axxx6-7aoc", server.base);
    let line = Line::new("{name: r, kind: wecom, url: {env: U}}", &[("U", &url)]);
    let mut several = digest();
    several.mentions[0].id = "ann".to_owned();
    for message in [plain("ann"), nasty("ann"), several] {
        let outcome = line.send(&parcel(message)).await;
        assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    }
    let came = server.came();
    let content = |index: usize| came[index].json()["markdown"]["content"].as_str().unwrap().to_owned();
    assert!(content(1).len() > 3_000, "what there is room for is told: {}", content(1).len());
    assert_eq!(content(2).matches('•').count(), 10, "all of the digest is told: {}", content(2));
}

#[tokio::test]
async fn a_status_of_200_may_be_a_refusal_and_shows_no_key() {
    let server = Server::start(|came| {
        let key = came.query.get("key").cloned().unwrap_or_default();
        json(200, &json!({"errcode": 45_009, "errmsg": format!("api freq out of limit, key {key}")}))
    })
    .await;
    let url = format!("{}/send?key=canary-693axxx6-7aoc", server.base);
    let line = Line::new("{name: r, kind: wecom, url: {env: U}}", &[("U", &url)]);
    let outcome = line.send(&parcel(plain("ann"))).await;
    let Outcome::Later { quiet: Some(quiet), answer } = outcome else { panic!("{outcome:?}") };
    assert_eq!(quiet, Duration::from_secs(60));
    assert!(answer.contains("[secret]") && !answer.contains("canary"), "{answer}");
}

#[tokio::test]
async fn an_address_that_nobody_serves_is_tried_later_and_not_shown() {
    // The port was free a moment ago, and its listener is gone.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/send?key=canary-693axxx6-7aoc");
    let line = Line::new("{name: r, kind: wecom, url: {env: U}}", &[("U", &url)]);
    let outcome = line.send(&parcel(plain("ann"))).await;
    assert_eq!(words(&outcome).0, "later");
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
}

fn slack(came: &Came) -> Answer {
    let body = came.json();
    let blocks = body["blocks"].as_array().unwrap();
    let too_long = blocks.iter().any(|block| {
        let text = block["text"]["text"].as_str().unwrap();
        let max = if block["type"] == "header" { 150 } else { 3_000 };
        text.is_empty() || text.chars().count() > max
    });
    if blocks.len() > 50 || too_long {
        return (400, Vec::new(), "invalid_blocks".to_owned());
    }
    let all: String = blocks[1..].iter().map(|block| block["text"]["text"].as_str().unwrap()).collect();
    assert_eq!(all.matches("<@").count(), 1, "nobody else is called: {all}");
    assert!(all.contains("<@U024BE7LH>") && !all.contains("<!channel>"), "{all}");
    assert_eq!(all.matches("```").count() % 2, 0, "{all}");
    (200, Vec::new(), "ok".to_owned())
}

#[tokio::test]
async fn slack_takes_blocks_within_its_sizes() {
    let server = Server::start(slack).await;
    let line = Line::new("{name: r, kind: slack, url: {env: U}}", &[("U", &server.base)]);
    let mut several = digest();
    several.mentions[0].id = "U024BE7LH".to_owned();
    for message in [plain("U024BE7LH"), nasty("U024BE7LH"), several] {
        let outcome = line.send(&parcel(message)).await;
        assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    }
    let several = server.came()[2].json()["blocks"][1]["text"]["text"].as_str().unwrap().to_owned();
    assert_eq!(several.matches('•').count(), 10, "all of the digest is told: {several}");
}

#[tokio::test]
async fn slack_says_how_long_to_wait_and_which_channel_is_gone() {
    let server = Server::start(|_| (429, vec![("retry-after", "30".to_owned())], String::new())).await;
    let line = Line::new("{name: r, kind: slack, url: {env: U}}", &[("U", &server.base)]);
    let outcome = line.send(&parcel(plain("U1"))).await;
    assert!(matches!(outcome, Outcome::Later { quiet: Some(quiet), .. } if quiet == Duration::from_secs(30)));
    let server = Server::start(|_| (404, Vec::new(), "channel_not_found".to_owned())).await;
    let line = Line::new("{name: r, kind: slack, url: {env: U}}", &[("U", &server.base)]);
    let outcome = line.send(&parcel(plain("U1"))).await;
    assert!(
        matches!(&outcome, Outcome::Refused { answer } if answer.contains("channel_not_found")),
        "{outcome:?}"
    );
    // A redirect would carry the message to somebody else.
    let server =
        Server::start(|_| (302, vec![("location", "http://127.0.0.1:1/".to_owned())], String::new())).await;
    let line = Line::new("{name: r, kind: slack, url: {env: U}}", &[("U", &server.base)]);
    assert_eq!(words(&line.send(&parcel(plain("U1"))).await).0, "refused");
}

fn teams(came: &Came) -> Answer {
    if came.body.len() > 28 * 1024 {
        return (413, Vec::new(), "RequestEntityTooLarge".to_owned());
    }
    let body = came.json();
    let card = &body["attachments"][0];
    if body["type"] != "message" || card["contentType"] != "application/vnd.microsoft.card.adaptive" {
        return (400, Vec::new(), "TriggerInputSchemaMismatch".to_owned());
    }
    let text = card["content"]["body"].to_string();
    for entity in card["content"]["msteams"]["entities"].as_array().unwrap() {
        // A call works only when its text stands in the card, and its name in the text.
        let (at, name) = (entity["text"].as_str().unwrap(), entity["mentioned"]["name"].as_str().unwrap());
        assert!(text.contains(at), "{at} is not in the card");
        assert_eq!(at, format!("<at>{name}</at>"));
        assert_eq!(entity["mentioned"]["id"], "ann@example.com");
    }
    assert_eq!(text.matches("<at>").count(), 1, "nobody else is called");
    (202, Vec::new(), String::new())
}

#[tokio::test]
async fn teams_takes_cards_whose_calls_fit() {
    let server = Server::start(teams).await;
    let line = Line::new("{name: r, kind: teams, url: {env: U}}", &[("U", &server.base)]);
    let mut several = digest();
    several.mentions[0].id = "ann@example.com".to_owned();
    for message in [plain("ann@example.com"), nasty("ann@example.com"), several] {
        let outcome = line.send(&parcel(message)).await;
        assert_eq!(words(&outcome).0, "accepted", "{outcome:?}");
    }
}

#[tokio::test]
async fn webhooks_are_signed_and_keep_their_id() {
    let server = Server::start(|came| {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, time) = (came.header("webhook-id"), came.header("webhook-timestamp"));
        let mut signed = format!("{id}.{time}.").into_bytes();
        signed.extend_from_slice(&came.body);
        let sign = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed));
        if came.header("webhook-signature") != format!("v1,{sign}")
            || time != "1795000000"
            || id.contains('.')
        {
            return (401, Vec::new(), "wrong signature".to_owned());
        }
        assert_eq!(came.json()["type"], "crash_group.told");
        assert_eq!(came.json()["data"]["key"], "chat/r/g1/b1");
        (204, Vec::new(), String::new())
    })
    .await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let yaml = "{name: r, kind: webhook, url: {env: U}, secret: {env: S}}";
    let line = Line::new(yaml, &[("U", &server.base), ("S", secret)]);
    for _ in 0..2 {
        assert_eq!(words(&line.send(&parcel(plain("x"))).await).0, "accepted");
    }
    let ids: Vec<String> = server.came().iter().map(|came| came.header("webhook-id").to_owned()).collect();
    assert_eq!(ids[0], ids[1], "a repetition is known by its id");
    let wrong = Line::new(yaml, &[("U", &server.base), ("S", "whsec_AAAA")]);
    assert_eq!(words(&wrong.send(&parcel(plain("x"))).await).0, "later", "an operator mends the secret");
    let unset = Line::new(yaml, &[("U", &server.base)]);
    let outcome = unset.send(&parcel(plain("x"))).await;
    assert_eq!(
        words(&outcome),
        ("later", "the environment variable S is not set; set it where the daemon is started")
    );
}

#[tokio::test]
async fn a_server_that_never_answers_costs_its_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sender = holdfast_notify::Sender::new(holdfast_notify::send::Deadlines {
        connect: Duration::from_secs(1),
        request: Duration::from_millis(200),
    })
    .unwrap();
    let yaml = "receivers:\n- {name: r, kind: slack, url: {env: U}}\n";
    let rules = serde_yaml::from_str::<holdfast_notify::Raw>(yaml).unwrap().check().unwrap();
    let receiver = rules.receivers.values().next().unwrap();
    let environment = |_: &str| Some(url.clone());
    let outcome =
        sender.send(receiver, &parcel(plain("x")), "g", &|| crate::support::at(0), &environment).await;
    assert_eq!(words(&outcome).0, "later", "{outcome:?}");
    drop(listener);
}

#[tokio::test]
async fn a_receiver_is_found_by_its_name() {
    let server = Server::start(|_| (200, Vec::new(), "ok".to_owned())).await;
    let line = Line::new(
        "{name: r, kind: slack, url: {env: U}}",
        &[("U", &server.base.replace("127.0.0.1", "localhost"))],
    );
    assert_eq!(words(&line.send(&parcel(plain("U1"))).await).0, "accepted");
}
