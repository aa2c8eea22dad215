//! Jira issues: version 3 of the API with documents (the cloud), version 2 with wiki text (a data center). Found by
//! label; which transitions lead to a state has to be asked. A summary has at most 255 characters, a text 32 767.

use serde_json::{Value, json};

use super::exchange::{Keys, Method, Reply, Request, query};
use super::layout::{self, Markup, Title};
use super::ticket::{Api, Found, Switch, odd};
use crate::message::{Mention, Message, Ticket};
use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::rules::model::{JiraApi, Tracker};
use crate::sign;
use crate::text::{self, Count};

/// Longest summary, characters.
pub const SUMMARY_CHARS_MAX: usize = 255;

/// Longest text, characters: under the documented 32 767.
pub const TEXT_CHARS_MAX: usize = 32_000;

/// How Jira is asked.
#[derive(Debug)]
pub struct Jira {
    base: String,
    project: String,
    labels: Vec<String>,
    authorization: Secret,
    issue_type: String,
    api: JiraApi,
}

impl Jira {
    /// For a project. With a user the token is a password; without, it is a personal access token.
    pub fn new(tracker: &Tracker, user: Option<&str>, issue_type: &str, api: JiraApi, keys: &Keys) -> Self {
        let authorization = match user {
            Some(user) => sign::basic(user, keys.token()),
            None => format!("Bearer {}", keys.token()),
        };
        Self {
            base: tracker.base.clone(),
            project: tracker.project.clone(),
            labels: tracker.labels.clone(),
            authorization: Secret::new(authorization),
            issue_type: issue_type.to_owned(),
            api,
        }
    }

    fn url(&self, rest: &str) -> String {
        let version = match self.api {
            JiraApi::Two => 2,
            JiraApi::Three => 3,
        };
        format!("{}/rest/api/{version}/{rest}", self.base)
    }

    fn signed(&self, request: Request) -> Request {
        request.with("authorization", self.authorization.expose()).with("accept", "application/json")
    }

    fn found_in(&self, issue: &Value) -> Option<Found> {
        let key = issue["key"].as_str()?;
        Some(Found { reference: key.to_owned(), url: Some(format!("{}/browse/{key}", self.base)) })
    }

    fn body(&self, message: &Message, title: Title) -> Value {
        match self.api {
            JiraApi::Two => json!(layout::text(&Wiki, message, title, TEXT_CHARS_MAX)),
            JiraApi::Three => document(message, title),
        }
    }
}

impl Api for Jira {
    fn find(&self, marker: &str) -> Request {
        // The marker has letters, digits and `-` alone; the project comes from the operator.
        let project = self.project.replace(['"', '\\'], "");
        let jql = format!("project = \"{project}\" AND labels = \"{marker}\" ORDER BY created ASC");
        let search = match self.api {
            JiraApi::Two => "search",
            JiraApi::Three => "search/jql",
        };
        let fields = [("jql", jql), ("maxResults", "1".to_owned()), ("fields", "key".to_owned())];
        self.signed(Request::get(self.url(&format!("{search}?{}", query(&fields)))))
    }

    fn found(&self, reply: &Reply) -> Result<Option<Found>, Outcome> {
        reply.good()?;
        let json = reply.json();
        let Some(list) = json["issues"].as_array() else { return Err(odd(reply, "issues")) };
        Ok(list.iter().find_map(|issue| self.found_in(issue)))
    }

    fn create(&self, message: &Message, ticket: &Ticket) -> Request {
        let labels: Vec<&String> = self.labels.iter().chain([&ticket.marker]).collect();
        let mut fields = json!({
            "project": { "key": self.project },
            "issuetype": { "name": self.issue_type },
            "summary": text::cut(&message.title, Count::Chars, SUMMARY_CHARS_MAX),
            "description": self.body(message, Title::Elsewhere),
            "labels": labels,
        });
        if let Some(assignee) = ticket.assignees.first() {
            fields["assignee"] = match self.api {
                JiraApi::Two => json!({ "name": assignee }),
                JiraApi::Three => json!({ "accountId": assignee }),
            };
        }
        self.signed(Request::json(Method::Post, self.url("issue"), &json!({ "fields": fields })))
    }

