//! Crash groups: crashes with the same signature, what is known of them together, and what operators decide about them.

use serde::{Deserialize, Serialize};

use crate::id::{BuildHash, CrashId, GroupId};
use crate::time::Time;

/// What a crash has in common with others of the same defect. How it is made is `daemon/crash`'s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashSignature {
    /// Sixteen hexadecimal digits that stand for the words.
    pub id: GroupId,
    /// `Chat | uncaught NSRangeException | -[ChatRoom open:]`
    pub words: String,
    /// The version of signatures by which it was made.
    pub version: u32,
    /// The rules by which it was made, eight hexadecimal digits: other rules, other signatures.
    pub rules: String,
    /// The functions on top of the stack that tells, innermost first, without what differs from build to build: by
    /// these, groups are held against each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<String>,
}

/// What operators decided about a group, or what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GroupState {
    /// Somebody should look.
    #[default]
    Open,
    /// Nobody is to be told of it.
    Ignored {
        /// Until when; for good when none.
        until: Option<Time>,
    },
    /// Mended: crashes of older builds change nothing, one of a newer build reopens it.
    Fixed {
        /// The first build that has the mend; none: the first that is uploaded after that was said.
        build: Option<BuildHash>,
        /// Builds that the farm had before this moment are older than the mend.
        since: Time,
    },
    /// Was fixed, and happened in a build that has the mend.
    Regressed {
        /// That build.
        build: BuildHash,
        /// When.
        at: Time,
    },
    /// Counts into another group.
    Merged {
        /// Which.
        into: GroupId,
    },
}

impl GroupState {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ignored { .. } => "ignored",
            Self::Fixed { .. } => "fixed",
            Self::Regressed { .. } => "regressed",
            Self::Merged { .. } => "merged",
        }
    }

    /// Whether somebody should look at it now.
    pub fn is_open(&self, now: Time) -> bool {
        match self {
            Self::Open | Self::Regressed { .. } => true,
            Self::Ignored { until } => until.is_some_and(|until| until <= now),
            Self::Fixed { .. } | Self::Merged { .. } => false,
        }
    }
}

/// How often a group was seen with something: on a phone, in a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Seen {
    /// With what.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// A build in which a group was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeenInBuild {
    /// Which.
    pub build: BuildHash,
    /// Its commit, if its uploader said one.
    pub commit: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// Who wrote the commit.
    pub author: Option<String>,
    /// When the farm first had it.
    pub uploaded_at: Option<Time>,
    /// Crashes of the group in it.
    pub count: u64,
    /// Attempts with it that came to an end on this farm; the group may have been seen in several crashes of one.
    pub attempts_run: u64,
}

/// Crashes of a day (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayCount {
    /// `2026-11-21`.
    pub day: String,
    /// How many.
    pub count: u64,
}

/// `GET /api/v1/groups`: a crash group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupView {
    /// Its name for programs; it stays, whatever becomes of the group.
    pub id: GroupId,
    /// What people read: the name that an operator gave, else the signature.
    pub title: String,
    /// The name that an operator gave.
    pub name: Option<String>,
    /// What its crashes have in common.
    pub signature: String,
    /// Where it stands.
    pub state: GroupState,
    /// What ended the process, in words, the last time.
    pub ended_by: Option<String>,
    /// The process.
    pub process: Option<String>,
    /// Its bundle identifier.
    pub bundle_id: Option<String>,
    /// Crashes, those of groups that were merged into it included.
    pub count: u64,
    /// When it happened first, as far as the phones' clocks tell, else when the file was collected.
    pub first_seen: Option<Time>,
    /// And last.
    pub last_seen: Option<Time>,
    /// The builds in which it was seen, newest first; at most twenty.
    pub builds: Vec<SeenInBuild>,
    /// The oldest build in which it was seen, as far as the farm tested.
    pub first_bad: Option<SeenInBuild>,
    /// The newest build before that on the same branch that was tested without it.
    pub last_good: Option<SeenInBuild>,
    /// The commits after that one up to the first bad one, when a mirror of the app's repository tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<CommitsBetween>,
    /// What keeps the order of builds from being that of the app's repository, and what to do about it, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// What the odds say of the build that brought it; none when no crash has a build of a branch.
    #[serde(default)]
    pub odds: Option<FirstBad>,
    /// Phones, most often first; at most ten, as in all such lists.
    pub phones: Vec<Seen>,
    /// Models of phones.
    pub models: Vec<Seen>,
    /// Versions of the app, as the report files say them.
    #[serde(default)]
    pub app_versions: Vec<Seen>,
    /// Versions of the system.
    pub os_versions: Vec<Seen>,
    /// Cases that ran.
    pub cases: Vec<Seen>,
    /// How far the process had come: `before main`, `launching`, `running`, `unknown`.
    pub launch_phases: Vec<Seen>,
    /// Attempts in which it happened.
    pub attempts: u64,
    /// Attempts that came to an end with the builds in which it was seen.
    pub attempts_run: u64,
    /// Crashes a day, the last thirty days, oldest first.
    pub trend: Vec<DayCount>,
    /// Some of its crashes, newest first.
    pub samples: Vec<CrashId>,
    /// Groups that were merged into it.
    pub absorbed: Vec<GroupId>,
}

