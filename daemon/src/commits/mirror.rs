//! Reads a mirror of an app's repository: which commits there are of those that builds were made of, and what they follow.
//! Nothing but whole hashes and hexadecimal beginnings of them ever reaches git, and those through its standard input.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use holdfast_wire::time::Time;

use super::git::{Bounds, GitError, ask, git_dir};
use super::history::{Commit, History, Standing};

/// Commits that are kept of an app: a busy trunk's year. Older ones come before all of them.
const COMMITS_MAX: usize = 20_000;
/// What git may say about them: five times what as many usual commits take.
const HISTORY_BYTES_MAX: u64 = 32 << 20;
/// What git may say about the hashes of builds.
const HASHES_BYTES_MAX: u64 = 4 << 20;
/// A large repository without a commit graph is walked in some twenty seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// Shortest beginning of a hash that git takes.
const HASH_LETTERS_MIN: usize = 4;
/// Letters of a whole SHA-256 hash.
const HASH_LETTERS_MAX: usize = 64;
/// Longest author and first line of a message, in characters.
const TEXT_CHARS_MAX: usize = 120;

/// Whether a folder looks like a repository that can be read: the first thing to check.
///
/// # Errors
/// What is wrong, and how it is mended.
pub fn looks_like_repository(folder: &Path) -> Result<(), String> {
    match git_dir(folder) {
        Some(_) => Ok(()),
        None if folder.exists() => Err(format!(
            "{} is no git repository; make one with `git clone --mirror URL {0}`",
            folder.display()
        )),
        None => Err(format!("{} is not there; make it with `git clone --mirror URL {0}`", folder.display())),
    }
}

/// What a mirror shows now of these commits, as uploaders said them. Where git cannot tell, what was known stays, with the
/// trouble beside it.
pub async fn read(folder: &Path, wanted: &BTreeSet<String>, known: Option<&History>, now: Time) -> History {
    let known = known.cloned().unwrap_or_default();
    let mirror = folder.display().to_string();
    match read_anew(folder, wanted, &known).await {
        Ok((commits, named)) => History { mirror, commits, named, read_at: now, trouble: None },
        Err(trouble) => History { mirror, read_at: now, trouble: Some(trouble), ..known },
    }
}

async fn read_anew(
    folder: &Path,
    wanted: &BTreeSet<String>,
    known: &History,
) -> Result<(Vec<Commit>, BTreeMap<String, Standing>), String> {
    looks_like_repository(folder)?;
    let git_dir = git_dir(folder).ok_or("the repository went away while it was looked at")?;
    let words = |error: GitError| match std::error::Error::source(&error) {
        Some(cause) => format!("{}: {error}: {cause}", folder.display()),
        None => format!("{}: {error}", folder.display()),
    };
    let found = find(&git_dir, wanted).await.map_err(words)?;
    let tips: BTreeSet<&str> = found.values().filter_map(|found| found.as_deref().ok()).collect();
    let places = |commits: &[Commit]| -> BTreeMap<String, u32> {
        commits.iter().map(|commit| commit.hash.clone()).zip(0..).collect()
    };
    let mut commits = known.commits.clone();
    let mut place_of = places(&commits);
    // A commit never changes, so what was read stays true; only one that is not among it asks for another walk.
    let was_older = |tip: &str| {
        found
            .iter()
            .any(|(said, found)| found.as_deref() == Ok(tip) && known.standing(said) == Some(Standing::Older))
    };
    if tips.iter().any(|tip| !place_of.contains_key(*tip) && !was_older(tip)) {
        commits = walk(&git_dir, &tips).await.map_err(words)?;
        place_of = places(&commits);
    }
    let named = found.into_iter().map(|(said, found)| {
        let standing = match found {
            Ok(hash) => place_of.get(&hash).map_or(Standing::Older, |place| Standing::At(*place)),
            Err(standing) => standing,
        };
        (said, standing)
    });
    Ok((commits, named.collect()))
}

/// The whole hashes of what uploaders said.
async fn find(
    git_dir: &Path,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, Result<String, Standing>>, GitError> {
    let (hashes, others): (Vec<&String>, Vec<&String>) = wanted.iter().partition(|said| is_hash(said));
    let mut found: BTreeMap<String, Result<String, Standing>> =
        others.into_iter().map(|said| (said.clone(), Err(Standing::NoHash))).collect();
    let input = hashes.iter().map(|hash| format!("{hash}^{{commit}}\n")).collect();
    let bounds = Bounds { deadline: DEADLINE, bytes_max: HASHES_BYTES_MAX };
    let arguments = ["cat-file", "--batch-check=%(objectname) %(objecttype)"];
    let said = ask(git_dir, &arguments, input, bounds).await?;
    let said = String::from_utf8_lossy(&said);
    for (hash, line) in hashes.iter().zip(said.lines()) {
        let standing = match line.split_once(' ') {
            // A branch may be called like the beginning of a hash; it is not what was meant.
            Some((whole, "commit")) if whole.starts_with(&hash.to_ascii_lowercase()) => Ok(whole.to_owned()),
            Some((_, "ambiguous")) => Err(Standing::Ambiguous),
            Some(_) | None => Err(Standing::Missing),
        };
        found.insert((*hash).clone(), standing);
    }
    Ok(found)
}

fn is_hash(said: &str) -> bool {
    (HASH_LETTERS_MIN..=HASH_LETTERS_MAX).contains(&said.len()) && said.bytes().all(|b| b.is_ascii_hexdigit())
}

/// These commits and what they follow, oldest first.
async fn walk(git_dir: &Path, tips: &BTreeSet<&str>) -> Result<Vec<Commit>, GitError> {
    let at_most = format!("--max-count={COMMITS_MAX}");
    let arguments = ["rev-list", "--topo-order", &at_most, "--format=%H%x00%P%x00%aN <%aE>%x00%s", "--stdin"];
    let input = tips.iter().map(|tip| format!("{tip}\n")).collect();
    let bounds = Bounds { deadline: DEADLINE, bytes_max: HISTORY_BYTES_MAX };
    let said = ask(git_dir, &arguments, input, bounds).await?;
    Ok(commits(&String::from_utf8_lossy(&said)))
}

/// Commits as git lists them, newest first.
fn commits(said: &str) -> Vec<Commit> {
    // What was cut off in the middle of a line is left out.
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    let mut listed: Vec<[&str; 4]> =
        whole.lines().filter_map(|line| line.split('\0').collect::<Vec<_>>().try_into().ok()).collect();
    listed.reverse();
    let place_of: BTreeMap<&str, u32> = listed.iter().map(|[hash, ..]| *hash).zip(0..).collect();
    let commit = |(&[hash, parents, author, subject], own): (&[&str; 4], u32)| Commit {
        hash: hash.to_owned(),
        parents: parents
            .split(' ')
            .filter_map(|parent| place_of.get(parent).copied())
            .filter(|place| *place < own)
            .collect(),
        author: plain(author),
        subject: plain(subject),
    };
    listed.iter().zip(0..).map(commit).collect()
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}
