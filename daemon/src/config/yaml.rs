//! The only place that reads YAML. A mistake is told with file, line, column, path and mend.
//! What the files mean is not known here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Largest configuration file, in bytes: a thousand times what one has, so that a wrong path is noticed early.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Mistakes of one file that are told at once; more would not be read.
const MISTAKES_MAX: usize = 50;

/// One mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// Line and column, both from 1, when they are known.
    pub position: Option<(usize, usize)>,
    /// The path in the document (`pools[1].serves`); empty for the whole document.
    pub path: String,
    /// What is wrong, and the mend.
    pub what: String,
}

impl Mistake {
    /// Where it is: file, line and column, and path, as far as they are known.
    pub fn place(&self) -> String {
        let mut place = self.file.display().to_string();
        if let Some((line, column)) = self.position {
            place.push_str(&format!(":{line}:{column}"));
        }
        if !self.path.is_empty() {
            place.push_str(&format!(": {}", self.path));
        }
        place
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.what)
    }
}

/// A file that was read: its name and text, to which later mistakes can point.
#[derive(Debug, Clone)]
pub struct Source {
    file: PathBuf,
    text: String,
}

impl Source {
    /// Reads the file.
    ///
    /// # Errors
    /// A [`Mistake`] about the whole file when it cannot be read, is too large, or is no UTF-8 text.
    pub fn read(file: &Path) -> Result<Self, Mistake> {
        let whole =
            |what: String| Mistake { file: file.to_owned(), position: None, path: String::new(), what };
        let size = std::fs::metadata(file)
            .map_err(|error| {
                whole(format!("cannot be read ({error}); create it, or mend the path that names it"))
            })?
            .len();
        if size > FILE_BYTES_MAX {
            return Err(whole(format!(
                "has {size} bytes, and a configuration file has at most {FILE_BYTES_MAX}"
            )));
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| whole(format!("cannot be read ({error}); save it as UTF-8 text")))?;
        Ok(Self { file: file.to_owned(), text })
    }

    /// For texts that come from elsewhere than a file.
    pub fn of(file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    /// The file's name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The whole text as a `T`.
    ///
    /// # Errors
    /// The first [`Mistake`] that stands in the way, and those that stand elsewhere: what is wrong is cut out, and the
    /// rest is read again.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Vec<Mistake>> {
        let parsed = serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(&self.text));
        let first = match parsed {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let path = first.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let inner = first.into_inner();
        let what = words(&inner, &path);
        let rest = serde_yaml::from_str::<serde_yaml::Value>(&self.text).ok();
        // The parser names the place of a wrong value only roughly, but that of a key, or of a broken text, well.
        let at_value = rest.is_some() && !path.is_empty() && !what.starts_with("unknown field");
        let mut mistakes = vec![if at_value {
            self.mistake(&path, what)
        } else {
            let position = inner.location().map(|place| (place.line(), place.column()));
            Mistake { file: self.file.clone(), position, what, path: path.clone() }
        }];
        if let Some(document) = rest {
            self.more_mistakes::<T>(document, steps(&path), &mut mistakes);
        }
        Err(mistakes)
    }

    /// What else is wrong when what is wrong so far, up to `wrong`, is cut out.
    fn more_mistakes<T: DeserializeOwned>(
        &self,
        document: serde_yaml::Value,
        mut wrong: Vec<Step>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let mut rest = Rest { document, gone: BTreeSet::new() };
        while rest.cut(&wrong).is_some() && mistakes.len() < MISTAKES_MAX {
            let Err(error) = serde_path_to_error::deserialize::<_, T>(rest.document.clone()) else { return };
            wrong = rest.as_written(&steps(&error.path().to_string()));
            let path = written(&wrong);
            let what = words(error.inner(), &path);
            // A field that was cut out is now missed; that is no mistake of the file. Then its container goes.
            let missed = what.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
            let ours = missed.is_some_and(|(name, _)| {
                let mut field = wrong.clone();
                field.push(Step::Key(name.to_owned()));
                rest.gone.contains(&field)
            });
            if !ours {
                mistakes.push(self.mistake(&path, what));
            }
        }
    }