/// The commits of which one brought a group: those that the first bad build has and the last good one has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommitsBetween {
    /// How many.
    pub count: u64,
    /// Of how many of them the farm has no build, so that it cannot test them.
    pub without_build: u64,
    /// The newest of them, newest first; at most twenty.
    pub commits: Vec<CommitSeen>,
}

/// A commit, as a mirror of its repository has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommitSeen {
    /// Its whole hash.
    pub commit: String,
    /// `Ada <ada@example.com>`.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// The build that was made of it, if the farm has one.
    pub build: Option<BuildHash>,
}

/// What the odds say of the build that brought a group, from all attempts so far: a crash may be flaky.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FirstBad {
    /// Whether they are good enough to name one.
    pub is_certain: bool,
    /// Builds in question.
    pub builds: u64,
    /// The likeliest of them, the likeliest first; at most five.
    pub suspects: Vec<Suspect>,
}

/// A build that may have brought a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Suspect {
    /// Which.
    pub build: SeenInBuild,
    /// The chance that it is the one, of a hundred, rounded down.
    pub percent: u8,
}

/// `GET /api/v1/groups/{id}/suggestions`: what an operator may want to do. Nothing of it is done by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Suggestions {
    /// Groups whose stacks are like this one's, the likest first.
    pub merge: Vec<Alike>,
    /// Crashes of this group whose stacks are unlike the others', in parts that are alike among themselves.
    pub split: Vec<Vec<CrashId>>,
}

/// A group that is like another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alike {
    /// Which.
    pub group: GroupId,
    /// What it is called.
    pub title: String,
    /// From 0, nothing in common, to 100, the same stack.
    pub percent: u8,
}

/// `POST /api/v1/groups/{id}`: something to be done with a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GroupDeed {
    /// Give it a name, or take its name away.
    Rename {
        /// Up to 200 characters; none: the signature is its name.
        name: Option<String>,
    },
    /// Tell nobody of it.
    Ignore {
        /// For so many seconds from now, by the daemon's clock; for good when none.
        for_s: Option<u64>,
    },
    /// It is mended.
    Fix {
        /// The first build that has the mend, by its whole hash; none: the next one that is uploaded.
        build: Option<BuildHash>,
    },
    /// Somebody should look again.
    Reopen,
    /// Let it count into another group.
    Merge {
        /// Which; one that was merged itself stands for the group that it counts into.
        into: GroupId,
    },
    /// Take out what does not belong.
    Split {
        /// A group that was merged into this one.
        #[serde(default)]
        group: Option<GroupId>,
        /// Crashes that make a group of their own.
        #[serde(default)]
        crashes: Vec<CrashId>,
    },
}

impl std::fmt::Display for GroupDeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rename { name: Some(name) } => write!(f, "named it {name:?}"),
            Self::Rename { name: None } => f.write_str("took its name away"),
            Self::Ignore { for_s: Some(seconds) } => write!(f, "ignored it for {seconds} s"),
            Self::Ignore { for_s: None } => f.write_str("ignored it"),
            Self::Fix { build: Some(build) } => write!(f, "marked it as fixed in build {}", build.short()),
            Self::Fix { build: None } => f.write_str("marked it as fixed in the next build"),
            Self::Reopen => f.write_str("reopened it"),
            Self::Merge { into } => write!(f, "merged it into {into}"),
            Self::Split { group: Some(group), .. } => write!(f, "took group {group} out of it"),
            Self::Split { group: None, crashes } => write!(f, "took {} crashes out of it", crashes.len()),
        }
    }
}
