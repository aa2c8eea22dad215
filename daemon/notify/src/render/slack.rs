//! Slack: blocks to an incoming webhook (docs.slack.dev, "Sending messages using incoming webhooks"). Texts of a section
//! have at most 3000 characters, a header 150, and the answer is the word `ok`.

use serde_json::{Value, json};

use super::exchange::{Keys, Method, Reply, Request};
use super::layout::{self, Markup, Title};
use crate::message::{Mention, Message};
use crate::outbox::Outcome;
use crate::text::{self, Count};

/// Longest text of a section, characters.
pub const SECTION_CHARS_MAX: usize = 3_000;

/// Longest header, characters.
pub const HEADER_CHARS_MAX: usize = 150;

/// The request: one header, one section, and a section for the stack.
pub fn request(message: &Message, keys: &Keys) -> Request {
    let title = text::cut(&message.title, Count::Chars, HEADER_CHARS_MAX);
    let mut told = message.clone();
    let stack = std::mem::take(&mut told.stack);
    let mut blocks = vec![json!({ "type": "header", "text": { "type": "plain_text", "text": title } })];
    let facts = layout::text(&Mrkdwn, &told, Title::Elsewhere, SECTION_CHARS_MAX);
    blocks.extend(section(&facts));
    let lines: Vec<String> = stack.iter().map(|line| Mrkdwn.code_line(line)).collect();
    let code = text::join_within(&lines, Count::Chars, SECTION_CHARS_MAX - 8);
    if !code.is_empty() {
        blocks.extend(section(&format!("```\n{code}\n```")));
    }
    // What is shown in notifications, where blocks are not.
    let body = json!({ "text": text::slack(&title), "blocks": blocks });
    Request::json(Method::Post, keys.url(), &body)
}

fn section(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }))
}

/// What Slack said.
pub fn read(reply: &Reply) -> Outcome {
    match reply.good() {
        Ok(()) if reply.body.trim() == "ok" => reply.accepted(),
        Ok(()) => {
            let answer = reply.advised("something else answered in its place; mend its address");
            Outcome::Later { quiet: None, answer }
        }
        Err(outcome) => outcome,
    }
}

struct Mrkdwn;

impl Markup for Mrkdwn {
    fn plain(&self, text: &str) -> String {
        text::slack(text)
    }
    fn bold(&self, escaped: &str) -> String {
        format!("*{escaped}*")
    }
    fn link(&self, escaped: &str, url: &str) -> String {
        format!("<{}|{}>", url.replace('&', "&amp;"), escaped.replace('|', "¦"))
    }
    fn mention(&self, mention: &Mention) -> String {
        format!("<@{}>", layout::id(&mention.id))
    }
    fn code(&self) -> (&'static str, &'static str) {
        ("```\n", "\n```")
    }
    fn code_line(&self, line: &str) -> String {
        text::code(line).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }
    fn count(&self) -> Count {
        Count::Chars
    }
}
