//! What happened to a crash group, as plain data that the daemon fills in. What is done about it is in
//! [`crate::decide`].

use std::fmt;

use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

macro_rules! word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

word! {
    /// The id of a crash group, as the daemon names it.
    GroupId
}
word! {
    /// The name of a receiver, as the rules name it.
    ReceiverName
}
word! {
    /// What is told at most once: the same key is never accepted twice.
    DedupeKey
}

/// What happened to a crash group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The group.
    pub group: GroupId,
    /// What became different.
    pub change: Change,
    /// When it did.
    pub at: Time,
    /// The signature in words: one line.
    pub title: String,
    /// What ended the process, in words.
    pub ended_by: Option<String>,
    /// The kind of report, as the crash reader names it (`crash`, `jetsam`, …).
    pub kind: String,
    /// How far the process had come, when the report tells.
    pub phase: Option<Phase>,
    /// Whether a case of the main flow was running.
    pub flow: Flow,
    /// The process.
    pub process: String,
    /// The app.
    pub bundle_id: Option<String>,
    /// The build in which it was seen now.
    pub build: Option<Build>,
    /// The phones that saw it: labels or UDIDs, those of the last crash first.
    pub phones: Vec<String>,
    /// The system of the last crash, as `iPhone OS 18.1 (22B83)`.
    pub os: Option<String>,
    /// Whether that system is a beta.
    pub os_stage: OsStage,
    /// The case that was running.
    pub case: Option<String>,
    /// The stack of the thread that tells why, innermost first.
    pub stack: Vec<Frame>,
    /// How often it was seen.
    pub counts: Counts,
    /// The commit that brought it, when that is known.
    pub first_bad: Option<FirstBad>,
    /// The group to which its crashes went, when they did.
    pub moved_to: Option<GroupId>,
    /// Where more can be read.
    pub links: Vec<Link>,
    /// Whether pretend phones saw it.
    pub origin: Origin,
}

/// What became different about a crash group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was never seen before.
    New,
    /// It was known, and is seen in a build that did not show it before.
    AgainInAnotherBuild,
    /// It was known, in this build too.
    Again,
    /// It was fixed, and a newer build shows it again.
    Regressed,
    /// It is fixed.
    Fixed,
    /// The commit that brought it was found, after people were told of it.
    Named,
    /// Its crashes went to another group, and none is left in it.
    Moved,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new crash",
            Self::AgainInAnotherBuild => "seen again in another build",
            Self::Again => "seen again",
            Self::Regressed => "fixed once and back again",
            Self::Fixed => "fixed",
            Self::Named => "the commit that brought it is found",
            Self::Moved => "counted with another group from now on",
        })
    }
}

/// How far a process had come when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before `main`.
    BeforeMain,
    /// During the launch.
    InLaunch,
    /// After it.
    Running,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeMain => "before main",
            Self::InLaunch => "in launch",
            Self::Running => "running",
        })
    }
}

/// Whether the case that was running is one that every branch runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// A case of the main flow.
    Main,
    /// Any other, or none.
    Side,
}

/// What the phone's system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OsStage {
    /// One that everybody has.
    Released,
    /// A beta.
    Beta,
}

/// Who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Phones.
    Real,
    /// Pretend phones: everything that is told says so.
    Simulated,
}

/// The build in which a crash was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its hash.
    pub hash: String,
    /// Its commit.
    pub commit: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// Who wrote the commit: an e-mail address, or `Name <address>`.
    pub author: Option<String>,
}

impl Build {
    /// The commit, or else the hash, as people abbreviate it.
    pub fn short(&self) -> &str {
        let whole = self.commit.as_deref().unwrap_or(&self.hash);
        whole.get(..12).unwrap_or(whole)
    }
}

/// The commit that brought a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstBad {
    /// The commit.
    pub commit: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// How sure the farm is, in per cent.
    pub percent: u8,
}

/// One frame of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The module; empty when it is not known.
    pub module: String,
    /// The function, or the address when it has no name.
    pub function: String,
    /// The file, as the compiler was given it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// Whether it belongs to the app.
    pub in_app: bool,
}

impl Frame {
    /// `file.cpp:12`, the file without its folders.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_deref()?;
        let name = file.rsplit('/').next().unwrap_or(file);
        Some(self.line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}")))
    }
}

/// How often a group was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Crashes.
    pub crashes: u64,
    /// Builds.
    pub builds: u64,
    /// Phones.
    pub phones: u64,
}

/// Where more can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What is there.
    pub label: String,
    /// An http or https address.
    pub url: String,
}

impl Event {
    /// Whether it hurts everybody: at the launch or in the main flow.
    pub fn is_urgent(&self) -> bool {
        self.why_urgent().is_some()
    }

    /// Why it is told at once.
    pub fn why_urgent(&self) -> Option<&'static str> {
        match (self.phase, self.flow) {
            (Some(Phase::BeforeMain), _) => Some("before main"),
            (Some(Phase::InLaunch), _) => Some("at launch"),
            (Some(Phase::Running) | None, Flow::Main) => Some("in the main flow"),
            (Some(Phase::Running) | None, Flow::Side) => None,
        }
    }

    /// Who is asked: the author of the first bad commit where it is known, else that of the build.
    pub fn author(&self) -> Option<&str> {
        let found = self.first_bad.as_ref().and_then(|bad| bad.author.as_deref());
        found.or_else(|| self.build.as_ref()?.author.as_deref())
    }

    /// The first frame of the app, where people look first.
    pub fn top_frame(&self) -> Option<&Frame> {
        self.stack.iter().find(|frame| frame.in_app)
    }
}

/// The address in `Name <address>`, or the whole text; in small letters.
pub fn address(author: &str) -> String {
    let inner = author.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner);
    inner.unwrap_or(author).trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_however_the_author_is_written() {
        let table = [
            ("Ann <Ann@Example.com>", "ann@example.com"),
            ("ann@example.com", "ann@example.com"),
            (" ann@example.com ", "ann@example.com"),
            ("A <b> <c@d>", "c@d"),
            ("half <open", "half <open"),
        ];
        for (author, expected) in table {
            assert_eq!(address(author), expected, "{author}");
        }
    }
}
