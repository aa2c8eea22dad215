//! GitLab issues (docs.gitlab.com, REST API v4): found by label, closed and opened by events. A title has at most 255
//! characters, a description a million; `/` at the beginning of a line would be a command.

use serde_json::{Value, json};

use super::exchange::{Keys, Method, Reply, Request, percent, query};
use super::layout::{self, Title, TrackerMarkdown};
use super::ticket::{Api, Found, Switch, odd};
use crate::message::{Message, Ticket};
use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::rules::model::Tracker;
use crate::text::{self, Count};

/// Longest title, characters.
pub const TITLE_CHARS_MAX: usize = 255;

/// Longest description, characters: nobody reads the million that is possible.
pub const BODY_CHARS_MAX: usize = 60_000;

/// How GitLab is asked.
#[derive(Debug)]
pub struct Gitlab {
    issues: String,
    token: Secret,
    labels: Vec<String>,
    confidential: bool,
}

impl Gitlab {
    /// For a project.
    pub fn new(tracker: &Tracker, confidential: bool, keys: &Keys) -> Self {
        Self {
            issues: format!("{}/api/v4/projects/{}/issues", tracker.base, percent(&tracker.project)),
            token: Secret::new(keys.token()),
            labels: tracker.labels.clone(),
            confidential,
        }
    }

    fn signed(&self, request: Request) -> Request {
        request.with("private-token", self.token.expose())
    }

    fn issue(issue: &Value) -> Option<Found> {
        Some(Found {
            reference: issue["iid"].as_u64()?.to_string(),
            url: issue["web_url"].as_str().map(str::to_owned),
        })
    }
}

impl Api for Gitlab {
    fn find(&self, marker: &str) -> Request {
        let fields =
            [("labels", marker.to_owned()), ("scope", "all".to_owned()), ("per_page", "1".to_owned())];
        self.signed(Request::get(format!("{}?{}", self.issues, query(&fields))))
    }

    fn found(&self, reply: &Reply) -> Result<Option<Found>, Outcome> {
        reply.good()?;
        let list = reply.json();
        let Some(list) = list.as_array() else { return Err(odd(reply, "list of issues")) };
        Ok(list.iter().find_map(Self::issue))
    }

    fn create(&self, message: &Message, ticket: &Ticket) -> Request {
        let labels: Vec<&str> = self.labels.iter().chain([&ticket.marker]).map(String::as_str).collect();
        // Assignees are numbers there; anything else would be refused with the whole issue.
        let assignees: Vec<u64> = ticket.assignees.iter().filter_map(|id| id.parse().ok()).collect();
        let body = json!({
            "title": text::cut(&message.title, Count::Chars, TITLE_CHARS_MAX),
            "description": layout::text(&TrackerMarkdown, message, Title::Elsewhere, BODY_CHARS_MAX),
            "labels": labels.join(","),
            "assignee_ids": assignees,
            "confidential": self.confidential,
        });
        self.signed(Request::json(Method::Post, self.issues.as_str(), &body))
    }

    fn created(&self, reply: &Reply) -> Result<Found, Outcome> {
        reply.good()?;
        Self::issue(&reply.json()).ok_or_else(|| odd(reply, "iid"))
    }

    fn comment(&self, reference: &str, message: &Message) -> Request {
        let body = json!({ "body": layout::text(&TrackerMarkdown, message, Title::Shown, BODY_CHARS_MAX) });
        self.signed(Request::json(Method::Post, format!("{}/{reference}/notes", self.issues), &body))
    }

    fn switch(&self, reference: &str, to: Switch, _: Option<&Reply>) -> Result<Option<Request>, Outcome> {
        let event = match to {
            Switch::Close => "close",
            Switch::Reopen => "reopen",
        };
        let body = json!({ "state_event": event });
        Ok(Some(self.signed(Request::json(Method::Put, format!("{}/{reference}", self.issues), &body))))
    }
}
