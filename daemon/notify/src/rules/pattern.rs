//! Patterns of paths and names: `*` within one folder, `**` across folders, `?` for one character; and regular
//! expressions, which are matched in time linear in the text.

use regex::{Regex, RegexBuilder};

/// The longest pattern, bytes: longer ones are mistakes.
pub const PATTERN_BYTES_MAX: usize = 500;

/// A compiled regular expression, bytes at most: one line of an operator needs a thousandth.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A pattern that fits a whole text, or its end from a folder on: `src/login/**` fits `/builds/7/src/login/a.mm`,
/// because compilers are given whatever path the build machine has.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// For paths.
    ///
    /// # Errors
    /// The pattern is empty or too long.
    pub fn path(text: &str) -> Result<Self, String> {
        let start = if text.starts_with('/') { "^" } else { "^(?:.*/)?" };
        Self::new(text, start, "[^/]")
    }

    /// For names: `*` fits everything.
    ///
    /// # Errors
    /// The pattern is empty or too long.
    pub fn name(text: &str) -> Result<Self, String> {
        Self::new(text, "^", ".")
    }

    /// For a regular expression that is looked for anywhere.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn regex(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
        let regex = built.map_err(|error| {
            let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            format!("{text:?} is no regular expression ({last}); mend it")
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }

    fn new(text: &str, start: &str, one: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern fits nothing; take it out".to_owned());
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!(
                "a pattern has at most {PATTERN_BYTES_MAX} bytes, not {}; shorten it",
                text.len()
            ));
        }
        let mut pattern = format!("(?s){start}");
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("**/") {
                pattern.push_str("(?:.*/)?");
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix("**") {
                pattern.push_str(".*");
                rest = after;
                continue;
            }
            match c {
                '*' => pattern.push_str(&format!("{one}*")),
                '?' => pattern.push_str(one),
                other => pattern.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
            rest = rest.get(c.len_utf8()..).unwrap_or("");
        }
        pattern.push('$');
        let regex =
            Regex::new(&pattern).map_err(|error| format!("{text:?} is no pattern ({error}); mend it"))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Whether it fits.
    pub fn fits(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn paths_fit_from_any_folder_on() {
        let table = [
            ("src/login/**", "src/login/a/b.mm", true),
            ("src/login/**", "/builds/7/src/login/b.mm", true),
            ("src/login/**", "/builds/7/mysrc/login/b.mm", false),
            ("src/*.mm", "src/a.mm", true),
            ("src/*.mm", "src/a/b.mm", false),
            ("**/Chat?.swift", "a/b/Chat1.swift", true),
            ("**/Chat?.swift", "Chat12.swift", false),
            ("/abs/*", "/abs/x", true),
            ("/abs/*", "/more/abs/x", false),
            ("a.c", "abc", false),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(Pattern::path(pattern).unwrap().fits(path), expected, "{pattern} {path}");
        }
        assert!(Pattern::name("com.example.*").unwrap().fits("com.example.a/b"));
        assert!(!Pattern::name("com.example.*").unwrap().fits("xcom.example.a"));
        assert!(Pattern::name("").is_err());
    }
}
