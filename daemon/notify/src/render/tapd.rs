//! TAPD bugs (open.tapd.cn): making and changing are the same address, a status of 200 may be a refusal, descriptions are
//! HTML and are overwritten by a change, so what is new becomes a comment.

use serde_json::Value;

use super::exchange::{Keys, Reply, Request, query};
use super::ticket::{Api, Found, Switch, odd};
use crate::message::{Message, Ticket};
use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::rules::model::Tracker;
use crate::sign;
use crate::text::{self, Count};

/// Longest title, characters: one column of a list.
pub const TITLE_CHARS_MAX: usize = 200;

/// Longest description, characters.
pub const TEXT_CHARS_MAX: usize = 30_000;

/// How TAPD is asked.
#[derive(Debug)]
pub struct Tapd {
    base: String,
    workspace: String,
    labels: Vec<String>,
    authorization: Secret,
    reporter: Option<String>,
    closed: String,
    reopened: String,
}

impl Tapd {
    /// For a workspace; `states` are the names that close and open again there.
    pub fn new(
        tracker: &Tracker,
        user: &str,
        reporter: Option<&str>,
        states: (&str, &str),
        keys: &Keys,
    ) -> Self {
        Self {
            base: tracker.base.clone(),
            workspace: tracker.project.clone(),
            labels: tracker.labels.clone(),
            authorization: Secret::new(sign::basic(user, keys.token())),
            reporter: reporter.map(str::to_owned),
            closed: states.0.to_owned(),
            reopened: states.1.to_owned(),
        }
    }

    fn post(&self, path: &str, fields: Vec<(&str, String)>) -> Request {
        let mut all = vec![("workspace_id", self.workspace.clone())];
        all.extend(fields);
        self.signed(Request::form(format!("{}/{path}", self.base), &all))
    }

    fn signed(&self, request: Request) -> Request {
        request.with("authorization", self.authorization.expose())
    }

    fn bug(&self, bug: &Value) -> Option<Found> {
        let id = bug["Bug"]["id"]
            .as_str()
            .filter(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_digit()))?;
        let url = format!("https://www.tapd.cn/{}/bugtrace/bugs/view?bug_id={id}", self.workspace);
        Some(Found { reference: id.to_owned(), url: Some(url) })
    }

    fn data(&self, reply: &Reply) -> Result<Value, Outcome> {
        reply.good()?;
        let json = reply.json();
        if json["status"].as_i64() == Some(1) {
            return Ok(json["data"].clone());
        }
        match json["status"].as_i64() {
            // 429 and 5xx are told inside the body as well.
            Some(429 | 500..=599) | None => {
                let answer = reply.advised("the tracker has trouble; it is tried again by itself");
                Err(Outcome::Later { quiet: reply.quiet(), answer })
            }
            Some(_) => Err(Outcome::Refused {
                answer: reply.advised("it takes no such ticket; what it said tells why"),
            }),
        }
    }
}

impl Api for Tapd {
    fn find(&self, marker: &str) -> Request {
        let fields = [
            ("workspace_id", self.workspace.clone()),
            ("label", marker.to_owned()),
            ("fields", "id,status".to_owned()),
            ("limit", "1".to_owned()),
        ];
        self.signed(Request::get(format!("{}/bugs?{}", self.base, query(&fields))))
    }

    fn found(&self, reply: &Reply) -> Result<Option<Found>, Outcome> {
        let data = self.data(reply)?;
        let Some(list) = data.as_array() else { return Err(odd(reply, "list of bugs")) };
        Ok(list.iter().find_map(|bug| self.bug(bug)))
    }

    fn create(&self, message: &Message, ticket: &Ticket) -> Request {
        let labels: Vec<&str> = self.labels.iter().chain([&ticket.marker]).map(String::as_str).collect();
        let mut fields = vec![
            ("title", text::cut(&message.title, Count::Chars, TITLE_CHARS_MAX)),
            ("description", html(message)),
            ("label", labels.join("|")),
        ];
        fields.extend(self.reporter.as_ref().map(|nick| ("reporter", nick.clone())));
        if !ticket.assignees.is_empty() {
            // Several are parted and ended by semicolons.
            fields.push(("current_owner", format!("{};", ticket.assignees.join(";"))));
        }
        fields.extend(ticket.module.as_ref().map(|module| ("module", module.clone())));
        self.post("bugs", fields)
    }

    fn created(&self, reply: &Reply) -> Result<Found, Outcome> {
        let data = self.data(reply)?;
        self.bug(&data).ok_or_else(|| odd(reply, "bug"))
    }

    fn comment(&self, reference: &str, message: &Message) -> Request {
        let mut fields = vec![
            ("entry_type", "bug".to_owned()),
            ("entry_id", reference.to_owned()),
            ("description", format!("<p>{}</p>{}", text::html(&message.title), html(message))),
        ];
        fields.extend(self.reporter.as_ref().map(|nick| ("author", nick.clone())));
        self.post("comments", fields)
    }

    fn switch(&self, reference: &str, to: Switch, _: Option<&Reply>) -> Result<Option<Request>, Outcome> {
        let status = match to {
            Switch::Close => &self.closed,
            Switch::Reopen => &self.reopened,
        };
        let mut fields = vec![("id", reference.to_owned()), ("status", status.clone())];
        fields.extend(self.reporter.as_ref().map(|nick| ("current_user", nick.clone())));
        Ok(Some(self.post("bugs", fields)))
    }

    fn taken(&self, reply: &Reply) -> Result<(), Outcome> {
        self.data(reply).map(|_| ())
    }
}

/// The message as HTML. Each line is cut before it is escaped.
fn html(message: &Message) -> String {
    let mut lines: Vec<String> = message
        .facts
        .iter()
        .map(|(name, value)| format!("<p><b>{}:</b> {}</p>", text::html(name), text::html(value)))
        .collect();
    lines.extend(message.links.iter().filter_map(|link| {
        let url = text::safe_url(&link.url)?;
        Some(format!("<p><a href=\"{}\">{}</a></p>", text::html(&url), text::html(&link.label)))
    }));
    let stack: Vec<String> = message.stack.iter().map(|line| text::html(line)).collect();
    let facts = text::join_within(&lines, Count::Chars, TEXT_CHARS_MAX / 2);
    let stack = text::join_within(&stack, Count::Chars, TEXT_CHARS_MAX / 2 - 20);
    if stack.is_empty() { facts } else { format!("{facts}\n<pre>{stack}</pre>") }
}
