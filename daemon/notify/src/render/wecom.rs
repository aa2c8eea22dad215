//! WeCom: Markdown to a group robot (developer.work.weixin.qq.com, "Group robots"). Its limit of 4096 counts bytes of
//! UTF-8, 20 messages a minute are taken, and a status of 200 may be a refusal.

use std::time::Duration;

use serde_json::json;

use super::exchange::{Codes, Keys, Method, Reply, Request};
use super::layout::{self, Markup, Title};
use crate::message::{Mention, Message};
use crate::outbox::Outcome;
use crate::text;

/// Longest Markdown text, bytes.
pub const CONTENT_BYTES_MAX: usize = 4_096;

/// What it answers with.
const CODES: Codes = Codes {
    too_often: &[45_009],
    // Its limit is one of a minute.
    quiet: Duration::from_secs(60),
    again: &[
        (-1, "it is busy; it is tried again by itself"),
        (93_000, "the robot's key is not known; mend `url`"),
    ],
};

/// The request.
pub fn request(message: &Message, keys: &Keys) -> Request {
    let content = layout::text(&Markdown, message, Title::Shown, CONTENT_BYTES_MAX);
    let body = json!({ "msgtype": "markdown", "markdown": { "content": content } });
    Request::json(Method::Post, keys.url(), &body)
}

/// What the robot said.
pub fn read(reply: &Reply) -> Outcome {
    CODES.outcome(reply, reply.json()["errcode"].as_i64())
}

struct Markdown;

impl Markup for Markdown {
    fn plain(&self, text: &str) -> String {
        text::plain_markdown(text)
    }
    fn mention(&self, mention: &Mention) -> String {
        format!("<@{}>", layout::id(&mention.id))
    }
    // A fence is not known here; each line is a piece of code of its own.
    fn code(&self) -> (&'static str, &'static str) {
        ("", "")
    }
    fn code_line(&self, line: &str) -> String {
        format!("`{}`", text::code(line).replace('<', "‹").replace('>', "›"))
    }
}
