//! GitHub issues (docs.github.com, REST API version 2022-11-28): found by label, closed and opened by their state. A title
//! has at most 256 characters, a body 65 536; limits are told by `Retry-After` or the rate-limit headers.

use serde_json::{Value, json};

use super::exchange::{Keys, Method, Reply, Request, query};
use super::layout::{self, Title, TrackerMarkdown};
use super::ticket::{Api, Found, Switch, odd};
use crate::message::{Message, Ticket};
use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::rules::model::Tracker;
use crate::text::{self, Count};

/// Longest title, characters.
pub const TITLE_CHARS_MAX: usize = 256;

/// Longest body, characters: well under the documented 65 536.
pub const BODY_CHARS_MAX: usize = 60_000;

/// How GitHub is asked.
#[derive(Debug)]
pub struct Github {
    issues: String,
    token: Secret,
    labels: Vec<String>,
}

impl Github {
    /// For a repository.
    pub fn new(tracker: &Tracker, keys: &Keys) -> Self {
        Self {
            issues: format!("{}/repos/{}/issues", tracker.base, tracker.project),
            token: Secret::new(keys.token()),
            labels: tracker.labels.clone(),
        }
    }

    fn signed(&self, request: Request) -> Request {
        request
            .with("authorization", format!("Bearer {}", self.token.expose()))
            .with("accept", "application/vnd.github+json")
            .with("x-github-api-version", "2022-11-28")
    }

    fn issue(&self, issue: &Value) -> Option<Found> {
        Some(Found {
            reference: issue["number"].as_u64()?.to_string(),
            url: issue["html_url"].as_str().map(str::to_owned),
        })
    }
}

impl Api for Github {
    fn find(&self, marker: &str) -> Request {
        let fields =
            [("labels", marker.to_owned()), ("state", "all".to_owned()), ("per_page", "5".to_owned())];
        self.signed(Request::get(format!("{}?{}", self.issues, query(&fields))))
    }

    fn found(&self, reply: &Reply) -> Result<Option<Found>, Outcome> {
        reply.good()?;
        let list = reply.json();
        let Some(list) = list.as_array() else { return Err(odd(reply, "list of issues")) };
        // Pull requests are issues there too.
        Ok(list.iter().filter(|issue| issue["pull_request"].is_null()).find_map(|issue| self.issue(issue)))
    }

    fn create(&self, message: &Message, ticket: &Ticket) -> Request {
        let labels: Vec<&String> = self.labels.iter().chain([&ticket.marker]).collect();
        let body = json!({
            "title": text::cut(&message.title, Count::Chars, TITLE_CHARS_MAX),
            "body": layout::text(&TrackerMarkdown, message, Title::Elsewhere, BODY_CHARS_MAX),
            "labels": labels,
            "assignees": ticket.assignees,
        });
        self.signed(Request::json(Method::Post, self.issues.as_str(), &body))
    }

    fn created(&self, reply: &Reply) -> Result<Found, Outcome> {
        reply.good()?;
        self.issue(&reply.json()).ok_or_else(|| odd(reply, "number"))
    }

    fn comment(&self, reference: &str, message: &Message) -> Request {
        let body = json!({ "body": layout::text(&TrackerMarkdown, message, Title::Shown, BODY_CHARS_MAX) });
        self.signed(Request::json(Method::Post, format!("{}/{reference}/comments", self.issues), &body))
    }

    fn switch(&self, reference: &str, to: Switch, _: Option<&Reply>) -> Result<Option<Request>, Outcome> {
        let body = match to {
            Switch::Close => json!({ "state": "closed", "state_reason": "completed" }),
            Switch::Reopen => json!({ "state": "open", "state_reason": "reopened" }),
        };
        Ok(Some(self.signed(Request::json(Method::Patch, format!("{}/{reference}", self.issues), &body))))
    }
}
