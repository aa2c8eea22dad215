//! Tables for people, JSON for programs. Data goes to stdout and nothing else does.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};
use holdfast_wire::api::ProgressView;
use holdfast_wire::time::Time;
use serde::Serialize;

use crate::colour;

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
    let end: &[u8] = if words.ends_with('\n') { b"" } else { b"\n" };
    write(&[words.as_bytes(), end].concat())
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A table without lines: columns under their names. On a terminal it is as wide as that allows: the columns named
/// in `spare` go first, in this order, and then the last column is broken into lines.
pub fn table(columns: &[&str], spare: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let width = std::io::stdout().is_terminal().then(|| Table::new().width()).flatten();
    fitted(columns, spare, rows, width.map(usize::from), colour::wanted())
}

/// The last column is not made narrower than this; a terminal without that much room breaks the lines itself.
const LAST_COLUMN_CHARS_MIN: usize = 24;

/// Between two columns.
const GAP_CHARS: usize = 2;

fn fitted(
    columns: &[&str],
    spare: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    width: Option<usize>,
    coloured: bool,
) -> String {
    let mut columns = columns.to_vec();
    let mut rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    if let Some(width) = width {
        for name in spare {
            if needed(&columns, &rows) <= width {
                break;
            }
            if let Some(place) = columns.iter().position(|column| column == name) {
                columns.remove(place);
                rows.iter_mut().for_each(|row| drop(row.remove(place)));
            }
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(&columns);
    table.set_content_arrangement(ContentArrangement::Disabled);
    if coloured {
        table.enforce_styling();
    }
    for row in &rows {
        table.add_row(row.iter().zip(&columns).map(|(text, column)| match colour::tone(column, text) {
            Some(tone) if coloured => Cell::new(text).fg(tone.in_table()),
            Some(_) | None => Cell::new(text),
        }));
    }
    if let Some(width) = width
        && let Some(last) = columns.len().checked_sub(1)
        && let Some(column) = table.column_mut(last)
    {
        let before = needed(&columns[..last], &rows) + if last == 0 { 0 } else { GAP_CHARS };
        let room = width.saturating_sub(before).max(LAST_COLUMN_CHARS_MIN);
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(
            u16::try_from(room).unwrap_or(u16::MAX),
        )));
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(before + room).unwrap_or(u16::MAX));
    }
    let columns = table.column_count();
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if place + 1 == columns { 0 } else { 2 }));
    }
    table.trim_fmt()
}

/// Characters that the columns take with their gaps.
fn needed(columns: &[&str], rows: &[Vec<String>]) -> usize {
    let widths = columns.iter().enumerate().map(|(place, name)| {
        let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(name.chars().count())
    });
    widths.sum::<usize>() + GAP_CHARS * columns.len().saturating_sub(1)
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

/// Names and values below each other; what has no value is left out.
pub fn fields(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let coloured = colour::wanted();
    let lines = fields.iter().map(|(name, value)| {
        let value = printable(value);
        let value = match colour::tone(name, &value) {
            Some(tone) if coloured => tone.painted(&value),
            Some(_) | None => value,
        };
        format!("{name:<width$}  {value}\n")
    });
    lines.collect()
}

/// How long ago, in the largest unit that says something: `3 min ago`.
pub fn ago(now: Time, then: Time) -> String {
    format!("{} ago", span(now.since(then)))
}

/// How far off, in the largest unit that says something: `in 3 min`; `now` when it is over.
pub fn ahead(now: Time, then: Time) -> String {
    if then <= now { "now".to_owned() } else { format!("in {}", span(then.since(now))) }
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

/// Where a running attempt stands: `run 60 %: launch 2 of 3`.
pub fn progress(progress: &ProgressView) -> String {
    let colon = if progress.note.is_empty() { "" } else { ": " };
    format!("{} {} %{colon}{}", progress.step, progress.percent, progress.note)
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
        let text = fitted(&["job", "class"], &[], [vec!["J1".to_owned(), "crash".to_owned()]], None, false);
        assert_eq!(text, "job  class\nJ1   crash");
    }

    #[test]
    fn colours_move_no_column() {
        let rows = [["J1", "crash", "ready"], ["J20", "custom", "failed"]];
        let draw = |coloured| {
            let rows = rows.map(|row| row.map(str::to_owned).to_vec());
            fitted(&["job", "class", "state"], &[], rows, Some(80), coloured)
        };
        let (plain, coloured) = (draw(false), draw(true));
        assert!(!plain.contains('\u{1b}') && coloured.contains('\u{1b}'), "{coloured:?}");
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            stripped.push_str(before);
            rest = after.split_once('m').map_or("", |(_, rest)| rest);
        }
        stripped.push_str(rest);
        let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&stripped), lines(&plain));
    }

    #[test]
    fn a_narrow_terminal_loses_spare_columns_first_and_then_breaks_the_last() {
        let row = ["J1", "Mooring 1.0", "3 min ago", "every phone that would do is busy with another job"];
        let draw = |width| {
            let row = row.map(str::to_owned).to_vec();
            fitted(&["job", "build", "submitted", "note"], &["submitted", "build"], [row], Some(width), false)
        };
        let whole = "\
job  build        submitted  note
J1   Mooring 1.0  3 min ago  every phone that would do is busy with another job";
        assert_eq!(draw(200), whole);
        assert_eq!(draw(79), whole);
        let without_one = "\
job  build        note
J1   Mooring 1.0  every phone that would do is busy with another job";
        assert_eq!(draw(78), without_one);
        let broken = "\
job  note
J1   every phone that would do is
     busy with another job";
        assert_eq!(draw(34), broken);
    }

    #[test]
    fn what_has_no_value_takes_no_line() {
        let text = fields(&[
            ("job", "J1".to_owned()),
            ("a long name", String::new()),
            ("state", "ready".to_owned()),
        ]);
        assert_eq!(text, "job    J1\nstate  ready\n");
    }
}
