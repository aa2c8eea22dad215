//! What may be typed of what decides who goes first: the queue, pools, schedules, owners; and of what operators did.

use clap::{ArgGroup, Args, Subcommand};
use holdfast_wire::id::{Owner, PoolName, ScheduleName, Udid};

use super::{ClassArg, Paging, Who};

/// `holdfast queue`
#[derive(Debug, Args)]
pub struct Queue {
    /// Only this class.
    #[arg(long)]
    pub class: Option<ClassArg>,
    /// Show it again whenever it changes, until interrupted.
    #[arg(long)]
    pub watch: bool,
}

/// `holdfast pool …`
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// Lists pools with their phones.
    List,
    /// Puts a phone into a pool by hand, whatever the pools file says.
    #[command(
        group = ArgGroup::new("where").required(true).args(["pool", "from_file"]),
        after_help = "Examples:\n  holdfast pool set 00008110-000A2D8E3C41801E crash\n  \
                      holdfast pool set 00008110-000A2D8E3C41801E --from-file"
    )]
    Set {
        /// The phone's UDID.
        udid: Udid,
        /// The pool.
        pool: Option<PoolName>,
        /// Back to the pool that the pools file says.
        #[arg(long)]
        from_file: bool,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
}

/// `holdfast schedule …`
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Lists schedules with their next firing.
    List,
    /// Shows when schedules fire next: five times each.
    Next {
        /// Only this one.
        name: Option<ScheduleName>,
    },
    /// Submits a schedule's job out of turn; the calendar goes on as before.
    Run {
        /// Its name.
        name: ScheduleName,
        /// Who wants it, and why.
        #[command(flatten)]
        who: Who,
    },
}

/// `holdfast owner …`
#[derive(Debug, Subcommand)]
pub enum OwnerCommand {
    /// Lists owners with their shares, limits and what they use of them.
    List,
    /// Changes an owner's share and limits by hand, whatever the pools file says; what is not said stays.
    #[command(
        group = ArgGroup::new("what")
            .required(true)
            .multiple(true)
            .args(["weight", "running_max", "minutes_per_day", "from_file"]),
        after_help = "Examples:\n  holdfast owner quota team-chat --minutes-per-day 600 --running-max 8\n  \
                      holdfast owner quota team-chat --running-max none\n  holdfast owner quota team-chat --from-file"
    )]
    Quota {
        /// Who.
        owner: Owner,
        /// Share while several owners want phones, 1 to 1000.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
        weight: Option<u32>,
        /// Jobs that may run at once, or `none`.
        #[arg(long, value_name = "COUNT|none")]
        running_max: Option<Limit>,
        /// Phone-minutes of one UTC day, or `none`; what comes beyond waits below everything else.
        #[arg(long, value_name = "MINUTES|none")]
        minutes_per_day: Option<Limit>,
        /// Back to what the pools file says.
        #[arg(long, conflicts_with_all = ["weight", "running_max", "minutes_per_day"])]
        from_file: bool,
        /// Who does it, and why.
        #[command(flatten)]
        who: Who,
    },
}

/// A limit, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<u32>);

impl std::str::FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let count = text.parse().ok().filter(|count| *count > 0);
        count
            .map(|count| Self(Some(count)))
            .ok_or_else(|| format!("{text:?} is no number from 1, and not `none`"))
    }
}

/// `holdfast audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists what operators did, newest first.
    List(Paging),
}
