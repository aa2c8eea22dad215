//! Tables for people, JSON for programs. Data goes to stdout and nothing else does.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use holdfast_wire::time::Time;
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one document.
    Json,
}

/// Prints a document: as JSON, or as the text that `text` makes of it.
///
/// # Errors
/// Standard output is closed.
pub fn print<T: Serialize>(
    format: Format,
    document: &T,
    text: impl FnOnce(&T) -> String,
) -> std::io::Result<()> {
    let words = match format {
        Format::Json => serde_json::to_string_pretty(document).map_err(std::io::Error::other)?,
        Format::Text => text(document),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(words.as_bytes())?;
    if !words.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// A table without lines: columns under their names, as wide as the terminal where there is one.
pub fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().copied());
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    let columns = table.column_count();
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if place + 1 == columns { 0 } else { 2 }));
    }
    table.trim_fmt()
}

/// Text from outside with control and direction characters made visible: a phone's name or a crash reason must
/// not move the cursor of whoever reads it.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}

/// Names and values below each other.
pub fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = fields.iter().map(|(name, value)| format!("{name:<width$}  {}\n", printable(value)));
    lines.collect()
}

/// How long ago, in the largest unit that says something: `3 min ago`.
pub fn ago(now: Time, then: Time) -> String {
    format!("{} ago", span(now.since(then)))
}

/// A span in the largest unit that says something.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes in the unit that people use for files.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// The instant at which this program runs.
pub fn now() -> Time {
    jiff::Timestamp::now().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}c d");
    }

    #[test]
    fn spans_and_sizes_are_said_in_the_unit_that_people_use() {
        let spans = [0, 119, 120, 7_200, 172_800].map(|s| span(Duration::from_secs(s)));
        assert_eq!(spans, ["0 s", "119 s", "2 min", "2 h", "2 days"]);
        assert_eq!(
            [999, 1_500, 2_500_000, 3_000_000_000].map(bytes),
            ["999 B", "1.5 kB", "2.5 MB", "3.0 GB"]
        );
    }

    #[test]
    fn a_table_has_no_lines_and_no_trailing_room() {
        let text = table(&["job", "class"], [vec!["J1".to_owned(), "crash".to_owned()]]);
        assert_eq!(text, "job  class\nJ1   crash");
    }
}
