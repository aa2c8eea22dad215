//! Links to the repository: `https://git.example/chat/blob/{commit}/{file}#L{line}` with a frame's commit, file and line.

use std::fmt::Write;

/// The folders on the build machines that stand before a file's path in its repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceRoots(Vec<String>);

impl SourceRoots {
    /// These folders.
    pub fn new(roots: &[String]) -> Self {
        Self(roots.iter().map(|root| format!("{}/", root.trim_end_matches('/'))).collect())
    }

    /// The path in the repository; none of a file that lies in none of the folders, as the sources of libraries do. Without
    /// a folder, the path is taken as it is in the debug information.
    fn inside<'f>(&self, file: &'f str) -> Option<&'f str> {
        match self.0.as_slice() {
            [] => Some(file.trim_start_matches('/')),
            roots => roots.iter().find_map(|root| file.strip_prefix(root.as_str())),
        }
    }

    /// The path in the repository, or the whole one of a file that lies in none of the folders.
    pub fn relative<'f>(&self, file: &'f str) -> &'f str {
        if self.0.is_empty() { file } else { self.inside(file).unwrap_or(file) }
    }
}

/// How a source line is turned into a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLinks {
    template: String,
    roots: SourceRoots,
}

impl SourceLinks {
    /// A template, and the folders that stand before a file's path in the repository. Without one, the path is taken as it
    /// is in the debug information.
    ///
    /// # Errors
    /// What is wrong with the template, in words.
    pub fn new(template: &str, roots: &[String]) -> Result<Self, String> {
        if !template.starts_with("https://") && !template.starts_with("http://") {
            return Err("a link begins with https:// or http://".to_owned());
        }
        for part in ["{commit}", "{file}", "{line}"] {
            if !template.contains(part) {
                return Err(format!(
                    "{part} is missing; write it like https://git.example/chat/blob/{{commit}}/{{file}}#L{{line}}"
                ));
            }
        }
        if template.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>')) {
            return Err("a link has no spaces, quotes or angle brackets".to_owned());
        }
        Ok(Self { template: template.to_owned(), roots: SourceRoots::new(roots) })
    }

    /// The link to a line; none of a file that lies in none of the folders, as the sources of libraries do.
    pub fn link(&self, commit: &str, file: &str, line: u32) -> Option<String> {
        let file = self.roots.inside(file)?;
        if file.is_empty() || file.split('/').any(|part| part == "..") {
            return None;
        }
        // The three are put in at once, so that a file whose name looks like a placeholder stays one.
        let mut link = String::new();
        let mut rest = self.template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            link.push_str(before);
            match after.split_once('}') {
                Some(("commit", more)) => (rest, _) = (more, escape(&mut link, commit)),
                Some(("file", more)) => (rest, _) = (more, escape(&mut link, file)),
                Some(("line", more)) => (rest, _) = (more, escape(&mut link, &line.to_string())),
                _ => (rest, _) = (after, link.push('{')),
            }
        }
        link.push_str(rest);
        Some(link)
    }
}

/// Percent-encodes what RFC 3986 does not leave as it is in a path.
fn escape(link: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+@".contains(&byte) {
            link.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(link, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    const TEMPLATE: &str = "https://git.example/chat/blob/{commit}/{file}#L{line}";

    #[test]
    fn a_line_is_turned_into_a_link() {
        let table = [
            (&["/ci/chat"][..], "/ci/chat/Sources/Feed.c", Some("Sources/Feed.c#L7")),
            (&["/ci/chat/", "/old"], "/old/Feed.c", Some("Feed.c#L7")),
            (&["/ci/chat"], "/ci/chatter/Feed.c", None),
            (&["/ci/chat"], "/ci/chat/../../etc/passwd", None),
            (&[], "/Sources/Feed.c", Some("Sources/Feed.c#L7")),
            (&[], "A b/Chat+Room.m", Some("A%20b/Chat+Room.m#L7")),
            (&[], "x\"><script>.c", Some("x%22%3E%3Cscript%3E.c#L7")),
            (&[], "{line}.c", Some("%7Bline%7D.c#L7")),
        ];
        for (roots, file, expected) in table {
            let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
            let link = SourceLinks::new(TEMPLATE, &roots).unwrap().link("4f2a9c1", file, 7);
            let expected = expected.map(|end| format!("https://git.example/chat/blob/4f2a9c1/{end}"));
            assert_eq!(link, expected, "{file}");
        }
    }

    #[test]
    fn a_template_that_makes_no_link_is_refused() {
        let table = [
            ("javascript:alert({commit}{file}{line})", "begins with https://"),
            ("https://git.example/{commit}/{file}", "{line} is missing"),
            ("https://git.example/{file}#{line}", "{commit} is missing"),
            ("https://git.example/{commit}/{file}#L{line} \"", "no spaces"),
        ];
        for (template, expected) in table {
            let refused = SourceLinks::new(template, &[]).unwrap_err();
            assert!(refused.contains(expected), "{template}: {refused}");
        }
    }
}
