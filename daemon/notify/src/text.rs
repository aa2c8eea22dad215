//! Measuring, cutting and escaping texts for receivers. Every cut falls between characters, and always before markup is
//! made, so that no escape and no tag is ever halved.

/// What stands at the end of what was cut.
pub const CUT: &str = "…";

/// How a receiver counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Bytes of UTF-8.
    Bytes,
    /// Unicode characters.
    Chars,
}

impl Count {
    /// The length of a text.
    pub fn of(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Chars => text.chars().count(),
        }
    }
}

/// The text, or its beginning and [`CUT`], within `max`. Below the length of the mark itself nothing is left.
pub fn cut(text: &str, count: Count, max: usize) -> String {
    if count.of(text) <= max {
        return text.to_owned();
    }
    let Some(room) = max.checked_sub(count.of(CUT)) else { return String::new() };
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += match count {
            Count::Bytes => c.len_utf8(),
            Count::Chars => 1,
        };
        used > room
    });
    let kept = end.map_or(text, |(end, _)| &text[..end]);
    format!("{kept}{CUT}")
}

/// The text on one line, without control characters and those that turn the direction of writing, within `max` bytes.
pub fn one_line(text: &str, max: usize) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}'))
        .collect();
    cut(plain.trim(), Count::Bytes, max)
}

/// For HTML and XML text and quoted attributes.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// For Slack's mrkdwn: its three characters; and what would make bold, code or a mention is kept from its meaning.
pub fn slack(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    apart(&escaped, &['*', '_', '~', '`'])
}

/// For the Markdown of trackers, Teams and DingTalk: whatever could begin markup, HTML or a mention has a backslash or
/// its entity.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A word joiner keeps the eye's text and takes the mention away.
            '@' => out.push_str("@\u{2060}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    out
}

/// For the Markdown of WeCom and Feishu, which knows no backslash: what would begin markup or a mention is replaced by
/// what looks alike.
pub fn plain_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(match c {
            '<' => '‹',
            '>' => '›',
            '`' => '\'',
            '*' => '∗',
            '[' => '(',
            ']' => ')',
            '~' => '∼',
            other => other,
        });
    }
    out
}

/// A text inside a fenced or inline piece of code: nothing may end it.
pub fn code(text: &str) -> String {
    text.replace('`', "'")
}

/// A word joiner before each of `marks`: it begins no markup then, and looks the same.
fn apart(text: &str, marks: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if marks.contains(&c) {
            out.push('\u{2060}');
        }
        out.push(c);
    }
    out
}

/// An address that may stand in markup: http or https, and nothing in it that could end the markup around it.
pub fn safe_url(url: &str) -> Option<String> {
    let known = url.starts_with("https://") || url.starts_with("http://");
    let plain =
        !url.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '\\'));
    (known && plain).then(|| url.replace('(', "%28").replace(')', "%29").replace('|', "%7C"))
}

/// Lines joined while they fit: whole lines alone, so that markup is never halved. When some are left out the last
/// line says how many.
pub fn join_within(lines: &[String], count: Count, max: usize) -> String {
    // "… 1000 more lines" fits in this.
    const TAIL: usize = 24;
    let whole: usize = lines.iter().map(|line| count.of(line) + 1).sum();
    if whole <= max + 1 {
        return lines.join("\n");
    }
    let mut out = String::new();
    let mut used = 0;
    for (index, line) in lines.iter().enumerate() {
        let size = count.of(line) + 1;
        if used + size + TAIL > max {
            let tail = format!("{CUT} {} more lines", lines.len() - index);
            if used + count.of(&tail) <= max {
                out.push_str(&tail);
            }
            break;
        }
        out.push_str(line);
        out.push('\n');
        used += size;
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cut_falls_between_characters() {
        let table = [
            ("abc", Count::Bytes, 3, "abc"),
            ("abcd", Count::Bytes, 3, "…"),
            ("abcdefg", Count::Bytes, 6, "abc…"),
            ("崩溃崩溃", Count::Bytes, 11, "崩溃…"),
            ("崩溃崩溃", Count::Bytes, 8, "崩…"),
            ("崩溃崩溃", Count::Chars, 3, "崩溃…"),
            ("abcd", Count::Bytes, 2, ""),
        ];
        for (text, count, max, expected) in table {
            assert_eq!(cut(text, count, max), expected, "{text} {max}");
        }
    }

    #[test]
    fn what_could_begin_markup_does_not() {
        assert_eq!(html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(markdown("a*b [x](y) <b> @all"), "a\\*b \\[x\\](y) &lt;b&gt; @\u{2060}all");
        assert_eq!(slack("<!channel> & `x`"), "&lt;!channel&gt; &amp; \u{2060}`x\u{2060}`");
        assert_eq!(plain_markdown("<@all> `x`"), "‹@all› 'x'");
        assert_eq!(one_line("a\nb\u{202e}c\u{7}", 99), "a bc");
    }

    #[test]
    fn an_address_cannot_end_the_markup_around_it() {
        assert_eq!(safe_url("https://a/b(c)|d").as_deref(), Some("https://a/b%28c%29%7Cd"));
        for bad in ["javascript:alert(1)", "https://a b", "https://a\">x", "file:///etc", "https://a\nb"] {
            assert_eq!(safe_url(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_it_may_be(text in any::<String>(), max in 0_usize..60) {
            for count in [Count::Bytes, Count::Chars] {
                let short = cut(&text, count, max);
                prop_assert!(count.of(&short) <= max);
                let kept = short.strip_suffix(CUT).unwrap_or(&short);
                prop_assert!(text.starts_with(kept));
            }
        }

        #[test]
        fn joined_lines_stay_whole(lines in proptest::collection::vec("[a-z崩]{0,20}", 0..12), max in 0_usize..120) {
            let joined = join_within(&lines, Count::Bytes, max);
            prop_assert!(joined.len() <= max);
            for line in joined.lines().filter(|line| !line.contains(CUT)) {
                prop_assert!(lines.iter().any(|whole| whole == line), "{line:?}");
            }
        }
    }
}
