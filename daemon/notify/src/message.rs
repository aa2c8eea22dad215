//! What is told, the same for every receiver: plain text in parts, so that each receiver's markup is made in
//! [`crate::render`] and nothing has to be taken apart again.

use serde::{Deserialize, Serialize};

use crate::event::{Change, Counts, Event, Frame, Link, Origin};
use crate::text;

/// Frames that a message shows: the rest is a link away.
pub const FRAMES_MAX: usize = 12;

/// Longest part of one line, in bytes: longer ones are cut, so that one odd name leaves room for the rest.
pub const LINE_BYTES_MAX: usize = 300;

/// Messages of one digest: at this size the worst of them fits the smallest receiver.
pub const DIGEST_ITEMS_MAX: usize = 10;

/// Longest line of a digest, bytes.
const DIGEST_LINE_BYTES_MAX: usize = 120;

/// Longest address in a digest, bytes; longer ones are left out.
const DIGEST_URL_BYTES_MAX: usize = 120;

/// How loud a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something is good again.
    Good,
    /// Worth knowing.
    Notice,
    /// Everybody is hurt.
    Urgent,
}

/// What becomes of the ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketAction {
    /// It is opened, or the one that is there already is taken.
    Open,
    /// It gets a comment.
    Comment,
    /// It is closed, with a comment.
    Close,
    /// It is opened again, with a comment.
    Reopen,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How loud.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// Names and values, one line each.
    pub facts: Vec<(String, String)>,
    /// The stack, one line a frame.
    pub stack: Vec<String>,
    /// What a digest is made of.
    pub items: Vec<Item>,
    /// Where more can be read.
    pub links: Vec<Link>,
    /// Who is called: ids as the receiver knows them.
    pub mentions: Vec<Mention>,
    /// For trackers.
    pub ticket: Option<Ticket>,
}

/// Someone who is called by a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mention {
    /// The id that the receiver knows.
    pub id: String,
    /// The name that is shown where the receiver doesn't find one itself.
    pub name: String,
}

/// One line of a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The line.
    pub line: String,
    /// Where more can be read.
    pub url: Option<String>,
}

/// What a tracker is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What becomes of it.
    pub action: TicketAction,
    /// The word by which the ticket of a group is found again: letters, digits and `-`.
    pub marker: String,
    /// Who gets it: ids as the tracker knows them.
    pub assignees: Vec<String>,
    /// The module it belongs to, where the tracker has such a thing.
    pub module: Option<String>,
}

impl Message {
    /// What is told about an event.
    pub fn about(event: &Event) -> Self {
        let severity = match event.change {
            Change::Fixed => Severity::Good,
            Change::New | Change::AgainInAnotherBuild | Change::Again | Change::Regressed | Change::Named
                if event.is_urgent() =>
            {
                Severity::Urgent
            }
            Change::New
            | Change::AgainInAnotherBuild
            | Change::Again
            | Change::Regressed
            | Change::Named
            | Change::Moved => Severity::Notice,
        };
        let simulated = match event.origin {
            Origin::Real => "",
            Origin::Simulated => "[simulated] ",
        };
        let title = format!("{simulated}{}: {}", event.change, event.title);
        Self {
            severity,
            title: text::one_line(&title, LINE_BYTES_MAX),
            facts: facts(event),
            stack: stack(&event.stack),
            items: Vec::new(),
            links: event.links.clone(),
            mentions: Vec::new(),
            ticket: None,
        }
    }

    /// Lets go of all but its title, its links and what became of a ticket: what is done is kept for months, in memory
    /// too.
    pub fn shed(&mut self) {
        self.facts = Vec::new();
        self.stack = Vec::new();
        self.items = Vec::new();
        self.mentions = Vec::new();
    }

    /// One message in place of several, in their order; `more` others wait behind it.
    pub fn digest(messages: &[&Self], more: usize) -> Self {
        let severity = messages.iter().map(|message| message.severity).max().unwrap_or(Severity::Notice);
        let items = messages.iter().map(|message| Item {
            line: text::one_line(&message.title, DIGEST_LINE_BYTES_MAX),
            url: message
                .links
                .first()
                .map(|link| link.url.clone())
                .filter(|url| url.len() <= DIGEST_URL_BYTES_MAX),
        });
        let mut mentions: Vec<Mention> = Vec::new();
        for mention in messages.iter().flat_map(|message| &message.mentions) {
            if !mentions.contains(mention) {
                mentions.push(mention.clone());
            }
        }
        let behind = if more == 0 { String::new() } else { format!(", {more} more wait") };
        Self {
            severity,
            title: format!("{} messages in one{behind}", messages.len()),
            facts: Vec::new(),
            stack: Vec::new(),
            items: items.collect(),
            links: Vec::new(),
            mentions,
            ticket: None,
        }
    }
}

fn facts(event: &Event) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| {
        facts.push((name.to_owned(), text::one_line(&value, LINE_BYTES_MAX)));
    };
    if let Some(group) = &event.moved_to {
        add("Went to", format!("crash group {group}"));
    }
    if let Some(ended_by) = &event.ended_by {
        add("Ended by", ended_by.clone());
    }
    if let Some(why) = event.why_urgent() {
        add("When", why.to_owned());
    } else if let Some(phase) = event.phase {
        add("When", phase.to_string());
    }
    let app = event.bundle_id.as_ref().map_or_else(String::new, |app| format!(" ({app})"));
    add("Process", format!("{}{app}", event.process));
    if let Some(build) = &event.build {
        let branch = build.branch.as_ref().map_or_else(String::new, |branch| format!(" on {branch}"));
        let author = build.author.as_ref().map_or_else(String::new, |author| format!(" by {author}"));
        let hash = build.hash.get(..12).unwrap_or(&build.hash);
        match &build.commit {
            Some(_) => {
                add("Commit", format!("{}{branch}{author}", build.short()));
                add("Build", hash.to_owned());
            }
            None => add("Build", format!("{hash}{branch}{author}")),
        }
    }
    if let Some(bad) = &event.first_bad {
        let author = bad.author.as_ref().map_or_else(String::new, |author| format!(" by {author}"));
        let commit = bad.commit.get(..12).unwrap_or(&bad.commit);
        add("First bad commit", format!("{commit}{author}, {} % sure", bad.percent));
    }
    if let Some(case) = &event.case {
        add("Case", case.clone());
    }
    if let Some(os) = &event.os {
        add("System", os.clone());
    }
    if !event.phones.is_empty() {
        let shown = event.phones.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = event.phones.len().saturating_sub(3);
        add("Phones", if more == 0 { shown } else { format!("{shown} and {more} more") });
    }
    let Counts { crashes, builds, phones } = event.counts;
    let times =
        |count: u64, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    let seen = [
        times(crashes, "crash", "crashes"),
        times(builds, "build", "builds"),
        times(phones, "phone", "phones"),
    ];
    add("Seen", seen.join(", "));
    facts
}

fn stack(frames: &[Frame]) -> Vec<String> {
    let lines = frames.iter().take(FRAMES_MAX).enumerate().map(|(index, frame)| {
        let mark = if frame.in_app { "▸" } else { " " };
        let place = frame.place().map_or_else(String::new, |place| format!(" {place}"));
        let module = if frame.module.is_empty() { String::new() } else { format!("{}: ", frame.module) };
        text::one_line(&format!("{mark}{index:>2} {module}{}{place}", frame.function), LINE_BYTES_MAX)
    });
    let mut lines: Vec<String> = lines.collect();
    if frames.len() > FRAMES_MAX {
        lines.push(format!("  … {} more frames", frames.len() - FRAMES_MAX));
    }
    lines
}