    fn created(&self, reply: &Reply) -> Result<Found, Outcome> {
        reply.good()?;
        self.found_in(&reply.json()).ok_or_else(|| odd(reply, "key"))
    }

    fn comment(&self, reference: &str, message: &Message) -> Request {
        let body = json!({ "body": self.body(message, Title::Shown) });
        self.signed(Request::json(Method::Post, self.url(&format!("issue/{reference}/comment")), &body))
    }

    fn ways(&self, reference: &str) -> Option<Request> {
        Some(self.signed(Request::get(self.url(&format!("issue/{reference}/transitions")))))
    }

    fn switch(&self, reference: &str, to: Switch, ways: Option<&Reply>) -> Result<Option<Request>, Outcome> {
        let json = ways.map(Reply::json).unwrap_or_default();
        let list = json["transitions"].as_array().cloned().unwrap_or_default();
        let leads = |transition: &&Value| {
            let category = transition["to"]["statusCategory"]["key"].as_str();
            match to {
                Switch::Close => category == Some("done"),
                Switch::Reopen => matches!(category, Some("new" | "indeterminate")),
            }
        };
        // No way there: the workflow is there already, or an operator has to allow it. The comment says what happened.
        let Some(id) = list.iter().find(leads).and_then(|transition| transition["id"].as_str()) else {
            return Ok(None);
        };
        let body = json!({ "transition": { "id": id } });
        Ok(Some(self.signed(Request::json(
            Method::Post,
            self.url(&format!("issue/{reference}/transitions")),
            &body,
        ))))
    }
}

/// The Atlassian Document Format, version 1: texts are nodes, so that nothing in them can be markup.
fn document(message: &Message, title: Title) -> Value {
    let line = |text: String| json!({ "type": "paragraph", "content": [{ "type": "text", "text": text }] });
    let mut content = Vec::new();
    let mut room = TEXT_CHARS_MAX;
    let mut add = |text: &str, content: &mut Vec<Value>| {
        let text = text::cut(text, Count::Chars, room);
        room = room.saturating_sub(Count::Chars.of(&text));
        // An empty text node is refused.
        if !text.is_empty() {
            content.push(line(text));
        }
    };
    if title == Title::Shown {
        add(&message.title, &mut content);
    }
    for (name, value) in &message.facts {
        add(&format!("{name}: {value}"), &mut content);
    }
    let code = text::cut(&message.stack.join("\n"), Count::Chars, room);
    for link in &message.links {
        if let Some(url) = text::safe_url(&link.url) {
            content.push(json!({ "type": "paragraph", "content": [{
                "type": "text", "text": text::one_line(&link.label, 60),
                "marks": [{ "type": "link", "attrs": { "href": url } }],
            }] }));
        }
    }
    if !code.is_empty() {
        content.push(json!({ "type": "codeBlock", "content": [{ "type": "text", "text": code }] }));
    }
    json!({ "type": "doc", "version": 1, "content": content })
}

struct Wiki;

impl Markup for Wiki {
    fn plain(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if matches!(c, '{' | '}' | '[' | ']' | '*' | '_' | '+' | '^' | '~' | '|' | '!' | '\\' | '#') {
                out.push('\\');
            }
            out.push(c);
        }
        out
    }
    fn bold(&self, escaped: &str) -> String {
        format!("*{escaped}*")
    }
    fn link(&self, escaped: &str, url: &str) -> String {
        format!("[{escaped}|{url}]")
    }
    fn mention(&self, mention: &Mention) -> String {
        format!("[~{}]", layout::id(&mention.id))
    }
    fn code(&self) -> (&'static str, &'static str) {
        ("{noformat}\n", "\n{noformat}")
    }
    fn code_line(&self, line: &str) -> String {
        line.replace("{noformat}", "{ noformat }")
    }
    fn count(&self) -> Count {
        Count::Chars
    }
}
