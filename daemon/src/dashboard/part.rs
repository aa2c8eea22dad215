//! Pieces of a page with stable element ids, and which of them changed between two looks.
//!
//! Parts are compared as they look at one fixed moment, so that the mere passing of time changes nothing: the
//! script in the browser counts ages on by itself.

use maud::{Markup, PreEscaped, html};

/// One piece of a page. Its HTML is one element whose `id` is the part's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The element's id; unique in the page.
    pub id: String,
    /// The whole element, parts inside it included.
    pub html: String,
    /// The element without the parts inside it.
    own: String,
    /// The parts inside it, in order.
    inner: Vec<Part>,
}

impl Part {
    /// A part without parts inside.
    pub fn leaf(id: impl Into<String>, html: Markup) -> Self {
        let html = html.into_string();
        Self { id: id.into(), own: html.clone(), html, inner: Vec::new() }
    }

    /// A part around others: `around` gets the HTML of those inside and puts it into its own.
    pub fn around(id: impl Into<String>, inner: Vec<Part>, around: impl Fn(Markup) -> Markup) -> Self {
        let own = around(html! {}).into_string();
        let html = around(all(&inner)).into_string();
        Self { id: id.into(), html, own, inner }
    }

    /// The part as it goes into a page.
    pub fn markup(&self) -> Markup {
        PreEscaped(self.html.clone())
    }

    fn find(&self, id: &str) -> Option<&Part> {
        if self.id == id { Some(self) } else { self.inner.iter().find_map(|part| part.find(id)) }
    }

    fn collect_changed<'a>(&self, new: &'a Part, found: &mut Vec<&'a str>) {
        if self.html == new.html {
            return;
        }
        let same_frame = self.own == new.own && !new.inner.is_empty() && same_ids(&self.inner, &new.inner);
        if same_frame {
            for (before, after) in self.inner.iter().zip(&new.inner) {
                before.collect_changed(after, found);
            }
        } else {
            found.push(&new.id);
        }
    }
}

/// Every part, one after the other.
pub fn all(parts: &[Part]) -> Markup {
    html! { @for part in parts { (part.markup()) } }
}

/// The ids of the smallest parts that cover everything that differs. None when the page itself is another one, with
/// other parts at its top, so that only loading it anew helps.
pub fn changed<'a>(before: &[Part], after: &'a [Part]) -> Option<Vec<&'a str>> {
    if !same_ids(before, after) {
        return None;
    }
    let mut found = Vec::new();
    for (old, new) in before.iter().zip(after) {
        old.collect_changed(new, &mut found);
    }
    Some(found)
}

/// The part of this id, wherever it lies.
pub fn find<'a>(parts: &'a [Part], id: &str) -> Option<&'a Part> {
    parts.iter().find_map(|part| part.find(id))
}

/// A name for how the parts look: whoever holds it has seen exactly this.
pub fn digest(parts: &[Part]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.html.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(20).collect()
}

fn same_ids(before: &[Part], after: &[Part]) -> bool {
    before.iter().map(|part| &part.id).eq(after.iter().map(|part| &part.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `list(title, [(id, text)])`: a titled list of leaves.
    fn page(title: &str, rows: &[(&str, &str)]) -> Vec<Part> {
        let leaf = |(id, text): &(&str, &str)| Part::leaf(*id, html! { li id=(id) { (text) } });
        let rows: Vec<Part> = rows.iter().map(leaf).collect();
        vec![
            Part::around("list", rows, |inner| html! { section #list { h2 { (title) } ul { (inner) } } }),
            Part::leaf("foot", html! { p #foot { "foot" } }),
        ]
    }

    type Rows = &'static [(&'static str, &'static str)];

    #[test]
    fn the_smallest_parts_that_cover_a_difference_are_named() {
        let before = page("Two", &[("a", "1"), ("b", "2")]);
        let table: [(&str, &str, Rows, &[&str]); 6] = [
            ("nothing", "Two", &[("a", "1"), ("b", "2")], &[]),
            ("one row", "Two", &[("a", "1"), ("b", "3")], &["b"]),
            ("both rows", "Two", &[("a", "3"), ("b", "3")], &["a", "b"]),
            ("the frame", "Other", &[("a", "1"), ("b", "3")], &["list"]),
            ("the order", "Two", &[("b", "2"), ("a", "1")], &["list"]),
            ("a row less", "Two", &[("a", "1")], &["list"]),
        ];
        for (what, title, rows, expected) in table {
            let after = page(title, rows);
            assert_eq!(changed(&before, &after), Some(expected.to_vec()), "{what}");
            assert_eq!(digest(&before) == digest(&after), expected.is_empty(), "{what}");
        }
    }

    #[test]
    fn another_page_has_to_be_loaded_anew() {
        let before = page("Two", &[]);
        assert_eq!(changed(&before, &before[..1]), None);
    }

    #[test]
    fn parts_are_found_wherever_they_lie() {
        let parts = page("Two", &[("a", "1"), ("b", "2")]);
        assert_eq!(find(&parts, "b").map(|part| part.html.as_str()), Some("<li id=\"b\">2</li>"));
        assert_eq!(find(&parts, "c"), None);
    }
}
