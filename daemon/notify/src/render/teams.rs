//! Teams: an Adaptive Card to a Workflows webhook (learn.microsoft.com, "Create incoming webhooks with Workflows"). A
//! message has at most 28 KB; people are called by entities whose text stands in the card.

use serde_json::{Value, json};

use super::exchange::{Keys, Method, Reply, Request};
use super::layout;
use crate::message::{Message, Severity};
use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::text::{self, Count};

/// Largest body, bytes: a little under the documented 28 KB.
pub const BODY_BYTES_MAX: usize = 28_000;

/// Buttons of one card, at most: Teams shows six.
const BUTTONS_MAX: usize = 4;

/// The request.
pub fn request(message: &Message, keys: &Keys) -> Request {
    let body = layout::within(BODY_BYTES_MAX, |budget| body(message, budget).to_string().into_bytes());
    let request = Request { method: Method::Post, url: Secret::new(keys.url()), headers: Vec::new(), body };
    request.with("content-type", "application/json; charset=utf-8")
}

fn body(message: &Message, budget: usize) -> Value {
    let colour = match message.severity {
        Severity::Urgent => "attention",
        Severity::Notice => "warning",
        Severity::Good => "good",
    };
    let plain = |text: &str| text::plain_markdown(text);
    let mut blocks = vec![json!({
        "type": "TextBlock", "text": plain(&message.title), "wrap": true, "weight": "bolder", "size": "medium",
        "color": colour,
    })];
    let called: Vec<(String, String)> = message
        .mentions
        .iter()
        .take(layout::MENTIONS_MAX)
        .map(|mention| {
            (format!("<at>{}</at>", plain(&text::one_line(&mention.name, 80))), layout::id(&mention.id))
        })
        .collect();
    if !called.is_empty() {
        let texts: Vec<&str> = called.iter().map(|(text, _)| text.as_str()).collect();
        blocks.push(json!({ "type": "TextBlock", "text": texts.join(" "), "wrap": true }));
    }
    let entities: Vec<Value> = called
        .iter()
        .map(|(text, id)| {
            let name = text.trim_start_matches("<at>").trim_end_matches("</at>");
            json!({ "type": "mention", "text": text, "mentioned": { "id": id, "name": name } })
        })
        .collect();
    for item in &message.items {
        let line = plain(&item.line);
        let line = match item.url.as_deref().and_then(text::safe_url) {
            Some(url) => format!("• [{line}]({url})"),
            None => format!("• {line}"),
        };
        blocks.push(json!({ "type": "TextBlock", "text": line, "wrap": true, "spacing": "small" }));
    }
    let facts: Vec<Value> = message
        .facts
        .iter()
        .map(|(name, value)| json!({ "title": plain(name), "value": plain(value) }))
        .collect();
    if !facts.is_empty() {
        blocks.push(json!({ "type": "FactSet", "facts": facts }));
    }
    let lines: Vec<String> = message.stack.iter().map(|line| plain(line)).collect();
    let stack = text::join_within(&lines, Count::Bytes, budget / 2).replace('\n', "\n\n");
    if !stack.is_empty() {
        blocks.push(json!({ "type": "TextBlock", "text": stack, "wrap": true, "fontType": "monospace" }));
    }
    let buttons = message.links.iter().take(BUTTONS_MAX).filter_map(|link| {
        let url = text::safe_url(&link.url)?;
        Some(json!({ "type": "Action.OpenUrl", "title": text::one_line(&link.label, 60), "url": url }))
    });
    let buttons: Vec<Value> = buttons.collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": blocks,
                "actions": buttons,
                "msteams": { "width": "Full", "entities": entities },
            },
        }],
    })
}

/// What the flow said: 202 when it has begun.
pub fn read(reply: &Reply) -> Outcome {
    match reply.good() {
        Ok(()) => reply.accepted(),
        Err(outcome) => outcome,
    }
}
