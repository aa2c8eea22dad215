//! WeCom: Markdown to a group robot (developer.work.weixin.qq.com, "Group robots"). Its limit of 4096 counts bytes of
//! UTF-8, 20 messages a minute are taken, and a status of 200 may be a refusal.

use std::time::Duration;

use serde_json::json;

use super::exchange::{Keys, Method, Reply, Request};
use super::layout::{self, Markup, Title};
use crate::message::{Mention, Message};
use crate::outbox::Outcome;
use crate::text;

/// Longest Markdown text, bytes.
pub const CONTENT_BYTES_MAX: usize = 4_096;

/// The code that says "too often".
const TOO_OFTEN: i64 = 45_009;

/// For how long a robot is left alone that was spoken to too often: its limit is one of a minute.
const QUIET: Duration = Duration::from_secs(60);

/// The request.
pub fn request(message: &Message, keys: &Keys) -> Request {
    let content = layout::text(&Markdown, message, Title::Shown, CONTENT_BYTES_MAX);
    let body = json!({ "msgtype": "markdown", "markdown": { "content": content } });
    Request::json(Method::Post, keys.url(), &body)
}

/// What the robot said.
pub fn read(reply: &Reply) -> Outcome {
    if let Err(outcome) = reply.good() {
        return outcome;
    }
    let answer = reply.words();
    match reply.json()["errcode"].as_i64() {
        Some(0) => reply.accepted(),
        Some(TOO_OFTEN) => Outcome::Later { quiet: Some(QUIET), answer },
        // -1: the system is busy; 93000: the key is not known, which an operator mends.
        Some(-1 | 93_000) | None => Outcome::Later { quiet: None, answer },
        Some(_) => Outcome::Refused { answer },
    }
}

struct Markdown;

impl Markup for Markdown {
    fn plain(&self, text: &str) -> String {
        text::plain_markdown(text)
    }
    fn bold(&self, escaped: &str) -> String {
        format!("**{escaped}**")
    }
    fn link(&self, escaped: &str, url: &str) -> String {
        format!("[{escaped}]({url})")
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