    /// A mistake at `path`, with the line and column of what stands there, or of its nearest container. A mistake whose
    /// words begin with `column N: ` is told at that column of the text that stands there, where it is on one line.
    pub fn mistake(&self, path: &str, what: impl Into<String>) -> Mistake {
        let (steps, what) = (steps(path), what.into());
        let position = (0..=steps.len()).rev().find_map(|kept| self.position(steps.get(..kept)?));
        let inside = position.zip(column_of(&what)).and_then(|((line, column), (inner, rest))| {
            let first = self.text.lines().nth(line - 1)?.chars().nth(column - 1)?;
            let quote = match first {
                '"' | '\'' => 1,
                '|' | '>' => return None,
                _ => 0,
            };
            Some(((line, column + quote + inner - 1), rest.to_owned()))
        });
        let (position, what) = match inside {
            Some((place, what)) => (Some(place), what),
            None => (position, what),
        };
        Mistake { file: self.file.clone(), position, path: path.to_owned(), what }
    }

    fn position(&self, steps: &[Step]) -> Option<(usize, usize)> {
        let found = Find(steps).deserialize(serde_yaml::Deserializer::from_str(&self.text)).err()?;
        let place = found.location().filter(|_| found.to_string().contains(FOUND))?;
        Some((place.line(), place.column()))
    }
}

/// `column 7: found …` → 7 and the rest.
fn column_of(what: &str) -> Option<(usize, &str)> {
    let (column, rest) = what.strip_prefix("column ")?.split_once(": ")?;
    Some((column.parse().ok().filter(|column| *column > 0)?, rest))
}

/// What is left of a document from which parts have been cut out.
struct Rest {
    document: serde_yaml::Value,
    /// What was cut out, by its place in the whole document.
    gone: BTreeSet<Vec<Step>>,
}

impl Rest {
    /// Takes out what stands at a place of the whole document; none when nothing does.
    fn cut(&mut self, place: &[Step]) -> Option<()> {
        let (last, above) = place.split_last()?;
        let mut container = &mut self.document;
        for (depth, step) in above.iter().enumerate() {
            container = match step {
                Step::Key(key) => container.get_mut(key.as_str())?,
                Step::Index(index) => {
                    let index = index - gone_before(&self.gone, above.get(..depth)?, *index);
                    container.get_mut(index)?
                }
            };
        }
        match last {
            Step::Key(key) => drop(container.as_mapping_mut()?.remove(key.as_str())?),
            Step::Index(index) => {
                let list = container.as_sequence_mut()?;
                let index = index - gone_before(&self.gone, above, *index);
                (index < list.len()).then(|| list.remove(index))?;
            }
        }
        self.gone.insert(place.to_vec()).then_some(())
    }

    /// The place in the whole document of what stands at a place of the rest.
    fn as_written(&self, place: &[Step]) -> Vec<Step> {
        let mut whole: Vec<Step> = Vec::new();
        for step in place {
            whole.push(match step {
                Step::Key(key) => Step::Key(key.clone()),
                Step::Index(index) => {
                    let here =
                        |index: &usize| !self.gone.contains(&[&whole[..], &[Step::Index(*index)]].concat());
                    Step::Index((0..usize::MAX).filter(here).nth(*index).unwrap_or(*index))
                }
            });
        }
        whole
    }
}

/// How many items of a list were cut out before an index.
fn gone_before(gone: &BTreeSet<Vec<Step>>, list: &[Step], index: usize) -> usize {
    (0..index).filter(|before| gone.contains(&[list, &[Step::Index(*before)]].concat())).count()
}

/// The steps as they are told: `pools[1].serves`.
fn written(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.push_str(&format!(".{key}")),
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// serde_yaml repeats the place inside its text, or that of the container; it is shown once, in front.
fn words(error: &serde_yaml::Error, path: &str) -> String {
    let text = error.to_string();
    let text = match text.split_once(": ") {
        Some((place, rest)) if !place.is_empty() && path.starts_with(place) => rest,
        Some(_) | None => &text,
    };
    let text = match text.rfind(" at line ") {
        Some(end) => &text[..end],
        None => text,
    };
    let mend = if text.starts_with("unknown field") {
        "; mend its spelling or take it out"
    } else if text.starts_with("missing field") {
        "; add it"
    } else if text.starts_with("did not find expected") {
        "; look for a bracket, quote or indentation that is wrong at or before this place"
    } else {
        ""
    };
    format!("{text}{mend}")
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// `pools[1].serves` → pools, 1, serves.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        if let Some(key) = pieces.next().filter(|key| !key.is_empty()) {
            steps.push(Step::Key(key.to_owned()));
        }
        steps.extend(pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok()).map(Step::Index));
    }
    steps
}

