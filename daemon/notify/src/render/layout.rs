//! A message as text within a limit, in the markup of each receiver. Texts are cut before they are escaped and lines are
//! kept whole, so that nothing ever ends inside markup; what calls people is never cut.

use crate::message::{Item, Mention, Message};
use crate::text::{self, Count};

/// People that one message calls, at most.
pub const MENTIONS_MAX: usize = 20;

/// Links of one message, at most.
const LINKS_MAX: usize = 4;

/// The longest address in a message, bytes; longer ones are left out.
const URL_BYTES_MAX: usize = 500;

/// The markup of a receiver.
pub trait Markup {
    /// A text without meaning in the markup.
    fn plain(&self, text: &str) -> String;
    /// A text that stands out; it is escaped already.
    fn bold(&self, escaped: &str) -> String {
        format!("**{escaped}**")
    }
    /// A link; the label is escaped already.
    fn link(&self, escaped: &str, url: &str) -> String {
        format!("[{escaped}]({url})")
    }
    /// What calls someone.
    fn mention(&self, mention: &Mention) -> String;
    /// What stands before and after lines of code, and what the lines become.
    fn code(&self) -> (&'static str, &'static str);
    /// A line of code.
    fn code_line(&self, line: &str) -> String {
        text::code(line)
    }
    /// What ends a line.
    fn line_end(&self) -> &'static str {
        "\n"
    }
    /// How the receiver counts.
    fn count(&self) -> Count {
        Count::Bytes
    }
}

/// What of a message is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Title {
    /// With its title.
    Shown,
    /// The title stands elsewhere.
    Elsewhere,
}

/// A message as text of at most `max`: title and calls first, then facts, digest, links and as much of the stack as there
/// is room for.
pub fn text(markup: &dyn Markup, message: &Message, title: Title, max: usize) -> String {
    let count = markup.count();
    let end = markup.line_end();
    let mut parts: Vec<String> = Vec::new();
    let mut used = 0;
    let mut add = |part: String, parts: &mut Vec<String>| {
        let size = count.of(&part) + count.of(end);
        if !part.is_empty() && used + size <= max {
            used += size;
            parts.push(part);
        }
        max.saturating_sub(used)
    };
    let calls: Vec<String> =
        message.mentions.iter().take(MENTIONS_MAX).map(|mention| markup.mention(mention)).collect();
    let mut room = add(calls.join(" "), &mut parts);
    if title == Title::Shown {
        room = add(fitting(markup, &message.title, room), &mut parts);
    }
    let links = links(markup, message);
    let reserved = if links.is_empty() { 0 } else { count.of(&links) + count.of(end) };
    if !message.items.is_empty() {
        let each = room.saturating_sub(reserved) / message.items.len();
        for item in &message.items {
            room = add(item_line(markup, item, each.saturating_sub(count.of(end))), &mut parts);
        }
    }
    for (name, value) in &message.facts {
        let line = format!("{} {}", markup.bold(&markup.plain(&format!("{name}:"))), markup.plain(value));
        if count.of(&line) + count.of(end) + reserved <= room {
            room = add(line, &mut parts);
        }
    }
    room = add(links, &mut parts);
    let (before, after) = markup.code();
    let lines: Vec<String> = message.stack.iter().map(|line| markup.code_line(line)).collect();
    let around = count.of(before) + count.of(after) + count.of(end);
    if let Some(free) = room.checked_sub(around)
        && !lines.is_empty()
    {
        let code = text::join_within(&lines, count, free);
        if !code.is_empty() {
            add(format!("{before}{code}{after}"), &mut parts);
        }
    }
    parts.join(end)
}

/// The title, cut until it fits when it is escaped.
fn fitting(markup: &dyn Markup, title: &str, max: usize) -> String {
    shorter(title, |cut| markup.bold(&markup.plain(cut)), markup.count(), max)
}

fn item_line(markup: &dyn Markup, item: &Item, max: usize) -> String {
    let url = item.url.as_deref().and_then(text::safe_url);
    if let Some(url) = url {
        let linked = shorter(
            &item.line,
            |cut| format!("• {}", markup.link(&markup.plain(cut), &url)),
            markup.count(),
            max,
        );
        if !linked.is_empty() {
            return linked;
        }
    }
    shorter(&item.line, |cut| format!("• {}", markup.plain(cut)), markup.count(), max)
}

/// What `make` makes of the text, cut until that fits; nothing when even a short one doesn't.
fn shorter(whole: &str, make: impl Fn(&str) -> String, count: Count, max: usize) -> String {
    let mut length = count.of(whole);
    loop {
        let made = make(&text::cut(whole, count, length));
        if count.of(&made) <= max {
            return made;
        }
        if length < 8 {
            return String::new();
        }
        length = length * 7 / 8;
    }
}

fn links(markup: &dyn Markup, message: &Message) -> String {
    let safe = message.links.iter().filter(|link| link.url.len() <= URL_BYTES_MAX).take(LINKS_MAX);
    let made = safe.filter_map(|link| {
        let label = markup.plain(&text::one_line(&link.label, 60));
        Some(markup.link(&label, &text::safe_url(&link.url)?))
    });
    made.collect::<Vec<_>>().join(" · ")
}

/// The body that `make` makes with the largest text that lets it fit into `limit` bytes: escapes of JSON count too.
pub fn within(limit: usize, make: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut budget = limit;
    loop {
        let body = make(budget);
        if body.len() <= limit || budget < 64 {
            return body;
        }
        budget = budget * 4 / 5;
    }
}

/// An id of a person as it may stand in markup.
pub fn id(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+' | ':'))
        .collect()
}

/// Plain text: for letters.
pub struct Plain;

impl Markup for Plain {
    fn plain(&self, text: &str) -> String {
        text.to_owned()
    }
    fn bold(&self, escaped: &str) -> String {
        escaped.to_owned()
    }
    fn link(&self, escaped: &str, url: &str) -> String {
        format!("{escaped}: {url}")
    }
    fn mention(&self, _: &Mention) -> String {
        String::new()
    }
    fn code(&self) -> (&'static str, &'static str) {
        ("\n", "\n")
    }
    fn code_line(&self, line: &str) -> String {
        line.to_owned()
    }
}

/// The Markdown of GitHub and GitLab.
pub struct TrackerMarkdown;

impl Markup for TrackerMarkdown {
    fn plain(&self, text: &str) -> String {
        text::markdown(text)
    }
    fn mention(&self, mention: &Mention) -> String {
        format!("@{}", id(&mention.id))
    }
    fn code(&self) -> (&'static str, &'static str) {
        ("\n```text\n", "\n```")
    }
    fn line_end(&self) -> &'static str {
        "\n\n"
    }
    fn count(&self) -> Count {
        Count::Chars
    }
}
