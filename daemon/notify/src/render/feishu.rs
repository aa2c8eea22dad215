//! Feishu and Lark: a card of schema 2.0 to a custom robot (open.feishu.cn, "Custom bot usage guide"). The signature
//! stands in the body, a status of 200 may be a refusal, and more than 20 KB is too large.

use serde_json::{Value, json};

use super::exchange::{Codes, Keys, Method, Reply, Request};
use super::layout::{self, Markup, Title};
use crate::message::{Mention, Message, Severity};
use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::{sign, text};
use holdfast_wire::time::Time;
use std::time::Duration;

/// Largest body, bytes: a little under the documented 20 KB.
pub const BODY_BYTES_MAX: usize = 20_000;

/// Longest title, bytes: one that fills no phone's screen.
const TITLE_BYTES_MAX: usize = 200;

/// What it answers with.
const CODES: Codes = Codes {
    // The documented ones of robots.
    too_often: &[9_499, 11_232],
    quiet: Duration::from_secs(10),
    again: &[
        (19_021, "the signature does not fit; mend `secret`, and see that the clock is right"),
        (19_022, "this machine is not on the robot's list of addresses; add it there"),
    ],
};

/// The request.
pub fn request(message: &Message, keys: &Keys, now: Time) -> Request {
    let body =
        layout::within(BODY_BYTES_MAX, |budget| body(message, keys, now, budget).to_string().into_bytes());
    let request = Request { method: Method::Post, url: Secret::new(keys.url()), headers: Vec::new(), body };
    request.with("content-type", "application/json; charset=utf-8")
}

fn body(message: &Message, keys: &Keys, now: Time, budget: usize) -> Value {
    let template = match message.severity {
        Severity::Urgent => "red",
        Severity::Notice => "orange",
        Severity::Good => "green",
    };
    let markdown = layout::text(&Card, message, Title::Elsewhere, budget);
    let mut body = json!({
        "msg_type": "interactive",
        "card": {
            "schema": "2.0",
            "header": {
                "title": { "tag": "plain_text", "content": text::one_line(&message.title, TITLE_BYTES_MAX) },
                "template": template,
            },
            "body": { "elements": [{ "tag": "markdown", "content": markdown }] },
        },
    });
    if let Some(secret) = &keys.secret {
        let seconds = now.as_unix_ms().div_euclid(1_000);
        body["timestamp"] = json!(seconds.to_string());
        body["sign"] = json!(sign::feishu(seconds, secret.expose()));
    }
    body
}

/// What the robot said.
pub fn read(reply: &Reply) -> Outcome {
    let json = reply.json();
    // Older robots say StatusCode.
    CODES.outcome(reply, json["code"].as_i64().or_else(|| json["StatusCode"].as_i64()))
}

struct Card;

impl Markup for Card {
    fn plain(&self, text: &str) -> String {
        text::plain_markdown(text)
    }
    fn mention(&self, mention: &Mention) -> String {
        format!("<at id={}></at>", layout::id(&mention.id))
    }
    fn code(&self) -> (&'static str, &'static str) {
        ("```\n", "\n```")
    }
    fn code_line(&self, line: &str) -> String {
        text::code(line).replace('<', "‹").replace('>', "›")
    }
}