/// The text of the error with which [`Find`] stops where it was sent, so that the parser tells the place.
const FOUND: &str = "holdfast was sent here";

/// Walks down the steps and stops with an error at their end: only errors carry places in this parser.
struct Find<'s>(&'s [Step]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FOUND)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.0.split_first() else { return Err(serde::de::Error::custom(FOUND)) };
        while let Some(key) = map.next_key::<String>()? {
            if *first == Step::Key(key) {
                return map.next_value_seed(Find(rest));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.0.split_first() else { return Err(serde::de::Error::custom(FOUND)) };
        let mut index = 0;
        while *first != Step::Index(index) {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
            index += 1;
        }
        list.next_element_seed(Find(rest)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by the parser only")]
    struct Sample {
        racks: Vec<Rack>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by the parser only")]
    struct Rack {
        name: String,
        slots: u8,
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_mend() {
        let table = [
            (
                "racks:\n  - name: a\n    slots: many\n",
                "f.yaml:3:12: racks[0].slots: invalid type: string \"many\", expected u8",
            ),
            (
                "racks:\n  - name: a\n    slot: 2\n",
                "f.yaml:3:5: racks[0].slot: unknown field `slot`, expected `name` or `slots`; mend its spelling or take it out",
            ),
            ("racks:\n  - name: a\n", "f.yaml:2:5: racks[0]: missing field `slots`; add it"),
            (
                "racks: [\n",
                "f.yaml:2:1: racks: did not find expected node content; look for a bracket, quote or indentation that is wrong at or before this place",
            ),
        ];
        for (text, expected) in table {
            let mistakes = Source::of("f.yaml", text).parse::<Sample>().unwrap_err();
            assert_eq!(mistakes[0].to_string(), expected);
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_told_once() {
        let text = "racks:\n  - name: a\n    slots: many\n    colour: red\n  - name: [b]\n    slots: 1\n  - name: c\n  \
                    - name: d\n    slots: few\nhouse: 3\n";
        let told: Vec<String> = Source::of("f.yaml", text)
            .parse::<Sample>()
            .unwrap_err()
            .iter()
            .map(|mistake| mistake.to_string().split("; ").next().unwrap().to_owned())
            .collect();
        let expected = [
            "f.yaml:3:12: racks[0].slots: invalid type: string \"many\", expected u8",
            "f.yaml:4:13: racks[0].colour: unknown field `colour`, expected `name` or `slots`",
            "f.yaml:5:11: racks[1].name: invalid type: sequence, expected a string",
            "f.yaml:7:5: racks[2]: missing field `slots`",
            "f.yaml:9:12: racks[3].slots: invalid type: string \"few\", expected u8",
            "f.yaml:10:8: house: unknown field `house`, expected `racks`",
        ];
        let mut told = told;
        told.sort_by_key(|words| words.split(':').nth(1).unwrap().parse::<usize>().unwrap());
        assert_eq!(told, expected);
    }

    #[test]
    fn a_mistake_inside_a_text_is_told_at_its_own_column() {
        let source = Source::of("f.yaml", "a: os >= x\nb: \"os >= x\"\nc: |\n  os >= x\n");
        let table = [
            ("a", "f.yaml:1:10: a: odd"),
            ("b", "f.yaml:2:11: b: odd"),
            ("c", "f.yaml:3:4: c: column 7: odd"),
        ];
        for (path, expected) in table {
            assert_eq!(source.mistake(path, "column 7: odd").to_string(), expected);
        }
    }

    #[test]
    fn a_later_mistake_finds_its_line() {
        let source = Source::of("f.yaml", "a: 1\nracks:\n  - name: x\n  - name: y\n    slots: 2\n");
        let table = [
            ("racks[1].slots", Some((5, 12))),
            ("racks[1]", Some((4, 5))),
            ("racks[7].name", Some((3, 3))),
            ("", Some((1, 1))),
        ];
        for (path, position) in table {
            assert_eq!(source.mistake(path, "x").position, position, "{path}");
        }
    }
}
