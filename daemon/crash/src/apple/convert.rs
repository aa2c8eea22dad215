//! Which report has a text form, and its sections in their order.

use super::{heads, stacks, states, tails};
use crate::container::{Container, Parts, take_apart};
use crate::json::Members;
use crate::report::Report;
use crate::tape::Node;
use std::borrow::Cow;
use std::fmt::Write;

/// Which tools' form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// iPhones, and whatever else calls itself embedded.
    Phone,
    /// Macs, and simulators on them.
    Mac,
}

/// The file that is converted.
pub(super) struct Source<'s> {
    pub(super) parts: &'s Parts<'s>,
    pub(super) report: &'s Report,
}

impl<'s> Source<'s> {
    /// A member of the body that says something, by its path.
    pub(super) fn node(&self, path: &[&str]) -> Option<Node<'s>> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.parts.body(first)?, |node, name| node.get(name))
    }

    /// The same as text; what is empty is not there.
    pub(super) fn words(&self, path: &[&str]) -> Option<Cow<'s, str>> {
        self.node(path).and_then(Node::words).filter(|words| !words.is_empty())
    }

    /// The same, or what stands in its place.
    pub(super) fn words_or(&self, path: &[&str], other: &'s str) -> Cow<'s, str> {
        self.words(path).unwrap_or(Cow::Borrowed(other))
    }

    /// The texts of a list, each on its line; a single text as it is.
    pub(super) fn sentences(&self, path: &[&str]) -> Vec<Cow<'s, str>> {
        match self.node(path) {
            Some(list) if list.is_list() => list.items().filter_map(Node::words).collect(),
            Some(one) => one.words().into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn form(&self) -> Form {
        let train = self.report.os_version.as_deref().unwrap_or_default();
        let is_mac = train.starts_with("mac") || train.starts_with("Mac");
        match self.node(&["osVersion", "isEmbedded"]) {
            Some(embedded) if embedded.truth() => Form::Phone,
            _ if is_mac => Form::Mac,
            _ => Form::Phone,
        }
    }
}

/// The report of these bytes in Apple's text form; none when Apple's tools have none for its kind, or nothing of it can
/// be read.
///
/// A report that is text already comes back as the phone wrote it, without its header. Threads, frames and images are
/// taken from `report`, so that symbols found since stand in the text; everything else is read from `bytes` anew.
pub fn apple_text(bytes: &[u8], report: &Report) -> Option<String> {
    let parts = take_apart(bytes, Members::All);
    if let Some(text) = parts.text {
        return Some(String::from_utf8_lossy(text).into_owned());
    }
    match parts.container {
        Container::TwoPartJson | Container::BodyOnly | Container::ConsoleCopy | Container::Fragment => {}
        Container::HeaderAndText
        | Container::HeaderOnly
        | Container::LegacyText
        | Container::JsonLines
        | Container::HeaderAndPlist
        | Container::Unreadable => return None,
    }
    if !report.kind.has_threads() || parts.body("threads").is_none() && report.exception.is_none() {
        return None;
    }
    let source = Source { parts: &parts, report };
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, &source);
    Some(page)
}

fn write_page(page: &mut String, source: &Source<'_>) -> std::fmt::Result {
    match source.form() {
        Form::Phone => {
            heads::write_phone(page, source)?;
            stacks::write_threads(page, source.report, Form::Phone)?;
            page.push_str("\n\n");
            states::write_state(page, source)?;
            page.push('\n');
            tails::write_images(page, source, Form::Phone)?;
            page.push('\n');
            let notes = source.sentences(&["reportNotes"]);
            if !notes.is_empty() {
                writeln!(page, "Error Formulating Crash Report:\n{}\n", notes.join("\n"))?;
            }
            page.push_str("EOF\n");
        }
        Form::Mac => {
            heads::write_mac(page, source)?;
            stacks::write_threads(page, source.report, Form::Mac)?;
            page.push_str("\n\n");
            states::write_state(page, source)?;
            page.push('\n');
            tails::write_images(page, source, Form::Mac)?;
            page.push('\n');
            tails::write_modifications(page, source)?;
            if let Some(summary) = source.words(&["vmSummary"]) {
                writeln!(page, "VM Region Summary:\n{summary}")?;
            }
        }
    }
    Ok(())
}
