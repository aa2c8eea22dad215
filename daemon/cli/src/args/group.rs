//! What may be typed of crash groups.

use std::time::Duration;

use clap::{ArgGroup, Subcommand, ValueEnum};
use holdfast_wire::id::GroupId;

use super::{Paging, Who, hash, seconds};

/// `holdfast group …`
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Lists crash groups, the one that happened last first.
    #[command(after_help = "Example:\n  holdfast group list --state all")]
    List {
        /// Only those that stand so.
        #[arg(long, value_enum, default_value = "open")]
        state: StateArg,
        /// Which part of the list.
        #[command(flatten)]
        page: Paging,
    },
    /// Shows a group: since when, in which builds, on which phones, and what may be worth merging or splitting.
    Show {
        /// Its id, or enough of its beginning.
        id: GroupId,
    },
    /// Draws how often a group happened, day by day.
    Trend {
        /// Its id, or enough of its beginning.
        id: GroupId,
    },
    /// Lists the crashes of a group, newest first.
    Crashes {
        /// Its id, or enough of its beginning.
        id: GroupId,
        /// Which part of the list.
        #[command(flatten)]
        page: Paging,
    },
    /// Lets a group count into another one; links to it stay.
    #[command(after_help = "Example:\n  holdfast group merge 4fd0386906271a2b 77aa0912cd34ef56")]
    Merge {
        /// The group that goes.
        id: GroupId,
        /// The group that stays, by its whole id.
        into: GroupId,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
    /// Takes out what does not belong: a group that was merged, or crashes that make a group of their own.
    #[command(
        group = ArgGroup::new("what").required(true).args(["group", "crashes"]),
        after_help = "Later crashes of the same signature go where the stacks are likest.\n\nExamples:\n  \
                      holdfast group split 77aa0912cd34ef56 --group 4fd0386906271a2b\n  \
                      holdfast group split 77aa0912cd34ef56 --crash 91c2… --crash aa07…"
    )]
    Split {
        /// Its id, or enough of its beginning.
        id: GroupId,
        /// The group that was merged, by its whole id.
        #[arg(long)]
        group: Option<GroupId>,
        /// A crash, by its id or enough of its beginning; may be said several times.
        #[arg(long = "crash", value_name = "CRASH", value_parser = hash)]
        crashes: Vec<String>,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
    /// Gives a group a name that people know it by; without one, its signature is its name again.
    Rename {
        /// Its id, or enough of its beginning.
        id: GroupId,
        /// The name.
        name: Option<String>,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
    /// Tells nobody of a group, for a time or for good.
    #[command(
        after_help = "Example:\n  holdfast group ignore 77aa0912cd34ef56 --lasts 604800 --reason 'fixed next week'"
    )]
    Ignore {
        /// Its id, or enough of its beginning.
        id: GroupId,
        /// For so many seconds; for good when left out.
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        lasts: Option<Duration>,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
    /// Says that a group is mended: crashes of older builds change nothing, one of a newer build reopens it.
    #[command(after_help = "Example:\n  holdfast group fix 77aa0912cd34ef56 --build 3f2c1ab9")]
    Fix {
        /// Its id, or enough of its beginning.
        id: GroupId,
        /// The first build that has the mend, by its hash or enough of its beginning; the next upload when left out.
        #[arg(long, value_parser = hash)]
        build: Option<String>,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
    /// Has people look at a group again.
    Reopen {
        /// Its id, or enough of its beginning.
        id: GroupId,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateArg {
    /// Somebody should look.
    Open,
    /// Nobody is told of it.
    Ignored,
    /// It is mended.
    Fixed,
    /// Wherever they stand.
    All,
}

impl StateArg {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ignored => "ignored",
            Self::Fixed => "fixed",
            Self::All => "all",
        }
    }
}
