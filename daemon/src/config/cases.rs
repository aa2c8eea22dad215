//! The cases folder → the catalogue: one file per case, named like it. What a case does is `agent/attempt`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_wire::case::Case;
use holdfast_wire::id::CaseName;

use super::yaml::{Mistake, Source};

/// Most cases in the catalogue: many times the largest test plan that one team keeps.
const CASES_MAX: usize = 10_000;

/// The cases that a job may name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    cases: Arc<BTreeMap<CaseName, Case>>,
}

impl Catalogue {
    /// The cases, by name.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }

    /// One case.
    pub fn get(&self, name: &CaseName) -> Option<&Case> {
        self.cases.get(name)
    }
}

impl FromIterator<Case> for Catalogue {
    fn from_iter<I: IntoIterator<Item = Case>>(cases: I) -> Self {
        Self { cases: Arc::new(cases.into_iter().map(|case| (case.name.clone(), case)).collect()) }
    }
}

/// Reads every `*.yaml` of the folder.
///
/// # Errors
/// Every mistake in every file.
pub fn read(folder: &Path) -> Result<Catalogue, Vec<Mistake>> {
    let files = files(folder).map_err(|mistake| vec![mistake])?;
    let mut mistakes = Vec::new();
    let mut cases = Vec::new();
    for file in files {
        match Source::read(&file).map_err(|mistake| vec![mistake]).and_then(|source| parse(&source)) {
            Ok(case) => cases.push(case),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() { Ok(cases.into_iter().collect()) } else { Err(mistakes) }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let whole = |what: String| Mistake { file: folder.to_owned(), position: None, path: String::new(), what };
    let unread = |error: std::io::Error| {
        whole(format!("cannot be read ({error}); create the folder, or mend `cases` in holdfastd.yaml"))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    if files.len() > CASES_MAX {
        return Err(whole(format!("has {} cases, and the catalogue holds at most {CASES_MAX}", files.len())));
    }
    files.sort();
    Ok(files)
}

fn parse(source: &Source) -> Result<Case, Vec<Mistake>> {
    let case: Case = source.parse()?;
    let mut mistakes: Vec<Mistake> = case
        .mistakes()
        .iter()
        .map(|mistake| match mistake.split_once(": ") {
            Some((path, what)) => source.mistake(path, what),
            None => source.mistake("", mistake),
        })
        .collect();
    let stem = source.file().file_stem().and_then(|stem| stem.to_str());
    if stem != Some(case.name.as_str()) {
        let what = format!("case {} must be in a file of its name; rename the file to {0}.yaml", case.name);
        mistakes.push(source.mistake("name", what));
    }
    if mistakes.is_empty() { Ok(case) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn mistakes_of_every_file_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let good = "name: good\nowner: perf\nrun:\n  kind: launch\n  launches: 5\n";
        std::fs::write(folder.path().join("good.yaml"), good).unwrap();
        std::fs::write(folder.path().join("other.yaml"), good.replace("launches: 5", "launches: 0")).unwrap();
        std::fs::write(folder.path().join("third.yaml"), "name: third\n").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a case").unwrap();
        let told: Vec<String> = read(folder.path())
            .unwrap_err()
            .iter()
            .map(|mistake| mistake.to_string().replace(&format!("{}/", folder.path().display()), ""))
            .collect();
        let expected = [
            "other.yaml:5:13: run.launches: 0 is not in 1..=1000",
            "other.yaml:1:7: name: case good must be in a file of its name; rename the file to good.yaml",
            "third.yaml:1:1: missing field `owner`; add it",
        ];
        assert_eq!(told, expected);
        std::fs::remove_file(folder.path().join("other.yaml")).unwrap();
        std::fs::remove_file(folder.path().join("third.yaml")).unwrap();
        assert!(read(folder.path()).unwrap().get(&"good".parse().unwrap()).is_some());
    }
}
