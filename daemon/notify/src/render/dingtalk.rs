//! DingTalk: Markdown to a custom robot (open.dingtalk.com, "Custom robot access"). The signature stands in the query,
//! people are called in the text and in `at`, and whoever speaks more than 20 times a minute is locked out for ten.

use std::time::Duration;

use holdfast_wire::time::Time;
use serde_json::{Value, json};

use super::exchange::{Codes, Keys, Method, Reply, Request, percent};
use super::layout::{self, Markup, Title};
use crate::message::{Mention, Message};
use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::{sign, text};

/// Largest body, bytes.
pub const BODY_BYTES_MAX: usize = 20_000;

/// Longest title, bytes: it is shown in the list of chats alone.
const TITLE_BYTES_MAX: usize = 120;

/// What it answers with.
const CODES: Codes = Codes {
    too_often: &[130_101],
    // So long a robot is locked out.
    quiet: Duration::from_secs(600),
    again: &[
        (-1, "it is busy; it is tried again by itself"),
        (
            310_000,
            "keyword, signature or address do not fit; mend `keyword` or `secret`, and the robot's list",
        ),
    ],
};

/// The request.
pub fn request(message: &Message, keys: &Keys, keyword: Option<&str>, now: Time) -> Request {
    let mut url = keys.url().to_owned();
    if let Some(secret) = &keys.secret {
        let millis = now.as_unix_ms();
        let join = if url.contains('?') { '&' } else { '?' };
        let sign = percent(&sign::dingtalk(millis, secret.expose()));
        url.push_str(&format!("{join}timestamp={millis}&sign={sign}"));
    }
    let body =
        layout::within(BODY_BYTES_MAX, |budget| body(message, keyword, budget).to_string().into_bytes());
    let request = Request { method: Method::Post, url: Secret::new(url), headers: Vec::new(), body };
    request.with("content-type", "application/json; charset=utf-8")
}

fn body(message: &Message, keyword: Option<&str>, budget: usize) -> Value {
    // A robot that demands a keyword looks for it in what is shown.
    let keyword = keyword.map_or_else(String::new, |word| format!("{} ", text::markdown(word)));
    let markdown = layout::text(&Markdown, message, Title::Shown, budget);
    let called: Vec<String> =
        message.mentions.iter().take(layout::MENTIONS_MAX).map(|mention| layout::id(&mention.id)).collect();
    // Mobile numbers are digits, perhaps after a plus; other ids are user ids.
    let (mobiles, users): (Vec<String>, Vec<String>) =
        called.into_iter().partition(|id| id.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-')));
    json!({
        "msgtype": "markdown",
        "markdown": {
            "title": text::one_line(&format!("{keyword}{}", message.title), TITLE_BYTES_MAX),
            "text": format!("{keyword}{markdown}"),
        },
        "at": { "atMobiles": mobiles, "atUserIds": users, "isAtAll": false },
    })
}

/// What the robot said.
pub fn read(reply: &Reply) -> Outcome {
    CODES.outcome(reply, reply.json()["errcode"].as_i64())
}

struct Markdown;

impl Markup for Markdown {
    fn plain(&self, text: &str) -> String {
        text::plain_markdown(text).replace('@', "@\u{2060}")
    }
    fn mention(&self, mention: &Mention) -> String {
        format!("@{}", layout::id(&mention.id))
    }
    fn code(&self) -> (&'static str, &'static str) {
        ("```\n", "\n```")
    }
    fn code_line(&self, line: &str) -> String {
        text::code(line).replace('@', "@\u{2060}")
    }
    fn line_end(&self) -> &'static str {
        "\n\n"
    }
}
