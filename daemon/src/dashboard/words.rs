//! Texts and figures as people read them: what comes from outside made harmless, ages, spans, sizes.

use std::time::Duration;

use holdfast_wire::time::Time;
use maud::{Markup, html};

/// Longest text from outside that a page shows; the whole is in the API.
const TEXT_CHARS_MAX: usize = 4_000;

/// A text from outside on one line: every character that would not be seen, or would turn the text around it, is
/// made visible. Escaping for HTML is maud's.
pub fn shown(text: &str) -> String {
    make_visible(text, |_| false)
}

/// The same for a text whose line ends and tabs mean something.
pub fn shown_lines(text: &str) -> String {
    make_visible(text, |letter| matches!(letter, '\n' | '\t'))
}

fn make_visible(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut seen = String::with_capacity(text.len().min(TEXT_CHARS_MAX * 4));
    for (count, letter) in text.chars().enumerate() {
        if count == TEXT_CHARS_MAX {
            seen.push('…');
            break;
        }
        match letter {
            letter if kept(letter) => seen.push(letter),
            // Unicode has a picture for each of the old control characters.
            '\u{0}'..='\u{1f}' => seen.push(char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}')),
            '\u{7f}' => seen.push('\u{2421}'),
            letter if is_unseen(letter) => seen.push_str(&format!("‹U+{:04X}›", u32::from(letter))),
            letter => seen.push(letter),
        }
    }
    seen
}

/// C1 controls, marks that turn the direction of writing, spaces without width, line ends of Unicode, tags.
/// The joiner U+200D stays: names with emoji need it.
fn is_unseen(letter: char) -> bool {
    matches!(letter,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// A moment as how long ago it was; the moment itself on hover and for machines.
pub fn ago(at: Time, now: Time) -> Markup {
    counted(at, now, "ago")
}

/// A moment as how long it has lasted since.
pub fn lasting(since: Time, now: Time) -> Markup {
    counted(since, now, "for")
}

/// A moment ahead as how long it still is.
pub fn ahead(at: Time, now: Time) -> Markup {
    counted(at, now, "in")
}

fn counted(at: Time, now: Time, form: &str) -> Markup {
    let span = if form == "in" { at.since(now) } else { now.since(at) };
    html! { time datetime=(at) title=(absolute(at)) data-form=(form) { (phrase(span, form)) } }
}

fn phrase(span: Duration, form: &str) -> String {
    match form {
        "for" => coarse(span),
        "in" if span.is_zero() => "now".to_owned(),
        "in" => format!("in {}", coarse(span)),
        _ if span < Duration::from_secs(1) => "now".to_owned(),
        _ => format!("{} ago", coarse(span)),
    }
}

/// One figure and its unit, as the script in the browser writes it too.
fn coarse(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `2026-11-21 03:30:46 UTC`.
pub fn absolute(at: Time) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(clock)) if text.len() == 24 => format!("{date} {clock} UTC"),
        _ => text,
    }
}

/// A measured span: `840 ms`, `3.2 s`, `2 min 05 s`, `1 h 04 min`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..=9 => format!("{:.1} s", span.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A size: `512 B`, `64.0 KB`, `3.2 GB`, in powers of 1000 as phones count.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 1_000.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1_000.0;
    }
    format!("{value:.1} TB")
}

/// `1 phone`, `2 phones`, `3 crashes`.
pub fn count(number: usize, one: &str) -> String {
    let ending = if one.ends_with("sh") { "es" } else { "s" };
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}{ending}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_would_deceive_are_made_visible() {
        let table = [
            ("Überwachung 🧑‍🚀 — 東京", "Überwachung 🧑‍🚀 — 東京"),
            ("a\u{0}b\x1b[31mred\r\n", "a␀b␛[31mred␍␊"),
            ("\u{7f}\u{85}", "␡‹U+0085›"),
            ("evil\u{202e}gpj.exe\u{2066}x\u{2069}", "evil‹U+202E›gpj.exe‹U+2066›x‹U+2069›"),
            ("ad\u{200b}min\u{feff}\u{2028}", "ad‹U+200B›min‹U+FEFF›‹U+2028›"),
        ];
        for (raw, expected) in table {
            assert_eq!(shown(raw), expected);
        }
        assert_eq!(shown_lines("one\n\ttwo\r\n"), "one\n\ttwo␍\n");
    }

    #[test]
    fn endless_texts_are_cut() {
        let cut = shown(&"x".repeat(TEXT_CHARS_MAX + 5));
        assert_eq!(cut.chars().count(), TEXT_CHARS_MAX + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn ages_are_one_figure_and_the_moment_itself_is_in_the_title() {
        let now = Time::from_unix_ms(1_700_000_000_000);
        let table = [
            (0, "now"),
            (999, "now"),
            (1_000, "1 s ago"),
            (59_999, "59 s ago"),
            (60_000, "1 min ago"),
            (3_600_000, "1 h ago"),
            (172_800_000, "2 days ago"),
            (-5_000, "now"),
        ];
        for (ms, expected) in table {
            let at = Time::from_unix_ms(now.as_unix_ms() - ms);
            let html = ago(at, now).into_string();
            assert!(html.contains(&format!(">{expected}</time>")), "{ms}: {html}");
        }
        let html = ago(Time::from_unix_ms(1_699_999_999_120), now).into_string();
        assert!(html.contains("title=\"2023-11-14 22:13:19 UTC\""), "{html}");
        assert!(html.contains("datetime=\"2023-11-14T22:13:19.120Z\""), "{html}");
    }

    #[test]
    fn spans_and_sizes_have_units() {
        let spans = [
            (840, "840 ms"),
            (3_240, "3.2 s"),
            (45_000, "45 s"),
            (125_000, "2 min 05 s"),
            (3_840_000, "1 h 04 min"),
        ];
        for (ms, expected) in spans {
            assert_eq!(span(Duration::from_millis(ms)), expected);
        }
        let sizes =
            [(512, "512 B"), (64_000, "64.0 KB"), (3_200_000_000, "3.2 GB"), (u64::MAX, "18446744.1 TB")];
        for (size, expected) in sizes {
            assert_eq!(bytes(size), expected);
        }
    }
}
